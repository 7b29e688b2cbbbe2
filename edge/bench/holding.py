"""What a process holds of the machine's memory, out of Linux's /proc."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType


class Holding:
    """A context manager: looks at a process every few milliseconds in between.

    most_anonymous: the most bytes that it held and the system could not take back; mapped files are not among them
    """

    def __init__(self, pid: int, look_s: float) -> None:
        self.most_anonymous = 0
        self._pid, self._look_s = pid, look_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")

    def __enter__(self) -> Holding:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def now(self, name: str) -> int:
        """Bytes of a field of /proc/PID/status: VmHWM, VmData. Raises OSError once the process is gone."""
        for line in Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
        raise OSError(f"/proc/{self._pid}/status has no {name}")

    def _look(self) -> None:
        try:
            while not self._stopping.wait(self._look_s):
                self.most_anonymous = max(self.most_anonymous, self.now("RssAnon"))
        except OSError:
            return  # it is gone: whoever waits for its work will say why
