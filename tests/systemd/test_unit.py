"""The unit that ships, as systemd itself reads and judges it."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from programs import program

SHIPPED = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SHIPPED / "reminisce.service"
DAEMON = "/opt/reminisce/bin/reminisce"
WORST_EXPOSURE = 1.5  # of 10, in the words of systemd-analyze: 9.6 is a unit without any of these lines
LIFE = """
Type=notify
NotifyAccess=main
ExecStart=/opt/reminisce/bin/reminisce run --config /etc/reminisce/config.yaml
ExecReload=kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
WatchdogSec=60
TimeoutStartSec=120
TimeoutStopSec=30
KillMode=mixed
"""
FOLDERS = """
DynamicUser=yes
StateDirectory=reminisce
CacheDirectory=reminisce
RuntimeDirectory=reminisce
ConfigurationDirectory=reminisce
LoadCredential=mqtt.password:/etc/reminisce/mqtt.password
"""
RESOURCES = """
Nice=10
CPUWeight=20
CPUQuota=300%
IOSchedulingClass=idle
IOWeight=20
MemoryHigh=1200M
MemoryMax=1500M
TasksMax=64
OOMScoreAdjust=500
Environment=MALLOC_ARENA_MAX=2 OPENBLAS_NUM_THREADS=1
LimitSTACK=1M
"""
HARDENING = """
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateMounts=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=all
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
IPAddressDeny=any
IPAddressAllow=localhost
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
UMask=0077
CapabilityBoundingSet=
AmbientCapabilities=
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""
GIVES_UP = """
StartLimitIntervalSec=300
StartLimitBurst=5
"""


def lines(text: str) -> set[str]:
    return {line for line in text.splitlines() if line and not line.startswith("#")}


def section(name: str) -> set[str]:
    """What one section of the unit says."""
    found = re.search(rf"^\[{name}\]\n(.*?)(?=^\[|\Z)", UNIT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"no section {name}"
    return lines(found[1])


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name, "systemd"), *arguments], capture_output=True, text=True, check=False)


def complaints(unit: Path) -> list[str]:
    """What systemd says about this unit; it reads those that this one names as well, and they are not ours."""
    done = run("systemd-analyze", "verify", str(unit))
    return [line for line in done.stderr.splitlines() if "reminisce" in line]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the unit that starts a program which is there, as the daemon is on a board."""
    daemon, copy = tmp_path / "reminisce", tmp_path / UNIT.name
    daemon.write_text("#!/bin/sh\n", encoding="utf-8")
    daemon.chmod(0o755)
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(DAEMON, str(daemon)), encoding="utf-8")
    return copy


def test_systemd_has_no_complaint_about_the_unit(installed: Path) -> None:
    assert complaints(installed) == []


def test_systemd_would_complain_about_a_misspelt_line(installed: Path) -> None:
    text = installed.read_text(encoding="utf-8")
    installed.write_text(text.replace("ProtectHome=", "ProtectHouse="), encoding="utf-8")
    assert "ProtectHouse" in "".join(complaints(installed))


def test_unit_leaves_little_of_the_board_exposed(capsys: pytest.CaptureFixture[str]) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT))
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+) [A-Z]+", done.stdout)
    assert overall, done.stdout + done.stderr
    with capsys.disabled():
        sys.stdout.write(f"\n{overall[0]}\n")
    assert float(overall[1]) <= WORST_EXPOSURE


@pytest.mark.parametrize("design", [LIFE, FOLDERS, RESOURCES, HARDENING], ids=["life", "folders", "load", "hardening"])
def test_service_says_every_line_of_its_design(design: str) -> None:
    assert lines(design) - section("Service") == set()


def test_service_says_nothing_beyond_its_design() -> None:
    assert section("Service") - lines(LIFE + FOLDERS + RESOURCES + HARDENING) == set()


def test_daemon_that_cannot_start_gives_up_after_five_tries() -> None:
    assert lines(GIVES_UP) - section("Unit") == set()


def test_group_of_the_socket_does_not_take_the_name_of_the_dynamic_user(tmp_path: Path) -> None:
    # With a group reminisce and no such user, systemd refuses to make the dynamic user of that name.
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", str(SHIPPED / "reminisce.sysusers.conf"))
    groups = (tmp_path / "etc" / "group").read_text(encoding="utf-8")
    assert [line.partition(":")[0] for line in groups.splitlines()] == ["reminisce-mqtt"], done.stderr


def test_folder_of_the_socket_gives_its_group_to_the_socket() -> None:
    (line,) = lines((SHIPPED / "reminisce.tmpfiles.conf").read_text(encoding="utf-8"))
    kind, path, mode, user, group = line.split()
    assert (kind, path, user, group) == ("d", "/run/reminisce-broker", "mosquitto", "reminisce-mqtt")
    assert int(mode, 8) == stat.S_ISGID | stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP


def test_unit_names_the_group_of_the_socket() -> None:
    assert "#   SupplementaryGroups=reminisce-mqtt\n" in UNIT.read_text(encoding="utf-8")
