"""Too much for a daemon: too large, too many, too deep. It refuses, it lives, and its memory comes back."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ears import MINE
from edge.mqtt import Outgoing
from hostile import png, progressive_jpeg, small_pictures
from pulse import ECHO
from siege import LONGEST_GAP_MS, Look, Siege, besiege

pytestmark = pytest.mark.slow
HUGE_BYTES = 50_000_000
LONGEST_READ_MS = 1_000
FLOOD = 5_000
ITEMS = 2_000
LEFT_MB = 25  # that a heap may keep of what has passed through it


def replied_alive(siege: Siege) -> None:
    """It takes questions and items as before."""
    with siege.daemon.requester() as client:
        assert "results" in client.request(siege.daemon.topics.query, {"text": "a dog"}, 60)
    judged = siege.ears.judged
    siege.ears.say(Outgoing(siege.daemon.topics.ingest, b'{"sha256": "%s"}' % (b"0" * 64)))
    siege.ears.wait_for(lambda: siege.ears.judged > judged, "a verdict")


def huge_messages(siege: Siege) -> Iterator[Outgoing]:
    topics, reply = siege.daemon.topics, siege.daemon.topics.reply(MINE, "huge")
    for topic in (topics.ingest, topics.raw("image"), topics.raw("audio"), topics.query, topics.control):
        for number, start in enumerate((b"\xff\xd8\xff", b'{"text":"', b"[")):
            payload = start + bytes([start[-1]]) * (HUGE_BYTES - len(start))
            yield Outgoing(topic, payload, number % 2, reply_topic=reply, correlation=topic.encode())


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_payloads_of_fifty_megabytes_reach_nobody_or_are_refused(
    protocol: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with besiege(tmp_path, protocol) as siege:
        judged, before = siege.ears.judged, Look.at_once(siege)
        for message in huge_messages(siege):
            siege.ears.shout(message)
        if protocol == 5:
            siege.ears.rest(2)
        else:
            siege.ears.wait_for(lambda: siege.ears.judged == judged + 9, "every item's event")
            assert siege.ears.codes["too_large"] == 6
        assert siege.ears.replied == 0
        replied_alive(siege)
        with capsys.disabled():
            # MQTT 3.1.1 has no word for "too large for me": such an order is read, and what is behind it waits.
            before.judge(f"huge, {protocol}", LONGEST_GAP_MS if protocol == 5 else LONGEST_READ_MS)


BOMBS = {
    "900 megapixels": png(30_000, 30_000, 0, 1),
    "a line of 50 million pixels": png(1, 50_000_000, 0, 1),
    "169 megapixels of coefficients": progressive_jpeg(13_000, 3),
    "a scan for each ten bytes": progressive_jpeg(7_000, 1, 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_file_that_would_swell_beyond_the_board_is_unreadable(siege: Siege, name: str) -> None:
    ears = siege.ears
    before, memory = ears.codes["unreadable"], siege.anonymous_mb
    ears.say(Outgoing(siege.daemon.topics.raw("image"), BOMBS[name], user=(("id", name),)))
    ears.wait_for(lambda: ears.verdicts[name] == 1, "a verdict")
    assert ears.codes["unreadable"] == before + 1
    assert siege.anonymous_mb - memory < LEFT_MB


def test_largest_picture_that_is_allowed_is_found_and_its_memory_comes_back(siege: Siege) -> None:
    ears = siege.ears
    before = siege.anonymous_mb
    ears.say(Outgoing(siege.daemon.topics.raw("image"), png(7_000, 7_000, 6), user=(("id", "large"),)))
    peak = before
    indexed = ears.outcomes["indexed"]
    while ears.outcomes["indexed"] == indexed:
        peak = max(peak, siege.anonymous_mb)
        ears.rest(0.01)
    siege.notes.append(f"49 megapixels of RGBA took {peak - before:.0f} MB for a while")
    replied_alive(siege)
    assert peak - before < 500
    assert siege.anonymous_mb - before < LEFT_MB


def test_json_of_eight_megabytes_that_is_all_structure_stops_nobody(siege: Siege) -> None:
    ears, many = siege.ears, (8 << 20) // 4
    judged, memory = ears.judged, siege.anonymous_mb
    for values in (b"[]," * many, b"{}," * many, b"1," * many, b"1.5," * many, b'"",' * many):
        ears.say(Outgoing(siege.daemon.topics.ingest, b'{"tags":[' + values[: (8 << 20) - 20] + b"0]}"))
    keys = b",".join(b'"%x":0' % number for number in range(700_000))
    ears.say(Outgoing(siege.daemon.topics.ingest, b"{" + keys + b"}"))
    ears.wait_for(lambda: ears.judged == judged + 6, "every verdict")
    assert siege.anonymous_mb - memory < LEFT_MB


FOREIGN = (
    "elsewhere/reply/x",
    "reminisce/dev1/event",
    "reminisce/dev1/reply/",
    "reminisce/dev1/replyx/a",
    "reminisce/+",
)
WILD = ("reminisce/dev1/reply/#", "reminisce/dev1/reply/+/a", "#", "+", "reminisce/dev1/reply/\u202e", "x" * 600)


def test_nothing_is_published_where_the_sender_had_no_right_to_send_it(siege: Siege) -> None:
    ears, topics = siege.ears, siege.daemon.topics
    before = Counter(ears.topics)
    for topic in (topics.query, topics.control):
        for reply in FOREIGN + WILD:
            body = {"text": "a dog", "op": "ping", "reply_to": reply}
            ears.say(Outgoing(topic, json.dumps(body).encode()))
            if not set("+#") & set(reply):  # the broker ends the connection of who sends those
                ears.say(Outgoing(topic, json.dumps(body).encode(), reply_topic=reply))
    replied_alive(siege)
    came = {topic for topic, count in ears.topics.items() if count > before[topic]} - {ECHO}
    ours = {topics.query, topics.control, topics.ingest, topics.event, topics.state}
    others = topics.reply("reminisce-cli-", "").rstrip("/")  # replies to those of our clients that ask for themselves
    assert {topic for topic in came - ours if not topic.startswith(others)} == set()


def connect_deaf(siege: Siege) -> socket.socket:
    """An MQTT 3.1.1 client that takes everything, in the broker's opinion."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((siege.broker.host, siege.broker.port))
    deaf.sendall(b"\x10\x10\0\4MQTT\4\2\0\0\0\4deaf" + b"\x82\6\0\1\0\1#\1")
    return deaf


