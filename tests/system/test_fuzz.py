"""Messages that hypothesis makes up, at a real daemon: each is answered or dropped by the rules of PROTOCOL.md.

FUZZ_MESSAGES in the environment says how many; a failure is made small, and printed with what repeats it.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drafts import RIGHT, WRONG, Draft, Kind, drafts
from ears import MINE
from edge.mqtt import Outgoing
from hostile import small_pictures
from processes import status_of
from pulse import ECHO
from siege import Siege

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600)]
AT_ONCE = 20  # messages of an example
MESSAGES = int(os.environ.get("FUZZ_MESSAGES", "800"))
KINDS: tuple[Kind, ...] = ("query", "control", "ingest", "raw")
WARM_UP = 0.4  # of all messages, after which memory has what it needs
MOST_GROWTH_KB = 4_000  # some 2 kB for each picture that is new, and the heap's own ups and downs
FOREIGN = ("elsewhere/x", "reminisce/dev1/event", "reminisce/dev1/replyx/a", "reminisce/dev1/reply/\u202e", "x" * 600)
EXPLAINED = settings(
    max_examples=MESSAGES // AT_ONCE,
    deadline=None,
    database=None,
    derandomize="FUZZ_MESSAGES" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
HINT = re.compile(r"Traceback|Error\b|ERROR|CRITICAL|File \"")


class Fuzz:
    """Sends drafts, and says of each what is wrong with its answer.

    resident_kb: of the daemon, after each example
    """

    def __init__(self, siege: Siege) -> None:
        self.siege, self.ears = siege, siege.ears
        self.sent = 0
        self.expected: Counter[str] = Counter()
        self.resident_kb: list[int] = []

    def check(self, batch: list[tuple[Draft, str | None]]) -> None:
        """Each draft with a reply topic of another's, or None for one of ours."""
        judged, names = self.ears.judged, [self._send(*one) for one in batch]
        answered = [name for name, (draft, foreign) in zip(names, batch, strict=True) if self._waits(draft, foreign)]
        items = sum(draft.kind in {"ingest", "raw"} for draft, _ in batch)
        fences = self._fences()
        self.ears.wait_for(lambda: all(self.ears.replies[name] for name in answered + fences), f"replies to {batch}")
        self.ears.wait_for(lambda: self.ears.judged >= judged + items, f"verdicts on {batch}")
        assert self.ears.judged == judged + items
        assert {name: self.ears.replies[name] for name in names} == {name: int(name in answered) for name in names}
        for name, (draft, _) in zip(names, batch, strict=True):
            if (code := self.ears.told.get(name)) is not None:
                assert code in draft.codes, (code, draft)
                self.expected[code] += 1
        assert self.ears.lapses == []
        self.resident_kb.append(int(status_of(self.siege.daemon.pid, "VmRSS")))

    def _send(self, draft: Draft, foreign: str | None) -> str:
        self.sent += 1
        name, topics = f"fuzz-{self.sent}", self.siege.daemon.topics
        where = {"query": topics.query, "control": topics.control, "ingest": topics.ingest, "raw": topics.raw("image")}
        reply = foreign or topics.reply(MINE, "fuzz")
        user = (("id", name),) if draft.kind == "raw" else ()
        self.ears.say(
            Outgoing(
                where[draft.kind],
                draft.render(name),
                qos=self.sent % 2,
                reply_topic=reply,
                correlation=name.encode(),
                user=user,
            )
        )
        return name

    def _waits(self, draft: Draft, foreign: str | None) -> bool:
        return draft.kind in {"query", "control"} and foreign is None

    def _fences(self) -> list[str]:
        """Messages that are right, sent last: by their replies all is over that was sent before."""
        topics, reply = self.siege.daemon.topics, self.siege.daemon.topics.reply(MINE, "fence")
        fences = {f"right-{self.sent}": (topics.query, b'{"text":"a","refine":false}')}
        fences[f"resume-{self.sent}"] = (topics.control, b'{"op":"resume"}')
        for name, (topic, payload) in fences.items():
            self.ears.say(Outgoing(topic, payload, reply_topic=reply, correlation=name.encode()))
        return list(fences)


def test_every_message_is_answered_or_dropped_by_rule_and_memory_stays_flat(
    besieged: Siege, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = Fuzz(besieged)
    picture, before = small_pictures(pictures[:1])[0], Counter(besieged.ears.topics)
    one = st.sampled_from(KINDS).flatmap(lambda kind: drafts(kind, picture))
    foreign = st.sampled_from((None,) * 12 + FOREIGN)

    @EXPLAINED
    @given(st.lists(st.tuples(one, foreign), min_size=AT_ONCE, max_size=AT_ONCE))
    def run(batch: list[tuple[Draft, str | None]]) -> None:
        fuzz.check(batch)

    run()
    topics = besieged.daemon.topics
    came = {topic for topic, count in besieged.ears.topics.items() if count > before[topic]}
    ours = {topics.query, topics.control, topics.ingest, topics.raw("image"), topics.event, topics.state}
    # Those to our own clients that ask for themselves are replies, too.
    asked = (topics.reply(MINE, ""), topics.reply("reminisce-cli-", "").rstrip("/"))
    assert {topic for topic in came - ours if not topic.startswith(asked)} - {ECHO} == set()
    assert HINT.search(besieged.daemon.log.read_text(encoding="utf-8")) is None
    steady = fuzz.resident_kb[int(len(fuzz.resident_kb) * WARM_UP) :]
    third = len(steady) // 3
    growth_kb = min(steady[-third:]) - min(steady[:third])
    items = besieged.ears.outcomes["indexed"]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{fuzz.sent} messages, answers {dict(fuzz.expected)}, {items} items;"
            f" {steady[0]} to {steady[-1]} kB resident, {growth_kb:+d} kB between the lows of first and last third\n"
        )
    assert growth_kb <= MOST_GROWTH_KB
    assert fuzz.expected["ok"] > fuzz.sent // 10
    assert sum(fuzz.expected[code] for code in WRONG) > fuzz.sent // 20
    assert set(fuzz.expected) <= RIGHT | WRONG
