"""The process that makes a new sealed folder out of an old one and what came since. Started by Builder.

    python -m edge.memory.index.build JOB OLD TARGET FOREST

JOB:    a sealed folder with the rows that came since, and the ids of OLD that are gone
OLD:    a sealed folder, or empty
TARGET: the folder to make
FOREST: "forest", or "rows" for none

It works at the lowest priority, and ends when its standard input does: a killed daemon leaves no process behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from edge.memory.index.forest import FOREST
from edge.memory.index.merge import DAMAGED, merge
from edge.memory.index.sealed import DamagedError


def main() -> int:
    """Returns the exit code; what went wrong stands in the last line of standard error."""
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    with contextlib.suppress(OSError):  # not allowed under some sandboxes
        os.nice(19)
    job, old, target, forest = sys.argv[1:]
    try:
        merge(Path(job), Path(old) if old else None, Path(target), with_forest=forest == FOREST)
    except DamagedError as error:
        sys.stderr.write(f"{error}\n")
        return DAMAGED
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _end_with_the_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: a thread that holds its lock at the end makes the interpreter abort
        pass
    os._exit(1)  # in the middle of annoy's work, too


if __name__ == "__main__":
    sys.exit(main())
