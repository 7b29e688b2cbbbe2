"""What can be asked and ordered, with Debian's clients in MQTT 5 and 3.1.1: streams, parts, pages, forgetting."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import secure_mosquitto
from daemons import Daemon, reach
from debian_clients import DEVICE, Client
from edge.demo import DEMO_PICTURES

PICTURES = sorted(DEMO_PICTURES.glob("*.jpg"))[:6]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a device that holds six pictures: three of the door, three of the garden."""
    folder = tmp_path_factory.mktemp("device")
    (folder / "broker").mkdir()
    with secure_mosquitto(folder / "broker") as broker, Daemon(folder=folder / "daemon", mqtt=reach(broker, "dev1")):
        client = Client(broker=broker, version="5", is_local=True)
        with dataclasses.replace(client, id="app-2").listen(folder, "event") as news:
            for number, picture in enumerate(PICTURES):
                about = ("-D", "publish", "user-property", "source", "door" if number < 3 else "garden")
                client.publish("ingest/raw/image", "-f", picture, *about)
                news.event("indexed", item=item(picture))
        yield client


@pytest.fixture(params=["5", "311"])
def client(request: pytest.FixtureRequest, app: Client) -> Client:
    return dataclasses.replace(app, version=request.param, is_plain=request.param == "311")


def item(picture: Path) -> str:
    return hashlib.sha256(picture.read_bytes()).hexdigest()


def test_stream_has_its_replies_in_order_and_one_that_is_final(client: Client, tmp_path: Path) -> None:
    spy = dataclasses.replace(client, user="dev1", id="spy")  # who may hear all replies
    with spy.listen(tmp_path, "reply/#") as replies:
        where = f"{DEVICE}/reply/{client.id}/stream"
        client.publish("query", "-m", json.dumps({"text": "a dog", "stream": True, "reply_to": where}))
        replies.first(lambda message: message.topic == where and message.payload["final"])
        heard = [message.payload for message in replies.heard if message.topic == where]
    assert [reply["sequence"] for reply in heard] == [*range(len(heard))]
    assert [reply["final"] for reply in heard] == [False] * (len(heard) - 1) + [True]
    assert {len(reply["results"]) for reply in heard} == {5}


def test_parts_and_pages_are_what_was_asked_for(client: Client) -> None:
    door = client.request("query", text="a dog", source="door")
    assert ({one["source"] for one in door["results"]}, door["searched"]) == ({"door"}, 3)
    pages = [client.request("query", text="a dog", source="door", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [one for page in pages for one in page["results"]] == door["results"]
    assert pages[2]["results"] == []
    assert client.request("query", text="a dog", until="2001-01-01")["results"] == []
    assert client.request("query", text="a dog", min_relevance=1)["results"] == []


def test_explanation_says_of_each_result_how_it_came_to_its_place(client: Client) -> None:
    results = client.request("query", text="a dog", limit=6, explain=True)["results"]
    assert sorted(one["explain"]["rank"] for one in results) == [*range(1, len(PICTURES) + 1)]


def test_what_cannot_be_is_refused_in_the_same_words(client: Client) -> None:
    for asked, said in (
        ({"deadline_ms": 0}, "deadline_ms is 0: must be 1 to 3600000"),
        ({"deadline_ms": 10**9}, "deadline_ms is 1000000000: must be 1 to 3600000"),
        ({"source": "*\0"}, "source must be Unicode text of 1 to 1000 characters, none of them NUL"),
    ):
        error = client.request("query", text="a dog", **asked)["error"]
        assert error == {"code": "bad_request", "message": said}


def test_owner_pins_and_forgets_what_comes_again_as_new(client: Client, tmp_path: Path) -> None:
    owner = dataclasses.replace(client, user="owner", id="owner-1")
    gone = PICTURES[0]
    assert owner.request("control", op="pin", items=[item(gone)])["count"] == 1
    kept = owner.request("control", op="forget", source="door*", items=[item(gone)])
    assert (kept["count"], kept["kept"]) == (0, 1)
    assert "error" not in owner.request("control", op="forget", items=[item(gone)], force=True)
    assert client.request("query", text="a dog")["searched"] == len(PICTURES) - 1
    with dataclasses.replace(client, id="app-2").listen(tmp_path, "event") as news:
        data = ("-D", "publish", "user-property", "source", "door") if client.version == "5" else ()
        client.publish("ingest/raw/image", "-f", gone, *data)
        assert news.event("accepted", item=item(gone))
        news.event("indexed", item=item(gone))


def test_note_and_photo_are_sent_and_stand_in_one_answer(client: Client, tmp_path: Path) -> None:
    said = f"Lunch in town was a plate of sushi rolls.\nSent by MQTT {client.version}."
    file = tmp_path / "note.txt"
    file.write_text(said, encoding="utf-8")
    photo = DEMO_PICTURES / "sushi-rolls.jpg"
    owner = dataclasses.replace(client, user="owner", id="owner-1")
    with dataclasses.replace(client, id="app-2").listen(tmp_path, "event") as news:
        client.publish("ingest/raw/image", "-f", photo)
        news.event("indexed", item=item(photo))
        client.publish("ingest/raw/text", "-f", file)
        news.event("indexed", item=item(file))
        client.offer(tmp_path, id="j", text="Call the plumber.")
        news.event("accepted", id="j")
        client.publish("ingest/raw/text", "-m", " ")
        blank = news.event("rejected", item=sha(b" "))["error"]
        assert blank == {"code": "unreadable", "message": "a note that is blank: write something into it"}
    both = client.request("query", text="sushi", limit=2)["results"]
    assert {(one["item"], one["modality"], one.get("text")) for one in both} == {
        (item(photo), "image", None),
        (item(file), "text", said.splitlines()[0]),
    }
    (note, *_) = client.request("query", text="sushi", modality="text")["results"]
    assert note == next(one for one in both if one["modality"] == "text")
    gone = owner.request("control", op="forget", items=[item(photo), item(file), sha(b"Call the plumber.")])
    assert (gone["count"], gone["kept"]) == (3, 0)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
