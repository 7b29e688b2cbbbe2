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
from typing import Any

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


def run(config_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises what made it impossible: ReminisceError for what a user can correct."""
    systemd = Systemd.from_environ(os.environ)
    with closing(Notifier(systemd)) as notifier:
        daemon = Daemon(config_file, systemd, notifier)
        signal.signal(signal.SIGTERM, daemon.stop)
        signal.signal(signal.SIGINT, daemon.stop)
        signal.signal(signal.SIGHUP, daemon.reload)
        daemon.run()


class Daemon:
    """Signals, orders and failures come in through one queue; the main thread attends to them."""

    def __init__(self, config_file: Path | None, systemd: Systemd, notifier: Notifier) -> None:
        self._config_file, self._systemd, self._notifier = config_file, systemd, notifier
        self._commands: queue.SimpleQueue[_Stop | _Reload | _Order | _Failure] = queue.SimpleQueue()

    def stop(self, *_: object) -> None:
        """A signal handler, like `reload`."""
        self._commands.put(_Stop())

    def reload(self, *_: object) -> None:
        """The config file is read again, and used if it is all right."""
        self._commands.put(_Reload())

    def run(self) -> None:
        """One life after another, each with the config that ended the one before."""
        config: Config | None = self._load()
        before: Config | None = None
        while config is not None:
            config, before = self._serve_or_go_back(config, before), config

    def _serve_or_go_back(self, config: Config, before: Config | None) -> Config | None:
        try:
            return self._serve(config)
        except ReminisceError as error:
            if before in {None, config}:
                raise
            _log.error("the new config cannot be used, going on with the one before: %s", error)
            return before

    def _serve(self, config: Config) -> Config | None:
        """One life; returns the next config, or None when it is time to end."""
        topics, password = Topics(config.device), read_password(config.mqtt, self._systemd.credentials)
        state = state_folder(config, self._systemd)
        following: Config | None = None
        desk = Desk(config.mqtt, topics, password, config.recall.limit)
        ingest = Ingest(config.mqtt, topics, password, desk.tell_event, desk.announce)
        hooks = Hooks(
            progress=self._notifier.progress,
            tick_s=self._notifier.tick_s,
            on_outcome=lambda outcome: desk.tell_event(outcome_event(outcome)),
            on_gate=lambda gate: desk.tell_event(gate_event(gate)),
            on_drained=ingest.resume,
            failed=lambda error: self._commands.put(_Failure(error)),
        )
        self._notifier.starting()
        with ExitStack() as stack:  # undone from the bottom up: the desk goes last, for the last questions' replies
            stack.callback(lambda: desk.stop(says_offline=following is None))
            engine = stack.enter_context(Engine(config, state, hooks))
            engine.start()
            desk.start(device_info(config, engine), engine.questions.ask, self._take, lambda: ingest.is_open)
            stack.callback(ingest.stop)
            ingest.start(engine.inbox.offer)
            self._notifier.ready(f"{engine.memory.tally.items} items, model {engine.bundle.manifest.model}")
            _log.info("ready as %s: model %s on %s", config.device, engine.bundle.manifest.model, engine.runtime)
            following = self._attend(engine, desk, Vitals(state))
            if following is None:
                self._notifier.stopping()
        return following

    def _attend(self, engine: Engine, desk: Desk, vitals: Vitals) -> Config | None:
        """Publish the state, obey orders; returns the next config, or None when it is time to end."""
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                desk.tell_state(device_state(engine, vitals.sample()))
                due = time.monotonic() + STATE_S
            try:
                command = self._commands.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            match command:
                case _Stop():
                    return None
                case _Reload():
                    self._notifier.reloading()
                    if (config := self._reloaded()) is not None:
                        return config
                    self._notifier.ready("the reload was refused: see the log")
                case _Order(op=op, reply=reply):
                    reply(_obey(engine, op))
                case _Failure(error=error):
                    raise error

    def _take(self, op: str, reply: Callable[[dict[str, Any]], None]) -> bool:
        """Queue an order; False when there is no room."""
        if self._commands.qsize() >= _ORDERS:
            return False
        self._commands.put(_Order(op, reply))
        return True

    def _load(self) -> Config:
        return load_config(self._config_file) if self._config_file else Config()

    def _reloaded(self) -> Config | None:
        """The config as it is now; None, and a word in the log, when it must not be used."""
        try:
            config = self._load()
            open_bundle(config)
        except ReminisceError as error:
            _log.error("the config is not reloaded:\n%s", error)
            return None
        return config


def _obey(engine: Engine, op: str) -> dict[str, Any]:
    if op != "ping":
        engine.intake.pause(paused=op == "pause")
    return {"op": op, "paused": engine.intake.paused}


def state_folder(config: Config, systemd: Systemd) -> Path:
    """Where the memory lies."""
    return Path(config.state) if config.state else systemd.state or _HOME.expanduser()
