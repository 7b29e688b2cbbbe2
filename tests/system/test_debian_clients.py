"""A device over the broker that ships, with passwords, ACL and TLS, and nothing of ours on the other side.

The daemon speaks MQTT 5 and 3.1.1, and so do those that talk to it: mosquitto_pub, mosquitto_sub and mosquitto_rr.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto, secure_mosquitto
from daemons import Daemon, reach
from debian_clients import DEVICE, Client
from edge import __version__
from edge.demo import DEMO_PICTURES

NOT_AUTHORIZED, TIMED_OUT = "Not authorized", 27
# Who asks for these is shown the picture first, whichever others are there.
RAW = {"5": ("hot-air-balloon", "a hot air balloon"), "311": ("golden-retriever", "a golden retriever")}
BASE64 = {"5": ("picos-de-europa", "mountains"), "311": ("canyon-wren", "a bird")}
NAMED = {"5": ("football-on-pitch", "a football"), "311": ("sushi-rolls", "sushi")}


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A daemon and its broker.

    way:   the version of MQTT that it speaks, and how it reaches the broker
    roots: the folder whose files it takes by their path
    """

    broker: Mosquitto
    way: str
    roots: Path

    def app(self, version: str) -> Client:
        """A client with the rights of an app, which comes by the same way."""
        is_plain = "311" in {version, self.way.partition(",")[0].replace(".", "")}
        return Client(broker=self.broker, version=version, is_local="loopback" in self.way, is_plain=is_plain)


WAYS = ("5, TLS", "5, loopback", "3.1.1, TLS")


@pytest.fixture(scope="module", params=WAYS)
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """dev1, by each way that a device may take."""
    protocol, way = request.param.split(", ")
    folder = tmp_path_factory.mktemp("device")
    (folder / "broker").mkdir()
    (folder / "photos").mkdir()
    with secure_mosquitto(folder / "broker") as broker:
        assert broker.authority
        tls = {"host": "localhost", "port": broker.tls_port, "tls_ca": str(broker.authority.ca)}
        changes = {"protocol": protocol if "." in protocol else int(protocol), **(tls if way == "TLS" else {})}
        mqtt, config = reach(broker, "dev1", **changes), {"remember": {"roots": [str(folder / "photos")]}}
        with Daemon(folder=folder / "daemon", mqtt=mqtt, config=config):
            yield Device(broker, request.param, folder / "photos")


@pytest.fixture(params=["5", "311"])
def app(request: pytest.FixtureRequest, device: Device) -> Client:
    return device.app(request.param)


@pytest.fixture
def owner(app: Client) -> Client:
    """The owner of the memory."""
    return dataclasses.replace(app, user="owner", id="owner-1")


def picture(name: str) -> tuple[Path, bytes, str]:
    """A shipped picture: its file, its bytes, and its id."""
    file = DEMO_PICTURES / f"{name}.jpg"
    content = file.read_bytes()
    return file, content, hashlib.sha256(content).hexdigest()


def new_picture() -> tuple[bytes, str]:
    """Bytes that no device has, and their id: after its end a JPEG may be followed by anything."""
    content = picture("dahlia")[1] + secrets.token_bytes(8)
    return content, hashlib.sha256(content).hexdigest()


def test_picture_sent_as_bytes_is_accepted_then_indexed_then_the_first_answer(app: Client, tmp_path: Path) -> None:
    name, question = RAW[app.version]
    file, _, item = picture(name)
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        assert app.publish("ingest/raw/image", "-f", file).returncode == 0
        news.event("indexed", item=item)
        told = [message.payload["type"] for message in news.heard if message.name == "event"]
    assert told == ["accepted", "indexed"]
    reply = app.request("query", text=question)
    assert reply["results"][0]["item"] == item
    assert (reply["v"], reply["final"], "warning" in reply) == (1, True, False)


def test_picture_sent_as_base64_is_the_first_answer_with_its_source_and_its_time(app: Client, tmp_path: Path) -> None:
    name, question = BASE64[app.version]
    _, content, item = picture(name)
    data = base64.b64encode(content).decode()
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.offer(tmp_path, v=1, id="photo-1", modality="image", data=data, source="camera, garden", ts=1_700_000_000)
        assert news.event("accepted", id="photo-1")["item"] == item
        news.event("indexed", item=item)
    first = app.request("query", text=question, limit=1)["results"][0]
    assert (first["item"], first["source"], first["ts"]) == (item, "camera, garden", 1_700_000_000)


