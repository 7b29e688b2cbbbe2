"""What questions teach about sources is written when something else is, outlasts a crash, and is forgotten in full."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.items import Arrival, Embedded, Selection
from edge.memory import Memory, export
from edge.memory.rows.database import connect
from edge.memory.rows.demand_rows import counted
from edge.memory.rows.traces import Traces
from remains import left_of

ROOT = Path(__file__).parents[2]
Arriving = Callable[[str], Arrival]


def on_disk(state: Path) -> dict[str, float]:
    """Of a memory that is closed."""
    rows = connect(state / "memory.db")
    try:
        return counted(rows)
    finally:
        rows.close()


def fill(memory: Memory, arriving: Arriving, embedded: Callable[[int], Embedded], sources: Sequence[str]) -> None:
    memory.accept([arriving(source) for source in sources])
    memory.index([embedded(item.id) for item in memory.waiting(999)])


def test_question_writes_nothing_and_the_next_refinement_takes_it_along(
    memory: Memory, arriving: Arriving, embedded: Callable[..., Embedded], statements: list[str]
) -> None:
    fill(memory, arriving, embedded, ["door", "yard"])
    statements.clear()
    for _ in range(100):
        memory.demand.answered(["door", "yard"])
    assert statements == []
    memory.refine([embedded(1, depth=16)])
    assert statements.count("COMMIT") == 1
    assert counted(memory._rows) == {"door": 50.0, "yard": 50.0}
    statements.clear()
    memory.refine([embedded(2, depth=16)])
    assert not [said for said in statements if "demand" in said]


def test_embeddings_and_sightings_take_it_along_too(
    memory: Memory, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    fill(memory, arriving, embedded, ["door"])
    memory.demand.answered(["door"])
    memory.sighted([memory.item(1).digest])
    assert counted(memory._rows) == {"door": 1.0}
    memory.demand.answered(["door"])
    fill(memory, arriving, embedded, ["yard"])
    assert counted(memory._rows) == {"door": 2.0}


def test_commit_that_fails_leaves_it_to_the_next(
    memory: Memory, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    fill(memory, arriving, embedded, ["door"])
    memory.demand.answered(["door"])
    memory._rows.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON embeddings BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(OSError, match="cannot be used"):
        memory.refine([embedded(1, depth=16)])
    assert counted(memory._rows) == {}
    memory._rows.execute("DROP TRIGGER no")
    memory.refine([embedded(1, depth=16)])
    assert counted(memory._rows) == {"door": 1.0}


def test_a_clean_stop_keeps_it_and_the_next_start_knows_it(
    state: Path, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory, arriving, embedded, ["door"])
        memory.demand.answered(["door"])
    with Memory(state, "bundle one") as memory:
        memory.demand.answered(["door"])
    assert on_disk(state) == {"door": 2.0}


def test_what_is_counted_no_more_goes_from_the_disk(
    state: Path, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory, arriving, embedded, ["door", "yard"])
        memory.demand.answered(["door"])
    with Memory(state, "bundle one") as memory:
        for _ in range(4_000):
            memory.demand.answered(["yard"])
    assert on_disk(state).keys() == {"yard"}


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from edge.items import Embedded
from edge.memory import Memory
with Memory(Path(sys.argv[1]), "bundle one") as memory:
    memory.demand.answered(["door"])
    memory.refine([Embedded(item=1, depth=16, embedding=np.eye(8, dtype=np.float32)[0])])
    memory.demand.answered(["door"])
    os.kill(os.getpid(), 9)
"""


def test_kill_costs_what_was_counted_since_the_last_commit_and_no_more(
    state: Path, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory, arriving, embedded, ["door"])
    done = subprocess.run([sys.executable, "-c", KILLED, str(state)], cwd=ROOT, check=False)
    assert done.returncode == -9
    with Memory(state, "bundle one") as memory:
        assert counted(memory._rows) == {"door": 1.0}


FOLDER, DEEPER, CAMERA = "/pictures/of a secret trip/", "/pictures/of a secret trip/and more/", "camera in the attic"


def test_last_item_of_a_source_takes_every_byte_of_it_along(
    memory: Memory, state: Path, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    fill(memory, arriving, embedded, [f"{FOLDER}1.jpg", f"{FOLDER}2.jpg", CAMERA, f"{CAMERA} 2", "/else/3.jpg"])
    others = [f"/others/of number {number}/one.jpg" for number in range(300)]  # so many that pages are shared out
    fill(memory, arriving, embedded, others)
    memory.demand.answered([memory.item(number + 1).source for number in range(305)])
    memory.refine([embedded(5, depth=16)])
    traces = {"folder": FOLDER.encode(), "camera": CAMERA.encode()}
    memory.forget(Selection(digests=(memory.item(1).digest, memory.item(4).digest)))
    kept = counted(memory._rows)
    assert {FOLDER, CAMERA} < kept.keys()
    assert f"{CAMERA} 2" not in kept
    memory.forget(Selection(digests=(memory.item(2).digest, memory.item(3).digest)))
    assert left_of(traces, state) == []
    memory.demand.answered([CAMERA, f"{FOLDER}1.jpg"])  # an answer that was under way meanwhile
    memory.refine([embedded(6, depth=16)])
    assert left_of(traces, state) == []


def test_copies_that_a_full_page_may_have_left_of_it_are_looked_for(
    memory: Memory, arriving: Arriving, embedded: Callable[..., Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[bytes] = []
    monkeypatch.setattr(Traces, "are_in", lambda traces, _: looked_for.extend(traces._texts))
    fill(memory, arriving, embedded, [f"{FOLDER}1.jpg", f"{FOLDER}2.jpg"])
    memory.forget(Selection(digests=(memory.item(1).digest,)))
    assert FOLDER.encode() not in looked_for
    memory.forget(Selection(digests=(memory.item(2).digest,)))
    assert FOLDER.encode() in looked_for


def test_folder_counts_as_empty_though_a_folder_in_it_is_not(
    memory: Memory, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    fill(memory, arriving, embedded, [f"{FOLDER}1.jpg", f"{DEEPER}2.jpg"])
    memory.demand.answered([f"{FOLDER}1.jpg", f"{DEEPER}2.jpg"])
    memory.sighted([memory.item(2).digest])
    assert counted(memory._rows).keys() == {FOLDER, DEEPER}
    memory.forget(Selection(digests=(memory.item(1).digest,)))
    assert counted(memory._rows).keys() == {DEEPER}


def test_export_does_not_say_what_was_asked_for(
    state: Path, tmp_path: Path, arriving: Arriving, embedded: Callable[..., Embedded]
) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory, arriving, embedded, ["/pictures/1.jpg"])
        memory.demand.answered(["/pictures/1.jpg"])
    assert on_disk(state) == {"/pictures/": 1.0}
    export(state, tmp_path / "memory.tar", "a model")
    with tarfile.open(tmp_path / "memory.tar") as tar:
        tar.extract("memory.db", tmp_path)
    assert on_disk(tmp_path) == {}