def test_client_that_never_reads_takes_nothing_from_the_others(siege: Siege) -> None:
    ears, reply = siege.ears, siege.daemon.topics.reply(MINE, "deaf")
    with connect_deaf(siege):
        before = ears.replied
        for number in range(200):
            payload = json.dumps({"text": "a dog", "refine": False, "pad": "x" * 10_000}).encode()
            ears.say(Outgoing(siege.daemon.topics.query, payload, reply_topic=reply, correlation=b"deaf-%d" % number))
        ears.wait_for(lambda: ears.replied == before + 200, "every reply")


@pytest.mark.parametrize("qos", [0, 1])
def test_every_question_of_a_flood_gets_one_reply(siege: Siege, qos: int) -> None:
    ears, reply = siege.ears, siege.daemon.topics.reply(MINE, "flood")
    before, codes = ears.replied, Counter(ears.codes)
    for number in range(FLOOD):
        payload = json.dumps({"text": f"a dog and {number} cats", "refine": number % 50 == 0}).encode()
        name = b"flood%d-%d" % (qos, number)
        ears.say(Outgoing(siege.daemon.topics.query, payload, qos, reply_topic=reply, correlation=name))
    ears.wait_for(lambda: ears.replied >= before + FLOOD, "every reply")
    ears.rest()
    flood = {name: count for name, count in ears.replies.items() if name.startswith(f"flood{qos}-")}
    assert flood == {f"flood{qos}-{number}": 1 for number in range(FLOOD)}
    codes = ears.codes - codes
    siege.notes.append(f"of {FLOOD} questions at once {codes['ok']} were answered and {codes['busy']} refused")
    assert set(codes) <= {"ok", "busy"}


def test_every_item_of_a_flood_gets_its_event(siege: Siege, pictures: list[Path]) -> None:
    ears, topics = siege.ears, siege.daemon.topics
    content = small_pictures(pictures[:1])[0]
    for number in range(ITEMS):
        user = (("id", f"f{number}"),)
        ears.say(Outgoing(topics.raw("image"), content if number % 3 else b"no picture", user=user))
    ears.wait_for(lambda: all(ears.verdicts[f"f{number}"] for number in range(ITEMS)), "every verdict")
    replied_alive(siege)
