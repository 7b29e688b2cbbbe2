"""`reminisce-convert`: the host's command line. Prints and exits; everything else is in `converter.convert`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edge import __version__
from edge.errors import ReminisceError, UsageError

_EXAMPLES = """\
examples:
  reminisce-convert demo --out my-bundle
      heads learnt from class names and the shipped pictures alone
  reminisce-convert demo --out my-bundle --photos ~/flickr8k
      heads learnt from the train photos of Flickr8k, in its official layout

exit codes: 0 done, 1 failed, 2 the command line or the recipe is wrong, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _demo(options)
    except ReminisceError as error:
        print(f"reminisce-convert: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"reminisce-convert: the host tools are not installed ({error.name} is missing): run `make convert-env`,"
            " or `pip install '.[convert]'` on Python 3.12 and later",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        print(
            f"reminisce-convert: {error.filename or options.out}: {error.strerror}; nothing was written",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("reminisce-convert: interrupted, nothing was written", file=sys.stderr)
        return 130


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reminisce-convert",
        description="Turn pretrained towers into a bundle that the device runs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="build the demo bundle from packages alone",
        description="Build the demo bundle: EfficientNet-Lite0 for pictures, all-MiniLM-L6-v2 for sentences.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the bundle goes; a new folder")
    demo.add_argument("--photos", type=Path, metavar="DIR", help="Flickr8k in its official layout, to learn heads from")
    demo.add_argument("--recipe", type=Path, metavar="FILE", help="settings, like converter/recipes/demo.yaml")
    demo.add_argument(
        "--tflite-python",
        type=Path,
        metavar="FILE",
        help="a Python with tflite-runtime, to verify on; default: the one that `make convert-env` made",
    )
    return parser


def _demo(options: argparse.Namespace) -> int:
    from converter.recipe import DEMO_RECIPE, load_recipe  # noqa: PLC0415 - a typo is told before torch is loaded

    recipe = load_recipe(options.recipe or DEMO_RECIPE)
    if find_spec("torch") is None:  # told before the second runtime: make convert-env brings both
        raise ModuleNotFoundError(name="torch")
    runtimes = {"ai-edge-litert": Path(sys.executable), "tflite-runtime": _tflite_python(options.tflite_python)}
    from converter.console import Console  # noqa: PLC0415
    from converter.convert import build_demo  # noqa: PLC0415

    console = Console(quiet=not sys.stderr.isatty())
    # Resolved: a link to an empty folder, or `--out .`, can only be replaced by its own name.
    bundle = build_demo(options.out.resolve(), options.photos, recipe, runtimes, console)
    size = sum(record.bytes for record in bundle.manifest.files.values())
    print(f"{bundle.folder}: {len(bundle.manifest.files)} files, {size / 1e6:.1f} MB, {bundle.manifest.purpose}")
    return 0


def _tflite_python(named: Path | None) -> Path:
    """The Python that verifies on tflite-runtime. Raises UsageError when there is none."""
    python = named or Path(sys.prefix).parent / ".venv-tflite" / "bin" / "python"
    if not python.is_file():
        raise UsageError(f"{python} does not exist: run `make convert-env`, or name a Python with --tflite-python")
    return python


if __name__ == "__main__":
    sys.exit(main())
