"""The command line: every command, option and example."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from converter.cli.build import demo, run, stage
from converter.cli.results import recipes, report, verify
from converter.cli.suggesting import SuggestingParser
from edge import __version__

Command = Callable[[argparse.Namespace], int]
KEPT = "what was finished is kept, the same command goes on from there"
UNCHANGED = "nothing was changed"
_CODES = "exit codes: 0 done, 1 failed, 2 the command line or the recipe is wrong, 130 interrupted\n"
_EXAMPLES = f"""\
examples:
  reminisce-convert demo --out my-build
  reminisce-convert run vit-tiny-flickr8k --checkpoint vit-tiny-patch16-224 --data flickr8k --out my-vit
  reminisce-convert verify my-vit/bundle
  reminisce-convert recipes

{_CODES}"""
_RUN = """\
examples:
  reminisce-convert run vit-tiny-flickr8k --checkpoint vit-tiny-patch16-224 --data flickr8k --out my-vit
      a recipe of the package, by its name; the bundle is my-vit/bundle
  reminisce-convert run vit-tiny-flickr8k --checkpoint vit-tiny-patch16-224 --data flickr8k --out quick --quick
      the same without healing, in minutes
  reminisce-convert run my.yaml --data photos --out my-vit --seed 1
      a recipe of your own

Stop it and run the same command again: finished stages are kept. Change the recipe, and what depends on the change is
done again.
"""
_DEMO = """\
examples:
  reminisce-convert demo --out my-build
      heads learnt from class names and the shipped pictures alone; the bundle is my-build/bundle
  reminisce-convert demo --out my-build --photos flickr8k
      heads learnt from the train photos of Flickr8k, in its official layout
"""
_STAGE = """\
examples:
  reminisce-convert stage heal vit-tiny-flickr8k --checkpoint vit-tiny-patch16-224 --data flickr8k --out my-vit
      kept if it is done from the same inputs; remove my-vit/stages/heal to have it done again
"""
_VERIFY = """\
examples:
  reminisce-convert verify my-vit/bundle
      checksums, then every file on every runtime that is here, at batch 1 and 8
"""
_REPORT = """\
examples:
  reminisce-convert report my-vit
      my-vit/report.json and my-vit/report.html, anew
  reminisce-convert report my-vit --plot policies-at-10
      one plot as SVG, on standard output
  reminisce-convert report seed-0 seed-1 seed-2
      the same for each, and the mean and spread of all in the first
"""
_RECIPES = """\
examples:
  reminisce-convert recipes
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser; each command sets `command`, which takes the options and returns the exit code."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = SuggestingParser(
        prog="reminisce-convert",
        description="Turn pretrained towers into a bundle that the device runs.",
        epilog=_EXAMPLES,
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="COMMAND")

    def command(name: str, does: Command, summary: str, examples: str, interrupted: str) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"{examples}\n{_CODES}",
            formatter_class=layout,
        )  # fmt: skip
        one.set_defaults(command=does, interrupted=interrupted, parser=one)
        return one

    one = command("run", run, "build a bundle as a recipe says", _RUN, KEPT)
    _add_recipe(one)
    one = command("demo", demo, "build the demo bundle from packages alone", _DEMO, KEPT)
    one.add_argument("--photos", type=Path, metavar="DIR", help="Flickr8k in its official layout, to learn heads from")
    _add_build(one)
    one = command("stage", stage, "run one stage of a build alone", _STAGE, KEPT)
    one.add_argument("name", metavar="NAME", help="towers, heal, label, ...: as a run calls them")
    _add_recipe(one)
    one = command("verify", verify, "run every file of a bundle, and compare formats, runtimes and batches", _VERIFY, UNCHANGED)  # fmt: skip  # noqa: E501
    one.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    _add_tflite(one)
    one = command("report", report, "write the report of finished builds", _REPORT, UNCHANGED)
    one.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="what --out named")
    one.add_argument("--plot", metavar="NAME", help="print one plot of the first as SVG, and write nothing")
    command("recipes", recipes, "list the recipes that come with the package", _RECIPES, UNCHANGED)
    return parser


def _add_recipe(one: argparse.ArgumentParser) -> None:
    one.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a recipe that `recipes` lists")
    one.add_argument("--checkpoint", default="", metavar="DIR", help="the item tower's weights: a folder or a hub id")
    one.add_argument(
        "--query-checkpoint", default="", metavar="DIR", help="the query tower's, where they lie elsewhere"
    )
    one.add_argument("--data", type=Path, metavar="PATH", help="what the recipe's reader opens: a folder or a file")
    one.add_argument("--quick", action="store_true", help="no healing: heads and calibration alone")
    _add_build(one)


def _add_build(one: argparse.ArgumentParser) -> None:
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, or that of the same build")
    one.add_argument("--seed", type=_seed, metavar="N", help="of all chance, in place of the recipe's")
    _add_tflite(one)


def _add_tflite(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--tflite-python",
        type=Path,
        metavar="FILE",
        help="a Python with tflite-runtime, to verify on (default: the one that `make convert-env` made)",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    return int(text)
