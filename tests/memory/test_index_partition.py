"""A partition against a dictionary: whatever is added, removed and sealed in between, both find the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.items import Floats
from edge.memory.index.blocks import Block
from edge.memory.index.exact import Found
from edge.memory.index.merge import GONE, merge
from edge.memory.index.partition import Limits, Moment, Partition
from edge.memory.index.sealed import Seal, close_seal, open_sealed, write_rows

DIMENSION = 8
SCALE = 5.0
LIMITS = Limits(forest_from=1_000_000, shortest_tail=100, longest_tail=400)
Model = dict[int, tuple[Floats, float]]


def seal_of(rows: int) -> Seal:
    return Seal(fingerprint="a", sequence=1, scale=SCALE, rows=rows, dimension=DIMENSION)


def sealed_anew(partition: Partition, moment: Moment, folder: Path) -> Path:
    """What the builder's process does, in this one; returns the new folder."""
    number = len(list(folder.glob("*"))) if folder.exists() else 0
    work, job, target = (folder / f"{number}{end}" for end in (".work", ".job", ""))
    write_rows(work, [moment.came], moment.came.centre)
    (work / GONE).write_bytes(moment.gone.astype("<i8").tobytes())
    close_seal(work, job, seal_of(len(moment.came)))
    merge(job, partition.folder, target, with_forest=False)
    return target


def random_rows(random: np.random.Generator, count: int) -> Floats:
    return random.normal(size=(count, DIMENSION)).astype(np.float32)


