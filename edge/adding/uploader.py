"""Sends files and waits for each until the daemon says `accepted`: a bounded number at a time, resent when unanswered.

A file is offered by its SHA-256 first, so that running it again after an interruption sends only what is missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.adding.files import modality_of, printable
from edge.adding.shrink import shrink
from edge.errors import BrokerError, UnreadableItemError
from edge.mqtt import ONLINE, Outgoing, Requester, encode
from edge.runtime import exif_time, read_note

IN_FLIGHT, IN_FLIGHT_BYTES = 32, 16 << 20
RESEND_S = 10.0
ONLINE_S = 5.0  # what is retained comes at once
SILENCE_S = 60.0  # without any answer, while the daemon does not say that it is busy: then it is gone
_AROUND_BYTES = 4 << 10  # of JSON around the content
_LATEST = 253_402_300_799.0  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one file.

    item:        its id; None when the file could not be read
    shrunk_from: bytes of the file, if it was sent smaller
    is_late:     it was accepted before, and turned out to be unreadable
    """

    file: Path
    state: Literal["accepted", "duplicate", "rejected"]
    item: str | None
    reason: str = ""
    shrunk_from: int | None = None
    is_late: bool = False


@dataclass(slots=True, kw_only=True)
class _Pending:
    file: Path
    content: bytes
    item: str
    shrunk_from: int | None
    file_ts: float
    is_sent: bool = False
    is_asked: bool = False  # since it was sent: the answer "unknown" to an older question is no reason to send it again
    asked_at: float = 0.0


