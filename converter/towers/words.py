"""The host side of a published text model: tokenizer, token table and places, as the device needs them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from torch import nn

from converter.towers.checkpoint import Checkpoint
from converter.towers.tower import Origin
from edge.errors import UsageError


@dataclass(slots=True, kw_only=True)
class WordTower:
    """See QueryTower."""

    origin: Origin
    segment: nn.Module
    layers: int
    width: int
    features: int
    tokens: int
    masked: bool
    table: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float32]
    tokenizer: Path
    published: nn.Module | None


@dataclass(frozen=True, slots=True)
class Words:
    """table: (vocabulary, W), a row for each token of the tokenizer; positions: (tokens, W); both float32."""

    tokenizer: Path
    table: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float32]


def published_words(checkpoint: Checkpoint, embeddings: Any, tokens: int, pad: str) -> Words:
    """Of a text model with `token_embedding` and `position_embedding`; pad: the token behind a short sentence.

    Raises UsageError without a tokenizer.json, and where it does not fit the table.
    """
    file = checkpoint.file("tokenizer.json")
    if file is None:
        raise UsageError(
            f"{checkpoint.where} has no tokenizer.json: put the one of the published checkpoint beside config.json"
        )
    tokenizer = _opened(file)
    table = embeddings.token_embedding.weight.detach().numpy()
    size = tokenizer.get_vocab_size()
    last = max(tokenizer.get_vocab().values(), default=-1)
    if not last < size <= len(table):
        raise UsageError(
            f"{file} has {size} tokens, the last is number {last}, and the checkpoint has {len(table)} token rows:"
            " it is the tokenizer of another model"
        )
    positions = embeddings.position_embedding.weight.detach().numpy()[:tokens]
    return Words(_padding(tokenizer, file, pad), table[:size], positions)


def _opened(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
        raise UsageError(f"{file} is not a tokenizer ({error}): take the one of the published checkpoint") from None


def _padding(tokenizer: Tokenizer, file: Path, pad: str) -> Path:
    """The tokenizer's file with `pad` in it, which checkpoints keep elsewhere; in a folder that goes with the process.

    Its own folder may be read-only, and is not ours.
    """
    number = tokenizer.token_to_id(pad)
    if number is None:
        raise UsageError(f"{file} has no token {pad!r}, which stands behind short sentences: it is of another model")
    tokenizer.no_truncation()
    tokenizer.enable_padding(pad_id=number, pad_token=pad)
    folder = Path(tempfile.mkdtemp(prefix="reminisce-tokenizer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def sentence_length(wanted: int, own: int, *, fixed: bool, where: str) -> int:
    """Tokens of the longest sentence; 0 takes the checkpoint's own. fixed: no other length gives the same vectors."""
    if fixed and wanted not in (0, own):
        raise UsageError(f"query.tokens is {wanted}: {where} reads the padding too, so it must be 0 or {own}")
    if wanted > own:
        raise UsageError(f"query.tokens is {wanted}: {where} has places for {own}: must be 0, or {own} at most")
    return wanted or own
