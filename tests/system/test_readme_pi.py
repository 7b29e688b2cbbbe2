"""The README's way onto a Raspberry Pi, walked: its commands run as they stand there, and print what is shown there."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from board import APT, CHECKOUT, PIP, Board, Command, may_be, new_board, read_transcript
from edge.config import load_config
from edge.demo import DEMO_PICTURES
from edge.mqtt import Topics
from programs import program

SECTION = (
    (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("\n## On a Raspberry Pi\n")[2].split("\n## ")[0]
)
BROKERS = ("reminisce.passwd", "reminisce.acl", "certs/server.key")


def blocks(kind: str) -> list[str]:
    """The fenced blocks of the section of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


COMMANDS = [command for block in blocks("console") for command in read_transcript(block)]


def rows() -> dict[str, str]:
    """What to do, for what."""
    table = SECTION.partition("| for | do |\n| --- | --- |\n")[2].partition("\n\n")[0]
    return dict(line.strip("| ").split(" | ", 1) for line in table.splitlines())


def in_code(text: str, start: str) -> list[str]:
    """All that is set as code and starts so."""
    return [code for code in re.findall(r"`([^`]+)`", text) if code.startswith(start)]


@dataclass(frozen=True, slots=True)
class Walk:
    """A board on which all commands were run, and what each of them printed."""

    board: Board
    printed: dict[Command, str]


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    """A board from the first command to the last."""
    for needed in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr"):
        program(needed, "mosquitto-clients")
    with new_board() as board:
        printed: dict[Command, str] = {}
        for command in COMMANDS:
            if command.text == "sudo systemctl restart mosquitto":
                write_configs(board)
            printed[command] = board.obey(command.text)
            if "~/.config/mosquitto_$name" in command.text:
                for name in ("pub", "sub", "rr"):
                    with board.path(f"~/.config/mosquitto_{name}").open("a", encoding="utf-8") as options:
                        options.write(f"-p {board.broker.port}\n")
        yield Walk(board, printed)


def write_configs(board: Board) -> None:
    """Each file of the block begins with its place."""
    (block,) = blocks("yaml")
    parts = re.split(r"^# ([^\s,]+).*\n", block, flags=re.MULTILINE)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        board.write(name, text)


def pattern(shown: str) -> str:
    """What a shown output stands for: an ellipsis for anything, figures and days for others of their kind."""
    figures = r"(\d{4}-\d\d-\d\d|\d+\.\d+|\d+(?= ms))|(…)"
    ways = {"-": r"\\d{4}-\\d\\d-\\d\\d", ".": r"\\d+(\\.\\d+)?", "": r"\\d+"}
    out, last = [], 0
    for found in re.finditer(figures, shown):
        out.append(re.escape(shown[last : found.start()]))
        mark = "-" if "-" in found[0] else "." if "." in found[0] else ""
        out.append("(?s:.*)" if found[2] else ways[mark].replace("\\\\", "\\"))
        last = found.end()
    return "".join([*out, re.escape(shown[last:])])


def test_every_command_prints_what_is_shown(walk: Walk) -> None:
    assert len(walk.printed) > 15
    for command, printed in walk.printed.items():
        assert re.fullmatch(pattern(command.shown), printed), (
            f"$ {command.text}\n{printed}\ninstead of\n{command.shown}"
        )


def test_output_that_differs_in_a_word_would_be_found() -> None:
    shown = '1. beach.jpg  score 0.62, 2026-11-25\n{"v":1,"item":"30da…","ms":5.02}'
    assert re.fullmatch(pattern(shown), shown.replace("0.62", "0.7").replace("…", "49").replace("-25", "-26"))
    assert not re.fullmatch(pattern(shown), shown.replace("beach", "dunes"))
    assert not re.fullmatch(pattern(shown), shown.replace('"v":1', '"v":2'))


