"""The shipped bundle and pictures, and the two-minute tour."""

from pathlib import Path

from edge.config import DEMO_BUNDLE

DEMO_PICTURES = Path(__file__).parent / "pictures"

__all__ = ["DEMO_BUNDLE", "DEMO_PICTURES"]
