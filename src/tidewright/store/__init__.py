"""Persistence: the ledger's tables."""
