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
DEPTHS = [8, 11, 15]


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


@pytest.fixture(scope="module")
def ridden(image: TowerRunner, pairs: tuple[Pair, ...]) -> tuple[dict[int, list[Activation]], Floats]:
    """The photos without the cache: their batches at each depth, and the fine embeddings."""
    last = image.spec.exits[-1]
    batches: dict[int, list[Activation]] = {depth: [] for depth in DEPTHS}
    fine = []
    for first in range(0, len(pairs), BATCH):
        batch = image.start_images([pair.photo.read_bytes() for pair in pairs[first : first + BATCH]])
        for depth in DEPTHS:
            batch = image.advance(batch, image.spec.exit_at(depth).segment)
            batches[depth].append(batch)
        fine.append(image.embed(image.advance(batch, last.segment), last))
    return batches, np.concatenate(fine)


@pytest.mark.parametrize("depth", DEPTHS)
def test_resumed_from_the_cache_a_photo_ends_where_it_would_have(
    image: TowerRunner, ridden: tuple[dict[int, list[Activation]], Floats], questions: Floats, depth: int
) -> None:
    last, outliers = image.spec.exits[-1], image.spec.outliers
    batches, fine = ridden
    resumed = []
    for batch in batches[depth]:
        cached = np.stack([unpack(pack(one, outliers), one.shape, outliers) for one in batch.tensor])
        resumed.append(image.embed(image.advance(Activation(cached, batch.segment, {}), last.segment), last))
    again = np.concatenate(resumed)
    cosine = (fine * again).sum(1)
    before, after = (recall_at_1(questions, embeddings) for embeddings in (fine, again))
    print(  # noqa: T201 - the figures
        f"depth {depth}: cosine {cosine.mean():.4f}, 1st percentile {np.percentile(cosine, 1):.4f}, worst"
        f" {cosine.min():.4f}; recall@1 {before:.3f} and {after:.3f}"
    )
    assert np.percentile(cosine, 1) >= 0.985
    assert after >= before - 0.01
