"""`reminisce run`."""

from __future__ import annotations

import argparse
import logging

from edge.cli.settings import config_file
from edge.signals import signals_held


def run(options: argparse.Namespace) -> int:
    """Serve until it is told to stop."""
    with signals_held():
        from edge import daemon  # noqa: PLC0415 - the other commands need neither towers nor memory

    logging.getLogger().setLevel(logging.INFO)
    daemon.run(config_file(options.config))
    return 0
