"""`reminisce`: the device's command line. Prints and returns exit codes; no logic."""

import os

# numpy reads it when it is imported, and sets 41 MB of addresses aside for each further core: where they are limited,
# models have that much less. Nothing here multiplies matrices that more cores would help.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from edge.cli.main import main

__all__ = ["main"]
