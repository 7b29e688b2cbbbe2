"""Whether the weights are resident or streamed: what the config says, or what fits in the limit."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from edge.bundle import Bundle
from edge.config import Config, MemoryConfig
from edge.errors import UsageError
from edge.heap import return_large_blocks
from edge.runtime.footprint import Footprint, footprint
from edge.runtime.streamed import Streamed
from edge.runtime.weights import Interpreters, Weights

Residence: TypeAlias = Literal["resident", "streamed"]
UNFILLED_BYTES = 60_000_000  # measured: what numpy and the stacks set aside counts as data, filled or not
# Measured: what closed segments leave of the heap between what is still open, where they are not given back.
HOLES_BYTES = 32_000_000


@contextmanager
def open_weights(
    bundle: Bundle, runtime: str, config: Config, failed: Callable[[BaseException], None]
) -> Iterator[Weights]:
    """The files of a bundle, resident or with the image tower streamed. Raises UsageError when they do not fit.

    The process's heap is set to suit them.
    failed: see Streamed
    """
    files = Interpreters(bundle.folder, runtime, config.runtime.threads)
    needs = _needs(bundle, runtime, config)
    is_streamed = choose_residence(config.memory, needs) == "streamed"
    is_tight = is_streamed and needs.streamed + HOLES_BYTES > _limit(config.memory)[0]
    return_large_blocks(is_tight=is_tight)
    if not is_streamed:
        yield files
        return
    with Streamed(files, bundle.manifest.tower("image"), failed, is_tight=is_tight) as streamed:
        yield streamed


def residence(bundle: Bundle, runtime: str, config: Config) -> Residence:
    """How `open_weights` will open them. Raises UsageError as it does."""
    return choose_residence(config.memory, _needs(bundle, runtime, config))


def has_room_beside(bundle: Bundle, runtime: str, config: Config, more_bytes: int) -> bool:
    """Whether the limit lets so much more be in memory beside what `open_weights` opens."""
    needs = _needs(bundle, runtime, config)
    taken = needs.resident if choose_residence(config.memory, needs) == "resident" else needs.streamed
    limit_bytes, _ = _limit(config.memory)
    return taken + more_bytes <= limit_bytes


def choose_residence(config: MemoryConfig, needs: Footprint) -> Residence:
    """What the config asks for, or for `auto` what fits. Raises UsageError that names the setting to change."""
    limit_bytes, limit = _limit(config)
    if config.weights != "streamed" and needs.resident <= limit_bytes:
        return "resident"
    if config.weights == "resident":
        raise UsageError(
            f"memory.weights is resident, which takes some {_mb(needs.resident)} MB of memory, and {limit}:"
            f" set memory.weights to auto or streamed (some {_mb(needs.streamed)} MB), or raise the limit"
        )
    if config.limit_mb is not None and _mb(needs.streamed) > config.limit_mb:
        raise UsageError(
            f"memory.limit_mb is {config.limit_mb}, and the model takes some {_mb(needs.streamed)} MB of memory even"
            " with streamed weights: raise it, or choose a smaller bundle"
        )
    return "streamed"


def _needs(bundle: Bundle, runtime: str, config: Config) -> Footprint:
    return footprint(bundle.manifest, runtime, bundle.manifest.tower("image"), config.remember.batch)


def _limit(config: MemoryConfig) -> tuple[float, str]:
    """The lower of the config's and the process's own, in bytes, and how to say it."""
    limits = [(math.inf, "")]
    if config.limit_mb is not None:
        limits.append((config.limit_mb * 1e6, f"memory.limit_mb is {config.limit_mb}"))
    data, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if data != resource.RLIM_INFINITY:
        limits.append((data - UNFILLED_BYTES, f"this process may have {_mb(data)} MB of data (ulimit -d)"))
    return min(limits)


def _mb(size: int) -> int:
    return round(size / 1e6)
