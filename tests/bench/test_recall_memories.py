"""The memories of `bench recall`: what they keep, the distractors in them, and that asking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bank import Banks
from edge.bench.recall.asking import Ask, Directly
from edge.bench.recall.crowd import SOURCE, Cloud, arrival, grow, lender
from edge.bench.recall.device import POOL, Device, Job, Kept, Towers, open_device, open_towers
from edge.bench.recall.filling import cost_of, fill, fixed_exits, mixed_shares, place_for
from edge.bundle import Bundle, Exit
from edge.config import Config, RememberConfig, RuntimeConfig
from edge.items import Embedded
from edge.memory import Memory
from edge.pairs import Pair

CONFIG = Config(runtime=RuntimeConfig(threads=1), remember=RememberConfig(batch=8))
PHOTOS = 10


@pytest.fixture(scope="module")
def towers(bundle: Bundle) -> Iterator[Towers]:
    with open_towers(bundle, CONFIG) as towers:
        yield towers


@pytest.fixture
def pairs(pictures: list[Path]) -> list[Pair]:
    return [Pair(path, (path.stem.replace("-", " "),)) for path in pictures[:PHOTOS]]


def job(bundle: Bundle, state: Path, kept: Kept) -> Job:
    shares = (0.5, 0.5, 0.0, 0.0)
    return Job(kept=kept, folder=state, bundle=bundle.folder, config=CONFIG, shares=shares, photos=PHOTOS)


@pytest.fixture
def mixed(bundle: Bundle, state: Path, towers: Towers) -> Iterator[Device]:
    with open_device(job(bundle, state, "mixed"), towers) as device:
        yield device


def test_samples_are_spread_like_what_they_were_fitted_on() -> None:
    chance = np.random.default_rng(0)
    axes = np.array([[0.3, 0.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.2]], dtype=np.float32)
    points = np.array([5.0, 0.0, 0.0], dtype=np.float32) + chance.standard_normal((4_000, 3), dtype=np.float32) @ axes
    real = points / np.linalg.norm(points, axis=1, keepdims=True)
    drawn = Cloud.of(real).sample(4_000, chance)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(4_000), abs=1e-5)
    assert drawn.mean(0) == pytest.approx(real.mean(0), abs=0.05)
    assert drawn.std(0) == pytest.approx(real.std(0), abs=0.03)
    mine, theirs = (np.cov(points.T).tolist()[1][2] for points in (drawn, real))
    assert mine == pytest.approx(theirs, rel=0.1)


def test_two_photos_are_enough_for_a_cloud() -> None:
    drawn = Cloud.of(np.eye(2, 8, dtype=np.float32)).sample(5, np.random.default_rng(0))
    assert np.isfinite(drawn).all()


@pytest.fixture
def clouds(bundle: Bundle) -> dict[int, Cloud]:
    exits, wide = bundle.manifest.tower("image").exits, bundle.manifest.dimension
    return {place.depth: Cloud.of(np.eye(4, wide, dtype=np.float32)) for place in exits}


@pytest.fixture
def exits(bundle: Bundle) -> tuple[Exit, ...]:
    return bundle.manifest.tower("image").exits


def test_a_memory_grows_to_its_size_and_distractors_lie_where_their_lender_does(
    mixed: Device, towers: Towers, pairs: list[Pair], clouds: dict[int, Cloud], exits: tuple[Exit, ...]
) -> None:
    fill(mixed, towers.text, pairs)
    for size in (25, 40):
        grow(mixed.memory, size, PHOTOS, clouds, exits, towers.banks)
        assert mixed.memory.tally.items == size
        assert mixed.memory.tally.waiting == 0
    depths = {item: part.depth for part in mixed.memory.partitions() for item in part.ids.tolist()}
    assert len(set(depths.values())) == 2
    assert all(depths[item] == depths[lender(item, PHOTOS)] for item in range(PHOTOS + 1, 41))
    assert mixed.memory.item(PHOTOS + 1).source == SOURCE


def test_offsets_of_distractors_are_those_of_the_bank(
    memory: Memory, banks: Banks, clouds: dict[int, Cloud], exits: tuple[Exit, ...], pairs: list[Pair]
) -> None:
    wide = len(clouds[exits[0].depth].mean)
    memory.accept([arrival(pairs[0].photo)])
    memory.index([Embedded(item=1, depth=exits[0].depth, embedding=np.eye(1, wide, dtype=np.float32)[0])])
    grow(memory, 5, 1, clouds, exits, banks)
    (part,) = memory.partitions()
    assert part.offsets[1:] == pytest.approx(banks.offsets(part.embeddings[1:], exits[0]), abs=0.05)  # float16 rows
    assert part.offsets[1:].any()


def test_asking_leaves_the_memory_as_it_is(mixed: Device, towers: Towers, pairs: list[Pair], state: Path) -> None:
    fill(mixed, towers.text, pairs)
    before, files = mixed.memory.tally.exits, sorted((state / "activations").rglob("*.*"))
    first = Directly().ask(mixed, Ask("a dog", POOL))
    assert first.refined == PHOTOS
    assert Directly().ask(mixed, Ask("a dog", POOL)).items == first.items
    assert mixed.memory.tally.exits == before
    assert sorted((state / "activations").rglob("*.*")) == files
    assert Directly().ask(mixed, Ask("a dog", 0)).refined == 0


def test_distractors_are_finished_from_the_activation_that_is_lent(
    mixed: Device, towers: Towers, pairs: list[Pair], clouds: dict[int, Cloud], exits: tuple[Exit, ...]
) -> None:
    fill(mixed, towers.text, pairs)
    grow(mixed.memory, 3 * PHOTOS, PHOTOS, clouds, exits, towers.banks)
    assert Directly().ask(mixed, Ask("a dog", POOL)).refined == 3 * PHOTOS


def test_stored_photos_are_in_order_and_finished_as_full_depth_has_them(
    bundle: Bundle, tmp_path: Path, towers: Towers, pairs: list[Pair]
) -> None:
    kept: dict[Kept, list[np.ndarray]] = {}
    names: tuple[Kept, ...] = ("full", "mixed", "default")
    for name in names:
        with open_device(job(bundle, tmp_path / name, name), towers) as device:
            stored, took_s = fill(device, towers.text, pairs)
        assert took_s > 0
        kept[name] = [stored.fine, stored.embeddings, stored.depths]
    fine, coarse, depths = kept["full"]
    assert set(depths.tolist()) == {16}
    assert np.array_equal(fine, coarse)
    assert len(set(kept["mixed"][2].tolist())) == 2
    cosines = np.einsum("nd,nd->n", kept["mixed"][0], fine)
    assert cosines.min() > 0.98  # INT4 on the way
    assert np.einsum("nd,nd->n", kept["mixed"][1], fine).max() < cosines.min()


def test_mixed_exits_are_those_of_the_cheapest_setting_that_mixes(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("image")
    assert tower.policies
    shares = mixed_shares(tower)
    assert sum(share >= 0.1 for share in shares) >= 3
    assert mixed_shares(replace(tower, policies=None)) == (0.25, 0.25, 0.25, 0.25)
    others = replace(tower.policies, settings=tower.policies.settings[:4], default="fixed")  # each leaves at one exit
    assert mixed_shares(replace(tower, policies=others)) == (0.25, 0.25, 0.25, 0.25)


def test_fixed_exits_are_the_first_and_the_one_of_like_cost(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("image")
    costs = [place.cost or 0 for place in tower.exits]
    assert fixed_exits(tower, costs[2] + 0.01) == {"first": (1, 0, 0, 0), "equal": (0, 0, 1, 0)}
    assert fixed_exits(tower, costs[0] - 0.1) == {"equal": (1, 0, 0, 0)}


def test_cost_is_the_mean_over_the_exits(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("image")
    assert tower.exits[0].cost
    assert cost_of(tower, {8: 0.5, 16: 0.5}) == pytest.approx((tower.exits[0].cost + 1) / 2)


def test_memories_that_have_no_room_in_ram_lie_where_temporary_files_do() -> None:
    assert place_for(10**12) is None
