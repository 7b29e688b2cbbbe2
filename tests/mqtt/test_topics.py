"""Where a reply may go: below the device's own reply topic, and nowhere that the broker would read differently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge.mqtt import Topics
from edge.mqtt.topics import LONGEST

OURS = Topics("dev1")
BELOW = "reminisce/dev1/reply/"
# What a client may send as a topic, UTF-8 or not, with much of what has a meaning.
TEXTS = st.text(st.one_of(st.sampled_from("+#/\0\n$rep.ly"), st.characters(codec=None)), max_size=600)


@pytest.mark.parametrize(
    "topic",
    [
        OURS.reply("me", "1"),
        BELOW + "x",
        BELOW + "a/b/c/d",
        BELOW + "me/",
        BELOW + "/",
        BELOW + "../../dev2/reply/x",
        BELOW + "Zoë 写",
        BELOW + "$SYS",
        BELOW + "x" * (LONGEST - len(BELOW)),
    ],
)
def test_topic_below_the_reply_topic_is_one(topic: str) -> None:
    assert OURS.is_reply(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "reminisce",
        "reminisce/dev1/reply",
        BELOW,
        OURS.status,
        OURS.query,
        OURS.ingest,
        "homeassistant/status",
        "$SYS/broker/version",
    ],
)
def test_topic_that_is_not_below_is_none(topic: str) -> None:
    assert not OURS.is_reply(topic)


@pytest.mark.parametrize(
    "topic",
    [
        "reminisce/dev2/reply/me/1",
        "reminisce/dev/reply/me/1",
        "reminisce/dev11/reply/me/1",
        "reminisce/dev1/reply2/me",
        "reminisce/dev1/replyx",
        "reminisce/DEV1/reply/me/1",
        "Reminisce/dev1/reply/me/1",
        "/reminisce/dev1/reply/me/1",
        " reminisce/dev1/reply/me/1",
        "reminisce//dev1/reply/me/1",
        "reminisce/dev1//reply/me/1",
        "x/reminisce/dev1/reply/me/1",
        "reminisce/+/reply/me/1",
    ],
)
def test_topic_that_only_looks_like_ours_is_none(topic: str) -> None:
    assert not OURS.is_reply(topic)


@pytest.mark.parametrize(
    "rest", ["+", "#", "me/+", "me/#", "me/a+b", "me/#b", "a\0b", "\0", "a\nb", "a\x7fb", "a\u202eb"]
)
def test_wildcards_and_characters_that_are_not_printed_are_refused(rest: str) -> None:
    assert not OURS.is_reply(BELOW + rest)


def test_half_a_surrogate_pair_which_no_topic_can_hold_is_refused() -> None:
    assert not OURS.is_reply(BELOW + "\ud800")


def test_topic_of_one_character_too_many_is_refused() -> None:
    assert not OURS.is_reply(BELOW + "x" * (LONGEST - len(BELOW) + 1))


@given(TEXTS)
def test_nothing_outside_is_ever_accepted(text: str) -> None:
    assert not OURS.is_reply(text) or text.startswith(BELOW)


@given(TEXTS)
def test_what_is_accepted_is_a_topic_that_a_broker_takes_and_only_the_reply_subscription_gets(text: str) -> None:
    topic = BELOW + text
    if OURS.is_reply(topic):
        assert 0 < len(topic.encode()) <= 65_535
        assert not set("+#\0") & set(topic)
        assert topic_matches_sub(BELOW + "#", topic)
        for other in (OURS.status, OURS.event, OURS.query, OURS.control, OURS.ingest, OURS.raw("+")):
            assert not topic_matches_sub(other, topic)


@given(st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True), TEXTS)
def test_reply_topic_of_another_device_is_never_ours(device: str, text: str) -> None:
    assert OURS.is_reply(f"reminisce/{device}/reply/{text}") <= (device == "dev1")


@pytest.mark.parametrize(
    ("topic", "modality"),
    [
        ("reminisce/dev1/ingest/raw/image", "image"),
        ("reminisce/dev1/ingest/raw/audio", "audio"),
        ("reminisce/dev1/ingest/raw/", ""),
        ("reminisce/dev1/ingest/raw/a/b", "a/b"),
        ("reminisce/dev1/ingest", None),
        ("reminisce/dev1/ingest/raw", None),
        ("reminisce/dev2/ingest/raw/image", None),
        ("reminisce/dev1/query", None),
        ("", None),
    ],
)
def test_modality_is_the_end_of_a_raw_topic(topic: str, modality: str | None) -> None:
    assert OURS.modality(topic) == modality


@given(st.text(st.characters(exclude_characters="/+#\0", codec="utf-8"), min_size=1, max_size=40))
def test_modality_of_a_raw_topic_is_the_one_that_it_was_made_of(modality: str) -> None:
    assert OURS.modality(OURS.raw(modality)) == modality
    assert topic_matches_sub(OURS.raw("+"), OURS.raw(modality))


def test_topics_lie_below_the_device() -> None:
    names = ("status", "info", "state", "event", "ingest", "query", "control")
    assert {name: getattr(OURS, name) for name in names} == {name: f"reminisce/dev1/{name}" for name in names}
