"""Arguments in, one command run, errors as one line and an exit code."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

from edge.cli.arguments import make_parser
from edge.errors import ReminisceError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.ERROR)
    options = make_parser().parse_args(arguments)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell's jobs in the background have SIGINT
            signal.signal(number, _interrupt)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the terminal's encoding lacks must not end a run
    try:
        return int(options.command(options))
    except ReminisceError as error:
        print(f"reminisce: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\nreminisce: interrupted; {options.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has gone, as `head` does: nobody is left to tell, nor to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _interrupt(_number: int, _frame: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # an impatient second one must not stop what is cleaned up on the way out
    raise KeyboardInterrupt
