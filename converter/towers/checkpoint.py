"""Opens published checkpoints, whole or not at all: a folder in the Hugging Face layout, or an id on the hub."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from logging import CRITICAL
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from transformers.utils import logging
from transformers.utils.hub import cached_file

from converter.towers.tower import Origin
from edge.errors import UsageError

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SHOWN = 3  # keys of each kind in an error; a whole layer more would hide the rest


class Checkpoint:
    """Where a model's files are. The hub is asked only if there is no folder of that name."""

    def __init__(self, where: Path | str, family: str) -> None:
        """family: the `model_type` that config.json must name. Raises UsageError."""
        self.where, self.family = str(where), family
        self._is_folder = Path(where).is_dir()
        if not self._is_folder and (isinstance(where, Path) or not _HUB_ID.fullmatch(where)):
            raise UsageError(f"{where} is not a folder: name the folder of a {family} checkpoint, or its id on the hub")
        found = self._config().model_type
        if found != family:
            raise UsageError(f"{where} holds a model of type {found!r}: this recipe wants {family!r}")

    def model(self, kind: Any) -> Any:
        """The model of class `kind` with all of its weights, float32, in eval mode.

        Raises one UsageError with the keys that are missing, unexpected, or of another shape.
        """
        if self._is_folder and not any((Path(self.where) / name).is_file() for name in _WEIGHTS):
            raise UsageError(f"{self.where} has no weights: put {_WEIGHTS[0]} or {_WEIGHTS[2]} beside its config.json")
        with self._told(), quiet():
            model, report = kind.from_pretrained(
                self.where,
                local_files_only=self._is_folder,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        problems = (
            _listed("missing", sorted(report["missing_keys"])),
            _listed("unexpected", sorted(report["unexpected_keys"])),
            _listed("of another shape", [_shapes(*key) for key in sorted(report["mismatched_keys"])]),
        )
        if found := [problem for problem in problems if problem]:
            raise UsageError(f"{self.where} does not fit {kind.__name__}: {'; '.join(found)}: check config.json")
        return model.eval().requires_grad_(requires_grad=False)

    def file(self, name: str) -> Path | None:
        """A further file of the checkpoint, or None when it has none of that name."""
        if self._is_folder:
            path = Path(self.where) / name
            return path if path.is_file() else None
        with self._told():
            found = cached_file(self.where, name, _raise_exceptions_for_missing_entries=False)
        return None if found is None else Path(found)

    def origin(self) -> Origin:
        """What the manifest says of the weights; the licence is the one that the checkpoint's README.md names."""
        name = Path(self.where).resolve().name if self._is_folder else self.where
        card = self.file("README.md")
        text = card.read_text(encoding="utf-8", errors="replace") if card else ""
        found = re.search(r"^license: *(\S+)", text, re.MULTILINE)
        licence = found[1] if found else "unknown"
        told = f"licence {licence}" if found else "licence not stated"
        return Origin(name=name, licence=licence, credit=f"{self.family} weights of {name}: {told}")

    def _config(self) -> Any:
        if self._is_folder and not (Path(self.where) / "config.json").is_file():
            raise UsageError(f"{self.where} has no config.json: name the folder of a {self.family} checkpoint")
        with self._told(), quiet():  # SigLIP's own config names tokens that it does not have
            return AutoConfig.from_pretrained(self.where, local_files_only=self._is_folder)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever the library raises on damaged files, or without a network, as one error that names the place."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - on damaged files it raises SafetensorError, RuntimeError, KeyError
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UsageError(f"{self.where} cannot be opened as a {self.family} checkpoint: {lines[0]}") from None


def _listed(what: str, keys: Collection[str]) -> str:
    if not keys:
        return ""
    shown = ", ".join(list(keys)[:_SHOWN])
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what} ({shown}{more})"


def _shapes(key: str, found: Any, wanted: Any) -> str:
    return f"{key} is {tuple(found)}, not {tuple(wanted)}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The library prints bars and tables of keys; what matters of them becomes one line of an error."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
