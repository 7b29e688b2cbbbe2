"""A config that is wrong: every command that reads it lists every problem, does nothing, and exits with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Finished, run

COMMANDS = {
    "add": ["picture.jpg"],
    "ask": ["a dog"],
    "check": [],
    "demo": ["--sheet", "sheet.html"],
    "run": [],
    "status": [],
}
each_command = pytest.mark.parametrize("command", COMMANDS)


def refused(command: str, here: Path, config: str | None) -> Finished:
    """It says nothing but errors, and leaves no file behind."""
    if config is not None:
        (here / "config.yaml").write_text(config, encoding="utf-8")
    before = list(here.iterdir())
    done = run(command, "--config", "config.yaml", *COMMANDS[command], here=here)
    assert (done.code, done.out) == (2, "")
    assert list(here.iterdir()) == before
    return done


@each_command
def test_every_problem_is_listed_with_its_file(command: str, tmp_path: Path) -> None:
    done = refused(command, tmp_path, "{runtime: {threads: 0}, recall: {pool: many}, bundel: x, mqtt: {port: 0}}")
    lines = done.err.removeprefix("reminisce: ").splitlines()
    assert sorted(lines) == [
        "config.yaml: bundel is not a key. Did you mean bundle?",
        "config.yaml: mqtt.port is 0: must be 1 to 65535",
        "config.yaml: recall.pool is 'many': must be a whole number",
        "config.yaml: runtime.threads is 0: must be 1 to 64",
    ]


@each_command
def test_config_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    done = refused(command, tmp_path, None)
    assert done.err.startswith("reminisce: config.yaml: cannot be read: ")
    assert "No such file or directory" in done.err


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("remember:\n  exit_dept: 8\n", "remember.exit_dept is not a key. Did you mean remember.exit_depth?"),
        ("mqtt: {password_file: /etc/password}", "mqtt.password_file needs username"),
        ("mqtt: {protocol: 4}", "mqtt.protocol is 4: must be one of 5, 3.1.1"),
        ("device: My Shelf", "device is 'My Shelf': must be 1 to 32 lower-case letters, digits and hyphens"),
        ("device: [", "is not YAML: "),
    ],
)
def test_problem_is_told_in_the_words_of_the_user(config: str, said: str, tmp_path: Path) -> None:
    assert refused("status", tmp_path, config).err.startswith(f"reminisce: config.yaml: {said}")


@pytest.mark.parametrize("command", ["add", "ask", "status", "run"])
def test_password_that_others_can_read_is_refused_before_anybody_is_asked(command: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    (tmp_path / "password").chmod(0o644)
    (tmp_path / "picture.jpg").touch()
    state = tmp_path / "state"
    done = refused(command, tmp_path, f"{{state: {state}, mqtt: {{username: app, password_file: password}}}}")
    said = "mqtt.password_file: password can be read by others: run `chmod 600 password`"
    assert done.err == f"reminisce: {said}\n"
