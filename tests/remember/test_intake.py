"""What waits is embedded, a group a commit: what is said of each item, and when it becomes true."""

from __future__ import annotations

import errno
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.errors import DiskFullError
from edge.items import Arrival, Floats, Item, Outcome, Selection, Verdict
from edge.memory import Memory
from edge.remember import Elevator, Fixed, Intake
from edge.remember.decoding import Refusal, Start, start
from edge.remember.flights import GROUP
from edge.runtime import Invoke, TowerRunner, check_image
from told import Told

Copies = Callable[[int], list[Path]]
Durable = Callable[[str], set[bytes]]
GONE = "its content is gone from the state folder"


def names(items: list[Item]) -> list[str]:
    return [Path(item.source).name for item in items]


def test_each_item_can_be_found_and_has_its_outcome_in_order(
    intake: Intake, memory: Memory, told: Told, image: TowerRunner, pictures: list[Path], accept: Callable[..., None]
) -> None:
    accept(pictures[:10])
    items = memory.waiting(20)
    assert intake.remember_group() == 10
    assert [outcome.item for outcome in told.outcomes] == items
    assert {(outcome.state, outcome.depth) for outcome in told.outcomes} == {("indexed", image.spec.exits[0].depth)}
    assert all(outcome.ms > 0 for outcome in told.outcomes)
    (part,) = memory.partitions()
    assert part.ids.tolist() == [item.id for item in items]
    assert (memory.tally.waiting, memory.tally.exits) == (0, {image.spec.exits[0].depth: 10})


def test_nothing_that_waits_is_nothing_to_do(intake: Intake, memory: Memory, told: Told, commits: list[str]) -> None:
    assert intake.remember_group() == 0
    assert (told.outcomes, memory.version, commits) == ([], 0, [])


