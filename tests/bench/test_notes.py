"""The benchmark of photos and notes: its merge by hand, and its rows on the shipped pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench.notes import LIMIT, Row, by_cosine, main, measure, table
from edge.demo import DEMO_BUNDLE
from edge.items import Hit, Item
from edge.pairs import Pair

CAPTIONS = {
    "golden-retriever.jpg": ("a dog with its tongue out", "A golden dog shows its tongue."),
    "sushi-rolls.jpg": ("sushi on a plate", "Sushi rolls lie on a plate."),
    "sunflower.jpg": ("a yellow flower", "A yellow sunflower."),
}


def hit(score: float) -> Hit:
    item = Item(id=1, digest=b"", modality="text", source="", bytes=1, added_at=0.0, taken_at=None)
    return Hit(item, 6, score)


def test_merge_by_cosine_takes_the_highest_scores_of_both() -> None:
    photos, notes = [hit(0.3), hit(0.1)], [hit(0.9), hit(0.2)]
    assert [one.score for one in by_cosine(photos, notes)] == [0.9, 0.3, 0.2, 0.1]
    assert len(by_cosine([hit(0.5)] * LIMIT, [hit(0.6)])) == LIMIT


def test_photo_and_note_of_each_question_are_looked_for_in_every_way(pictures: list[Path], tmp_path: Path) -> None:
    pairs = [Pair(path, CAPTIONS[path.name]) for path in pictures if path.name in CAPTIONS]
    alone, notes, merged, cosine = measure(DEMO_BUNDLE, pairs, tmp_path)
    assert (alone.note, notes.photo) == (None, None)
    assert (alone.photo, notes.note) == ((1.0, 1.0), (1.0, 1.0))
    for row in (merged, cosine):  # six items have room in ten
        assert row.photo is not None
        assert row.note is not None
        assert (row.photo[1], row.note[1]) == (1.0, 1.0)
        assert row.photo[0] + row.note[0] == pytest.approx(1.0)  # only one is first


def test_table_leaves_out_what_was_not_asked() -> None:
    assert table([Row("photos alone", (0.25, 0.5), None)]).splitlines()[2] == "| photos alone | 0.250 0.500 |  |"


def test_data_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("edge.bench.notes: ")
