"""The asker's side: whose reply is whose, and what is said when there is none."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto, plain_mosquitto
from edge.config import PAYLOAD_BYTES, MqttConfig
from edge.errors import BrokerError, RefusedError
from edge.items import Answer, Hit, Item, Question
from edge.mqtt import Outgoing, Requester, read_reply
from links import WAYS, mqtt_config
from onlooker import Onlooker
from sinks import TOPICS, Asked, desk_client
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
QUERY = TOPICS.query


def echo(text: str) -> Answer:
    """An answer whose only result has the question for its source."""
    item = Item(id=1, digest=bytes(32), modality="image", source=text, bytes=9, added_at=1.0, taken_at=None)
    return Answer(
        question=text,
        hits=[Hit(item, 11, 0.5)],
        searched=1,
        refined=0,
        cut=False,
        query_ms=0,
        filter_ms=0,
        correct_ms=0,
    )


class Echo(Asked):
    """Answers the questions that came, all in disorder, when `answer_all` says so."""

    def ask(self, question: Question, reply: Callable[[Answer | RefusedError], None]) -> bool:
        self.questions.append(question)
        self.replies.append(lambda _: reply(echo(question.text)))
        return True

    def answer_all(self) -> None:
        random.shuffle(self.replies)
        for reply in self.replies:
            reply(RefusedError("internal", "never said"))


@every_way
def test_question_is_answered(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    config = mqtt_config(mosquitto, protocol, transport)
    with desk_client(config, Asked(answer=echo("Zoë"))), Requester(config, TOPICS, None) as client:
        reply = client.request(QUERY, {"text": "a beach"}, 20)
    assert [result.source for result in read_reply(reply).results] == ["Zoë"]


@both
def test_each_of_many_threads_gets_its_own_reply(mosquitto: Mosquitto, protocol: Any) -> None:
    config, asked = mqtt_config(mosquitto, protocol), Echo()
    got: dict[str, str] = {}
    with desk_client(config, asked), Requester(config, TOPICS, None) as client:

        def ask(text: str) -> None:
            got[text] = client.request(QUERY, {"text": text}, 20)["results"][0]["source"]

        threads = [threading.Thread(target=ask, args=(f"question {number}",)) for number in range(40)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(asked.questions) == 40, "all questions")
        asked.answer_all()
        for thread in threads:
            thread.join()
    assert got == {f"question {number}": f"question {number}" for number in range(40)}


def test_two_requesters_do_not_hear_each_others_replies(mosquitto: Mosquitto) -> None:
    config, heard = mqtt_config(mosquitto), list[str]()
    with (
        desk_client(config, Asked()),
        Requester(config, TOPICS, None) as client,
        Requester(config, TOPICS, None, on_message=lambda topic, _: heard.append(topic)),
    ):
        client.request(QUERY, {"text": "a beach"}, 20)
    assert TOPICS.query not in heard
    assert not any("/reply/" in topic for topic in heard)


@both
def test_error_of_the_device_is_raised_with_its_code(mosquitto: Mosquitto, protocol: Any) -> None:
    config = mqtt_config(mosquitto, protocol)
    with desk_client(config, Asked()), Requester(config, TOPICS, None) as client:
        for fields, code, message in (
            ({"text": " "}, "bad_request", "text has 1 characters: must be 1 to 10000, not all blank"),
            ({"text": "a", "budget_j": 1}, "not_supported", "budget_j is not supported so far"),
        ):
            with pytest.raises(RefusedError) as caught:
                client.request(QUERY, fields, 20)
            assert (caught.value.code, caught.value.message) == (code, message)


def test_reply_that_comes_too_late_is_nobodys_and_the_next_question_has_its_own(mosquitto: Mosquitto) -> None:
    config, asked = mqtt_config(mosquitto), Asked(answer=None)
    with desk_client(config, asked), Requester(config, TOPICS, None) as client:
        with pytest.raises(BrokerError, match=r"the device 'dev1' did not answer within 0 s"):
            client.request(QUERY, {"text": "first"}, 0.3)
        wait_until(lambda: asked.replies, "the question")
        asked.replies[0](echo("first"))
        asked.answer = echo("second")
        assert client.request(QUERY, {"text": "second"}, 20)["results"][0]["source"] == "second"


@pytest.mark.parametrize("junk", [b"", b"no JSON", b"[]", b"3", b'{"id": []}', b'{"id": {}, "final": true}', b"\xff"])
def test_junk_on_the_reply_topic_is_ignored(mosquitto: Mosquitto, junk: bytes) -> None:
    config = mqtt_config(mosquitto)
    with (
        Onlooker(mosquitto.port) as onlooker,
        desk_client(config, Asked()),
        Requester(config, TOPICS, None) as client,
    ):
        for topic in (client._mine, TOPICS.info, TOPICS.status):
            onlooker.say(topic, junk)
        assert client.request(QUERY, {"text": "a beach"}, 20)["final"] is True


@both
def test_silent_device_is_named(mosquitto: Mosquitto, protocol: Any) -> None:
    with Requester(mqtt_config(mosquitto, protocol), TOPICS, None) as client:
        start = time.monotonic()
        with pytest.raises(BrokerError) as caught:
            client.request(QUERY, {"text": "a beach"}, 1.0)
        assert 0.9 < time.monotonic() - start < 5
    assert str(caught.value) == (
        "the device 'dev1' did not answer within 1 s: is `reminisce run` up, and may we use its topics?"
    )
    assert caught.value.exit_code == 1


@both
def test_device_that_is_offline_is_said_to_be_so_without_waiting_for_long(mosquitto: Mosquitto, protocol: Any) -> None:
    config = mqtt_config(mosquitto, protocol)
    with desk_client(config, Asked()):
        pass
    with Requester(config, TOPICS, None) as client:
        wait_until(lambda: client.status == "offline", "the status")
        start = time.monotonic()
        with pytest.raises(BrokerError, match=r"^the device 'dev1' is offline: is `reminisce run` up"):
            client.request(QUERY, {"text": "a beach"}, 60)
        assert time.monotonic() - start < 10
        with pytest.raises(BrokerError, match=r"^the device 'dev1' is offline at this broker: "):
            client.wait_until_online(0.1)


def test_device_that_was_never_there_is_said_to_be_unheard_of(mosquitto: Mosquitto) -> None:
    with (
        Requester(mqtt_config(mosquitto), TOPICS, None) as client,
        pytest.raises(BrokerError, match=r"^the device 'dev1' has never been heard of at this broker: "),
    ):
        client.wait_until_online(0.1)


@both
def test_status_of_the_device_is_followed(mosquitto: Mosquitto, protocol: Any) -> None:
    config = mqtt_config(mosquitto, protocol)
    with Requester(config, TOPICS, None) as client:
        assert client.status == ""
        with desk_client(config, Asked()):
            client.wait_until_online(20)
            assert client.status == "online"
        wait_until(lambda: client.status == "offline", "the status")


@both
def test_what_comes_on_further_topics_is_handed_on(mosquitto: Mosquitto, protocol: Any) -> None:
    config, heard = mqtt_config(mosquitto, protocol), list[tuple[str, bytes]]()
    listen = (TOPICS.event, TOPICS.state)
    with (
        desk_client(config, Asked()) as desk,
        Requester(config, TOPICS, None, listen=listen, on_message=lambda *one: heard.append(one)),
    ):
        desk.tell_event(b"event")
        desk.tell_state(b"state")
        wait_until(lambda: {(TOPICS.event, b"event"), (TOPICS.state, b"state")} <= {*heard}, "both")


@pytest.mark.parametrize(("device", "asker"), [(5, 5), (5, "3.1.1"), ("3.1.1", 5), ("3.1.1", "3.1.1")])
def test_properties_are_carried_where_both_sides_speak_mqtt_5(mosquitto: Mosquitto, device: Any, asker: Any) -> None:
    info = json.dumps({"protocol": str(device)}).encode()
    with (
        desk_client(mqtt_config(mosquitto, device), Asked(), info),
        Requester(mqtt_config(mosquitto, asker), TOPICS, None) as client,
    ):
        client.wait_until_online(20)
        assert client.carries_properties is (device == asker == 5)


def refusal(config: MqttConfig, password: str | None = None) -> str:
    """With what a broker is given up, within seconds."""
    start = time.monotonic()
    with pytest.raises(BrokerError) as caught, Requester(config, TOPICS, password):
        pytest.fail("connected")
    assert time.monotonic() - start < 5
    return str(caught.value)


def unusable(where: str | Path, reason: str) -> str:
    return f"the broker at {where} cannot be used: {reason}; is it running, and is `mqtt` in the config right?"


@both
def test_missing_broker_is_named_with_the_reason(tmp_path: Path, protocol: Any) -> None:
    broker = plain_mosquitto(tmp_path)
    said = refusal(mqtt_config(broker, protocol))
    reason = "no connection to the broker: [Errno 111] Connection refused"
    assert said == unusable(f"127.0.0.1:{broker.port}", reason)
    said = refusal(mqtt_config(broker, protocol, "unix"))
    assert said == unusable(broker.socket, "no connection to the broker: [Errno 2] No such file or directory")


@both
@pytest.mark.parametrize("password", ["wrong", None])
def test_wrong_password_is_said(secure_broker: Mosquitto, protocol: Any, password: str | None) -> None:
    said = refusal(mqtt_config(secure_broker, protocol, username="app"), password)
    where = f"127.0.0.1:{secure_broker.port}"
    hint = "are `mqtt.username` (app) and `mqtt.password_file` right?"
    assert said == f"the broker at {where} cannot be used: the broker refuses the connection: Not authorized; {hint}"


def test_port_that_wants_tls_is_guessed(secure_broker: Mosquitto) -> None:
    said = refusal(MqttConfig(host="127.0.0.1", port=secure_broker.tls_port or 0))
    assert "the broker closed the connection without an answer: does this port want TLS (`mqtt.tls_ca`)?" in said


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a broker that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_broker_that_does_not_answer_is_given_up(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.mqtt.requester.CONNECT_S", 1)
    said = refusal(MqttConfig(host="127.0.0.1", port=silent))
    assert "it does not answer (one that knows only MQTT 3.1.1 needs `mqtt.protocol: 3.1.1`)" in said


@both
def test_payload_that_is_too_large_is_refused_before_it_is_sent(mosquitto: Mosquitto, protocol: Any) -> None:
    with Requester(mqtt_config(mosquitto, protocol), TOPICS, None) as client:
        assert client.largest_payload == PAYLOAD_BYTES
        with pytest.raises(RefusedError, match="too_large"):
            client.send(Outgoing(TOPICS.ingest, bytes(PAYLOAD_BYTES + 1)))


def test_broker_that_breaks_off_at_a_message_is_given_up_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.mqtt.link._SLOWEST_RETRY_S", 1)
    broker = plain_mosquitto(tmp_path)
    broker.config += "max_packet_size 20000\n"
    with broker, Requester(mqtt_config(broker, "3.1.1"), TOPICS, None) as client:
        client.send(Outgoing(TOPICS.ingest, bytes(50_000)))
        with pytest.raises(BrokerError) as caught:
            wait_until(client.check, "it is given up")
    assert "closed the connection 3 times: its log says why" in str(caught.value)
    assert "max_packet_size below 8650752" in str(caught.value)


def test_connections_lost_before_something_was_achieved_do_not_count(mosquitto: Mosquitto) -> None:
    with Requester(mqtt_config(mosquitto), TOPICS, None) as client:
        for _ in range(5):
            client._up()  # as on each connection
            client.heard()
        client.check()
        for _ in range(3):
            client._up()
        with pytest.raises(BrokerError, match="closed the connection 3 times"):
            client.check()


def test_broker_that_is_away_for_a_while_is_not_given_up(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.mqtt.link._SLOWEST_RETRY_S", 1)
    config = mqtt_config(mosquitto)
    with Requester(config, TOPICS, None) as client:
        mosquitto.kill()
        wait_until(lambda: not client.is_up, "the connection ends")
        time.sleep(4)
        mosquitto.start()
        wait_until(lambda: client.is_up, "it is back")
        with desk_client(config, Asked()):
            assert client.request(QUERY, {"text": "a beach"}, 20)["final"] is True
