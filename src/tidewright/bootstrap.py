"""The one place that wires parts together: venue, feed, beat, database, tape, optimizer and displays into a session."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tidewright.agents.optimizer.bounds import Bounds
from tidewright.coordination.admission import Admission, Rules
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.coordination.lines import ChildAgent, Lines
from tidewright.coordination.nats_bus import NatsBus, NatsSettings, admitted_before
from tidewright.coordination.process import ProcessBus
from tidewright.coordination.signing import Keyring
from tidewright.market.clock import SECOND, Clock
from tidewright.market.errors import ConfigError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.store.database import Database
from tidewright.strategies.custom import is_reference
from tidewright.trading.advice import EXECUTOR, OPTIMIZER, Advice, Inbox
from tidewright.trading.capital import TABLE as VOICES
from tidewright.trading.capital import Capital, Voices
from tidewright.trading.chair import Chair
from tidewright.trading.commands import FOLDER, CommandBox
from tidewright.trading.coordinator import Coordinator
from tidewright.trading.cycles import ControlCycles, Cycles, Registration, WallCycles
from tidewright.trading.lease import LOCK, NAME, Lease, Lock
from tidewright.trading.now import Observer
from tidewright.trading.opening import unfinished
from tidewright.trading.replay_journal import relearn
from tidewright.trading.session import Parts, Session
from tidewright.trading.settings import AdviceSettings, AgentSettings, SessionSettings
from tidewright.trading.standby import Standby
from tidewright.trading.standstill import Standstill
from tidewright.trading.team_advice import TeamAdvice
from tidewright.venues.binance.client import BinanceConfig
from tidewright.venues.binance.feed import BinanceFeed
from tidewright.venues.binance.trading import BinanceTrading

DATABASE: Final = "session.db"
JOURNAL: Final = "messages.jsonl"
MEMORY: Final = "optimizer.json"
TAPE: Final = "tape"
NATS_PASSWORD: Final = "TIDEWRIGHT_NATS_PASSWORD"


@dataclass(frozen=True, slots=True)
class VenueAddress:
    """Where a session trades.

    Attributes
    ----------
    rest, ws, control
        URLs; without ``control`` the venue is live and time is wall time.
    ws_api
        Root of the WebSocket API where it is not at ``ws``.
    """

    symbol: str
    rest: str
    ws: str
    control: str = ""
    ws_api: str = ""
    api_key: str = field(default="", repr=False)
    api_secret: str = field(default="", repr=False)

    @classmethod
    def from_ready(cls, ready: Mapping[str, Any], symbol: str | None = None) -> "VenueAddress":
        """Address from a paper exchange's ready line or state file.

        Raises
        ------
        ConfigError
            If a field is missing or the symbol is not traded there.
        """
        try:
            symbols = list(ready["symbols"])
            address = cls(
                symbol or symbols[0],
                ready["rest"],
                ready["ws"],
                ready["control"],
                "",
                ready["api_key"],
                ready["api_secret"],
            )
        except (KeyError, IndexError) as error:
            raise ConfigError(f"the paper exchange's address lacks {error}") from None
        if address.symbol not in symbols:
            raise ConfigError(f"the paper exchange trades {', '.join(symbols)}, not {address.symbol}")
        return address

    def public(self) -> dict[str, str]:
        """The address without keys."""
        return {
            "symbol": self.symbol,
            "rest": self.rest,
            "ws": self.ws,
            "control": self.control,
            "ws_api": self.ws_api,
        }


def read_ready(path: Path) -> dict[str, Any]:
    """A paper exchange's state file.

    Raises
    ------
    ConfigError
        If it is not there or damaged.
    """
    try:
        ready = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"no paper exchange has its state file at {path} ({error.strerror}); "
            f"start one with `tidewright exchange --state {path}`"
        ) from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not a paper exchange's state: {error}") from None
    if not isinstance(ready, dict):
        raise ConfigError(f"{path} is not a paper exchange's state")
    return ready


class LateInstrument:
    """Hands the instrument to observers once it is known."""

    def __init__(self, recorder: Callable[[Instrument], TapeWriter], observers: tuple[Any, ...]) -> None:
        self._recorder, self._observers = recorder, observers

    def __call__(self, instrument: Instrument) -> TapeWriter:
        """Open the tape and tell the observers."""
        for observer in self._observers:
            if hasattr(observer, "instrument"):
                observer.instrument = instrument
        return self._recorder(instrument)


def build(
    folder: Path,
    name: str,
    address: VenueAddress,
    settings: SessionSettings,
    pace: float | None = None,
    observers: tuple[Observer, ...] = (),
    standby: Standby | None = None,
) -> tuple[Session, "Resources"]:
    """A session in a folder, new or to be resumed, and what must be closed after it.

    Parameters
    ----------
    folder
        Holds the database, the growing tape, the message journal and the optimizer's memory.
    name
        Part of the client order ids of a new session: letters, digits, ``-`` and ``_``, at most 20.
    pace
        Market seconds per wall second of a paced paper exchange; ``None``: lockstep (with a control URL) or live.
    standby
        That has become master; its claim goes on.
    """
    if not name or len(name) > 20 or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise UsageError(f"a session name is 1 to 20 letters, digits, - or _, was {name!r}")
    live = not address.control
    scale = 1.0 if live else pace
    config = BinanceConfig(
        address.symbol, address.rest, address.ws, address.ws_api, address.api_key, address.api_secret, scale
    )
    lead_ns = settings.advice.still_before_ns if settings.advice is not None else None
    still = Standstill((lead_ns or 0) / SECOND)
    cycles: Cycles = WallCycles(still) if live else ControlCycles(address.control, address.symbol, name, still)
    # A paper venue's receipts are bounded by the barriers; the session stamps them.
    feed = BinanceFeed(address.rest, address.ws, cycles.clock, receipt=None if live else _venue_time)
    resources = Resources(folder, settings, standby, still if lead_ns is not None else None)
    recorder = LateInstrument(resources.open_tape, observers)
    parts = Parts(
        name,
        settings,
        BinanceTrading(config),
        feed,
        cycles,
        resources.database,
        recorder,
        resources.connect_optimizer if settings.advice is not None else None,
        observers,
        CommandBox(folder, resources.journal(), cycles.clock),
        _coordinator(settings, resources, cycles.clock),
        Chair(folder, settings) if settings.seat.used else None,
        resources.lease.beat,
    )
    return Session(parts), resources


def _coordinator(settings: SessionSettings, resources: "Resources", clock: Clock) -> Coordinator:
    agents = settings.agents
    advisors = (OPTIMIZER,) if settings.advice is not None else ()
    threshold = settings.advice.threshold if settings.advice is not None else AdviceSettings().threshold
    path, journal = resources.folder / JOURNAL, resources.journal()

    def seated(members: tuple[str, ...], table: str = "") -> tuple[Council, list[dict[str, Any]]]:
        told_of = {name: heard for name, heard in agents.neighbours.items() if name in members}
        near = {name: tuple(other for other in heard if other in members) for name, heard in told_of.items()}
        learned, told = relearn(path, members, near, table)
        council = learned or Council(members, settings.coordination, threshold, near)
        council.switch(settings.coordination)
        return council, told

    line = None
    if agents.members:
        children = {
            name: ChildAgent(name, command, EXECUTOR, journal, clock) for name, command in agents.commands.items()
        }
        line = Lines(children, _nats(agents, resources, clock) if agents.nats else None)
    if not agents.strategies:
        council, told = seated((EXECUTOR, *advisors, *agents.members))
        coordinator = Coordinator(council, journal, threshold, line, agents.round_cycles, agents.members)
    else:
        voices = None
        if agents.members:
            outside, _ = seated((EXECUTOR, *agents.members), VOICES)
            rules = {name: agent.strategy for name, agent in agents.strategies.items()}
            voices = Voices(outside, journal, threshold, line, agents.round_cycles, agents.members, rules)
        council, told = seated(tuple(agents.strategies))
        coordinator = Capital(council, journal, threshold, agents.round_cycles, voices)
    for each in told:
        coordinator.remember(each)
    return coordinator


def _nats(agents: AgentSettings, resources: "Resources", clock: Clock) -> NatsBus:
    def file(name: str) -> Path | None:
        return Path(name) if name else None

    where = NatsSettings(
        agents.nats,
        agents.prefix,
        agents.user,
        os.environ.get(NATS_PASSWORD, ""),
        file(agents.ca),
        file(agents.certificate),
        file(agents.key),
    )
    seen = admitted_before(resources.folder / JOURNAL)
    admission = Admission(Rules.council(EXECUTOR, agents.names), seen, Keyring.load(Path(agents.keys)))
    return NatsBus(where, EXECUTOR, resources.journal(), admission, clock)


async def cancel_at_venue(address: VenueAddress, session: str) -> tuple[int, list[str]]:
    """Cancel a session's open orders at the venue without the session: it died, or does not answer.

    Parameters
    ----------
    session
        Its name: the middle of its client order ids.

    Returns
    -------
    tuple[int, list[str]]
        How many orders were open, and the client ids of those that still are.

    Raises
    ------
    TidewrightError
        If the venue cannot be asked.
    """
    prefix = f"tw-{session}-"
    live = 1.0 if not address.control else None
    config = BinanceConfig(
        address.symbol, address.rest, address.ws, address.ws_api, address.api_key, address.api_secret, live
    )
    venue = BinanceTrading(config)

    async def names() -> list[str]:
        found = [order.client_order_id for order in await venue.open_orders()]
        return [name for name in found if name.startswith(prefix)]

    try:
        await venue.load()
        open_before = await names()
        if open_before:
            await venue.submit(open_before, [])
        return len(open_before), await names() if open_before else []
    finally:
        await venue.close()


def _venue_time(data: Columns) -> Columns:
    return data._replace(ts_local=data.ts)


class Resources:
    """Files and processes of a session.

    Parameters
    ----------
    folder
        Where the files are; made if it is not there.
    standby
        That has become master; ``None``: this process is the session's first.
    still
        Holds the optimizer while a cycle runs; ``None``: nobody does.

    Raises
    ------
    UsageError
        If another process holds the session.
    """

    def __init__(
        self,
        folder: Path,
        settings: SessionSettings,
        standby: Standby | None = None,
        still: Standstill | None = None,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._still = still
        self._new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        self._new = [
            path
            for path in (folder / DATABASE, folder / TAPE, folder / JOURNAL, folder / FOLDER, folder / LOCK)
            if not path.exists()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(folder) if standby is None else standby.lock
        if not self._lock.take():
            raise UsageError(f"a session runs in {folder} already, process {self._lock.holder}")
        self.database = Database(folder / DATABASE)
        self.lease = Lease(self.database, NAME if standby is None else standby.lease.name)
        if standby is None:
            self.lease.claim()
        else:
            self.lease.token = standby.lease.token
        self.lease.guard()
        self._journal: Journal | None = None
        self._optimizer: ProcessBus | None = None

    def open_tape(self, instrument: Instrument) -> TapeWriter:
        """The growing tape, continued where it was published last."""
        path = self.folder / TAPE
        there = (path / "meta.json").is_file()
        if path.exists() and not there:
            shutil.rmtree(path)  # a session was killed between making the folder and its first line
        tape = TapeWriter(
            path, instrument, source=f"{self._settings.mode} session {self.folder.name}", growing=True, resume=there
        )
        tape.publish()
        return tape

    def journal(self) -> Journal:
        """The journal of every message, opened once."""
        if self._journal is None:
            self._journal = Journal(self.folder / JOURNAL, fsync=False)
        return self._journal

    async def connect_optimizer(
        self, instrument: Instrument, registration: Registration, note: Callable[..., None], clock: Clock
    ) -> Advice | TeamAdvice:
        """Start the optimizer's process."""
        assert self._settings.advice is not None
        team = self._settings.agents.tuned
        rules = Rules.asking(team or (EXECUTOR,), OPTIMIZER, self._settings.advice.epoch_ns)
        command = [sys.executable, "-m", "tidewright.agents.optimizer", "--memory", str(self.folder / MEMORY)]
        advice = self._settings.advice
        idle = advice.idle and self._settings.mode == "live"  # a paper market waits for the answer, or runs fast
        command += Bounds(advice.nice, advice.cpu_share, advice.memory_mb, idle=idle).arguments()
        strategies = [self._settings.agents.strategies[name].strategy for name in team] or [self._settings.strategy]
        for name in team:
            command += ["--agent", name]
        for strategy in dict.fromkeys(filter(is_reference, strategies)):
            command += ["--strategy", strategy]
        pools = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        threads = {name: os.environ.get(name, "1") for name in pools}  # read before the agent could set them
        self._optimizer = ProcessBus(command, self.journal(), Admission(rules), clock, threads)
        await self._optimizer.start()
        if self._still is not None:
            self._still.neighbour = self._optimizer
        tape = str((self.folder / TAPE).resolve())
        given = (self._optimizer, self._settings, instrument, registration, tape, note)
        if not team:
            return Advice(*given)
        inbox = Inbox(self._optimizer)
        return TeamAdvice({name: Advice(*given, name, inbox) for name in team}, advice, self._settings.cycle_ns)

    async def close(self) -> None:
        """End the optimizer and close all files; if the start failed before a session was written, unmake them."""
        if self._optimizer is not None:
            await self._optimizer.close(grace_s=1.0)
        if self._journal is not None:
            self._journal.close()
        try:
            sessions = self.database.sessions()
            now = self.lease.read()
            if sessions and now is not None and now.token == self.lease.token and unfinished(self.database) is None:
                self.lease.give_back()
        finally:
            self.database.close()
            self._lock.give_up()
        if not sessions:
            self._unmake()

    def _unmake(self) -> None:
        """Leave what was there before: an empty database would pass for the newest session."""
        for path in self._new:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for path in self._new_folders:
            if any(path.iterdir()):
                break
            path.rmdir()
