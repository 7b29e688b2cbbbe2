"""COCO captions 2017: photos with five captions each, official layout (Lin et al. 2014, Chen et al. 2015).

annotations/captions_train2017.json    {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}
annotations/captions_val2017.json
train2017/*.jpg, val2017/*.jpg

The official test photos have no captions: val2017 is the test side. A half without its file or its folder is left
out; of one half alone a hash decides what is the test side.
"""

from __future__ import annotations

import json
from pathlib import Path

from converter.data.listing import Listing, Skipped, Split, join, list_files
from converter.data.tables import read_text
from edge.errors import UsageError

LAYOUT = "the folder of COCO 2017 that holds annotations/, train2017/ and val2017/"
SIDES: dict[str, Split] = {"train2017": "train", "val2017": "test"}


def list_coco(folder: Path) -> Listing:
    """The photos of both halves. Raises UsageError."""
    files = {half: folder / "annotations" / f"captions_{half}.json" for half in SIDES}
    found = [half for half, file in files.items() if file.is_file() and (folder / half).is_dir()]
    if not found:
        raise UsageError(f"{folder} has neither half of {' and '.join(SIDES)} with its captions: give {LAYOUT}")
    lost = tuple(Skipped(half, "without its folder or its captions") for half in SIDES if half not in found)
    splits = SIDES if len(found) == len(SIDES) else {}
    return join([*(_half(folder / half, files[half], splits.get(half)) for half in found), Listing((), lost)])


def _half(photos: Path, file: Path, split: Split | None) -> Listing:
    try:
        told = json.loads(read_text(file, LAYOUT))
        names: dict[int, str] = {image["id"]: str(image["file_name"]) for image in told["images"]}
        captions = [(note["image_id"], str(note["caption"])) for note in told["annotations"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f'{file} is not in the format of COCO captions ({type(error).__name__}: {error}): it must hold "images"'
            ' with id and file_name, and "annotations" with image_id and caption'
        ) from None
    texts: dict[str, list[str]] = {name: [] for name in names.values()}
    for image, caption in captions:
        if image in names:
            texts[names[image]].append(caption)
    lost = sorted({image for image, _ in captions if image not in names})
    listing = list_files(photos, texts, split)
    return Listing(listing.items, (*listing.skipped, *(Skipped(f"image {n}", f"not in {file.name}") for n in lost)))
