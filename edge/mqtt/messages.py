"""Every payload that comes in: bytes to a frozen dataclass, or one error that says what is wrong. See PROTOCOL.md."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from edge.config import MAX_LIMIT, PAYLOAD_BYTES
from edge.decode import DecodeError, decode
from edge.errors import RefusedError
from edge.items import Meta, Modality, Offer, Origin, Question, Selection
from edge.meta import is_text, meta_problems
from edge.mqtt.narrowing import (
    LONGEST_SOURCE,
    is_sha256,
    narrowing_problems,
    pairs,
    span,
    time_problems,
)

VERSION = 1
MODALITIES: tuple[Modality, ...] = ("image", "text")
SHORT_BYTES = 64 << 10  # of a question or an order: a parser that reads megabytes holds up everything else
MOST_OFFSET = 10_000
LONGEST_TEXT = 10_000  # characters of a question; the text tower reads some hundred of them
_LONGEST_ID = 128
_MOST_VALUES = 10_000  # of a payload; the parser makes 8 MB of empty lists in half a second, and nobody else has a turn
_LONGEST_DEADLINE_MS = 3_600_000
_LONGEST_WAY_S = 3_600  # of a message: one that seems older was sent by a clock that is not set, or ours is not

# Fields and values that PROTOCOL.md names and that no version answers so far.
NOT_YET = {
    "ingest": ("tags",),
    "query": ("budget_j",),
    "control": ("args",),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A message that is valid. id: the sender's name for it; warning: what was ignored, else empty."""

    body: T
    id: str | None
    warning: str


class UnanswerableError(RefusedError):
    """A message that is not valid. id: the sender's name for it, if that much could be read."""

    def __init__(self, code: str, message: str, id_: str | None = None) -> None:
        super().__init__(code, message)
        self.id = id_


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestMessage:
    """One of `data` (base64), `text`, `path` and `sha256` (hex; asks whether the bytes are needed)."""

    modality: str | None = None
    data: str | None = None
    text: str | None = None
    path: str | None = None
    sha256: str | None = None
    ts: float | None = None
    file_ts: float | None = None
    source: str | None = None
    meta: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        problems = time_problems(self.ts) + time_problems(self.file_ts, "file_ts") + meta_problems(self.meta)
        if sum(value is not None for value in (self.data, self.text, self.path, self.sha256)) != 1:
            problems.append("the message must have exactly one of data, text, path and sha256")
        if self.text is not None and self.modality == "image":
            problems.append("text is a note, of the modality text")
        if self.text is not None and not is_text(self.text):
            problems.append("text must be Unicode text without NUL")
        if self.sha256 is not None and not is_sha256(self.sha256):
            problems.append("sha256 must be 64 hexadecimal digits")
        if problems:
            raise DecodeError(tuple(problems))


