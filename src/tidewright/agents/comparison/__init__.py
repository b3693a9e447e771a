"""Contenders on held-out windows, paired on the same events."""
