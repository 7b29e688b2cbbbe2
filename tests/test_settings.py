"""Which config a command reads when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli import settings


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The user's own file and the installed one; neither is there."""
    own, installed = tmp_path / "home" / ".config" / "reminisce" / "config.yaml", tmp_path / "etc" / "config.yaml"
    own.parent.mkdir(parents=True)
    installed.parent.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(settings, "INSTALLED", installed)
    return own, installed


def test_named_file_goes_before_all_others(places: tuple[Path, Path]) -> None:
    own, _ = places
    own.write_text("device: mine\n", encoding="utf-8")
    assert settings.config_file(Path("other.yaml")) == Path("other.yaml")


def test_users_own_file_goes_before_the_installed_one(places: tuple[Path, Path]) -> None:
    own, installed = places
    installed.write_text("device: boards\n", encoding="utf-8")
    assert settings.config_file(None) == installed
    own.write_text("device: mine\n", encoding="utf-8")
    assert settings.config_file(None) == own
    assert settings.settings(None).device == "mine"


@pytest.mark.usefixtures("places")
def test_without_any_file_the_defaults_hold() -> None:
    assert settings.config_file(None) is None
    assert settings.settings(None).device == "local"


def test_user_without_a_home_reads_the_installed_file(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, installed = places
    installed.write_text("device: boards\n", encoding="utf-8")
    monkeypatch.delenv("HOME")
    assert settings.config_file(None) == installed
