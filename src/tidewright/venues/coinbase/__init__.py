"""Coinbase Advanced Trade: public market data."""
