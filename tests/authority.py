"""A certificate authority of a test's own, and the certificate of a server that it signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from programs import program

EXTENSIONS = {
    "ca": ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"),
    "server": ("basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
}


@dataclass(frozen=True, slots=True)
class Authority:
    """Keys and certificates in a folder, all P-256 and good for two days.

    ca:          what clients must trust
    certificate: the server's, for 127.0.0.1 and localhost
    key:         the server's
    """

    ca: Path
    certificate: Path
    key: Path


def make_authority(folder: Path) -> Authority:
    """Write ca.crt, ca.key, server.crt and server.key to a new folder."""
    folder.mkdir(parents=True)
    make_certificate(folder, "ca")
    make_certificate(folder, "server", "-CA", "ca.crt", "-CAkey", "ca.key")
    return Authority(ca=folder / "ca.crt", certificate=folder / "server.crt", key=folder / "server.key")


def make_certificate(folder: Path, name: str, *signed_by: str) -> None:
    command = [program("openssl", "openssl"), "req", "-x509", "-days", "2", "-subj", f"/CN=reminisce {name}"]
    command += [*signed_by, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
    command += [word for extension in EXTENSIONS[name] for word in ("-addext", extension)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
