"""Data from a recipe and a folder: decoded, split, and refused where they will not do."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from converter.data import Item, Skipped, open_data
from converter.data.dataset import READERS
from converter.data.sides import same_words
from converter.recipe import DataRecipe
from edge.errors import UsageError
from tiny_data import picture, write, write_table

FOLDER = DataRecipe(kind="folder")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """220 pictures."""
    return write(tmp_path / "photos", {f"{number:03}.png": picture(number) for number in range(220)})


def test_pictures_are_decoded_and_put_on_three_sides(photos: Path) -> None:
    data = open_data(FOLDER, photos)
    assert (len(data.items), data.skipped, data.texts_taken) == (220, (), 0)
    sides = [data.side(role) for role in ("train", "held", "test")]
    assert sum(map(len, sides)) == 220
    assert min(map(len, sides)) >= 25
    assert [item.name for item in data.items] == sorted(path.name for path in photos.iterdir())


def test_names_and_other_pictures_do_not_change_the_side(photos: Path) -> None:
    before = {item.source: item.role for item in open_data(FOLDER, photos).items}
    for number in range(200, 220):
        (photos / f"{number}.png").unlink()
    for number in range(200):
        (photos / f"{number:03}.png").rename(photos / f"{999 - number}.png")
    after = {item.name: item.role for item in open_data(FOLDER, photos).items}
    assert after == {f"{999 - number}.png": before[photos / f"{number:03}.png"] for number in range(200)}


def test_corrupt_pictures_are_skipped_counted_and_listed_with_the_reason(photos: Path) -> None:
    whole = (photos / "007.png").read_bytes()
    write(photos, {"007.png": whole[:-40], "008.png": b"", "a.txt": b"notes"})
    data = open_data(FOLDER, photos)
    assert len(data.items) == 218
    (text, cut, empty) = data.skipped
    assert text == Skipped("a.txt", "not named like a picture")
    assert (cut.name, empty.name) == ("007.png", "008.png")
    assert "truncated" in cut.reason
    assert "not a picture of a known kind" in empty.reason


def test_fewer_than_200_usable_items_are_refused_with_how_many_there_are(photos: Path) -> None:
    for number in range(21):
        (photos / f"{number:03}.png").write_bytes(b"?")
    with pytest.raises(UsageError) as caught:
        open_data(FOLDER, photos)
    assert str(caught.value) == (
        f"{photos} has 199 usable items: 200 are needed; the first of 21 left out is 000.png: not a picture of a known"
        " kind (JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM): convert it to JPEG or PNG"
    )
    assert caught.value.exit_code == 2
    assert len(open_data(FOLDER, photos, least=199).items) == 199


def test_captions_that_are_class_names_leave_too_few_and_the_message_shows_why(photos: Path) -> None:
    rows = [[f"{number:03}.png", "a dog"] for number in range(220)]
    table = write_table(photos / "pairs.csv", ["item", "text"], *rows)
    with pytest.raises(UsageError, match=r"000\.png: its texts are all on the test side$"):
        open_data(DataRecipe(kind="pairs"), table)
    write_table(table, ["item", "label"], *rows)
    assert len(open_data(DataRecipe(kind="pairs"), table).items) == 220


def test_side_without_items_is_refused(photos: Path) -> None:
    rows = [[f"{number:03}.png", f"picture {number}", "test"] for number in range(220)]
    table = write_table(photos / "pairs.csv", ["item", "text", "split"], *rows)
    with pytest.raises(
        UsageError, match=r"pairs\.csv has no items on the held and train side: see its official splits$"
    ):
        open_data(DataRecipe(kind="pairs"), table)


def test_flickr8k_in_small_has_its_dev_photos_as_the_test_side(flickr8k_layout: Path) -> None:
    data = open_data(DataRecipe(kind="flickr8k", held=0.5), flickr8k_layout, least=50)
    assert [item.name for item in data.side("test")] == [f"{number}.jpg" for number in range(40, 50)]
    assert {item.name for item in (*data.side("train"), *data.side("held"))} == {f"{n:02}.jpg" for n in range(40)}


def test_clotho_in_small_holds_its_validation_part_out(clotho_layout: Path) -> None:
    for number in range(2, 9):  # more sounds to learn from: the same, with other samples
        source = (clotho_layout / "development" / "Rain development 0.wav").read_bytes()
        write(clotho_layout / "development", {f"{number}.wav": source[:-1] + bytes([number])})
        with (clotho_layout / "clotho_captions_development.csv").open("a", encoding="utf-8") as table:
            table.write(f"{number}.wav,{','.join(f'more rain {number} {told}' for told in range(5))}\n")
    data = open_data(DataRecipe(kind="clotho"), clotho_layout, least=13)
    assert [item.name for item in data.side("test")] == ["Rain evaluation 0.wav", "Rain evaluation 1.wav"]
    assert {"Rain validation 0.wav", "Rain validation 1.wav"} <= {item.name for item in data.side("held")}


def test_coco_in_small_has_its_val_photos_as_the_test_side(coco_layout: Path) -> None:
    with pytest.raises(UsageError, match=r"coco has 5 usable items: 200 are needed$"):
        open_data(DataRecipe(kind="coco"), coco_layout)


def test_demo_pictures_are_enough_although_they_are_few(pictures: list[Path]) -> None:
    data = open_data(DataRecipe(kind="demo"), None)
    assert [item.source for item in data.items] == pictures
    assert not data.skipped


def test_recipe_without_data_has_no_items() -> None:
    assert open_data(DataRecipe(kind="none"), None).items == ()


@pytest.mark.parametrize("kind", sorted(READERS))
def test_folder_that_is_not_named_or_not_there_is_refused_by_every_kind(tmp_path: Path, kind: str) -> None:
    recipe = DataRecipe(kind=kind)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        open_data(recipe, None)
    assert str(caught.value) == f"the recipe learns from data of the kind {kind}: name their folder with --data"
    with pytest.raises(UsageError) as caught:
        open_data(recipe, tmp_path / "none")
    assert str(caught.value) == f"{tmp_path}/none is not there: name the folder of the {kind} data with --data"


@pytest.mark.parametrize("kind", sorted(READERS))
def test_empty_folder_and_a_file_of_another_kind_are_one_usage_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.csv").write_bytes(b"\x00\xff\n")
    for path in (tmp_path / "empty", tmp_path / "file.csv"):
        with pytest.raises(UsageError, match=f"^{path}"):
            open_data(DataRecipe(kind=kind), path)  # type: ignore[arg-type]


def test_bar_is_told_how_many_items_there_are_and_each_one_done(photos: Path) -> None:
    told: list[object] = []

    @contextlib.contextmanager
    def bar(total: int, unit: str) -> Iterator[Callable[[int], object]]:
        told.append((total, unit))
        yield told.append

    (photos / "000.png").write_bytes(b"?")
    open_data(FOLDER, photos, bar=bar)
    assert told == [(220, "items"), *itertools.repeat(1, 220)]


@pytest.mark.data
def test_published_flickr8k_holds_out_1500_train_photos_and_no_caption_is_on_two_sides(flickr8k: Path) -> None:
    data = open_data(DataRecipe(kind="flickr8k"), flickr8k)
    counts = Counter(item.role for item in data.items)
    assert counts == {"train": 4497, "held": 1503, "test": 1000}
    assert not data.skipped
    assert data.texts_taken == 137  # of 35,000
    assert {len(item.texts) for item in data.side("test")} == {5}
    assert min(len(item.texts) for item in data.items) == 3
    words = [
        {same_words(text) for item in data.side(role) for text in item.texts} for role in ("train", "held", "test")
    ]
    assert not any(one & other for one, other in itertools.combinations(words, 2))
    assert min(Counter(item.fold(5) for item in data.side("held")).values()) > 250


@pytest.mark.data
def test_corrupt_photo_among_published_ones_changes_nothing_for_the_others(flickr8k: Path, tmp_path: Path) -> None:
    names = (flickr8k / "Flickr_8k.trainImages.txt").read_text(encoding="utf-8").splitlines()[:200]
    dev = (flickr8k / "Flickr_8k.devImages.txt").read_text(encoding="utf-8").splitlines()[:50]
    write(
        tmp_path, {f"Flicker8k_Dataset/{n}": (flickr8k / "Flicker8k_Dataset" / n).read_bytes() for n in (*names, *dev)}
    )
    shutil.copy(flickr8k / "Flickr8k.token.txt", tmp_path)
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("\n".join(names), encoding="utf-8")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("\n".join(dev), encoding="utf-8")
    before = open_data(DataRecipe(kind="flickr8k"), tmp_path)
    broken = tmp_path / "Flicker8k_Dataset" / names[3]
    broken.write_bytes(broken.read_bytes()[:-500])
    after = open_data(DataRecipe(kind="flickr8k"), tmp_path)
    assert [item.name for item in before.items if item.name != names[3]] == [item.name for item in after.items]
    assert [(skip.name, "truncated" in skip.reason) for skip in after.skipped] == [(names[3], True)]


@pytest.mark.data
def test_published_uci_har_windows_that_overlap_are_on_one_side(uci_har: Path) -> None:
    data = open_data(DataRecipe(kind="uci-har"), uci_har)
    assert len(data.items) == 2400
    assert all(data.side(role) for role in ("train", "held", "test"))
    halves: dict[bytes, set[str]] = {}
    for item in data.items:
        for half in _halves(item):
            halves.setdefault(half, set()).add(item.role)
    assert len(halves) < 2 * 2400  # some do overlap
    assert all(len(sides) == 1 for sides in halves.values())


def _halves(item: Item) -> tuple[bytes, bytes]:
    assert isinstance(item.source, np.ndarray)
    return item.source[:64].tobytes(), item.source[64:].tobytes()
