from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trees import new_tree


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty board."""
    with new_tree() as root:
        yield root