def test_command_goes_on_until_the_shell_takes_it_for_complete() -> None:
    text = "$ (cd x\n   ls)\n  one\n$ echo a \\\n  b\na b\n"
    assert list(read_transcript(text)) == [Command("(cd x\n   ls)", "  one"), Command("echo a \\\n  b", "a b")]


def test_only_apt_and_pip_are_not_run() -> None:
    left = [command.text for command in COMMANDS if command.text.startswith((APT, PIP))]
    assert left == [
        "sudo apt install python3-venv mosquitto mosquitto-clients openssl",
        "python3 -m venv /opt/reminisce && /opt/reminisce/bin/pip install .",
    ]


def test_what_belongs_to_the_system_is_changed_with_sudo_and_nothing_else_is() -> None:
    # A test that root runs would not notice. Only asking for the status is everybody's.
    systems = re.compile(r"/(etc|usr)/|\bapt |systemctl (?!status)|install -d -o")
    for text in (command.text for command in COMMANDS):
        assert text.startswith("sudo ") == bool(systems.search(text)), text


def test_photo_was_remembered_under_the_id_that_is_shown(walk: Walk) -> None:
    item = hashlib.sha256((DEMO_PICTURES / "picos-de-europa.jpg").read_bytes()).hexdigest()
    replies = [json.loads(text) for text in walk.printed.values() if text.startswith('{"v":1,"final"')]
    assert [reply["results"][0]["item"] for reply in replies] == [item]
    held = walk.board.root / "var" / "lib" / "reminisce"
    assert (held / "content" / item[:2] / item).is_file()
    assert (held / "memory.db").is_file()


def test_passwords_and_keys_are_for_their_owners_alone(walk: Walk) -> None:
    places = ["/etc/reminisce/mqtt.password", *(f"/etc/mosquitto/{name}" for name in BROKERS)]
    own = walk.board.path("~/.config/reminisce")
    files = [*map(walk.board.path, places), *own.glob("*.password"), *own.glob("*.key"), own / "passwd"]
    options = [walk.board.path(f"~/.config/mosquitto_{name}") for name in ("pub", "sub", "rr")]
    assert len(files) == 10
    assert [str(file) for file in [*files, *options] if stat.S_IMODE(file.stat().st_mode) & 0o007] == []
    assert stat.S_IMODE(walk.board.path("/etc/reminisce/mqtt.password").stat().st_mode) == 0o600


@pytest.mark.skipif(not may_be("mosquitto"), reason="only root, where mosquitto has a user, can look as that user")
@pytest.mark.parametrize("name", BROKERS)
def test_broker_that_has_become_its_own_user_can_read_its_files(walk: Walk, name: str) -> None:
    own = [program("setpriv", "util-linux"), "--reuid=mosquitto", "--regid=mosquitto", "--init-groups"]
    file = walk.board.path(f"/etc/mosquitto/{name}")
    assert subprocess.run([*own, "test", "-r", str(file)], check=False).returncode == 0


def test_no_password_is_the_same_and_none_lies_about_in_the_clear(walk: Walk) -> None:
    own = walk.board.path("~/.config/reminisce")
    passwords = {user: (own / f"{user}.password").read_text().strip() for user in ("dev1", "app", "owner")}
    assert len(set(passwords.values())) == 3
    assert {len(password) for password in passwords.values()} == {32}
    assert not [word for word in passwords.values() if word in (own / "passwd").read_text()]


