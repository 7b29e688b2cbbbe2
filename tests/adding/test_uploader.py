"""The uploader: each file's fate, with nothing sent in vain and no more on its way than it should be."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.adding import Sent, Uploader, uploader
from edge.errors import BrokerError
from edge.mqtt import Requester, Topics

TOPICS = Topics("dev1")
Connect = Callable[..., Requester]


def item_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def states(sent: list[Sent]) -> dict[str, str]:
    """By the name of the file, each of which must be told once."""
    assert len({one.file for one in sent}) == len(sent)
    return {one.file.name: one.state for one in sent}


def all_are(state: str, files: list[Path]) -> dict[str, str]:
    return {file.name: state for file in files}


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_new_files_are_asked_about_sent_and_accepted(
    protocol: Any, pretender: Any, connect: Connect, files: list[Path]
) -> None:
    for number, file in enumerate(files):
        os.utime(file, (0, number + 0.25))
    uploader = Uploader()
    with connect(uploader, protocol=protocol) as client:
        sent = list(uploader.add(client, files))
        assert set(uploader.follow(client, 20)) <= {None}
    assert states(sent) == all_are("accepted", files)
    assert {one.file: one.item for one in sent} == {file: item_of(file) for file in files}
    assert sorted(pretender.asked) == sorted(map(item_of, files))
    assert sorted(pretender.taken) == sorted(file.read_bytes() for file in files)
    assert sorted(pretender.sources) == sorted(map(str, files))
    assert sorted(pretender.file_ts) == [number + 0.25 for number in range(len(files))]
    assert uploader.embedding == set()


def test_file_that_is_named_from_here_says_its_whole_path(
    pretender: Any, connect: Connect, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files[0].parent)
    uploader = Uploader()
    with connect(uploader) as client:
        (sent,) = uploader.add(client, [Path(files[0].name)])
    assert (sent.file, pretender.sources) == (Path(files[0].name), [str(files[0])])


@pytest.mark.parametrize("changed", [-5.0, 253_402_300_900.0])
def test_file_whose_time_cannot_be_is_sent_all_the_same(
    changed: float, pretender: Any, connect: Connect, files: list[Path]
) -> None:
    os.utime(files[0], (0, changed))
    uploader = Uploader()
    with connect(uploader) as client:
        assert states(list(uploader.add(client, files[:1]))) == all_are("accepted", files[:1])
    assert 0 <= pretender.file_ts[0] <= 253_402_300_799


def test_files_that_are_there_are_not_sent(pretender: Any, connect: Connect, files: list[Path]) -> None:
    pretender.on_ask = lambda name, digest: [{"type": "duplicate", "id": name, "item": digest}]
    uploader = Uploader()
    with connect(uploader) as client:
        assert states(list(uploader.add(client, files))) == all_are("duplicate", files)
    assert pretender.taken == []
    assert uploader.embedding == set()


def test_rejected_file_is_told_with_the_words_of_the_daemon(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    error = {"code": "unreadable", "message": "no picture"}
    pretender.on_content = lambda name, _content: [{"type": "rejected", "id": name, "error": error}]
    uploader = Uploader()
    with connect(uploader) as client:
        (sent,) = uploader.add(client, files[:1])
    assert (sent.state, sent.reason, sent.is_late) == ("rejected", "no picture", False)


def test_file_that_cannot_be_read_is_rejected_and_nothing_is_sent_of_it(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    files[0].unlink()
    files[1].write_bytes(b"")
    uploader = Uploader()
    with connect(uploader) as client:
        sent = {one.file: one for one in uploader.add(client, files)}
    assert [sent[file].state for file in files] == ["rejected", "rejected", "accepted", "accepted", "accepted"]
    assert sent[files[0]].reason == "cannot be read: No such file or directory"
    assert sent[files[1]].reason == "the file is empty"
    assert sent[files[0]].item is None
    assert len(pretender.asked) == 3


def test_same_content_is_sent_once_and_its_other_files_are_duplicates(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    for file in files[1:4]:
        file.write_bytes(files[0].read_bytes())
    uploader = Uploader()
    with connect(uploader) as client:
        sent = states(list(uploader.add(client, files)))
    assert sent == {name.name: "duplicate" for name in files} | {"0.jpg": "accepted", "4.jpg": "accepted"}
    assert len(pretender.taken) == 2


def test_other_files_of_a_content_that_was_rejected_are_tried_each(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    files[1].write_bytes(files[0].read_bytes())
    error = {"code": "too_large", "message": "too many bytes"}
    pretender.on_content = lambda name, _content: [{"type": "rejected", "id": name, "error": error}]
    uploader = Uploader()
    with connect(uploader) as client:
        assert states(list(uploader.add(client, files[:2]))) == all_are("rejected", files[:2])


def test_no_more_files_are_on_their_way_than_allowed(
    pretender: Any, connect: Connect, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "IN_FLIGHT", 2)
    see_how_many_are_on_their_way(pretender, connect, files, 2)


def test_no_more_bytes_are_on_their_way_than_allowed_but_one_file_always(
    pretender: Any, connect: Connect, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "IN_FLIGHT_BYTES", 1)
    see_how_many_are_on_their_way(pretender, connect, files, 1)


def see_how_many_are_on_their_way(pretender: Any, connect: Connect, files: list[Path], most: int) -> None:
    seen: list[int] = []
    fates = itertools.count(1)

    def keep(name: str, content: bytes) -> list[Mapping[str, Any]]:
        seen.append(len(pretender.asked) - next(fates) + 1)
        return list(type(pretender).keep(pretender, name, content))

    pretender.on_content = keep
    ours = Uploader()
    with connect(ours) as client:
        assert len(list(ours.add(client, files))) == len(files)
    assert max(seen) <= most


def test_what_turns_out_to_be_unreadable_is_told_late(pretender: Any, connect: Connect, files: list[Path]) -> None:
    def keep(name: str, content: bytes) -> list[Mapping[str, Any]]:
        accepted, indexed = type(pretender).keep(pretender, name, content)
        if content != files[2].read_bytes():
            return [accepted, indexed]
        return [accepted, {"type": "rejected", "item": indexed["item"], "error": {"code": "x", "message": "broken"}}]

    pretender.on_content = keep
    uploader = Uploader()
    with connect(uploader) as client:
        told = [*uploader.add(client, files), *uploader.follow(client, 20)]
    sent = [one for one in told if one is not None]
    assert states([one for one in sent if not one.is_late]) == all_are("accepted", files)
    (late,) = [one for one in sent if one.is_late]
    assert (late.state, late.item, late.reason) == ("rejected", item_of(files[2]), "broken")
    assert uploader.embedding == set()


def test_following_ends_when_nothing_happens(pretender: Any, connect: Connect, files: list[Path]) -> None:
    pretender.on_content = lambda name, content: type(pretender).keep(pretender, name, content)[:1]
    uploader = Uploader()
    with connect(uploader) as client:
        list(uploader.add(client, files))
        assert list(uploader.follow(client, 0.3)) == []
    assert uploader.embedding == set(map(item_of, files))


def test_following_ends_when_the_state_says_that_nothing_waits(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    pretender.on_content = lambda name, content: type(pretender).keep(pretender, name, content)[:1]
    uploader = Uploader()
    with connect(uploader) as client:
        list(uploader.add(client, files))
        followed = uploader.follow(client, 20)
        pretender.tell({"type": "indexed", "item": item_of(files[0])})
        assert next(followed) is None
        time.sleep(1.1)  # one that comes at once may be of before
        pretender.say(TOPICS.state, json.dumps({"backlog": 0}).encode())
        assert list(followed) == [None] * 4
    assert uploader.embedding == set()


def test_device_that_is_offline_is_an_error_before_anything_is_sent(
    pretender: Any, connect: Connect, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "ONLINE_S", 0.2)
    pretender.say(TOPICS.status, b"offline")
    ours = Uploader()
    with connect(ours) as client, pytest.raises(BrokerError, match="the device 'dev1' is offline at this broker"):
        list(ours.add(client, files))
    assert pretender.asked == []


@pytest.mark.parametrize(
    "payload", [b"", b"no JSON", b"[]", b"7", b"null", b'"x"', b"{}", b'{"type": "accepted"}', b'{"id": "x"}']
)
def test_whatever_else_is_said_changes_nothing(
    payload: bytes, pretender: Any, connect: Connect, files: list[Path]
) -> None:
    uploader = Uploader()
    for topic in (TOPICS.event, TOPICS.state):
        uploader.heard(topic, payload)
    with connect(uploader) as client:
        assert states(list(uploader.add(client, files))) == all_are("accepted", files)
    assert len(pretender.taken) == len(files)


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_note_is_sent_as_one_and_what_is_none_is_told(
    protocol: Any, pretender: Any, connect: Connect, files: list[Path], tmp_path: Path
) -> None:
    note, odd = tmp_path / "note.MD", tmp_path / "odd.txt"
    note.write_text("buy milk")
    odd.write_bytes(b"\xff\xfe")
    uploader = Uploader()
    with connect(uploader, protocol=protocol) as client:
        sent = list(uploader.add(client, [note, odd, files[0]]))
        list(uploader.follow(client, 20))
    assert states(sent) == {"note.MD": "accepted", "odd.txt": "rejected", files[0].name: "accepted"}
    assert next(one.reason for one in sent if one.file == odd).startswith("not a note that can be read")
    assert dict(zip(pretender.taken, pretender.modalities, strict=True)) == {
        b"buy milk": "text",
        files[0].read_bytes(): "image",
    }
