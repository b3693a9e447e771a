"""Several instruments that decide together: each replays its own tape, and before every decision they tell each other
what the portfolio is worth.

An instrument's engine is as it is alone; lanes of one instrument never meet those of another in a book. What couples
them is money: before a decision, what the other instruments have gained since the start is entered into a lane's cash,
so that its equity is the portfolio's and the limits measure against that. Afterwards it is taken out again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tidewright.engine import layout as at
from tidewright.engine.portfolio_equity import Part, own_statistics, together
from tidewright.engine.portfolio_plan import Money
from tidewright.engine.replay import Replay
from tidewright.engine.sweep import Job, Result, chunks
from tidewright.market.codes import PACKET_END, UNIT
from tidewright.market.tape import F64, I64, Columns


@dataclass(slots=True)
class World:
    """One instrument of the portfolio: its engine, its rows, and what its lanes are worth by themselves."""

    job: Job
    data: Columns
    part: Part
    replay: Replay = field(init=False)
    row: int = 0
    start: F64 = field(init=False)
    samples: list[F64] = field(default_factory=list)
    valued: bool = False  # there has been a mid

    def __post_init__(self) -> None:
        self.replay = self.job.replay()
        self.start = np.full(self.job.lanes, self.job.quote_units / UNIT)

    def feed(self, until_ns: int) -> None:
        """Feed the packets at or before a time."""
        stop = int(np.searchsorted(self.data.ts, until_ns, side="right"))
        while stop > self.row and not self.data.flags[stop - 1] & PACKET_END:
            stop -= 1
        for chunk in chunks(self.data.rows(self.row, stop)):
            self.replay.feed(chunk)
        self.row = max(self.row, stop)

    def mid2(self, now: int) -> int:
        """Twice the last mid in the view of the decision at a time, ticks; 0: none yet."""
        reg, views = self.replay._state.reg, self.replay._state.capture
        head, tail = int(reg[at.CAPTURE_HEAD]), int(reg[at.CAPTURE_TAIL])
        while head != tail:
            if views[head, at.V_UNTIL] > now:
                return int(views[head, at.V_MID2])
            head = (head + 1) % len(views)
        return int(reg[at.MID2])  # no packet that is known later has been read

    def known(self, now: int) -> I64:
        """Position, cash, commissions in base, those in quote with funding, as lanes know them at a time: columns."""
        state = self.replay._state
        lane, pool = state.lane, state.known
        money = self._money(at.L_KNOWN, at.PAID_KNOWN)
        entry = lane[:, at.L_KNOWN_FIRST].copy()
        who = np.flatnonzero(entry >= 0)
        while len(who):
            who = who[pool[entry[who], at.K_TIME] <= now]
            rows = pool[entry[who]]
            qty = rows[:, at.K_QTY]
            money[who, 0] += qty
            money[who, 1] -= qty * rows[:, at.K_PRICE]
            money[who, 2] += rows[:, at.K_FEE_BASE]
            money[who, 3] += rows[:, at.K_FEE_QUOTE]
            entry[who] = rows[:, at.K_NEXT]
            who = who[entry[who] >= 0]
        return money

    def _money(self, first: int, paid: int) -> I64:
        state = self.replay._state
        money = state.lane[:, first : first + 4].copy()
        if len(state.funding):
            money[:, 3] += state.funding[:, paid]
        return money

    def worth(self, money: I64, mid2: int) -> F64:
        """Own equity, quote: the engine's expression of it (:func:`tidewright.engine.accounts.worth`)."""
        cfg, tick = self.replay._state.cfg, self.replay._state.cfg_f[at.CFG_F_TICK]
        base = self.job.base_units + money[:, 0] * cfg[at.CFG_LOT_UNITS] - money[:, 2]
        cash = money[:, 1] * cfg[at.CFG_QUOTE_NUM]
        if cfg[at.CFG_QUOTE_DEN] == 1:
            quote = (self.job.quote_units - money[:, 3] + cash).astype(np.float64)
        else:
            quote = (self.job.quote_units - money[:, 3]).astype(np.float64)
            quote += cash.astype(np.float64) / float(cfg[at.CFG_QUOTE_DEN])
        equity: F64 = (quote + base.astype(np.float64) * (float(mid2) * (0.5 * tick))) / 1e8
        return equity

    def sample(self, now: int) -> F64:
        """Own equity at the decision at a time; before the first mid, the capital."""
        mid2 = self.mid2(now)
        if mid2 > 0:
            value = self.worth(self.known(now), mid2)
            self._first_mid(mid2)
        else:
            value = self.start
        self.samples.append(value)
        return value

    def _first_mid(self, mid2: int) -> None:
        """The first mid: what the lanes started with is worth this much, and was all the time."""
        if not self.valued:
            self.valued = True
            self.start = self.worth(np.zeros((self.job.lanes, 4), np.int64), mid2)
            self.samples = [self.start] * len(self.samples)

    def lend(self, others: F64) -> None:
        """Enter into the lanes' cash what the other instruments have gained, quote."""
        units = np.rint(others * UNIT).astype(np.int64)
        self.replay._state.lane[:, at.L_QUOTE_START] = self.job.quote_units + units
        self.replay._state.reg[at.ACTED_MID2] = 0  # limits look at equity

    def observe(self, columns: Mapping[int, float]) -> None:
        """Let the lanes' strategy see prices of other instruments: values by the index of a parameter."""
        for index, value in columns.items():
            self.replay.parameters[:, index] = value

    def finish(self, end: int, replaces: bool) -> Result:
        """The end of the portfolio's span: the true state, sums over the own equity, and the fills."""
        self.feed(end)
        self.lend(np.zeros(self.job.lanes))
        self.replay.advance(end)
        self.replay.finish()
        state = self.replay._state
        mid2 = int(state.reg[at.MID2])
        if mid2 > 0:
            value = self.worth(self._money(at.L_POSITION, at.PAID), mid2)
            self._first_mid(mid2)
        else:
            value = self.start
        if replaces:
            self.samples.pop()
        self.samples.append(value)
        curve = np.stack(self.samples)
        stats = own_statistics(self.replay.statistics(), self.start, curve)
        return Result(
            stats,
            np.zeros(0, np.int64),
            curve,
            self.replay.reports(),
            self.replay.shares(),
            self.replay.counts(),
            memory=self.replay.memory(),
        )


