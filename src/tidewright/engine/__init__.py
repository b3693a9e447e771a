"""Lanes, matching and replay: numba kernels on arrays and NamedTuples, no I/O."""
