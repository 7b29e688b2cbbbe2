"""The reader of UCI HAR's official layout."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from converter.data.uci_har import BLOCK, list_uci_har
from edge.errors import UsageError
from tiny_data import write_har


def motion(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """(N, 128, 9) windows of one walk; each begins with the second half of the one before it."""
    walk = np.random.default_rng(seed).normal(size=(64 * (count + 1), 9)).astype(np.float32)
    return np.stack([walk[64 * number : 64 * number + 128] for number in range(count)])


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_har(tmp_path / "har", "train", [1, 2, 6], motion(3))


def test_windows_have_nine_channels_and_the_published_activities(layout: Path) -> None:
    items = list_uci_har(layout).items
    assert [(item.name, item.texts, item.classes) for item in items] == [
        ("train window 1", ("walking",), True),
        ("train window 2", ("walking upstairs",), True),
        ("train window 3", ("laying",), True),
    ]
    for item, window in zip(items, motion(3), strict=True):
        assert isinstance(item.source, np.ndarray)
        assert item.source.dtype == np.float32
        np.testing.assert_allclose(item.source, window, rtol=1e-6)


def test_activities_are_named_as_the_file_names_them(layout: Path) -> None:
    (layout / "activity_labels.txt").write_text("1 RUNNING_FAST\n2 SWIMMING\n6 FLYING\n", encoding="utf-8")
    assert [item.texts for item in list_uci_har(layout).items] == [("running fast",), ("swimming",), ("flying",)]


def test_test_folder_is_the_test_side_and_without_it_there_is_none(layout: Path) -> None:
    assert {item.split for item in list_uci_har(layout).items} == {None}
    write_har(layout, "test", [3, 3], motion(2, seed=1))
    assert [item.split for item in list_uci_har(layout).items] == ["train"] * 3 + ["test"] * 2


def test_windows_of_one_person_stay_together(layout: Path) -> None:
    (layout / "train" / "subject_train.txt").write_text("1\n1\n30\n", encoding="utf-8")
    assert [item.group for item in list_uci_har(layout).items] == ["person 1", "person 1", "person 30"]


def test_without_persons_blocks_end_only_where_windows_share_nothing(tmp_path: Path) -> None:
    walks = [motion(length, seed) for seed, length in enumerate((BLOCK - 5, 10, BLOCK, 3))]
    windows = np.concatenate(walks)
    items = list_uci_har(write_har(tmp_path, "train", [1] * len(windows), windows)).items
    sizes = [len(list(run)) for _, run in itertools.groupby(items, key=lambda item: item.group)]
    assert sizes == [BLOCK + 5, BLOCK, 3]


def test_signals_of_another_length_are_refused(layout: Path) -> None:
    file = layout / "train" / "Inertial Signals" / "body_gyro_x_train.txt"
    np.savetxt(file, np.zeros((3, 127)))
    with pytest.raises(UsageError) as caught:
        list_uci_har(layout)
    assert str(caught.value) == f"{file} has 3 lines of 127 numbers: 128 a line are expected"


@pytest.mark.parametrize(
    ("text", "told"), [("", "has 0 lines of 0 numbers"), ("1 2\n3\n", "is not a table of numbers (")]
)
def test_signals_that_are_no_table_are_refused(layout: Path, text: str, told: str) -> None:
    (layout / "train" / "Inertial Signals" / "total_acc_z_train.txt").write_text(text)
    with pytest.raises(UsageError, match=rf"total_acc_z_train\.txt {re.escape(told)}.*: 128 a line are expected"):
        list_uci_har(layout)


def test_channels_of_different_length_are_refused(layout: Path) -> None:
    file = layout / "train" / "Inertial Signals" / "total_acc_z_train.txt"
    np.savetxt(file, np.zeros((2, 128)))
    with pytest.raises(UsageError, match=r"total_acc_z_train\.txt has 2 windows, body_acc_x_train\.txt has 3"):
        list_uci_har(layout)


def test_activities_that_do_not_fit_are_refused(layout: Path) -> None:
    file = layout / "train" / "y_train.txt"
    file.write_text("1\n7\n1\n")
    with pytest.raises(UsageError, match=r"y_train\.txt has the activity 7: must be one of \[1, 2, 3, 4, 5, 6\]"):
        list_uci_har(layout)
    file.write_text("1\n2\n")
    with pytest.raises(UsageError, match=r"must hold 3 whole numbers, one for each window: it has 2 entries"):
        list_uci_har(layout)
    (layout / "activity_labels.txt").write_text("WALKING\n")
    with pytest.raises(UsageError, match=r'activity_labels\.txt must have lines like "1 WALKING"'):
        list_uci_har(layout)


def test_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        list_uci_har(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/train/Inertial Signals/body_acc_x_train.txt cannot be read (No such file or directory):"
        " give the folder of UCI HAR that holds train/"
    )