@dataclass(frozen=True, slots=True)
class _MetaProperty:
    """What a user property says, where the payload is the item itself."""

    meta: Mapping[str, str]

    def __post_init__(self) -> None:
        if problems := meta_problems(self.meta):
            raise DecodeError(tuple(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMessage:
    """See edge.items.Question; `image` is base64. deadline_ms counts from `ts`, if that is given, else from arrival."""

    text: str | None = None
    like: str | None = None
    image: str | None = None
    limit: int | None = None
    deadline_ms: int | None = None
    ts: float | None = None
    sort: Literal["relevance", "time"] = "relevance"
    refine: bool = True
    stream: bool = False
    explain: bool = False
    collapse: bool = True
    reply_to: str | None = None
    offset: int = 0
    since: float | str | None = None
    until: float | str | None = None
    source: str | None = None
    modality: str | None = None
    meta: Mapping[str, str] | None = None
    min_relevance: float | None = None

    def __post_init__(self) -> None:
        problems = time_problems(self.ts) + narrowing_problems(self)
        if self.text is None and self.like is None and self.image is None:
            problems.append("the question must have text, like or image")
        if self.like is not None and self.image is not None:
            problems.append("the question must have one of like and image, not both")
        if self.like is not None and not is_sha256(self.like):
            problems.append("like must be 64 hexadecimal digits")
        if self.text is not None and (not self.text.strip() or len(self.text) > LONGEST_TEXT):
            problems.append(f"text has {len(self.text)} characters: must be 1 to {LONGEST_TEXT}, not all blank")
        if self.limit is not None and not 1 <= self.limit <= MAX_LIMIT:
            problems.append(f"limit is {self.limit}: must be 1 to {MAX_LIMIT}")
        if self.deadline_ms is not None and not 1 <= self.deadline_ms <= _LONGEST_DEADLINE_MS:
            problems.append(f"deadline_ms is {self.deadline_ms}: must be 1 to {_LONGEST_DEADLINE_MS}")
        if not 0 <= self.offset <= MOST_OFFSET:
            problems.append(f"offset is {self.offset}: must be 0 to {MOST_OFFSET}")
        if self.min_relevance is not None and not 0 <= self.min_relevance <= 1:
            problems.append(f"min_relevance is {self.min_relevance}: must be 0 to 1")
        if problems:
            raise DecodeError(tuple(problems))

    def narrowing(self) -> Selection:
        """The items that are asked about. Raises ValueError where a time cannot be read."""
        since, until = span(self)
        return Selection(since=since, until=until, source=self.source, modality=self.modality, meta=pairs(self.meta))


def parse_ingest(payload: bytes) -> Parsed[Offer]:
    """An item as JSON. Raises UnanswerableError."""
    parsed = parse("ingest", IngestMessage, payload, PAYLOAD_BYTES)
    message = parsed.body
    unsaid = "image" if message.text is None else "text"
    modality = _modality(unsaid if message.modality is None else message.modality, parsed.id)
    offer = Offer(
        content=_content(message, parsed.id),
        modality=modality,
        path=message.path,
        digest=bytes.fromhex(message.sha256) if message.sha256 else None,
        source=_source(message.source or message.path or ""),
        taken_at=message.file_ts if message.ts is None else message.ts,
        taken_from=_origin(message.ts, message.file_ts),
        meta=pairs(message.meta),
    )
    return Parsed(offer, parsed.id, parsed.warning)


def parse_raw(modality: str, payload: bytes, properties: tuple[tuple[str, str], ...]) -> Parsed[Offer]:
    """An item as bytes, what there is to say of it in user properties. Raises UnanswerableError."""
    given = dict(properties)
    id_ = _id(given.pop("id", None))
    version = given.pop("v", str(VERSION))
    if version != str(VERSION):
        raise UnanswerableError("version", f"v is {version[:20]!r}: this daemon speaks {VERSION}", id_)
    known = _modality(modality, id_)
    _check_size(payload, id_)
    if not payload:
        raise UnanswerableError("bad_request", "the payload is empty", id_)
    ts, file_ts = (_property_time(name, given.pop(name, None), id_) for name in ("ts", "file_ts"))
    meta = _property_meta(given.pop("meta", None), id_)
    offer = Offer(
        content=payload,
        modality=known,
        source=_source(given.pop("source", "")),
        taken_at=file_ts if ts is None else ts,
        taken_from=_origin(ts, file_ts),
        meta=meta,
    )
    return Parsed(offer, id_, _ignored(given))


def parse_query(payload: bytes) -> Parsed[QueryMessage]:
    """A question. Raises UnanswerableError."""
    parsed = parse("query", QueryMessage, payload, SHORT_BYTES)
    if parsed.body.modality is not None:
        _modality(parsed.body.modality, parsed.id)
    if parsed.body.image is not None:
        _base64("image", parsed.body.image, parsed.id)
    return parsed


def question(message: QueryMessage, limit: int, client: str = "") -> Question:
    """What the message of a client asks; `limit` is for one that does not say how many."""
    deadline = None
    if message.deadline_ms is not None:
        # A clock that is ahead of ours must not lengthen it.
        age_s = max(0.0, time.time() - message.ts) if message.ts is not None else 0.0
        deadline = time.monotonic() + message.deadline_ms / 1e3 - (age_s if age_s <= _LONGEST_WAY_S else 0.0)
    return Question(
        text=message.text or "",
        like=None if message.like is None else bytes.fromhex(message.like),
        image=None if message.image is None else base64.b64decode(message.image),
        limit=message.limit or limit,
        offset=message.offset,
        narrowing=message.narrowing(),
        least=message.min_relevance,
        refine=message.refine,
        sort=message.sort,
        deadline=deadline,
        stream=message.stream,
        explain=message.explain,
        collapse=message.collapse,
        client=client,
    )


def reply_to(payload: bytes) -> str | None:
    """The reply topic inside a payload that may be anything, so that its sender can be told what is wrong with it."""
    try:
        topic = json.loads(payload)["reply_to"] if len(payload) <= SHORT_BYTES else None
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return topic if isinstance(topic, str) else None


def parse(name: str, kind: type[T], payload: bytes, largest: int) -> Parsed[T]:
    """JSON of at most `largest` bytes as a `kind`; `name` is its place in NOT_YET. Raises UnanswerableError."""
    _check_size(payload, None, largest)
    data = _mapping(payload)
    id_ = _id(data.pop("id", None))
    version = data.pop("v", VERSION)
    if version != VERSION or isinstance(version, bool):
        raise UnanswerableError("version", f"v is {repr(version)[:20]}: this daemon speaks {VERSION}", id_)
    for field in NOT_YET[name]:
        value = data.pop(field, None)
        if value is not None and value is not False:
            raise UnanswerableError("not_supported", f"{field} is not supported so far", id_)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    ignored = {key: data.pop(key) for key in list(data) if key not in known}
    try:
        return Parsed(decode(kind, data), id_, _ignored(ignored))
    # OverflowError: a whole number too large for a float. RecursionError: what could just be read is too deep to print.
    except (DecodeError, OverflowError, RecursionError) as error:
        raise UnanswerableError("bad_request", str(error)[:1_000], id_) from None


def _mapping(payload: bytes) -> dict[str, Any]:
    if sum(payload.count(mark) for mark in b",:[{") > _MOST_VALUES:  # none of them is in base64
        raise UnanswerableError("bad_request", f"the payload has more than {_MOST_VALUES} values")
    try:
        data = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnanswerableError("bad_request", f"the payload is not JSON: {error}"[:200]) from None
    if not isinstance(data, Mapping):
        raise UnanswerableError("bad_request", "the payload must be a JSON object")
    return dict(data)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _check_size(payload: bytes, id_: str | None, largest: int = PAYLOAD_BYTES) -> None:
    if len(payload) > largest:
        raise UnanswerableError("too_large", f"the payload has {len(payload)} bytes, {largest} at most", id_)


def _modality(name: str, id_: str | None) -> Modality:
    for known in MODALITIES:
        if name == known:
            return known
    all_ = " and ".join(MODALITIES)
    raise UnanswerableError("not_supported", f"modality {name[:40]!r} is not supported so far, only {all_}", id_)


def _content(message: IngestMessage, id_: str | None) -> bytes | None:
    if message.text is not None:
        return message.text.encode()
    return _base64("data", message.data, id_) if message.data is not None else None


def _id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_ID:
        raise UnanswerableError("bad_request", f"id must be a text of at most {_LONGEST_ID} characters")
    return value


def _ignored(fields: Mapping[str, object]) -> str:
    names = ", ".join(sorted(str(name)[:40] for name in fields))[:500]
    return f"ignored: {names}" if names else ""


def _base64(name: str, text: str, id_: str | None) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnanswerableError("bad_request", f"{name} is not base64: {error}", id_) from None


def _source(text: str) -> str:
    """For people: half a surrogate pair cannot be stored, and control characters would reach their terminal."""
    printable = "".join(char if char.isprintable() else "?" for char in text[:LONGEST_SOURCE])
    return printable.encode(errors="replace").decode()


def _origin(ts: float | None, file_ts: float | None) -> Origin:
    return "file" if ts is None and file_ts is not None else "message"


def _property_time(name: str, text: str | None, id_: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if problems := time_problems(value, name):
        raise UnanswerableError("bad_request", problems[0], id_)
    return value


def _property_meta(text: str | None, id_: str | None) -> Meta:
    """Of a JSON object in a user property."""
    if text is None:
        return ()
    try:
        message = decode(_MetaProperty, {"meta": json.loads(text)})
    except (ValueError, RecursionError) as error:
        raise UnanswerableError("bad_request", f"the property meta: {error}"[:1_000], id_) from None
    return pairs(message.meta)
