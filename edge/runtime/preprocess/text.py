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
    """The host side of a text tower. The token table stays on disk; a sentence reads a few rows of it.

    Short sentences are padded as the tokenizer's file says: some encoders read what stands there.
    """

    def __init__(self, folder: Path, spec: TextPreprocess) -> None:
        """`folder` is the bundle's. Raises BundleError when a file does not fit the spec."""
        self._spec = spec
        self._tokenizer = _open_tokenizer(folder / spec.tokenizer)
        self._tokenizer.enable_truncation(spec.tokens)
        padding = {**(self._tokenizer.padding or {}), "length": spec.tokens, "pad_to_multiple_of": None}
        self._tokenizer.enable_padding(**padding)
        row = _row_bytes(spec)
        _check_size(folder / spec.table, self._tokenizer.get_vocab_size(), row)
        _check_size(folder / spec.positions, spec.tokens, 4 * spec.width)
        self._table = np.memmap(folder / spec.table, dtype=np.uint8, mode="r").reshape(-1, row)
        self._positions = np.fromfile(folder / spec.positions, dtype="<f4").reshape(spec.tokens, spec.width)

    def inputs(self, sentences: Sequence[str]) -> dict[str, Floats]:
        """{"x": (N, tokens, width), "mask": (N, tokens)} of N sentences; longer ones are cut."""
        # Half a surrogate pair, as from a terminal or JSON, is no text to the tokenizer: it becomes a question mark.
        encodings = self._tokenizer.encode_batch([text.encode(errors="replace").decode() for text in sentences])
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.float32)
        rows = self._rows(self._table[ids.ravel()])
        return {"x": rows.reshape(*ids.shape, self._spec.width) + self._positions, "mask": mask}

    def _rows(self, stored: int4.Packed) -> Floats:
        if self._spec.table_format == "int4":
            return int4.unpack(stored, self._spec.width, self._spec.group)
        return stored.view("<f2").astype(np.float32)


def _row_bytes(spec: TextPreprocess) -> int:
    return int4.row_bytes(spec.width, spec.group) if spec.table_format == "int4" else 2 * spec.width


def _open_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
        raise BundleError(f"{path} is not a tokenizer ({error}): convert again") from None


def _check_size(path: Path, tokens: int, row: int) -> None:
    size = path.stat().st_size
    if size != tokens * row:
        raise BundleError(f"{path} has {size} bytes, {tokens} tokens need {row} each: convert again")
