"""`reminisce`: the device's command line. Prints and returns exit codes; no logic."""

from edge.cli.main import main

__all__ = ["main"]
