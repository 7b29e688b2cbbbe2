"""Fixtures that several folders share: the shipped bundle and its towers, a memory, where published data sets lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from brokers import mosquitto, secure_broker
from clocks import board
from daemons import daemon
from disks import disk
from edge.bank import Banks
from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE, DEMO_PICTURES
from edge.engine import Engine
from edge.items import Arrival, Item, Verdict
from edge.memory import Memory
from edge.pairs import read_flickr8k
from edge.runtime import Interpreters, Invoke, TowerRunner, choose_runtime
from edge.signals import STOPPING
from granular import granular
from successor import successor

__all__ = [
    "board",
    "daemon",
    "disk",
    "granular",
    "mosquitto",
    "secure_broker",
    "successor",
]  # fixtures, defined beside what they start

# A shell in the background ignores SIGINT, nohup SIGHUP; then so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# What `DATA` falls back to: a folder beside the checkout, which a clone alone does not have.
DATA = Path(os.environ.get("DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def handlers_kept() -> Iterator[None]:
    """A command that a test runs in this process leaves its handlers, which in the end ignore every signal."""
    before = [(number, signal.getsignal(number)) for number in STOPPING]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle that ships."""
    return Bundle.open(DEMO_BUNDLE)


@pytest.fixture(scope="session")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with 230 MB of float32 segments on top, on disk only once."""
    from tall import tall_bundle  # noqa: PLC0415 - what writes the files does not come with tflite-runtime

    return Bundle.open(tall_bundle(tmp_path_factory.mktemp("tall") / "bundle"))


@pytest.fixture(scope="session")
def pictures() -> list[Path]:
    """The pictures that ship, sorted by name."""
    return sorted(DEMO_PICTURES.glob("*.jpg"))


@pytest.fixture(scope="session")
def invoke(bundle: Bundle) -> Invoke:
    """Runs the shipped files, in the thread that asks."""
    return Interpreters(bundle.folder, choose_runtime("auto"), threads=2).invoke


@pytest.fixture(scope="session")
def image(bundle: Bundle, invoke: Invoke) -> TowerRunner:
    """The shipped image tower."""
    return TowerRunner(bundle.folder, bundle.manifest.tower("image"), invoke)


@pytest.fixture(scope="session")
def text(bundle: Bundle, invoke: Invoke) -> TowerRunner:
    """The shipped text tower."""
    return TowerRunner(bundle.folder, bundle.manifest.tower("text"), invoke)


@pytest.fixture(scope="session")
def banks(bundle: Bundle, text: TowerRunner) -> Banks:
    """The shipped bank."""
    return Banks(bundle.folder, bundle.manifest.bank, text)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the test's memory lies."""
    return tmp_path / "state"


@pytest.fixture
def memory(bundle: Bundle, state: Path) -> Iterator[Memory]:
    """An empty memory for the shipped bundle."""
    with Memory(state, bundle.fingerprint) as memory:
        yield memory


@pytest.fixture(scope="session")
def arrival() -> Callable[[Path], Arrival]:
    """What a file is once it has arrived; its path is its source."""

    def read(file: Path) -> Arrival:
        content = file.read_bytes()
        digest = hashlib.sha256(content).digest()
        return Arrival(content=content, digest=digest, modality="image", source=str(file), taken_at=None)

    return read


@pytest.fixture(scope="session")
def fill(arrival: Callable[[Path], Arrival]) -> Callable[[Engine, Sequence[Path]], list[Verdict]]:
    """Lets an engine whose threads do not run accept files in one commit, and embed all that waits."""

    def accept(engine: Engine, files: Sequence[Path]) -> list[Verdict]:
        verdicts = engine.memory.accept([arrival(file) for file in files])
        while engine.intake.remember_group():
            pass
        return verdicts

    return accept


@pytest.fixture(scope="session")
def content_files() -> Callable[[Path], list[Path]]:
    """All files of raw content in a state folder, sorted."""
    return lambda state: sorted(path for path in (state / "content").rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def content_file() -> Callable[[Path, Item], Path]:
    """Where a state folder keeps an item's content."""

    def where(state: Path, item: Item) -> Path:
        file = state / "content" / item.digest.hex()[:2] / item.digest.hex()
        assert file.is_file()
        return file

    return where


@pytest.fixture(scope="session")
def no_room_for_rows() -> Callable[[Memory], AbstractContextManager[None]]:
    """SQLite's own limit: within it the database cannot grow by one page."""

    @contextlib.contextmanager
    def limited(memory: Memory) -> Iterator[None]:
        (pages,) = memory._rows.execute("PRAGMA page_count").fetchone()
        memory._rows.execute(f"PRAGMA max_page_count = {pages}")
        yield
        memory._rows.execute("PRAGMA max_page_count = 1000000")

    return limited


@pytest.fixture(scope="session")
def open_below() -> Callable[[Path], list[str]]:
    """The files at a path or below it that this process holds open."""

    def look(path: Path) -> list[str]:
        links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
        return [link for link in links if Path(link).is_relative_to(path)]

    return look


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The Flickr8k folder in its official layout, or a skip that says where it was looked for."""
    folder = _published("flickr8k", "Flickr8k")
    read_flickr8k(folder, "dev")
    return folder


@pytest.fixture(scope="session")
def uci_har() -> Path:
    """The UCI HAR folder in its official layout, or the same skip."""
    return _published("uci-har", "UCI HAR")


def _published(name: str, title: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"DATA SKIPPED: no {title} at {folder}; set DATA to the folder that holds {name}/")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests on published data ran: a run without the data must not look like one with it."""
    ran, skipped = (
        len(
            [
                report
                for report in terminalreporter.getreports(outcome)
                if report.when == phase and "data" in report.keywords
            ]
        )
        for outcome, phase in (("passed", "call"), ("skipped", "setup"))
    )
    terminalreporter.write_line(f"data tests: {ran} ran, {skipped} SKIPPED (DATA={DATA})")
