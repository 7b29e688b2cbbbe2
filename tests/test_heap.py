"""A large picture's memory, and a model's, go back to the system: each in a process of its own, as the heap is one."""

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

if sys.argv[1] == "returned":
    return_large_blocks()
before = anonymous()
kept = []
for _ in range(4):
    blocks = [bytearray(b"x") * (12 << 20) for _ in range(16)]
    kept.append(bytearray(b"x") * (600 << 10))
    del blocks
print(anonymous() - before)
"""
# Blocks of an INT8 segment, too small to be mapped each by itself, below one that stays; then they are freed.
SMALL = """
import sys
from pathlib import Path
from edge.heap import return_free_blocks

def anonymous():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) >> 10

before = anonymous()
blocks = [bytearray(b"x") * (90 << 10) for _ in range(500)]
kept = bytearray(b"x") * (90 << 10)
del blocks
if sys.argv[1] == "returned":
    return_free_blocks()
print(anonymous() - before)
"""
# The shipped bundle's image tower, streamed; prints the pages that the last of three rides had to be given anew.
STREAMED = """
import resource
import sys
from pathlib import Path
import numpy as np
from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE
from edge.heap import return_free_blocks, return_large_blocks
from edge.runtime import Interpreters, Streamed, choose_runtime

return_large_blocks()
bundle = Bundle.open(DEMO_BUNDLE)
tower = bundle.manifest.tower("image")
files = Interpreters(bundle.folder, choose_runtime("auto"), threads=1)
with Streamed(files, tower, print) as weights:
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x = np.zeros((1, tower.preprocess.size, tower.preprocess.size, 3), np.float32)
        for segment in tower.segments:
            x = weights.invoke(segment.model, {"x": x})
            if sys.argv[1] == "between calls":
                return_free_blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def left_mb(how: str, program: str = CHILD) -> int:
    done = subprocess.run([sys.executable, "-c", program, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_that_are_freed_are_not_kept_for_later() -> None:
    assert left_mb("returned") < 10
    assert left_mb("by itself") > 50  # else the setting is not needed any more


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is glibc's")
def test_small_blocks_that_are_free_are_given_back_when_told() -> None:
    assert left_mb("returned", SMALL) < 5
    assert left_mb("by itself", SMALL) > 30  # else the call is not needed any more


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is glibc's")
def test_streamed_segment_is_opened_in_the_memory_of_the_one_before() -> None:
    assert 1.2 * left_mb("when idle", STREAMED) < left_mb("between calls", STREAMED)
