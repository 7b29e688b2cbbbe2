"""Readers of published data sets of items with captions, in their official layouts; host and benchmarks share them."""

from edge.pairs.flickr8k import Pair, read_flickr8k

__all__ = ["Pair", "read_flickr8k"]
