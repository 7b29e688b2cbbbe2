"""Orders that come in: bytes to a frozen dataclass, or one error that says what is wrong. See PROTOCOL.md, Control."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from edge.decode import DecodeError
from edge.items import Instruction, Selection
from edge.mqtt.messages import SHORT_BYTES, Parsed, UnanswerableError, parse
from edge.mqtt.narrowing import LATEST, is_sha256, narrowing_problems, pairs, span

OPS = ("ping", "pause", "resume", "forget", "pin", "unpin")
OPS_NOT_YET = ("reindex", "checkpoint", "set")
_FILTERS = ("source", "since", "until", "older_than_s", "meta")
_ABOUT_ITEMS = ("forget", "pin", "unpin")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMessage:
    """An order. op: one of OPS. The rest says which items it is about, see edge.items.Selection."""

    op: str
    items: tuple[str, ...] | None = None
    source: str | None = None
    since: float | str | None = None
    until: float | str | None = None
    older_than_s: float | None = None
    meta: Mapping[str, str] | None = None
    force: bool = False
    reply_to: str | None = None

    def __post_init__(self) -> None:
        problems = narrowing_problems(self)
        if self.items is not None and not (self.items and all(is_sha256(item) for item in self.items)):
            problems.append("items must be one or more texts of 64 hexadecimal digits")
        if self.older_than_s is not None and not 0 <= self.older_than_s <= LATEST:
            problems.append(f"older_than_s is {self.older_than_s}: must be 0 to {LATEST}")
        says = self.says_which
        if self.op in _ABOUT_ITEMS and not says:
            problems.append(f"op {self.op!r} must say which items: one or more of items, {', '.join(_FILTERS)}")
        if self.op in OPS and self.op not in _ABOUT_ITEMS and says:
            problems.append(f"op {self.op!r} is not about items")
        if self.force and (self.op != "forget" or self.items is None):
            problems.append("force is for op 'forget' with items")
        if problems:
            raise DecodeError(tuple(problems))

    @property
    def says_which(self) -> bool:
        """Whether there is anything that chooses items."""
        return self.items is not None or any(getattr(self, name) is not None for name in _FILTERS)


def parse_control(payload: bytes) -> Parsed[ControlMessage]:
    """An order. Raises UnanswerableError."""
    parsed = parse("control", ControlMessage, payload, SHORT_BYTES)
    op = parsed.body.op
    if op in OPS_NOT_YET:
        raise UnanswerableError("not_supported", f"op {op!r} is not supported so far", parsed.id)
    if op not in OPS:
        raise UnanswerableError("bad_request", f"op is {op[:40]!r}: must be one of {', '.join(OPS)}", parsed.id)
    return parsed


def instruction(message: ControlMessage) -> Instruction:
    """What the message orders; an age counts back from now."""
    if not message.says_which:
        return Instruction(op=message.op)
    since, until = span(message)
    if message.older_than_s is not None:
        until = min(time.time() - message.older_than_s, math.inf if until is None else until)
    digests = None if message.items is None else tuple(bytes.fromhex(item) for item in message.items)
    selection = Selection(digests=digests, source=message.source, since=since, until=until, meta=pairs(message.meta))
    return Instruction(op=message.op, selection=selection, force=message.force)
