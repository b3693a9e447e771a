"""Performance figures, mark-outs and the tear sheet."""
