"""What a recipe says of the files that a tower becomes."""

from __future__ import annotations

from dataclasses import dataclass

from converter.recipe.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecipe:
    """How the item tower is cut.

    layers_per_segment: the most that a segment has: further ends lie between those at exits, cuts and the end of the
                        tower; 0 puts none there. A device that streams its weights holds two segments at a time: fewer
                        layers take less memory, and more calls
    """

    layers_per_segment: int = 0

    def __post_init__(self) -> None:
        most = self.layers_per_segment
        require((most >= 0, f"layers_per_segment is {most}: must be 0 or more"))
