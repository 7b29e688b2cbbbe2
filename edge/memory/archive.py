"""An exported memory: a plain tar whose first member, `manifest.json`, says what the others are.

    manifest.json               see Manifest; padded with spaces, for it is written last
    memory.db                   a SQLite file of the schema that the manifest names
    content/ab/abcdef...        raw items, named by their SHA-256
    activations/ab/....int4     the INT4 cache, as it lies in the memory; may be absent

Members follow in the order of the manifest, as regular files in ustar headers of mode 0600, owner 0 and time 0: the
same memory gives the same bytes. What reads it reads from front to back, believes no header that the manifest does not
announce, and unpacks no other kind of member.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import BinaryIO

from edge.decode import DecodeError, decode
from edge.errors import StoreError
from edge.memory.cache.catalogue import Kept

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "memory.db"
BLOCK = tarfile.BLOCKSIZE
_AT_ONCE = 1 << 20
_MOST_BYTES = 256 << 20  # of a manifest: more than a million members
_LINE = re.compile(r"([0-9a-f]{64})  (0|[1-9]\d{0,15})  (\S+)", re.ASCII)
_CONTENT = re.compile(r"content/([0-9a-f]{2})/(\1[0-9a-f]{62})", re.ASCII)
_ACTIVATION = re.compile(r"activations/([0-9a-f]{2})/(\S+)", re.ASCII)


class ArchiveError(StoreError):
    """The file is no whole export, or not what it says it is."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its name in the archive, its bytes, the SHA-256 of them in hex."""

    name: str
    size: int
    sha256: str

    @property
    def line(self) -> str:
        """As the manifest has it."""
        return f"{self.sha256}  {self.size}  {self.name}"

    @classmethod
    def read(cls, line: str) -> Member:
        """Of a line. Raises ValueError on one that names no file of a memory: nothing else is unpacked."""
        found = _LINE.fullmatch(line)
        if not found:
            raise ValueError(f"{line[:100]!r} is no checksum, size and name")
        sha256, size, name = found.groups()
        content, activation = _CONTENT.fullmatch(name), _ACTIVATION.fullmatch(name)
        is_ours = content[2] == sha256 if content else activation and Kept.named(activation[1], activation[2])
        if name != DATABASE and not is_ours:
            raise ValueError(f"{name[:100]!r} is no file of a memory")
        return cls(name, int(size), sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive says of itself.

    format:      of the archive, 1; schema: of the database
    model:       name of the model that the device used
    bundles:     items that each bundle has embedded, by its fingerprint
    items, content, activations: how many there are
    members:     a line for each, `Member.line`, in their order
    """

    format: int
    schema: int
    model: str
    bundles: Mapping[str, int]
    items: int
    content: int
    activations: int
    members: tuple[str, ...]


def encode(manifest: Manifest, size: int = 0) -> bytes:
    """JSON, padded to `size` bytes."""
    text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1)
    return text.encode().ljust(size - 1) + b"\n"


def header(name: str, size: int) -> bytes:
    """The tar header of a member. Raises ValueError where ustar has no room for it."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def padding(size: int) -> bytes:
    """What follows a member of so many bytes."""
    return bytes(-size % BLOCK)


def end(size: int) -> bytes:
    """What follows the last member, in an archive that has `size` bytes so far."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


def read_manifest(file: BinaryIO) -> tuple[Manifest, list[Member]]:
    """The first member. Raises ArchiveError."""
    size = _header(file, MANIFEST)
    if not 0 < size <= _MOST_BYTES:
        raise ArchiveError(f"its {MANIFEST} has {size} bytes: it is no export of reminisce")
    try:
        said = json.loads(b"".join(_data(file, size, MANIFEST)))
        found = said.get("format") if isinstance(said, dict) else None
        if isinstance(found, int) and found != FORMAT:
            raise ArchiveError(f"it has format {found}, this version reads {FORMAT}: import it with the one that did")
        manifest = decode(Manifest, said)
        members = [Member.read(line) for line in manifest.members]
    except (ValueError, RecursionError, DecodeError) as error:
        raise ArchiveError(f"its {MANIFEST} cannot be read: {str(error)[:300]}") from None
    if [member.name for member in members].count(DATABASE) != 1 or len({one.name for one in members}) < len(members):
        raise ArchiveError(f"its {MANIFEST} names a file twice, or no {DATABASE}")
    return manifest, members


def read_member(file: BinaryIO, member: Member, write: Callable[[bytes], object]) -> None:
    """The next member, in pieces. Raises ArchiveError when it is not `member`, byte for byte."""
    if (size := _header(file, member.name)) != member.size:
        raise ArchiveError(f"{member.name} has {size} bytes there, {member.size} by its manifest")
    checksum = hashlib.sha256()
    for piece in _data(file, size, member.name):
        checksum.update(piece)
        write(piece)
    if checksum.hexdigest() != member.sha256:
        raise ArchiveError(f"{member.name} does not match its checksum")


def read_end(file: BinaryIO) -> None:
    """Raises ArchiveError when something follows."""
    while block := file.read(_AT_ONCE):
        if block.strip(b"\0"):
            raise ArchiveError("it goes on behind the last file of its manifest")


def _header(file: BinaryIO, name: str) -> int:
    """Bytes of the next member, which must be the regular file `name`."""
    block = file.read(BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError):
        what = "ends" if len(block) < BLOCK or not block.strip(b"\0") else "is damaged"
        raise ArchiveError(f"it {what} where {name} should begin") from None
    # Links, devices and folders have another type; so have the extensions of tar that name or size what follows.
    if (info.name, info.type) != (name, tarfile.REGTYPE) or info.size < 0:
        raise ArchiveError(f"it has {info.name[:100]!r} where {name} should be")
    return info.size


def _data(file: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        piece = file.read(min(left, _AT_ONCE))
        if not piece:
            raise ArchiveError(f"it ends in {name}")
        left -= len(piece)
        yield piece
    if len(file.read(-size % BLOCK)) != -size % BLOCK:
        raise ArchiveError(f"it ends behind {name}")
