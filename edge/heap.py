"""The C library's heap: large blocks go back to the system as they are freed, others when nothing is to be done."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# What a call takes, and a segment that is streamed, is mostly below this and used again: mapped anew each time, it cost
# a streamed ViT-Tiny or CLIP a quarter of its items a second, and resident ones some, too. A decoded picture of two
# megapixels is above it.
_LARGE_BYTES = 4 << 20
_LARGE_WHERE_TIGHT_BYTES = 256 << 10


def return_large_blocks(*, is_tight: bool = False) -> None:
    """Ask glibc to map each larger block by itself, and all threads to share a heap; other libraries do as they like.

    It does the first at first, too, but raises the bound to the largest block that was ever freed: after two pictures
    of 49 megapixels it kept 400 MB for the next one. Else a segment that one thread opened and another ran and freed
    would leave holes in the heaps of both.

    is_tight: already blocks that are used again and again are given back in between: slower, for a few megabytes
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_WHERE_TIGHT_BYTES if is_tight else _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)


def return_free_blocks() -> None:
    """Give back what is free, for when nothing is to be done: it takes 1 to 10 ms, and as long again to get it back."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
