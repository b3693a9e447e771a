"""Book snapshots and trades merged into tape rows: the compiled part of :mod:`.book_snapshots`."""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.codes import (
    ASK,
    BID,
    GAP,
    INFERRED,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.tape import I64

KNOWN: Final = 1_000  # most levels remembered a side; the farthest go first

# Slots of Merge.state.
LAST_TS, LAST_LOCAL, IN_GAP, TRADE, ROWS = range(5)

# Inner functions are never called from Python: leaving out their wrappers saves much of the compilation.
_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}


class Books(NamedTuple):
    """Consecutive snapshots: level ``i`` of snapshot ``s`` lies at ``starts[s] + i``.

    Attributes
    ----------
    ts, ts_local
        int64[n], ns.
    starts
        int64[2, n + 1], of bids (0) and asks (1).
    bid_prices, bid_quantities, ask_prices, ask_quantities
        int64, ticks and lots, best first.
    """

    ts: I64
    ts_local: I64
    starts: I64
    bid_prices: I64
    bid_quantities: I64
    ask_prices: I64
    ask_quantities: I64


class Trades(NamedTuple):
    """All trades, in order of time: int64 ns, ns, ticks, lots."""

    ts: I64
    ts_local: I64
    price: I64
    qty: I64


class Merge(NamedTuple):
    """What lives on between two calls of :func:`merge`; the arrays are changed in place.

    Attributes
    ----------
    state
        int64[5], by the slots named above.
    known
        int64[2, 2, KNOWN], price and quantity of the known levels of bids (0) and asks (1), best first.
    counts
        int64[2], how many are known.
    spare
        int64[2, KNOWN], room to build the next side.
    """

    state: I64
    known: I64
    counts: I64
    spare: I64


def new_merge() -> Merge:
    """Nothing known yet: the tape starts in a gap."""
    state = np.zeros(5, np.int64)
    state[IN_GAP] = 1
    return Merge(state, np.zeros((2, 2, KNOWN), np.int64), np.zeros(2, np.int64), np.zeros((2, KNOWN), np.int64))


@njit(**_INNER)
def _row(m: Merge, out: I64, ts: int, seen: int, kind: int, flags: int, price: int, qty: int) -> None:
    row = m.state[ROWS]
    out[0, row], out[1, row], out[2, row] = ts, seen, kind
    out[3, row], out[4, row], out[5, row] = flags, price, qty
    m.state[ROWS] = row + 1


@njit(**_INNER)
def _trade(m: Merge, trades: Trades, out: I64) -> None:
    """The next trade, classed by the book before it: locked, one-sided or inside says nothing."""
    at = m.state[TRADE]
    m.state[TRADE] = at + 1
    price = trades.price[at]
    kind, flags = TRADE_UNKNOWN, PACKET_END
    if m.state[IN_GAP] == 0 and m.counts[0] > 0 and m.counts[1] > 0 and m.known[0, 0, 0] < m.known[1, 0, 0]:
        if price >= m.known[1, 0, 0]:
            kind, flags = TRADE_BUY, PACKET_END | INFERRED
        elif price <= m.known[0, 0, 0]:
            kind, flags = TRADE_SELL, PACKET_END | INFERRED
    _row(m, out, trades.ts[at], trades.ts_local[at], kind, flags, price, trades.qty[at])


@njit(**_INNER)
def _gap(m: Merge, interval: int, out: I64) -> None:
    m.state[IN_GAP] = 1
    _row(m, out, m.state[LAST_TS] + interval, m.state[LAST_LOCAL] + interval, GAP, PACKET_END, 0, 0)


@njit(**_INNER)
def _side(
    m: Merge, side: int, prices: I64, quantities: I64, full: bool, ts: int, seen: int, flags: int, out: I64
) -> None:
    """Rows that turn the known levels into the snapshot's.

    ``full``: the snapshot shows as many levels as the recording holds, so what lies beyond its worst one is out of
    sight, not gone, and is left as it was.
    """
    sign = 1 if side == 0 else -1
    kind = BID if side == 0 else ASK
    fresh, old, built = 0, 0, 0
    while fresh < len(prices) or old < m.counts[side]:
        if old < m.counts[side] and (fresh == len(prices) or (m.known[side, 0, old] - prices[fresh]) * sign > 0):
            price, qty = m.known[side, 0, old], m.known[side, 1, old]
            old += 1
            if fresh < len(prices) or not full or built == KNOWN:
                _row(m, out, ts, seen, kind, flags, price, 0)
                continue
        else:
            price, qty = prices[fresh], quantities[fresh]
            fresh += 1
            same = old < m.counts[side] and m.known[side, 0, old] == price
            if not same or m.known[side, 1, old] != qty:
                _row(m, out, ts, seen, kind, flags, price, qty)
            if same:
                old += 1
        m.spare[0, built], m.spare[1, built] = price, qty
        built += 1
    for i in range(built):
        m.known[side, 0, i], m.known[side, 1, i] = m.spare[0, i], m.spare[1, i]
    m.counts[side] = built


@njit(**_ENTRY)
def merge(
    m: Merge, books: Books, trades: Trades, depth: int, hole_ns: int, interval_ns: int, last: bool, out: I64
) -> int:
    """Write the rows of these snapshots and of the trades up to them; returns their number.

    Parameters
    ----------
    m
        State; changed.
    books, trades
        Snapshots of this part, all trades of the recording.
    depth
        Levels a side that a full snapshot has.
    hole_ns
        A longer time without a snapshot is a hole: a gap begins ``interval_ns`` after the last one, and the next
        snapshot starts the book anew.
    interval_ns
        Usual time between snapshots: how long one is taken to hold.
    last
        This is the last part: the trades after it follow, those past its time after a gap.
    out
        int64[6, n], large enough.
    """
    s = m.state
    s[ROWS] = 0
    for i in range(len(books.ts)):
        ts, seen = books.ts[i], books.ts_local[i]
        hole = s[IN_GAP] == 0 and ts - s[LAST_TS] > hole_ns
        holds_until = s[LAST_TS] + interval_ns
        while s[TRADE] < len(trades.ts) and trades.ts[s[TRADE]] <= ts:
            if hole and s[IN_GAP] == 0 and trades.ts[s[TRADE]] > holds_until:
                _gap(m, interval_ns, out)
            _trade(m, trades, out)
        if hole and s[IN_GAP] == 0:
            _gap(m, interval_ns, out)
        first, flags = s[ROWS], 0
        if s[IN_GAP] == 1:
            m.counts[0] = m.counts[1] = 0
            _row(m, out, ts, seen, RESET, 0, 0, 0)
            s[IN_GAP] = 0
            flags = SNAPSHOT
        begin, end = books.starts[0, i], books.starts[0, i + 1]
        _side(
            m,
            0,
            books.bid_prices[begin:end],
            books.bid_quantities[begin:end],
            end - begin >= depth,
            ts,
            seen,
            flags,
            out,
        )
        begin, end = books.starts[1, i], books.starts[1, i + 1]
        _side(
            m,
            1,
            books.ask_prices[begin:end],
            books.ask_quantities[begin:end],
            end - begin >= depth,
            ts,
            seen,
            flags,
            out,
        )
        if s[ROWS] > first:
            out[3, s[ROWS] - 1] |= PACKET_END
        s[LAST_TS], s[LAST_LOCAL] = ts, seen
    while last and s[TRADE] < len(trades.ts):
        if s[IN_GAP] == 0 and trades.ts[s[TRADE]] > s[LAST_TS] + max(interval_ns, hole_ns):
            _gap(m, interval_ns, out)
        _trade(m, trades, out)
    return s[ROWS]
