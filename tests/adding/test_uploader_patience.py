"""The uploader when answers get lost, when the device is busy, and when nobody answers at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from edge.adding import Sent, Uploader, uploader
from edge.errors import BrokerError
from edge.mqtt import Requester, Topics
from waiting import wait_until

TOPICS = Topics("dev1")
Connect = Callable[..., Requester]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "RESEND_S", 0.3)
    monkeypatch.setattr(uploader, "SILENCE_S", 1.5)


@contextmanager
def adding(ours: Uploader, client: Requester, files: list[Path]) -> Iterator[list[Sent]]:
    """In a thread; what is told of the files so far."""
    sent: list[Sent] = []
    thread = threading.Thread(target=lambda: sent.extend(ours.add(client, files)))
    thread.start()
    yield sent
    thread.join(20)
    assert not thread.is_alive()


def state(busy: str | None = None) -> bytes:
    return json.dumps({"backlog": 3, **({"busy": busy} if busy else {})}).encode()


def test_answer_that_is_lost_is_asked_for_and_counts_as_accepted(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    keeps = pretender.on_content
    pretender.on_content = lambda name, content: keeps(name, content)[1:]  # it is kept, and never said
    ours = Uploader()
    with connect(ours) as client:
        sent = list(ours.add(client, files))
    assert [one.state for one in sent] == ["accepted"] * len(files)
    assert len(pretender.taken) == len(files)  # and nothing was sent twice
    assert len(pretender.asked) >= 2 * len(files)


def test_content_that_is_lost_is_sent_again(pretender: Any, connect: Connect, files: list[Path]) -> None:
    keeps = pretender.on_content
    pretender.on_content = lambda name, content: keeps(name, content) if pretender.taken.count(content) > 1 else []
    ours = Uploader()
    with connect(ours) as client:
        sent = list(ours.add(client, files))
    assert [one.state for one in sent] == ["accepted"] * len(files)
    assert sorted(pretender.taken) == sorted([file.read_bytes() for file in files] * 2)


def test_question_that_is_lost_is_asked_again(pretender: Any, connect: Connect, files: list[Path]) -> None:
    looks = pretender.on_ask
    pretender.on_ask = lambda name, digest: looks(name, digest) if pretender.asked.count(digest) > 1 else []
    ours = Uploader()
    with connect(ours) as client:
        sent = list(ours.add(client, files))
    assert [one.state for one in sent] == ["accepted"] * len(files)
    assert len(pretender.taken) == len(files)


def test_late_answers_to_old_questions_do_not_send_the_content_again(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    """A daemon that was away answers everything at once: the content, and each question that was asked meanwhile."""
    keeps, answers = pretender.on_content, []
    pretender.on_content = lambda _name, _content: []

    def look(name: str, digest: str) -> list[dict[str, str]]:
        answers.append({"type": "unknown", "id": name, "item": digest})
        if len(answers) == 1:
            return answers
        if len(answers) == 2:
            return []
        pretender.on_content = keeps
        return answers[1:]

    pretender.on_ask = look
    ours = Uploader()
    with connect(ours) as client:
        (sent,) = ours.add(client, files[:1])
    assert sent.state == "accepted"
    assert len(pretender.taken) == 2  # once before it was away, and once for both answers


def test_silence_is_an_error_that_says_how_to_go_on(pretender: Any, connect: Connect, files: list[Path]) -> None:
    pretender.on_ask = lambda _name, _digest: []
    ours = Uploader()
    said = r"^the device 'dev1' has not answered for 2 s: is `reminisce run` up, and may we use its topics\? Run this "
    with connect(ours) as client, pytest.raises(BrokerError, match=said):
        list(ours.add(client, files))


def test_broker_that_does_not_come_back_is_an_error_that_names_it(
    pretender: Any, mosquitto: Mosquitto, connect: Connect, files: list[Path]
) -> None:
    ours = Uploader()
    pretender.on_ask = lambda _name, _digest: []
    with connect(ours) as client:
        threading.Timer(0.5, mosquitto.kill).start()
        with pytest.raises(BrokerError, match=r"^there was no broker for 2 s: "):
            list(ours.add(client, files[:1]))


@pytest.mark.parametrize("reason", ["full", "disk_full"])
def test_busy_device_is_waited_for_and_said(reason: str, pretender: Any, connect: Connect, files: list[Path]) -> None:
    looks = pretender.on_ask
    pretender.on_ask = lambda _name, _digest: [{"type": "busy", "reason": reason}]
    said: list[str] = []
    ours = Uploader(said.append)
    with connect(ours) as client, adding(ours, client, files) as sent:
        wait_until(lambda: said == [reason], "that it is said to be busy")
        time.sleep(2)  # longer than a silence
        assert sent == []
        asked = len(pretender.asked)
        assert asked == len(files)  # nothing is asked again meanwhile
        pretender.on_ask = looks
        pretender.tell({"type": "ready"})
        wait_until(lambda: len(sent) == len(files), "that all are accepted")
    assert said == [reason, ""]
    assert ours.busy == ""


def test_device_that_was_busy_before_is_known_by_its_state(pretender: Any, connect: Connect, files: list[Path]) -> None:
    looks = pretender.on_ask
    pretender.on_ask = lambda _name, _digest: []
    pretender.say(TOPICS.state, state("full"))
    ours = Uploader()
    with connect(ours) as client, adding(ours, client, files) as sent:
        wait_until(lambda: ours.busy == "full", "that it is known to be busy")
        time.sleep(2)  # longer than a silence
        assert sent == []
        pretender.on_ask = looks
        pretender.say(TOPICS.state, state())
        wait_until(lambda: len(sent) == len(files), "that all are accepted")


def test_device_that_was_busy_and_went_offline_is_not_waited_for(
    pretender: Any, connect: Connect, files: list[Path]
) -> None:
    pretender.on_ask = lambda _name, _digest: [{"type": "busy", "reason": "full"}]
    said: list[str] = []
    ours = Uploader(said.append)
    failed: list[BrokerError] = []

    def add(client: Requester) -> None:
        with pytest.raises(BrokerError, match=r"^the device 'dev1' has not answered for 2 s: ") as caught:
            list(ours.add(client, files))
        failed.append(caught.value)

    with connect(ours) as client:
        thread = threading.Thread(target=add, args=(client,))
        thread.start()
        wait_until(lambda: said == ["full"], "that it is said to be busy")
        time.sleep(2)  # longer than a silence
        assert failed == []
        pretender.on_ask = lambda _name, _digest: []
        pretender.say(TOPICS.status, b"offline")
        thread.join(20)
    assert len(failed) == 1
