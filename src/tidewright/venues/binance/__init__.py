"""Binance spot: protocol without I/O, sequence-checked feed, trading through ccxt."""
