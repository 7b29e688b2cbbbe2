"""READ FIRST. The composition root of the device: config in, threads up, tell systemd, attend, all down in reverse.

    broker ──► mqtt/ingest.py ──► remember/inbox.py ──► memory ──► remember/intake.py ──► memory ──► `indexed`
           ──► mqtt/desk.py ────► recall/questions.py ──► recall/retriever.py ──► the reply

Threads: "memory-writer" writes SQLite, "compute" invokes, "loader" opens the segments of a model that does not fit in
memory as a whole, one ahead, "inbox" makes durable what arrives, "decode", "remember" and "write" embed what waits,
"recall" answers, "refine" writes down what that finished, "ahead" finishes more in idle time, "house" forgets and
pins, "index" follows the memory with what a search reads, "retention" deletes content beyond its limits, "power" reads
the meter; three of the MQTT clients, which only parse and enqueue; this one attends. What the parts do with each other
is in engine.py.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from edge.config import Config, load_config
from edge.engine import Engine, Hooks, open_bundle
from edge.errors import ReminisceError
from edge.heap import return_large_blocks
from edge.items import Instruction
from edge.mqtt import Desk, Ingest, Topics, gate_event, outcome_event, read_password
from edge.power import Metering
from edge.remember import Gate
from edge.report import device_info, device_state
from edge.service import Commands, Failure, News, Notifier, Order, Reload, Reply, Stop, Systemd, Vitals

STATE_S = 10.0  # how often `state` is published
_CONNECT_S = 5.0  # how long a start waits for the broker; one that is away must not look like a start that failed
_STACK_BYTES = 1 << 20  # of each thread; the system's 8 MB count as data where that is limited
_HOME = Path("~/.local/share/reminisce")
_log = logging.getLogger(__name__)


def run(config_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises what made it impossible: ReminisceError for what a user can correct."""
    return_large_blocks()
    threading.stack_size(_STACK_BYTES)
    commands, systemd = Commands(), Systemd.from_environ(os.environ)
    commands.catch_signals()
    commands.catch_failures()
    with closing(Notifier(systemd)) as notifier:
        Daemon(config_file, systemd, notifier, commands).run()
        commands.ignore_signals()


class Daemon:
    """One life after another, each with the config that ended the one before."""

    def __init__(self, config_file: Path | None, systemd: Systemd, notifier: Notifier, commands: Commands) -> None:
        self._config_file, self._systemd, self._notifier, self._commands = config_file, systemd, notifier, commands
        self._is_serving = self._is_paused = False

    def run(self) -> None:
        """Until a life ends without a config for the next."""
        config: Config | None = self._load()
        served: Config | None = None
        while config is not None:
            config, served = self._serve_or_go_back(config, served)

    def _serve_or_go_back(self, config: Config, served: Config | None) -> tuple[Config | None, Config | None]:
        """The config of the next life, and one that is known to work; `served` is the last that did, if it is left."""
        self._is_serving = False
        try:
            return self._serve(config), config
        except ReminisceError as error:
            if served is None or self._is_serving:  # what has worked for a while failed for another reason
                raise
            _log.error("the new config cannot be used, going on with the one before: %s", error)
            return served, None

    def _serve(self, config: Config) -> Config | None:
        """One life; returns the next config, or None when it is time to end."""
        topics, password = Topics(config.device), read_password(config.mqtt, self._systemd.credentials)
        state = state_folder(config, self._systemd)
        desk = Desk(config.mqtt, topics, password, config.recall.limit, self._commands.news)
        ingest = Ingest(config.mqtt, topics, password, tell=desk.tell_event, on_up=desk.announce)
        metering = Metering(config.power, self._commands.failed)
        hooks = Hooks(
            progress=self._notifier.progress,
            tick_s=self._notifier.tick_s,
            on_outcome=metering.outcomes(lambda outcome: desk.tell_event(outcome_event(outcome))),
            on_gate=lambda gate: self._tell_gate(desk, gate),
            on_drained=ingest.resume,
            failed=self._commands.failed,
            on_ahead=metering.refined,
            during=metering.ledger.during,
        )
        self._notifier.starting()
        with ExitStack() as stack:  # undone from the bottom up: the desk goes last, for the last questions' replies
            stack.callback(desk.stop)
            engine = stack.enter_context(Engine(config, state, hooks))
            stack.enter_context(metering)
            engine.intake.pause(paused=self._is_paused)
            engine.start()
            desk.start(device_info(config, engine), metering.questions(engine.questions.ask), self._commands.order)
            stack.callback(ingest.stop)
            ingest.start(engine.inbox.offer, engine.modalities)
            stack.enter_context(self._commands.orders())
            model, file = engine.bundle.manifest.model, self._config_file or "the defaults"
            _log.info("ready as %s: model %s on %s, config: %s", config.device, model, engine.runtime, file)
            self._is_serving = True
            following = self._attend(engine, desk, Vitals(state), metering)
            if following is None:
                self._notifier.stopping()
                _log.info("stopping")
        return following

    def _tell_gate(self, desk: Desk, gate: Gate) -> None:
        desk.tell_event(gate_event(gate))
        self._commands.news()

    def _attend(self, engine: Engine, desk: Desk, vitals: Vitals, metering: Metering) -> Config | None:
        """Publish the state, obey orders; returns the next config, or None when it is time to end."""
        due = time.monotonic()
        ready_by: float | None = due + _CONNECT_S
        while True:
            now = time.monotonic()
            if now >= due:
                desk.tell_state(device_state(engine, vitals.sample(), metering.energy()))
                self._notifier.status(_status(engine, desk))
                due = now + STATE_S
            if ready_by is not None and (desk.is_online or now >= ready_by):
                self._notifier.ready(_status(engine, desk))
                ready_by = None
            match self._commands.next(min(due, ready_by or due) - now):
                case Stop():
                    return None
                case Reload():
                    self._notifier.reloading()
                    if (config := self._reloaded()) is not None:
                        return config
                    self._notifier.ready("the reload was refused: see the log")
                case News():
                    due = time.monotonic()
                case Order(what=what, reply=reply):
                    self._obey(engine, what, reply)
                case Failure(error=error):
                    raise error

    def _obey(self, engine: Engine, what: Instruction, reply: Reply) -> None:
        if what.selection is not None:
            engine.housekeeping.order(what, reply)
            return
        if what.op != "ping":
            self._is_paused = what.op == "pause"  # outlasts a reload
            engine.intake.pause(paused=self._is_paused)
        reply({"op": what.op, "paused": self._is_paused})

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


def _status(engine: Engine, desk: Desk) -> str:
    broker = "" if desk.is_online else f"{desk.trouble or 'no connection to the broker so far'}; "
    return f"{broker}{engine.memory.tally.items} items, model {engine.bundle.manifest.model}"


def state_folder(config: Config, systemd: Systemd) -> Path:
    """Where the memory lies."""
    return Path(config.state) if config.state else systemd.state or _HOME.expanduser()
