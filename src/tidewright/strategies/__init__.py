"""Quoting rules as small jitted functions, and the registry that names them and their parameters."""
