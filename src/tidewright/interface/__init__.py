"""Faces only: terminal and files, no logic."""
