"""Ways to a venue: protocol, feed, trading."""
