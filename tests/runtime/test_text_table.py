"""Token tables in float16, and padding as the tokenizer's own file says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from edge.bundle import TextPreprocess
from edge.errors import BundleError
from edge.runtime import TextInput
from edge.runtime.int4 import pack

WORDS = ("end", "a", "dog", "cat", "bird")
WIDTH, TOKENS = 8, 4
SPEC = TextPreprocess(
    kind="text",
    tokenizer=PurePosixPath("tokenizer.json"),
    tokens=TOKENS,
    width=WIDTH,
    table=PurePosixPath("tokens"),
    table_format="float16",
    positions=PurePosixPath("positions.f32"),
)
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), WIDTH)).astype(np.float16).astype(np.float32)


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="end"))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle's text files; places are all zero, so that x is the table's rows alone."""
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokens").write_bytes(ROWS.astype("<f2").tobytes())
    (tmp_path / "positions.f32").write_bytes(bytes(4 * TOKENS * WIDTH))
    return tmp_path


def test_rows_in_float16_are_read_exactly(folder: Path) -> None:
    inputs = TextInput(folder, SPEC).inputs(["a dog a bird", "cat"])
    assert inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(inputs["x"][0], ROWS[[1, 2, 1, 4]])
    np.testing.assert_array_equal(inputs["x"][1, 0], ROWS[3])
    np.testing.assert_array_equal(inputs["mask"], [[1, 1, 1, 1], [1, 0, 0, 0]])


def test_rows_in_int4_differ_only_by_their_rounding(folder: Path) -> None:
    spec = TextPreprocess(
        kind="text",
        tokenizer=SPEC.tokenizer,
        tokens=TOKENS,
        width=WIDTH,
        table=PurePosixPath("tokens.int4"),
        group=WIDTH,
        positions=SPEC.positions,
    )
    (folder / "tokens.int4").write_bytes(pack(ROWS, WIDTH).tobytes())
    small, exact = (TextInput(folder, one).inputs(["a dog"])["x"] for one in (spec, SPEC))
    assert 0 < np.abs(small - exact).max() < 0.2


def test_short_sentence_is_padded_with_the_token_that_the_file_names(folder: Path) -> None:
    padded = tokenizer()
    padded.enable_padding(pad_id=3, pad_token="cat", length=99, pad_to_multiple_of=7)  # noqa: S106
    padded.save(str(folder / "tokenizer.json"))
    inputs = TextInput(folder, SPEC).inputs(["a dog"])
    np.testing.assert_array_equal(inputs["x"][0], ROWS[[1, 2, 3, 3]])
    np.testing.assert_array_equal(inputs["mask"], [[1, 1, 0, 0]])


def test_file_that_names_no_padding_gets_token_0(folder: Path) -> None:
    np.testing.assert_array_equal(TextInput(folder, SPEC).inputs(["a"])["x"][0], ROWS[[1, 0, 0, 0]])


@pytest.mark.parametrize("rows", [4, 6])
def test_float16_table_of_another_vocabulary_is_refused_with_both_sizes(folder: Path, rows: int) -> None:
    (folder / "tokens").write_bytes(bytes(2 * WIDTH * rows))
    said = rf"tokens has {2 * WIDTH * rows} bytes, 5 tokens need 16 each: convert again$"
    with pytest.raises(BundleError, match=said):
        TextInput(folder, SPEC)
