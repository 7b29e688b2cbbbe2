"""Files in, durable items out: what is said of each file, in which order, and when it becomes true."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.memory import Memory
from edge.remember import Elevator, Intake, Outcome
from edge.remember.intake import GROUP
from edge.runtime import TowerRunner


def states(intake: Intake, files: list[Path]) -> list[str]:
    outcomes = list(intake.remember(files))
    assert [outcome.source for outcome in outcomes] == files
    return [outcome.state for outcome in outcomes]


def digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def durable(state: Path) -> set[bytes]:
    """Digests of the items that a process would find that opens the folder now; uncommitted rows do not show."""
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        return {
            digest
            for (digest,) in rows.execute("SELECT digest FROM items JOIN embeddings ON item = items.id")
            if (state / "content" / digest.hex()[:2] / digest.hex()).is_file()
        }


def test_each_file_has_its_outcome_in_the_order_given(intake: Intake, pictures: list[Path], tmp_path: Path) -> None:
    diary = tmp_path / "diary.jpg"
    diary.write_text("Dear diary", encoding="utf-8")
    files = [pictures[3], diary, pictures[0], tmp_path / "gone.jpg", pictures[3], pictures[1]]
    assert states(intake, files) == ["remembered", "refused", "remembered", "refused", "known", "remembered"]


def test_everything_is_known_the_second_time(intake: Intake, memory: Memory, pictures: list[Path]) -> None:
    assert states(intake, pictures[:3]) == ["remembered"] * 3
    version = memory.version
    assert states(intake, pictures[:3]) == ["known"] * 3
    assert memory.version == version  # so that no index is built again for nothing


def test_same_content_under_two_names_is_one_item(
    intake: Intake, memory: Memory, pictures: list[Path], tmp_path: Path
) -> None:
    twin = tmp_path / "twin.jpg"
    twin.write_bytes(pictures[0].read_bytes())
    assert states(intake, [twin, pictures[0], twin]) == ["remembered", "known", "known"]
    (partition,) = memory.partitions()
    assert len(partition.ids) == 1
    assert memory.item(int(partition.ids[0])).source == str(twin)


def test_item_keeps_its_content_and_where_it_came_from(
    intake: Intake, memory: Memory, pictures: list[Path], image: TowerRunner
) -> None:
    states(intake, pictures[:2])
    (partition,) = memory.partitions()
    assert partition.depth == image.spec.exits[0].depth
    for number, path in zip(partition.ids, pictures, strict=False):
        item = memory.item(int(number))
        assert (item.source, item.modality, item.bytes) == (str(path), "image", path.stat().st_size)
        assert memory.content(item) == path.read_bytes()


def test_content_is_known_after_the_memory_was_closed_and_opened(
    bundle: Bundle, image: TowerRunner, pictures: list[Path], tmp_path: Path
) -> None:
    for expected in ("remembered", "known"):
        with Memory(tmp_path / "kept", bundle.fingerprint) as memory:
            intake = Intake(image, Elevator(image, image.spec.exits[0], batch=8), memory)
            assert states(intake, pictures[:1]) == [expected]


def test_unreadable_files_are_refused_with_their_reason_and_the_rest_is_remembered(
    intake: Intake, memory: Memory, pictures: list[Path], tmp_path: Path
) -> None:
    names = ("diary.jpg", "empty.jpg", "half.jpg", "folder.jpg", "gone.jpg")
    diary, empty, half, folder, gone = (tmp_path / name for name in names)
    diary.write_text("Dear diary", encoding="utf-8")
    empty.touch()
    half.write_bytes(pictures[0].read_bytes()[:5000])
    folder.mkdir()
    outcomes = list(intake.remember([diary, empty, half, folder, gone, pictures[0]]))
    assert [outcome.state for outcome in outcomes] == ["refused"] * 5 + ["remembered"]
    starts = [
        "not a picture of a known kind (JPEG, PNG, ",
        "not a picture of a known kind (JPEG, PNG, ",
        "not a picture that can be read (image file is truncated",
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
        "",
    ]
    for outcome, start in zip(outcomes, starts, strict=True):
        assert outcome.reason.startswith(start)
    (partition,) = memory.partitions()
    assert len(partition.ids) == 1


def test_group_of_refused_files_commits_nothing(intake: Intake, memory: Memory, tmp_path: Path) -> None:
    assert states(intake, [tmp_path / "gone.jpg", tmp_path / "lost.jpg"]) == ["refused"] * 2
    assert memory.version == 0
    assert memory.partitions() == ()


def test_no_files_have_no_outcomes(intake: Intake) -> None:
    assert list(intake.remember([])) == []


def test_name_that_is_not_utf_8_is_remembered_with_its_odd_bytes_shown(
    intake: Intake, memory: Memory, pictures: list[Path], tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))  # as older cameras and disks have them
    odd.write_bytes(pictures[0].read_bytes())
    assert states(intake, [odd]) == ["remembered"]
    assert memory.item(1).source == rf"{tmp_path}/caf\xe9.jpg"


def test_more_files_than_a_group_take_several_commits(
    intake: Intake, memory: Memory, copies: Callable[[int], list[Path]]
) -> None:
    assert states(intake, copies(2 * GROUP + 6)) == ["remembered"] * (2 * GROUP + 6)
    assert memory.version == 3


def test_whatever_was_said_to_be_remembered_is_on_disk(
    intake: Intake, copies: Callable[[int], list[Path]], tmp_path: Path
) -> None:
    files = copies(2 * GROUP + 6)
    said: set[bytes] = set()
    for outcome in intake.remember(files):
        said.add(digest(outcome.source))
        found = durable(tmp_path / "state")
        assert said <= found
        # Whole groups: the one that is being reported, and nothing of the next.
        assert found == {digest(file) for file in files[: -(-len(said) // GROUP) * GROUP]}


def test_files_are_read_a_group_at_a_time(intake: Intake, copies: Callable[[int], list[Path]]) -> None:
    files, asked = copies(2 * GROUP), []

    def arriving() -> Iterator[Path]:
        for file in files:
            asked.append(file)
            yield file

    outcomes = intake.remember(arriving())
    assert asked == []
    assert next(outcomes) == Outcome(files[0], "remembered")
    assert asked == files[:GROUP]


def test_caller_that_stops_early_keeps_what_it_was_told(
    intake: Intake, memory: Memory, copies: Callable[[int], list[Path]]
) -> None:
    files = copies(GROUP + 1)
    outcomes = intake.remember(files)
    next(outcomes)
    del outcomes
    assert memory.knows(digest(files[0]))
    assert not memory.knows(digest(files[GROUP]))
    assert states(intake, files) == ["known"] * GROUP + ["remembered"]


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_embedding_is_the_same_whatever_the_batch(
    batch: int, bundle: Bundle, image: TowerRunner, pictures: list[Path], tmp_path: Path
) -> None:
    place = image.spec.exits[0]
    with Memory(tmp_path / f"by-{batch}", bundle.fingerprint) as memory:
        list(Intake(image, Elevator(image, place, batch), memory).remember(pictures[:7]))
        (partition,) = memory.partitions()
    alone = [image.start_images([path.read_bytes()]) for path in pictures[:7]]
    expected = np.concatenate([image.embed(image.advance(start, place.segment), place) for start in alone])
    np.testing.assert_allclose(partition.embeddings, expected, atol=3e-4)  # float16 on disk: 2e-4 near 0.5
