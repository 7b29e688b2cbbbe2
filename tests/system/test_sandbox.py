"""The daemon under the filter of its unit: it does all its work, and what is forbidden is forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from edge.mqtt import Outgoing
from processes import status_of
from sandbox import Sandbox, calls, need_seccomp
from waiting import wait_until

PHOTOS = 12


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    need_seccomp()
    return Sandbox(tmp_path / "sandbox")


@pytest.fixture
def confined(mosquitto: Mosquitto, tmp_path: Path, sandbox: Sandbox) -> Iterator[Daemon]:
    """A running daemon in the sandbox, two threads to a model file."""
    config = {"runtime": {"threads": 2}, "remember": {"roots": [str(tmp_path)]}}
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=config, environ=sandbox.environ) as daemon:
        yield daemon


def test_confined_daemon_remembers_photos_and_answers(confined: Daemon, pictures: list[Path], tmp_path: Path) -> None:
    indexed: list[bytes] = []

    def came(topic: str, payload: bytes) -> None:
        if topic == confined.topics.event and b'"indexed"' in payload:
            indexed.append(payload)

    by_path = tmp_path / "by-path.jpg"
    by_path.write_bytes(pictures[0].read_bytes())
    with confined.requester((confined.topics.event,), came) as client:
        client.send(Outgoing(confined.topics.ingest, b'{"path": "%s"}' % str(by_path).encode()))
        for picture in pictures[1:PHOTOS]:
            client.send(Outgoing(confined.topics.raw("image"), picture.read_bytes()))
        wait_until(lambda: len(indexed) == PHOTOS, "all photos indexed", 60)
        reply = client.request(confined.topics.query, {"text": "a biplane", "limit": 5}, 60)
    assert reply["refined"] == PHOTOS
    assert len(reply["results"]) == 5
    assert "rror" not in confined.log.read_text(encoding="utf-8")
    assert status_of(confined.pid, "Seccomp") == "2"
    assert status_of(confined.pid, "NoNewPrivs") == "1"


def test_filter_of_the_unit_bites(confined: Daemon, sandbox: Sandbox) -> None:
    assert confined.is_running
    report = sandbox.report
    for name in ("a priority", "processors", "another root", "raw packets"):
        assert report[name] == "EPERM", name
    assert report["its own number"] == "allowed"
    assert len(calls()) - len(report["unknown"]) > 200


def test_writable_code_is_refused(confined: Daemon, sandbox: Sandbox) -> None:
    assert confined.is_running
    report = sandbox.report
    if report.get("mdwe") == "EINVAL":
        pytest.skip("this kernel has no PR_SET_MDWE: it came with 6.3")
    assert "mdwe" not in report
    assert report["writable code"] == "EACCES"


def test_filter_is_what_systemd_makes_of_the_unit() -> None:
    allowed = set(calls())
    assert {"read", "openat", "futex", "mmap", "fdatasync", "socket", "clone"} <= allowed
    assert not {"sched_setaffinity", "setpriority", "ioprio_set", "chroot", "mount", "ptrace", "reboot"} & allowed
