"""How many items a segment call may take: few enough that a question which comes meanwhile does not wait long.

What a call takes is learnt from the calls before it, and so follows a board that grows hot and slow.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.bundle import Model

CALL_MS = 80.0  # a question may wait 100: the rest is for calls that take longer than the ones before them
WORK_BYTES = 4 << 20  # of its tensors, estimated: ViT-Tiny takes 1 % longer an item at 2 a call than at 1, 37 % at 32
_WEIGHT = 0.25  # of the newest call: one that others disturbed is forgotten after ten, one slower board seen in three


class Pace:
    """Learns in one thread, answers in any.

    item_bytes: what the tensors of a call take for each item, see edge.runtime.footprint; a model that is not listed
                is limited by its time alone
    """

    def __init__(self, item_bytes: Mapping[Model, int]) -> None:
        self._most = {model: max(1, WORK_BYTES // size) for model, size in item_bytes.items()}
        self._item_ms: dict[Model, float] = {}

    def learn(self, model: Model, items: int, took_ms: float) -> None:
        """A call of `model` on so many items took so long."""
        item_ms = took_ms / items
        known = self._item_ms.get(model, item_ms)
        self._item_ms[model] = known + _WEIGHT * (item_ms - known)

    def knows(self, model: Model) -> bool:
        """Whether a call of it was seen."""
        return model in self._item_ms

    def item_ms(self, model: Model) -> float:
        """What a call of it takes for each item, as far as is known; 0 when none was seen."""
        return self._item_ms.get(model, 0.0)

    def share(self, model: Model, items: int) -> int:
        """How many of `items` the next call takes: all, or an equal part of them. One alone, when nothing is known."""
        if model not in self._item_ms:
            return 1
        most = min(self._most.get(model, items), int(CALL_MS / max(self._item_ms[model], 1e-3)))
        return _equal_part(items, max(1, most))


def _equal_part(items: int, most: int) -> int:
    """Equal, since an interpreter plans its memory anew whenever the number of items changes."""
    calls = -(-items // most)
    return -(-items // calls)
