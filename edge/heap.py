"""The C library's heap: large blocks go back to the system as they are freed, others when nothing is to be done."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# What a call and a streamed segment take is below this, and is used again: mapped anew each time, it cost a quarter of
# the items a second of a streamed ViT-Tiny or CLIP, and of a resident one, too. A decoded picture of 2 megapixels is
# above it.
_LARGE_BYTES = 4 << 20


def return_large_blocks() -> None:
    """Ask glibc to map each larger block by itself, and all threads to share a heap; other libraries do as they like.

    It does the first at first, too, but raises the bound to the largest block that was ever freed: after two pictures
    of 49 megapixels it kept 400 MB for the next one. Else a segment that one thread opened and another ran and freed
    would leave holes in the heaps of both.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)


def return_free_blocks() -> None:
    """Give back what is free, for when nothing is to be done: it takes 1 to 10 ms, and as long again to get it back."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
