"""`reminisce export` and `reminisce import`: on the memory itself, without a daemon or beside one."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from edge.bundle import Bundle
from edge.cli.settings import settings
from edge.config import Config
from edge.mqtt import MODALITIES
from edge.service import Systemd


def export_memory(options: argparse.Namespace) -> int:
    """Print what is in the file; returns 1 when content that should be kept is missing."""
    from edge.memory import export  # noqa: PLC0415 - the other commands start without it

    _, bundle, state = _opened(options)
    with _bar("exporting") as on_progress:
        done = export(
            state, options.file, bundle.manifest.model, with_activations=not options.no_cache, on_progress=on_progress
        )
    missing = f"; the content of {done.missing} is missing or damaged, and left out" if done.missing else ""
    said = (
        f"{done.items} items, {done.content} with content, {done.activations} half-finished,"
        f" {done.size_bytes / 1e6:.1f} MB{missing}"
    )
    print(json.dumps(asdict(done)) if options.json else said)
    return int(done.missing > 0)


def import_into(options: argparse.Namespace) -> int:
    """Print what became of the items of the file. Raises KeyboardInterrupt then, where it was stopped behind them."""
    from edge.memory import InUse, import_memory  # noqa: PLC0415

    config, bundle, state = _opened(options)
    manifest = bundle.manifest
    exits = {str(name): frozenset(place.depth for place in manifest.tower(name).exits) for name in MODALITIES}
    in_use = InUse(
        fingerprint=bundle.fingerprint,
        dimension=manifest.dimension,
        exits=exits,
        hashes=manifest.segment_hashes(manifest.tower("image")),
    )
    with _bar("importing") as on_progress:
        done = import_memory(
            options.file, state, in_use, cache_bytes=config.cache.max_mb * 1_000_000, on_progress=on_progress
        )
    known = f", {done.known} there already" if done.known else ""
    waiting = f"; {done.waiting} will be found once the daemon has embedded them" if done.waiting else ""
    unread = (
        f"; {done.unread} cannot be found with model {bundle.manifest.model}: another one embedded them, and their"
        " content is not kept"
    )
    part = "; stopped before all half-finished items came along" if done.is_stopped else ""
    said = f"{done.new} new{known}{waiting}{unread if done.unread else ''}{part}"
    print(json.dumps(asdict(done)) if options.json else said, flush=True)
    if done.is_stopped:
        raise KeyboardInterrupt
    return 0


def _opened(options: argparse.Namespace) -> tuple[Config, Bundle, Path]:
    """The config, its bundle, and the state folder."""
    from edge.daemon import state_folder  # noqa: PLC0415 - takes as long as all the others together
    from edge.engine import open_bundle  # noqa: PLC0415

    config = settings(options.config)
    bundle = open_bundle(config)
    return config, bundle, options.state or state_folder(config, Systemd.from_environ(os.environ))


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    with tqdm(desc=what, unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def show(done_bytes: int, all_bytes: int) -> None:
            bar.total = all_bytes
            bar.update(done_bytes - bar.n)

        yield show
