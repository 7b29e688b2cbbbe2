"""Every topic of one device. The contract is PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "reminisce"
LONGEST = 512  # characters of a reply topic


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below `reminisce/<device>`."""

    device: str

    @property
    def base(self) -> str:
        return f"{ROOT}/{self.device}"

    @property
    def status(self) -> str:
        """Out, retained: `online` or `offline`."""
        return f"{self.base}/status"

    @property
    def info(self) -> str:
        """Out, retained: models, limits, modalities."""
        return f"{self.base}/info"

    @property
    def state(self) -> str:
        """Out, retained, every 10 s: what it does and what that takes."""
        return f"{self.base}/state"

    @property
    def event(self) -> str:
        """Out: what became of each item."""
        return f"{self.base}/event"

    @property
    def ingest(self) -> str:
        """In: items as JSON."""
        return f"{self.base}/ingest"

    @property
    def query(self) -> str:
        """In: questions."""
        return f"{self.base}/query"

    @property
    def control(self) -> str:
        """In: orders of the owner."""
        return f"{self.base}/control"

    def raw(self, modality: str) -> str:
        """In: items as bytes; `+` is any modality."""
        return f"{self.ingest}/raw/{modality}"

    def modality(self, topic: str) -> str | None:
        """The modality of a raw ingest topic; None for another topic."""
        prefix = self.raw("")
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None

    def reply(self, client: str, name: str) -> str:
        """Where a client of this project waits for its answers."""
        return f"{self.base}/reply/{client}/{name}"

    def asker(self, topic: str) -> str:
        """The client that a reply topic belongs to: its first level below `reply/`."""
        return topic.removeprefix(f"{self.base}/reply/").partition("/")[0]

    def is_reply(self, topic: str) -> bool:
        """Whether an answer may be published there: anywhere else the daemon would publish around the broker's ACL."""
        inside = topic.startswith(f"{self.base}/reply/") and topic != f"{self.base}/reply/"
        return inside and len(topic) <= LONGEST and not set("+#\0") & set(topic) and topic.isprintable()
