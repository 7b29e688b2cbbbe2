"""A large picture's memory goes back to the system: in a process of its own, since the setting is the process's."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Blocks of a picture, freed in between as pictures are, below one that stays; prints the megabytes that are left.
CHILD = """
import sys
from pathlib import Path
from edge.heap import return_free_blocks, return_large_blocks

def anonymous():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) >> 10

if sys.argv[1] != "by itself":
    return_large_blocks()
before = anonymous()
kept = []
for _ in range(4):
    blocks = [bytearray(b"x") * (12 << 20) for _ in range(16)]
    kept.append(bytearray(b"x") * (600 << 10))
    del blocks
print(anonymous() - before)
"""


def left_mb(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CHILD, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_that_are_freed_are_not_kept_for_later() -> None:
    assert left_mb("returned") < 10
    assert left_mb("by itself") > 50  # else the setting is not needed any more
