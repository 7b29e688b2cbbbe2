"""`reminisce check`: what the daemon would run with, or why it would refuse to start."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from commands import Finished, run
from edge.bundle import MANIFEST, Bundle
from edge.config import DEMO_BUNDLE
from edge.runtime import choose_runtime, installed_runtimes


def check(tmp_path: Path, config: str, *arguments: str, **environ: str) -> Finished:
    file = tmp_path / "config.yaml"
    file.write_text(config, encoding="utf-8")
    return run("check", "--config", file, *arguments, environ=environ)


def refused(tmp_path: Path, config: str) -> tuple[int, str]:
    """Exit code and errors; nothing else is said."""
    done = check(tmp_path, config)
    assert done.out == ""
    return done.code, done.err


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """The shipped bundle, free to be damaged."""
    shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_good_config_is_told_with_all_that_it_leads_to(tmp_path: Path, bundle: Bundle) -> None:
    done = check(tmp_path, "{device: shelf, state: /var/memory, mqtt: {host: broker.lan}}")
    assert (done.code, done.err) == (0, "")
    *lines, last = done.out.splitlines()
    assert last == "all right"
    assert dict(line.split(None, 1) for line in lines) == {
        "config": str(tmp_path / "config.yaml"),
        "device": "shelf",
        "state": "/var/memory",
        "bundle": str(DEMO_BUNDLE),
        "model": bundle.manifest.model,
        "files": str(len(bundle.manifest.files)),
        "runtime": choose_runtime("auto"),
        "broker": "broker.lan:1883, MQTT 5",
    }


def test_model_that_does_not_fit_in_the_limit_is_refused(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "memory: {limit_mb: 50, weights: resident}")
    assert code == 2
    assert said.startswith("reminisce: memory.weights is resident, which takes some ")
    assert "memory.limit_mb is 50: set memory.weights to auto or streamed" in said


def test_json_has_the_same_facts(tmp_path: Path) -> None:
    done = check(tmp_path, "{mqtt: {socket: /run/mqtt.sock, protocol: 3.1.1}}", "--json", HOME="/home/somebody")
    assert (done.code, done.err) == (0, "")
    (found,) = done.objects
    assert list(found) == ["config", "device", "state", "bundle", "model", "files", "runtime", "broker"]
    assert found["state"] == "/home/somebody/.local/share/reminisce"
    assert found["broker"] == "/run/mqtt.sock, MQTT 3.1.1"


def test_folder_that_systemd_gives_is_told(tmp_path: Path) -> None:
    done = check(tmp_path, "", "--json", STATE_DIRECTORY="/var/lib/reminisce")
    assert done.objects[0]["state"] == "/var/lib/reminisce"


def test_damaged_file_of_a_bundle_is_named(tmp_path: Path, bundle_copy: Path) -> None:
    damaged = bundle_copy / next(name for name in json.loads((bundle_copy / MANIFEST).read_text())["files"])
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    said = f"{damaged} does not match its checksum in the manifest: copy it again, or convert again"
    assert refused(tmp_path, f"bundle: {bundle_copy}") == (1, f"reminisce: {said}\n")


def test_missing_file_of_a_bundle_is_named(tmp_path: Path, bundle_copy: Path) -> None:
    (bundle_copy / "text" / "tokens.int4").unlink()
    code, errors = refused(tmp_path, f"bundle: {bundle_copy}")
    assert code == 1
    assert errors.startswith(f"reminisce: {bundle_copy / 'text' / 'tokens.int4'} cannot be read (No such file")


def test_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    said = f"reminisce: {tmp_path} is not a bundle: it has no manifest.json\n"
    assert refused(tmp_path, f"bundle: {tmp_path}") == (1, said)


def test_bundle_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    said = f"reminisce: bundle: {tmp_path / 'missing'} is not a folder\n"
    assert refused(tmp_path, f"bundle: {tmp_path / 'missing'}") == (2, said)


def test_exit_depth_that_does_not_exist_is_a_usage_error_that_lists_the_exits(tmp_path: Path, bundle: Bundle) -> None:
    exits = ", ".join(str(place.depth) for place in bundle.manifest.tower("image").exits)
    said = f"reminisce: remember.exit_depth: no exit at depth 4: there are {exits}\n"
    assert refused(tmp_path, "remember: {exit_depth: 4}") == (2, said)


def test_runtime_that_is_not_installed_is_named_with_what_to_install(tmp_path: Path) -> None:
    missing = {"ai-edge-litert", "tflite-runtime"} - set(installed_runtimes())
    if not missing:
        pytest.skip("both runtimes are installed")
    (name,) = missing
    said = f"reminisce: no TFLite runtime {name!r} is installed: run `pip install {name}`\n"
    assert refused(tmp_path, f"runtime: {{backend: {name}}}") == (1, said)


def with_password(file: Path) -> str:
    return f"mqtt: {{username: dev1, password_file: {file}}}"


def test_password_that_others_can_read_is_refused_with_what_to_run(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    assert check(tmp_path, with_password(file)).code == 0
    file.chmod(0o640)
    said = f"reminisce: mqtt.password_file: {file} can be read by others: run `chmod 600 {file}`\n"
    assert refused(tmp_path, with_password(file)) == (2, said)


def test_password_that_is_not_there_is_refused(tmp_path: Path) -> None:
    code, errors = refused(tmp_path, with_password(tmp_path / "missing"))
    assert code == 2
    assert errors.startswith(f"reminisce: mqtt.password_file: {tmp_path / 'missing'} cannot be read: ")


def test_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate", encoding="utf-8")
    for name in ("ca.crt", "missing.crt"):
        code, errors = refused(tmp_path, f"mqtt: {{tls_ca: {tmp_path / name}}}")
        assert code == 2
        assert re.match(rf"reminisce: mqtt\.tls_ca: {re.escape(str(tmp_path / name))} cannot be used: .+\n$", errors)
