"""PROTOCOL.md says what the code does, all of it and nothing else."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from PIL import Image

from edge import daemon, meta
from edge.config import MAX_LIMIT, PAYLOAD_BYTES, Config
from edge.engine import Engine
from edge.items import Answer, Explanation, Hit, Instruction, Item, Outcome, Selection, Verdict
from edge.mqtt import Topics, gate_event, link, messages, narrowing, outcome_event, replies, topics
from edge.mqtt.messages import NOT_YET, IngestMessage, QueryMessage
from edge.mqtt.orders import OPS, OPS_NOT_YET, ControlMessage
from edge.power import KINDS, Energy
from edge.recall import streaming
from edge.remember import Gate
from edge.remember.files import LARGEST_FILE
from edge.report import device_info, device_state
from edge.runtime.preprocess import image
from edge.service import Commands, Notifier, Systemd, Vitals
from sinks import NOTHING

EDGE = Path(link.__file__).parents[1]
PAGE = (EDGE / "mqtt" / "PROTOCOL.md").read_text(encoding="utf-8")
ITEM = Item(id=1, digest=bytes(32), modality="image", source="a.jpg", bytes=9, added_at=1.0, taken_at=None)
MESSAGES = {"Ingest": IngestMessage, "Query": QueryMessage, "Control": ControlMessage}
TYPES: dict[str, set[Any]] = {
    "text": {str},
    "number": {int, float},
    "true or false": {bool},
    "number or text": {int, float, str},
    "list": {tuple[str, ...]},
    "object": {Mapping[str, str]},
}


def section(title: str) -> str:
    """The text below a heading."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def rows(title: str, header: str) -> list[list[str]]:
    """The cells of the table of a section that has this header."""
    pattern = rf"^\| {re.escape(header)} \|\n\|[- |]+\|\n((?:\|.*\n)+)"
    (table,) = re.findall(pattern, section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented(title: str) -> dict[str, tuple[str, bool]]:
    """Type of each field of a message, and whether it is supported."""
    return {
        names(field)[0]: (kind, meaning != "*not supported*")
        for field, kind, meaning in rows(title, "field | type | meaning")
    }


def keys(payload: bytes) -> set[str]:
    """Of a payload, without the version that all have."""
    fields = json.loads(payload)
    assert fields.pop("v") == 1
    return set(fields)


def test_every_topic_is_one_of_the_code_and_the_other_way_round() -> None:
    ours = Topics("dev1")
    properties = {name for name, value in vars(Topics).items() if isinstance(value, property)} - {"base"}
    stand_ins = {"<device>": "dev1", "<modality>": "image", "…": "me/1"}
    page = set()
    for cell, direction, *_ in rows("Topics", "topic | direction | QoS, retained | payload"):
        topic = names(cell)[0]
        for name, value in stand_ins.items():
            topic = topic.replace(name, value)
        page.add((topic, direction))
    inwards = {ours.ingest, ours.raw("image"), ours.query, ours.control}
    outwards = {getattr(ours, name) for name in properties} - inwards | {ours.reply("me", "1")}
    assert page == {(topic, "in") for topic in inwards} | {(topic, "out") for topic in outwards}


@pytest.mark.parametrize("title", MESSAGES)
def test_fields_of_a_message_are_those_that_are_read_or_refused(title: str) -> None:
    fields = {field.name for field in dataclasses.fields(MESSAGES[title])} | {"id", "v"}
    page = documented(title)
    assert {name for name, (_, is_supported) in page.items() if is_supported} == fields
    assert {name for name, (_, is_supported) in page.items() if not is_supported} == set(NOT_YET[title.lower()])


@pytest.mark.parametrize("title", MESSAGES)
def test_types_of_the_fields_are_those_of_the_code(title: str) -> None:
    page = documented(title)
    for name, hint in typing.get_type_hints(MESSAGES[title]).items():
        kinds = set(typing.get_args(hint) or [hint]) - {NoneType}
        if typing.get_origin(hint) is typing.Literal:
            kinds = {type(value) for value in typing.get_args(hint)}
        assert kinds <= TYPES[page[name][0]], name


def test_values_of_sort_are_those_of_the_code() -> None:
    ((_, _, meaning),) = [row for row in rows("Query", "field | type | meaning") if row[0] == "`sort`"]
    assert names(meaning) == list(typing.get_args(typing.get_type_hints(QueryMessage)["sort"]))


def test_ops_are_those_that_are_obeyed_and_those_that_are_refused() -> None:
    ((_, _, meaning),) = [row for row in rows("Control", "field | type | meaning") if row[0] == "`op`"]
    assert names(meaning) == list(OPS)
    (refused,) = re.findall(r"The ops (.*?) are \*not supported\*", section("Control"), re.DOTALL)
    assert names(refused) == list(OPS_NOT_YET)


def made_events() -> dict[str, set[str]]:
    """The fields of each type of event, as the code makes them."""
    verdicts = [Verdict(state, bytes(32), "r") for state in ("accepted", "duplicate", "rejected", "unknown")]
    payloads = [replies.verdict_event(verdict, "id", "w") for verdict in verdicts]
    payloads += [outcome_event(Outcome(item=ITEM, state="indexed")), gate_event("full"), gate_event("open")]
    events = [json.loads(payload) for payload in payloads]
    return {event["type"]: set(event) - {"v", "type", "item", "id"} for event in events}


def test_events_have_the_types_and_fields_of_the_table() -> None:
    page = {names(kind)[0]: set(names(more)) for kind, _, more in rows("Events", "type | meaning | more fields")}
    made = made_events()
    assert set(page) == set(replies.EVENT_TYPES) == set(made)
    page["busy"] -= set(typing.get_args(Gate))  # values of `reason`, checked below
    assert page == made


def test_reasons_of_busy_are_those_of_the_gate() -> None:
    (more,) = [more for kind, _, more in rows("Events", "type | meaning | more fields") if kind == "`busy`"]
    assert names(more) == ["reason", *(gate for gate in typing.get_args(Gate) if gate != "open")]


def raised_codes() -> Iterator[str]:
    """Every code that the source gives to an error, wherever it stands."""
    for path in EDGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0]
                if node.func.id in {"RefusedError", "UnanswerableError", "_error"} and isinstance(first, ast.Constant):
                    yield str(first.value)


