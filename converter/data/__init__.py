"""Data that the converter carries with it, and the scripts that made it."""
