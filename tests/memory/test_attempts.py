"""Items that end the process: suspected, tried alone, rejected in the end; and no innocent one with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.items import Arrival, Verdict
from edge.memory import CRASHED_TWICE, Memory
from edge.memory.disk.attempts import Attempts

Named = Callable[[str], Arrival]
ROOT = Path(__file__).parents[2]
# A process that works on some items when it ends, in the way that it is told.
WORKER = """
import ctypes, os, signal, sys
from pathlib import Path
from edge.memory import Memory
memory = Memory(Path(sys.argv[1]), "bundle one")
memory.attempt(int(item) for item in sys.argv[3].split(","))
match sys.argv[2]:
    case "abort": os.abort()
    case "segfault": ctypes.string_at(0)
    case "kill": os.kill(os.getpid(), signal.SIGKILL)
    case "end": memory.__exit__(None, None, None)
"""


def end(state: Path, how: str, items: Sequence[int]) -> None:
    """Let a process end in that way while it works on these items."""
    command = [sys.executable, "-c", WORKER, str(state), how, ",".join(map(str, items))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) == (how == "end"), done.stderr


@pytest.fixture
def three(state: Path, named: Named) -> Path:
    """A state folder in which three items wait."""
    with Memory(state, "bundle one") as memory:
        memory.accept([named(text) for text in ("ape", "bear", "cat")])
    return state


def waiting(memory: Memory) -> list[int]:
    return [item.id for item in memory.waiting(10)]


@pytest.mark.parametrize("how", ["abort", "segfault"])
def test_item_that_crashes_the_process_twice_is_rejected_and_its_content_is_gone(
    how: str, three: Path, named: Named, content_files: Callable[[Path], list[Path]]
) -> None:
    end(three, how, [2])
    with Memory(three, "bundle one") as memory:
        assert (memory.suspects, memory.accused) == (frozenset({2}), ())
        assert waiting(memory) == [1, 3, 2]  # behind all that are above suspicion
    end(three, how, [2])
    with Memory(three, "bundle one") as memory:
        assert [item.id for item in memory.accused] == [2]
        assert (memory.suspects, waiting(memory)) == (frozenset(), [1, 3])
        assert (memory.tally.items, memory.tally.waiting, memory.tally.rejected) == (2, 2, 1)
        refusal = Verdict("rejected", named("bear").digest, CRASHED_TWICE)
        assert memory.accept([named("bear")]) == [refusal]
    assert len(content_files(three)) == 2
    with Memory(three, "bundle one") as memory:
        assert memory.accused == ()


def test_item_that_was_there_when_the_process_was_killed_is_suspected_for_long_before_it_is_rejected(
    three: Path,
) -> None:
    for _ in range(5):
        end(three, "kill", [1])
        with Memory(three, "bundle one") as memory:
            assert (memory.suspects, memory.accused) == (frozenset({1}), ())
    end(three, "kill", [1])
    with Memory(three, "bundle one") as memory:
        assert [item.id for item in memory.accused] == [1]


def test_all_that_was_in_flight_is_suspected_and_acquitted_when_it_is_embedded(
    three: Path, embedded: Callable[..., object]
) -> None:
    end(three, "abort", [1, 2])
    with Memory(three, "bundle one") as memory:
        assert memory.suspects == {1, 2}
        memory.index([embedded(1)])  # type: ignore[list-item]
    end(three, "abort", [2])
    with Memory(three, "bundle one") as memory:
        assert ([item.id for item in memory.accused], memory.suspects, waiting(memory)) == ([2], frozenset(), [3])
        assert memory.tally.items == 2


def test_process_that_ends_in_order_blames_nobody_and_leaves_no_file(three: Path) -> None:
    end(three, "end", [1, 2, 3])
    assert sorted(path.name for path in three.iterdir()) == ["content", "lock", "memory.db"]
    with Memory(three, "bundle one") as memory:
        assert (memory.suspects, waiting(memory)) == (frozenset(), [1, 2, 3])


def test_start_after_start_counts_a_crash_once(three: Path) -> None:
    end(three, "abort", [2])
    for _ in range(3):
        end(three, "kill", [])
    with Memory(three, "bundle one") as memory:
        assert (memory.suspects, memory.accused) == (frozenset({2}), ())


def test_power_cut_blames_nobody(three: Path) -> None:
    end(three, "abort", [2])
    boot, items = (three / "attempts").read_text().split(maxsplit=1)
    assert items == "2\n"
    (three / "attempts").write_text(f"{boot[::-1]} {items}")
    with Memory(three, "bundle one") as memory:
        assert memory.suspects == frozenset()


@pytest.mark.parametrize("rest", [b"", b"\xff\xfe", b"one two"])
def test_file_that_cannot_be_read_blames_nobody(rest: bytes, three: Path) -> None:
    (three / "attempts").write_bytes(rest)
    with Memory(three, "bundle one") as memory:
        assert memory.suspects == frozenset()


def test_item_that_is_not_there_any_more_is_no_suspect(three: Path) -> None:
    end(three, "abort", [7])
    with Memory(three, "bundle one") as memory:
        assert (memory.suspects, memory.accused) == (frozenset(), ())


def test_item_that_takes_more_memory_than_there_is_is_tried_twice(three: Path) -> None:
    with Memory(three, "bundle one") as memory:
        item = memory.item(1)
        assert not memory.accuse(item)
        assert (memory.suspects, waiting(memory)) == (frozenset({1}), [2, 3, 1])
        assert memory.accuse(item)
        assert (memory.suspects, waiting(memory), memory.tally.rejected) == (frozenset(), [2, 3], 1)
        assert memory.content(item) is None


def test_noting_what_is_worked_on_writes_one_small_file_and_never_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    attempts = Attempts(tmp_path)
    for count in (64, 3, 0):
        attempts.note(range(count))
        assert len((tmp_path / "attempts").read_bytes()) < 4096
    assert (tmp_path / "attempts").read_text().split()[1:] == []
    attempts.close()
    assert (list(tmp_path.iterdir()), synced) == ([], [])
