"""State of the queue-reactive simulation, and the feed it is sent by: messages as the tape's venue sends them."""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.calibration import QUANTILES
from tidewright.market.calibration_flow import RANKS
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    PACKET_END,
)
from tidewright.market.synthetic_random import U64, uniform
from tidewright.market.tape import F64, I64

SHOWN: Final = 256  # levels a side that were sent and not taken back
STEP_ROWS: Final = 2 * SHOWN + 512  # more rows than one step can write

# Rows of the output: the columns of a tape, in its order.
TS, TS_LOCAL, KIND, FLAGS, PRICE, QTY = range(6)

# Slots of State.counters.
C_COUNT, C_SHOWN, C_MOVE, C_RECEIPT, C_DIRTY, C_REGIME, C_REGIMES, C_STARTED, C_TICK = 0, 2, 4, 5, 6, 7, 8, 9, 10
# Slots of State.scalars.
S_TIME, S_FLUSH, S_TILT, S_SLOW_MID, S_REGIME_END, S_DRIFT, S_STEPS, S_EVENTS = range(8)
# Slots of Market.settings.
P_OFF_BOOK, P_LEVELS, P_TILT, P_TILT_TIME, P_BATCH, P_GRID, P_LEAST_SPREAD, P_TICKERS, P_SLOW_SD, P_MEMORY, P_REACH = (
    range(11)
)

_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}


class Market(NamedTuple):
    """Parameters: fields of :class:`tidewright.market.calibration.Profile`, flat.

    ``edges`` int64[2, QUEUE_BINS - 1] (spread, queue), ``rates`` float64[KINDS, STATES] with the corrections,
    ``base``, ``weights``,
    ``decays``, ``means`` of the excitation, ``tables`` float64[2, KINDS, CONTEXTS, QUANTILES] (sizes, places),
    ``exact``, ``prints`` float64[CONTEXTS, QUANTILES], ``print_edges``, ``quantiles`` float64[4, QUANTILES] (gaps,
    far quantities, intervals, delays),
    ``settings`` float64 by the slots named above, ``regimes`` float64[n, KINDS + 2] (multipliers of the kinds, mean
    stay in seconds, drift of the pressure), ``changes`` float64[n, n] (probabilities of the next regime; no row: no
    regimes).
    """

    edges: I64
    rates: F64
    base: F64
    weights: F64
    decays: F64
    means: F64
    tables: F64
    exact: F64
    prints: F64
    print_edges: F64
    quantiles: F64
    settings: F64
    regimes: F64
    changes: F64


class State(NamedTuple):
    """What changes: the book, the book as sent (``shown``), excitation, regime history, random numbers."""

    random: U64
    prices: I64  # [2, RANKS + 1], best first
    qtys: I64
    shown: I64  # [4, SHOWN]: prices of bids and asks as sent, best first, then their quantities
    level: F64  # [2, GROUPS, decays]
    scalars: F64
    counters: I64
    now: F64  # [2, KINDS] intensities without excitation
    excited: F64  # [2, GROUPS], A
    usual: F64  # [GROUPS], its average over both sides
    history: F64  # [m, 2] time and number of the regimes so far


@njit(**_INNER)
def draw(table: F64, random: U64) -> float:
    """A value of an inverse distribution function."""
    return table[min(QUANTILES - 1, int(uniform(random) * QUANTILES))]


@njit(**_INNER)
def row(out: I64, at: int, ts: int, seen: int, kind: int, flags: int, price: int, qty: int) -> None:
    """Write one row."""
    out[TS, at], out[TS_LOCAL, at], out[KIND, at] = ts, seen, kind
    out[FLAGS, at], out[PRICE, at], out[QTY, at] = flags, price, qty


@njit(**_INNER)
def receipt(m: Market, s: State, ts: int) -> int:
    """Receipt of a message, in order; 0 if the tape has no receipts."""
    if m.quantiles[3, QUANTILES - 1] <= 0.0:
        return 0
    seen = max(ts + int(draw(m.quantiles[3], s.random)), s.counters[C_RECEIPT])
    s.counters[C_RECEIPT] = seen
    return seen


@njit(**_INNER)
def show(m: Market, s: State, ts: int, out: I64, rows: int) -> int:
    """Write the levels that differ from what was sent; levels beyond the worst one known keep what was sent."""
    seen, first = 0, rows
    for side in range(2):
        sign = 1 if side == 0 else -1
        kind = BID if side == 0 else ASK
        count, known = s.counters[C_COUNT + side], s.counters[C_SHOWN + side]
        fresh_p, fresh_q = np.empty(SHOWN + RANKS, np.int64), np.empty(SHOWN + RANKS, np.int64)
        n, i, j = 0, 0, 0
        while i < count or j < known:
            if j >= known or (i < count and (s.prices[side, i] - s.shown[side, j]) * sign > 0):
                price, now, was = s.prices[side, i], s.qtys[side, i], 0
                i += 1
            elif i < count and s.prices[side, i] == s.shown[side, j]:
                price, now, was = s.prices[side, i], s.qtys[side, i], s.shown[2 + side, j]
                i += 1
                j += 1
            else:
                price, was = s.shown[side, j], s.shown[2 + side, j]
                now = 0 if i < count or n >= SHOWN else was  # out of sight
                j += 1
            if n >= SHOWN:
                now = 0
            if now != was:
                if seen == 0:
                    seen = receipt(m, s, ts)
                    seen = seen if seen > 0 else -1
                row(out, rows, ts, max(0, seen), kind, 0, price, now)
                rows += 1
            if now > 0:
                fresh_p[n], fresh_q[n] = price, now
                n += 1
        for i in range(n):
            s.shown[side, i], s.shown[2 + side, i] = fresh_p[i], fresh_q[i]
        s.counters[C_SHOWN + side] = n
    if rows > first:
        out[FLAGS, rows - 1] |= PACKET_END
    s.counters[C_DIRTY] = 0
    return rows


@njit(**_INNER)
def ticker(m: Market, s: State, ts: int, out: I64, rows: int) -> int:
    """Write best quotes that differ from what was sent, a packet each; the side that gives way goes first."""
    up = s.counters[C_SHOWN] > 0 and s.prices[0, 0] > s.shown[0, 0]
    for turn in range(2):
        side = (1 if turn == 0 else 0) if up else turn
        price, qty = s.prices[side, 0], s.qtys[side, 0]
        if s.counters[C_SHOWN + side] > 0 and s.shown[side, 0] == price and s.shown[2 + side, 0] == qty:
            continue
        sign = 1 if side == 0 else -1
        row(out, rows, ts, receipt(m, s, ts), BEST_BID if side == 0 else BEST_ASK, PACKET_END, price, qty)
        rows += 1
        known, better = s.counters[C_SHOWN + side], 0
        while better < known and (s.shown[side, better] - price) * sign > 0:
            better += 1
        same = better < known and s.shown[side, better] == price
        shift = better if same else better - 1  # levels that go, less the one that comes
        if shift >= 0:
            for i in range(shift, known):
                s.shown[side, i - shift] = s.shown[side, i]
                s.shown[2 + side, i - shift] = s.shown[2 + side, i]
            known -= shift
        else:
            known = min(known + 1, SHOWN)
            for i in range(known - 1, 0, -1):
                s.shown[side, i] = s.shown[side, i - 1]
                s.shown[2 + side, i] = s.shown[2 + side, i - 1]
        s.shown[side, 0], s.shown[2 + side, 0] = price, qty
        s.counters[C_SHOWN + side] = known
    return rows
