"""Texts for the 1,000 ImageNet-1k classes, in the order of EfficientNet-Lite0's outputs.

`load_class_texts` reads the packaged table; `python -m converter.data.class_texts --help` tells how
the table is made anew from torchvision, timm and WordNet.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from collections import Counter
from dataclasses import astuple, dataclass, fields, replace
from importlib import resources
from pathlib import Path

CLASS_COUNT = 1000
HYPERNYM = "@"
TOO_WIDE = 300  # classes: "artifact" and "vertebrate" tell next to nothing, "vehicle" and "bird" do
NAMES_MEMBER = "torchvision/models/_meta.py"
SYNSETS_MEMBER = "timm/data/_info/imagenet_synsets.txt"

EXAMPLE = """\
example, with the versions that the committed table was made from:
  pip download --no-deps torchvision==0.28.0 timm==1.0.31
  apt-get update && apt-get download wordnet-base=1:3.0-37
  dpkg -x wordnet-base_*.deb wordnet
  python -m converter.data.class_texts --names torchvision-0.28.0-*.whl \\
      --synsets timm-1.0.31-*.whl --wordnet wordnet --out converter/data/class_texts.tsv
"""


class ClassTextError(ValueError):
    """A source, or the packaged table, is not what it has to be."""


@dataclass(frozen=True, slots=True)
class ClassText:
    """What torchvision and WordNet say of one class; the fields are the table's columns."""

    wnid: str
    name: str
    synonyms: str
    kind: str
    kinds: str
    gloss: str

    def texts(self) -> tuple[str, str, str, str, str]:
        """Return the five texts that describe the class: name, synonyms, name with kind, wider kinds, gloss."""
        return self.name, self.synonyms, f"{self.name}, a kind of {self.kind}", self.kinds, self.gloss


@dataclass(frozen=True, slots=True)
class Synset:
    """One noun sense of WordNet: its words, the offset of its first hypernym, its definition."""

    lemmas: tuple[str, ...]
    hypernym: str | None
    gloss: str


HEADER = "\t".join(field.name for field in fields(ClassText))


def load_class_texts() -> tuple[ClassText, ...]:
    """Read the packaged table: one entry for each output of the classifier, in its order."""
    table = resources.files("converter.data").joinpath("class_texts.tsv")
    return parse_table(table.read_text(encoding="utf-8"))


def parse_table(table: str) -> tuple[ClassText, ...]:
    """Parse the table's text, refusing one that has not exactly 1,000 rows."""
    lines = table.removesuffix("\n").split("\n")
    if lines[0] != HEADER or any(line.count("\t") != HEADER.count("\t") for line in lines):
        msg = f"the table of class texts has not the columns {HEADER.split()} in each line"
        raise ClassTextError(msg)
    rows = require_all(lines[1:], "the table of class texts", "rows")
    return tuple(ClassText(*row.split("\t")) for row in rows)


def format_table(class_texts: list[ClassText]) -> str:
    """Lay out class texts as the table that `parse_table` reads."""
    rows = ["\t".join(astuple(class_text)) for class_text in class_texts]
    return "\n".join([HEADER, *rows, ""])


def require_all(entries: list[str], source: str, noun: str) -> list[str]:
    """Return the entries if there is one for each class."""
    if len(entries) != CLASS_COUNT:
        msg = f"{source} has {len(entries)} {noun}, not {CLASS_COUNT}"
        raise ClassTextError(msg)
    return entries


def parse_synset(line: str) -> Synset:
    """Parse one line of WordNet's data.noun: words and pointers, then ` | ` and the gloss."""
    head, _, gloss = line.partition(" | ")
    columns = head.split()
    try:
        words_end = 4 + 2 * int(columns[3], 16)
        pointers = columns[words_end + 1 :][: 4 * int(columns[words_end])]
        pairs = zip(pointers[::4], pointers[1::4], strict=True)
        hypernym = next((offset for symbol, offset in pairs if symbol == HYPERNYM), None)
    except (IndexError, ValueError):
        msg = f"not a line of WordNet's data.noun: {line[:60]!r}"
        raise ClassTextError(msg) from None
    lemmas = tuple(word.replace("_", " ") for word in columns[4:words_end:2])
    return Synset(lemmas, hypernym, definition(gloss))


def definition(gloss: str) -> str:
    """Return a gloss without the quoted examples that follow its definition."""
    return " ".join(gloss.partition('; "')[0].split())


