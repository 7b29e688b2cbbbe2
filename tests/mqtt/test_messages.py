"""What comes in on `ingest`, and the rules of PROTOCOL.md that hold for every message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from edge.config import PAYLOAD_BYTES
from edge.mqtt import messages
from edge.mqtt.messages import (
    NOT_YET,
    SHORT_BYTES,
    Parsed,
    UnanswerableError,
    parse_ingest,
    parse_query,
)
from edge.mqtt.orders import parse_control

Parse = Callable[[bytes], Parsed[Any]]
PARSERS: Mapping[str, Parse] = {"ingest": parse_ingest, "query": parse_query, "control": parse_control}
# A message of each kind that says no more than it must.
SMALLEST: Mapping[str, Mapping[str, object]] = {
    "ingest": {"data": "YQ=="},
    "query": {"text": "a beach"},
    "control": {"op": "ping"},
}


def payload(fields: object) -> bytes:
    return json.dumps(fields).encode()


def refusal(parse: Parse, content: bytes) -> tuple[str, str, str | None]:
    """Code, message and id of the error with which a payload is refused."""
    with pytest.raises(UnanswerableError) as caught:
        parse(content)
    return caught.value.code, caught.value.message, caught.value.id


every = pytest.mark.parametrize("name", PARSERS)


@every
def test_message_that_says_no_more_than_it_must_is_taken(name: str) -> None:
    parsed = PARSERS[name](payload(SMALLEST[name]))
    assert (parsed.id, parsed.warning) == (None, "")


@every
@pytest.mark.parametrize("id_", ["", "1", "x" * 128, "Zoë\n\0\ud83d"])
def test_id_comes_back_as_it_was_sent(name: str, id_: str) -> None:
    assert PARSERS[name](payload({"id": id_, **SMALLEST[name]})).id == id_


@every
@pytest.mark.parametrize("id_", [1, 1.5, True, [], {}, "x" * 129])
def test_id_that_is_no_text_or_too_long_is_refused_without_it(name: str, id_: object) -> None:
    said = refusal(PARSERS[name], payload({"id": id_, **SMALLEST[name]}))
    assert said == ("bad_request", "id must be a text of at most 128 characters", None)


@every
def test_id_that_is_null_is_none(name: str) -> None:
    assert PARSERS[name](payload({"id": None, **SMALLEST[name]})).id is None


@every
@pytest.mark.parametrize("version", [1, 1.0])
def test_version_1_is_taken(name: str, version: float) -> None:
    assert PARSERS[name](payload({"v": version, **SMALLEST[name]})).warning == ""


@every
@pytest.mark.parametrize(
    ("version", "said"),
    [
        (2, "2"),
        (0, "0"),
        (1.5, "1.5"),
        (True, "True"),
        (None, "None"),
        ("1", "'1'"),
        ([1], "[1]"),
        (10**400, "10000000000000000000"),
    ],
)
def test_other_version_is_refused_with_the_id(name: str, version: object, said: str) -> None:
    content = payload({"id": "7", "v": version, **SMALLEST[name]})
    assert refusal(PARSERS[name], content) == ("version", f"v is {said}: this daemon speaks 1", "7")


@every
def test_other_version_is_said_before_anything_else_that_it_may_mean_differently(name: str) -> None:
    fields = dict.fromkeys((*NOT_YET[name], *SMALLEST[name]), 5)
    assert refusal(PARSERS[name], payload({**fields, "v": 2}))[0] == "version"


@every
def test_unknown_fields_are_ignored_and_named(name: str) -> None:
    parsed = PARSERS[name](payload({**SMALLEST[name], "zebra": 1, "colour": None, "": []}))
    assert parsed.warning == "ignored: , colour, zebra"
    assert parsed.body == PARSERS[name](payload(SMALLEST[name])).body


@every
def test_names_of_unknown_fields_do_not_make_the_warning_long(name: str) -> None:
    many = {f"{number}{'x' * 100}": 1 for number in range(100)}
    warning = PARSERS[name](payload({**SMALLEST[name], **many})).warning
    assert len(warning) == len("ignored: ") + 500
    assert warning.startswith(f"ignored: 0{'x' * 39}, 10{'x' * 38}, ")


@every
def test_field_that_is_not_supported_is_refused_by_name(name: str) -> None:
    given: tuple[object, ...] = (True, 0, 1, "", "text", [], {})
    for field in NOT_YET[name]:
        for value in given:
            said = refusal(PARSERS[name], payload({**SMALLEST[name], "id": "7", field: value}))
            assert said == ("not_supported", f"{field} is not supported so far", "7")


@every
@pytest.mark.parametrize("value", [None, False])
def test_field_that_is_not_supported_may_be_null_or_false(name: str, value: object) -> None:
    parsed = PARSERS[name](payload({**SMALLEST[name], **dict.fromkeys(NOT_YET[name], value)}))
    assert parsed == PARSERS[name](payload(SMALLEST[name]))


@every
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the payload is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "the payload is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[1]", "the payload must be a JSON object"),
        (b"null", "the payload must be a JSON object"),
        (b'"text"', "the payload must be a JSON object"),
        (b'{"ts": NaN}', "the payload is not JSON: NaN is not a JSON number"),
        (b'{"ts": -Infinity}', "the payload is not JSON: -Infinity is not a JSON number"),
    ],
)
def test_payload_that_is_no_json_object_is_refused(name: str, content: bytes, message: str) -> None:
    assert refusal(PARSERS[name], content) == ("bad_request", message, None)


@every
@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b'{"id": "\xe9"}', b"\x00" * 100])
def test_payload_that_is_no_text_is_refused(name: str, content: bytes) -> None:
    code, message, _ = refusal(PARSERS[name], content)
    assert code == "bad_request"
    assert message.startswith("the payload is not JSON: ")


@every
@pytest.mark.parametrize(
    ("depth", "opens", "closes"), [(100_000, "[", "]"), (100_000, '{"a":', "}"), (30_000, "[", "")]
)
def test_payload_that_is_nested_too_deep_is_refused(name: str, depth: int, opens: str, closes: str) -> None:
    content = f'{{"x": {opens * depth}1{closes * depth}}}'.encode()
    assert refusal(PARSERS[name], content)[0] in {"bad_request", "too_large"}


@every
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_that_can_be_read_but_hardly_be_printed_is_refused(name: str, opens: str, closes: str) -> None:
    for depth in (*range(450, 980, 20), *range(980, 1_010)):  # 1000 is what Python can do
        nested = f"{opens * depth}1{closes * depth}"
        for field in ("text", "data", "op", "v", "id"):
            said = refusal(PARSERS[name], f'{{"{field}": {nested}}}'.encode())
            assert said[0] in {"bad_request", "version", "not_supported"}
            assert len(said[1]) <= 1_000


@every
def test_of_a_key_that_is_given_twice_the_last_is_taken(name: str) -> None:
    twice = payload({"id": "1", **SMALLEST[name]})[:-1] + b', "id": "2"}'
    assert PARSERS[name](twice).id == "2"


@pytest.mark.parametrize(
    ("name", "most"), [("ingest", PAYLOAD_BYTES), ("query", SHORT_BYTES), ("control", SHORT_BYTES)]
)
def test_payload_is_refused_from_one_byte_too_many(name: str, most: int) -> None:
    content = payload(SMALLEST[name])
    content += b" " * (most - len(content))
    PARSERS[name](content)
    said = refusal(PARSERS[name], content + b" ")
    assert said == ("too_large", f"the payload has {most + 1} bytes, {most} at most", None)


def test_every_problem_of_the_values_is_listed() -> None:
    fields = {"id": "7", "text": " ", "limit": 0, "deadline_ms": 0, "ts": -1, "sort": "size", "refine": 1}
    code, message, id_ = refusal(parse_query, payload(fields))
    assert (code, id_) == ("bad_request", "7")
    assert sorted(message.split("; ")) == [
        "deadline_ms is 0: must be 1 to 3600000",
        "limit is 0: must be 1 to 1000",
        "refine is 1: must be true or false",
        "sort is 'size': must be one of relevance, time",
        "text has 1 characters: must be 1 to 10000, not all blank",
        "ts is -1.0: must be seconds of Unix time, 0 to 253402300799",
    ]


def test_every_type_that_is_wrong_is_listed() -> None:
    code, message, _ = refusal(parse_query, payload({"text": 3, "limit": "5", "refine": 1, "reply_to": []}))
    assert code == "bad_request"
    assert sorted(message.split("; ")) == [
        "limit is '5': must be a whole number",
        "refine is 1: must be true or false",
        "reply_to is []: must be a text",
        "text is 3: must be a text",
    ]


@pytest.mark.parametrize("value", ["x" * 100_000, [1] * 5_000, {"a": "b" * 100_000}])
def test_message_does_not_give_back_a_long_value_as_a_whole(value: object) -> None:
    code, message, _ = refusal(parse_ingest, payload({"data": "", "ts": value}))
    assert code == "bad_request"
    assert len(message) == 1_000


def test_value_that_is_too_deep_to_be_printed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(messages, "decode", decode)
    assert refusal(parse_query, payload({"id": "7", "text": []})) == ("bad_request", "too deep", "7")
