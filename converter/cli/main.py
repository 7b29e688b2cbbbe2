"""Arguments in, one command run, errors as one line and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from converter.cli.arguments import make_parser
from edge.errors import ReminisceError
from edge.signals import STOPPING


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = make_parser().parse_args(arguments)
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as the shell's jobs in the background have SIGINT
            signal.signal(number, _interrupt)
    try:
        return int(options.command(options))
    except ReminisceError as error:
        print(f"reminisce-convert: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"converter", "edge"}:
            raise
        print(
            f"reminisce-convert: the host tools are not installed ({error.name} is missing): run `make convert-env`,"
            " or `pip install '.[convert]'` on Python 3.12 and later",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"reminisce-convert: {where}{error.strerror or error}; {options.interrupted}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"\nreminisce-convert: interrupted; {str(error) or options.interrupted}", file=sys.stderr)
        return 130


def _interrupt(_number: int, _frame: object) -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)  # an impatient second one must not stop what is told on the way out
    raise KeyboardInterrupt