class Uploader:
    """Give `heard` to a Requester that listens to `event` and `state`, and that Requester to `add`.

    on_busy:   called in `add` when `busy` changes
    busy:      why the daemon accepts nothing new for now; empty otherwise
    embedding: ids of accepted items that cannot be found yet
    """

    def __init__(self, on_busy: Callable[[str], None] = lambda _: None, meta: Mapping[str, str] | None = None) -> None:
        """`meta` is said of every file."""
        self._meta = dict(meta or {})
        self.busy = ""
        self._on_busy = on_busy
        self.embedding: set[str] = set()
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._pending: dict[str, _Pending] = {}
        self._name = os.urandom(4).hex()
        self._heard_at = time.monotonic()

    def heard(self, topic: str, payload: bytes) -> None:
        """What came on `event` or `state`; in the client's thread."""
        try:
            fields = json.loads(payload)
        except ValueError:
            return
        if not isinstance(fields, dict):
            return
        if topic.endswith("/state"):
            busy = fields.get("busy", "")
            fields = {"type": "busy" if busy else "ready", "reason": busy, "backlog": fields.get("backlog")}
        self._events.put(fields)

    def add(self, client: Requester, files: Iterable[Path]) -> Iterator[Sent]:
        """Send the files; yields each once its fate is certain, not in their order.

        Raises BrokerError when the daemon falls silent; what was yielded as accepted is safe.
        """
        client.wait_until_online(ONLINE_S)
        rest = enumerate(files)
        self._heard_at = time.monotonic()
        more = True
        while more or self._pending:
            while more and self._has_room():
                entry = next(rest, None)
                more = entry is not None
                if entry is not None and (refused := self._begin(client, *entry)):
                    yield refused
            if self._pending:
                yield from self._step(client)

    def follow(self, client: Requester, patience_s: float) -> Iterator[Sent | None]:
        """Wait until what was accepted can be found; yields None for each, or what turned out to be unreadable.

        Ends early when nothing happened for `patience_s`.
        """
        now = time.monotonic()
        end, late = now + patience_s, now + 1  # a state that comes at once may be one of before
        while self.embedding and time.monotonic() < end:
            event = self._next_event(0.2)
            if event.get("backlog") == 0 and time.monotonic() > late:  # a connection was lost, and events with it
                yield from (None for _ in self.embedding)
                self.embedding.clear()
            if event.get("item") not in self.embedding:
                continue
            end = time.monotonic() + patience_s
            client.heard()
            self.embedding.discard(event["item"])
            yield self._late(event)

    def _has_room(self) -> bool:
        held = sum(len(one.content) for one in self._pending.values())
        return len(self._pending) < IN_FLIGHT and (held < IN_FLIGHT_BYTES or not self._pending)

    def _begin(self, client: Requester, number: int, file: Path) -> Sent | None:
        try:
            content, shrunk_from, file_ts = _read(file, _largest(client) - len(json.dumps(self._meta)))
        except (OSError, UnreadableItemError) as error:
            reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            return Sent(file=file, state="rejected", item=None, reason=reason)
        item = hashlib.sha256(content).hexdigest()
        one = _Pending(file=file, content=content, item=item, shrunk_from=shrunk_from, file_ts=file_ts)
        name = f"{self._name}-{number}"
        twins = [other for other in self._pending.values() if other.item == item]
        self._pending[name] = one
        if twins:
            one.asked_at = math.inf  # not before the fate of the first is known: once is enough to send
        else:
            self._ask(client, name, one)
        return None

    def _ask(self, client: Requester, name: str, one: _Pending) -> None:
        one.asked_at, one.is_asked = time.monotonic(), True
        client.send(
            Outgoing(client.topics.ingest, encode({"id": name, "sha256": one.item, "meta": self._meta or None}))
        )

    def _send(self, client: Requester, name: str, one: _Pending) -> None:
        one.asked_at, one.is_sent, one.is_asked = time.monotonic(), True, False
        source = printable(one.file.absolute())  # who asks may do so from another folder, or forget by this one's name
        if client.carries_properties:
            meta = (("meta", json.dumps(self._meta)),) if self._meta else ()
            user = (("id", name), ("source", source), ("file_ts", str(one.file_ts)), *meta)
            client.send(Outgoing(client.topics.raw(modality_of(one.file)), one.content, user=user))
        else:
            data = base64.b64encode(one.content).decode()
            fields = {"id": name, "source": source, "file_ts": one.file_ts, "data": data, "meta": self._meta or None}
            fields["modality"] = modality_of(one.file)
            client.send(Outgoing(client.topics.ingest, encode(fields)))

    def _step(self, client: Requester) -> Iterator[Sent]:
        event = self._next_event(0.5)
        name = event.get("id")
        if name in self._pending:
            self._heard_at = time.monotonic()
            client.heard()
            if event["type"] != "unknown":
                done = self._pending.pop(name)
                self._ask_again(client, lambda one: one.item == done.item)
                yield self._fate(done, event)
            elif self._pending[name].is_asked:
                self._send(client, name, self._pending[name])
        elif event.get("item") in self.embedding:
            self.embedding.discard(event["item"])
            if late := self._late(event):
                yield late
        self._be_patient(client)

    def _fate(self, one: _Pending, event: dict[str, Any]) -> Sent:
        state = event["type"]
        if state == "duplicate" and one.is_sent:
            state = "accepted"  # it was sent again because the first answer got lost
        if state == "accepted":
            self.embedding.add(one.item)
        reason = event["error"]["message"] if state == "rejected" else ""
        return Sent(file=one.file, state=state, item=one.item, reason=reason, shrunk_from=one.shrunk_from)

    def _late(self, event: dict[str, Any]) -> Sent | None:
        if event["type"] != "rejected":
            return None
        item, reason = event["item"], event["error"]["message"]
        return Sent(file=Path(item), state="rejected", item=item, reason=reason, is_late=True)

    def _next_event(self, timeout_s: float) -> dict[str, Any]:
        """The next of them, or nothing; notes what it says of the daemon's being busy."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return {}
        if event.get("type") in {"busy", "ready"} and event.get("reason", "") != self.busy:
            self.busy = event.get("reason", "")
            self._on_busy(self.busy)
            for one in self._pending.values():  # what was sent meanwhile gets its answer now
                one.asked_at = max(one.asked_at, time.monotonic())
        return event

    def _be_patient(self, client: Requester) -> None:
        client.check()
        now = time.monotonic()
        if self.busy and client.status == ONLINE.decode():
            self._heard_at = now
            client.heard()
        else:
            self._ask_again(client, lambda one: now - one.asked_at > RESEND_S)
        if now - self._heard_at > SILENCE_S:
            silent = f"the device {client.topics.device!r} has not answered"
            raise BrokerError(
                f"{silent if client.is_up else 'there was no broker'} for {SILENCE_S:.0f} s: is `reminisce run` up, and"
                " may we use its topics? Run this again to go on"
            )

    def _ask_again(self, client: Requester, which: Callable[[_Pending], bool]) -> None:
        for name, one in self._pending.items():
            if which(one):
                self._ask(client, name, one)


def _read(file: Path, largest: int) -> tuple[bytes, int | None, float]:
    """What is sent of a file, its own bytes if those are more, and its time. Raises OSError, UnreadableItemError."""
    content = file.read_bytes()
    if not content:
        raise UnreadableItemError("the file is empty")
    if modality_of(file) == "text":
        read_note(content)
    changed = min(max(0.0, file.stat().st_mtime), _LATEST)
    if len(content) <= largest:
        return content, None, changed
    # What is made smaller has no EXIF any more.
    return shrink(content, largest), len(content), exif_time(content) or changed


def _largest(client: Requester) -> int:
    """Bytes of content that fit into one message; base64 makes four of three."""
    whole = client.largest_payload
    return whole if client.carries_properties else (whole - _AROUND_BYTES) * 3 // 4
