"""The table of class texts and the script that makes it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from converter.data import class_texts
from converter.data.class_texts import (
    ClassText,
    ClassTextError,
    load_class_texts,
    main,
    parse_synset,
    parse_table,
)

# Lines of WordNet 3.0's data.noun, as they are there.
TENCH = (
    "01440764 05 n 02 tench 0 Tinca_tinca 0 002 @ 01439121 n 0000 #m 01440655 n 0000 | freshwater dace-like "
    "game fish of Europe and western Asia noted for ability to survive outside water  "
)
ASHCAN = (
    "02747177 06 n 0a ashcan 0 trash_can 0 garbage_can 0 wastebin 0 ash_bin 0 ash-bin 0 ashbin 0 dustbin 0 "
    "trash_barrel 0 trash_bin 0 001 @ 02839910 n 0000 | a bin that holds rubbish until it is collected  "
)
DINING_TABLE = (
    "03201208 06 n 02 dining_table 0 board 1 009 @ 04379964 n 0000 + 02656763 v 0201 + 01177136 v 0201 "
    "+ 01176915 v 0201 ~ 03201035 n 0000 ~ 03202354 n 0000 ~ 03519674 n 0000 ~ 04067921 n 0000 "
    "~ 04481524 n 0000 | a table at which meals are served; "
    '"he helped her clear the dining table"; "a feast was spread upon the board"  '
)
CRANE = (
    "03126707 06 n 01 crane 0 004 @ 03664675 n 0000 ~ 03164929 n 0000 ~ 03178430 n 0000 ~ 04473884 n 0000 | "
    "lifts and moves heavy objects; lifting tackle is suspended from a pivoted boom that rotates around a "
    "vertical axis  "
)
ENTITY = (
    "00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ~ 00002137 n 0000 ~ 04424418 n 0000 | that which is "
    "perceived or known or inferred to have its own distinct existence (living or nonliving)  "
)


class Sources:
    """Small stand-ins for the three sources: a thousand things, each a kind of thing."""

    def __init__(self, folder: Path) -> None:
        self.names = folder / "_meta.py"
        self.synsets = folder / "timm.whl"
        self.wordnet = folder / "wordnet"
        self.out = folder / "class_texts.tsv"
        self.write_names([f"thing {index}" for index in range(1000)])
        self.write_synsets([f"n{index:08}" for index in range(1000)])
        self.write_nouns(
            [f"{index:08} 06 n 01 thing_{index} 0 001 @ 09999999 n 0000 | a" for index in range(1000)],
        )

    def write_names(self, names: list[str]) -> None:
        listing = "".join(f'    "{name}",\n' for name in names)
        self.names.write_text(
            f'"""Private."""\n\n_IMAGENET_CATEGORIES = [\n{listing}]\n_OTHER = [\n    "x",\n]\n',
        )

    def write_synsets(self, wnids: list[str], member: str = class_texts.SYNSETS_MEMBER) -> None:
        with zipfile.ZipFile(self.synsets, "w") as wheel:
            wheel.writestr(member, "\n".join(wnids) + "\n")

    def write_nouns(self, lines: list[str]) -> None:
        self.wordnet.mkdir(exist_ok=True)
        lines = ["  1 This software and database", *lines, "09999999 06 n 02 any_thing 0 it 0 000 | all"]
        (self.wordnet / "data.noun").write_text("\n".join(lines) + "\n")

    def make_table(self) -> int:
        return main(
            [f"--{option}={getattr(self, option)}" for option in ("names", "synsets", "wordnet", "out")],
        )


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def test_every_class_has_a_name_a_kind_and_a_gloss() -> None:
    texts = load_class_texts()
    assert len(texts) == 1000
    assert all(text.name and text.synonyms and text.kind and text.gloss for text in texts)


def test_every_class_has_a_synset_and_a_name_of_its_own() -> None:
    texts = load_class_texts()
    assert len({text.wnid for text in texts}) == 1000
    assert len({text.name for text in texts}) == 1000


def test_glosses_hold_no_quoted_examples() -> None:
    assert not [text for text in load_class_texts() if '"' in text.gloss]


@pytest.mark.parametrize(
    ("output", "wnid", "name", "kind"),
    [
        (0, "n01440764", "tench", "cyprinid"),
        (134, "n02012849", "crane bird", "wading bird"),
        (517, "n03126707", "crane", "lifting device"),
        (638, "n03710637", "maillot", "tights"),
        (639, "n03710721", "maillot tank suit", "swimsuit"),
        (999, "n15075141", "toilet tissue", "tissue"),
    ],
)
def test_classes_stand_in_the_order_of_the_outputs(output: int, wnid: str, name: str, kind: str) -> None:
    text = load_class_texts()[output]
    assert (text.wnid, text.name, text.kind) == (wnid, name, kind)


def test_a_class_is_described_by_five_texts() -> None:
    text = ClassText("n01440764", "tench", "tench, Tinca tinca", "cyprinid", "cyprinid, fish", "freshwater game fish")
    assert text.texts() == (
        "tench",
        "tench, Tinca tinca",
        "tench, a kind of cyprinid",
        "cyprinid, fish",
        "freshwater game fish",
    )


def test_packaged_table_is_laid_out_as_the_script_lays_it_out() -> None:
    packaged = Path(class_texts.__file__).with_name("class_texts.tsv").read_bytes()
    assert packaged == class_texts.format_table(list(load_class_texts())).encode()


def test_a_table_of_too_few_rows_is_refused() -> None:
    with pytest.raises(ClassTextError, match=r"has 1 rows, not 1000"):
        parse_table(f"{class_texts.HEADER}\nn01440764\ttench\ttench\tcyprinid\tcyprinid\ta fish\n")


@pytest.mark.parametrize("table", ["", "wnid\tname\n", f"{class_texts.HEADER}\nn01440764\ttench\n"])
def test_a_table_of_other_columns_is_refused(table: str) -> None:
    with pytest.raises(ClassTextError, match="has not the columns"):
        parse_table(table)


def test_parser_reads_a_wordnet_line_with_two_lemmas() -> None:
    synset = parse_synset(TENCH)
    assert synset.lemmas == ("tench", "Tinca tinca")
    assert synset.hypernym == "01439121"
    assert synset.gloss.startswith("freshwater dace-like game fish")
    assert synset.gloss.endswith("survive outside water")


def test_parser_reads_the_number_of_lemmas_as_hexadecimal() -> None:
    synset = parse_synset(ASHCAN)
    assert len(synset.lemmas) == 10
    assert synset.lemmas[-1] == "trash bin"
    assert synset.hypernym == "02839910"


def test_parser_leaves_the_quoted_examples_out() -> None:
    assert parse_synset(DINING_TABLE).gloss == "a table at which meals are served"


def test_parser_keeps_a_definition_of_two_parts() -> None:
    assert parse_synset(CRANE).gloss.startswith("lifts and moves heavy objects; lifting tackle is")


def test_parser_finds_no_hypernym_where_there_is_none() -> None:
    assert parse_synset(ENTITY).hypernym is None


@pytest.mark.parametrize("line", ["", "01440764 05 n 02 tench 0", "01440764 05 n zz tench 0 000 | a fish"])
def test_parser_refuses_a_line_of_another_format(line: str) -> None:
    with pytest.raises(ClassTextError, match=r"not a line of WordNet's data\.noun"):
        parse_synset(line)


def test_script_joins_the_three_sources(sources: Sources) -> None:
    assert sources.make_table() == 0
    texts = parse_table(sources.out.read_text())
    assert texts[7] == ClassText("n00000007", "thing 7", "thing 7", "any thing", "any thing", "a")


def test_wider_kinds_name_vehicles_but_not_artifacts() -> None:
    warplane = load_class_texts()[895]
    assert warplane.kinds == "heavier-than-air craft, aircraft, craft, vehicle, conveyance"


def test_kinds_that_too_many_classes_share_are_left_out(sources: Sources) -> None:
    """A thing is a thing, and everything is something: the nearest kind alone stays."""
    assert sources.make_table() == 0
    assert {text.kinds for text in parse_table(sources.out.read_text())} == {"any thing"}


def test_script_reads_the_extracted_debian_package(sources: Sources) -> None:
    installed = sources.wordnet / "usr/share/wordnet"
    installed.mkdir(parents=True)
    (sources.wordnet / "data.noun").rename(installed / "data.noun")
    assert sources.make_table() == 0


def test_script_accepts_a_name_that_adds_a_word_to_a_lemma(sources: Sources) -> None:
    sources.write_names(["thing 0 bird", *(f"thing {index}" for index in range(1, 1000))])
    assert sources.make_table() == 0


def fails_with_one_line(sources: Sources, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the script, check how it fails, and return what it says."""
    assert sources.make_table() == 2
    assert not sources.out.exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("class_texts: error: ")
    return line.removeprefix("class_texts: error: ")


