"""What is asked wrong, or at a bad moment, at a real daemon: each has the answer that PROTOCOL.md says."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from ears import MINE
from edge.errors import RefusedError
from edge.mqtt import Outgoing
from publishers import Publisher, distinct
from siege import Siege
from waiting import wait_until

pytestmark = pytest.mark.slow
LONGEST_S = 60
ITEMS = 24


def ask(siege: Siege, **fields: Any) -> dict[str, Any]:
    with siege.daemon.requester() as client:
        return client.request(siege.daemon.topics.query, {"text": "a square", **fields}, LONGEST_S)


@pytest.mark.parametrize("deadline_ms", [0, -1, 3_600_001, 1_000_000_000])
def test_deadline_that_is_none_is_refused_with_what_is_allowed(besieged: Siege, deadline_ms: int) -> None:
    with pytest.raises(
        RefusedError, match=f"^deadline_ms is {deadline_ms}: must be 1 to 3600000 .bad_request.$"
    ) as caught:
        ask(besieged, deadline_ms=deadline_ms)
    assert caught.value.code == "bad_request"


def test_filter_that_matches_nothing_is_answered_with_nothing(besieged: Siege) -> None:
    for fields in ({"source": "/nowhere"}, {"since": "2099-01-01"}, {"source": "[z]*", "until": 0}):
        reply = ask(besieged, **fields)
        assert (reply["results"], reply["searched"], reply["refined"], reply["cut"]) == ([], 0, 0, False)


def test_page_past_the_end_is_empty_and_one_that_nobody_turns_to_is_refused(besieged: Siege) -> None:
    reply = ask(besieged, offset=10_000)
    assert (reply["results"], reply["searched"] > 0) == ([], True)
    with pytest.raises(RefusedError, match=r"^offset is 10001: must be 0 to 10000 .bad_request.$"):
        ask(besieged, offset=10_001)


def test_pattern_with_nul_in_it_forgets_nothing(besieged: Siege) -> None:
    """To SQLite it ends there, and means all."""
    before = ask(besieged)["searched"]
    with besieged.daemon.requester() as client, pytest.raises(RefusedError, match="none of them NUL"):
        client.request(besieged.daemon.topics.control, {"op": "forget", "source": "*\0nothing"}, LONGEST_S)
    assert ask(besieged)["searched"] == before > 0


@pytest.mark.parametrize("topic", ["query", "control"])
def test_question_that_is_too_large_is_answered_where_a_property_says_where_and_else_dropped(
    besieged: Siege, topic: str
) -> None:
    ears, reply = besieged.ears, besieged.daemon.topics.reply(MINE, "large")
    replied, name = ears.replied, f"large-{topic}"
    payload = json.dumps({"text": "x" * 100_000, "op": "ping", "reply_to": reply}).encode()
    ears.say(Outgoing(f"{besieged.daemon.topics.base}/{topic}", payload))
    ears.say(Outgoing(f"{besieged.daemon.topics.base}/{topic}", payload, reply_topic=reply, correlation=name.encode()))
    ears.wait_for(lambda: ears.replies[name] == 1, "the refusal")
    assert (ears.told[name], ears.replied) == ("too_large", replied + 1)


def test_question_of_ten_megabytes_does_not_reach_the_device(besieged: Siege) -> None:
    ears, topics = besieged.ears, besieged.daemon.topics
    replied = ears.replied
    payload = b'{"text":"' + b"x" * 10_000_000 + b'"}'
    ears.shout(Outgoing(topics.query, payload, reply_topic=topics.reply(MINE, "huge"), correlation=b"huge"))
    assert ask(besieged)["final"] is True  # sent later, answered
    assert ears.replied == replied


def deaf(siege: Siege, name: bytes) -> socket.socket:
    """An MQTT 3.1.1 client that is subscribed to its replies, and never reads any."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((siege.broker.host, siege.broker.port))
    topic = f"{siege.daemon.topics.reply(name.decode(), '#')}".encode()
    client.sendall(b"\x10" + bytes([12 + len(name)]) + b"\0\4MQTT\4\2\0\0\0" + bytes([len(name)]) + name)
    client.sendall(b"\x82" + bytes([5 + len(topic)]) + b"\0\1\0" + bytes([len(topic)]) + topic + b"\1")
    return client


def publish(client: socket.socket, topic: str, payload: bytes) -> None:
    rest = len(topic).to_bytes(2, "big") + topic.encode() + payload
    size, length = len(rest), b""
    while size:
        size, low = divmod(size, 128)
        length += bytes([low | (128 if size else 0)])
    client.sendall(b"\x30" + length + rest)


def test_client_that_never_reads_its_answers_is_answered_all_the_same_and_holds_up_nobody(besieged: Siege) -> None:
    ears, topics = besieged.ears, besieged.daemon.topics
    count, memory = 2_000, besieged.anonymous_mb
    with deaf(besieged, MINE.encode()) as client:
        before = ears.replied
        for number in range(count):
            where = topics.reply(MINE, f"deaf-{number}")
            body = {"text": f"a dog {number % 4}", "refine": False, "limit": 100, "explain": True, "reply_to": where}
            publish(client, topics.query, json.dumps(body).encode())
        ears.wait_for(lambda: ears.replied >= before + count, "the answers that it does not read")
        assert ask(besieged)["final"] is True
    assert ears.replied == before + count
    assert besieged.anonymous_mb - memory < 10


def test_item_forgotten_while_it_is_refined_is_in_no_answer_from_then_on(
    mosquitto: Mosquitto, pictures: list[Path], tmp_path: Path
) -> None:
    mqtt, config = reach(mosquitto), {"remember": {"exit_depth": 8}, "recall": {"pool": ITEMS}}
    with Daemon(folder=tmp_path / "daemon", mqtt=mqtt, config=config) as daemon, Publisher(mqtt, daemon.topics) as app:
        contents = distinct(pictures)
        items = [app.send(next(contents)) for _ in range(ITEMS)]
        app.await_told(items, "indexed")
        whole = {"text": "a dog", "limit": ITEMS, "collapse": False}  # many are copies
        question = {**whole, "stream": True}
        asked = app.ask(daemon.topics.query, **question)
        wait_until(lambda: app.replies(asked), "the coarse answer", LONGEST_S)
        gone = [result["item"] for result in app.replies(asked)[0]["results"]][-ITEMS // 2 :]
        ordered = app.ask(daemon.topics.control, op="forget", items=gone)
        wait_until(lambda: app.replies(asked)[-1]["final"], "the last answer", LONGEST_S)
        wait_until(lambda: app.replies(ordered), "the reply to the order", LONGEST_S)
        assert app.replies(ordered)[0]["count"] == len(gone)
        assert "error" not in app.replies(asked)[-1]
        again = app.ask(daemon.topics.query, **question)
        wait_until(lambda: app.replies(again) and app.replies(again)[-1]["final"], "the answer after it", LONGEST_S)
        left = set(items) - set(gone)
        for reply in app.replies(again):
            assert {result["item"] for result in reply["results"]} == left
        time.sleep(3)  # what the first question finished is written down behind its back by now
        assert b"Traceback" not in daemon.log.read_bytes()
        last = app.ask(daemon.topics.query, **whole)
        wait_until(lambda: app.replies(last), "an answer", LONGEST_S)
        assert {result["item"] for result in app.replies(last)[0]["results"]} == left
        assert app.replies(last)[0]["searched"] == len(left)
