"""A synthetic market like a given one: a queue-reactive limit order book with Hawkes excitation, calibrated to a tape.

The model
---------
Orders of nine kinds (see :mod:`tidewright.market.calibration_flow`) arrive on both sides with intensities
``f_e(X_t) * A_g(t)``: ``f`` depends on spread, queues at the touch and the mid's last move (queue-reactive, Huang,
Lehalle and Rosenbaum 2015), ``A`` on the orders so far (Hawkes; Wu, Rambaldi, Muzy and Bacry 2019). Sizes, distances
and ranks are drawn from the tape's own, by queue, spread or rank. Price changes are no events of their own: the mid
moves when a best level is emptied or bettered.

A *pressure* ``b`` leans on both sides: bids inside the spread and cancellations of the best ask are ``exp(b)`` times as
frequent, asks inside the spread and cancellations of the best bid ``exp(-b)``. With a positive strength it is an
Ornstein-Uhlenbeck process (30 s) that makes moves persist, and leans on market orders with 0.4 of it; with a negative
one it is a pull of the mid towards its own 30 s average. The regime ``mean-reverting`` is such a pull, towards the
average of half an hour.

Left to themselves, states and excitation drive each other and the market would drift between a sleepy and a frantic
mode. ``A`` is therefore taken relative to its own slow average (5,000 orders, two to thirty minutes), and never over
15.

Levels are sent as the tape's feed sends them: every ``batch`` what differs from what was sent before, prints (and
best quotes, if the tape has them) at once. The book is never crossed at the end of a packet. Levels beyond the best
128 of a side are out of sight and keep what was sent.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.calibration import CONTEXTS, QUANTILES, Profile
from tidewright.market.calibration_flow import KINDS, RANKS
from tidewright.market.calibration_regimes import Regimes
from tidewright.market.clock import HOUR, SECOND
from tidewright.market.errors import UsageError
from tidewright.market.hawkes import GROUPS
from tidewright.market.instrument import Instrument
from tidewright.market.queue_reactive_feed import (
    C_COUNT,
    C_REGIMES,
    C_STARTED,
    C_TICK,
    P_BATCH,
    P_GRID,
    P_LEAST_SPREAD,
    P_LEVELS,
    P_MEMORY,
    P_OFF_BOOK,
    P_REACH,
    P_SLOW_SD,
    P_TICKERS,
    P_TILT,
    P_TILT_TIME,
    S_EVENTS,
    S_TIME,
    SHOWN,
    STEP_ROWS,
    Market,
    State,
)
from tidewright.market.queue_reactive_kernel import open_book, run
from tidewright.market.synthetic import START_NS
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape, concatenate
from tidewright.market.tape_writer import TapeWriter

DETAIL: Final = "L2+trades (synthetic, like a tape)"
PRESSURE_SECONDS: Final = 30.0
MOST_BRANCHING: Final = 0.95
_MEMORY_ORDERS: Final = 5_000  # orders over which the excitation's average is taken
_CHUNK_ROWS: Final = 1 << 16
_SLOW_DECAY: Final = 0.05  # 1/s: excitation slower than this is what regimes stand for


class LikeGenerator:
    """Rows of a market like the one measured, chunk by chunk; iterate over it.

    Parameters
    ----------
    profile
        What :func:`tidewright.market.calibration.calibrate` measured.
    hours
        Market time, > 0.
    seed
        Any integer; the same profile and seed give the same bytes.
    start_ns
        Venue time of the first packet, ns, whole milliseconds.
    regimes
        Regimes to switch between; the excitation slower than 20 s, whose part they take, is then left out.
    """

    def __init__(
        self, profile: Profile, hours: float, seed: int, start_ns: int = START_NS, regimes: Regimes | None = None
    ) -> None:
        if not 0 < hours <= 24 * 366:
            raise UsageError(f"hours must be > 0 and at most a year, was {hours}")
        if start_ns % 1_000_000 or start_ns <= 0:
            raise UsageError(f"the start must be a whole millisecond after 1970, was {start_ns} ns")
        self._seconds = hours * HOUR / SECOND
        self._start_ns = start_ns
        self._names = () if regimes is None else regimes.names
        self._market = _market(profile, regimes)
        self._state = _state(profile, seed)
        self._buffer = np.zeros((len(COLUMN_TYPES), _CHUNK_ROWS + STEP_ROWS), np.int64)

    @property
    def done(self) -> float:
        """Share of the market time written so far, 0 to 1."""
        return min(1.0, float(self._state.scalars[S_TIME]) / self._seconds)

    @property
    def orders(self) -> int:
        """Orders that arrived so far."""
        return int(self._state.scalars[S_EVENTS])

    def regimes(self) -> list[tuple[int, str]]:
        """Start (ns) and name of each regime so far; empty without regimes."""
        known = self._state.history[: int(self._state.counters[C_REGIMES])]
        return [(self._start_ns + int(start * SECOND), self._names[int(number)]) for start, number in known]

    def __iter__(self) -> Iterator[Columns]:
        if not self._state.counters[C_STARTED]:
            yield self._columns(open_book(self._market, self._state, self._start_ns, self._buffer))
        while self.done < 1.0:
            rows = run(self._market, self._state, self._start_ns, self._seconds, self._buffer)
            yield self._columns(rows)

    def _columns(self, rows: int) -> Columns:
        types = COLUMN_TYPES.values()
        ts, ts_local, kind, flags, price, qty = (self._buffer[i, :rows].astype(dtype) for i, dtype in enumerate(types))
        return Columns(ts, ts_local, kind, flags, price, qty)


def _market(profile: Profile, regimes: Regimes | None) -> Market:
    excitation = profile.excitation.capped(MOST_BRANCHING)
    base, weights = excitation.base, excitation.weights
    table, changes = np.zeros((0, KINDS + 2)), np.zeros((0, 0))
    if regimes is not None:
        slow = excitation.decays < _SLOW_DECAY
        base = base + weights[:, :, slow].sum(axis=(1, 2))
        weights = np.where(slow, 0.0, weights)
        table = np.column_stack([regimes.rates, regimes.stay, regimes.drift])
        changes = regimes.changes
    settings = np.zeros(11)
    settings[P_OFF_BOOK], settings[P_LEVELS] = profile.off_book, max(5.0, profile.levels)
    settings[P_TILT], settings[P_TILT_TIME] = profile.tilt, PRESSURE_SECONDS
    settings[P_BATCH], settings[P_GRID] = profile.feed.batch_ns, profile.feed.grid
    settings[P_LEAST_SPREAD] = 0 if profile.feed.locks else profile.feed.grid
    settings[P_TICKERS] = float(profile.feed.tickers)
    settings[P_MEMORY] = min(1800.0, max(120.0, _MEMORY_ORDERS / max(float(profile.observed.sum()), 1e-9)))
    settings[P_SLOW_SD], settings[P_REACH] = profile.slow_sd, profile.reach
    if regimes is not None and regimes.pull is not None:
        settings[P_TILT], settings[P_TILT_TIME] = -regimes.pull.strength, regimes.pull.seconds
        settings[P_SLOW_SD] = regimes.pull.deviations * profile.slow_sd
    return Market(
        np.stack([profile.bins.spread, profile.bins.queue]),
        np.ascontiguousarray(profile.rates * profile.scale[:, None]),
        np.ascontiguousarray(base, np.float64),
        np.ascontiguousarray(weights, np.float64),
        np.ascontiguousarray(excitation.decays),
        excitation.rates.astype(np.float64),
        np.ascontiguousarray(np.stack([profile.sizes, profile.places])),
        np.ascontiguousarray(profile.exact),
        np.ascontiguousarray(profile.prints.reshape(CONTEXTS, QUANTILES)),
        np.ascontiguousarray(profile.print_edges),
        np.stack([profile.gaps, profile.far, profile.feed.intervals, profile.feed.delays]),
        settings,
        np.ascontiguousarray(table),
        np.ascontiguousarray(changes),
    )


def _state(profile: Profile, seed: int) -> State:
    prices, qtys = np.zeros((2, RANKS + 1), np.int64), np.zeros((2, RANKS + 1), np.int64)
    counters = np.zeros(C_TICK + 1, np.int64)
    for side, book in enumerate(profile.book):
        count = min(RANKS, book.shape[1])
        prices[side, :count], qtys[side, :count] = book[0, :count], book[1, :count]
        counters[C_COUNT + side] = count
    decays = profile.excitation.decays
    return State(
        np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64),
        prices,
        qtys,
        np.zeros((4, SHOWN), np.int64),
        np.ones((2, GROUPS, len(decays))),  # every term at its mean
        np.zeros(8),
        counters,
        np.zeros((2, KINDS)),
        np.ones((2, GROUPS)),
        np.ones(GROUPS),
        np.zeros((4096, 2)),
    )


def synthesize_like(
    path: str | Path | None,
    profile: Profile,
    instrument: Instrument,
    hours: float,
    seed: int,
    *,
    start_ns: int = START_NS,
    regimes: Regimes | None = None,
    notes: dict[str, Any] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Tape:
    """Write a market like the one measured, or with ``path=None`` keep it in memory.

    Raises
    ------
    UsageError
        If a parameter is out of range or the path exists.
    """
    generator = LikeGenerator(profile, hours, seed, start_ns, regimes)
    source = f"synthetic: queue-reactive, seed {seed}, {hours:g} h"

    def about() -> dict[str, Any]:
        told = [[start, name] for start, name in generator.regimes()]
        return {"synthetic": True, "seed": seed, "regimes": told, "like": profile.summary(), **(notes or {})}

    if path is None:
        data = concatenate(generator)
        return Tape(
            Path(), instrument, {"rows": len(data.ts), "detail": DETAIL, "source": source, "notes": about()}, data
        )
    with TapeWriter(path, instrument, detail=DETAIL, source=source) as writer:
        for chunk in generator:
            writer.append(chunk)
            if progress is not None:
                progress(generator.done)
        writer.notes = about()
    return Tape.open(path)