def test_file_below_the_roots_is_taken_by_its_path_and_none_from_elsewhere(
    app: Client, device: Device, tmp_path: Path
) -> None:
    name, question = NAMED[app.version]
    file, content, item = picture(name)
    inside = device.roots / file.name
    inside.write_bytes(content)
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.offer(tmp_path, id="inside", path=str(inside))
        news.event("accepted", id="inside", item=item)
        news.event("indexed", item=item)
        app.offer(tmp_path, id="outside", path=str(file))
        error = news.event("rejected", id="outside")["error"]
    assert error == {"code": "unreadable", "message": "the path lies outside of remember.roots"}
    first = app.request("query", text=question)["results"][0]
    assert (first["item"], first["source"]) == (item, str(inside))


def test_question_for_a_sha256_is_answered_with_unknown_before_and_with_duplicate_after(
    app: Client, tmp_path: Path
) -> None:
    content, item = new_picture()
    (tmp_path / "new.jpg").write_bytes(content)
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.offer(tmp_path, id="before", sha256=item)
        assert news.event("unknown", id="before")["item"] == item
        app.publish("ingest/raw/image", "-f", tmp_path / "new.jpg")
        news.event("accepted", item=item)
        app.offer(tmp_path, id="after", sha256=item)
        assert news.event("duplicate", id="after")["item"] == item


def test_status_info_and_state_are_retained_for_an_app_that_comes_later(app: Client, tmp_path: Path) -> None:
    with app.listen(tmp_path, "info", "state") as news:
        state = news.first(lambda message: message.name == "state")
        info = news.first(lambda message: message.name == "info")
        status = news.first(lambda message: message.name == "status")
    assert [message.is_retained for message in (status, info, state)] == [True, True, True]
    assert status.payload == "online"
    assert (info.payload["software"], info.payload["device"]) == (__version__, "dev1")
    assert info.payload["limits"]["payload_bytes"] == 8 << 20
    assert {"items", "backlog", "paused", "rss_mb", "disk_free_mb"} <= state.payload.keys()


@pytest.mark.parametrize("device", [way for way in WAYS if way.startswith("5")], indirect=True)
def test_user_properties_and_correlation_come_back(device: Device, tmp_path: Path) -> None:
    app = device.app("5")
    content, item = new_picture()
    (tmp_path / "new.jpg").write_bytes(content)
    given = [("id", "photo 7"), ("source", "door"), ("ts", "1700000000.5"), ("colour", "blue")]
    properties = [word for pair in given for word in ("-D", "publish", "user-property", *pair)]
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.publish("ingest/raw/image", "-f", tmp_path / "new.jpg", *properties)
        event = news.event("accepted", id="photo 7")
        news.event("indexed", item=item)
    assert (event["item"], event["warning"]) == (item, "ignored: colour")
    asked = app.try_request(
        "query", "-D", "publish", "correlation-data", "q 1", "-F", "%D %p", text="a flower", limit=1000, collapse=False
    )
    assert asked.stdout.startswith("q 1 {")
    found = {result["item"]: result for result in json.loads(asked.stdout.removeprefix("q 1 "))["results"]}
    assert (found[item]["source"], found[item]["ts"]) == ("door", 1_700_000_000.5)


@pytest.mark.parametrize("device", [way for way in WAYS if way.startswith("3")], indirect=True)
def test_device_that_speaks_311_hears_nothing_of_properties(device: Device, tmp_path: Path) -> None:
    app = device.app("5")
    content, item = new_picture()
    (tmp_path / "new.jpg").write_bytes(content)
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.publish("ingest/raw/image", "-f", tmp_path / "new.jpg", "-D", "publish", "user-property", "id", "photo 8")
        assert "id" not in news.event("accepted", item=item)
    asked = dataclasses.replace(app, is_plain=False).try_request("query", "-W", "1", text="a flower")
    assert (asked.returncode, asked.stdout) == (TIMED_OUT, "")


def test_one_question_has_one_reply_and_it_carries_the_id_of_the_question(
    app: Client, owner: Client, tmp_path: Path
) -> None:
    spy = dataclasses.replace(app, user="dev1", id="spy")  # who may hear all replies
    with spy.listen(tmp_path, "reply/#") as replies:
        answer = app.request("query", id="q-1", text="a flower")
        owner.request("control", op="ping")
        replies.first(lambda message: message.topic == owner.reply_topic)
        heard = [message.payload for message in replies.heard if message.topic == app.reply_topic]
    assert heard == [answer]
    assert (answer["id"], answer["final"]) == ("q-1", True)


