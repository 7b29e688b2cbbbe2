"""Items over a real broker: told and acknowledged once their fate is known, and otherwise sent again."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest

from brokers import Mosquitto
from edge.items import Offer, Verdict
from edge.mqtt.messages import Parsed, parse_raw
from links import WAYS, mqtt_config
from onlooker import Onlooker
from sinks import TOPICS, Events, Offers, break_off, ingest_client, wait_left
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
RAW = TOPICS.raw("image")


def as_json(content: bytes, **fields: object) -> bytes:
    return json.dumps({"data": base64.b64encode(content).decode(), **fields}).encode()


@every_way
def test_item_comes_as_json_and_as_bytes(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    offers = Offers()
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer):
        onlooker.say(TOPICS.ingest, as_json(b"\0\xff", source="camera", ts=1.5))
        onlooker.say(RAW, b"\0\xff\n")
        taken = offers.wait_for(2)
    assert [one.offer for one in taken] == [
        Offer(content=b"\0\xff", source="camera", taken_at=1.5),
        Offer(content=b"\0\xff\n"),
    ]


def test_user_properties_say_more_of_the_bytes(mosquitto: Mosquitto) -> None:
    offers, events = Offers(), Events()
    user = (("id", "7"), ("ts", "1.5"), ("source", "Zoë"), ("colour", "red"))
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer, events):
        onlooker.say(RAW, b"x", user=user)
        (taken,) = offers.wait_for(1)
        taken.accept()
    assert taken.offer == Offer(content=b"x", source="Zoë", taken_at=1.5)
    item = hashlib.sha256(b"x").hexdigest()
    assert events.fields == [{"v": 1, "type": "accepted", "id": "7", "item": item, "warning": "ignored: colour"}]


def test_one_id_on_both_topics_is_answered_twice(mosquitto: Mosquitto) -> None:
    offers, events = Offers(), Events()
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer, events):
        onlooker.say(RAW, b"x", user=(("id", "7"),))
        onlooker.say(TOPICS.ingest, as_json(b"x", id="7"))
        first, second = offers.wait_for(2)
        first.accept()
        second.settle(Verdict("duplicate", hashlib.sha256(b"x").digest()))
    assert [(event["type"], event["id"]) for event in events.fields] == [("accepted", "7"), ("duplicate", "7")]


@every_way
def test_what_was_not_settled_comes_again_and_what_was_does_not(
    mosquitto: Mosquitto, protocol: Any, transport: str
) -> None:
    offers, later, config = Offers(), Offers(), mqtt_config(mosquitto, protocol, transport)
    contents = [b"%d" % number for number in range(6)]
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer):
        onlooker.say_all(RAW, contents)
        for taken in offers.wait_for(6)[:3]:
            taken.accept()
    wait_left(mosquitto)
    with ingest_client(config, later.offer):
        later.wait_for(3)
    assert later.contents == contents[3:]


@every_way
def test_what_was_not_settled_comes_again_when_the_connection_breaks(
    mosquitto: Mosquitto, protocol: Any, transport: str
) -> None:
    offers = Offers()
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer) as ingest:
        onlooker.say_all(RAW, (b"0", b"1", b"2"))
        offers.wait_for(3)[0].accept()
        time.sleep(0.2)  # until the acknowledgement is there
        onlooker.say(RAW, b"3")
        offers.wait_for(4)
        break_off(ingest)
        offers.wait_for(7)
    assert offers.contents == [b"0", b"1", b"2", b"3", b"1", b"2", b"3"]


@both
def test_what_was_not_settled_comes_again_after_the_broker_was_killed(mosquitto: Mosquitto, protocol: Any) -> None:
    offers, later, config = Offers(), Offers(), mqtt_config(mosquitto, protocol)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer):
        onlooker.say_all(RAW, (b"0", b"1", b"2"))
        offers.wait_for(3)
        time.sleep(2)  # mosquitto writes its queue once a second
        mosquitto.kill()
    mosquitto.start()
    with ingest_client(config, later.offer):
        later.wait_for(3)
    assert later.contents == [b"0", b"1", b"2"]


def test_item_behind_one_that_is_not_settled_is_not_acknowledged_either(mosquitto: Mosquitto) -> None:
    offers, config = Offers(), mqtt_config(mosquitto)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer):
        onlooker.say_all(RAW, (b"0", b"1", b"2"))
        for taken in offers.wait_for(3)[1:]:
            taken.accept()
    wait_left(mosquitto)
    later = Offers()
    with ingest_client(config, later.offer):
        later.wait_for(3)
    assert later.contents == [b"0", b"1", b"2"]


def test_item_settled_after_its_connection_broke_is_sent_again(mosquitto: Mosquitto) -> None:
    offers, config = Offers(), mqtt_config(mosquitto)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer) as ingest:
        onlooker.say_all(RAW, (b"0", b"1"))
        old = list(offers.wait_for(2))
        break_off(ingest)
        new = offers.wait_for(4)[2:]
        for taken in old:
            taken.accept()
        assert ingest._receipts.pending == 2
        new[0].accept()
    wait_left(mosquitto)
    later = Offers()
    with ingest_client(config, later.offer):
        later.wait_for(1)
    assert later.contents == [b"1"]


def test_item_is_acknowledged_once_the_broker_has_the_event_about_it(mosquitto: Mosquitto) -> None:
    offers, events, later, config = Offers(), Events(arrive=False), Offers(), mqtt_config(mosquitto)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer, events) as ingest:
        onlooker.say_all(RAW, [b"0", b"", b"1"])
        for taken in offers.wait_for(2):
            taken.accept()
        wait_until(lambda: len(events.told) == 3, "three events")
        assert ingest._receipts.pending == 3
        events.then[0]()
        events.then[1]()
        assert ingest._receipts.pending == 1
    wait_left(mosquitto)
    with ingest_client(config, later.offer):
        later.wait_for(1)
    assert later.contents == [b"1"]


@both
def test_what_is_sent_while_the_device_is_away_waits_for_it(mosquitto: Mosquitto, protocol: Any) -> None:
    offers, config = Offers(), mqtt_config(mosquitto, protocol)
    with ingest_client(config, offers.offer):
        pass
    contents = [b"%d" % number for number in range(100)]
    with Onlooker(mosquitto.port) as onlooker:
        onlooker.say_all(RAW, contents)
    with ingest_client(config, offers.offer):
        for number in range(100):
            offers.wait_for(number + 1)[number].accept()
    assert offers.contents == contents


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (TOPICS.ingest, b"no JSON", "bad_request"),
        (TOPICS.ingest, b'{"data": "YQ==", "v": 2}', "version"),
        (TOPICS.ingest, b'{"data": "YQ==", "tags": {"a": 1}}', "not_supported"),
        (TOPICS.ingest, b"[" * 100_000, "bad_request"),
        (TOPICS.raw("audio"), b"x", "not_supported"),
        (RAW, b"", "bad_request"),
        (RAW, bytes((8 << 20) + 1), "too_large"),
    ],
)
def test_message_that_is_not_valid_is_rejected_once_and_for_good(
    mosquitto: Mosquitto, topic: str, payload: bytes, code: str
) -> None:
    offers, events, config = Offers(), Events(), mqtt_config(mosquitto)
    with Onlooker(mosquitto.port, topics="none") as onlooker, ingest_client(config, offers.offer, events):
        onlooker.say(topic, payload)
        onlooker.say(RAW, b"x")
        offers.wait_for(1)[0].accept()
    assert [(event["type"], event.get("error", {}).get("code")) for event in events.fields] == [
        ("rejected", code),
        ("accepted", None),
    ]
    with ingest_client(config, offers.offer, events), Onlooker(mosquitto.port, topics="none") as onlooker:
        onlooker.say(RAW, b"y")
        offers.wait_for(2)
    assert offers.contents == [b"x", b"y"]


def test_message_that_meets_a_mistake_of_ours_is_rejected_once_and_the_next_one_goes_through(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers, events, config = Offers(), Events(), mqtt_config(mosquitto)
    mistakes = [RuntimeError("injected")]

    def fail_once(*given: Any) -> Parsed[Offer]:
        if mistakes:
            raise mistakes.pop()
        return parse_raw(*given)

    monkeypatch.setattr("edge.mqtt.ingest.parse_raw", fail_once)
    with Onlooker(mosquitto.port, topics="none") as onlooker, ingest_client(config, offers.offer, events):
        onlooker.say_all(RAW, [b"x", b"y"])
        offers.wait_for(1)[0].accept()
    assert [(event["type"], event.get("error", {}).get("code")) for event in events.fields] == [
        ("rejected", "internal"),
        ("accepted", None),
    ]
    wait_left(mosquitto)
    with ingest_client(config, offers.offer, events), Onlooker(mosquitto.port, topics="none") as onlooker:
        onlooker.say(RAW, b"z")  # neither of the two comes again
        offers.wait_for(2)
    assert offers.contents == [b"y", b"z"]


def test_message_that_is_not_valid_has_its_id_in_the_event(mosquitto: Mosquitto) -> None:
    offers, events = Offers(), Events()
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer, events):
        onlooker.say(TOPICS.ingest, b'{"id": "7"}')
        onlooker.say(RAW, b"x", user=(("id", "8"), ("ts", "now")))
        wait_until(lambda: len(events.told) == 2, "two events")
    assert [event["id"] for event in events.fields] == ["7", "8"]


def test_note_is_refused_where_the_bundle_takes_none(mosquitto: Mosquitto) -> None:
    offers, events = Offers(), Events()
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer, events) as ingest:
        onlooker.say(TOPICS.raw("text"), b"buy milk")
        (taken,) = offers.wait_for(1)
        taken.accept()
        ingest._modalities = ("image",)
        onlooker.say(TOPICS.ingest, b'{"text": "buy milk", "id": "7"}')
        wait_until(lambda: len(events.fields) == 2)
    assert taken.offer == Offer(content=b"buy milk", modality="text")
    refused = events.fields[1]
    assert (refused["type"], refused["id"], refused["error"]["code"]) == ("rejected", "7", "not_supported")
    assert "takes no notes" in refused["error"]["message"]
