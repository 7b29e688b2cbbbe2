"""Opens a bundle, or refuses it with the name of the file that is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.bundle.manifest import SCHEMA, FileRecord, Manifest
from edge.decode import DecodeError, decode
from edge.errors import BundleError

MANIFEST = "manifest.json"
_AGAIN = "copy it again, or convert again"


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every file was found as the manifest says.

    fingerprint: SHA-256 of the manifest, and so of everything in the bundle; stored with each embedding
    """

    folder: Path
    manifest: Manifest
    fingerprint: str

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Check schema, paths, sizes and checksums. Raises BundleError."""
        content = _read_manifest(folder)
        manifest = _parse(folder, content)
        for name, record in manifest.files.items():
            _check_file(folder, PurePosixPath(name), record)
        return cls(folder=folder, manifest=manifest, fingerprint=hashlib.sha256(content).hexdigest())

    def path(self, inside: PurePosixPath) -> Path:
        """Where a file of the bundle lies on disk."""
        return self.folder / inside


def _read_manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _parse(folder: Path, content: bytes) -> Manifest:
    path = folder / MANIFEST
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is damaged ({error}): {_AGAIN}") from None
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if schema != SCHEMA:
        # Before anything else: another schema's other keys would only bury the one thing that matters.
        raise BundleError(
            f"{path} has schema {schema}, this version reads {SCHEMA}: upgrade reminisce-edge, or convert again"
        )
    try:
        return decode(Manifest, data)
    except DecodeError as error:
        raise BundleError("\n".join(f"{path}: {problem}" for problem in error.problems)) from None


def _check_file(folder: Path, name: PurePosixPath, record: FileRecord) -> None:
    path = folder / name
    # A link could point anywhere, and what it points to could change after the check. realpath: Path.resolve raises
    # RuntimeError on a link to itself.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise BundleError(f"{path} is a link out of the bundle: replace it by the file itself")
    try:
        if path.exists() and not path.is_file():
            raise BundleError(f"{path} is not a file: {_AGAIN}")  # opening a pipe would wait for ever
        size = path.stat().st_size
        if size != record.bytes:
            raise BundleError(f"{path} has {size} bytes, the manifest says {record.bytes}: {_AGAIN}")
        if checksum(path) != record.sha256:
            raise BundleError(f"{path} does not match its checksum in the manifest: {_AGAIN}")
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from error
