"""Where the password comes from, and who else may read it: nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import MqttConfig
from edge.errors import UsageError
from edge.mqtt import read_password


def password_file(folder: Path, content: bytes = b"secret\n", mode: int = 0o600) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "mqtt.password"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def named(file: Path) -> MqttConfig:
    return MqttConfig(username="dev1", password_file=str(file))


@pytest.mark.parametrize("content", [b"s\xc3\xa9cret: # 1", b"s\xc3\xa9cret: # 1\n", b"s\xc3\xa9cret: # 1\r\nmore\n"])
def test_password_is_the_first_line_of_the_file(tmp_path: Path, content: bytes) -> None:
    assert read_password(named(password_file(tmp_path, content)), None) == "sécret: # 1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o610, 0o601])
def test_password_file_that_others_may_use_is_refused_with_what_to_run(tmp_path: Path, mode: int) -> None:
    file = password_file(tmp_path, mode=mode)
    with pytest.raises(UsageError) as caught:
        read_password(named(file), None)
    assert str(caught.value) == f"mqtt.password_file: {file} can be read by others: run `chmod 600 {file}`"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_password_file_of_the_user_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert read_password(named(password_file(tmp_path, mode=mode)), None) == "secret"


def test_missing_password_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "none"
    with pytest.raises(UsageError, match=rf"^mqtt\.password_file: {file} cannot be read: .*No such file"):
        read_password(named(file), None)


def test_password_file_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = password_file(tmp_path, b"\xff\xfe")
    with pytest.raises(UsageError, match=rf"^mqtt\.password_file: {file} cannot be read: "):
        read_password(named(file), None)


def test_credentials_of_systemd_go_before_the_file_whatever_their_mode(tmp_path: Path) -> None:
    file = password_file(tmp_path / "etc", b"from the file")
    password_file(tmp_path / "credentials", b"from systemd\n", 0o440)
    assert read_password(named(file), tmp_path / "credentials") == "from systemd"
    assert read_password(MqttConfig(username="dev1"), tmp_path / "credentials") == "from systemd"


def test_credentials_without_a_password_leave_it_to_the_file(tmp_path: Path) -> None:
    file = password_file(tmp_path / "etc", b"from the file")
    assert read_password(named(file), tmp_path) == "from the file"


def test_without_a_file_or_a_name_there_is_no_password(tmp_path: Path) -> None:
    assert read_password(MqttConfig(username="dev1"), None) is None
    password_file(tmp_path)
    assert read_password(MqttConfig(), tmp_path) is None
