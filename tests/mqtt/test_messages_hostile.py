"""Whatever comes in is either read or refused in a bounded message: nothing else is ever raised."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.items import Offer
from edge.mqtt import replies
from edge.mqtt.messages import (
    NOT_YET,
    Parsed,
    QueryMessage,
    UnanswerableError,
    parse_ingest,
    parse_query,
    parse_raw,
    question,
    reply_to,
)
from edge.mqtt.orders import parse_control

LONGEST_MESSAGE = 1_000
LONGEST_WARNING = 520
PARSERS: tuple[Callable[[bytes], Parsed[Any]], ...] = (parse_ingest, parse_query, parse_control)
TEXTS = st.text(st.characters(codec=None), max_size=200)
NUMBERS = st.one_of(st.integers(), st.integers(-(10**420), 10**420), st.floats())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda values: st.one_of(st.lists(values, max_size=4), st.dictionaries(TEXTS, values, max_size=4)),
    max_leaves=20,
)
SOUND = {
    "data": st.sampled_from(["", "YQ==", "YQ"]),
    "path": st.sampled_from(["/a", "", "\0", "\ud800"]),
    "sha256": st.sampled_from(["0" * 64, "", "x" * 64]),
    "modality": st.sampled_from(["image", "text"]),
    "source": TEXTS,
    "text": TEXTS,
    "op": st.sampled_from(["ping", "pause", "forget", ""]),
    "limit": st.integers(-1, 1_002),
    "deadline_ms": st.integers(-1, 3_600_002),
    "ts": st.one_of(st.floats(), st.integers(-1, 253_402_300_801)),
    "sort": st.sampled_from(["time", "relevance", "size"]),
    "refine": st.booleans(),
    "reply_to": TEXTS,
    "id": TEXTS,
    "v": st.sampled_from([1, 1.0, 2, True, "1"]),
}
FIELDS = [*SOUND, *(name for names in NOT_YET.values() for name in names)]
# Objects with fields that exist: most with values that could be right, some with any.
OBJECTS = st.fixed_dictionaries(
    {}, optional={name: st.one_of(SOUND[name], VALUES) if name in SOUND else VALUES for name in FIELDS}
)
RAW = st.dictionaries(st.one_of(st.sampled_from(["id", "ts", "source", "v"]), TEXTS), TEXTS, max_size=6)


def check(parsed: Parsed[Any] | UnanswerableError) -> None:
    """It can be answered: with an error that is known and short, or with what was ignored."""
    if isinstance(parsed, UnanswerableError):
        assert parsed.code in replies.ERROR_CODES
        assert 0 < len(parsed.message) <= LONGEST_MESSAGE
        assert parsed.id is None or len(parsed.id) <= 128
        assert json.loads(replies.error(parsed, parsed.id))["error"]["message"] == parsed.message
    else:
        assert len(parsed.warning) <= LONGEST_WARNING
        assert parsed.id is None or len(parsed.id) <= 128


def read(payload: bytes) -> None:
    for parse in PARSERS:
        try:
            parsed: Parsed[Any] | UnanswerableError = parse(payload)
        except UnanswerableError as error:
            parsed = error
        check(parsed)
        if isinstance(parsed, Parsed) and isinstance(parsed.body, QueryMessage):
            question(parsed.body, 5)
        if isinstance(parsed, Parsed) and isinstance(parsed.body, Offer):
            check_offer(parsed.body)
    topic = reply_to(payload)
    assert topic is None or isinstance(topic, str)


def check_offer(offer: Offer) -> None:
    assert sum(value is not None for value in (offer.content, offer.path, offer.digest)) == 1
    assert len(offer.source.encode()) <= 4_000
    assert offer.source.isprintable()
    assert offer.taken_at is None or 0 <= offer.taken_at <= 253_402_300_799


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    read(payload)


@given(VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    read(json.dumps(value).encode())


@given(OBJECTS)
def test_any_values_of_the_fields_are_read_or_refused(fields: dict[str, object]) -> None:
    read(json.dumps(fields).encode())


@given(OBJECTS)
def test_fields_may_stand_in_any_encoding_of_json(fields: dict[str, object]) -> None:
    read(json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(OBJECTS, st.integers(0, 300), st.binary(max_size=4))
def test_json_with_a_damaged_place_is_read_or_refused(fields: dict[str, object], place: int, damage: bytes) -> None:
    whole = json.dumps(fields).encode()
    read(whole[:place] + damage + whole[place + 1 :])


@given(st.one_of(st.just("image"), TEXTS), st.binary(max_size=20), RAW)
def test_any_bytes_with_any_properties_are_read_or_refused(modality: str, payload: bytes, user: dict[str, str]) -> None:
    try:
        parsed: Parsed[Any] | UnanswerableError = parse_raw(modality, payload, tuple(user.items()))
    except UnanswerableError as error:
        parsed = error
    check(parsed)
    if isinstance(parsed, Parsed):
        check_offer(parsed.body)


@pytest.mark.parametrize("parse", PARSERS)
def test_megabytes_of_junk_are_refused_in_a_short_message(parse: Callable[[bytes], Parsed[Any]]) -> None:
    junk = (b"[" * 4_000_000, b'{"data": "' + b"\xff" * 4_000_000, b'{"data": [' + b"1," * 2_000_000 + b"1]}")
    for payload in junk:
        with pytest.raises(UnanswerableError) as caught:
            parse(payload)
        check(caught.value)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b"1.5", b'""', b'{"a":1}'])
def test_eight_megabytes_of_values_are_refused_without_being_read(value: bytes) -> None:
    many = (8 << 20) // (len(value) + 1) - 10
    payload = b'{"tags":[' + b",".join([value] * many) + b"]}"
    with pytest.raises(UnanswerableError, match="the payload has more than 10000 values"):
        parse_ingest(payload)


def test_base64_of_eight_megabytes_is_one_value() -> None:
    content = bytes(range(256)) * 20_000
    parsed = parse_ingest(json.dumps({"data": base64.b64encode(content).decode()}).encode())
    assert parsed.body.content == content
