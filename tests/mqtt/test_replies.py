"""What goes out: replies and events, and the reply as the asker reads it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decode import DecodeError
from edge.errors import RefusedError
from edge.items import Answer, Explanation, Hit, Item, Origin, Outcome, Verdict
from edge.mqtt import Reply, Result, encode, gate_event, outcome_event, read_reply
from edge.mqtt.messages import UnanswerableError, parse_query
from edge.mqtt.replies import answer, done, error, rejected_event, verdict_event

DIGEST = bytes(range(32))
TEXTS = st.text(st.characters(codec=None), max_size=100)
NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda values: st.one_of(st.lists(values, max_size=3), st.dictionaries(TEXTS, values, max_size=3)),
    max_leaves=8,
)


def item(source: str = "beach.jpg", taken_at: float | None = None) -> Item:
    return Item(
        id=1, digest=DIGEST, modality="image", source=source, bytes=9, added_at=1_700_000_000.1234, taken_at=taken_at
    )


def found(*hits: Hit) -> Answer:
    return Answer(
        question="a beach",
        hits=hits,
        searched=70,
        refined=50,
        cut=True,
        query_ms=1.234,
        filter_ms=2.345,
        correct_ms=30.456,
    )


def read(payload: bytes) -> dict[str, Any]:
    fields = json.loads(payload)
    assert next(iter(fields)) == "v"
    assert fields.pop("v") == 1
    assert isinstance(fields, dict)
    return fields


def test_payload_is_short_json_with_the_version_first() -> None:
    assert encode({"id": "7", "ok": True, "list": [1, 2]}) == b'{"v":1,"id":"7","ok":true,"list":[1,2]}'


def test_fields_that_are_none_are_left_out_and_empty_ones_are_not() -> None:
    assert encode({"id": None, "a": "", "b": 0, "c": False, "d": []}) == b'{"v":1,"a":"","b":0,"c":false,"d":[]}'


@given(st.dictionaries(TEXTS.filter(lambda name: name != "v"), NESTED, max_size=5))
def test_what_is_encoded_comes_back_also_with_half_a_surrogate_pair(fields: dict[str, Any]) -> None:
    payload = encode(fields)
    assert payload.isascii()
    assert read(payload) == {name: value for name, value in fields.items() if value is not None}


def test_result_of_a_calibrated_model_says_how_probable_it_is() -> None:
    (result,) = read(answer(found(Hit(item(), 11, 0.123456, relevance=0.87654)), None, ""))["results"]
    assert (result["score"], result["relevance"]) == (0.1235, 0.8765)


def test_result_whose_content_is_not_kept_says_so_and_any_other_says_nothing() -> None:
    gone = dataclasses.replace(item(), evicted=True)
    results = read(answer(found(Hit(gone, 11, 0.5), Hit(item(), 11, 0.4)), None, ""))["results"]
    assert results[0]["content"] is False
    assert "content" not in results[1]
    told = read_reply(json.loads(answer(found(Hit(gone, 11, 0.5), Hit(item(), 11, 0.4)), None, "")))
    assert [result.content for result in told.results] == [False, True]


def test_answer_says_what_was_found_and_what_it_took() -> None:
    assert read(answer(found(Hit(item(), 11, 0.123456)), "7", "ignored: x")) == {
        "id": "7",
        "final": True,
        "results": [
            {
                "item": DIGEST.hex(),
                "score": 0.1235,
                "exit_depth": 11,
                "ts": 1_700_000_000.123,
                "ts_from": "arrival",
                "source": "beach.jpg",
                "modality": "image",
            }
        ],
        "searched": 70,
        "refined": 50,
        "cut": True,
        "took_ms": 34.03,
        "query_ms": 1.23,
        "filter_ms": 2.35,
        "correct_ms": 30.46,
        "energy_kind": "none",
        "warning": "ignored: x",
    }


def test_answer_of_a_stream_has_its_number_and_says_whether_it_is_the_last() -> None:
    fields = read(answer(replace(found(), sequence=0, is_final=False), "7", ""))
    assert (fields["sequence"], fields["final"]) == (0, False)
    assert read_reply(json.loads(answer(replace(found(), sequence=0, is_final=False), "7", ""))).final is False
    assert "sequence" not in read(answer(found(), "7", ""))


def test_near_duplicates_are_counted_and_named_where_there_are_any() -> None:
    burst = Hit(item(), 3, 0.5, similar=30, similar_items=(DIGEST, DIGEST[::-1]))
    payload = answer(found(burst, Hit(item(), 3, 0.4)), None, "")
    first, second = read(payload)["results"]
    assert (first["similar"], first["similar_items"]) == (30, [DIGEST.hex(), DIGEST[::-1].hex()])
    assert not {"similar", "similar_items"} & second.keys()
    first, second = read_reply(json.loads(payload)).results
    assert (first.similar, first.similar_items) == (30, (DIGEST.hex(), DIGEST[::-1].hex()))
    assert (first.company, second.company) == (", and 30 like it", "")


def test_explanation_has_what_is_known() -> None:
    why = Explanation(
        exit_depth=3,
        coarse=0.123456,
        coarse_relevance=None,
        fine=None,
        fine_relevance=None,
        rank=7,
        round="verifying",
        ms=0.0,
        start=None,
    )
    (result,) = read(answer(found(Hit(item(), 3, 0.123456, why=why)), None, ""))["results"]
    assert result["explain"] == {"exit_depth": 3, "rank": 7, "round": "verifying", "coarse": 0.1235, "ms": 0.0}
    finished = replace(why, fine=0.5, fine_relevance=0.98765, round="correcting", ms=1.234, start="activation")
    (result,) = read(answer(found(Hit(item(), 11, 0.5, why=finished)), None, ""))["results"]
    assert result["explain"] == {
        "exit_depth": 3,
        "rank": 7,
        "round": "correcting",
        "coarse": 0.1235,
        "fine": 0.5,
        "fine_relevance": 0.9877,
        "start": "activation",
        "ms": 1.23,
    }


def test_answer_without_id_and_warning_has_neither() -> None:
    fields = read(answer(found(), None, ""))
    assert fields["results"] == []
    assert not {"id", "warning"} & set(fields)


def test_time_of_a_result_is_when_it_was_taken_if_that_is_known() -> None:
    fields = read(answer(found(Hit(item(taken_at=1.5), 11, 0.1)), None, ""))
    assert fields["results"][0]["ts"] == 1.5


@pytest.mark.parametrize("origin", ["message", "exif", "file"])
def test_result_says_who_says_when_it_was_taken(origin: Origin) -> None:
    dated = dataclasses.replace(item(taken_at=1.5), taken_from=origin)
    for one, who in ((dated, origin), (item(), "arrival")):
        fields = read(answer(found(Hit(one, 11, 0.1)), None, ""))
        assert fields["results"][0]["ts_from"] == who


@pytest.mark.parametrize("source", ["a\x1b[2J\0\n\r\u2028b", 'quote " and \\', "写 🏖", "\ud800"])
def test_source_with_any_characters_comes_back_through_json_without_a_raw_one(source: str) -> None:
    payload = answer(found(Hit(item(source), 11, 0.1)), None, "")
    assert all(0x20 <= byte < 0x7F for byte in payload)
    assert read(payload)["results"][0]["source"] == source


def test_error_has_code_and_message_and_the_id_if_there_is_one() -> None:
    refused = parse_refusal()
    assert read(error(refused, refused.id)) == {
        "id": "7",
        "final": True,
        "error": {"code": "bad_request", "message": "the question must have text, like or image"},
    }
    assert read(error(RefusedError("busy", "again later"), None)) == {
        "final": True,
        "error": {"code": "busy", "message": "again later"},
    }


def parse_refusal() -> UnanswerableError:
    with pytest.raises(UnanswerableError) as caught:
        parse_query(b'{"id": "7"}')
    return caught.value


def test_reply_to_an_order_has_its_fields() -> None:
    fields = {"op": "pause", "paused": True}
    assert read(done(fields, "7", "")) == {"id": "7", "final": True, **fields}
    assert read(done(fields, None, "ignored: x")) == {"final": True, **fields, "warning": "ignored: x"}


@pytest.mark.parametrize("state", ["accepted", "duplicate", "unknown"])
def test_event_says_what_became_of_an_offer(state: Any) -> None:
    event = read(verdict_event(Verdict(state, DIGEST), "7", "ignored: x"))
    assert event == {"type": state, "id": "7", "item": DIGEST.hex(), "warning": "ignored: x"}
    assert read(verdict_event(Verdict(state, DIGEST), None, "")) == {"type": state, "item": DIGEST.hex()}


def test_event_of_a_rejected_offer_says_why_and_has_no_item_where_nothing_could_be_read() -> None:
    refused = {"code": "unreadable", "message": "no picture"}
    event = read(verdict_event(Verdict("rejected", DIGEST, "no picture"), "7", ""))
    assert event == {"type": "rejected", "id": "7", "item": DIGEST.hex(), "error": refused}
    event = read(verdict_event(Verdict("rejected", None, "no picture"), None, ""))
    assert event == {"type": "rejected", "error": refused}


def test_event_of_a_message_that_is_not_valid_has_its_code() -> None:
    event = read(rejected_event(RefusedError("too_large", "too many bytes"), "7"))
    assert event == {"type": "rejected", "id": "7", "error": {"code": "too_large", "message": "too many bytes"}}


def test_event_of_an_item_that_can_be_found_says_what_it_took() -> None:
    event = read(outcome_event(Outcome(item=item(), state="indexed", depth=8, ms=12.345)))
    assert event == {"type": "indexed", "item": DIGEST.hex(), "exit_depth": 8, "ms": 12.35, "energy_kind": "none"}


def test_event_of_an_item_that_turned_out_to_be_unreadable_says_why() -> None:
    event = read(outcome_event(Outcome(item=item(), state="rejected", reason="no picture")))
    refused = {"code": "unreadable", "message": "no picture"}
    assert event == {"type": "rejected", "item": DIGEST.hex(), "error": refused}


def test_gate_says_that_it_closed_and_why_and_that_it_opened() -> None:
    assert read(gate_event("full")) == {"type": "busy", "reason": "full"}
    assert read(gate_event("disk_full")) == {"type": "busy", "reason": "disk_full"}
    assert read(gate_event("open")) == {"type": "ready"}


def test_asker_reads_the_answer_as_it_was_given() -> None:
    fields = json.loads(answer(found(Hit(item(), 11, 0.5)), "7", ""))
    (result,) = fields["results"]
    assert read_reply(fields) == Reply(
        results=(Result(**result),),
        searched=70,
        refined=50,
        cut=True,
        took_ms=34.03,
        query_ms=1.23,
        filter_ms=2.35,
        correct_ms=30.46,
    )


@pytest.mark.parametrize(
    ("score", "relevance", "said"),
    [
        (0.664, None, "score 0.66"),
        (0.664, 0.6318, "relevance 63.2 %, score 0.66"),
        (-0.27, 0.0052, "relevance  0.5 %, score -0.27"),
        (1.0, 0.0, "relevance  0.0 %, score 1.00"),
    ],
)
def test_asker_reads_relevance_where_there_is_one_beside_the_score(
    score: float, relevance: float | None, said: str
) -> None:
    (result,) = read_reply(json.loads(answer(found(Hit(item(), 11, score, relevance)), "7", ""))).results
    assert (result.score, result.relevance, result.figures) == (score, relevance, said)


def test_asker_ignores_what_a_later_version_adds() -> None:
    fields = json.loads(answer(found(Hit(item(), 11, 0.5)), "7", ""))
    later = {**fields, "stage": "fine", "results": [{**fields["results"][0], "caption": "a beach"}]}
    assert read_reply(later) == read_reply(fields)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"results": None}, "results is None: must be a list"),
        ({"results": [3]}, r"results\[0\] is 3: must be a mapping"),
        ({"results": [{}]}, r"results\[0\]\.item is missing"),
        ({"searched": "many"}, "searched is 'many': must be a whole number"),
    ],
)
def test_what_is_no_reply_is_refused(change: dict[str, object], problem: str) -> None:
    fields = json.loads(answer(found(), "7", ""))
    with pytest.raises(DecodeError, match=problem):
        read_reply({**fields, **change})
    with pytest.raises(DecodeError, match="searched is missing"):
        read_reply({"final": True})
