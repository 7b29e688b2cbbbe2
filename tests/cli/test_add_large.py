"""`reminisce add` with photos of phones: as they are where the broker takes them, smaller where it does not."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from brokers import Mosquitto, plain_mosquitto
from commands import run, write_config
from daemons import Daemon, reach
from onlooker import Onlooker
from photos import phone_photo

SIX, TWELVE = 6_200_000, 12_000_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six and of twelve megabytes."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "six.jpg").write_bytes(phone_photo(SIX))
    (folder / "twelve.jpg").write_bytes(phone_photo(TWELVE))
    return folder


@pytest.fixture
def wire(mosquitto: Mosquitto) -> Iterator[Onlooker]:
    """Everything that is sent to the device."""
    with Onlooker(mosquitto.port, topics="reminisce/dev1/ingest/#") as wire:
        yield wire


def test_photo_of_6_mb_is_sent_as_it_is_and_one_of_12_mb_smaller(daemon: Daemon, photos: Path, wire: Onlooker) -> None:
    done = run("add", "--config", daemon.config_file, photos)
    assert (done.code, done.out) == (0, "2 accepted\n")
    assert done.err == f"{photos / 'twelve.jpg'}: sent smaller, 12.0 MB are too many for one message\n"
    sent = sorted((one.payload for one in wire.on("reminisce/dev1/ingest/raw/image")), key=len)
    assert sent[1] == (photos / "six.jpg").read_bytes()
    with Image.open(io.BytesIO(sent[0])) as smaller:
        assert smaller.size == (2048, 1536)

    done = run("add", "--config", daemon.config_file, "--json", photos)
    assert (done.code, done.err) == (0, "")
    told = {Path(one["file"]).name: one for one in done.objects[:-1]}
    assert {name: one["state"] for name, one in told.items()} == {"six.jpg": "duplicate", "twelve.jpg": "duplicate"}
    assert "shrunk_from" not in told["six.jpg"]
    assert told["twelve.jpg"]["shrunk_from"] == TWELVE
    assert told["twelve.jpg"]["item"] == hashlib.sha256(sent[0]).hexdigest()
    assert len(wire.on("reminisce/dev1/ingest/raw/image")) == 2  # nothing was sent again


def test_older_protocol_takes_a_photo_of_6_mb_too(mosquitto: Mosquitto, photos: Path, tmp_path: Path) -> None:
    old = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, protocol="3.1.1"))
    with Onlooker(mosquitto.port, topics="reminisce/dev1/ingest/#") as wire, old as daemon:
        done = run("add", "--config", daemon.config_file, photos)
        assert (done.code, done.out) == (0, "2 accepted\n")
        assert done.err == f"{photos / 'twelve.jpg'}: sent smaller, 12.0 MB are too many for one message\n"
        assert max(len(one.payload) for one in wire.on("reminisce/dev1/ingest")) > SIX * 4 / 3
        assert run("add", "--config", daemon.config_file, photos).out == "2 there already\n"
        found = json.loads(run("ask", "--config", daemon.config_file, "--json", "--all", "light").out)["results"]
        assert {Path(one["source"]).name for one in found} == {"six.jpg", "twelve.jpg"}


def test_broker_that_takes_less_gets_less(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    small = plain_mosquitto(tmp_path / "broker")
    small.config += "max_packet_size 1000000\n"
    with small, Daemon(folder=tmp_path / "daemon", mqtt=reach(small)) as daemon:
        done = run("add", "--config", daemon.config_file, "--json", photos)
        assert done.code == 0
        told = {Path(one["file"]).name: one for one in done.objects[:-1]}
        assert {name: one["shrunk_from"] for name, one in told.items()} == {"six.jpg": SIX, "twelve.jpg": TWELVE}
        assert done.objects[-1]["accepted"] == 2


@pytest.mark.slow
def test_broker_that_breaks_off_at_large_messages_is_an_error_that_names_the_setting(
    photos: Path, tmp_path: Path
) -> None:
    """With MQTT 3.1.1 a broker cannot say what it takes; it closes the connection."""
    (tmp_path / "broker").mkdir()
    small = plain_mosquitto(tmp_path / "broker")
    small.config += "max_packet_size 1000000\n"
    with small, Daemon(folder=tmp_path / "daemon", mqtt=reach(small)):
        file = write_config(tmp_path, reach(small, protocol="3.1.1"))
        done = run("add", "--config", file, photos / "six.jpg")
    assert (done.code, done.out) == (1, "")
    said = f"reminisce: the broker at 127.0.0.1:{small.port} closed the connection N times: its log says why (for"
    hint = "mosquitto: max_packet_size below 8650752, or a topic that the ACL forbids)"
    assert re.sub(r"\d+ times", "N times", done.err) == f"{said} {hint}\n"