def test_certificates_pass_the_strictest_check_and_name_the_board(walk: Walk) -> None:
    certs = walk.board.path("/etc/mosquitto/certs/x").parent
    check = [program("openssl", "openssl"), "verify", "-x509_strict", "-purpose", "sslserver"]
    for name in ("localhost", f"{walk.board.run('hostname')}.local"):
        words = [*check, "-verify_hostname", name, "-CAfile", str(certs / "ca.crt"), str(certs / "server.crt")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = walk.board.run(f"openssl x509 -in {certs}/ca.crt -noout -text")
    assert "NIST CURVE: P-256" in shown
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE" in shown


def test_another_machine_hears_over_the_network_that_the_device_is_online(walk: Walk, tmp_path: Path) -> None:
    (command,) = in_code(rows()["another machine"], "mosquitto_sub")
    for name in in_code(rows()["another machine"].partition(":")[0], ""):
        (tmp_path / name).write_bytes(walk.board.path(f"~/.config/reminisce/{name}").read_bytes())
    assert walk.board.run(command, here=tmp_path, HOME=str(tmp_path)) == "online"


def test_status_can_be_asked_by_the_user_whose_file_is_shown(walk: Walk) -> None:
    (command,) = in_code(rows()["a look"], "reminisce ")
    assert walk.board.run(command).startswith("dev1 is online\n")


@pytest.mark.parametrize("key", ["a broker elsewhere", "no TCP at all", "photos on its disk"])
def test_settings_of_the_table_are_settings(tmp_path: Path, key: str) -> None:
    settings = [*in_code(rows()[key], "mqtt: {"), *in_code(rows()[key], "remember: {")]
    assert settings
    (tmp_path / "config.yaml").write_text("\n".join(settings), encoding="utf-8")
    load_config(tmp_path / "config.yaml")


def test_lines_for_the_drop_in_are_lines_of_systemd(tmp_path: Path) -> None:
    lines = re.findall(r"`([A-Z][A-Za-z]+=[^`]+)`", SECTION)
    assert len(lines) == 4
    daemon = tmp_path / "reminisce"
    daemon.write_text("#!/bin/sh\n", encoding="utf-8")
    daemon.chmod(0o755)
    unit = (CHECKOUT / "systemd" / "reminisce.service").read_text(encoding="utf-8")
    unit = unit.replace("/opt/reminisce/bin/reminisce", str(daemon)).replace(
        "\n[Install]", "\n".join([*lines, "", "[Install]"])
    )
    (tmp_path / "reminisce.service").write_text(unit, encoding="utf-8")
    words = [program("systemd-analyze", "systemd"), "verify", str(tmp_path / "reminisce.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "reminisce" in line] == []


def test_path_of_the_table_is_taken_below_its_root(walk: Walk) -> None:
    row = rows()["photos on its disk"]
    (command,), (roots,) = in_code(row, "mosquitto_pub"), in_code(row, "remember:")
    shown = "/home/me/Pictures/beach.jpg"
    assert shown in command
    photo = walk.board.path(shown)
    photo.parent.mkdir(exist_ok=True)
    photo.write_bytes((DEMO_PICTURES / "boats-in-nagasaki.jpg").read_bytes())
    config = walk.board.path("/etc/reminisce/config.yaml")
    config.write_text(f"{config.read_text()}{walk.board.place(roots)}\n", encoding="utf-8")
    walk.board.reload()
    walk.board.obey("mosquitto_sub -t reminisce/dev1/event -C 1 &")
    assert json.loads(walk.board.obey(command))["type"] == "accepted"


def test_files_of_the_table_are_where_it_says(walk: Walk) -> None:
    text = walk.board.path("/etc/mosquitto/conf.d/reminisce.conf").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("autosave")]
    assert "the two `autosave` lines of `/etc/mosquitto/conf.d/reminisce.conf`" in rows()["a card that lasts"]
    assert len(lines) == 2


def test_topics_of_the_table_are_those_of_the_protocol() -> None:
    topics = Topics("dev1")
    named = SECTION.partition("| below `reminisce/dev1/` |")[2].partition("\n\n")[0]
    shown = {name for row in named.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}
    said = {topics.raw("image"), topics.raw("text"), topics.ingest, topics.event, topics.query, topics.control}
    said |= {topics.status, topics.info, topics.state, topics.reply("<client id>", "…")}
    assert {f"{topics.base}/{name}" for name in shown} == said
    assert "(edge/mqtt/PROTOCOL.md)" in named
