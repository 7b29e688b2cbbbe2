"""The part of a question that says what may be found: through the payload border."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.items import EVERYTHING, Question, Selection
from edge.mqtt.messages import MOST_OFFSET, UnanswerableError, parse_query, question


def asked(**fields: object) -> Question:
    return question(parse_query(json.dumps({"text": "a beach", **fields}).encode()).body, 5)


def test_question_that_narrows_nothing_admits_everything() -> None:
    plain = asked()
    assert (plain.narrowing, plain.offset, plain.least) == (EVERYTHING, 0, None)


def test_everything_that_narrows_is_read() -> None:
    found = asked(since=5, until="1970-01-02T00:00Z", source="cam/*", modality="image", min_relevance=0.5, offset=7)
    assert found.narrowing == Selection(since=5.0, until=86_400.0, source="cam/*", modality="image")
    assert (found.least, found.offset) == (0.5, 7)


def test_until_a_day_includes_it_and_since_a_day_does_too() -> None:
    narrowing = asked(since="2026-07-01", until="2026-07-01").narrowing
    assert narrowing.since is not None
    assert narrowing.until is not None
    assert narrowing.until - narrowing.since == 86_400


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"since": "soon"}, "bad_request", "since is 'soon': must be seconds of Unix time, a day like 2026-07-01"),
        ({"until": -1}, "bad_request", "until is -1.0: must be seconds of Unix time"),
        ({"until": True}, "bad_request", "until is True"),
        ({"since": [1]}, "bad_request", "since is [1]"),
        ({"source": ""}, "bad_request", "source must be Unicode text of 1 to 1000 characters, none of them NUL"),
        ({"source": "*\0a"}, "bad_request", "source must be Unicode text of 1 to 1000 characters, none of them NUL"),
        ({"source": "x" * 1_001}, "bad_request", "source must be"),
        ({"source": "\ud800"}, "bad_request", "source must be"),
        ({"source": 5}, "bad_request", "source is 5"),
        ({"modality": "smell"}, "not_supported", "modality 'smell' is not supported so far, only image and text"),
        ({"min_relevance": 1.01}, "bad_request", "min_relevance is 1.01: must be 0 to 1"),
        ({"min_relevance": -0.1}, "bad_request", "min_relevance is -0.1: must be 0 to 1"),
        ({"offset": -1}, "bad_request", "offset is -1: must be 0 to 10000"),
        ({"offset": MOST_OFFSET + 1}, "bad_request", "offset is 10001: must be 0 to 10000"),
        ({"offset": 1.5}, "bad_request", "offset is 1.5"),
    ],
)
def test_what_cannot_narrow_is_refused_with_what_is_allowed(fields: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(UnanswerableError) as caught:
        asked(**fields)
    assert caught.value.code == code
    assert message in caught.value.message