def test_owner_pauses_and_resumes_what_is_embedded_and_not_what_is_accepted(
    app: Client, owner: Client, tmp_path: Path
) -> None:
    content, item = new_picture()
    (tmp_path / "new.jpg").write_bytes(content)
    pinged = {"v": 1, "id": "p", "final": True, "op": "ping"}
    assert owner.request("control", op="ping", id="p") == {**pinged, "paused": False}
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        assert owner.request("control", op="pause")["paused"] is True
        app.publish("ingest/raw/image", "-f", tmp_path / "new.jpg")
        news.event("accepted", item=item)
        assert owner.request("control", op="ping", id="p") == {**pinged, "paused": True}
        assert item not in [
            m.payload["item"] for m in news.heard if m.name == "event" and m.payload["type"] == "indexed"
        ]
        assert owner.request("control", op="resume")["paused"] is False
        news.event("indexed", item=item)


def test_app_gives_no_orders(app: Client, owner: Client) -> None:
    done = app.try_request("control", "-W", "1", op="pause")
    assert done.returncode != 0
    assert done.stdout == ""
    assert owner.request("control", op="ping")["paused"] is False
    if app.version == "5":  # in 3.1.1 a sender cannot be told
        refused = app.publish("control", "-m", '{"op": "pause"}')
        assert NOT_AUTHORIZED in refused.stderr


def test_app_cannot_read_what_another_was_answered(app: Client, tmp_path: Path) -> None:
    curious = dataclasses.replace(app, id="app-2")
    with curious.listen(tmp_path, "reply/#", "reply/app-1/#", app.reply_topic.removeprefix(f"{DEVICE}/")) as heard:
        answered = app.request("query", text="a flower", id="private")
        # Its own comes: so it listened well, and later than the other's was sent.
        place = f"{DEVICE}/reply/app-2/2"
        curious_too = dataclasses.replace(app, id="app-3")
        curious_too.publish("query", "-m", json.dumps({"text": "a flower", "id": "mine", "reply_to": place}))
        heard.first(lambda message: message.topic == place)
        topics = {message.topic for message in heard.heard} - {f"{DEVICE}/status"}
    assert answered["id"] == "private"
    assert topics == {place}


def test_unknown_field_is_ignored_and_named(app: Client, tmp_path: Path) -> None:
    assert app.request("query", text="a flower", colour="blue", mood=1)["warning"] == "ignored: colour, mood"
    content, item = new_picture()
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.offer(tmp_path, data=base64.b64encode(content).decode(), colour="blue")
        assert news.event("accepted", item=item)["warning"] == "ignored: colour"


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"v": 2, "text": "a flower"}, "version", "v is 2: this daemon speaks 1"),
        ({"text": "a flower", "budget_j": 3}, "not_supported", "budget_j is not supported so far"),
        ({"like": "AB" * 32}, "not_found", "nothing with this id is remembered: send the picture as `image`"),
        ({"text": " "}, "bad_request", "text has 1 characters: must be 1 to 10000, not all blank"),
    ],
)
def test_question_that_cannot_be_answered_is_told_why(
    app: Client, asked: dict[str, Any], code: str, message: str
) -> None:
    reply = app.request("query", id="q", **asked)
    assert reply == {"v": 1, "id": "q", "final": True, "error": {"code": code, "message": message}}


def test_item_that_cannot_be_taken_is_told_why(app: Client, tmp_path: Path) -> None:
    with dataclasses.replace(app, id="app-2").listen(tmp_path, "event") as news:
        app.offer(tmp_path, id="later", v=2, data="AAAA")
        assert news.event("rejected", id="later")["error"]["code"] == "version"
        app.offer(tmp_path, id="tagged", data="AAAA", tags={"a": 1})
        error = news.event("rejected", id="tagged")["error"]
        assert error == {"code": "not_supported", "message": "tags is not supported so far"}
        app.publish("ingest/raw/audio", "-m", "beep")
        said = "modality 'audio' is not supported so far, only image and text"
        news.event("rejected", error={"code": "not_supported", "message": said})
        app.publish("ingest/raw/image", "-m", "no picture")
        assert news.first(lambda m: m.payload["error"]["code"] == "unreadable" if "error" in m.payload else False)


@pytest.mark.parametrize("op", ["reindex", "checkpoint", "set"])
def test_order_of_a_later_version_is_named_as_not_supported(owner: Client, op: str) -> None:
    error = owner.request("control", op=op)["error"]
    assert error == {"code": "not_supported", "message": f"op '{op}' is not supported so far"}