def test_pixels_are_held_by_nobody_once_they_are_through_the_first_segment(
    bundle: Bundle,
    image: TowerRunner,
    invoke: Invoke,
    banks: Banks,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[weakref.ref[Floats]] = []
    held: dict[Model, int] = {}

    def noting(*words: Any) -> Start | Refusal:
        made = start(*words)
        assert isinstance(made, Start)
        decoded.append(weakref.ref(made.activation.tensor))
        return made

    def looking(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        held[model] = sum(pixels() is not None for pixels in decoded)
        return invoke(model, inputs)

    monkeypatch.setattr("edge.remember.intake.start", noting)
    tower = TowerRunner(bundle.folder, image.spec, looking)
    accept(pictures[:4])
    intake = Intake(tower, Elevator(tower, Fixed(0), banks), memory, 4, on_outcome=told.outcome, failed=print)
    assert intake.remember_group() == 4
    first, *later = (held[segment.model] for segment in image.spec.segments[: image.spec.exits[0].segment + 1])
    assert (first, later) == (4, [0] * len(later))


def test_more_items_than_a_group_take_several_commits_longest_waiting_first(
    intake: Intake, memory: Memory, copies: Copies, accept: Callable[..., None], commits: list[str]
) -> None:
    files = copies(2 * GROUP + 6)
    accept(files)
    commits.clear()
    assert [intake.remember_group() for _ in range(2)] == [GROUP, GROUP]
    assert names(memory.waiting(99)) == [file.name for file in files[2 * GROUP :]]
    assert [intake.remember_group() for _ in range(2)] == [6, 0]
    assert (memory.version, len(commits)) == (3, 3)


def test_outcome_is_said_when_the_embedding_is_on_disk(
    image: TowerRunner, banks: Banks, memory: Memory, copies: Copies, accept: Callable[..., None], durable: Durable
) -> None:
    found: list[bool] = []
    intake = Intake(
        image,
        Elevator(image, Fixed(0), banks),
        memory,
        8,
        on_outcome=lambda outcome: found.append(outcome.item.digest in durable("embeddings")),
        failed=lambda _: None,
    )
    accept(copies(GROUP + 3))
    assert [intake.remember_group(), intake.remember_group()] == [GROUP, 3]
    assert found == [True] * (GROUP + 3)


def damaged_picture(pictures: list[Path], folder: Path) -> Path:
    """A picture that was copied by half: its head is whole."""
    file = folder / "half.jpg"
    file.write_bytes(pictures[0].read_bytes()[:5000])
    check_image(file.read_bytes(), 224)
    return file


def test_damaged_content_that_passed_the_check_is_rejected_with_its_reason_and_never_tried_again(
    intake: Intake,
    memory: Memory,
    told: Told,
    arrival: Callable[[Path], Arrival],
    pictures: list[Path],
    tmp_path: Path,
    bundle: Bundle,
    accept: Callable[..., list[Verdict]],
) -> None:
    half = damaged_picture(pictures, tmp_path)
    assert [verdict.state for verdict in accept([half])] == ["accepted"]
    item = memory.item(1)
    assert intake.remember_group() == 1
    (outcome,) = told.outcomes
    assert (outcome.item, outcome.state, outcome.depth) == (item, "rejected", 0)
    assert outcome.reason.startswith("not a picture that can be read (image file is truncated")
    refusal = Verdict("rejected", item.digest, outcome.reason)
    assert accept([half]) == [refusal]
    assert intake.remember_group() == 0
    memory.__exit__(None, None, None)
    with Memory(memory.folder, bundle.fingerprint) as again:
        assert again.waiting(9) == []
        assert again.accept([arrival(half)]) == [refusal]


def test_items_that_cannot_be_read_take_nothing_from_their_batch(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    tmp_path: Path,
    state: Path,
    accept: Callable[..., None],
    content_file: Callable[[Path, Item], Path],
) -> None:
    accept([*pictures[:3], damaged_picture(pictures, tmp_path), *pictures[3:6]])
    content_file(state, memory.item(2)).unlink()
    assert intake.remember_group() == 7
    outcomes = {outcome.item.id: outcome for outcome in told.outcomes}
    assert {number for number, outcome in outcomes.items() if outcome.state == "rejected"} == {2, 4}
    assert outcomes[2].reason == GONE
    assert memory.partitions()[0].ids.tolist() == [1, 3, 5, 6, 7]
    assert (memory.tally.items, memory.tally.rejected, memory.tally.waiting) == (5, 2, 0)


def test_item_in_a_bad_sector_is_rejected_without_a_word_of_where(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    unreadable: Callable[[Exception], AbstractContextManager[None]],
) -> None:
    accept(pictures[:1])
    with unreadable(OSError(errno.EIO, "Input/output error", str(memory.folder))):
        assert intake.remember_group() == 1
    (outcome,) = told.outcomes
    assert (outcome.state, outcome.reason) == ("rejected", "its content cannot be read from the disk any more")
    assert (memory.tally.waiting, memory.tally.rejected) == (0, 1)


def test_content_that_may_not_be_read_is_set_aside_and_holds_up_nothing_behind_it(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    unreadable: Callable[[Exception], AbstractContextManager[None]],
) -> None:
    accept(pictures[:1])
    with unreadable(OSError(errno.EACCES, "Permission denied", str(memory.folder))):
        intake.remember_group()
    accept(pictures[1:3])
    assert intake.remember_group() == 2
    assert [outcome.state for outcome in told.outcomes] == ["indexed", "indexed"]
    assert (memory.tally.waiting, memory.tally.rejected) == (1, 0)


def test_batch_of_nothing_but_damage_is_rejected(
    intake: Intake, memory: Memory, told: Told, pictures: list[Path], tmp_path: Path, accept: Callable[..., None]
) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(9)]
    for number, file in enumerate(files):
        file.write_bytes(pictures[number].read_bytes()[:5000])
    accept(files)
    assert intake.remember_group() == 9
    assert [outcome.state for outcome in told.outcomes] == ["rejected"] * 9
    assert (memory.partitions(), memory.tally.rejected) == ((), 9)


def test_content_that_was_gone_and_is_sent_again_is_remembered(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    state: Path,
    accept: Callable[..., list[Verdict]],
    content_file: Callable[[Path, Item], Path],
) -> None:
    accept(pictures[:1])
    content_file(state, memory.item(1)).unlink()
    intake.remember_group()
    assert [verdict.state for verdict in accept(pictures[:1])] == ["accepted"]
    assert intake.remember_group() == 1
    assert [outcome.state for outcome in told.outcomes] == ["rejected", "indexed"]
    assert (memory.tally.items, memory.tally.rejected) == (1, 0)


def test_full_disk_is_an_error_and_everything_waits_on(
    intake: Intake,
    memory: Memory,
    told: Told,
    copies: Copies,
    accept: Callable[..., None],
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    accept(copies(GROUP))
    with no_room_for_rows(memory), pytest.raises(DiskFullError, match="is full: free some space"):
        intake.remember_group()
    assert (told.outcomes, memory.tally.waiting, intake.items_per_s()) == ([], GROUP, 0)
    assert intake.remember_group() == GROUP
    assert len(told.outcomes) == GROUP


def test_rejection_is_said_also_when_the_rest_of_its_group_meets_a_full_disk(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    copies: Copies,
    tmp_path: Path,
    accept: Callable[..., None],
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    accept([damaged_picture(pictures, tmp_path), *copies(GROUP - 1)])
    with no_room_for_rows(memory), pytest.raises(DiskFullError):
        intake.remember_group()
    assert [(outcome.item.id, outcome.state) for outcome in told.outcomes] == [(1, "rejected")]
    assert intake.remember_group() == GROUP - 1
    assert [outcome.item.id for outcome in told.outcomes] == list(range(1, GROUP + 1))


def test_rate_counts_what_could_be_found_within_the_window(
    intake: Intake, pictures: list[Path], tmp_path: Path, accept: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert intake.items_per_s() == 0
    accept([*pictures[:6], damaged_picture(pictures, tmp_path)])
    intake.remember_group()
    assert intake.items_per_s() == 6  # in the first second; later the minute counts
    monkeypatch.setattr(intake._writing, "_began", intake._writing._began - 100)
    assert intake.items_per_s() == pytest.approx(6 / 60)
    monkeypatch.setattr("edge.remember.writing._RATE_S", 0.05)
    time.sleep(0.06)
    assert intake.items_per_s() == 0


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_embedding_is_the_same_whatever_the_batch(
    batch: int, memory: Memory, image: TowerRunner, banks: Banks, pictures: list[Path], accept: Callable[..., None]
) -> None:
    place, outcomes = image.spec.exits[0], list[Outcome]()
    accept(pictures[:7])
    elevator = Elevator(image, Fixed(0), banks)
    intake = Intake(image, elevator, memory, batch, on_outcome=outcomes.append, failed=lambda _: None)
    assert intake.remember_group() == len(outcomes) == 7
    alone = [image.start_images([path.read_bytes()]) for path in pictures[:7]]
    expected = np.concatenate([image.embed(image.advance(start, place.segment), place) for start in alone])
    # float16 on disk: 2e-4 near 0.5
    np.testing.assert_allclose(memory.partitions()[0].embeddings, expected, atol=3e-4)


def test_item_that_is_forgotten_while_it_is_embedded_is_gone_and_nothing_is_said_of_it(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept(pictures[:3])
    gone = memory.item(2)
    ride = Elevator.ride

    def forgotten_meanwhile(*given: Any) -> Any:
        memory.forget(Selection(digests=(gone.digest,)))
        return ride(*given)

    monkeypatch.setattr(Elevator, "ride", forgotten_meanwhile)
    intake.remember_group()
    assert [outcome.item.id for outcome in told.outcomes] == [1, 3]
    assert [part.ids.tolist() for part in memory.partitions()] == [[1, 3]]
    assert (memory.tally.waiting, memory.tally.rejected) == (0, 0)


def test_item_that_is_forgotten_before_it_is_decoded_is_not_called_unreadable(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept(pictures[:2])
    waiting = memory.waiting(9)
    memory.forget(Selection(digests=(waiting[0].digest,)))
    monkeypatch.setattr(memory, "waiting", lambda _count: waiting)
    intake.remember_group()
    assert [(outcome.item.id, outcome.state) for outcome in told.outcomes] == [(2, "indexed")]
    assert memory.tally.rejected == 0
