"""What the kernel says of a running process."""

from __future__ import annotations

from pathlib import Path


def anonymous_mb(pid: int) -> float:
    """Megabytes of memory that the system cannot take back."""
    return int(status_of(pid, "RssAnon")) * 1024 / 1e6


def status_of(pid: int, field: str) -> str:
    """The first word of a field of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return text.partition(f"\n{field}:")[2].split()[0]
