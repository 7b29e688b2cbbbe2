"""What the device says of itself, on each connection, and to brokers that take little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto, plain_mosquitto
from edge.errors import RefusedError
from edge.items import Answer, Hit, Item
from edge.mqtt import Desk
from links import WAYS, mqtt_config
from onlooker import Onlooker
from sinks import TOPICS, Asked, break_off, desk_client
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
MINE = TOPICS.reply("me", "1")
INFO = b'{"v":1,"software":"0"}'


def retained(broker: Mosquitto) -> dict[str, bytes]:
    """What somebody who comes now is told at once."""
    with Onlooker(broker.port) as onlooker:
        onlooker.say("last", b"")
        onlooker.wait_on("last")
        return {one.topic: one.payload for one in onlooker.heard if one.is_retained}


@every_way
def test_device_introduces_itself_and_says_goodbye(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    with desk_client(mqtt_config(mosquitto, protocol, transport), Asked(), INFO) as desk:
        desk.tell_state(b'{"items":1}')
        wait_until(lambda: TOPICS.state in retained(mosquitto), "the state")
        assert retained(mosquitto) == {
            TOPICS.status: b"online",
            TOPICS.info: INFO,
            TOPICS.state: b'{"items":1}',
        }
    assert retained(mosquitto)[TOPICS.status] == b"offline"


@both
def test_device_is_online_only_once_items_can_come(mosquitto: Mosquitto, protocol: Any) -> None:
    desk = Desk(mqtt_config(mosquitto, protocol), TOPICS, None, limit=5)
    with Onlooker(mosquitto.port) as onlooker:
        desk.start(INFO, Asked().ask, Asked().order)
        onlooker.wait_on(TOPICS.info)
        assert onlooker.on(TOPICS.status) == []
        desk.announce()
        onlooker.wait_on(TOPICS.status)
        assert [one.payload for one in onlooker.on(TOPICS.status)] == [b"online"]
        desk.stop()


@both
def test_device_introduces_itself_anew_to_a_broker_that_forgot_everything(mosquitto: Mosquitto, protocol: Any) -> None:
    with desk_client(mqtt_config(mosquitto, protocol), Asked(), INFO) as desk:
        desk.tell_state(b'{"items":1}')
        mosquitto.kill()
        wait_until(lambda: not desk._link.is_up, "the connection ends")
        (mosquitto.folder / "mosquitto.db").unlink(missing_ok=True)
        mosquitto.start()
        wait_until(lambda: TOPICS.status in retained(mosquitto), "it is back")
        assert retained(mosquitto) == {TOPICS.status: b"online", TOPICS.info: INFO, TOPICS.state: b'{"items":1}'}


@both
def test_events_that_came_about_without_a_connection_are_told_afterwards_in_their_order(
    mosquitto: Mosquitto, protocol: Any
) -> None:
    events = [b"%d" % number for number in range(100)]
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), Asked()) as desk:
        break_off(desk)
        for event in events:
            desk.tell_event(event)
        told = [one.payload for one in onlooker.wait_on(TOPICS.event, 100)]
    assert told == events


def small_mosquitto(folder: Path, limit: int) -> Mosquitto:
    broker = plain_mosquitto(folder)
    broker.config += f"max_packet_size {limit}\n"
    return broker


def long_answer() -> Answer:
    """As long as it gets: a thousand sources of a thousand characters, each twelve bytes of JSON."""
    item = Item(
        id=1, digest=bytes(32), modality="image", source="🏖" * 1_000, bytes=9, added_at=1.0, taken_at=None
    )  # fmt: skip
    return Answer(
        question="",
        hits=[Hit(item, 11, 0.5)] * 1_000,
        searched=1_000,
        refined=0,
        cut=False,
        query_ms=0,
        filter_ms=0,
        correct_ms=0,
    )


@both
def test_reply_that_is_too_large_is_one_error_to_the_asker_and_to_nobody_else(
    mosquitto: Mosquitto, protocol: Any
) -> None:
    asked = Asked(answer=long_answer())
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, protocol), asked):
        onlooker.say(TOPICS.query, b'{"text": "a", "id": "7"}', reply_topic=MINE, correlation=b"1")
        onlooker.say(TOPICS.query, json.dumps({"text": "a", "id": "8", "reply_to": MINE}).encode())
        wanted = ["7", "8"] if protocol == 5 else ["8"]
        answers = onlooker.wait_on(MINE, len(wanted))
    assert [one.fields["id"] for one in answers] == wanted
    for reply in answers:
        assert reply.fields["error"]["code"] == "too_large"
        assert reply.fields["error"]["message"].endswith(" bytes, the broker takes 8388608")
    assert answers[0].correlation == (b"1" if protocol == 5 else None)


def test_broker_that_takes_next_to_nothing_does_not_end_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked()
    with (
        small_mosquitto(tmp_path, 1_000) as broker,
        Onlooker(broker.port) as onlooker,
        desk_client(mqtt_config(broker), asked) as desk,
    ):
        desk.tell_event(b"x")
        desk.tell_state(b"x")
        onlooker.say(TOPICS.query, b'{"text": "a"}', reply_topic=MINE)
        wait_until(lambda: asked.questions, "the question")
        assert desk._link.is_up
        assert {one.topic for one in onlooker.heard} <= {TOPICS.query}
    for topic in (TOPICS.status, TOPICS.info, TOPICS.event, TOPICS.state, MINE):
        assert f"a message to {topic} cannot be sent: the message has " in caplog.text


def test_large_correlation_does_not_make_a_reply_that_is_sent_for_ever(tmp_path: Path) -> None:
    asked = Asked(answer=RefusedError("internal", "x" * 40_000))
    with (
        small_mosquitto(tmp_path, 70_000) as broker,
        Onlooker(broker.port) as onlooker,
        desk_client(mqtt_config(broker), asked) as desk,
    ):
        onlooker.say(TOPICS.query, b'{"text": "a"}', reply_topic=MINE, correlation=b"x" * 60_000)
        (reply,) = onlooker.wait_on(MINE)
        assert reply.fields["error"]["code"] == "too_large"
        assert desk._link.is_up


def test_state_is_lost_without_a_connection_but_for_the_last(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()) as desk:
        break_off(desk)
        for number in range(3):
            desk.tell_state(b"%d" % number)
        assert [one.payload for one in onlooker.wait_on(TOPICS.state)] == [b"2"]


def test_device_says_online_once_on_each_connection(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Asked()) as desk:
        onlooker.wait_on(TOPICS.status)
        for connection in (2, 3):
            desk.announce()
            break_off(desk)
            onlooker.wait_on(TOPICS.status, connection)
        desk.announce()
        desk.tell_event(b"last")
        onlooker.wait_on(TOPICS.event)
        assert [one.payload for one in onlooker.on(TOPICS.status)] == [b"online"] * 3


def test_device_that_breaks_off_is_offline_in_between_with_mqtt_3(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto, "3.1.1"), Asked()) as desk:
        onlooker.wait_on(TOPICS.status)
        break_off(desk)
        told = [one.payload for one in onlooker.wait_on(TOPICS.status, 3)]
    assert told == [b"online", b"offline", b"online"]
