from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from edge.bundle import Bundle
from edge.config import (
    CacheConfig,
    Config,
    I2cChip,
    IndexConfig,
    MemoryConfig,
    MeterName,
    RecallConfig,
    RememberConfig,
    RuntimeConfig,
    load_config,
)
from edge.errors import ConfigError, ReminisceError

KEYS = sorted(field.name for field in dataclasses.fields(Config))
LISTED = Path(__file__).parents[1] / "config.yaml"


def refusal_of(tmp_path: Path, text: str) -> ConfigError:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return caught.value


def test_listed_config_equals_the_defaults() -> None:
    assert load_config(LISTED) == Config()


def test_listed_config_names_every_key_and_no_other() -> None:
    listed = yaml.safe_load(LISTED.read_text(encoding="utf-8"))
    assert listed == json.loads(json.dumps(dataclasses.asdict(Config())))  # a tuple is a list in YAML


def test_listed_config_says_something_of_every_key() -> None:
    keys = [line for line in LISTED.read_text(encoding="utf-8").splitlines() if ": " in line]
    assert keys
    assert [line for line in keys if "#" not in line] == ["  username: null"]


def test_listed_config_names_the_exits_of_the_shipped_bundle(bundle: Bundle) -> None:
    depths = [place.depth for place in bundle.manifest.tower("image").exits]
    assert f"(demo: {', '.join(map(str, depths))})" in LISTED.read_text(encoding="utf-8")


def test_file_needs_only_the_keys_that_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("recall:\n  limit: 9\nbundle: /srv/bundle\n", encoding="utf-8")
    assert load_config(path) == Config(bundle="/srv/bundle", recall=RecallConfig(limit=9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runtime: {threads: 0}", "runtime.threads is 0: must be 1 to 64"),
        ("runtime: {threads: 65}", "runtime.threads is 65: must be 1 to 64"),
        ("memory: {limit_mb: 0}", "memory.limit_mb is 0: must be 1 to 1000000"),
        ("remember: {batch: 0}", "remember.batch is 0: must be 1 to 256"),
        ("remember: {batch: 257}", "remember.batch is 257: must be 1 to 256"),
        ("recall: {pool: -1}", "recall.pool is -1: must be 0 to 10000"),
        ("recall: {pool: 10001}", "recall.pool is 10001: must be 0 to 10000"),
        ("recall: {limit: 0}", "recall.limit is 0: must be 1 to 1000"),
        ("recall: {limit: 1001}", "recall.limit is 1001: must be 1 to 1000"),
        ("content: {max_mb: -1}", "content.max_mb is -1: must be 0 to 10000000"),
        ("content: {max_days: 0}", "content.max_days is 0: must be 1 to 100000"),
        ("cache: {max_mb: -1}", "cache.max_mb is -1: must be 0 to 1000000"),
        ("index: {annoy_from: 0}", "index.annoy_from is 0: must be 1 to 1000000000"),
        ("recall: {waiting: 0}", "recall.waiting is 0: must be 1 to 10000"),
        ("remember: {inbox_items: 0}", "remember.inbox_items is 0: must be 1 to 1000000"),
        ("remember: {inbox_mb: 0}", "remember.inbox_mb is 0: must be 1 to 1000000"),
        ("remember: {min_free_mb: -1}", "remember.min_free_mb is -1: must be 0 to 1000000"),
        ("mqtt: {port: 0}", "mqtt.port is 0: must be 1 to 65535"),
        ("mqtt: {keepalive_s: 4}", "mqtt.keepalive_s is 4: must be 5 to 3600"),
        ("mqtt: {session_s: -1}", "mqtt.session_s is -1: must be 0 to 31536000"),
        ("power: {interval_ms: 9}", "power.interval_ms is 9: must be 10 to 1000"),
        ("power: {interval_ms: 1001}", "power.interval_ms is 1001: must be 10 to 1000"),
        ("power: {idle_w: 0}", "power.idle_w is 0.0: must be more than 0, at most 1000"),
        ("power: {idle_w: .nan}", "power.idle_w is nan: must be more than 0, at most 1000"),
    ],
)
def test_value_out_of_its_range_is_refused_with_the_range(tmp_path: Path, text: str, problem: str) -> None:
    assert refusal_of(tmp_path, text).problems == (problem,)


