"""Which side an item is on, for good: fixed by a hash of the item, whatever else is there and whatever the seed.

The three sides are `train` (healing and heads learn from it), `held` (labels, predictor and calibration do; healing
never sees it) and `test`.

1. An item's role follows from its key alone, the SHA-256 of its bytes (of its group's name, where items must stay
   together), and from its official split. So adding an item never moves another.
2. What would be on two sides after that stays on the one that comes first in `test`, `held`, `train`, and is taken
   from the others: an item with the same bytes or the same decoded pixels (near-duplicates are not looked for), and a
   caption in the same words. The test side stays complete.

Captions are not used to keep items together: "a dog runs through the grass" says seven photos of Flickr8k, and such
captions chain others to one another. Of its 35,000 captions, about a hundred are taken away.
Within the held side, twins in pixels share a fold; equal captions may be in two folds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from converter.data.contents import Content
from converter.data.listing import Listed, Skipped, Split
from edge.items import Floats

Role = Literal["train", "held", "test"]
ROLES: tuple[Role, ...] = ("test", "held", "train")  # who comes first keeps what would be on two sides
TEST = 0.2  # share of the items that are the test side of a data set without an official one


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A usable item on its side; `name`, `source`, `texts` and `classes` as in `Listed`.

    key: 32 bytes that decide its fold
    """

    name: str
    source: Path | Floats
    texts: tuple[str, ...]
    classes: bool
    role: Role
    key: bytes

    def fold(self, folds: int) -> int:
        """Which of `folds` parts the item is in, from 0, whatever its role; with few groups a part may be empty."""
        return int(_draw(self.key, "fold") * folds)


@dataclass(frozen=True, slots=True)
class Sides:
    """Items in the order in which they came, what had to go, and how many captions went without their item."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    texts_taken: int


def key_of(listed: Listed, content: Content) -> bytes:
    """What decides the role: SHA-256 of the group's name, else of the item's bytes."""
    return hashlib.sha256(listed.group.encode()).digest() if listed.group else content.digest


def role_of(key: bytes, split: Split | None, held: float) -> Role:
    """The side of an item; of the official train side, or of all that is not test, the share `held` is held out."""
    if split == "test" or (split is None and _draw(key, "test") < TEST):
        return "test"
    # Of the 6,000 train photos of Flickr8k .25 gives 1,503.
    if split == "validation" or _draw(key, "held") < held:
        return "held"
    return "train"


def take_sides(found: Sequence[tuple[Listed, Content]], held: float) -> Sides:
    """Give every item its role, then take away what is on two sides."""
    placed = [_place(listed, content, held) for listed, content in found]
    twins = _first_sides((content.decoded, item.role) for item, (_, content) in zip(placed, found, strict=True))
    keys = _fold_keys(placed, found)
    items, skipped = [], []
    for item, (_, content) in zip(placed, found, strict=True):
        if item.role == twins[content.decoded]:
            items.append(replace(item, key=keys.get((item.role, content.decoded), item.key)))
        else:
            skipped.append(Skipped(item.name, f"the same content is on the {twins[content.decoded]} side"))
    return _without_shared_texts(items, skipped)


def same_words(text: str) -> str:
    """What two captions must share to count as the same: their words, without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()


def _draw(key: bytes, what: str) -> float:
    """From 0 up to 1, uniform over keys, independent for each `what`."""
    return int.from_bytes(hashlib.sha256(what.encode() + key).digest()[:6], "big") / 2**48


def _place(listed: Listed, content: Content, held: float) -> Item:
    key = key_of(listed, content)
    return Item(
        name=listed.name,
        source=listed.source,
        texts=listed.texts,
        classes=listed.classes,
        role=role_of(key, listed.split, held),
        key=key,
    )


def _first_sides(occurrences: Iterable[tuple[bytes | str, Role]]) -> dict[bytes | str, Role]:
    """For everything that occurs, the first in `ROLES` of the sides where it does."""
    first: dict[bytes | str, Role] = {}
    for what, role in occurrences:
        first[what] = min(first.get(what, role), role, key=ROLES.index)
    return first


def _fold_keys(placed: Sequence[Item], found: Sequence[tuple[Listed, Content]]) -> dict[tuple[Role, bytes], bytes]:
    """The smallest key among twins on one side; groups keep their own."""
    keys: dict[tuple[Role, bytes], bytes] = {}
    for item, (listed, content) in zip(placed, found, strict=True):
        if not listed.group:
            place = item.role, content.decoded
            keys[place] = min(keys.get(place, item.key), item.key)
    return keys


def _without_shared_texts(items: Sequence[Item], skipped: list[Skipped]) -> Sides:
    sides = _first_sides((same_words(text), item.role) for item in items if not item.classes for text in item.texts)
    kept, taken = [], 0
    for item in items:
        texts = tuple(text for text in item.texts if item.classes or sides[same_words(text)] == item.role)
        if item.texts and not texts:
            skipped.append(Skipped(item.name, f"its texts are all on the {sides[same_words(item.texts[0])]} side"))
            continue
        taken += len(item.texts) - len(texts)
        kept.append(replace(item, texts=texts))
    return Sides(tuple(kept), tuple(skipped), taken)
