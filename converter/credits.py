"""Whose work a bundle is made of."""

from __future__ import annotations

from converter.recipe import DistilledHeads, Recipe
from converter.towers.tower import Origin

_CLASS_TEXTS = (
    "Class texts: WordNet 3.0 (WordNet licence) and torchvision 0.28.0 (BSD-3-Clause), see converter/data/CREDITS.md"
)
_DATA = {
    "flickr8k": "Heads learnt from {items:,} train photos of Flickr8k and their captions (M. Hodosh, P. Young, J."
    " Hockenmaier, JAIR 47, 2013: Framing Image Description as a Ranking Task); photos belong to their"
    " Flickr users; research use",
    "demo": "Heads learnt from the pictures of edge/demo/pictures, see CREDITS.md there",
    "none": "",
}
_FREE = {"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0"}  # model cards do not keep to the case of SPDX


def attribution(recipe: Recipe, origins: tuple[Origin, ...], items: int) -> tuple[str, ...]:
    """Weights and data that went into the bundle, with their licences; `items`: how many were learnt from."""
    lines = [origin.credit for origin in dict.fromkeys(origins)]
    if isinstance(recipe.heads, DistilledHeads):
        lines.append(_CLASS_TEXTS)
    told = _DATA.get(recipe.data.kind, "Learnt from {items:,} items of the kind " + recipe.data.kind)
    lines.append(told.format(items=items))
    if recipe.data.credit:
        lines.append(recipe.data.credit)
    return tuple(line for line in lines if line)


def licence(origins: tuple[Origin, ...]) -> str:
    """SPDX id of the bundle: Apache-2.0 where all weights are free to be part of it, "unknown" where one is unknown."""
    others = [origin.licence for origin in origins if origin.licence.casefold() not in _FREE]
    return min(others, key=lambda one: one != "unknown", default="Apache-2.0")
