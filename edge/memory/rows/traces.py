"""What was deleted from the database and still stands in its file.

SQLite's `secure_delete` overwrites what it frees. When it shares out the rows of a full page between pages, it leaves
copies of rows that moved in the part of the page that is in no use; deleting these rows later does not reach the
copies. Measured with 5,000 items of which a third came again: 1 of 500 forgotten sources was left. VACUUM, which writes
the whole file anew, gets rid of them; this looks whether it must.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_MOST = 10_000  # items that are looked for; for more, a file that is written anew is cheaper
_WORD = 8  # bytes that are compared at a time: whatever is 15 bytes long holds such a word of the eighth place
_PAGES = 256  # read at a time
_LEAVES, _INNER = (0x0A, 0x0D), (0x02, 0x05)  # the first byte of a page of a tree
_Words = npt.NDArray[np.uint64]


class Traces:
    """What to look for: bytes of rows that were deleted. In 900 bytes of memory an item."""

    def __init__(self) -> None:
        self._items = 0
        self._words: list[_Words] = []
        self._texts: list[bytes] = []

    def add(self, digest: bytes, modality: str, source: str, vectors: list[bytes]) -> None:
        """A row that will be deleted."""
        self._items += 1
        if self._items <= _MOST:
            joined = b"".join(each[: len(each) // _WORD * _WORD] for each in (digest, *vectors))
            self._words.append(np.frombuffer(joined, "<u8"))
            # A short one is looked for with the text before it in its row: it could stand anywhere.
            self._texts += [(source if len(source) >= _WORD else modality + source).encode()] if source else []

    def add_meta(self, item: int, meta: Iterable[tuple[str, str]], *, is_changed: bool) -> None:
        """Its metadata, of which others may have the same: with its id, as it stands in the table and in its index.

        is_changed: there may have been other values, which nobody knows any more
        """
        number = _as_stored(item)
        for key, value in meta:
            pair = (key + value).encode()
            self._texts += [number + pair, pair + number]
            if is_changed:
                self.add_unknown()

    def add_texts(self, texts: Iterable[str]) -> None:
        """Of rows that stood by themselves."""
        self._texts += [text.encode() for text in texts if text]

    def add_unknown(self) -> None:
        """Rows that nobody knows any more."""
        self._items += _MOST + 1

    def are_in(self, file: Path) -> bool:
        """Whether unused parts of a database hold any of it; True, too, where that is more work than it is worth.

        All of the log must have been written into the file. Raises OSError.
        """
        if self._items > _MOST:
            return True
        words = np.unique(np.concatenate([*self._words, np.zeros(0, "<u8")]))
        texts: dict[int, list[bytes]] = {}
        short = {text for text in self._texts if len(text) < _WORD}
        for text in self._texts:
            texts.setdefault(_end(text), []).append(text)
        ends = np.array(sorted(texts), "<u8")
        for unused in _unused_parts(file):
            windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(unused, np.uint8), _WORD)
            seen = np.unique(np.ascontiguousarray(windows).view("<u8"))
            if np.isin(seen, words[words != 0]).any():
                return True
            # To look for each text takes long: for those alone whose end stands there.
            if any(text in unused for text in short):
                return True
            if any(text in unused for end in seen[np.isin(seen, ends)].tolist() for text in texts[end]):
                return True
        return False


def _as_stored(number: int) -> bytes:
    """A whole number in a row; see "Database File Format", "Record Format"."""
    if number in {0, 1}:
        return b""
    size = next(size for size in (1, 2, 3, 4, 6, 8) if number < 1 << (8 * size - 1))
    return number.to_bytes(size, "big")


def _end(text: bytes) -> int:
    return int.from_bytes(text[-_WORD:], "little")


def _unused_parts(file: Path) -> Iterator[bytes]:
    """Of some pages at a time, what stands between the list of their rows and the rows; see "Database File Format".

    A page has at 0 its kind, at 3 the number of its rows, at 5 where they begin; the first one 100 bytes later.
    """
    with file.open("rb") as pages:
        size = int.from_bytes(pages.read(18)[16:18], "big")
        size = 65_536 if size == 1 else size
        pages.seek(0)
        at = 100
        while part := pages.read(size * _PAGES):
            found = []
            for start in range(0, len(part), size):
                found.append(_unused(part[start : start + size], at).strip(b"\0"))
                at = 0
            if joined := bytes(_WORD).join(each for each in found if each):
                yield bytes(_WORD) + joined


def _unused(page: bytes, at: int) -> bytes:
    kind = page[at]
    if kind not in _LEAVES + _INNER:
        return b""
    begin = at + (8 if kind in _LEAVES else 12) + 2 * int.from_bytes(page[at + 3 : at + 5], "big")
    end = int.from_bytes(page[at + 5 : at + 7], "big") or 65_536
    return page[begin:end]
