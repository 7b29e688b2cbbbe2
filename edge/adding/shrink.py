"""Photos that are too large for one message, made smaller: the towers see a few hundred pixels of them anyway."""

from __future__ import annotations

import io
from collections.abc import Iterator

from edge.errors import UnreadableItemError
from edge.runtime import decode_image

_SIDES = (2048, 1024, 512, 384, 256)  # pixels of the longer side; the first that is small enough is taken
_QUALITY = 90


def shrink(content: bytes, largest: int) -> bytes:
    """A JPEG of at most `largest` bytes; the same content always gives the same bytes. Raises UnreadableItemError."""
    for small in smaller(content):
        if len(small) <= largest:
            return small
    raise UnreadableItemError(f"even at {_SIDES[-1]} pixels it has more than {largest} bytes")


def smaller(content: bytes) -> Iterator[bytes]:
    """All that `shrink` may make of it, the largest first. Raises UnreadableItemError."""
    for side in _SIDES:
        picture = decode_image(content, side // 2)
        picture.thumbnail((side, side))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=_QUALITY)
        yield file.getvalue()
