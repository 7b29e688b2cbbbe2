"""The unit's system call filter and its ban on writable code, on a real daemon: loaded before the daemon's first line.

systemd itself is not needed for that, only its list of what each group of calls means.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from daemons import ROOT
from programs import program

UNIT = ROOT / "systemd" / "reminisce.service"
# What systemd does between fork and exec; and then what must be forbidden from there on. Run by Python at its start.
_CODE = """
import ctypes, errno, json, mmap, os, socket
import pyseccomp

given = json.load(open({given!r}))
libc = ctypes.CDLL(None, use_errno=True)
report = {{"unknown": []}}
if libc.prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    report["mdwe"] = errno.errorcode[ctypes.get_errno()]
calls = pyseccomp.SyscallFilter(pyseccomp.ERRNO(getattr(errno, given["error"])))
for name in given["calls"]:
    try:
        if name == "socket":
            for family in given["families"]:
                calls.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(0, pyseccomp.EQ, getattr(socket, family)))
        else:
            calls.add_rule(pyseccomp.ALLOW, name)
    except (OSError, RuntimeError, ValueError):
        report["unknown"].append(name)  # of another processor
calls.load()

def tried(name, call):
    try:
        call()
        report[name] = "allowed"
    except OSError as error:
        report[name] = errno.errorcode[error.errno]

everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
tried("a priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, 5))
tried("processors", lambda: os.sched_setaffinity(0, {{0}}))
tried("another root", lambda: os.chroot("/"))
tried("raw packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tried("writable code", lambda: mmap.mmap(-1, 4096, prot=everything))
tried("its own number", lambda: os.getpid())
json.dump(report, open({report!r}, "w"))
"""


class Sandbox:
    """For a daemon's `environ`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        given, self._report = folder / "given.json", folder / "report.json"
        given.write_text(json.dumps({"calls": calls(), "families": families(), "error": error()}), encoding="utf-8")
        code = _CODE.format(given=str(given), report=str(self._report))
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        self.environ = {"PYTHONPATH": os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", ""), str(ROOT)))}

    @property
    def report(self) -> dict[str, Any]:
        """What was tried inside, with the name of the error that came of it."""
        report = json.loads(self._report.read_text(encoding="utf-8"))
        assert isinstance(report, dict)
        return report


def settings(name: str) -> list[str]:
    """The values of one setting of the unit, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def calls() -> list[str]:
    """The calls that the unit allows: what a line adds, less what a later one with a tilde takes away."""
    allowed: set[str] = set()
    for value in settings("SystemCallFilter"):
        names = {call for name in value.lstrip("~").split() for call in expanded(name)}
        allowed = allowed - names if value.startswith("~") else allowed | names
    return sorted(allowed)


def families() -> list[str]:
    (value,) = settings("RestrictAddressFamilies")
    return value.split()


def error() -> str:
    (value,) = settings("SystemCallErrorNumber")
    return value


@cache
def expanded(name: str) -> frozenset[str]:
    """The calls that a group of systemd's stands for."""
    if not name.startswith("@"):
        return frozenset({name})
    command = [program("systemd-analyze", "systemd"), "syscall-filter", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    return frozenset(call for line in lines if line and not line.startswith("#") for call in expanded(line))


def need_seccomp() -> None:
    """Skip where there is no way to load a filter; under CI the way must be there."""
    if importlib.util.find_spec("pyseccomp") is None:
        reason = "pyseccomp is not installed: pip install 'reminisce-edge[test]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    if not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        pytest.skip("this kernel has no seccomp")
