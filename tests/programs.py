"""Programs of the system that tests run: absent, they are a skip with its reason; under CI, a failure."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """The path of a program. Daemons lie where PATH of a user who is not root does not lead, on Debian."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if path:
        return path
    reason = f"no {name} on PATH: sudo apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
