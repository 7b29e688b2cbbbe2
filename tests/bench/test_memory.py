"""What a daemon takes, measured from outside: a real one, on the demo bundle, with and without a limit."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from edge.bench.holding import Holding
from edge.bench.memory import Taken, line, main
from waiting import wait_until


def test_memory_that_was_held_only_for_a_while_counts_and_a_mapped_file_does_not() -> None:
    with Holding(os.getpid(), 0.001) as holding:
        wait_until(lambda: holding.most_anonymous > 0)
        before = holding.most_anonymous
        filled = np.ones(5_000_000)
        wait_until(lambda: holding.most_anonymous > before + 35e6)
        most = holding.most_anonymous
        del filled
    assert holding.most_anonymous >= most
    assert most <= holding.now("VmHWM")


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
