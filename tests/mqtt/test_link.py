"""One connection to a real broker: what goes out and comes in by it, and what happens when it breaks."""

from __future__ import annotations

import dataclasses
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from brokers import Mosquitto, plain_mosquitto
from edge.config import PAYLOAD_BYTES
from edge.errors import RefusedError
from edge.mqtt.link import Incoming, Outgoing
from links import WAYS, LinkUnderTest, mqtt_config
from onlooker import Onlooker
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])


@every_way
@pytest.mark.parametrize("qos", [0, 1])
def test_message_goes_there_and_back_whole(mosquitto: Mosquitto, protocol: Any, transport: str, qos: int) -> None:
    contents = [b"", b"\0\xff\n", bytes(range(256)) * 4_000, "Zoë 写".encode()]
    with LinkUnderTest(mqtt_config(mosquitto, protocol, transport), "t/+") as client:
        for content in contents:
            client.link.publish(Outgoing("t/Zoë 写", content, qos=qos))
        assert client.wait_for(len(contents)) == contents
        assert {(one.topic, one.qos, one.is_retained) for one in client.came} == {("t/Zoë 写", qos, False)}


@every_way
def test_largest_payload_goes_there_and_back(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    content = bytes(PAYLOAD_BYTES)
    with LinkUnderTest(mqtt_config(mosquitto, protocol, transport), "t") as client:
        client.link.publish(Outgoing("t", content))
        assert client.wait_for(1) == [content]


def test_properties_of_mqtt_5_go_both_ways(mosquitto: Mosquitto) -> None:
    user = (("ts", "1.5"), ("source", "Zoë"), ("source", ""))
    with LinkUnderTest(mqtt_config(mosquitto), "t") as client:
        client.link.publish(Outgoing("t", b"x", correlation=b"\0\xff", reply_topic="r/1", user=user))
        client.wait_for(1)
    (came,) = client.came
    assert (came.reply_topic, came.correlation, came.user) == ("r/1", b"\0\xff", user)


def test_properties_are_left_out_with_mqtt_3(mosquitto: Mosquitto) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, "3.1.1"), "t") as client:
        client.link.publish(Outgoing("t", b"x", correlation=b"1", reply_topic="r/1", user=(("a", "b"),)))
        client.wait_for(1)
    assert (client.came[0].reply_topic, client.came[0].correlation, client.came[0].user) == (None, None, ())


@both
def test_what_is_retained_says_so_when_it_is_delivered_later(mosquitto: Mosquitto, protocol: Any) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol), "t") as client:
        client.link.publish(Outgoing("t", b"x", is_retained=True))
        client.wait_for(1)
    with LinkUnderTest(mqtt_config(mosquitto, protocol), "t") as later:
        later.wait_for(1)
    assert [one.is_retained for one in (*client.came, *later.came)] == [False, True]


@both
def test_tcp_connection_does_not_wait_to_fill_its_packets(mosquitto: Mosquitto, protocol: Any) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol)) as client:
        opened = client.link._client.socket()
        assert isinstance(opened, socket.socket)
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@every_way
def test_link_comes_back_after_the_broker_was_killed(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol, transport), "t") as client:
        mosquitto.kill()
        client.wait_down()
        client.link.publish(Outgoing("t", b"while it was away"))
        client.link.publish(Outgoing("t", b"lost", qos=0))
        mosquitto.start()
        client.wait_up(2)
        client.link.publish(Outgoing("t", b"afterwards"))
        assert client.wait_for(2) == [b"while it was away", b"afterwards"]
    assert client.downs[0].startswith("the connection to the broker ended: ")


@both
def test_link_that_starts_before_the_broker_waits_for_it(tmp_path: Path, protocol: Any) -> None:
    broker = plain_mosquitto(tmp_path)
    with LinkUnderTest(mqtt_config(broker, protocol), "t", waits=False) as client:
        wait_until(lambda: client.downs, "the first try fails")
        assert not client.link.is_up
        for number in range(300):
            client.link.publish(Outgoing("t", b"%d" % number))
        with broker:
            assert client.wait_for(300) == [b"%d" % number for number in range(300)]
    assert "Connection refused" in client.downs[0]


