"""The README says what is there: commands, files, settings, figures."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

import converter.cli
from edge.bench.exits import ExitFigures, table
from edge.bundle import Bundle

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_make_command_of_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert {"demo", "test", "figures", "convert-env", "bundle"} <= named <= targets


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_folder_of_the_module_map_exists_and_none_is_left_out() -> None:
    named = set(re.findall(r"`((?:edge|converter)/[a-z]*/?)`", README))
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("edge/*/__init__.py")}
    assert packages <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_figures_have_the_columns_and_exits_that_the_benchmark_prints(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("image")
    nothing = [ExitFigures(place.depth, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 1.0) for place in tower.exits]
    header, rule, *rows = table(nothing, tower.exits, tower.layers).splitlines()
    assert f"{header}\n{rule}\n" in README
    for row in rows:
        assert f"\n{row.split(' |')[0]} |" in README


def test_extras_that_the_documents_name_exist() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    sources = [
        README,
        *(path.read_text() for folder in ("edge", "converter") for path in (ROOT / folder).rglob("*.py")),
    ]
    named = {name for source in sources for name in re.findall(r"(?:reminisce-edge|'\.)\[([a-z]+)\]", source)}
    assert {"annoy", "convert"} <= named <= set(parser["options.extras_require"])


@pytest.mark.parametrize("option", ["--photos", "--out"])
def test_options_that_the_readme_names_are_those_of_the_help(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        converter.cli.main(["demo", "--help"])
    assert option in README
    assert option in capsys.readouterr().out


def test_figures_name_data_machine_and_date() -> None:
    (note,) = re.findall(r"^Measured .*?\.$", README, re.MULTILINE | re.DOTALL)[:1]
    assert all(word in note for word in ("Flickr8k", "x86-64", "2026", "seed"))


def test_the_bundle_is_said_to_be_for_evaluation() -> None:
    assert "for evaluation" in README
    assert "not CLIP" in README
