"""Index files that nothing open reads go when the memory is opened; the rows stay, and bring them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.items import Embedded, Verdict
from edge.memory import Memory, MemoryIndex
from edge.memory.index import Limits
from indexes import settle, unit_rows

COUNT = 40
SCALES = {3: 1.0}
VECTORS = unit_rows(COUNT, seed=4)
WHOLE = list(range(1, COUNT + 1))


@pytest.fixture
def left(state: Path, named: Callable[[str], object]) -> Path:
    """A memory that bundle one filled, and that holds sealed files of its index as the earlier one of bundle two."""
    with Memory(state, "bundle one") as memory:
        memory.accept([named(f"picture {number}") for number in WHOLE])  # type: ignore[misc]
        memory.index([Embedded(item=number, depth=3, embedding=VECTORS[number - 1]) for number in WHOLE])
    with Memory(state, "bundle two") as memory, earlier(memory) as index:
        settle(index)
    assert files(state) == ["earlier-1/image-03.1"]
    return state


@contextmanager
def earlier(memory: Memory) -> Iterator[MemoryIndex]:
    """The index of bundle one, which seals after ten rows."""
    (origin,) = memory.origins
    with memory.open_earlier_index(origin, "image", SCALES, 10**9) as index:
        index._limits = Limits(forest_from=10**9, shortest_tail=10)
        yield index


def files(state: Path) -> list[str]:
    """The sealed folders of earlier bundles."""
    return sorted(str(path.relative_to(state / "index")) for path in (state / "index").glob("earlier-*/*"))


def found(index: MemoryIndex) -> list[int]:
    return sorted(index.search(3, VECTORS[0], COUNT).ids.tolist())


def test_files_of_a_bundle_that_is_away_go_and_what_it_embedded_stays(left: Path) -> None:
    with Memory(left, "bundle two") as memory:
        memory.open_index("image", SCALES, 10**9)
        memory.sweep_indexes()
        assert list((left / "index").iterdir()) == []
        assert memory.left(memory.origins[0]).tolist() == WHOLE
    with Memory(left, "bundle two") as memory, earlier(memory) as index:  # it is back
        assert found(index) == WHOLE
        assert index.damaged == 0


def test_files_of_an_earlier_bundle_that_is_open_stay_as_they_are(left: Path) -> None:
    inodes = {path: path.stat().st_ino for path in left.glob("index/**/*")}
    with Memory(left, "bundle two") as memory, earlier(memory) as index:
        memory.open_index("image", SCALES, 10**9)
        memory.sweep_indexes()
        assert found(index) == WHOLE
    assert {path: path.stat().st_ino for path in left.glob("index/**/*")} == inodes


def test_files_of_the_present_bundle_stay_and_those_of_a_tower_that_it_has_not_go(
    left: Path, keep: Callable[..., list[Verdict]]
) -> None:
    with Memory(left, "bundle two") as memory:
        keep(memory, *(f"mine {number}" for number in range(20)), depth=3)
        index = memory.open_index("image", SCALES, 10**9)
        index._limits = Limits(forest_from=10**9, shortest_tail=10)
        settle(index)
        (left / "index" / "text-03.1").mkdir()  # of notes, which this bundle does not take
        memory.sweep_indexes()
        assert [path.name for path in (left / "index").iterdir()] == ["image-03.1"]
        assert len(index) >= 20


@pytest.mark.parametrize("gone", ["codes", "ids", "seal", "centre"])
def test_end_of_the_process_in_the_middle_costs_no_item(left: Path, gone: str) -> None:
    sealed = left / "index" / "earlier-1" / "image-03.1"
    (sealed / gone).unlink()  # rmtree came so far
    with Memory(left, "bundle two") as memory, earlier(memory) as index:
        assert found(index) == WHOLE


def test_disk_that_lets_nothing_be_deleted_does_not_stop_the_start(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with Memory(left, "bundle two") as memory:
        with monkeypatch.context() as patched:
            patched.setattr("edge.memory.earlier.shutil.rmtree", refused)
            memory.sweep_indexes()
        assert files(left) == ["earlier-1/image-03.1"]
        memory.sweep_indexes()
        assert files(left) == []
