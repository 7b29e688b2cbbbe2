"""The readers of published layouts, each on a tiny data set in its layout."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from converter.data.clotho import list_clotho
from converter.data.coco import list_coco
from converter.data.flickr8k import list_flickr8k
from converter.data.folder import SUFFIXES, list_folder
from converter.data.listing import Listed, Skipped
from converter.data.memes import list_memes
from edge.adding import SUFFIXES as ADDED
from edge.errors import UsageError
from tiny_data import picture, write, write_table


def test_flickr8k_dev_is_the_test_side(flickr8k_layout: Path) -> None:
    items = list_flickr8k(flickr8k_layout).items
    assert [item.split for item in items] == ["train"] * 40 + ["test"] * 10
    assert items[40].texts == ("Caption 0 of 40.jpg .", "Caption 1 of 40.jpg .")
    assert items[40].source == flickr8k_layout / "Flicker8k_Dataset" / "40.jpg"


def test_flickr8k_name_without_a_photo_is_counted(flickr8k_layout: Path) -> None:
    (flickr8k_layout / "Flicker8k_Dataset" / "07.jpg").unlink()
    assert list_flickr8k(flickr8k_layout).skipped == (Skipped("07.jpg", "without its photo or its captions"),)


def test_coco_val_is_the_test_side(coco_layout: Path) -> None:
    listing = list_coco(coco_layout)
    assert [(item.name, item.split) for item in listing.items] == [
        ("000000000009.jpg", "train"),
        ("000000000025.jpg", "train"),
        ("000000000030.jpg", "train"),
        ("000000000139.jpg", "test"),
        ("000000000285.jpg", "test"),
    ]
    assert listing.items[3].texts == ("Photo 139, told 0", "Photo 139, told 1")
    assert listing.skipped == ()


@pytest.mark.parametrize("half", ["train2017", "val2017"])
def test_coco_half_alone_is_split_by_the_hash_and_the_other_half_is_named(coco_layout: Path, half: str) -> None:
    shutil.rmtree(coco_layout / half)
    listing = list_coco(coco_layout)
    assert {item.split for item in listing.items} == {None}
    assert listing.skipped == (Skipped(half, "without its folder or its captions"),)


def test_coco_captions_of_no_photo_and_photos_without_captions_are_counted(coco_layout: Path) -> None:
    file = coco_layout / "annotations" / "captions_val2017.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    for note in told["annotations"]:
        note["image_id"] = 7 if note["image_id"] == 139 else note["image_id"]
    file.write_text(json.dumps(told), encoding="utf-8")
    assert list_coco(coco_layout).skipped == (
        Skipped("000000000139.jpg", "without a text"),
        Skipped("image 7", "not in captions_val2017.json"),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "TypeError: list indices must be integers or slices, not str"),
        ('{"images": []}', "KeyError: 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError: 'file_name'"),
        ('{"images": [{"id": [], "file_name": ""}], "annotations": []}', "TypeError: "),
    ],
)
def test_coco_captions_in_another_format_are_refused(coco_layout: Path, text: str, why: str) -> None:
    file = coco_layout / "annotations" / "captions_train2017.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        list_coco(coco_layout)
    assert str(caught.value).startswith(f"{file} is not in the format of COCO captions ({why}")
    assert str(caught.value).endswith(
        '): it must hold "images" with id and file_name, and "annotations" with image_id and caption'
    )


def test_folder_of_another_layout_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        list_coco(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has neither half of train2017 and val2017 with its captions:"
        " give the folder of COCO 2017 that holds annotations/, train2017/ and val2017/"
    )
    with pytest.raises(UsageError) as caught:
        list_clotho(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has none of development, validation, evaluation with its captions:"
        " give the folder of Clotho that holds clotho_captions_development.csv and development/"
    )


def test_clotho_parts_are_train_validation_and_test(clotho_layout: Path) -> None:
    items = list_clotho(clotho_layout).items
    assert [item.split for item in items] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert items[5].source == clotho_layout / "evaluation" / "Rain evaluation 1.wav"
    assert items[5].texts[4] == "Rain falls on Rain evaluation 1.wav, 4"
    assert {len(item.texts) for item in items} == {5}


@pytest.mark.parametrize("part", ["development", "evaluation"])
def test_clotho_without_a_part_to_learn_from_or_to_test_is_split_by_the_hash(clotho_layout: Path, part: str) -> None:
    shutil.rmtree(clotho_layout / part)
    listing = list_clotho(clotho_layout)
    assert [item.split for item in listing.items] == [None] * 4
    assert listing.skipped == (Skipped(part, "without its folder or its captions"),)


def test_clotho_rows_without_a_sound_are_counted(clotho_layout: Path) -> None:
    (clotho_layout / "validation" / "Rain validation 0.wav").unlink()
    with (clotho_layout / "clotho_captions_validation.csv").open("a", encoding="utf-8") as table:
        table.write(",who,knows,what,this,was\n")
    assert list_clotho(clotho_layout).skipped == (
        Skipped("Rain validation 0.wav", f"not in {clotho_layout / 'validation'}"),
        Skipped("clotho_captions_validation.csv line 4", "without a file_name"),
    )


def test_clotho_table_without_its_columns_is_refused(clotho_layout: Path) -> None:
    table = write_table(clotho_layout / "clotho_captions_validation.csv", ["file_name", "caption_1"], ["a.wav", "Rain"])
    with pytest.raises(UsageError) as caught:
        list_clotho(clotho_layout)
    assert str(caught.value) == (
        f"{table} has no column caption_2 and no column caption_3 and no column caption_4 and no column caption_5;"
        " its header is 'file_name,caption_1':"
        " give the folder of Clotho that holds clotho_captions_development.csv and development/"
    )


def test_memes_in_the_layout_of_memotion_have_the_corrected_words(tmp_path: Path) -> None:
    write(tmp_path, {"images/image_1.jpg": picture(1), "images/image_2.jpeg": picture(2)})
    header = ["", "image_name", "text_ocr", "text_corrected", "humour"]
    rows = [
        ["0", "image_1.jpg", "LOOK THERE", "LOOK\nTHERE MY\nFRIEND", "funny"],
        ["1", "image_2.jpeg", "x", "", "not"],
    ]
    write_table(tmp_path / "labels.csv", header, *rows)
    listing = list_memes(tmp_path)
    assert listing.items == (
        Listed(name="image_1.jpg", source=tmp_path / "images" / "image_1.jpg", texts=("LOOK THERE MY FRIEND",)),
    )
    assert listing.skipped == (Skipped("image_2.jpeg", "without a text"),)


def test_memes_with_titles_and_captions_have_both_and_may_lie_beside_the_table(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": picture(1)})
    rows = [["Monday", "a.png", "a cat in a tie"], ["Monday again", "a.png", ""], ["lost", "", "what was this"]]
    table = write_table(tmp_path / "memes.csv", ["title", "filename", "caption"], *rows)
    listing = list_memes(table)
    assert [item.texts for item in listing.items] == [("Monday", "a cat in a tie", "Monday again")]
    assert listing.skipped == (Skipped("memes.csv line 4", "without filename"),)


def test_memes_without_known_columns_are_refused_with_those_that_are(tmp_path: Path) -> None:
    table = write_table(tmp_path / "memes.csv", ["picture_of", "image"], ["a cat", "a.png"])
    with pytest.raises(UsageError) as caught:
        list_memes(tmp_path)
    assert str(caught.value) == (
        f"{table} has the columns 'picture_of,image': one of image_name, image, img, filename, file_name, file"
        " must name the picture, and one of text_corrected, text_ocr, text, ocr, title, caption hold its text"
    )


def test_memes_in_a_folder_with_two_tables_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": b"", "b.csv": b""})
    expected = f"{tmp_path} has 2 .csv tables: it must have one, or name the table itself"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        list_memes(tmp_path)


def test_folder_gives_every_picture_below_it_without_a_text(tmp_path: Path) -> None:
    write(tmp_path, {"b.png": picture(1), "2024/May/a.JPG": picture(2), "2024/notes.txt": b"nice trip"})
    listing = list_folder(tmp_path)
    assert listing.items == (
        Listed(name="2024/May/a.JPG", source=tmp_path / "2024" / "May" / "a.JPG"),
        Listed(name="b.png", source=tmp_path / "b.png"),
    )
    assert listing.skipped == (Skipped("2024/notes.txt", "not named like a picture"),)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": b"nice trip"})
    with pytest.raises(UsageError, match=r"holds no pictures \(\.bmp, \.gif, \.jpeg, \.jpg, \.png, "):
        list_folder(tmp_path)


def test_folder_knows_pictures_by_the_same_names_as_the_device() -> None:
    assert SUFFIXES == ADDED
