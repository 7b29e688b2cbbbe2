"""An inbox without room: what is sent with QoS 1 stays with the broker until there is some, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from brokers import Mosquitto
from edge.items import Offer, Verdict
from edge.mqtt import Ingest
from links import WAYS, mqtt_config
from onlooker import Onlooker
from sinks import TOPICS, Events, Offers, ingest_client, wait_left
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
RAW = TOPICS.raw("image")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full inbox ends the connection almost at once."""
    monkeypatch.setattr("edge.mqtt.ingest._PATIENCE_S", 0.02)


def settle(offers: Offers, ingest: Ingest, count: int) -> None:
    """Settle what was taken and make room for more, until that many contents were seen and all of them are settled."""
    while len({*offers.contents}) < count or offers.unsettled:
        wait_until(lambda: offers.unsettled, lambda: f"more than {len({*offers.contents})} of {count}")
        for taken in offers.unsettled:
            taken.accept()
        ingest.resume()


@every_way
def test_everything_arrives_once_through_an_inbox_that_is_full_again_and_again(
    mosquitto: Mosquitto, protocol: Any, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.mqtt.ingest._PATIENCE_S", 20)
    offers, later = Offers(room=10), Offers()
    contents = [b"%d" % number for number in range(100)]
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer) as ingest:
        onlooker.say_all(RAW, contents)
        settle(offers, ingest, 100)
    assert offers.contents == contents
    assert offers.most == 10
    assert offers.refused > 0
    wait_left(mosquitto)
    with ingest_client(config, later.offer):
        time.sleep(0.3)
    assert later.contents == []


@every_way
@pytest.mark.usefixtures("impatient")
def test_everything_arrives_also_when_the_connection_ends_each_time(
    mosquitto: Mosquitto, protocol: Any, transport: str
) -> None:
    offers = Offers(room=10)
    contents = {b"%d" % number for number in range(100)}
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker:
        with ingest_client(config, offers.offer):
            pass
        onlooker.say_all(RAW, contents)
        with ingest_client(config, offers.offer) as ingest:
            wait_until(lambda: not ingest._link.is_up, "it leaves")
            settle(offers, ingest, 100)
    assert {*offers.contents} == contents
    assert offers.most == 10


@pytest.mark.usefixtures("impatient")
def test_full_inbox_ends_the_connection_until_it_is_resumed(mosquitto: Mosquitto) -> None:
    offers = Offers(room=2)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer) as ingest:
        onlooker.say_all(RAW, (b"0", b"1", b"2"))
        wait_until(lambda: not ingest._link.is_up, "it leaves")
        onlooker.say(RAW, b"3")
        time.sleep(0.5)
        assert offers.contents == [b"0", b"1"]
        for taken in list(offers.taken):
            taken.accept()
        offers.room = 10
        ingest.resume()
        offers.wait_for(6)
    assert offers.contents[2:] == [b"0", b"1", b"2", b"3"]


def test_inbox_that_has_room_again_soon_keeps_the_connection(mosquitto: Mosquitto) -> None:
    offers = Offers(room=1)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer) as ingest:
        opened = ingest._link._client.socket()
        onlooker.say_all(RAW, (b"0", b"1"))
        wait_until(lambda: offers.refused, "a refusal")
        time.sleep(0.3)
        offers.taken[0].accept()
        ingest.resume()
        offers.wait_for(2)
        assert ingest._link._client.socket() is opened
    assert offers.contents == [b"0", b"1"]


def test_resuming_what_was_not_suspended_changes_nothing(mosquitto: Mosquitto) -> None:
    offers = Offers()
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer) as ingest:
        opened = ingest._link._client.socket()
        ingest.resume()
        onlooker.say(RAW, b"0")
        offers.wait_for(1)
        assert ingest._link._client.socket() is opened


def test_what_was_sent_with_qos_0_is_answered_at_once_when_the_inbox_is_full(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.mqtt.ingest._PATIENCE_S", 20)  # what at once is not
    offers, events = Offers(room=1), Events()
    config = mqtt_config(mosquitto)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(config, offers.offer, events) as ingest:
        onlooker.say(RAW, b"0")
        offers.wait_for(1)
        start = time.monotonic()
        for number in (1, 2):
            onlooker.say(RAW, b"x", qos=0, user=(("id", str(number)),))
        wait_until(lambda: len(events.told) == 2, "two events")
        assert time.monotonic() - start < 10
        assert ingest._link.is_up
    refused = {"code": "busy", "message": "there is no room for it now: send it again later, or with QoS 1"}
    assert events.fields == [{"v": 1, "type": "rejected", "id": id_, "error": refused} for id_ in ("1", "2")]


@pytest.mark.parametrize("patience_s", [0.0, 0.02, 2.0])
def test_room_made_before_the_refusal_is_known_is_not_missed(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    monkeypatch.setattr("edge.mqtt.ingest._PATIENCE_S", patience_s)
    taken: list[bytes | None] = []
    threads: list[threading.Thread] = []

    def offer(offer: Offer, accept: Callable[[Verdict], None]) -> bool:
        if not threads:  # refused; and before that is returned, the inbox's thread says that there is room again
            threads.append(threading.Thread(target=ingest.resume))
            threads[0].start()
            threads[0].join(0.3)
            return False
        taken.append(offer.content)
        accept(Verdict("accepted", bytes(32)))
        return True

    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offer) as ingest:
        onlooker.say(RAW, b"0")
        wait_until(lambda: taken, "it is offered again")
        threads[0].join()
    assert taken == [b"0"]


def test_stopping_does_not_wait_for_room(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.mqtt.ingest._PATIENCE_S", 20)
    offers = Offers(room=1)
    with Onlooker(mosquitto.port) as onlooker, ingest_client(mqtt_config(mosquitto), offers.offer) as ingest:
        onlooker.say_all(RAW, (b"0", b"1"))
        wait_until(lambda: offers.refused, "a refusal")
        start = time.monotonic()
        ingest.stop()
        assert time.monotonic() - start < 5


@pytest.mark.usefixtures("impatient")
def test_ingest_that_was_stopped_while_it_was_suspended_is_not_resumed(mosquitto: Mosquitto) -> None:
    offers, later, config = Offers(room=1), Offers(), mqtt_config(mosquitto)
    with Onlooker(mosquitto.port) as onlooker:
        with ingest_client(config, offers.offer) as ingest:
            onlooker.say_all(RAW, (b"0", b"1"))
            wait_until(lambda: not ingest._link.is_up, "it leaves")
        with ingest_client(config, later.offer):
            later.wait_for(2)
            ingest.resume()
            time.sleep(0.5)
            onlooker.say(RAW, b"2")
            later.wait_for(3)
    assert (offers.contents, later.contents) == ([b"0"], [b"0", b"1", b"2"])
