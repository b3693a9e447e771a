"""Kraken spot, WebSocket v2: public market data."""
