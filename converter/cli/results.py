"""The commands that look at what was built: verify, report, recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from converter.cli.order import default_tflite_python, runtimes
from converter.console import Console
from converter.recipe import packaged_recipes
from converter.verify_bundle import verify_bundle
from edge.errors import UsageError


def verify(options: argparse.Namespace) -> int:
    """Every file of a bundle on every runtime that is here."""
    console = Console(quiet=not sys.stderr.isatty())
    if options.tflite_python or default_tflite_python().is_file():
        pythons = runtimes(options.tflite_python)
    else:
        pythons = {"ai-edge-litert": Path(sys.executable)}
        console.say("tflite-runtime: not here, left out (`make convert-env`, or --tflite-python)")
    parities = verify_bundle(options.bundle, pythons, console)
    files = len({parity.path for parity in parities})
    print(f"{options.bundle}: {files} files agree on {' and '.join(pythons)}")
    return 0


def report(options: argparse.Namespace) -> int:
    """report.json and report.html of each build."""
    for folder in options.folders:
        if not (folder / "stages").is_dir():
            raise UsageError(f"{folder} is not the folder of a build: it has no stages")
    from converter.report import (  # noqa: PLC0415 - plots are slow to load
        read_report,
        render_markdown,
        render_plot,
        write_report,
    )

    reports = [read_report(folder) for folder in options.folders]
    if options.plot:
        print(render_plot(reports[0], options.plot))
        return 0
    first, *others = reports
    print(render_markdown(reports))
    write_report(first, options.folders[0], others)
    for one, folder in zip(others, options.folders[1:], strict=True):
        write_report(one, folder)
    return 0


def recipes(_options: argparse.Namespace) -> int:
    """Names and what they are."""
    found = packaged_recipes()
    width = max(map(len, found))
    for name, told in found.items():
        print(f"{name:{width}}  {told}")
    return 0
