"""A real daemon among clients that are broken or mean it harm: it lives, answers, and neither stalls nor swells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ears import MINE, Ears
from edge.mqtt import Outgoing
from hostile import Garbler, real_item, real_order, real_query, small_pictures
from siege import Siege

pytestmark = pytest.mark.slow
MESSAGES = 2_000  # on each topic
WINDOW = 32  # messages on their way at once: below what the daemon refuses as too many
SEED = 20251125
# Enough for the line: the heap's own ups and downs are 1.2 MB, over 10 rounds they once looked like 0.39 MB for 1000
# messages; over 80, which is 32,000 messages, it is -0.01 to 0.01.
WARM_UP, ROUNDS, ROUND = 4, 30, 400
MOST_GROWTH = 0.25  # MB for 1000 messages


def send_and_count(ears: Ears, messages: Iterator[Outgoing], answered: Callable[[], int]) -> int:
    """Send with WINDOW on the way; returns how many."""
    sent, before = 0, answered()

    def wait_for_answers(count: int) -> None:
        ears.wait_for(lambda: answered() - before >= count, f"an answer to message {count}")

    for message in messages:
        wait_for_answers(sent - WINDOW + 1)
        ears.say(message)
        sent += 1
    ears.wait_for(lambda: answered() - before >= sent, f"answers to all {sent} messages")
    ears.rest()
    assert answered() - before == sent
    return sent


def with_reply(siege: Siege, topic: str, payloads: Iterator[bytes], name: str) -> Iterator[Outgoing]:
    reply = siege.daemon.topics.reply(MINE, name)
    for number, payload in enumerate(payloads):
        yield Outgoing(topic, payload, qos=number % 2, reply_topic=reply, correlation=f"{name}-{number}".encode())


@pytest.mark.parametrize(("name", "real"), [("query", real_query), ("control", real_order)])
def test_every_mutated_message_with_a_reply_topic_gets_exactly_one_reply(
    siege: Siege, name: str, real: Callable[[int], dict[str, object]]
) -> None:
    garbler, ears = Garbler(SEED), siege.ears
    payloads = (garbler.message(real(number)) for number in range(MESSAGES))
    messages = with_reply(siege, f"{siege.daemon.topics.base}/{name}", payloads, name)
    sent = send_and_count(ears, messages, lambda: ears.replied)
    assert sent == MESSAGES
    mine = {key: count for key, count in ears.replies.items() if key.startswith(f"{name}-")}
    assert mine == {f"{name}-{number}": 1 for number in range(MESSAGES)}
    with siege.daemon.requester() as client:  # one of the orders was to pause
        assert client.request(siege.daemon.topics.control, {"op": "resume"}, 20)["paused"] is False


def own_reply_topic(payload: bytes, siege: Siege) -> str | None:
    """Where a message without MQTT 5 properties is to be answered, as PROTOCOL.md says."""
    try:
        topic = json.loads(payload)["reply_to"] if len(payload) <= 65_536 else None
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    prefix = siege.daemon.topics.reply(MINE, "")
    return topic if isinstance(topic, str) and topic.startswith(prefix) and topic.isprintable() else None


def test_every_mutated_message_that_names_a_valid_reply_topic_itself_gets_exactly_one_reply(siege: Siege) -> None:
    garbler, ears = Garbler(SEED + 4), siege.ears
    expected: Counter[str] = Counter()
    before = ears.replied
    for number in range(MESSAGES):
        mine = siege.daemon.topics.reply(MINE, f"own-{number}")
        payload = garbler.message({"reply_to": mine, **real_query(number)})
        if topic := own_reply_topic(payload, siege):
            expected[topic] += 1
        ears.say(Outgoing(siege.daemon.topics.query, payload, qos=number % 2))
        if number % WINDOW == 0:
            ears.wait_for(lambda: ears.replied - before >= expected.total(), "the replies so far")
    ears.wait_for(lambda: ears.replied - before >= expected.total(), "all replies")
    ears.rest()
    assert ears.replied - before == expected.total() > MESSAGES // 4
    assert {topic: ears.replies[topic] for topic in expected} == expected


def test_every_mutated_item_as_json_gets_its_event(siege: Siege, pictures: list[Path]) -> None:
    garbler, ears = Garbler(SEED + 1), siege.ears
    content = small_pictures(pictures[:1])[0]
    topic = siege.daemon.topics.ingest
    payloads = (garbler.message(real_item(number, content)) for number in range(MESSAGES))
    send_and_count(ears, (Outgoing(topic, payload) for payload in payloads), lambda: ears.judged)


@pytest.mark.parametrize("modality", ["image", "other"])
def test_every_damaged_file_gets_its_event(siege: Siege, pictures: list[Path], modality: str) -> None:
    garbler, ears = Garbler(SEED + 2), siege.ears
    real = small_pictures(pictures[::20])
    names = ("audio", "text", "video", "Image", "💥", "image ", "x" * 3_000)

    def messages() -> Iterator[Outgoing]:
        for number in range(MESSAGES):
            name = "image" if modality == "image" else names[number % len(names)]
            user = (
                ("id", f"{modality}-{number}"),
                ("ts", str(number)),
                ("source", "".join(filter(str.isprintable, garbler.text()))),
            )
            yield Outgoing(siege.daemon.topics.raw(name), garbler.picture(real), user=user)

    send_and_count(ears, messages(), lambda: ears.judged)
    ears.wait_for(lambda: ears.riding == 0, "what became of each accepted item")


def mixed(siege: Siege, pictures: list[bytes], count: int) -> Iterator[Outgoing]:
    """The same `count` messages at each call, a quarter on each topic; each is answered with a reply or an event."""
    garbler, topics = Garbler(SEED + 3), siege.daemon.topics
    for number in range(count // 4):
        for topic, real in ((topics.query, real_query(number)), (topics.control, real_order(0))):
            yield Outgoing(topic, garbler.message(real), reply_topic=topics.reply(MINE, "mixed"))
        yield Outgoing(topics.ingest, garbler.message(real_item(number, pictures[0])))
        yield Outgoing(topics.raw("image"), garbler.picture(pictures))


def test_memory_does_not_grow_with_the_messages(siege: Siege, pictures: list[Path]) -> None:
    # The same messages in each round, so that what the daemon rightly keeps is kept in the first. A line is laid
    # through its anonymous memory at rest after each later round.
    ears, real = siege.ears, small_pictures(pictures[:1])
    rested = []
    for _ in range(WARM_UP + ROUNDS):
        send_and_count(ears, mixed(siege, real, ROUND), lambda: ears.replied + ears.judged)
        ears.wait_for(lambda: ears.riding == 0, "what became of each accepted item")
        rested.append(siege.anonymous_mb)
    slope = float(np.polyfit(np.arange(ROUNDS) * ROUND / 1000, rested[WARM_UP:], 1)[0])
    siege.notes.append(f"{1000 * slope:+.0f} kB for 1000 messages, {rested[WARM_UP]:.1f} to {rested[-1]:.1f} MB")
    assert slope <= MOST_GROWTH
