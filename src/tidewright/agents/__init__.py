"""The executor and its advisors."""