def run_lockstep(
    worlds: Sequence[World],
    money: Money,
    span: tuple[int, int],
    observed: Mapping[int, int],
    tell: Callable[[int], None] | None = None,
) -> list[Result]:
    """Replay all instruments together.

    Parameters
    ----------
    worlds
        Of equal cycle, start and lanes.
    span
        Start of the decisions' count and last time, ns.
    observed
        By the index of a strategy's parameter: the world whose mid it shows.
    tell
        Told the rows read after each decision.

    Returns
    -------
    list[Result]
        One a world, in order.
    """
    start, end = span
    cycle = worlds[0].job.config.cycle_ns
    parts = [world.part for world in worlds]
    times = np.arange(start + cycle, end + 1, cycle, dtype=np.int64)
    for now in times.tolist():
        for world in worlds:
            world.feed(now)
        values = [world.sample(now) for world in worlds]
        whole = together(parts, money, values)
        mids = {index: _mid(worlds[number], now) for index, number in observed.items()}
        seen = {index: mid for index, mid in mids.items() if mid > 0.0}
        for world, value in zip(worlds, values, strict=True):
            rate = money.rate(world.part.instrument.quote)
            world.lend((whole if rate == 1.0 else whole / rate) - value)
            world.observe(seen)
            world.replay.advance(now)
        if tell is not None:
            tell(sum(world.row for world in worlds))
    replaces = len(times) > 0 and int(times[-1]) == end
    ts = times if replaces else np.append(times, end)
    return [replace(world.finish(end, replaces), equity_ts=ts) for world in worlds]


def _mid(world: World, now: int) -> float:
    return world.mid2(now) / 2.0 * float(world.job.instrument.tick)
