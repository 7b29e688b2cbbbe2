"""Sentences to tokens, embeddings and masks, with the shipped tokenizer and its INT4 table."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from edge.bundle import Bundle, TextPreprocess
from edge.errors import BundleError
from edge.items import Floats
from edge.runtime import TextInput
from edge.runtime.int4 import row_bytes, unpack

TOKENS = 32


@pytest.fixture(scope="session")
def spec(bundle: Bundle) -> TextPreprocess:
    preprocess = bundle.manifest.tower("text").preprocess
    assert isinstance(preprocess, TextPreprocess)
    assert preprocess.tokens == TOKENS
    return preprocess


@pytest.fixture(scope="session")
def text_input(bundle: Bundle, spec: TextPreprocess) -> TextInput:
    return TextInput(bundle.folder, spec)


@pytest.fixture
def copied(bundle: Bundle, spec: TextPreprocess, tmp_path: Path) -> Path:
    """A bundle folder with nothing but what a text needs, free to be damaged."""
    for name in (spec.tokenizer, spec.table, spec.positions):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(bundle.path(name), tmp_path / name)
    return tmp_path


def one(text_input: TextInput, sentence: str) -> tuple[Floats, int]:
    """The first input of one sentence, and how many of its tokens count."""
    inputs = text_input.inputs([sentence])
    count = int(inputs["mask"].sum())
    np.testing.assert_array_equal(inputs["mask"][0], np.arange(TOKENS) < count)
    return inputs["x"][0], count


def test_sentence_becomes_its_words_between_a_start_and_an_end(text_input: TextInput) -> None:
    inputs = text_input.inputs(["a dog on the beach"])
    assert inputs.keys() == {"x", "mask"}
    assert inputs["mask"].tolist() == [[1.0] * 7 + [0.0] * 25]
    assert inputs["mask"].dtype == inputs["x"].dtype == np.float32


def test_input_is_the_tables_row_plus_the_position(bundle: Bundle, spec: TextPreprocess, text_input: TextInput) -> None:
    row = row_bytes(spec.width, spec.group)
    table = np.frombuffer(bundle.path(spec.table).read_bytes(), dtype=np.uint8).reshape(-1, row)
    positions = np.frombuffer(bundle.path(spec.positions).read_bytes(), dtype="<f4").reshape(TOKENS, spec.width)
    ids = Tokenizer.from_file(str(bundle.path(spec.tokenizer))).encode("a dog on the beach").ids[:7]
    x, _ = one(text_input, "a dog on the beach")
    np.testing.assert_array_equal(x[:7], unpack(table[ids], spec.width, spec.group) + positions[:7])


def test_sentence_is_cut_at_32_tokens(text_input: TextInput) -> None:
    fitting, count = one(text_input, "dog " * 30)  # and the start and the end
    assert count == TOKENS
    longer, count = one(text_input, "dog " * 30 + "cat " * 1000)
    assert count == TOKENS
    np.testing.assert_array_equal(longer, fitting)
    assert one(text_input, "dog " * 29)[1] == TOKENS - 1


@pytest.mark.parametrize("sentence", ["", " ", "\n\t"])
def test_empty_sentence_is_a_start_and_an_end(sentence: str, text_input: TextInput) -> None:
    assert one(text_input, sentence)[1] == 2


@pytest.mark.parametrize(
    ("sentence", "same"),
    [
        ("A Dog On The BEACH", "a dog on the beach"),
        ("  a dog  on\tthe beach\n", "a dog on the beach"),
        ("café crème", "cafe creme"),
        ("\udcff", "?"),  # a byte of another encoding, typed into a terminal
        ("a \ud83d dog", "a ? dog"),  # half an emoji, as broken JSON has it
    ],
)
def test_case_spaces_accents_and_broken_characters_do_not_matter(
    sentence: str, same: str, text_input: TextInput
) -> None:
    (x, count), (expected, expected_count) = one(text_input, sentence), one(text_input, same)
    assert count == expected_count
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(
    "sentence", ["狗在海滩上", "собака на пляже", "كلب على الشاطئ", "बीच पर एक कुत्ता", "🐕🏖️", "\0\x1b[31m"]
)
def test_any_script_gives_finite_numbers(sentence: str, text_input: TextInput) -> None:
    x, count = one(text_input, sentence)
    assert np.isfinite(x).all()
    assert 2 <= count <= TOKENS


def test_batch_holds_each_sentence_in_order(text_input: TextInput) -> None:
    sentences = ["a dog", "", "two people on a bench by the sea " * 9]
    batch = text_input.inputs(sentences)
    for number, sentence in enumerate(sentences):
        np.testing.assert_array_equal(batch["x"][number], one(text_input, sentence)[0])
    np.testing.assert_array_equal(batch["mask"].sum(1), [4, 2, TOKENS])


@pytest.mark.parametrize("missing", [1, 216, 10_000])
def test_table_that_lost_its_end_is_refused_with_both_sizes(missing: int, copied: Path, spec: TextPreprocess) -> None:
    table = copied / spec.table
    size = table.stat().st_size - missing
    table.write_bytes(table.read_bytes()[:size])
    vocabulary = Tokenizer.from_file(str(copied / spec.tokenizer)).get_vocab_size()
    said = f"{table} has {size} bytes, {vocabulary} tokens need {row_bytes(spec.width, spec.group)} each: convert again"
    with pytest.raises(BundleError, match=f"^{re.escape(said)}$"):
        TextInput(copied, spec)


def test_empty_table_is_refused(copied: Path, spec: TextPreprocess) -> None:
    (copied / spec.table).write_bytes(b"")
    with pytest.raises(BundleError, match=r"tokens\.int4 has 0 bytes"):
        TextInput(copied, spec)


def test_positions_of_another_length_are_refused(copied: Path, spec: TextPreprocess) -> None:
    positions = copied / spec.positions
    positions.write_bytes(positions.read_bytes() * 2)
    said = f"{positions} has {2 * TOKENS * 4 * spec.width} bytes, 32 tokens need {4 * spec.width} each: convert again"
    with pytest.raises(BundleError, match=f"^{re.escape(said)}$"):
        TextInput(copied, spec)


def test_file_that_is_no_tokenizer_is_refused(copied: Path, spec: TextPreprocess) -> None:
    (copied / spec.tokenizer).write_text("{}", encoding="utf-8")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not a tokenizer \(.+\): convert again"):
        TextInput(copied, spec)
