"""Questions and orders over a real broker: one reply each, to whoever asked, and to nobody else."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from brokers import Mosquitto
from edge.errors import RefusedError
from edge.items import Question
from links import WAYS, mqtt_config
from onlooker import Heard, Onlooker
from sinks import TOPICS, Asked, break_off, desk_client
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
MINE, LAST = TOPICS.reply("me", "1"), TOPICS.reply("last", "1")
OURS = {TOPICS.status, TOPICS.info, TOPICS.state, TOPICS.event, TOPICS.query, TOPICS.control}


def asking(text: str = "a beach", **fields: object) -> bytes:
    return json.dumps({"text": text, **fields}).encode()


def replies(onlooker: Onlooker, topic: str = MINE) -> list[Heard]:
    """All that came there, once another question was answered: what comes after another has come already."""
    onlooker.say(TOPICS.control, json.dumps({"op": "ping", "reply_to": LAST}).encode())
    onlooker.wait_on(LAST)
    return onlooker.on(topic)


@every_way
def test_question_is_asked_as_it_came_and_answered_once(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    asked = Asked()
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker, desk_client(config, asked):
        onlooker.say(TOPICS.query, asking(id="7", limit=3, sort="time", refine=False, reply_to=MINE, colour="red"))
        (reply,) = replies(onlooker)
    assert asked.questions == [Question(text="a beach", limit=3, sort="time", refine=False, collapse=True)]
    assert (reply.fields["id"], reply.fields["final"], reply.fields["results"]) == ("7", True, [])
    assert reply.fields["warning"] == "ignored: colour"


def test_question_that_says_no_limit_has_the_configs(mosquitto: Mosquitto) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked):
        onlooker.say(TOPICS.query, asking(reply_to=MINE))
        onlooker.wait_on(MINE)
    assert asked.questions == [Question(text="a beach", limit=5, collapse=True)]


@pytest.mark.parametrize("correlation", [b"", b"\0", b"\xff\xfe\0utf", b"x" * 60_000])
def test_correlation_comes_back_untouched(mosquitto: Mosquitto, correlation: bytes) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()):
        onlooker.say(TOPICS.query, asking(), reply_topic=MINE, correlation=correlation)
        onlooker.say(TOPICS.query, b"no JSON", reply_topic=MINE, correlation=correlation)
        assert [one.correlation for one in onlooker.wait_on(MINE, 2)] == [correlation] * 2


def test_question_without_correlation_is_answered_without_one(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()):
        onlooker.say(TOPICS.query, asking(id="7"), reply_topic=MINE)
        (reply,) = onlooker.wait_on(MINE)
    assert (reply.correlation, reply.fields["id"]) == (None, "7")


def test_property_goes_before_the_field_and_there_is_one_reply(mosquitto: Mosquitto) -> None:
    other = TOPICS.reply("me", "2")
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()):
        onlooker.say(TOPICS.query, asking(reply_to=other), reply_topic=MINE, correlation=b"1")
        assert len(replies(onlooker)) == 1
        assert onlooker.on(other) == []


@both
@pytest.mark.parametrize("qos", [0, 1])
def test_reply_has_the_qos_of_the_question_and_is_not_retained(mosquitto: Mosquitto, protocol: Any, qos: int) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), Asked()):
        onlooker.say(TOPICS.query, asking(reply_to=MINE), qos=qos)
        assert [one.qos for one in onlooker.wait_on(MINE)] == [qos]
    with Onlooker(mosquitto.port) as later:
        later.wait_on(TOPICS.status)
        assert later.on(MINE) == []


@both
@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (TOPICS.query, asking(" ", reply_to=MINE), "bad_request"),
        (TOPICS.query, asking(reply_to=MINE, v=2), "version"),
        (TOPICS.query, asking(reply_to=MINE, budget_j=1), "not_supported"),
        (TOPICS.control, b'{"op": "format", "reply_to": "reminisce/dev1/reply/me/1"}', "bad_request"),
        (TOPICS.control, b'{"op": "reindex", "reply_to": "reminisce/dev1/reply/me/1"}', "not_supported"),
    ],
)
def test_message_that_is_not_valid_is_answered_with_one_error(
    mosquitto: Mosquitto, protocol: Any, topic: str, payload: bytes, code: str
) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), asked):
        onlooker.say(topic, payload)
        (reply,) = replies(onlooker)
    assert (reply.fields["final"], reply.fields["error"]["code"]) == (True, code)
    assert asked.questions == []


def test_question_that_is_too_large_is_answered_where_a_property_says_where(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()):
        onlooker.say(TOPICS.query, b"x" * 70_000, reply_topic=MINE, correlation=b"1")
        (reply,) = replies(onlooker)
    assert reply.fields["error"] == {"code": "too_large", "message": "the payload has 70000 bytes, 65536 at most"}


@both
def test_flood_of_questions_without_a_reply_topic_is_one_line_of_the_log(
    mosquitto: Mosquitto, protocol: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked()
    with (
        caplog.at_level(logging.INFO),
        Onlooker(mosquitto.port) as onlooker,
        desk_client(mqtt_config(mosquitto, protocol), asked),
    ):
        for number in range(50):
            onlooker.say(TOPICS.query, asking(f"question {number}"))
            onlooker.say(TOPICS.query, b"no JSON")
        onlooker.say(TOPICS.query, asking("the last", reply_to=MINE))
        onlooker.wait_on(MINE)
    assert [question.text for question in asked.questions] == ["the last"]
    lines = [line for line in caplog.messages if "has no valid reply topic" in line]
    assert lines == [f"a message to {TOPICS.query} has no valid reply topic: not answered"]


@both
def test_question_or_order_without_room_is_answered_with_busy(mosquitto: Mosquitto, protocol: Any) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), Asked(room=0)):
        onlooker.say(TOPICS.query, asking(id="7", reply_to=MINE))
        onlooker.say(TOPICS.control, json.dumps({"op": "ping", "id": "8", "reply_to": MINE}).encode())
        answers = [reply.fields for reply in onlooker.wait_on(MINE, 2)]
    busy = {"code": "busy", "message": "too many are waiting: ask again later"}
    assert answers == [{"v": 1, "id": id_, "final": True, "error": busy} for id_ in ("7", "8")]


def test_question_that_was_refused_later_is_answered_with_that(mosquitto: Mosquitto) -> None:
    asked = Asked(answer=RefusedError("expired", "too late"))
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked):
        onlooker.say(TOPICS.query, asking(id="7"), reply_topic=MINE, correlation=b"1")
        (reply,) = replies(onlooker)
    assert reply.fields == {"v": 1, "id": "7", "final": True, "error": {"code": "expired", "message": "too late"}}
    assert reply.correlation == b"1"


@both
def test_order_is_carried_out_and_answered(mosquitto: Mosquitto, protocol: Any) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), asked):
        for op in ("ping", "pause", "resume"):
            onlooker.say(TOPICS.control, json.dumps({"op": op, "id": op, "x": 1, "reply_to": MINE}).encode())
        answers = [reply.fields for reply in onlooker.wait_on(MINE, 3)]
    assert asked.orders == ["ping", "pause", "resume"]
    assert answers == [
        {"v": 1, "id": op, "final": True, "op": op, "paused": op == "pause", "warning": "ignored: x"}
        for op in ("ping", "pause", "resume")
    ]


OUTSIDE = [
    "",
    "reminisce/dev1/reply/",
    "reminisce/dev1/status",
    "reminisce/dev1/query",
    "reminisce/dev1/control",
    "reminisce/dev1/ingest",
    "reminisce/dev2/reply/me/1",
    "homeassistant/device/x/config",
    "$SYS/x",
    "x",
    "reminisce/dev1/reply/\0",
    "reminisce/dev1/reply/" + "x" * 500,
]
WILD = ["#", "reminisce/dev1/reply/#", "reminisce/dev1/reply/+/1", "reminisce/+/reply/me/1"]


@pytest.mark.parametrize("topic", [*OUTSIDE, *WILD])
def test_reply_goes_nowhere_but_below_the_reply_topic(mosquitto: Mosquitto, topic: str) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked):
        for payload in (asking(reply_to=topic), b'{"v": 2, "reply_to": ' + json.dumps(topic).encode() + b"}"):
            onlooker.say(TOPICS.query, payload)
            onlooker.say(TOPICS.control, payload)
        replies(onlooker)
        said = [one for one in onlooker.heard if one.topic not in OURS | {LAST}]
        assert said == []
        assert [one.payload for one in onlooker.on(TOPICS.status)] == [b"online"]
        assert len(onlooker.on(TOPICS.query)) == 2
    assert asked.questions == []


@pytest.mark.parametrize("topic", [topic for topic in OUTSIDE if topic and "\0" not in topic])
def test_reply_goes_nowhere_else_either_where_a_property_says_so(mosquitto: Mosquitto, topic: str) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked):
        onlooker.say(TOPICS.query, asking(reply_to=MINE), reply_topic=topic, correlation=b"1")
        assert replies(onlooker) == []
        assert {one.topic for one in onlooker.heard} <= OURS | {LAST}
    assert asked.questions == []


@both
def test_retained_questions_and_orders_are_not_answered(mosquitto: Mosquitto, protocol: Any) -> None:
    asked = Asked()
    with Onlooker(mosquitto.port) as onlooker:
        onlooker.say(TOPICS.query, asking(reply_to=MINE), is_retained=True)
        onlooker.say(TOPICS.control, json.dumps({"op": "pause", "reply_to": MINE}).encode(), is_retained=True)
        with desk_client(mqtt_config(mosquitto, protocol), asked):
            assert replies(onlooker) == []
    assert (asked.questions, asked.orders) == ([], ["ping"])


def test_many_questions_of_many_askers_have_one_reply_each(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()):
        for number in range(200):
            onlooker.say_all(TOPICS.query, [asking(id=str(number), reply_to=TOPICS.reply(f"me{number % 7}", "x"))])
        for asker in range(7):
            wanted = [str(number) for number in range(asker, 200, 7)]
            answers = onlooker.wait_on(TOPICS.reply(f"me{asker}", "x"), len(wanted))
            assert [reply.fields["id"] for reply in answers] == wanted


def test_reply_given_while_there_is_no_connection_arrives_later(mosquitto: Mosquitto) -> None:
    asked = Asked(answer=None)
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked) as desk:
        onlooker.say(TOPICS.query, asking(id="7", reply_to=MINE))
        wait_until(lambda: asked.replies, "the question")
        break_off(desk)
        asked.replies[0](RefusedError("internal", "late"))
        assert [one.fields["id"] for one in onlooker.wait_on(MINE)] == ["7"]
