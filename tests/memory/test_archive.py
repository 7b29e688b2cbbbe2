"""What is no whole export changes nothing, whatever it is: damaged, cut short, or made to do harm."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StoreError
from edge.items import Arrival, Verdict
from edge.memory import InUse, Memory, export, import_memory
from edge.memory.archive import ArchiveError, Member, padding

Keep = Callable[..., list[Verdict]]
CAT = hashlib.sha256(b"cat").hexdigest()
CAT_FILE = f"content/{CAT[:2]}/{CAT}"


@dataclass
class Forged:
    """An archive taken apart; whatever is changed, its manifest fits unless it was changed by hand."""

    manifest: dict[str, Any]
    members: list[tuple[tarfile.TarInfo, bytes]]

    @classmethod
    def of(cls, file: Path) -> Forged:
        with tarfile.open(file) as archive:
            found = [(one, archive.extractfile(one).read()) for one in archive]  # type: ignore[union-attr]
        (_, manifest), *members = found
        return cls(json.loads(manifest), members)

    def replace(self, name: str, content: bytes) -> None:
        for member, _ in self.members:
            if member.name == name:
                member.size = len(content)
        self.members = [(member, content if member.name == name else data) for member, data in self.members]

    def add(self, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, link, len(content)
        self.members.append((member, content))

    def edit(self, change: str, tmp_path: Path) -> None:
        """The database, by statements."""
        copy = tmp_path / "edited.db"
        copy.write_bytes(next(data for member, data in self.members if member.name == "memory.db"))
        with contextlib.closing(sqlite3.connect(copy)) as rows:
            rows.executescript(change)
        self.replace("memory.db", copy.read_bytes())

    def write(self, file: Path, **said: Any) -> Path:
        lines = [
            f"{hashlib.sha256(data).hexdigest()}  {len(data)}  {member.name}"
            for member, data in self.members
            if member.type == tarfile.REGTYPE
        ]
        manifest = json.dumps({**self.manifest, "members": lines, **said}).encode()
        first = tarfile.TarInfo("manifest.json")
        first.size = len(manifest)
        with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(first, io.BytesIO(manifest))
            for member, data in self.members:
                archive.addfile(member, io.BytesIO(data))
        return file


ONE = InUse(fingerprint="bundle one", dimension=8, exits={"image": frozenset({4, 8, 11})}, hashes=())


@pytest.fixture
def good(tmp_path: Path, keep: Keep) -> Path:
    """Of a memory with a cat and a dog."""
    with Memory(tmp_path / "origin", "bundle one") as memory:
        keep(memory, "cat", "dog")
        export(memory.folder, tmp_path / "good.tar", "demo")
    return tmp_path / "good.tar"


@pytest.fixture
def forged(good: Path) -> Forged:
    return Forged.of(good)


@pytest.fixture
def refused(tmp_path: Path, keep: Keep) -> Callable[[Path], str]:
    """Imports a file into a memory with a fox, sees that it is refused and nothing changed, and returns why."""
    folder = tmp_path / "ours"
    with Memory(folder, "bundle one") as memory:
        keep(memory, "fox")

    def look() -> tuple[list[str], list[str]]:
        with Memory(folder, "bundle one") as memory:
            assert memory.tally.items == 1
        with contextlib.closing(sqlite3.connect(folder / "memory.db")) as rows:
            lines = [line for line in rows.iterdump() if "clock" not in line]
        return lines, sorted(
            str(path) for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in {".tar", ".db"}
        )

    before = look()

    def check(file: Path) -> str:
        with pytest.raises(ArchiveError) as error:
            import_memory(file, folder, ONE)
        assert look() == before
        found, _, why = str(error.value).partition(" cannot be imported, and nothing was changed: ")
        assert found == str(file)
        return why

    return check


Refused = Callable[[Path], str]


def test_forger_makes_good_archives_too(forged: Forged, tmp_path: Path) -> None:
    assert import_memory(forged.write(tmp_path / "again.tar"), tmp_path / "there", ONE).new == 2


def test_file_that_is_cut_short_anywhere_is_refused(good: Path, tmp_path: Path, refused: Refused) -> None:
    whole = good.read_bytes().rstrip(b"\0")
    for length in (0, 100, 512, 700, 1536, len(whole) // 2, len(whole) - 1):
        (tmp_path / "short.tar").write_bytes(whole[:length])
        assert refused(tmp_path / "short.tar").startswith("it ends ")


def test_byte_that_changed_is_found_wherever_it_is(good: Path, tmp_path: Path) -> None:
    whole = good.read_bytes()
    dice = random.Random(7)  # noqa: S311 - not for secrets
    with tarfile.open(good) as archive:
        sizes = [(member.offset_data, member.size) for member in archive]
    for place in [dice.randrange(start, start + size) for start, size in sizes for _ in range(6)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << dice.randrange(1, 6)
        (tmp_path / "changed.tar").write_bytes(changed)
        try:
            import_memory(tmp_path / "changed.tar", tmp_path / "there", ONE)
        except ArchiveError:
            continue
        # The name of the model, or space between words of the manifest: what was imported is right all the same.
        assert place < sizes[0][0] + sizes[0][1]
        with Memory(tmp_path / "there", "bundle one") as memory:
            assert [memory.content(memory.item(number)) for number in (1, 2)] == [b"cat", b"dog"]


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "/escaped",
        "content/../../escaped",
        f"content/{CAT[:2]}/../{CAT}",
        "content/ab",
        "memory.db-wal",
        "lock",
        "activations/00/../../escaped",
        "activations/05/1-3-0-100-5-7.int4",
        f"content/{'f' * 2}/{'f' * 64}",
    ],
)
def test_name_that_is_no_file_of_a_memory_is_refused(
    forged: Forged, tmp_path: Path, refused: Refused, name: str
) -> None:
    forged.add(name, b"harm")
    why = refused(forged.write(tmp_path / "bad.tar"))
    assert why == f"its manifest.json cannot be read: {name!r} is no file of a memory"
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_member_that_is_no_regular_file_is_refused(
    forged: Forged, tmp_path: Path, refused: Refused, kind: bytes
) -> None:
    forged.members.insert(0, forged.members.pop())
    member, data = forged.members[0]
    file = tmp_path / "bad.tar"
    said = [Member(one.name, len(content), hashlib.sha256(content).hexdigest()).line for one, content in forged.members]
    link = tarfile.TarInfo(member.name)
    link.type, link.linkname = kind, "/etc/passwd"
    forged.members[0] = (link, b"")
    assert refused(forged.write(file, members=said)) == f"it has {member.name!r} where {member.name} should be"
    assert data


def test_long_names_and_sizes_by_extended_headers_are_not_read(
    forged: Forged, tmp_path: Path, refused: Refused
) -> None:
    file = forged.write(tmp_path / "bad.tar")
    whole = file.read_bytes()
    extension = tarfile.TarInfo("./PaxHeaders/x")
    extension.type, extension.size = tarfile.XHDTYPE, 1 << 40
    file.write_bytes(extension.tobuf(tarfile.GNU_FORMAT) + whole)
    assert refused(file) == "it has './PaxHeaders/x' where manifest.json should be"


def test_manifest_without_end_is_not_read(tmp_path: Path, refused: Refused) -> None:
    first = tarfile.TarInfo("manifest.json")
    first.size = 1 << 40
    (tmp_path / "bad.tar").write_bytes(first.tobuf(tarfile.GNU_FORMAT) + b"{" * 2_000)
    assert refused(tmp_path / "bad.tar").endswith(f"has {1 << 40} bytes: it is no export of reminisce")


def test_member_that_is_larger_than_announced_is_not_read(forged: Forged, tmp_path: Path, refused: Refused) -> None:
    said = [Member(one.name, len(data), hashlib.sha256(data).hexdigest()).line for one, data in forged.members]
    forged.replace(CAT_FILE, bytes(3_000_000))
    assert refused(forged.write(tmp_path / "bad.tar", members=said)) == (
        f"{CAT_FILE} has 3000000 bytes there, 3 by its manifest"
    )


def test_what_the_manifest_does_not_name_is_refused(forged: Forged, tmp_path: Path, refused: Refused) -> None:
    said = [Member(one.name, len(data), hashlib.sha256(data).hexdigest()).line for one, data in forged.members]
    assert "it goes on behind the last file" in refused(forged.write(tmp_path / "bad.tar", members=said[:-1]))
    forged.members.reverse()
    assert "should be" in refused(forged.write(tmp_path / "bad.tar", members=said))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"format": 2}, "it has format 2, this version reads 1: import it with the one that did"),
        ({"schema": 9}, "it has schema 9, this version reads 8: use the version that wrote it"),
        ({"members": []}, "its manifest.json names a file twice, or no memory.db"),
        ({"members": ["x"]}, "its manifest.json cannot be read: 'x' is no checksum, size and name"),
        ({"items": "many"}, "its manifest.json cannot be read: items is 'many'"),
        ({"more": 1}, "its manifest.json cannot be read: more is not a key"),
    ],
)
def test_manifest_that_is_wrong_is_refused(
    forged: Forged, tmp_path: Path, refused: Refused, said: dict[str, Any], why: str
) -> None:
    assert refused(forged.write(tmp_path / "bad.tar", **said)).startswith(why)


def test_file_of_another_kind_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "bad.tar").write_bytes(b"PK\3\4" + bytes(range(256)) * 40)
    assert refused(tmp_path / "bad.tar") == "it is damaged where manifest.json should begin"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END", "its database has a trigger"),
        ("CREATE VIEW v AS SELECT 1", "its database has a view"),
        ("DROP TABLE embeddings", "its database is not what its schema says"),
        ("ALTER TABLE items DROP COLUMN evicted", "its database is not what its schema says"),
        ("UPDATE items SET digest = x'00' WHERE id = 1", "its database has an item whose id is none"),
        ("DELETE FROM items WHERE id = 1", "its database is damaged"),
        ("DELETE FROM embeddings; DELETE FROM items WHERE id = 1", "its database does not have the item"),
        ("UPDATE items SET bytes = 4 WHERE id = 1", "its database does not have the item"),
        ("UPDATE embeddings SET vector = x'0000' WHERE item = 1", "its database has embeddings of several lengths"),
        ("UPDATE items SET id = 9223372036854775807 WHERE id = 1", "its database is damaged"),
        ("UPDATE embeddings SET vector = x'0000'", "its database has embeddings of 2 bytes, the bundle's have 16"),
        (
            "UPDATE embeddings SET depth = 99 WHERE item = 2",
            "its database has embeddings of depth 99, where the bundle",
        ),
        ("UPDATE items SET modality = 'smell' WHERE id = 2", "its database has items of the modality 'smell', which"),
        ("UPDATE items SET sightings = 0 WHERE id = 2", "its database has an item that never came"),
        ("UPDATE items SET added_at = -1", "its database has an item that never came, or at a time that is none"),
        ("UPDATE items SET taken_at = 253402300799.5 WHERE id = 1", "its database has an item that never came"),
        ("UPDATE items SET seen_at = 9e999 WHERE id = 1", "its database has an item that never came"),
    ],
)
def test_database_that_is_none_of_ours_is_refused(
    forged: Forged, tmp_path: Path, refused: Refused, change: str, why: str
) -> None:
    forged.edit(f"PRAGMA foreign_keys = OFF; {change};", tmp_path)
    assert refused(forged.write(tmp_path / "bad.tar")).startswith(why)


KEYS = "WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {}) SELECT {}, 'k' || k, 'v' FROM n"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (KEYS.format(17, 1), "meta has 17 keys: 16 at most"),
        ("SELECT 1, 'a key', 'v'", "meta has the key 'a key': must be 1 to 64 of A-Z, a-z, 0-9, _, . and -"),
        ("SELECT 1, '', 'v'", "meta has the key '': must be"),
        ("SELECT 1, printf('%.3000c', 'k'), 'v'", f"meta has the key '{'k' * 80}': must be"),
        ("SELECT 1, 'k', printf('%.257c', 'v')", "meta.k must be Unicode text of at most 256 characters"),
        ("SELECT 1, 'k', printf('%.9000000c', 'v')", "meta.k must be Unicode text of at most 256 characters"),
        ("SELECT 1, 'k', 'v' || char(0) || 'v'", "meta.k must be Unicode text of at most 256 characters, none"),
        ("SELECT 1, 'k', CAST(x'ff' AS TEXT)", "meta.k must be Unicode text of at most 256 characters, none"),
    ],
)
def test_metadata_that_no_message_could_bring_is_refused_by_its_item(
    forged: Forged, tmp_path: Path, refused: Refused, rows: str, why: str
) -> None:
    forged.edit(f"INSERT INTO meta SELECT 2, 'good', 'one'; INSERT INTO meta {rows};", tmp_path)
    assert refused(forged.write(tmp_path / "bad.tar")).startswith(f"its database has the item {CAT}, whose {why}")


def test_as_much_metadata_as_a_message_may_bring_is_taken(forged: Forged, tmp_path: Path) -> None:
    value = "'" + "ü" * 256 + "'"
    forged.edit(f"INSERT INTO meta {KEYS.format(14, 1)};", tmp_path)
    forged.edit(f"INSERT INTO meta SELECT 1, 'long', {value}; INSERT INTO meta SELECT 1, 'empty', '';", tmp_path)
    import_memory(forged.write(tmp_path / "good.tar"), tmp_path / "there", ONE)
    with Memory(tmp_path / "there", "bundle one") as memory:
        meta = dict(memory.item(1).meta)
        assert (meta["long"], meta["empty"], len(meta)) == ("ü" * 256, "", 16)


def test_database_that_is_no_database_is_refused(forged: Forged, tmp_path: Path, refused: Refused) -> None:
    forged.replace("memory.db", b"no database at all " * 500)
    assert refused(forged.write(tmp_path / "bad.tar")).startswith("its database cannot be read")


def test_refusal_makes_no_memory_where_none_was(good: Path, tmp_path: Path) -> None:
    (tmp_path / "short.tar").write_bytes(good.read_bytes()[:300])
    with pytest.raises(StoreError):
        import_memory(tmp_path / "short.tar", tmp_path / "there", ONE)
    assert not (tmp_path / "there").exists()


def test_members_are_padded_to_whole_blocks(named: Callable[[str], Arrival]) -> None:
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
    assert named("cat").digest.hex() == CAT
