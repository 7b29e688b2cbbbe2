"""What is too large for the broker is refused before it is sent, because such a message is sent again for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto, plain_mosquitto
from edge.config import PAYLOAD_BYTES
from edge.errors import RefusedError
from edge.mqtt.link import Outgoing
from links import LinkUnderTest, mqtt_config

SMALL = 20_000
AROUND = 4_096


def small_mosquitto(folder: Path, limit: int = SMALL) -> Mosquitto:
    """A broker that takes packets of a few bytes; not yet started."""
    broker = plain_mosquitto(folder)
    broker.config += f"max_packet_size {limit}\n"
    return broker


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1])
def test_payload_of_one_byte_too_many_is_refused_before_it_is_sent(
    mosquitto: Mosquitto, protocol: Any, qos: int
) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol), "t") as client:
        assert client.link.largest_payload == PAYLOAD_BYTES
        with pytest.raises(RefusedError) as caught:
            client.link.publish(Outgoing("t", bytes(PAYLOAD_BYTES + 1), qos=qos))
        client.link.publish(Outgoing("t", b"next", qos=qos))
        assert client.wait_for(1) == [b"next"]
    assert caught.value.code == "too_large"
    assert caught.value.message == f"the message has {PAYLOAD_BYTES + 1} bytes, the broker takes {PAYLOAD_BYTES}"


def test_largest_payload_follows_what_the_broker_says(tmp_path: Path) -> None:
    with small_mosquitto(tmp_path) as broker, LinkUnderTest(mqtt_config(broker), "t") as client:
        assert client.link.largest_payload == SMALL - AROUND
        with pytest.raises(RefusedError, match=rf"{SMALL} bytes, the broker takes {SMALL - AROUND} \(too_large\)"):
            client.link.publish(Outgoing("t", bytes(SMALL)))
        client.link.publish(Outgoing("t", bytes(SMALL - AROUND), correlation=b"1", reply_topic="r" * 512))
        assert client.wait_for(1) == [bytes(SMALL - AROUND)]
        assert client.downs == []


def test_largest_payload_grows_again_when_the_broker_takes_more(tmp_path: Path) -> None:
    broker = small_mosquitto(tmp_path)
    with broker, LinkUnderTest(mqtt_config(broker), "t") as client:
        broker.config = broker.config.replace(f"max_packet_size {SMALL}\n", "")
        broker.restart()
        client.wait_up(2)
        assert client.link.largest_payload == PAYLOAD_BYTES


def test_broker_that_takes_more_than_we_send_changes_nothing(tmp_path: Path) -> None:
    with small_mosquitto(tmp_path, 100_000_000) as broker, LinkUnderTest(mqtt_config(broker)) as client:
        assert client.link.largest_payload == PAYLOAD_BYTES


def test_what_goes_with_the_payload_counts_as_well(tmp_path: Path) -> None:
    with small_mosquitto(tmp_path) as broker, LinkUnderTest(mqtt_config(broker), "t") as client:
        payload = bytes(SMALL // 2)
        large = {"correlation": bytes(SMALL // 2)}, {"user": (("source", "x" * (SMALL // 2)),)}
        for more in large:
            with pytest.raises(RefusedError, match="too_large"):
                client.link.publish(Outgoing("t", payload, **more))
        client.link.publish(Outgoing("t", payload))
        assert client.wait_for(1) == [payload]
        assert client.downs == []


def test_broker_that_takes_next_to_nothing_is_sent_nothing(tmp_path: Path) -> None:
    with small_mosquitto(tmp_path, 1_000) as broker, LinkUnderTest(mqtt_config(broker)) as client:
        assert client.link.largest_payload == 0
        with pytest.raises(RefusedError, match=r"^the message has 7 bytes, the broker takes 0 \(too_large\)$"):
            client.link.publish(Outgoing("t", b"offline"))


def test_message_that_finds_too_many_waiting_for_a_connection_is_refused(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.mqtt.link._QUEUED", 3)
    client = LinkUnderTest(mqtt_config(mosquitto), "t", waits=False)
    for number in range(3):
        client.link.publish(Outgoing("t", b"%d" % number))
    with pytest.raises(RefusedError, match=r"^3 messages wait for the broker already \(busy\)$"):
        client.link.publish(Outgoing("t", b"3"))
