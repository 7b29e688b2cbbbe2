"""The commands that build: run, demo, stage."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec

from converter.cli.order import given, make_order
from converter.console import Console
from converter.recipe import Recipe, find_recipe, load_recipe, quick
from converter.stages import Context, Stage, Workshop, check_ours, claimed, versions
from edge.bundle import Bundle
from edge.errors import UsageError
from edge.signals import signals_held

DEMO = "demo"


def run(options: argparse.Namespace) -> int:
    """Every stage of a recipe."""
    return _build(options, load_recipe(find_recipe(options.recipe)), Workshop.run_all)


def demo(options: argparse.Namespace) -> int:
    """The packaged recipe of that name; photos take the place of the shipped pictures."""
    recipe = load_recipe(find_recipe(DEMO))
    if options.photos:
        if not options.photos.expanduser().is_dir():
            raise UsageError(f"--photos is {options.photos}: no such folder")
        recipe = replace(recipe, data=replace(recipe.data, kind="flickr8k", purpose="for evaluation"))
    options.data, options.quick, options.checkpoint, options.query_checkpoint = options.photos, False, "", ""
    return _build(options, recipe, Workshop.run_all)


def stage(options: argparse.Namespace) -> int:
    """One stage of a recipe."""
    return _build(options, load_recipe(find_recipe(options.recipe)), lambda workshop: workshop.run(options.name))


def _build(options: argparse.Namespace, recipe: Recipe, work: Callable[[Workshop], object]) -> int:
    recipe = quick(recipe) if options.quick else recipe
    recipe = recipe if options.seed is None else replace(recipe, seed=options.seed)
    if find_spec("torch") is None:  # told before the second runtime: make convert-env brings both
        raise ModuleNotFoundError(name="torch")
    order = make_order(options, recipe)
    out = options.out.expanduser().resolve()
    check_ours(out)
    stages = _stages(getattr(options, "name", None))
    console = Console(quiet=not sys.stderr.isatty())
    with claimed(out):
        context = Context(
            out=out, recipe=recipe, order=order, console=console, given=given(order, console), versions=versions()
        )
        work(Workshop(context, stages))
    print(_made(options, context))
    return 0


def _stages(wanted: str | None) -> Sequence[Stage]:
    """All stages. Raises UsageError when `wanted` is none of them."""
    # Threads that spin while other programs want their core make training fifteen times as slow. OpenMP asks once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with signals_held():  # an import can swallow an interrupt
        from converter.pipeline import STAGES  # noqa: PLC0415 - torch comes with it
    names = [each.name for each in STAGES]
    if wanted is not None and wanted not in names:
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"no stage is called {wanted!r}: {hint}")
    return STAGES


def _made(options: argparse.Namespace, context: Context) -> str:
    if name := getattr(options, "name", None):
        return str(context.out / "stages" / name)
    bundle = Bundle.open(context.out / "bundle")
    size = sum(record.bytes for record in bundle.manifest.files.values())
    return f"{bundle.folder}: {len(bundle.manifest.files)} files, {size / 1e6:.1f} MB, {bundle.manifest.purpose}"
