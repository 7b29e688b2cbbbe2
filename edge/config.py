"""The typed configuration: every key with its default, range and unit. `config.yaml` at the top lists them all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from edge.decode import DecodeError, load_yaml

DEMO_BUNDLE = Path(__file__).parent / "demo" / "bundle"
PAYLOAD_BYTES = 8 << 20  # the largest payload that is sent or taken inline; brokers are set up for a little more
MAX_LIMIT = 1_000  # answers to one question: some 200 kB of reply
Protocol: TypeAlias = Literal[5, "3.1.1"]
PolicyChoice: TypeAlias = Literal["auto", "fixed", "predict", "gate"]
Backend: TypeAlias = Literal["auto", "ai-edge-litert", "tflite-runtime"]
Weights: TypeAlias = Literal["auto", "resident", "streamed"]
MeterName: TypeAlias = Literal[
    "auto", "none", "hwmon", "i2c", "jetson", "pmic", "pmic-corrected", "rapl", "battery", "estimate"
]


def _check_ranges(section: object, **ranges: tuple[int, int]) -> None:
    """Raises DecodeError with every field that is out of its range."""
    values = {name: getattr(section, name) for name in ranges}
    problems = tuple(
        f"{name} is {values[name]}: must be {low} to {high}"
        for name, (low, high) in ranges.items()
        if not low <= values[name] <= high
    )
    if problems:
        raise DecodeError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """backend: which TFLite runtime; auto takes the fastest installed.

    threads: processor cores of one segment call; more than half of a board's slow everything else down
    """

    backend: Backend = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        _check_ranges(self, threads=(1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """limit_mb: anonymous memory that the models may take, the process itself included; null sets no limit.

    weights: resident keeps every segment of the image tower in memory; streamed only the one that computes and the one
             after it, for a little more time; auto is resident where the limit allows it
    """

    limit_mb: int | None = None
    weights: Weights = "auto"

    def __post_init__(self) -> None:
        if self.limit_mb is not None:
            _check_ranges(self, limit_mb=(1, 1_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberConfig:
    """policy: what decides where items leave the tower: auto takes the bundle's choice, fixed one exit for all.

    cost:        share of full depth's milliseconds that items should take on average; more finds more. null: the least
                 that keeps 95 % of what full depth finds at least, as the bundle measured it
    exit_depth:  layers after which every item leaves, whatever the policy; null: the policy decides
    batch:       items that ride up the tower together; each takes 45 MB with the demo model, which is no faster for it
    inbox_items: accepted items that may wait for their embedding; past it nothing new is accepted
    inbox_mb:    the same in megabytes of raw content
    min_free_mb: nothing new is accepted when the disk has less room than this
    roots:       folders that `path` in an ingest message may name files of; none refuses every path
    """

    policy: PolicyChoice = "auto"
    cost: float | None = None
    exit_depth: int | None = None
    batch: int = 1
    inbox_items: int = 10_000
    inbox_mb: int = 1_000
    min_free_mb: int = 200
    roots: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_ranges(
            self, batch=(1, 256), inbox_items=(1, 1_000_000), inbox_mb=(1, 1_000_000), min_free_mb=(0, 1_000_000)
        )
        if self.cost is not None and not 0 < self.cost <= 1:
            raise DecodeError((f"cost is {self.cost}: must be above 0 and at most 1",))
        if self.exit_depth is not None and (self.policy != "auto" or self.cost is not None):
            raise DecodeError(("exit_depth names one exit for all items: leave policy and cost out, or exit_depth",))
        if wrong := [root for root in self.roots if not Path(root).is_absolute()]:
            raise DecodeError((f"roots has {', '.join(wrong)}: must be absolute paths",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallConfig:
    """pool: best coarse answers that are finished to the last exit for each question; 0 answers from the coarse search.

    limit: answers to a question that does not say how many
    waiting: questions that may wait for their turn; past it a question is answered with `busy`
    """

    pool: int = 50
    limit: int = 5
    waiting: int = 64

    def __post_init__(self) -> None:
        _check_ranges(self, pool=(0, 10_000), limit=(1, MAX_LIMIT), waiting=(1, 10_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentConfig:
    """What is kept of the files as they came, once their items are embedded; null keeps all. The oldest go first.

    Notes are always kept.

    max_mb:   megabytes of them; 0 keeps none
    max_days: since they came

    An item is found without its file, too, and finished for a question while its activation is cached. Another bundle
    cannot embed it.
    """

    max_mb: int | None = None
    max_days: int | None = None

    def __post_init__(self) -> None:
        if self.max_mb is not None:
            _check_ranges(self, max_mb=(0, 10_000_000))
        if self.max_days is not None:
            _check_ranges(self, max_days=(1, 100_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """max_mb: megabytes of half-finished items on disk, which spare a question most of their tower; 0 keeps none.

    Some 40,000 pictures of a vision transformer take 1,000. What is worth least goes when it is full.
    """

    max_mb: int = 1_000

    def __post_init__(self) -> None:
        _check_ranges(self, max_mb=(0, 1_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineAheadConfig:
    """items_per_hour: half-finished items that idle time finishes, those first that are likely asked for; 0: none.

    after_s: seconds without a question, and with nothing to remember, before it begins

    Off, because most items are never asked for: what they leave out is what early exits save, in energy and heat.
    """

    items_per_hour: int = 0
    after_s: int = 60

    def __post_init__(self) -> None:
        _check_ranges(self, items_per_hour=(0, 100_000), after_s=(0, 86_400))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """annoy_from: items from which an approximate forest replaces exact search, if annoy is installed.

    Processor time of a search on one x86 core, exact and forest: 7.6 and 4.4 ms over 100,000 items, 15 and 4.9 ms over
    200,000 (edge/bench/index.py). Lower, and a forest that takes a minute to grow misses three answers of a hundred to
    save three milliseconds; higher, and exact search grows with the items.
    """

    annoy_from: int = 200_000

    def __post_init__(self) -> None:
        _check_ranges(self, annoy_from=(1, 1_000_000_000))


@dataclass(frozen=True, slots=True)
class I2cChip:
    """A power sensor. bus: N of /dev/i2c-N; address: 7 bits; shunt_ohm: the resistor that it measures at."""

    name: str
    bus: int
    address: int
    shunt_ohm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerConfig:
    """meter: where watts come from; auto takes the best that there is, and none measures nothing.

    i2c:         "CHIP:BUS:ADDRESS:SHUNT_OHM", for a chip that the kernel has no driver for
    idle_w:      watts of the board with nothing to do; null measures them while there is nothing to do
    interval_ms: between two readings; sensors that are slower than that are asked less often
    """

    meter: MeterName = "auto"
    i2c: str | None = None
    idle_w: float | None = None
    interval_ms: int = 100

    def __post_init__(self) -> None:
        _check_ranges(self, interval_ms=(10, 1_000))
        problems = []
        if self.i2c is not None and _I2C.fullmatch(self.i2c) is None:
            problems.append(f"i2c is {self.i2c!r}: must be CHIP:BUS:ADDRESS:SHUNT_OHM, as ina219:1:0x40:0.1")
        if self.meter == "i2c" and self.i2c is None:
            problems.append("meter is i2c, which needs the key i2c to say where the chip is")
        if self.idle_w is not None and not 0 < self.idle_w <= 1_000:
            problems.append(f"idle_w is {self.idle_w}: must be more than 0, at most 1000")
        if problems:
            raise DecodeError(tuple(problems))

    @property
    def i2c_chip(self) -> I2cChip | None:
        """What `i2c` says."""
        if self.i2c is None:
            return None
        name, bus, address, shunt_ohm = self.i2c.split(":")
        return I2cChip(name, int(bus), int(address, 16), float(shunt_ohm))


# Addresses that 7 bits allow a device; a shunt of nothing would measure endless current.
_I2C = re.compile(r"(ina219|ina226|ina3221):\d{1,3}:0x(0[89a-f]|[1-6][0-9a-f]|7[0-7]):(?=.*[1-9])\d{0,3}\.?\d{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """Where the broker is, and who we are to it. The device's client and the command line's read the same section.

    host, port:    of a broker over TCP
    socket:        path of the broker's Unix socket; replaces host and port
    protocol:      5, or "3.1.1" for brokers that know nothing newer
    username:      null connects without a name
    password_file: file with the password in its first line; $CREDENTIALS_DIRECTORY/mqtt.password goes before it
    tls_ca:        certificate file of the authority that signed the broker's; switches TLS on
    keepalive_s:   seconds of silence after which a dead connection is noticed
    session_s:     seconds that the broker keeps what was sent to a device that is away
    """

    host: str = "localhost"
    port: int = 1883
    socket: str | None = None
    protocol: Protocol = 5
    username: str | None = None
    password_file: str | None = None
    tls_ca: str | None = None
    keepalive_s: int = 30
    session_s: int = 604_800

    def __post_init__(self) -> None:
        _check_ranges(self, port=(1, 65_535), keepalive_s=(5, 3_600), session_s=(0, 31_536_000))
        problems = []
        if not self.host:
            problems.append("host is empty: must be a name or an address")
        elif not _is_host(self.host):
            problems.append(f"host is {self.host!r}: must be a name or an address")
        if self.socket is not None and self.tls_ca is not None:
            problems.append("tls_ca cannot be used together with socket: a Unix socket never leaves the device")
        if self.password_file is not None and self.username is None:
            problems.append("password_file needs username")
        if problems:
            raise DecodeError(tuple(problems))


def _is_host(name: str) -> bool:
    """Whether it can be looked up at all: the client's thread would end at any other."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return name.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set.

    device: its name in every topic, `reminisce/<device>/...`; lower-case letters, digits and hyphens, at most 32
    state:  folder of the memory; null is $STATE_DIRECTORY (set by systemd), else ~/.local/share/reminisce
    bundle: folder of the model; null is the demo bundle that ships with the package
    """

    device: str = "local"
    state: str | None = None
    bundle: str | None = None
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    remember: RememberConfig = field(default_factory=RememberConfig)
    recall: RecallConfig = field(default_factory=RecallConfig)
    content: ContentConfig = field(default_factory=ContentConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    refine_ahead: RefineAheadConfig = field(default_factory=RefineAheadConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    power: PowerConfig = field(default_factory=PowerConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]{1,32}", self.device):
            raise DecodeError((f"device is {self.device!r}: must be 1 to 32 lower-case letters, digits and hyphens",))


def load_config(path: Path) -> Config:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Config, path)
