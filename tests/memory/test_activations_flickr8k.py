"""The cache on photos that nobody here chose: how far a fine embedding moves, and that its answers stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.items import Floats
from edge.memory.cache.codes import pack, unpack
from edge.pairs import Pair, read_flickr8k
from edge.runtime import Activation, TowerRunner

pytestmark = [pytest.mark.data, pytest.mark.slow]
PHOTOS, BATCH = 200, 20


@pytest.fixture(scope="module")
def pairs(flickr8k: Path) -> tuple[Pair, ...]:
    return read_flickr8k(flickr8k, "dev")[:PHOTOS]


@pytest.fixture(scope="module")
def questions(text: TowerRunner, pairs: tuple[Pair, ...]) -> Floats:
    """The captions of each photo, five, as the end of the image tower is asked."""
    last = text.spec.exits[-1]
    starts = [text.start_texts(pair.captions) for pair in pairs]
    return np.concatenate([text.embed(text.advance(start, last.segment), last) for start in starts])


def recall_at_1(questions: Floats, embeddings: Floats) -> float:
    photos = np.repeat(np.arange(len(embeddings)), len(questions) // len(embeddings))
    return float(((questions @ embeddings.T).argmax(1) == photos).mean())


@pytest.mark.parametrize("depth", [8, 11, 15])
def test_resumed_from_the_cache_a_photo_ends_where_it_would_have(
    image: TowerRunner, pairs: tuple[Pair, ...], questions: Floats, depth: int
) -> None:
    place, last, outliers = image.spec.exit_at(depth), image.spec.exits[-1], image.spec.outliers
    straight, resumed = [], []
    for first in range(0, len(pairs), BATCH):
        start = image.start_images([pair.photo.read_bytes() for pair in pairs[first : first + BATCH]])
        batch = image.advance(start, place.segment)
        cached = np.stack([unpack(pack(one, outliers), one.shape, outliers) for one in batch.tensor])
        straight.append(image.embed(image.advance(batch, last.segment), last))
        resumed.append(image.embed(image.advance(Activation(cached, batch.segment, {}), last.segment), last))
    fine, again = np.concatenate(straight), np.concatenate(resumed)
    cosine = (fine * again).sum(1)
    before, after = (recall_at_1(questions, embeddings) for embeddings in (fine, again))
    print(  # noqa: T201 - the figures
        f"depth {depth}: cosine {cosine.mean():.4f}, 1st percentile {np.percentile(cosine, 1):.4f}, worst"
        f" {cosine.min():.4f}; recall@1 {before:.3f} and {after:.3f}"
    )
    assert np.percentile(cosine, 1) >= 0.985
    assert after >= before - 0.01
