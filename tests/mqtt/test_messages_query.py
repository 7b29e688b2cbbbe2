"""What comes in on `query` and `control`."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from edge.config import MAX_LIMIT
from edge.items import Instruction, Question, Selection
from edge.mqtt.messages import (
    LONGEST_TEXT,
    SHORT_BYTES,
    Parsed,
    QueryMessage,
    UnanswerableError,
    parse_query,
    question,
    reply_to,
)
from edge.mqtt.moments import MEANT
from edge.mqtt.orders import OPS, OPS_NOT_YET, ControlMessage, instruction, parse_control


def query(**fields: object) -> QueryMessage:
    return parse_query(json.dumps({"text": "a beach", **fields}).encode()).body


def refusal(**fields: object) -> tuple[str, str]:
    with pytest.raises(UnanswerableError) as caught:
        query(**fields)
    return caught.value.code, caught.value.message


def order_refusal(**fields: object) -> tuple[str, str, str | None]:
    with pytest.raises(UnanswerableError) as caught:
        parse_control(json.dumps(fields).encode())
    return caught.value.code, caught.value.message, caught.value.id


def seconds_left(**fields: object) -> float:
    """Until the deadline of a question that arrives now."""
    asked = question(query(**fields), 5)
    assert asked.deadline is not None
    return asked.deadline - time.monotonic()


def test_everything_that_can_be_asked_is_read() -> None:
    fields = {"limit": 3, "deadline_ms": 250, "ts": 1.5, "sort": "time", "refine": False, "reply_to": "a/b"}
    fields |= {"stream": True, "explain": True, "collapse": False}
    content = json.dumps({"v": 1, "id": "7", "text": "Zoë 写 🏖", **fields}).encode()
    message = QueryMessage(
        text="Zoë 写 🏖",
        limit=3,
        deadline_ms=250,
        ts=1.5,
        sort="time",
        refine=False,
        stream=True,
        explain=True,
        collapse=False,
        reply_to="a/b",
    )
    assert parse_query(content) == Parsed(message, "7", "")


def test_question_has_the_configs_limit_unless_it_says_one() -> None:
    assert question(query(), 5) == Question(text="a beach", limit=5, collapse=True)
    assert question(query(limit=9, sort="time", refine=False, stream=True, explain=True), 5) == Question(
        text="a beach", limit=9, sort="time", refine=False, stream=True, explain=True, collapse=True
    )
    assert not question(query(collapse=False), 5).collapse
    assert question(query(), 5, "me").client == "me"


@pytest.mark.parametrize(
    "fields", [{"limit": 1}, {"limit": MAX_LIMIT}, {"deadline_ms": 1}, {"deadline_ms": 3_600_000}, {"ts": 0}]
)
def test_value_at_the_end_of_its_range_is_taken(fields: dict[str, Any]) -> None:
    (name,) = fields
    assert getattr(query(**fields), name) == fields[name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": 0}, "limit is 0: must be 1 to 1000"),
        ({"limit": -1}, "limit is -1: must be 1 to 1000"),
        ({"limit": MAX_LIMIT + 1}, "limit is 1001: must be 1 to 1000"),
        ({"limit": 5.0}, "limit is 5.0: must be a whole number"),
        ({"limit": True}, "limit is True: must be a whole number"),
        ({"limit": "5"}, "limit is '5': must be a whole number"),
        ({"limit": 10**400}, f"limit is {10**400}: must be 1 to 1000"),
        ({"deadline_ms": 0}, "deadline_ms is 0: must be 1 to 3600000"),
        ({"deadline_ms": 3_600_001}, "deadline_ms is 3600001: must be 1 to 3600000"),
        ({"deadline_ms": 1.5}, "deadline_ms is 1.5: must be a whole number"),
        ({"ts": -1}, "ts is -1.0: must be seconds of Unix time, 0 to 253402300799"),
        ({"ts": 10**400}, f"ts is {10**400}: must be a number"),
        ({"ts": "now"}, "ts is 'now': must be a number"),
        ({"sort": "size"}, "sort is 'size': must be one of relevance, time"),
        ({"sort": None}, "sort is None: must be one of relevance, time"),
        ({"refine": "no"}, "refine is 'no': must be true or false"),
        ({"refine": 0}, "refine is 0: must be true or false"),
        ({"stream": "yes"}, "stream is 'yes': must be true or false"),
        ({"explain": 1}, "explain is 1: must be true or false"),
        ({"collapse": "no"}, "collapse is 'no': must be true or false"),
        ({"reply_to": 5}, "reply_to is 5: must be a text"),
        ({"text": None}, "the question must have text, like or image"),
        ({"like": "a" * 63}, "like must be 64 hexadecimal digits"),
        ({"like": "a" * 64, "image": ""}, "the question must have one of like and image, not both"),
        ({"image": "a beach"}, "image is not base64: Only base64 data is allowed"),
        ({"image": 3}, "image is 3: must be a text"),
        ({"text": ["a beach"]}, "text is ['a beach']: must be a text"),
        ({"text": ""}, "text has 0 characters: must be 1 to 10000, not all blank"),
        ({"text": " \t\n\u3000"}, "text has 4 characters: must be 1 to 10000, not all blank"),
        ({"text": "x" * 10_001}, "text has 10001 characters: must be 1 to 10000, not all blank"),
    ],
)
def test_question_that_is_not_asked_right_is_refused(fields: dict[str, object], message: str) -> None:
    assert refusal(**fields) == ("bad_request", message)


def test_question_without_text_and_example_is_refused() -> None:
    with pytest.raises(UnanswerableError, match=r"^the question must have text, like or image \(bad_request\)$"):
        parse_query(b"{}")


def test_example_is_read_alone_and_beside_text() -> None:
    alone = parse_query(json.dumps({"like": "AB" * 32}).encode()).body
    assert question(alone, 5) == Question(like=b"\xab" * 32, limit=5, collapse=True)
    assert question(query(image="/9j/"), 5) == Question(text="a beach", image=b"\xff\xd8\xff", limit=5, collapse=True)


def test_longest_text_fits_into_a_question_also_as_escaped_json() -> None:
    content = json.dumps({"text": "写" * LONGEST_TEXT}).encode()
    assert len(content) <= SHORT_BYTES
    assert parse_query(content).body.text == "写" * LONGEST_TEXT


def test_question_without_a_deadline_has_none() -> None:
    assert question(query(ts=1.0), 5).deadline is None


def test_deadline_counts_from_arrival() -> None:
    assert seconds_left(deadline_ms=60_000) == pytest.approx(60, abs=5)


def test_deadline_counts_from_the_time_of_asking_where_that_is_said() -> None:
    assert seconds_left(deadline_ms=60_000, ts=time.time() - 20) == pytest.approx(40, abs=5)


def test_deadline_that_has_passed_already_stays_passed() -> None:
    assert seconds_left(deadline_ms=1_000, ts=time.time() - 20) == pytest.approx(-19, abs=5)
    assert seconds_left(deadline_ms=1_000, ts=time.time() - 3_500) == pytest.approx(-3_499, abs=5)


@pytest.mark.parametrize("ts", [0, 86_400])
def test_question_of_an_asker_whose_clock_was_never_set_has_its_whole_deadline(ts: float) -> None:
    assert seconds_left(deadline_ms=60_000, ts=ts) == pytest.approx(60, abs=5)


def test_clock_that_is_ahead_does_not_lengthen_the_deadline() -> None:
    assert seconds_left(deadline_ms=1_000, ts=time.time() + 3_600) == pytest.approx(1, abs=5)
    assert seconds_left(deadline_ms=1_000, ts=253_402_300_799) <= 1


@pytest.mark.parametrize("op", OPS)
def test_order_is_read(op: str) -> None:
    which = {"source": "/pictures/"} if op in {"forget", "pin", "unpin"} else {}
    content = json.dumps({"v": 1, "id": "7", "op": op, "reply_to": "a/b", **which}).encode()
    message = ControlMessage(op=op, reply_to="a/b", source=which.get("source"))
    assert parse_control(content) == Parsed(message, "7", "")


def selected(**fields: object) -> Selection | None:
    return instruction(parse_control(json.dumps({"op": "forget", **fields}).encode()).body).selection


def test_items_source_and_times_say_which_items_an_order_means() -> None:
    assert selected(items=["AB" * 32], source="/p/*", since=5, until="1970-01-01T00:00:09Z") == Selection(
        digests=(b"\xab" * 32,), source="/p/*", since=5, until=9
    )
    assert selected(source="a") == Selection(source="a")


def test_age_counts_back_from_now_and_the_narrower_of_two_ends_holds() -> None:
    aged = selected(older_than_s=3_600)
    assert aged is not None
    assert aged.until == pytest.approx(time.time() - 3_600, abs=5)
    assert selected(older_than_s=3_600, until=7) == Selection(until=7)


def test_order_that_is_not_about_items_selects_none() -> None:
    assert instruction(ControlMessage(op="pause")) == Instruction(op="pause")


@pytest.mark.parametrize("op", OPS_NOT_YET)
def test_order_that_is_not_supported_is_refused_by_name(op: str) -> None:
    assert order_refusal(id="7", op=op) == ("not_supported", f"op {op!r} is not supported so far", "7")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "op is missing"),
        ({"op": None}, "op is None: must be a text"),
        ({"op": ["ping"]}, "op is ['ping']: must be a text"),
        ({"op": "format"}, f"op is 'format': must be one of {', '.join(OPS)}"),
        ({"op": "Ping"}, f"op is 'Ping': must be one of {', '.join(OPS)}"),
        ({"op": ""}, f"op is '': must be one of {', '.join(OPS)}"),
        ({"op": "x" * 1_000}, f"op is {'x' * 40!r}: must be one of {', '.join(OPS)}"),
        ({"op": "ping", "reply_to": 1}, "reply_to is 1: must be a text"),
        (
            {"op": "forget"},
            "op 'forget' must say which items: one or more of items, source, since, until, older_than_s, meta",
        ),
        ({"op": "ping", "source": "a"}, "op 'ping' is not about items"),
        ({"op": "forget", "items": []}, "items must be one or more texts of 64 hexadecimal digits"),
        ({"op": "forget", "items": ["../x"]}, "items must be one or more texts of 64 hexadecimal digits"),
        ({"op": "forget", "items": [3]}, "items[0] is 3: must be a text"),
        ({"op": "forget", "source": ""}, "source must be Unicode text of 1 to 1000 characters, none of them NUL"),
        ({"op": "forget", "source": "*\0a"}, "source must be Unicode text of 1 to 1000 characters, none of them NUL"),
        ({"op": "pin", "since": -1}, f"since is -1.0: must be {MEANT}"),
        ({"op": "forget", "older_than_s": -1}, "older_than_s is -1.0: must be 0 to 253402300799"),
        ({"op": "forget", "source": "a", "force": True}, "force is for op 'forget' with items"),
        ({"op": "pin", "items": ["a" * 64], "force": True}, "force is for op 'forget' with items"),
    ],
)
def test_order_that_is_not_given_right_is_refused(fields: dict[str, object], message: str) -> None:
    assert order_refusal(id="7", **fields) == ("bad_request", message, "7")


def test_reply_topic_is_found_also_in_a_message_that_is_refused() -> None:
    assert reply_to(b'{"reply_to": "a/b", "text": 3, "v": 9}') == "a/b"
    assert reply_to(b'{"reply_to": "\\ud800"}') == "\ud800"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff",
        b"{",
        b"[]",
        b"3",
        b"null",
        b'"reply_to"',
        b"{}",
        b'{"reply_to": null}',
        b'{"reply_to": ["a"]}',
        b'{"reply_to": "a", "x": ' + b"[" * 60_000 + b"}",
        b'{"reply_to": "a"}' + b" " * SHORT_BYTES,
    ],
)
def test_payload_without_a_reply_topic_has_none(content: bytes) -> None:
    assert reply_to(content) is None
