"""Messages shaped like PROTOCOL.md, as hypothesis draws them, each with what must become of it.

A draft has every field right, or some wrong: of the wrong type, out of range, huge, NaN, nested deep, in odd Unicode. A
field that is right may stand behind one of the same name that is wrong: the last counts. An edited one has bytes
flipped, cut or put in, and may mean anything.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hypothesis import strategies as st

Kind: TypeAlias = Literal["query", "control", "ingest", "raw"]
Raw: TypeAlias = st.SearchStrategy[str]  # of JSON, or what is none
Edit: TypeAlias = tuple[float, int, bytes]  # at which part of the whole, bytes to cut, bytes to put in

# What may answer a message that is right: the others come later, by their own rules. "unreadable": of an item.
RIGHT = frozenset({"ok", "busy", "expired", "unreadable"})
WRONG = frozenset({"bad_request", "not_supported", "too_large", "version"})
BAD, NOT_YET = frozenset({"bad_request"}), frozenset({"not_supported"})
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it has its id. codes: those that may answer it; edits: of the bytes, and then any may."""

    kind: Kind
    fields: tuple[tuple[str, str], ...]
    codes: frozenset[str]
    edits: tuple[Edit, ...] = ()
    body: bytes | None = None

    def render(self, name: str) -> bytes:
        """The payload. `name` is its id, unless a field says another."""
        if self.body is not None:
            return edited(self.body, self.edits)
        given = [] if any(key == "id" for key, _ in self.fields) else [("id", json.dumps(name))]
        text = ",".join(f"{json.dumps(key)}:{raw}" for key, raw in (*self.fields, *given))
        return edited(("{" + text + "}").encode(errors="surrogatepass"), self.edits)


def edited(payload: bytes, edits: Sequence[Edit]) -> bytes:
    for place, cut, put in edits:
        at = int(place * len(payload))
        payload = payload[:at] + put + payload[at + cut :]
    return payload


def raw(values: st.SearchStrategy[object]) -> Raw:
    return st.builds(json.dumps, values, ensure_ascii=st.booleans())


def just(*texts: str) -> Raw:
    return st.sampled_from(texts)


TEXTS = st.text(st.characters(codec=None), max_size=40)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda one: st.one_of(st.lists(one, max_size=3), st.dictionaries(TEXTS, one, max_size=3)),
    max_leaves=8,
)
HUGE = just("9" * 400, "-" + "9" * 400, "9" * 5_000, "1e400", "-1e400", "1e308", "1" + "0" * 19)
NO_JSON = just("NaN", "Infinity", "-Infinity", "01", "'a'", '"a', "{", "undefined", "[1,]", '"\t"', "\\", "")
DEEP = st.builds(lambda one, depth: one[0] * depth + one[1] * depth, just("[]"), st.sampled_from((50, 900, 20_000)))
BOXES = just("[]", "{}", "[1]", '{"a":1}', '[["a"]]')
TRUTH = just("true", "false")
MOMENTS = st.one_of(
    just("0", "1.5", '"2026-07-01"', '"2026-07-01T18:30"', '"2026-07-01T18:30:00+02:00"', '"1999-12-31"', "null"),
    raw(st.integers(0, 253_402_300_799)),
)
NO_MOMENTS = just('"yesterday"', '""', '"2026-13-01"', "-1", "1e400", "true", '"0001-01-01T00:00"', '"\\ud800"', "[]")
SOURCES = st.one_of(raw(PLAIN), just('"*"', '"a*"', '"[a-z]?*"', '"["', '"a test"', '"' + "*a" * 400 + '"'))
NO_SOURCES = just('""', "5", "false", '"\\ud800"', '"' + "a" * 1_001 + '"', '"*\\u0000a"', '"\\u0000"')
DIGESTS = st.lists(st.sampled_from(["0" * 64, "f" * 64]), min_size=1, max_size=3)
NO_TRUTH = st.one_of(just("0", "1", '"true"', '"false"', "null"), BOXES)
ABOUT_ALL: dict[str, tuple[Raw, Raw, frozenset[str]]] = {
    "v": (just("1", "1.0"), just("2", "0", '"1"', "true", "null", "[]", "1e400"), frozenset({"version"})),
    "id": (just("null"), st.one_of(just("5", "true", '"' + "i" * 129 + '"'), BOXES), BAD),
}
# Of each field: what is right, what is wrong, and how that is answered.
FIELDS: dict[str, dict[str, tuple[Raw, Raw, frozenset[str]]]] = {
    "query": {
        **ABOUT_ALL,
        "text": (raw(PLAIN.filter(str.strip)), st.one_of(just('""', '" "', "5", "null", '"\\n"'), BOXES), BAD),
        "limit": (raw(st.integers(1, 1_000)), st.one_of(just("0", "-1", "1001", "1.5", "true", '"3"'), HUGE), BAD),
        "deadline_ms": (raw(st.integers(60_000, 3_600_000)), just("0", "-1", "1000000000", "3600001", "1e3"), BAD),
        "ts": (just("null", "0", "1", "1e9"), just("-1", "253402300800", '"now"', "true", "1e400"), BAD),
        "sort": (just('"relevance"', '"time"'), st.one_of(just('"size"', "null", "1", '"Time"'), BOXES), BAD),
        "refine": (TRUTH, NO_TRUTH, BAD),
        "stream": (TRUTH, NO_TRUTH, BAD),
        "explain": (TRUTH, NO_TRUTH, BAD),
        "collapse": (TRUTH, NO_TRUTH, BAD),
        "offset": (raw(st.integers(0, 10_000)), st.one_of(just("-1", "10001", "0.5", "null"), HUGE), BAD),
        "since": (MOMENTS, NO_MOMENTS, BAD),
        "until": (MOMENTS, NO_MOMENTS, BAD),
        "source": (SOURCES, NO_SOURCES, BAD),
        "modality": (just('"image"', "null"), just('"audio"', '"Image"', '""'), NOT_YET),
        "min_relevance": (just("0", "0.5", "1", "null"), just("-0.1", "1.1", "2", "true", '"0.5"', "1e400"), BAD),
        "image": (just("null"), st.one_of(just('"A"', "0", "true", "false"), BOXES), BAD),
        "like": (just("null"), st.one_of(just('"a"', '""', "0", "true", "false"), BOXES), BAD),
        "budget_j": (just("null", "false"), st.one_of(just("0", "3", "true"), BOXES), NOT_YET),
    },
    "control": {
        **ABOUT_ALL,
        "items": (raw(DIGESTS), st.one_of(just("[]", '["a"]', "[5]", '"a"', "{}"), HUGE), BAD),
        "source": (SOURCES, NO_SOURCES, BAD),
        "since": (MOMENTS, NO_MOMENTS, BAD),
        "until": (MOMENTS, NO_MOMENTS, BAD),
        "older_than_s": (raw(st.integers(0, 10 * DAY)), just("-1", "253402300800", '"1"', "1e400", "true"), BAD),
        "args": (just("null", "false"), st.one_of(just("0", '"a"'), BOXES), NOT_YET),
    },
    "ingest": {
        **ABOUT_ALL,
        "modality": (just('"image"'), just('"audio"', '""'), NOT_YET),
        "ts": (just("null", "0", "1.5", "1e9"), just("-1", "253402300800", '"now"', "true", "1e400"), BAD),
        "source": (raw(TEXTS), st.one_of(just("5", "true"), BOXES), BAD),
        "text": (just("null"), st.one_of(just("false", "0", '"\\ud800"'), BOXES), BAD),
        "tags": (just("null", "false"), st.one_of(just('"a"', "0"), BOXES), NOT_YET),
    },
}
NEEDED = {"query": ("text",), "control": (), "ingest": ()}
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=4)


