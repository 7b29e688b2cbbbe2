"""Adapters of pretrained encoders: each cut into segments, with what its host side needs."""
