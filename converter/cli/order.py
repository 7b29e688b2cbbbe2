"""What the command line names, checked against what the recipe needs: before anything slow is loaded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from converter.console import Console
from converter.recipe import Recipe
from converter.stages import Order, fingerprint
from converter.stages.fingerprint import files_of
from edge.errors import UsageError

PACKAGED = {"efficientnet-lite0", "minilm"}  # their weights come with a package
WITHOUT_DATA = {"demo", "none"}


def make_order(options: argparse.Namespace, recipe: Recipe) -> Order:
    """Raises UsageError for what is missing, cannot be used or does not exist."""
    item = _checkpoint(options.checkpoint or recipe.item.checkpoint, recipe.item.kind, "--checkpoint")
    same = item if recipe.query.kind == recipe.item.kind else ""
    query = options.query_checkpoint or recipe.query.checkpoint or same
    return Order(
        checkpoint=item,
        query_checkpoint=_checkpoint(query, recipe.query.kind, "--query-checkpoint"),
        data=_data(options.data, recipe.data.kind),
        runtimes=runtimes(options.tflite_python),
    )


def given(order: Order, console: Console) -> Mapping[str, str]:
    """Inputs from outside the recipe, by the names that stages take; of what lies on disk fingerprints: reads it."""
    paths = {
        "checkpoint": _folder(order.checkpoint),
        "query_checkpoint": _folder(order.query_checkpoint),
        "data": order.data,
    }
    here = {name: path for name, path in paths.items() if path}
    found = {name: text for name in ("checkpoint", "query_checkpoint") if (text := getattr(order, name))}
    total = sum(file.stat().st_size for path in here.values() for file in files_of(path))
    with console.bar(total, "bytes of checkpoint and data looked at") as tick:
        return found | {name: fingerprint(path, tick) for name, path in here.items()}


def runtimes(tflite_python: Path | None) -> dict[str, Path]:
    """A Python for each TFLite runtime. Raises UsageError when the second one's is not there."""
    python = tflite_python or default_tflite_python()
    if not python.is_file():
        raise UsageError(f"{python} does not exist: run `make convert-env`, or name a Python with --tflite-python")
    return {"ai-edge-litert": Path(sys.executable), "tflite-runtime": python}


def default_tflite_python() -> Path:
    """Where `make convert-env` puts it."""
    return Path(sys.prefix).parent / ".venv-tflite" / "bin" / "python"


def _checkpoint(named: str, kind: str, option: str) -> str:
    if kind in PACKAGED:
        if named:
            raise UsageError(f"{option} is {named}: {kind} comes with a package and takes no other weights")
        return ""
    if not named:
        raise UsageError(f"the recipe's {kind} needs weights: name their folder or hub id with {option}")
    if named[0] in "/.~" and not Path(named).expanduser().is_dir():
        raise UsageError(f"{option} is {named}: no such folder")
    return str(_folder(named) or named)


def _folder(named: str) -> Path | None:
    """The folder that a checkpoint is; None for a hub id."""
    path = Path(named).expanduser()
    return path.resolve() if named and path.is_dir() else None


def _data(named: Path | None, kind: str) -> Path | None:
    if kind in WITHOUT_DATA:
        if named:
            raise UsageError(f"--data is {named}: the recipe's data.kind is {kind}, which reads none")
        return None
    if named is None:
        raise UsageError(f"the recipe reads {kind}: name its folder or file with --data")
    if not named.expanduser().exists():
        raise UsageError(f"--data is {named}: no such folder or file")
    return named.expanduser().resolve()
