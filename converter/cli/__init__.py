"""`reminisce-convert`: the host's command line. The only part of the converter that exits."""

from converter.cli.arguments import make_parser
from converter.cli.main import main

__all__ = ["main", "make_parser"]
