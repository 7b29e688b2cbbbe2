"""What a daemon takes, measured from outside: a real one, on the demo bundle, with and without a limit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.bench.holding import Holding
from edge.bench.memory import Taken, line, main

# Reads a mapped file, holds 60 MB for a while, and then waits to be ended.
CHILD = """
import mmap, sys, time
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
mapped.find(b"x")
held = b"x" * 60_000_000
time.sleep(0.2)
del held
print("freed", flush=True)
sys.stdin.read()
"""


def test_memory_that_was_held_only_for_a_while_counts_and_a_mapped_file_does_not(tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(bytes(50_000_000))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, mapped], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child, Holding(child.pid, 0.001) as holding:
        assert child.stdout
        assert child.stdout.readline() == "freed\n"
        now, resident = holding.now("RssAnon"), holding.now("VmHWM")
        child.communicate("go on")
    assert now < 30e6
    assert 60e6 < holding.most_anonymous < 90e6
    assert resident > holding.most_anonymous + 50e6


def test_process_that_has_gone_ends_the_looking_and_is_an_error_of_who_asks() -> None:
    with Holding(2**22 + 1, 0.001) as holding:  # more than there can be
        pass
    assert holding.most_anonymous == 0
    with pytest.raises(OSError, match="No such file"):
        holding.now("VmHWM")


def test_a_line_says_all_figures() -> None:
    taken = Taken(items=8, anonymous_mb=1.2, resident_mb=3.4, data_mb=5.6, items_per_s=7.8, answer_ms=9.9)
    assert line(taken) == (
        "8 items: at most 1 MB anonymous, VmHWM 3 MB, VmData 6 MB at the end; 7.8 items/s,"
        " the answer meanwhile in 10 ms"
    )


@pytest.mark.slow
def test_daemon_is_measured_within_a_limit_while_it_remembers_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--items", "12", "--batch", "4", "--data-mb", "400"]) == 0
    said, taken = capsys.readouterr().out.splitlines()
    assert said.startswith("streamed weights, batches of 4, ")
    found = re.fullmatch(
        r"12 items: at most (\d+) MB anonymous, VmHWM (\d+) MB, VmData (\d+) MB at the end; [\d.]+ items/s,"
        r" the answer meanwhile in (\d+) ms",
        taken,
    )
    assert found
    anonymous, resident, data, answer_ms = map(int, found.groups())
    assert 40 < anonymous < resident
    assert data < 400
    assert answer_ms > 0


def test_limit_that_nothing_runs_in_is_said_in_the_daemons_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights", "resident", "--data-mb", "100"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge.bench.memory: the daemon ended: ")
    assert "memory.weights is resident, which takes some " in said
