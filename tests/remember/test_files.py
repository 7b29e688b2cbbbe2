"""Files named by path: those below the allowed folders are read; of all others nothing is opened and nothing told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config import RememberConfig
from edge.errors import UnreadableItemError
from edge.remember import Inbox
from edge.remember.files import LARGEST_FILE, read_below
from told import Told
from waiting import wait_until

OUTSIDE = "the path lies outside of remember.roots"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"a cat")
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_bytes(b"a secret")
    return file


def refusal_of(roots: list[Path], path: Path | str) -> str:
    with pytest.raises(UnreadableItemError) as caught:
        read_below([str(root) for root in roots], str(path))
    return str(caught.value)


@pytest.fixture(autouse=True)
def _leaves_no_file_open(tmp_path: Path, open_below: Callable[[Path], list[str]]) -> Iterator[None]:
    yield
    assert open_below(tmp_path) == []


def test_file_below_a_root_is_read(root: Path, tmp_path: Path) -> None:
    (root / "2025" / "may").mkdir(parents=True)
    (root / "2025" / "may" / "dog.jpg").write_bytes(b"a dog")
    other = tmp_path / "other"
    other.mkdir()
    (other / "cow.jpg").write_bytes(b"a cow")
    roots = [str(root), str(other)]
    assert read_below(roots, str(root / "cat.jpg")) == b"a cat"
    assert read_below(roots, str(root / "2025/../2025/may/dog.jpg")) == b"a dog"
    assert read_below(roots, str(other / "cow.jpg")) == b"a cow"


def test_links_that_stay_inside_and_roots_that_are_links_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "best.jpg").symlink_to("cat.jpg")
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    assert read_below([str(root)], str(root / "best.jpg")) == b"a cat"
    assert read_below([str(alias)], str(root / "cat.jpg")) == b"a cat"
    assert read_below([str(root)], str(alias / "cat.jpg")) == b"a cat"


def test_without_roots_every_path_is_refused(root: Path) -> None:
    expected = "no path is accepted here: send the content, or set remember.roots"
    assert refusal_of([], root / "cat.jpg") == expected


def test_path_that_leads_out_is_refused(root: Path, secret: Path) -> None:
    (root / "link.jpg").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    beside = root.with_name("pictures-of-others")
    beside.mkdir()
    (beside / "cat.jpg").write_bytes(b"not mine")
    for path in (
        secret,
        root / ".." / "secret.txt",
        root / "link.jpg",
        root / "folder" / "secret.txt",
        beside / "cat.jpg",
        "/proc/self/environ",
        "relative.jpg",
    ):
        assert refusal_of([root], path) == OUTSIDE


def test_it_is_not_told_whether_a_file_outside_exists(root: Path, secret: Path) -> None:
    (root / "link.jpg").symlink_to(secret.with_name("nothing.txt"))
    for path in (secret.with_name("nothing.txt"), root / "link.jpg", root / ".." / "nothing.txt"):
        assert refusal_of([root], path) == OUTSIDE


def test_link_that_changes_after_the_first_look_leads_nowhere(
    root: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = root / "link.jpg"
    link.symlink_to("cat.jpg")
    really_open = os.open

    def swap_and_open(path: str, flags: int) -> int:
        link.unlink()
        link.symlink_to(secret)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", swap_and_open)
    assert refusal_of([root], link) == OUTSIDE


def test_what_is_no_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    (root / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.jpg"))
        assert refusal_of([root], root / "socket.jpg").startswith("the file cannot be read: ")
    for name in ("pipe.jpg", "folder.jpg", ""):
        assert refusal_of([root], root / name) == "the path is not a file"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.jpg", "No such file or directory"),
        ("cat.jpg/more", "Not a directory"),
        ("loop.jpg", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
        ("a\0b", "embedded null byte"),
        ("\ud800.jpg", "'utf-8' codec can't encode character"),
    ],
    ids=["gone", "below a file", "loop", "long", "null", "surrogate"],
)
def test_file_that_cannot_be_opened_is_refused_with_the_reason(root: Path, path: str, reason: str) -> None:
    (root / "loop.jpg").symlink_to("loop.jpg")
    assert refusal_of([root], f"{root}/{path}").startswith(f"the file cannot be read: {reason}")


def test_file_that_is_too_large_is_refused_with_both_sizes(root: Path) -> None:
    with (root / "large.jpg").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    expected = f"the file has {LARGEST_FILE + 1} bytes, {LARGEST_FILE} at most: scale it down"
    assert refusal_of([root], root / "large.jpg") == expected
    os.truncate(root / "large.jpg", LARGEST_FILE)
    assert len(read_below([str(root)], str(root / "large.jpg"))) == LARGEST_FILE


def test_odd_paths_are_rejected_and_the_inbox_lives(
    make_inbox: Callable[[RememberConfig], Inbox],
    told: Told,
    send: Callable[..., bool],
    photo: Callable[[int], bytes],
    root: Path,
    secret: Path,
) -> None:
    os.mkfifo(root / "pipe.jpg")
    (root / "folder").mkdir()
    (root / "photo.png").write_bytes(photo(1))
    odd = [secret, root / "pipe.jpg", root / "folder", root / "gone.jpg", f"{root}/a\0b", f"{root}/\ud800", ""]
    with make_inbox(RememberConfig(min_free_mb=0, roots=(str(root),))) as inbox:
        for path in (*odd, root / "cat.jpg", root / "photo.png"):
            send(inbox, path=path)
        wait_until(lambda: len(told.verdicts) == len(odd) + 2)
    *unread, no_picture, accepted = told.verdicts
    assert {(verdict.state, verdict.digest) for verdict in unread} == {("rejected", None)}
    assert all(verdict.reason for verdict in unread)
    assert (no_picture.state, no_picture.reason[:13]) == ("rejected", "not a picture")
    assert no_picture.digest is not None
    assert accepted.state == "accepted"
    assert told.failures == []