@pytest.mark.parametrize(
    "text",
    [
        "runtime: {threads: 1}",
        "runtime: {threads: 64}",
        "memory: {limit_mb: 1}",
        "memory: {limit_mb: null, weights: streamed}",
        "remember: {batch: 256}",
        "recall: {pool: 0, limit: 1000}",
        "cache: {max_mb: 0}",
        "index: {annoy_from: 1}",
        "power: {interval_ms: 10, idle_w: 3}",
        "power: {interval_ms: 1000, idle_w: 2.75, meter: pmic-corrected}",
    ],
)
def test_value_at_the_end_of_its_range_is_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    load_config(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("recall: {limits: 5}", "recall.limits is not a key. Did you mean recall.limit?"),
        ("recal: {limit: 5}", "recal is not a key. Did you mean recall?"),
        ("alarm: {wake: hey}", f"alarm is not a key; the keys here are {', '.join(KEYS)}"),
        (
            "runtime: {backend: torch}",
            "runtime.backend is 'torch': must be one of auto, ai-edge-litert, tflite-runtime",
        ),
        ("memory: {weights: mapped}", "memory.weights is 'mapped': must be one of auto, resident, streamed"),
        ("runtime: {threads: yes}", "runtime.threads is True: must be a whole number"),
        ("runtime: {threads: 2.5}", "runtime.threads is 2.5: must be a whole number"),
        ("runtime: {threads: two}", "runtime.threads is 'two': must be a whole number"),
        ("runtime:", "runtime is None: must be a mapping"),
        ("remember: {batch: 4, exit_depth: 8, batch: 16}", "remember.batch is given twice"),
        ("bundle: 3", "bundle is 3: must be a text"),
        ("mqtt: {protocol: 4}", "mqtt.protocol is 4: must be one of 5, 3.1.1"),
        ("mqtt: {host: ''}", "mqtt.host is empty: must be a name or an address"),
        ("mqtt: {host: a..b}", "mqtt.host is 'a..b': must be a name or an address"),
        ('mqtt: {host: "a\\0b"}', "mqtt.host is 'a\\x00b': must be a name or an address"),
        ("mqtt: {password_file: /etc/secret}", "mqtt.password_file needs username"),
        (
            "mqtt: {socket: /run/broker.sock, tls_ca: /etc/ca.crt}",
            "mqtt.tls_ca cannot be used together with socket: a Unix socket never leaves the device",
        ),
        ("remember: {roots: [photos]}", "remember.roots has photos: must be absolute paths"),
        ("power: {meter: volts}", f"power.meter is 'volts': must be one of {', '.join(get_args(MeterName))}"),
        ("power: {meter: i2c}", "power.meter is i2c, which needs the key i2c to say where the chip is"),
        ("device: My Pi", "device is 'My Pi': must be 1 to 32 lower-case letters, digits and hyphens"),
        ("- bundle", "the file is ['bundle']: must be a mapping"),
    ],
)
def test_mistake_is_named_with_its_key_and_what_to_write(tmp_path: Path, text: str, problem: str) -> None:
    assert refusal_of(tmp_path, text).problems == (problem,)


def test_every_problem_of_the_file_is_listed_with_the_file(tmp_path: Path) -> None:
    text = "runtime: {threads: 0, backend: torch}\nremember: {bacth: 4}\nrecall: {pool: -1, limit: 0}\n"
    error = refusal_of(tmp_path, text)
    assert str(error).splitlines() == [
        f"{tmp_path}/config.yaml: {problem}"
        for problem in (
            "runtime.backend is 'torch': must be one of auto, ai-edge-litert, tflite-runtime",
            "runtime.threads is 0: must be 1 to 64",
            "remember.bacth is not a key. Did you mean remember.batch?",
            "recall.pool is -1: must be 0 to 10000",
            "recall.limit is 0: must be 1 to 1000",
        )
    ]


def test_config_error_ends_the_command_with_code_2(tmp_path: Path) -> None:
    error = refusal_of(tmp_path, "recall: {limit: 0}")
    assert error.exit_code == 2
    assert isinstance(error, ReminisceError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (RuntimeConfig, {"threads": 0}, "^threads is 0: must be 1 to 64$"),
        (MemoryConfig, {"limit_mb": 0}, "^limit_mb is 0: must be 1 to 1000000$"),
        (RememberConfig, {"batch": 0}, "^batch is 0: must be 1 to 256$"),
        (RecallConfig, {"pool": -1, "limit": 0}, "^pool is -1: must be 0 to 10000; limit is 0: must be 1 to 1000$"),
        (CacheConfig, {"max_mb": -1}, "^max_mb is -1: must be 0 to 1000000$"),
        (IndexConfig, {"annoy_from": 0}, "^annoy_from is 0: must be 1 to 1000000000$"),
    ],
)
def test_section_that_exists_is_valid_also_without_a_file(
    section: type[Any], changes: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        section(**changes)


@pytest.mark.parametrize(
    ("text", "chip"),
    [
        ("ina219:1:0x40:0.1", I2cChip("ina219", 1, 0x40, 0.1)),
        ("ina226:0:0x4f:0.002", I2cChip("ina226", 0, 0x4F, 0.002)),
        ("ina3221:13:0x08:1", I2cChip("ina3221", 13, 0x08, 1.0)),
    ],
)
def test_place_of_a_power_sensor_is_written_as_one_text(tmp_path: Path, text: str, chip: I2cChip) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"power: {{meter: i2c, i2c: {text}}}", encoding="utf-8")
    assert load_config(path).power.i2c_chip == chip


def test_device_without_such_a_sensor_has_none() -> None:
    assert Config().power.i2c_chip is None


@pytest.mark.parametrize(
    "text",
    [
        "ina219", "ina219:1:40:0.1", "ina219:1:0x40:0", "ina219:1:0x40:0.00", "ina219:1:0x40:-0.1", "ina219:1:0x80:0.1",
        "ina219:1:0x03:0.1", "ina260:1:0x40:0.1", "ina219:1:0x40:0.1:", "../1:1:0x40:0.1",
    ],
)  # fmt: skip
def test_place_that_cannot_be_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    (problem,) = refusal_of(tmp_path, f"power: {{i2c: '{text}'}}").problems
    assert problem == f"power.i2c is {text!r}: must be CHIP:BUS:ADDRESS:SHUNT_OHM, as ina219:1:0x40:0.1"
