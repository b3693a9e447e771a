"""Recorded markets of others, turned into tapes."""