def test_missing_socket_is_named_in_the_log_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = plain_mosquitto(tmp_path)
    with LinkUnderTest(mqtt_config(broker, 5, "unix"), waits=False) as client:
        wait_until(lambda: len(client.downs) >= 2, "two tries fail")
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "no connection to the broker: [Errno 2] No such file or directory"
    ]


def test_what_does_not_fit_into_the_queue_of_a_broker_that_is_away_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.mqtt.link._QUEUED", 3)
    broker = plain_mosquitto(tmp_path)
    with LinkUnderTest(mqtt_config(broker), "t", waits=False) as client:
        for number in range(3):
            client.link.publish(Outgoing("t", b"%d" % number))
        for _ in range(2):
            with pytest.raises(RefusedError, match=r"^3 messages wait for the broker already \(busy\)$"):
                client.link.publish(Outgoing("t", b"x"))
        with broker:
            assert client.wait_for(3) == [b"0", b"1", b"2"]
            client.link.publish(Outgoing("t", b"last"))
            assert client.wait_for(4)[-1] == b"last"


@every_way
def test_handler_that_raises_does_not_end_the_client(
    mosquitto: Mosquitto, protocol: Any, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol, transport), "t") as client:
        take = client.on_message

        def take_good(message: Incoming) -> None:
            assert message.payload == b"good"
            take(message)

        client.on_message = take_good
        for content in (b"bad", b"good"):
            client.link.publish(Outgoing("t", content))
        assert client.wait_for(1) == [b"good"]
        assert client.link.is_up
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"{client.session.client_id}: a message could not be handled"
    ]


@pytest.mark.parametrize("news", ["on_up", "on_down"])
def test_handler_of_news_that_raises_does_not_end_the_client(
    mosquitto: Mosquitto, news: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = LinkUnderTest(mqtt_config(mosquitto), "t")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    client.link._handlers = dataclasses.replace(client.link._handlers, **{news: fail})
    client._waits = False
    with client:
        wait_until(lambda: client.link.is_up, "a connection")
        mosquitto.kill()
        client.wait_down()
        mosquitto.start()
        client.link.publish(Outgoing("t", b"x"))
        assert client.wait_for(1) == [b"x"]
    assert "ZeroDivisionError" in caplog.text


@every_way
def test_connection_is_told_of_once_its_topics_are_subscribed(
    mosquitto: Mosquitto, protocol: Any, transport: str
) -> None:
    with Onlooker(mosquitto.port) as onlooker:
        client = LinkUnderTest(mqtt_config(mosquitto, protocol, transport), "t", waits=False)
        answer_at_once = dataclasses.replace(client.link._handlers, on_up=lambda: onlooker.say("t", b"x"))
        client.link._handlers = answer_at_once
        with client:
            assert client.wait_for(1) == [b"x"]


@both
def test_connection_of_a_kept_session_is_told_of_before_what_waited_in_it(mosquitto: Mosquitto, protocol: Any) -> None:
    with (
        Onlooker(mosquitto.port) as onlooker,
        LinkUnderTest(mqtt_config(mosquitto, protocol), "t", keeps=True) as client,
    ):
        client.link.suspend()
        client.wait_down()
        onlooker.say("t", b"x")
        ups: list[int] = []
        client.on_message = lambda _: ups.append(client.ups)
        client.link.resume()
        wait_until(lambda: ups, "the message")
    assert ups == [2]


def test_subscription_that_a_broker_refuses_is_in_the_log(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with LinkUnderTest(mqtt_config(mosquitto), "t") as client:
        codes = [ReasonCode(PacketTypes.SUBACK, name) for name in ("Granted QoS 1", "Not authorized")]
        client.link._subscribed(client.link._client, None, 1, codes, None)
        assert client.ups == 1
    assert f"{client.session.client_id}: the broker refuses a subscription: Not authorized" in caplog.text
