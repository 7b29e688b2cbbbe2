"""The shipped towers, opened once."""

from __future__ import annotations

import pytest

from edge.bundle import Bundle
from edge.runtime import TowerRunner, choose_runtime


@pytest.fixture(scope="session")
def image(bundle: Bundle) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("image"), choose_runtime("auto"), threads=2)


@pytest.fixture(scope="session")
def text(bundle: Bundle) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("text"), choose_runtime("auto"), threads=2)
