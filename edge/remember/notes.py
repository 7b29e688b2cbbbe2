"""Notes go up the text tower, all of it, one by one: there is no exit to choose, and a question's pass is one, too."""

from __future__ import annotations

from collections.abc import Iterable

from edge.bank import Banks
from edge.remember.elevator import Left
from edge.runtime import Activation, TowerRunner, read_note


class Notes:
    """The text tower, for items. Holds no state."""

    def __init__(self, tower: TowerRunner, banks: Banks) -> None:
        self._tower, self._banks = tower, banks
        self._last = tower.spec.exits[-1]

    def start(self, content: bytes) -> Activation:
        """A note before the first segment; what the tower has no tokens for is cut off. Raises UnreadableItemError."""
        return self._tower.start_texts([read_note(content)])

    def ride(self, arrived: Iterable[Activation]) -> list[Left]:
        """N notes before the first segment, one each -> the same at the end."""
        return [self._leave(place, one) for place, one in enumerate(arrived)]

    def _leave(self, place: int, arrived: Activation) -> Left:
        activation = self._tower.advance(arrived, self._last.segment)
        embeddings = self._tower.embed(activation, self._last)
        (offset,) = self._banks.offsets(embeddings, self._last).tolist()
        return Left(place, self._last, embeddings[0], offset, activation)
