"""READ FIRST. The composition root of the device: config in, threads up, tell systemd, attend, all down in reverse.

    broker ──► mqtt/ingest.py ──► remember/inbox.py ──► memory ──► remember/intake.py ──► memory ──► `indexed`
           ──► mqtt/desk.py ────► recall/questions.py ──► recall/retriever.py ──► the reply

Threads: "memory-writer" writes SQLite, "compute" invokes, "inbox" makes durable what arrives, "remember" decodes and
embeds what waits, "recall" answers; two of the MQTT clients, which only parse and enqueue; this one attends.
What the parts do with each other is in engine.py.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from edge.config import Config, load_config
from edge.engine import Engine, Hooks, open_bundle
from edge.errors import ReminisceError
from edge.mqtt import Desk, Ingest, Topics, gate_event, outcome_event, read_password
from edge.report import device_info, device_state
from edge.service import Notifier, Systemd, Vitals

STATE_S = 10.0  # how often `state` is published
_ORDERS = 64  # that may wait
_HOME = Path("~/.local/share/reminisce")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stop:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class _Reload:
    """SIGHUP."""


@dataclass(frozen=True, slots=True)
class _Order:
    """From the control topic."""

    op: str
    reply: Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A thread ended with this."""

    error: BaseException


Commands: TypeAlias = "queue.SimpleQueue[_Stop | _Reload | _Order | _Failure]"


def run(config_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises what made it impossible: ReminisceError for what a user can correct."""
    commands: Commands = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: commands.put(_Stop()))
    signal.signal(signal.SIGHUP, lambda _number, _frame: commands.put(_Reload()))
    systemd = Systemd.from_environ(os.environ)
    config: Config | None = _load(config_file)
    before: Config | None = None
    with closing(Notifier(systemd)) as notifier:
        while config is not None:
            try:
                config, before = _serve(config, config_file, systemd, notifier, commands), config
            except ReminisceError as error:
                if before is None:
                    raise
                _log.error("the new config cannot be used, going on with the one before: %s", error)
                config, before = before, None


def _serve(
    config: Config, config_file: Path | None, systemd: Systemd, notifier: Notifier, commands: Commands
) -> Config | None:
    """One life between reloads; returns the next config, or None to end."""
    topics = Topics(config.device)
    password = read_password(config.mqtt, systemd.credentials)
    state = state_folder(config, systemd)
    following: Config | None = None
    with ExitStack() as stack:
        desk = Desk(config.mqtt, topics, password, config.recall.limit)
        ingest = Ingest(config.mqtt, topics, password, desk.tell_event)
        hooks = Hooks(
            progress=notifier.progress,
            tick_s=notifier.tick_s,
            on_outcome=lambda outcome: desk.tell_event(outcome_event(outcome)),
            on_gate=lambda gate: desk.tell_event(gate_event(gate)),
            on_drained=ingest.resume,
            failed=lambda error: commands.put(_Failure(error)),
        )
        engine = stack.enter_context(Engine(config, state, hooks))
        engine.start()
        stack.callback(lambda: desk.stop(says_offline=following is None))
        desk.start(device_info(config, engine), engine.questions.ask, _taking_orders(commands))
        stack.callback(ingest.stop)
        ingest.start(engine.inbox.offer)
        notifier.ready(f"{engine.memory.tally.items} items, model {engine.bundle.manifest.model}")
        _log.info("ready as %s: model %s on %s", config.device, engine.bundle.manifest.model, engine.runtime)
        following = _attend(engine, desk, Vitals(state), config_file, notifier, commands)
        if following is None:
            notifier.stopping()
    return following


def _attend(
    engine: Engine, desk: Desk, vitals: Vitals, config_file: Path | None, notifier: Notifier, commands: Commands
) -> Config | None:
    """Publish the state, obey orders; returns the next config, or None when it is time to end."""
    due = time.monotonic()
    while True:
        if time.monotonic() >= due:
            desk.tell_state(device_state(engine, vitals.sample()))
            due = time.monotonic() + STATE_S
        try:
            command = commands.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            continue
        match command:
            case _Stop():
                return None
            case _Reload():
                notifier.reloading()
                if (config := _reloaded(config_file)) is not None:
                    return config
                notifier.ready("the reload was refused: see the log")
            case _Order(op=op, reply=reply):
                reply(_obey(engine, op))
            case _Failure(error=error):
                raise error


def _obey(engine: Engine, op: str) -> dict[str, Any]:
    if op != "ping":
        engine.intake.pause(paused=op == "pause")
    return {"op": op, "paused": engine.intake.paused}


def _taking_orders(commands: Commands) -> Callable[[str, Callable[[dict[str, Any]], None]], bool]:
    def take(op: str, reply: Callable[[dict[str, Any]], None]) -> bool:
        if commands.qsize() >= _ORDERS:
            return False
        commands.put(_Order(op, reply))
        return True

    return take


def _load(config_file: Path | None) -> Config:
    return load_config(config_file) if config_file else Config()


def _reloaded(config_file: Path | None) -> Config | None:
    """The config as it is now; None, and a word in the log, when it must not be used."""
    try:
        config = _load(config_file)
        open_bundle(config)
    except ReminisceError as error:
        _log.error("the config is not reloaded:\n%s", error)
        return None
    return config


def state_folder(config: Config, systemd: Systemd) -> Path:
    """Where the memory lies."""
    return Path(config.state) if config.state else systemd.state or _HOME.expanduser()