def test_missing_names_are_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.names.unlink()
    assert "No such file or directory" in fails_with_one_line(sources, capsys)


def test_too_few_names_are_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_names(["thing 0"])
    told = fails_with_one_line(sources, capsys)
    assert told == f"{sources.names} has 1 ImageNet class names, not 1000"


def test_a_wheel_of_another_package_is_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_synsets([], member="other/file.txt")
    told = fails_with_one_line(sources, capsys)
    assert told == f"{sources.synsets} is neither a text file nor a wheel that holds {class_texts.SYNSETS_MEMBER}"


def test_a_folder_without_wordnet_is_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    (sources.wordnet / "data.noun").unlink()
    assert "data.noun" in fails_with_one_line(sources, capsys)


def test_another_version_of_wordnet_is_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_nouns([TENCH])
    told = fails_with_one_line(sources, capsys)
    assert told == "WordNet has no noun at offset 00000000: is it version 3.0?"


def test_another_order_of_synsets_is_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_synsets([f"n{index:08}" for index in reversed(range(1000))])
    told = fails_with_one_line(sources, capsys)
    assert told == "class 'thing 0' is none of the words of n00000999 (thing 999): the orders differ"


def test_a_class_without_hypernym_is_told(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    sources.write_nouns(["00000000 06 n 01 thing_0 0 000 | a thing"])
    assert fails_with_one_line(sources, capsys) == "class 'thing 0' (n00000000) has no hypernym in WordNet"


def test_a_call_without_sources_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([])
    assert exited.value.code == 2
    assert "--names" in capsys.readouterr().err


def test_help_tells_how_to_fetch_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(command in told for command in ("pip download", "apt-get download", "dpkg -x"))
