"""Limits and the gate that applies them: the same pure functions in the engine and in a live session."""