def test_error_codes_are_those_that_the_code_gives() -> None:
    page = [names(code)[0] for code, _ in rows("Error codes", "code | meaning")]
    assert page == list(replies.ERROR_CODES)
    assert set(raised_codes()) == set(page)


WHY = Explanation(
    exit_depth=8,
    coarse=0.1,
    coarse_relevance=0.2,
    fine=0.3,
    fine_relevance=0.4,
    rank=1,
    round="correcting",
    ms=1.5,
    start="activation",
    earlier=True,
)


def test_reply_has_the_fields_of_the_table() -> None:
    item = dataclasses.replace(ITEM, evicted=True, meta=(("a", "b"),))
    hit = Hit(item, 8, 0.5, relevance=0.9, why=WHY, similar=1, similar_items=(ITEM.digest,), text="a")
    found = Answer(
        question="q", hits=[hit], searched=1, refined=1, cut=False, query_ms=1, filter_ms=1, correct_ms=1,
        earlier_ms=1, left_out=1, sequence=0,
    )  # fmt: skip
    told = {names(field)[0]: names(meaning) for field, meaning in rows("Reply", "field | meaning")}
    assert set(told) | set(told["took_ms"]) | {"id", "final"} == keys(replies.answer(found, "1", "w")) | {"error"}
    assert set(told["results"]) == set(json.loads(replies.answer(found, "1", ""))["results"][0])
    refusal = json.loads(replies.error(messages.UnanswerableError("version", "m"), None))
    assert told["error"] == list(refusal["error"])