def find_synset(nouns: dict[str, str], offset: str) -> Synset:
    """Return the synset at an offset of data.noun."""
    if offset not in nouns:
        msg = f"WordNet has no noun at offset {offset}: is it version 3.0?"
        raise ClassTextError(msg)
    return parse_synset(nouns[offset])


def find_kinds(synset: Synset, nouns: dict[str, str]) -> list[str]:
    """Return the first words of all hypernyms, the nearest first."""
    kinds = []
    while synset.hypernym is not None:
        synset = find_synset(nouns, synset.hypernym)
        kinds.append(synset.lemmas[0])
    return kinds


def describe_class(name: str, wnid: str, nouns: dict[str, str]) -> ClassText:
    """Join what the three sources say of one class; `kinds` holds all of them, however wide."""
    synset = find_synset(nouns, wnid.removeprefix("n"))
    synonyms = ", ".join(synset.lemmas)
    if not any(f"{name} ".startswith(f"{lemma} ") for lemma in synset.lemmas):  # as "crane bird" with "crane"
        msg = f"class {name!r} is none of the words of {wnid} ({synonyms}): the orders differ"
        raise ClassTextError(msg)
    if synset.hypernym is None:
        msg = f"class {name!r} ({wnid}) has no hypernym in WordNet"
        raise ClassTextError(msg)
    kinds = find_kinds(synset, nouns)
    return ClassText(wnid, name, synonyms, kinds[0], ", ".join(kinds), synset.gloss)


def leave_out_wide_kinds(class_texts: list[ClassText]) -> list[ClassText]:
    """Drop the kinds that too many classes share; the nearest kind stays where all are too wide."""
    counts = Counter(kind for entry in class_texts for kind in set(entry.kinds.split(", ")))
    narrow = ([kind for kind in entry.kinds.split(", ") if counts[kind] <= TOO_WIDE] for entry in class_texts)
    return [
        replace(entry, kinds=", ".join(kinds) or entry.kind) for entry, kinds in zip(class_texts, narrow, strict=True)
    ]


def read_source(path: Path, member: str) -> str:
    """Read a text file, or the named member where the path is a wheel."""
    try:
        if not zipfile.is_zipfile(path):
            return path.read_text(encoding="utf-8")
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member).decode("utf-8")
    except (KeyError, UnicodeDecodeError, zipfile.BadZipFile):
        msg = f"{path} is neither a text file nor a wheel that holds {member}"
        raise ClassTextError(msg) from None


def read_names(path: Path) -> list[str]:
    """Read the class names from torchvision's _meta.py or wheel, without running it."""
    source = read_source(path, NAMES_MEMBER)
    listing = source.partition("\n_IMAGENET_CATEGORIES = [\n")[2].partition("\n]\n")[0]
    names = re.findall(r'^ *"(.+)",$', listing, re.MULTILINE)
    return require_all(names, str(path), "ImageNet class names")


def read_wnids(path: Path) -> list[str]:
    """Read the synset ids from timm's wheel or from its list of them."""
    return require_all(read_source(path, SYNSETS_MEMBER).split(), str(path), "synset ids")


def read_nouns(directory: Path) -> dict[str, str]:
    """Map each offset to its line in data.noun, of WordNet's dict folder or the extracted package."""
    installed = directory / "usr/share/wordnet/data.noun"
    path = installed if installed.exists() else directory / "data.noun"
    lines = read_source(path, path.name).split("\n")
    return {line[:8]: line for line in lines if line[:8].isdigit()}


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m converter.data.class_texts",
        description="Make the table of texts for the 1,000 ImageNet-1k classes.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--names", type=Path, required=True, help="torchvision's wheel or _meta.py")
    parser.add_argument("--synsets", type=Path, required=True, help="timm's wheel")
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet's folder, or its package's")
    parser.add_argument("--out", type=Path, required=True, help="file to write, tab-separated")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Make the table; return 0, or 2 after one line on the error stream."""
    options = parse_arguments(arguments)
    try:
        nouns = read_nouns(options.wordnet)
        classes = zip(read_names(options.names), read_wnids(options.synsets), strict=True)
        table = format_table(leave_out_wide_kinds([describe_class(name, wnid, nouns) for name, wnid in classes]))
        options.out.write_text(table, encoding="utf-8", newline="\n")
    except (ClassTextError, OSError) as error:
        sys.stderr.write(f"class_texts: error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
