"""Tiny data sets in the official layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny_data import picture, sound, write, write_table


@pytest.fixture
def flickr8k_layout(tmp_path: Path) -> Path:
    """40 train and 10 dev photos with two captions each."""
    names = [f"{number:02}.jpg" for number in range(50)]
    folder = write(tmp_path / "f8k", {f"Flicker8k_Dataset/{n}": picture(i, "JPEG") for i, n in enumerate(names)})
    tokens = [f"{name}#{part}\tCaption {part} of {name} .\n" for name in names for part in range(2)]
    (folder / "Flickr8k.token.txt").write_text("".join(tokens), encoding="utf-8")
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:40]), encoding="utf-8")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[40:]), encoding="utf-8")
    return folder


@pytest.fixture
def coco_layout(tmp_path: Path) -> Path:
    """Three train and two val photos."""
    folder = tmp_path / "coco"
    for half, numbers in (("train2017", (9, 25, 30)), ("val2017", (139, 285))):
        write(folder / half, {f"{number:012}.jpg": picture(number, "JPEG") for number in numbers})
        told = {
            "info": {"year": 2017},
            "images": [{"id": number, "file_name": f"{number:012}.jpg", "height": 6} for number in numbers],
            "annotations": [
                {"image_id": number, "id": 10 * number + part, "caption": f"Photo {number}, told {part}"}
                for part in range(2)
                for number in numbers
            ],
        }
        write(folder / "annotations", {f"captions_{half}.json": json.dumps(told).encode()})
    return folder


@pytest.fixture
def clotho_layout(tmp_path: Path) -> Path:
    """Two sounds a part."""
    folder = tmp_path / "clotho"
    for start, part in enumerate(("development", "validation", "evaluation")):
        names = [f"Rain {part} {number}.wav" for number in range(2)]
        write(folder / part, {name: sound(10 * start + number) for number, name in enumerate(names)})
        rows = [[name, *(f"Rain falls on {name}, {told}" for told in range(5))] for name in names]
        header = ["file_name", *(f"caption_{number}" for number in range(1, 6))]
        write_table(folder / f"clotho_captions_{part}.csv", header, *rows)
    return folder