def test_explanation_has_the_fields_of_the_table() -> None:
    found = dataclasses.replace(NOTHING, hits=[Hit(ITEM, 8, 0.5, why=WHY)])
    told = {name: names(meaning) for field, meaning in rows("Explain", "field | meaning") for name in names(field)}
    (result,) = json.loads(replies.answer(found, None, ""))["results"]
    assert set(told) == set(result["explain"]) == {field.name for field in dataclasses.fields(Explanation)}
    hints = typing.get_type_hints(Explanation)
    assert set(told["round"]) == set(typing.get_args(hints["round"]))
    assert set(told["start"]) == {value for kind in typing.get_args(hints["start"]) for value in typing.get_args(kind)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(Config(), tmp_path_factory.mktemp("state") / "state") as engine:
        yield engine


def test_info_has_the_fields_that_are_listed(engine: Engine) -> None:
    info = json.loads(device_info(Config(), engine))
    listed = re.sub(r"\((.*?)\)", "", section("Info"), flags=re.DOTALL)
    assert names(listed) == [name for name in info if name != "v"]
    (model,), (limits,) = (
        re.findall(rf"`{name}` \((.*?)\)", section("Info"), re.DOTALL) for name in ("model", "limits")
    )
    assert names(model) == list(info["model"])
    assert names(limits) == list(info["limits"])
    assert info["limits"] == {"payload_bytes": PAYLOAD_BYTES, "limit": MAX_LIMIT, "waiting": Config().recall.waiting}


def test_state_has_the_fields_of_the_table_but_for_those_that_may_be_absent(engine: Engine, tmp_path: Path) -> None:
    page = {name: meaning for cell, meaning in rows("State", "field | meaning") for name in names(cell)}
    absent = {name for name, meaning in page.items() if "absent" in meaning}
    made = keys(device_state(engine, Vitals(tmp_path).sample(), Energy()))
    energy = {field.name for field in dataclasses.fields(Energy)} - {"energy_kind"}
    assert absent == {"busy", "temperature_c", "earlier", "migrating", "out_of_reach"} | energy
    assert made - absent == set(page) - absent


def test_state_has_the_figures_of_energy_that_are_known(engine: Engine, tmp_path: Path) -> None:
    figures = Energy(energy_kind="measured_rails", power_w=3.25, power_source="rails", items_metered=0)
    state = json.loads(device_state(engine, Vitals(tmp_path).sample(), figures))
    assert (state["energy_kind"], state["power_w"], state["power_source"]) == ("measured_rails", 3.25, "rails")
    assert state["items_metered"] == 0
    assert "j_per_item" not in state


def test_page_names_every_kind_of_energy() -> None:
    (meaning,) = [meaning for cell, meaning in rows("State", "field | meaning") if names(cell) == ["energy_kind"]]
    assert tuple(names(meaning)) == KINDS


def test_state_names_why_it_is_busy(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.inbox, "gate", "disk_full")
    hot = dataclasses.replace(Vitals(tmp_path).sample(), temperature_c=51.5)
    state = json.loads(device_state(engine, hot, Energy()))
    assert (state["busy"], state["temperature_c"]) == ("disk_full", 51.5)


@pytest.mark.parametrize("op", OPS)
def test_reply_to_an_order_has_the_fields_that_the_page_names(engine: Engine, op: str) -> None:
    told = re.findall(r"(?:The reply|That to (?:`\w+`(?: and )?)+) has (.*?)[.:]", section("Control"))
    meant = {"forget": told[1], "pin": told[2], "unpin": told[2]}
    replies: list[Any] = []
    nobody = Systemd.from_environ({})
    root = daemon.Daemon(None, nobody, Notifier(nobody), Commands())
    what = Instruction(op=op, selection=Selection(digests=(bytes(32),)) if op in meant else None)
    if op in meant:
        replies.append(engine.housekeeping._obey(what))
    else:
        root._obey(engine, what, replies.append)
    assert names(meant.get(op, told[0])) == list(replies[0])


def numbers() -> Mapping[str, tuple[str, Any]]:
    """Where a number stands in the page, and what it must be."""
    return {
        "version": (r"^# The MQTT protocol, version (\d+)", messages.VERSION),
        "other version": (r"another version than (\d+)", messages.VERSION),
        "will delay": (r"the will of a device that was lost is delayed by (\d+) s", link._WILL_DELAY_S),
        "state": (r"what that takes, every (\d+) s", daemon.STATE_S),
        "reply topic": (r"in at most (\d+) characters; a question", topics.LONGEST),
        "id": (r"`id` \(a text of at most (\d+) characters\)", messages._LONGEST_ID),
        "meta": (r"at most (\d+) keys", meta.MOST_META),
        "meta value": (r"each with a text of at most (\d+) characters", meta.LONGEST_VALUE),
        "source": (r"for people; at most (\d+) characters", narrowing.LONGEST_SOURCE),
        "payload": (r"A payload has at most (\d+) bytes", PAYLOAD_BYTES),
        "file": (r"A file named by `path` has at most (\d+) bytes", LARGEST_FILE),
        "values": (r"JSON payload has at most\s(\d+) values", messages._MOST_VALUES),
        "pixels": (r"A picture has at most (\d+) megapixels", image.MAX_DECODED_PIXELS / 1e6),
        "side": (r"megapixels and (\d+) pixels on a side", image.MAX_SIDE),
        "WebP": (r"a WebP (\d+) megapixels", image.MAX_WEBP_PIXELS / 1e6),
        "JPEG": (r"a JPEG that is not progressive (\d+),", 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000),
        "scans": (r"A JPEG has at most (\d+)\sscans", image.MAX_SCANS),
        "question": (r"A question has at most (\d+) bytes", messages.SHORT_BYTES),
        "text": (r"the question, at most (\d+) characters", messages.LONGEST_TEXT),
        "limit": (r"answers wanted, 1 to (\d+)", MAX_LIMIT),
        "stream": (r"at most one every (\d+) ms", streaming.EVERY_S * 1e3),
        "deadline": (r"\| 1 to (\d+), from `ts`", messages._LONGEST_DEADLINE_MS),
        "packet": (r"`max_packet_size (\d+)`", link.PACKET_BYTES),
    }


@pytest.mark.parametrize("name", numbers())
def test_number_is_the_one_of_the_code(name: str) -> None:
    pattern, value = numbers()[name]
    assert [float(found) for found in re.findall(pattern, PAGE, re.MULTILINE)] == [float(value)]
