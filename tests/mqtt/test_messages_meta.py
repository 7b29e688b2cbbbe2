"""Metadata through the payload border: of an item, a question, an order, and of a result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.items import Answer, Hit, Instruction, Item, Selection
from edge.mqtt import read_reply
from edge.mqtt.messages import UnanswerableError, parse_ingest, parse_query, parse_raw, question
from edge.mqtt.orders import instruction, parse_control
from edge.mqtt.replies import answer

MOST = {f"a.B_{number}-c".ljust(64, "x"): "\U0001f4f7" * 256 for number in range(16)}
REFUSED = [
    ("Kyoto", "meta is 'Kyoto': must be a mapping"),
    (["place"], "meta is ['place']: must be a mapping"),
    ({"place": 5}, "meta.place is 5: must be a text"),
    ({"place": None}, "meta.place is None: must be a text"),
    ({"place": {"city": "Kyoto"}}, "meta.place is {'city': 'Kyoto'}: must be a text"),
    ({"": "x"}, "meta has the key '': must be 1 to 64 of A-Z, a-z, 0-9, _, . and -"),
    ({"a b": "x"}, "meta has the key 'a b'"),
    ({"a\n": "x"}, "meta has the key 'a\\n'"),
    ({"\u00e9": "x"}, "meta has the key '\u00e9'"),
    ({"k" * 65: "x"}, "meta has the key 'kkk"),
    ({"place": "x" * 257}, "meta.place must be Unicode text of at most 256 characters, none of them NUL"),
    ({"place": "a\0b"}, "meta.place must be Unicode text"),
    ({"place": "\ud800"}, "meta.place must be Unicode text"),
    ({str(number): "x" for number in range(17)}, "meta has 17 keys: 16 at most"),
]


def payload(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def ingest(meta: object) -> object:
    return parse_ingest(payload(data="YQ==", meta=meta)).body.meta


def raw(meta: object) -> object:
    return parse_raw("image", b"a", (("meta", json.dumps(meta)),)).body.meta


def asked(meta: object) -> object:
    return question(parse_query(payload(text="a", meta=meta)).body, 5).narrowing.meta


def ordered(meta: object) -> object:
    selection = instruction(parse_control(payload(op="forget", meta=meta)).body).selection
    assert selection is not None
    return selection.meta


READERS = {"ingest": ingest, "raw": raw, "query": asked, "control": ordered}
every = pytest.mark.parametrize("name", READERS)


@every
def test_keys_and_values_are_read_in_the_order_of_the_keys(name: str) -> None:
    assert READERS[name]({"b": "2", "a": ""}) == (("a", ""), ("b", "2"))
    assert READERS[name](MOST) == tuple(sorted(MOST.items()))


@every
@pytest.mark.parametrize(("meta", "message"), REFUSED)
def test_what_is_no_metadata_is_refused_with_what_is(name: str, meta: Any, message: str) -> None:
    with pytest.raises(UnanswerableError) as caught:
        READERS[name](meta)
    assert caught.value.code == "bad_request"
    assert message in caught.value.message
    assert len(caught.value.message) <= 1_100


@pytest.mark.parametrize("name", ["ingest", "query"])
def test_null_says_nothing(name: str) -> None:
    assert READERS[name](None) == ()


def test_item_of_which_nothing_is_said_may_say_so() -> None:
    assert ingest({}) == raw({}) == ()


@pytest.mark.parametrize("text", ["", "{", "place=Kyoto", "null", "[" * 100_000])
def test_property_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(UnanswerableError, match="the property meta: "):
        parse_raw("image", b"a", (("meta", text),))


@pytest.mark.parametrize("name", ["query", "control"])
def test_filter_without_keys_is_refused_for_it_would_mean_all(name: str) -> None:
    with pytest.raises(UnanswerableError, match="meta has no keys: name one or more"):
        READERS[name]({})


def test_order_joins_it_with_its_other_conditions() -> None:
    found = instruction(parse_control(payload(op="pin", source="cam/", meta={"a": "b"})).body)
    assert found == Instruction(op="pin", selection=Selection(source="cam/", meta=(("a", "b"),)))


def test_order_that_is_not_about_items_refuses_it() -> None:
    with pytest.raises(UnanswerableError, match="op 'pause' is not about items"):
        parse_control(payload(op="pause", meta={"a": "b"}))


def reply(meta: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    item = Item(
        id=1, digest=bytes(32), modality="image", source="a.jpg", bytes=9, added_at=1.0, taken_at=None, meta=meta
    )
    found = Answer(
        question="", hits=[Hit(item, 3, 0.5)], searched=1, refined=0, cut=False, query_ms=1, filter_ms=1, correct_ms=1
    )
    return dict(json.loads(answer(found, None, "")))


def test_result_has_what_was_said_of_it() -> None:
    assert reply((("a", "b"), ("c", "")))["results"][0]["meta"] == {"a": "b", "c": ""}
    assert dict(read_reply(reply((("a", "b"),))).results[0].meta) == {"a": "b"}


def test_result_of_which_nothing_was_said_has_none() -> None:
    assert "meta" not in reply(())["results"][0]
    assert read_reply(reply(())).results[0].meta == {}
