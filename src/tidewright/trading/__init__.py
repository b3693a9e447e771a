"""The live session: orders, reconciliation, ledger, risk, supervision."""
