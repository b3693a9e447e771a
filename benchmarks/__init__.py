"""Published figures, each beside its peer, measured alternately in the same run: ``python -m benchmarks.run``."""
