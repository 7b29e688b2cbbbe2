"""Items without a model: an embedding of our choice for any text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from edge.items import Encoded

DIMENSION = 8


@pytest.fixture
def encoded() -> Callable[..., Encoded]:
    """A builder: `encoded("a cat", depth=8, axis=3)` is an item whose content is the text."""

    def build(text: str, *, depth: int = 11, axis: int = 0) -> Encoded:
        content = text.encode()
        return Encoded(
            content=content,
            digest=hashlib.sha256(content).digest(),
            modality="image",
            source=f"/pictures/{text}.jpg",
            depth=depth,
            embedding=np.eye(DIMENSION, dtype=np.float32)[axis],
        )

    return build
