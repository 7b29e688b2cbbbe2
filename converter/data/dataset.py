"""From a recipe and a folder to items that can be decoded, each on its side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from converter.data.clotho import list_clotho
from converter.data.coco import list_coco
from converter.data.contents import MOTION, SOUNDS, Content, examine
from converter.data.flickr8k import list_flickr8k
from converter.data.folder import list_folder
from converter.data.listing import Listed, Listing, Skipped
from converter.data.memes import list_memes
from converter.data.pairs import list_pairs
from converter.data.sides import ROLES, Item, Role, take_sides
from converter.data.uci_har import list_uci_har
from converter.recipe import DataRecipe
from edge.demo import DEMO_PICTURES
from edge.errors import UnreadableItemError, UsageError

LEAST = 200  # usable items; fewer give a split whose figures say nothing
READERS: dict[str, Callable[[Path], Listing]] = {
    "clotho": list_clotho,
    "coco": list_coco,
    "flickr8k": list_flickr8k,
    "folder": list_folder,
    "memes": list_memes,
    "pairs": list_pairs,
    "uci-har": list_uci_har,
}
SENSED = {"clotho": SOUNDS, "uci-har": MOTION}  # of one modality by their layout, which is known before they are read
Bar = Callable[[int, str], AbstractContextManager[Callable[[int], object]]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Usable items in the order of their data set, everything that was left out, and the captions taken from items.

    texts_taken: captions that another side has too (`converter/data/sides.py`)
    """

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    texts_taken: int = 0

    def side(self, role: Role) -> tuple[Item, ...]:
        """The items on one side."""
        return tuple(item for item in self.items if item.role == role)


@contextlib.contextmanager
def no_bar(_total: int, _unit: str) -> Iterator[Callable[[int], object]]:
    """Progress that nobody watches."""
    yield lambda _done: None


def open_data(recipe: DataRecipe, path: Path | None, least: int = LEAST, bar: Bar = no_bar) -> Dataset:
    """Read, decode and split the data that a recipe asks for; "none" has no items, "demo" has fewer than `least`.

    bar: `Console.bar`. Raises UsageError when the layout is another one, too few items are usable or a side is empty.
    """
    if recipe.kind == "none":
        return Dataset(())
    listing = _listing(recipe, path)
    unreadable: list[Skipped] = []
    with bar(len(listing.items), "items") as tick:
        found = list(_readable(listing.items, unreadable, tick))
    sides = take_sides(found, recipe.held)
    data = Dataset(sides.items, (*listing.skipped, *unreadable, *sides.skipped), sides.texts_taken)
    if recipe.kind != "demo":
        _require_enough(data, path, least)
    return data


def _listing(recipe: DataRecipe, path: Path | None) -> Listing:
    if recipe.kind == "demo":
        return Listing(list_folder(DEMO_PICTURES).items)  # beside them lie their credits alone
    if path is None:
        raise UsageError(f"the recipe learns from data of the kind {recipe.kind}: name their folder with --data")
    if not path.exists():
        raise UsageError(f"{path} is not there: name the folder of the {recipe.kind} data with --data")
    return READERS[recipe.kind](path)


def _readable(
    items: Sequence[Listed], unreadable: list[Skipped], tick: Callable[[int], object]
) -> Iterator[tuple[Listed, Content]]:
    for item in items:
        try:
            yield item, examine(item.source)
        except UnreadableItemError as error:
            unreadable.append(Skipped(item.name, str(error)))
        tick(1)


def _require_enough(data: Dataset, path: Path | None, least: int) -> None:
    if len(data.items) < least:
        first = "".join(
            f"; the first of {len(data.skipped)} left out is {s.name}: {s.reason}" for s in data.skipped[:1]
        )
        raise UsageError(f"{path} has {len(data.items)} usable items: {least} are needed{first}")
    if empty := [role for role in ROLES if not data.side(role)]:
        raise UsageError(f"{path} has no items on the {' and '.join(empty)} side: see its official splits")