@functools.cache
def drafts(kind: Kind, picture: bytes) -> st.SearchStrategy[Draft]:
    """Of one topic: right ones, wrong ones, edited ones. `picture`: of items."""
    if kind == "raw":
        return st.builds(lambda edits: Draft("raw", (), RIGHT | WRONG, tuple(edits), picture), EDITS)
    built = _built(kind, picture)
    broken = st.builds(lambda draft, edits: Draft(kind, draft.fields, RIGHT | WRONG, tuple(edits)), built, EDITS)
    return st.one_of(built, built, built, broken)


@st.composite
def _built(draw: st.DrawFn, kind: Kind, picture: bytes) -> Draft:
    known = FIELDS[kind]
    fields, right = _core(draw, kind, picture)
    optional = [name for name in known if name not in NEEDED[kind]]
    if kind == "control" and not any(name == "items" for name, _ in fields):
        optional = ["v", "id", "args"]
    names = [*NEEDED[kind], *draw(st.lists(st.sampled_from(optional), max_size=6, unique=True))]
    is_wrong = draw(st.booleans())
    wrong = set(draw(st.lists(st.sampled_from(names), max_size=2))) if names and is_wrong else set[str]()
    codes = set[str]()
    for name in names:
        good, bad, code = known[name]
        if name in wrong:
            fields.append((name, draw(st.one_of(bad, NO_JSON, DEEP))))
            codes |= code | BAD
        else:
            if draw(st.integers(0, 5)) == 0:  # the one behind it counts
                fields.append((name, draw(st.one_of(raw(VALUES), HUGE.filter(lambda one: len(one) < 4_000)))))
            fields.append((name, draw(good)))
    if draw(st.booleans()):
        fields.insert(0, (draw(TEXTS.filter(lambda one: one not in known)), draw(raw(VALUES))))  # ignored
    is_right = right and not codes
    return Draft(kind, tuple(fields), RIGHT if is_right else frozenset(codes | BAD | WRONG))


def _core(draw: st.DrawFn, kind: Kind, picture: bytes) -> tuple[list[tuple[str, str]], bool]:
    """What a message is about, and whether that is right."""
    if kind == "control":
        op = draw(just("ping", "ping", "pause", "resume", "forget", "pin", "unpin", "set", "Ping", ""))
        fields = [("op", json.dumps(op))]
        if op in {"forget", "pin", "unpin"}:
            fields.append(("items", draw(raw(DIGESTS))))
        return fields, op not in {"set", "Ping", ""}
    if kind == "ingest":
        ways = {
            "data": base64.b64encode(picture).decode(),
            "path": "/proc/self/environ",
            "sha256": draw(st.sampled_from(["0" * 64, "aA" * 32])),
        }
        chosen = draw(st.lists(st.sampled_from([*ways]), min_size=1, max_size=2, unique=True))
        return [(name, json.dumps(ways[name])) for name in chosen], len(chosen) == 1
    return [], True
