"""Sentences: tokens, their embeddings from the bundle's table, and the mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from edge.bundle import TextPreprocess
from edge.errors import BundleError
from edge.items import Floats
from edge.runtime import int4


class TextInput:
    """The host side of a text tower. The token table stays on disk; a sentence reads a few rows of it."""

    def __init__(self, folder: Path, spec: TextPreprocess) -> None:
        """`folder` is the bundle's. Raises BundleError when the table does not fit the spec."""
        self._spec = spec
        self._tokenizer = Tokenizer.from_file(str(folder / spec.tokenizer))
        self._tokenizer.enable_truncation(spec.tokens)
        self._tokenizer.enable_padding(length=spec.tokens)
        row = int4.row_bytes(spec.width, spec.group)
        table = np.memmap(folder / spec.table, dtype=np.uint8, mode="r")
        if table.size != row * self._tokenizer.get_vocab_size():
            raise BundleError(
                f"{folder / spec.table} has {table.size} bytes, the tokenizer's"
                f" {self._tokenizer.get_vocab_size()} tokens need {row} each: convert again"
            )
        self._table = table.reshape(-1, row)
        self._positions = np.fromfile(folder / spec.positions, dtype="<f4").reshape(spec.tokens, spec.width)

    def inputs(self, sentences: Sequence[str]) -> dict[str, Floats]:
        """{"x": (N, tokens, width), "mask": (N, tokens)} of N sentences; longer ones are cut."""
        encodings = self._tokenizer.encode_batch(list(sentences))
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.float32)
        rows = int4.unpack(self._table[ids.ravel()], self._spec.width, self._spec.group)
        return {"x": rows.reshape(*ids.shape, self._spec.width) + self._positions, "mask": mask}
