"""Messages between agents: the schema, the bus, and who may act on what."""
