"""The C library's heap: what a large picture took goes back to the system as soon as it is done with."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def return_large_blocks() -> None:
    """Ask glibc to map each block of a megabyte by itself; other libraries do as they like.

    It does so at first, too, but raises the bound to the largest block that was ever freed: after two pictures of 49
    megapixels it kept 400 MB for the next one.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
