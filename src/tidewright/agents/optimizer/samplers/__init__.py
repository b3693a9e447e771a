"""Samplers: where to look next, from what was judged. Each is a function of the history, a count and a generator."""
