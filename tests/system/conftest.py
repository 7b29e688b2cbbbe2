"""Fixtures of tests on the whole daemon."""

from siege import besieged, siege

__all__ = ["besieged", "siege"]  # fixtures, defined beside what they start
