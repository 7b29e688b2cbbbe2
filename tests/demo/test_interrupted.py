"""A real signal to a real process in the middle of its work: it ends at once, and leaves nothing of the pictures."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from commands import finish, start
from processes import processes_of, see_that_nothing_is_left_in
from waiting import wait_until

MANY = 600  # pictures: no machine remembers as many before the signal comes
LAST_WORD = "\nreminisce: interrupted; the temporary memory of the demo is gone\n"


@pytest.fixture(scope="module")
def many(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many pictures, each of another content."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(MANY):
        # Behind a JPEG's end anything may stand: other bytes, the same picture.
        content = pictures[number % len(pictures)].read_bytes() + number.to_bytes(2, "big")
        (folder / f"{number:03}.jpg").write_bytes(content)
    return folder


def remembered(temporary: Path) -> int:
    """How many pictures lie in the temporary memory."""
    return len(list(temporary.glob("*/state/content/*/*")))


# A second signal used to interrupt the deletion of the temporary memory; it comes at several moments of it.
@pytest.mark.parametrize(
    ("signals", "gap_s"),
    [
        ((SIGINT,), 0),
        ((SIGTERM,), 0),
        ((SIGHUP,), 0),
        ((SIGINT, SIGINT), 0.005),
        ((SIGINT, SIGTERM), 0.03),
        ((SIGINT, SIGHUP), 0.2),
    ],
)
def test_signal_during_remembering_ends_with_130_and_leaves_nothing_behind(
    signals: tuple[Signals, ...], gap_s: float, many: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    tour = start("demo", "--photos", many, here=tmp_path, environ={"TMPDIR": str(temporary)})
    wait_until(lambda: remembered(temporary) or tour.poll() is not None, "a picture in the memory")
    for number in signals:
        tour.send_signal(number)
        time.sleep(gap_s)
    done = finish(tour)
    assert done.code == 130
    assert done.err.endswith(LAST_WORD)
    assert "remembered" not in done.out
    see_that_nothing_is_left_in(temporary)
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]  # and no sheet


# Its children are started within the first second; each must have an owner from its first moment on.
@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.2 + 0.12 * step for step in range(9)], ids="{:.2f}".format)
def test_signal_at_any_moment_of_the_start_leaves_nothing_behind(after_s: float, many: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    tour = start("demo", "--photos", many, here=tmp_path, environ={"TMPDIR": str(temporary)})
    time.sleep(after_s)
    tour.send_signal(SIGTERM)
    done = finish(tour)
    assert done.code in {130, -SIGTERM}  # the latter before it could have started anything
    see_that_nothing_is_left_in(temporary)


def test_tour_that_is_killed_takes_its_children_with_it(many: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    tour = start("demo", "--photos", many, here=tmp_path, environ={"TMPDIR": str(temporary)})
    wait_until(lambda: remembered(temporary), "a picture in the memory")
    assert len(processes_of(temporary)) == 2
    tour.kill()
    assert finish(tour).code == -SIGKILL
    wait_until(lambda: not processes_of(temporary), "the end of all processes")
