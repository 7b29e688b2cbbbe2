"""Arguments in, one command run, errors as one line and an exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edge import __version__
from edge.config import Config, load_config
from edge.demo.tour import run_tour
from edge.errors import ReminisceError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed
_EXAMPLES = """\
examples:
  reminisce demo
      remember the shipped pictures, ask a few questions, then yours
  reminisce demo --photos ~/Pictures/2025
      the same with your own pictures; nothing is copied but into a temporary folder
  reminisce demo --config config.yaml
      with other settings: cores, exit, pool

exit codes: 0 done, 1 failed or some pictures could not be remembered, 2 the command line or the config is wrong,
            130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    options = _parser().parse_args(arguments)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell's jobs in the background have SIGINT
            signal.signal(number, _interrupt)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the terminal's encoding lacks must not end a run
    try:
        config = load_config(options.config) if options.config else Config()
        return run_tour(config, options.photos, options.sheet)
    except ReminisceError as error:
        print(f"reminisce: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nreminisce: interrupted; the temporary memory of the demo is gone", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has gone, as `head` does: nobody is left to tell, nor to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _interrupt(_number: int, _frame: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # an impatient second one must not stop the temporary memory's deletion
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="reminisce",
        description="A private, on-device memory for what a device sees.",
        epilog=_EXAMPLES,
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="the two-minute tour, in a temporary memory",
        description="Remember pictures in a temporary memory, ask questions, write a contact sheet.",
        epilog=_EXAMPLES,
        formatter_class=layout,
    )
    demo.add_argument("--photos", type=Path, metavar="DIR", help="your own pictures instead of the shipped ones")
    demo.add_argument("--config", type=Path, metavar="FILE", help="settings, like config.yaml")
    demo.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        default=Path("reminisce-demo.html"),
        help="where the contact sheet goes (default: %(default)s)",
    )
    return parser