def check(partition: Partition, model: Model, query: Floats) -> None:
    assert len(partition) == len(model)
    bare = {item: (row, 0.0) for item, (row, _) in model.items()}
    pairs = [(partition.search(query, 15), by_hand(model, query))]
    pairs += [(partition.search(query, 15, by_cosine=True), by_hand(bare, query, 1.0))]
    everything = np.array(sorted(model), np.int64)
    pairs += [(partition.search(query, 15, everything, by_cosine=True), by_hand(bare, query, 1.0))]
    for found, expected in pairs:
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        for name in ("ids", "cosines", "scores"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    some = everything[::-2]
    are_there, rows = partition.embeddings(np.append(some, 1_000_000_000))
    assert are_there.tolist() == [True] * len(some) + [False]
    np.testing.assert_array_equal(
        rows, np.array([model[item][0] for item in some.tolist()], "<f2").reshape(-1, DIMENSION).astype(np.float32)
    )


def by_hand(model: Model, query: Floats, scale: float = SCALE) -> Found:
    ids = np.array(sorted(model), np.int64)
    embeddings = np.array([model[item][0] for item in ids.tolist()], np.float32).reshape(-1, DIMENSION)
    offsets = np.array([model[item][1] for item in ids.tolist()], np.float32)
    block = Block.of(ids, embeddings, offsets, np.zeros(DIMENSION, np.float32))
    return Found.of(block, np.arange(len(ids)), query, scale).best(15)


Step = tuple[str, list[int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add again", "remove", "moment", "adopt", "forget"]),
        st.lists(st.integers(0, 60), unique=True, max_size=25),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 1_000))
def test_any_history_finds_what_brute_force_finds(
    steps: list[Step], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    partition, model = Partition(SCALE, DIMENSION), Model()
    moment: Moment | None = None
    made: Path | None = None
    folder = tmp_path_factory.mktemp("sealed")
    for kind, items in steps:
        ids = np.array(items, np.int64)
        if kind.startswith("add"):
            embeddings, offsets = random_rows(random, len(ids)), random.normal(size=len(ids)).astype(np.float32)
            if kind == "add again":  # what a restart reads again must not change anything
                ids = np.array([item for item in items if item in model], np.int64)
                embeddings = np.array([model[item][0] for item in ids.tolist()], np.float32).reshape(-1, DIMENSION)
                offsets = np.array([model[item][1] for item in ids.tolist()], np.float32)
            partition.add(ids, embeddings, offsets)
            model |= {
                item: (row, float(offset)) for item, row, offset in zip(ids.tolist(), embeddings, offsets, strict=True)
            }
        elif kind == "remove":
            partition.remove(ids)
            model = {item: row for item, row in model.items() if item not in items}
        elif kind == "moment":
            moment = partition.moment()
            made = sealed_anew(partition, moment, folder)
        elif kind == "adopt" and moment and made:
            partition.adopt(open_sealed(made), moment)
            moment = made = None
        elif kind == "forget":
            partition.forget_moment()
            moment = made = None
        check(partition, model, random_rows(random, 1)[0])


def filled(rows: int, folder: Path) -> Partition:
    """A partition with this many sealed rows, ids from 0."""
    partition = Partition(SCALE, DIMENSION)
    partition.add(np.arange(rows), random_rows(np.random.default_rng(1), rows), np.zeros(rows, np.float32))
    moment = partition.moment()
    partition.adopt(open_sealed(sealed_anew(partition, moment, folder)), moment)
    return partition


def test_a_quarter_of_dead_rows_is_due_and_less_is_not(tmp_path: Path) -> None:
    partition = filled(400, tmp_path)
    partition.remove(np.arange(99))
    assert not partition.is_due(LIMITS)
    partition.remove(np.array([399]))
    assert partition.is_due(LIMITS)


def test_a_rebuilt_partition_has_only_the_rows_that_count(tmp_path: Path) -> None:
    partition = filled(400, tmp_path)
    partition.remove(np.arange(150))
    moment = partition.moment()
    target = sealed_anew(partition, moment, tmp_path)
    assert open_sealed(target).block.ids.tolist() == list(range(150, 400))
    partition.adopt(open_sealed(target), moment)
    assert (len(partition), partition.is_due(LIMITS)) == (250, False)


def test_a_removed_embedding_is_gone_from_the_new_files(tmp_path: Path) -> None:
    partition = filled(400, tmp_path)
    block = open_sealed(partition.folder or tmp_path).block
    secret = block.halves[7].tobytes()
    partition.remove(np.array([7]))
    target = sealed_anew(partition, partition.moment(), tmp_path)
    assert secret in (partition.folder or tmp_path).joinpath("halves").read_bytes()
    assert secret not in (target / "halves").read_bytes()


@pytest.mark.parametrize(("sealed", "tail"), [(0, 100), (400, 100), (1_600, 200), (6_400, 400)])
def test_a_tail_is_due_when_it_is_long_for_what_is_sealed(tmp_path: Path, sealed: int, tail: int) -> None:
    assert LIMITS.tail(sealed) == tail
    partition = filled(sealed, tmp_path) if sealed else Partition(SCALE, DIMENSION)
    embeddings, offsets = random_rows(np.random.default_rng(2), tail), np.zeros(tail, np.float32)
    partition.add(sealed + np.arange(tail - 1), embeddings[1:], offsets[1:])
    assert not partition.is_due(LIMITS)
    partition.add(np.array([sealed + tail]), embeddings[:1], offsets[:1])
    assert partition.is_due(LIMITS)


def test_a_partition_is_due_when_a_restart_would_read_much_again(tmp_path: Path) -> None:
    partition = filled(400, tmp_path)
    partition.passed += 399
    assert not partition.is_due(LIMITS)
    partition.passed += 1
    assert partition.is_due(LIMITS)


def test_all_rows_gone_leave_an_empty_partition(tmp_path: Path) -> None:
    partition = filled(120, tmp_path)
    partition.remove(np.arange(120))
    moment = partition.moment()
    partition.adopt(open_sealed(sealed_anew(partition, moment, tmp_path)), moment)
    assert (len(partition), len(partition.search(np.ones(DIMENSION, np.float32), 5).ids)) == (0, 0)


def test_what_died_or_was_replaced_after_the_moment_stays_so(tmp_path: Path) -> None:
    partition = filled(120, tmp_path)
    moment = partition.moment()
    target = sealed_anew(partition, moment, tmp_path)
    anew = random_rows(np.random.default_rng(7), 1)
    partition.remove(np.array([5]))
    partition.add(np.array([6]), anew, np.zeros(1, np.float32))
    partition.adopt(open_sealed(target), moment)
    assert len(partition) == 119
    found = partition.search(anew[0], 119)
    assert found.ids.tolist().count(6) == 1
    assert 5 not in found.ids
    assert found.cosines[found.ids == 6] == pytest.approx(anew[0] @ anew[0], rel=1e-2)


def test_a_row_that_was_replaced_twice_while_files_were_made_counts_once(tmp_path: Path) -> None:
    partition, random = Partition(SCALE, DIMENSION), np.random.default_rng(2)
    ids, nothing = np.arange(3), np.zeros(3, np.float32)
    partition.add(ids, random_rows(random, 3), nothing)
    moment = partition.moment()
    target = sealed_anew(partition, moment, tmp_path)
    for _ in range(2):
        partition.add(ids, rows := random_rows(random, 3), nothing)
    partition.adopt(open_sealed(target), moment)
    assert len(partition) == 3
    assert partition.search(rows[1], 1).ids.tolist() == [1]
