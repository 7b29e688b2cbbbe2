"""How often a JPEG makes its decoder go over the whole picture, read from its markers without decoding anything."""

from __future__ import annotations

import re

SOI = b"\xff\xd8"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # 00 is a stuffed byte, d0 to d7 stand within a scan
_ALONE = {0x01, 0xD8}  # without a length behind it
_EOI, _SOS = 0xD9, 0xDA
_MOST_SEGMENTS = 2_000


def count_scans(content: bytes, most: int) -> int:
    """The number of scans; `most` + 1 for any more, and for a file with more segments than there is a use for."""
    scans, at = 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(content, at)
        if found is None or content[found.start() + 1] == _EOI:
            return scans
        kind, at = content[found.start() + 1], found.end()
        if kind not in _ALONE:
            at += int.from_bytes(content[at : at + 2], "big")
        scans += kind == _SOS
        if scans > most:
            return scans
    return most + 1
