"""Arguments in, one command run, errors as one line and an exit code."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

from edge.cli.arguments import make_parser
from edge.errors import ReminisceError
from edge.signals import STOPPING


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.ERROR)
    options = make_parser().parse_args(arguments)
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell's jobs in the background have SIGINT
            signal.signal(number, _interrupt)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the terminal's encoding lacks must not end a run
    try:
        code = int(options.command(options))
        print(end="", flush=True)  # not at the end of the interpreter, which would show its own words on a broken pipe
    except ReminisceError as error:
        print(f"reminisce: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\nreminisce: interrupted; {options.interrupted}", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what was not written cannot be flushed, either
        if error.errno == errno.ENOSPC:  # on a broken pipe, who read the output has gone, as `head` does
            print(f"reminisce: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _interrupt(_number: int, _frame: object) -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # an impatient second one must not stop what is cleaned up on the way out
    raise KeyboardInterrupt
