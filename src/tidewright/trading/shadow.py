"""Shadow accounts beside a live session: what each agent would have earned with the whole capital, followed or not.

Every agent is a lane of the engine, fed the very rows the session records, with its latencies, fees, limits and cycle.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidewright.agents.executor.seat import Sitter
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import PACKET_END, RESET, UNIT
from tidewright.market.detail import detail_of
from tidewright.market.errors import TidewrightError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, Tape, columns, concatenate
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies import registry
from tidewright.trading.settings import QUEUE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What shadow lanes share with the session.

    Attributes
    ----------
    start_ns, cycle_ns
        Decisions are at ``start_ns + k * cycle_ns``.
    entry_ns, response_ns, feed_ns
        Latencies as the venue states them.
    base_units, quote_units
        What each lane starts with, 1e-8 units: all that the account held at the session's start.
    queue
        Queue model, the one the optimizer judges by: both must speak of one market.
    touch_only
        Whether the best quotes are all that the tape knows of the book.
    """

    start_ns: int
    cycle_ns: int
    entry_ns: int
    response_ns: int
    feed_ns: int
    base_units: int
    quote_units: int
    limits: Limits
    queue: str = QUEUE
    touch_only: bool = False


@dataclass(slots=True)
class _Lane:
    replay: Replay
    row: int
    strategy: str
    params: dict[str, float]
    equity: float | None = None  # when it was last asked, without what the holdings of the start are worth


class Shadow:
    """Lanes of agents, by name.

    Parameters
    ----------
    agents
        Strategy and parameters, by agent.
    sitters
        Learned policies of agents that have one: each steers a replay of its own.
    """

    def __init__(
        self,
        instrument: Instrument,
        terms: Terms,
        agents: Mapping[str, tuple[str, Mapping[str, float]]],
        sitters: Mapping[str, Sitter] | None = None,
    ) -> None:
        self._instrument, self._terms = instrument, terms
        self._lanes: dict[str, _Lane] = {}
        self._feeds: list[Callable[[Columns], None]] = []
        self._rest: list[Columns] = []
        self.broken = ""
        by_strategy: dict[str, list[str]] = {}
        for name, (strategy, told) in agents.items():
            sitter = (sitters or {}).get(name)
            if sitter is not None and sitter.policy is not None:
                self._open(strategy, [name], [told], sitter)
            else:
                by_strategy.setdefault(registry.strategy(strategy).name, []).append(name)
        for strategy, names in by_strategy.items():
            self._open(strategy, names, [dict(agents[name][1]) for name in names])

    def _open(
        self, strategy: str, names: Sequence[str], params: Sequence[Mapping[str, float]], sitter: Sitter | None = None
    ) -> None:
        terms, chosen = self._terms, registry.strategy(strategy)
        rows = np.concatenate([registry.rows(strategy, each, 1) for each in params])
        columns = {name: rows[:, index] for index, name in enumerate(chosen.names)}
        config = ReplayConfig(
            start_ns=terms.start_ns,
            cycle_ns=terms.cycle_ns,
            entry_ns=terms.entry_ns,
            response_ns=terms.response_ns,
            feed_ns=terms.feed_ns,
            queue=terms.queue,
            touch_only=terms.touch_only,
            limits=None if terms.limits == OFF else terms.limits,
            ask=sitter is not None,
        )
        replay = Replay(
            self._instrument,
            config,
            strategy,
            columns,
            len(names),
            terms.base_units,
            terms.quote_units,
            check_balance=True,
        )
        feed: Callable[[Columns], None] = replay.feed
        if sitter is not None and sitter.policy is not None and sitter.settings is not None:
            feed = SteeredLanes(sitter.policy, sitter.settings).follow(replay)
        self._feeds.append(feed)
        for index, name in enumerate(names):
            known = dict(zip(chosen.names, rows[index].tolist(), strict=True))
            self._lanes[name] = _Lane(replay, index, strategy, known)

    # -- the market ----------------------------------------------------------------------------------------------------

    def catch_up(self, tape: Tape, rows: int) -> None:
        """Feed what a broken-off session had recorded; gains count from here on."""
        if rows:
            self.feed(tape.data.rows(0, rows))
            self.gains()

    def feed(self, rows: Columns) -> None:
        """Feed recorded rows; a packet that is not whole waits for its end. It never ends the session: what cannot be
        replayed leaves the lanes where they are, and :attr:`broken` says why.
        """
        if self.broken or len(rows.ts) == 0:
            return
        self._rest.append(rows)
        if not rows.flags[-1] & PACKET_END:
            return
        data, self._rest = concatenate(self._rest), []
        try:
            for feed in self._feeds:
                feed(data)
        except TidewrightError as error:
            self.broken = str(error)
            logger.warning("shadow results end here: %s", error)

    # -- agents --------------------------------------------------------------------------------------------------------

    def use(self, name: str, params: Mapping[str, float]) -> None:
        """An agent's parameters from the next decision on; names that are absent keep their values.

        Raises
        ------
        UsageError
            If the agent is unknown, or a value is out of range.
        """
        if name not in self._lanes:
            raise UsageError(f"there is no shadow account of {name}; there are {', '.join(self._lanes)}")
        lane = self._lanes[name]
        new = {**lane.params, **{key: value for key, value in params.items() if key in lane.params}}
        if new == lane.params:
            return
        row = registry.rows(lane.strategy, new, 1)[0]
        names = registry.strategy(lane.strategy).names
        if "levels" in names and row[names.index("levels")] > self._most_levels(lane):
            row[names.index("levels")] = self._most_levels(lane)  # its orders have no more room
        lane.replay.parameters[lane.row] = row
        lane.params = new

    def _most_levels(self, lane: _Lane) -> float:
        column = registry.strategy(lane.strategy).names.index("levels")
        return float(max(1.0, lane.replay.parameters[:, column].max()))

    def gains(self) -> dict[str, float]:
        """What each has gained since the last call, or the start, quote; nothing where it cannot be told.

        What the account held at its start gains and loses with the price whatever is traded: it is left out.
        """
        if self.broken:
            return {}
        found, told = {}, {}
        for name, lane in self._lanes.items():
            if id(lane.replay) not in told:
                told[id(lane.replay)] = lane.replay.statistics()
            figures = told[id(lane.replay)]
            if not figures["n_samples"][lane.row]:
                continue
            base, quote = self._terms.base_units / UNIT, self._terms.quote_units / UNIT
            equity = float(figures["equity_end"][lane.row]) - base * lane.replay.limits_at(lane.row)["mid"]
            before = quote if lane.equity is None else lane.equity
            found[name], lane.equity = equity - before, equity
        return found


def open_shadow(
    instrument: Instrument,
    terms: Terms,
    agents: Mapping[str, tuple[str, Mapping[str, float]]],
    tape: TapeWriter,
    sitters: Mapping[str, Sitter] | None = None,
) -> Shadow:
    """Shadow accounts that have seen what the session's tape holds already.

    The engine is compiled, or loaded, here: not while quotes stand.
    """
    told = Tape.open(tape.path).meta if tape.rows else {}  # a new session's tape has not been published yet
    terms = replace(terms, touch_only=detail_of(told).touch_only)
    Shadow(instrument, terms, agents, sitters).feed(columns([(0, 0, RESET, PACKET_END, 0, 0)]))
    shadow = Shadow(instrument, terms, agents, sitters)
    if tape.rows:
        shadow.catch_up(Tape.open(tape.path), tape.rows)
    return shadow
