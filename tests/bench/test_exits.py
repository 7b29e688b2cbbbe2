"""The exit benchmark: its arithmetic on scores made by hand, and the bundle's figures on published photos."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge.bench.exits import MISSED, POOL, ExitFigures, finish, main, measure, rank_of_own, recall, table
from edge.bundle import Bundle
from edge.items import Floats
from edge.pairs import Pair, read_flickr8k

CAPTIONS = {
    "golden-retriever.jpg": ("a dog with its tongue out", "a golden dog"),
    "sushi-rolls.jpg": ("sushi on a plate", "food from Japan"),
    "sunflower.jpg": ("a yellow flower",),
    "white-sports-car.jpg": ("a car on a race track", "a white car", "fast car"),
}


def scores(*rows: list[float]) -> Floats:
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def pairs(pictures: list[Path]) -> list[Pair]:
    return [Pair(path, CAPTIONS[path.name]) for path in pictures if path.name in CAPTIONS]


def test_rank_counts_the_photos_before_ones_own() -> None:
    three = scores([0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.9, 0.1, 0.5])
    assert rank_of_own(three, np.array([0, 1, 2])).tolist() == [0, 2, 1]


def test_equal_scores_count_against_the_query() -> None:
    assert rank_of_own(scores([0.5, 0.5, 0.5], [0.5, 0.5, 0.1]), np.array([0, 1])).tolist() == [2, 1]
    constant = np.zeros((100, 100), dtype=np.float32)  # a tower that gives the same embedding to everything
    assert recall(rank_of_own(constant, np.arange(100))) == (0, 0, 0)


def test_photo_that_can_no_longer_be_found_is_missed() -> None:
    lost = scores([0.5, -np.inf, -np.inf], [-np.inf, -np.inf, -np.inf])
    assert rank_of_own(lost, np.array([1, 0])).tolist() == [MISSED, MISSED]
    assert recall(np.array([MISSED, 0])) == (0.5, 0.5, 0.5)


def test_recall_is_the_share_of_queries_within_each_cut() -> None:
    assert recall(np.array([0, 1, 4, 5, 9, 10, 99, 0])) == (2 / 8, 4 / 8, 6 / 8)


def test_pool_is_ranked_by_its_fine_scores_and_the_rest_is_lost() -> None:
    photos = POOL + 10
    fine = np.linspace(0, 1, photos, dtype=np.float32)[None]  # the last photo best
    finished = finish(fine, np.arange(POOL)[None])  # the first ones in the pool
    np.testing.assert_array_equal(finished[:, :POOL], fine[:, :POOL])
    assert np.isneginf(finished[:, POOL:]).all()

    def rank(photo: int) -> int:
        return int(rank_of_own(finished, np.array([photo]))[0])

    assert rank(POOL - 1) == 0  # the last one in had the best fine score
    assert rank(0) == POOL - 1
    assert rank(POOL) == MISSED  # the best fine score of all, but never looked at


def test_each_exit_has_its_figures_shallow_to_deep(bundle: Bundle, pairs: list[Pair]) -> None:
    figures = measure(bundle, pairs, threads=2)
    assert [figure.depth for figure in figures] == [place.depth for place in bundle.manifest.tower("image").exits]
    for figure in figures:
        assert figure.alone[2] == 1  # four photos are all among the first ten
        assert figure.finished == figures[-1].alone  # they all fit into the pool, too
    assert figures[-1].alone[0] == 1  # and at full depth each caption finds its own
    milliseconds = [figure.milliseconds for figure in figures]
    assert 0 < milliseconds[0] == min(milliseconds)


def test_each_exit_is_searched_with_the_captions_own_embeddings_for_it(
    bundle: Bundle, granular: Bundle, pictures: list[Path]
) -> None:
    """Heads of their own at the first two exits change what these find, and nothing else."""
    named = [Pair(path, (path.stem.replace("-", " "),)) for path in pictures[:40]]
    before, after = (measure(each, named, threads=1) for each in (bundle, granular))
    changed = [one.alone != other.alone for one, other in zip(before, after, strict=True)]
    assert (changed[:2], any(changed[2:])) == ([True, True], False)
    # The pool holds all photos, whatever order they came in.
    assert [figure.finished for figure in before] == [figure.finished for figure in after]


def test_table_has_a_row_for_each_exit_with_shares_of_the_last(bundle: Bundle) -> None:
    exits = bundle.manifest.tower("image").exits[:2]
    figures = [
        ExitFigures(depth=exits[0].depth, alone=(0.1, 0.2, 0.3), finished=(0.27, 0.5, 0.6), milliseconds=4.0),
        ExitFigures(depth=exits[1].depth, alone=(0.3, 0.5, 0.7), finished=(0.3, 0.5, 0.7), milliseconds=10.0),
    ]
    header, rule, *rows = table(figures, exits, layers=16).splitlines()
    assert {line.count("|") for line in (header, rule, *rows)} == {7}
    first, second = exits[0].depth, exits[1].depth
    assert rows == [
        f"| 0 (depth {first} of 16) | 4.0 | 40% | 0.100 0.200 0.300 | 0.270 0.500 0.600 | 90% |",
        f"| 1 (depth {second} of 16) | 10.0 | 100% | 0.300 0.500 0.700 | 0.300 0.500 0.700 | 100% |",
    ]


def test_folder_without_the_photos_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--photos", str(tmp_path)]) == 2
    said = f"edge.bench.exits: {tmp_path / 'Flickr8k.token.txt'} cannot be read (No such file or directory)"
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("limit", ["0", "-5"])
def test_limit_below_1_is_refused(limit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--photos", str(tmp_path), f"--limit={limit}"])
    assert caught.value.code == 2
    assert f"--limit is {limit}: must be 1 or more" in capsys.readouterr().err


@pytest.mark.data
def test_first_photos_are_measured_and_printed(flickr8k: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--photos", str(flickr8k), "--limit", "5"]) == 0
    title, _, header, _rule, *rows = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\S+, Flickr8k dev, 5 photos, batch 1, \S+, \d+ threads", title)
    assert header.startswith("| exit | ms a photo |")
    assert [row.split(" ")[1] for row in rows] == [str(number) for number in range(len(rows))]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1200)
def test_shipped_bundle_finds_the_photos_that_people_described(flickr8k: Path, bundle: Bundle) -> None:
    pairs = read_flickr8k(flickr8k, "dev")
    assert len(pairs) == 1000
    figures = measure(bundle, pairs, threads=2)
    tower = bundle.manifest.tower("image")
    print(table(figures, tower.exits, tower.layers))  # noqa: T201
    full = figures[-1]
    assert full.alone[2] >= 0.62
    for cut in range(3):
        worth = [figure.alone[cut] for figure in figures]
        assert worth == sorted(set(worth)), "an exit that finds no more than the one before it has no use"
    (default,) = (figure for figure in figures if figure.depth == 11)
    assert default.finished[0] >= 0.9 * full.alone[0]
