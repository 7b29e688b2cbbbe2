"""The bundles that embedded what the present one has not: looked for where they were, and checked like any other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from edge.bundle import Bundle
from edge.config import Config
from edge.errors import BundleError, ReminisceError, UsageError
from edge.memory import Memory, Origin
from edge.recall.earlier import Earlier
from edge.recall.filtering import Filter
from edge.runtime import Interpreters, Invoke, Passing, TowerRunner, has_room_beside, largest_bytes, tower_bytes

_log = logging.getLogger(__name__)


def open_earlier(
    memory: Memory, present: Bundle, runtime: str, config: Config, aside: Callable[[Invoke], Invoke]
) -> tuple[dict[Origin, Earlier], tuple[Origin, ...]]:
    """Those that can be asked, and those that cannot, of which the log says why. Raises StoreError.

    aside: has the compute thread run what it is given, for a question
    """
    found: dict[Origin, Earlier] = {}
    missing: list[Origin] = []
    for origin in memory.origins:
        bundle = _open_or_tell(memory, origin, present, runtime, config)
        if bundle is None:
            missing.append(origin)
            continue
        filtering = Filter(memory, bundle.manifest.tower("image"), config.index.annoy_from, origin)
        open_text = partial(_open_text, bundle, runtime, config.runtime.threads, aside)
        open_image = partial(_open_image, bundle, present, runtime, config, aside)
        found[origin] = Earlier(filtering, open_text, open_image, bundle.folder)
        _log.info("%d items are still of the earlier bundle in %s", len(memory.left(origin)), bundle.folder)
    return found, tuple(missing)


def _open_or_tell(memory: Memory, origin: Origin, present: Bundle, runtime: str, config: Config) -> Bundle | None:
    try:
        return _open(origin, present, runtime, config)
    except ReminisceError as error:
        _log.warning(
            "%d items of an earlier bundle are not found until they are encoded anew: %s. To have them found meanwhile"
            " put it back there, the present one into a folder of its own, and restart",
            len(memory.left(origin)),
            error,
        )
        return None


def _open(origin: Origin, present: Bundle, runtime: str, config: Config) -> Bundle:
    """Raises BundleError, RuntimeMissingError, UsageError where there is no room for its text tower."""
    if origin.folder is None:
        raise BundleError("an earlier version did not note where it is")
    bundle = Bundle.open(origin.folder)
    if bundle.fingerprint != origin.fingerprint:
        raise BundleError(f"{origin.folder} holds another bundle now")
    size_bytes = tower_bytes(bundle.manifest, runtime, bundle.manifest.tower("text"))
    if not has_room_beside(present, runtime, config, size_bytes):
        raise UsageError(
            f"the limit of memory has no room for the {size_bytes / 1e6:.0f} MB of the query tower in {origin.folder}"
        )
    return bundle


def _open_text(bundle: Bundle, runtime: str, threads: int, aside: Callable[[Invoke], Invoke]) -> TowerRunner:
    files = Interpreters(bundle.folder, runtime, threads)
    return TowerRunner(bundle.folder, bundle.manifest.tower("text"), aside(files.invoke))


def _open_image(
    bundle: Bundle, present: Bundle, runtime: str, config: Config, aside: Callable[[Invoke], Invoke]
) -> TowerRunner:
    """Raises UsageError where there is no room for one of its files beside the query tower."""
    text, image = (bundle.manifest.tower(name) for name in ("text", "image"))
    size_bytes = largest_bytes(bundle.manifest, runtime, image)
    if not has_room_beside(present, runtime, config, tower_bytes(bundle.manifest, runtime, text) + size_bytes):
        raise UsageError(f"the limit of memory has no room for the {size_bytes / 1e6:.0f} MB of its largest segment")
    files = Passing(Interpreters(bundle.folder, runtime, config.runtime.threads))
    return TowerRunner(bundle.folder, image, aside(files.invoke))
