"""The house rules of the architecture: who may import whom, what the device never loads, how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400

# Imports inside edge point down this list; rooms on one line do not know each other. A file belongs to the longest name
# that leads to it. `edge.demo` is only where the shipped files lie; the tour is a client of its own broker and daemon.
HOUSE = (
    ("edge.__main__",),
    ("edge.cli",),
    ("edge.bench",),
    ("edge.demo.tour",),
    ("edge.daemon", "edge.demo.sheet", "edge.demo.stack", "edge.adding"),
    ("edge.report", "edge.demo.broker"),
    ("edge.engine",),
    ("edge.remember", "edge.recall"),
    ("edge.bank",),
    ("edge.memory", "edge.runtime", "edge.mqtt", "edge.service", "edge.power"),
    ("edge.memory.rows",),
    ("edge.memory.cache",),
    ("edge.memory.index",),
    ("edge.memory.disk",),
    ("edge.relevance", "edge.policy"),
    ("edge.bundle", "edge.pairs", "edge.demo"),
    ("edge.config",),
    ("edge.decode", "edge.items"),
    ("edge.errors", "edge.heap", "edge.seldom", "edge.signals", "edge.threads"),
    ("edge",),
)
# Two halves that know nothing of each other: the daemon brings them together.
ENGINE = {"edge.engine", "edge.remember", "edge.recall", "edge.bank", "edge.memory", "edge.runtime"}
OUTSIDE = {"edge.mqtt", "edge.service"}
# What only one room may know.
OWNERS = {
    "paho": "edge.mqtt",
    "sqlite3": "edge.memory",
    "annoy": "edge.memory",
    "ai_edge_litert": "edge.runtime",
    "tflite_runtime": "edge.runtime",
    "tokenizers": "edge.runtime",
    "PIL": "edge.runtime",
    "psutil": "edge.service",
}
LEVELS = {room: level for level, rooms in enumerate(HOUSE) for room in rooms}
OPEN_TO_THE_CONVERTER = {
    f"edge.{name}"
    for name in ("bundle", "runtime", "relevance", "policy", "errors", "items", "decode", "pairs", "demo", "signals")
}
HOST_TOOLS = {
    "torch",
    "tensorflow",
    "transformers",
    "huggingface_hub",
    "onnx",
    "onnx2tf",
    "peft",
    "matplotlib",
    "converter",
}
NETWORK = {"huggingface_hub", "requests", "httpx", "httpx2", "urllib3"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module) -> Iterator[str]:
    """Full names of the modules that a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = node.module or ""
            for alias in node.names:
                inner = ROOT.joinpath(*whole.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{whole}.{alias.name}" if is_module else whole


def imports_of(path: Path) -> list[str]:
    return sorted(set(imported(ast.parse(path.read_text(encoding="utf-8")))))


def room_of(module: str) -> str:
    """The room that a module of edge lies in. Raises KeyError for one that is not in the list."""
    name = module
    while name not in LEVELS:
        name = name.rpartition(".")[0]
    if name == "edge" and module != "edge":
        raise KeyError(f"{module} has no place in the house: put it on a line of HOUSE")
    return name


def points_down(importer: str, target: str) -> bool:
    one, other = room_of(importer), room_of(target)
    if {one, other} & ENGINE and {one, other} & OUTSIDE:
        return False
    return one == other or LEVELS[one] < LEVELS[other]


def test_imports_inside_the_device_point_down() -> None:
    upward = [
        f"{module_of(path)} imports {target}"
        for path in sources("edge")
        for target in imports_of(path)
        if target.partition(".")[0] == "edge" and not points_down(module_of(path), target)
    ]
    assert not upward


@pytest.mark.parametrize(
    ("importer", "target"),
    [
        ("edge.memory.index", "edge.engine"),
        ("edge.recall.filtering", "edge.remember.intake"),
        ("edge.engine", "edge.demo.tour"),
        ("edge.engine", "edge.daemon"),
        ("edge.runtime.tower", "edge.memory"),
        ("edge.mqtt.ingest", "edge.remember.inbox"),
        ("edge.mqtt.desk", "edge.runtime"),
        ("edge.recall.questions", "edge.mqtt.replies"),
        ("edge.engine", "edge.service"),
        ("edge.relevance", "edge.policy"),
        ("edge.policy", "edge.memory"),
        ("edge.threads", "edge.errors"),
    ],
)
def test_an_upward_or_level_import_or_one_across_the_halves_would_be_found(importer: str, target: str) -> None:
    assert not points_down(importer, target)


def test_a_new_room_must_be_given_its_place() -> None:
    with pytest.raises(KeyError, match=r"edge\.kitchen\.sink has no place in the house"):
        room_of("edge.kitchen.sink")


def test_every_room_of_the_list_exists() -> None:
    modules = {module_of(path) for path in sources("edge")}
    assert [room for room in LEVELS if room not in modules] == []


def test_only_its_room_imports_a_tool() -> None:
    found = [
        f"{module_of(path)} imports {target}"
        for path in sources("edge")
        for target in imports_of(path)
        if not f"{module_of(path)}.".startswith(f"{OWNERS.get(target.partition('.')[0], 'edge')}.")
    ]
    assert not found


def test_device_imports_no_host_tool() -> None:
    found = [
        f"{module_of(path)} imports {target}"
        for path in sources("edge")
        for target in imports_of(path)
        if target.partition(".")[0] in HOST_TOOLS
    ]
    assert not found


def test_converter_imports_of_the_device_only_what_is_open_to_it_and_no_mqtt() -> None:
    found = [
        f"{module_of(path)} imports {target}"
        for path in sources("converter")
        for target in imports_of(path)
        if target.partition(".")[0] == "paho"
        or (target.startswith("edge.") and room_of(target) not in OPEN_TO_THE_CONVERTER)
    ]
    assert not found


def test_import_statements_are_read_wherever_they_stand() -> None:
    text = "import os.path\nfrom edge import __version__, engine\ndef f():\n    from edge.recall import Retriever\n"
    assert sorted(imported(ast.parse(text))) == ["edge", "edge.engine", "edge.recall", "os.path"]


def test_device_loads_no_host_tool_and_nothing_that_calls_out() -> None:
    program = (
        "import sys, edge.cli, edge.daemon, edge.engine\n"
        "from edge.bundle import Bundle\n"
        "from edge.demo import DEMO_BUNDLE\n"
        "Bundle.open(DEMO_BUNDLE)\n"
        f"print(sorted({HOST_TOOLS | NETWORK} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("package", ["edge", "converter", "tests"])
def test_folders_are_named_after_what_they_hold(package: str) -> None:
    names = {path.name for path in (ROOT / package).rglob("*") if path.is_dir()}
    assert not names & {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("package", ["edge", "converter", "tests"])
def test_no_file_is_too_long_to_read(package: str) -> None:
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in sources(package)}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}
