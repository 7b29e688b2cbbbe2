"""The C library's heap: what a large picture or a model took goes back to the system as soon as it is done with."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 256 << 10  # at a megabyte, the weights of streamed layers leave 6 MB of holes in the heap
_ARENAS = 2


def return_large_blocks() -> None:
    """Ask glibc to map each larger block by itself, and to share two heaps; other libraries do as they like.

    It does the first at first, too, but raises the bound to the largest block that was ever freed: after two pictures
    of 49 megapixels it kept 400 MB for the next one. The second is for the threads, each of which would get a heap.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def return_free_blocks() -> None:
    """Give back the smaller blocks that are free: two thirds of an INT8 segment that was closed. Takes 1 to 10 ms."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
