"""Recording public market data of live venues to tapes: sockets, sequence checks, rotation, restarts."""
