"""A question that streams, over a real broker: its replies in order, each with its number, the last one last."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import Daemon
from edge.errors import RefusedError
from edge.items import Answer, Question
from edge.mqtt import Requester
from links import mqtt_config
from onlooker import Onlooker
from sinks import NOTHING, TOPICS, Asked, break_off, desk_client
from waiting import wait_until

both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
MINE = TOPICS.reply("me", "1")
STREAM = json.dumps({"text": "a beach", "id": "7", "stream": True, "reply_to": MINE}).encode()


def better(number: int) -> Answer:
    return replace(NOTHING, sequence=number, is_final=False, refined=number)


def last(number: int) -> Answer:
    return replace(better(number), is_final=True)


class Streaming(Asked):
    """Sends nine better answers and the last one for each question, or what a test wants sent."""

    answers = (*map(better, range(9)), last(9))

    def ask(self, question: Question, reply: Callable[[Answer | RefusedError], None]) -> bool:
        self.questions.append(question)
        for answer in self.answers:
            reply(answer)
        return True


@both
@pytest.mark.parametrize("qos", [0, 1])
def test_replies_come_in_order_and_only_the_last_is_final(mosquitto: Mosquitto, protocol: Any, qos: int) -> None:
    asked = Streaming()
    version = 4 if protocol == "3.1.1" else 5
    with Onlooker(mosquitto.port, version) as onlooker, desk_client(mqtt_config(mosquitto, protocol), asked):
        onlooker.say(TOPICS.query, STREAM, qos=qos)
        fields = [one.fields for one in onlooker.wait_on(MINE, 10)]
    assert [(one["sequence"], one["refined"]) for one in fields] == [(number, number) for number in range(10)]
    assert [one["final"] for one in fields] == [False] * 9 + [True]
    assert {one["id"] for one in fields} == {"7"}
    assert asked.questions == [Question(text="a beach", limit=5, stream=True, collapse=True)]


def test_correlation_comes_back_with_each(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), Streaming()):
        onlooker.say(TOPICS.query, b'{"text": "a", "stream": true}', reply_topic=MINE, correlation=b"\0x")
        assert {one.correlation for one in onlooker.wait_on(MINE, 10)} == {b"\0x"}


def test_client_is_the_first_level_below_reply(mosquitto: Mosquitto) -> None:
    asked = Asked()
    topics = (MINE, TOPICS.reply("me", "2/3"), TOPICS.reply("you", "1"))
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked):
        for topic in topics:
            onlooker.say(TOPICS.query, b'{"text": "a"}', reply_topic=topic)
            onlooker.wait_on(topic)
    assert [question.client for question in asked.questions] == ["me", "me", "you"]


@both
def test_requester_hands_over_each_as_it_comes_and_ends_with_the_last(mosquitto: Mosquitto, protocol: Any) -> None:
    config = mqtt_config(mosquitto, protocol)
    with desk_client(config, Streaming()), Requester(config, TOPICS, None) as client:
        fields = {"text": "a beach", "stream": True}
        assert [one["sequence"] for one in client.stream(TOPICS.query, fields, 20)] == list(range(10))
        assert client.request(TOPICS.query, fields, 20)["final"] is True
        assert client._waiting == {}


def test_requester_leaves_out_what_was_sent_twice(mosquitto: Mosquitto) -> None:
    config, asked = mqtt_config(mosquitto), Streaming()
    asked.answers = (better(0), better(1), better(0), better(1), better(2), last(3))
    with desk_client(config, asked), Requester(config, TOPICS, None) as client:
        seen = [one["sequence"] for one in client.stream(TOPICS.query, {"text": "a", "stream": True}, 20)]
    assert seen == [0, 1, 2, 3]


def test_refusal_ends_a_stream(mosquitto: Mosquitto) -> None:
    config = mqtt_config(mosquitto)
    with (
        desk_client(config, Asked(answer=RefusedError("expired", "too late"))),
        Requester(config, TOPICS, None) as client,
        pytest.raises(RefusedError, match="too late"),
    ):
        list(client.stream(TOPICS.query, {"text": "a", "stream": True}, 20))


def test_what_is_out_of_date_by_the_time_that_the_broker_is_back_is_not_kept(mosquitto: Mosquitto) -> None:
    asked = Asked(answer=None)
    with Onlooker(mosquitto.port) as onlooker, desk_client(mqtt_config(mosquitto), asked) as desk:
        onlooker.say(TOPICS.query, STREAM)
        wait_until(lambda: asked.replies)
        break_off(desk)
        for number in range(5):
            asked.replies[0](better(number))
        asked.replies[0](last(5))
        (reply,) = onlooker.wait_on(MINE)
        time.sleep(0.2)
        assert (len(onlooker.on(MINE)), reply.fields["final"], reply.fields["sequence"]) == (1, True, 5)


def test_client_that_goes_away_is_no_harm_to_the_others(daemon: Daemon, mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as gone:
        for number in range(20):
            gone.say(TOPICS.query, STREAM.replace(b"a beach", b"question %d" % number), qos=0)
    with daemon.requester() as client:
        client.wait_until_online(20)
        replies = list(client.stream(TOPICS.query, {"text": "a beach", "stream": True}, 20))
    assert replies[-1]["final"] is True
    assert "Traceback" not in daemon.last_words()
