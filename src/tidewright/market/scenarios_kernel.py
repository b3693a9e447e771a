"""The compiled part of :mod:`tidewright.market.scenarios`: the tape's own book, the book as shown, and what is
between them.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.calibration_flow import store_level
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    MARK,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.synthetic_random import U64, uniform
from tidewright.market.tape import F64, I64

KNOT_VALUES: Final = 5
PACKET_ROOM: Final = 1 << 16  # rows a packet may need: all levels of both books
STEP_NS: Final = 500_000_000  # shift, width and depth change so often while the scenario lasts
_MARK_NS: Final = 1_000_000_000
_MOST: Final = 1 << 14

# Slots of Overlay.state; 0 to 3 count the levels of the tape's bids and asks and of the shown ones.
_SHIFT, _SINCE, _PHASE, _HOME2, _RECEIPT, _NEXT, _MARKED, _START, _LENGTH, _GRID, _WIDE, _DEPTH = range(4, 16)

_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}


class Overlay(NamedTuple):
    """State: ``keys``, ``qtys`` int64[2, n] the tape's book (best last, asks negated), ``shown_keys``, ``shown_qtys``
    the book as shown, ``state`` int64 by the slots above, ``flags`` float64 (delay ns, outage, stale mark, falls),
    ``knots``, ``random``.
    """

    keys: I64
    qtys: I64
    shown_keys: I64
    shown_qtys: I64
    state: I64
    flags: F64
    knots: F64
    random: U64


def new_overlay(
    knots: F64, start_ns: int, length_ns: int, grid: int, flags: tuple[float, float, float, float], seed: int
) -> Overlay:
    """An overlay before the first row."""
    books = [np.zeros((2, _MOST), np.int64) for _ in range(4)]
    state = np.zeros(16, np.int64)
    state[_START], state[_LENGTH], state[_GRID] = start_ns, length_ns, grid
    random = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    return Overlay(books[0], books[1], books[2], books[3], state, np.array(flags), np.ascontiguousarray(knots), random)


@njit(**_INNER)
def _path(o: Overlay, ts: int, value: int) -> float:
    """A value of the path at a time: linear between the corners, the last one afterwards."""
    at = float(ts - o.state[_START])
    k = o.knots
    last = len(k) - 1
    if at >= k[last, 0]:
        return k[last, value]
    i = 0
    while i < last - 1 and k[i + 1, 0] <= at:
        i += 1
    width = k[i + 1, 0] - k[i, 0]
    part = 0.0 if width <= 0.0 else max(0.0, at - k[i, 0]) / width
    return k[i, value] + part * (k[i + 1, value] - k[i, value])


@njit(**_INNER)
def _shift_at(o: Overlay, ts: int) -> int:
    grid = o.state[_GRID]
    return int(np.floor((np.exp(_path(o, ts, 1)) - 1.0) * 0.5 * o.state[_HOME2] / grid + 0.5)) * grid


@njit(**_INNER)
def _widening(o: Overlay, ts: int) -> int:
    """How far each side stands back, ticks."""
    n, m, grid = o.state[0], o.state[1], o.state[_GRID]
    if n == 0 or m == 0:
        return 0
    spread = max(grid, -o.keys[1, m - 1] - o.keys[0, n - 1])
    wide = int((_path(o, ts, 3) - 1.0) * 0.5 * spread / grid + 0.5) * grid
    # small changes wait: every change moves the whole book
    return o.state[_WIDE] if wide > 0 and abs(wide - o.state[_WIDE]) * 5 < wide else wide


@njit(**_INNER)
def _seen(o: Overlay, ts: int, ts_local: int) -> int:
    """Receipt of a row; in order once the scenario has begun."""
    s = o.state
    inside = s[_PHASE] == 1
    if inside and o.flags[1] > 0.0:
        ts_local = max(ts_local, s[_START] + s[_LENGTH])
    elif inside and o.flags[0] > 0.0:
        ts_local = max(ts_local, ts) + int(o.flags[0])
    if ts_local == 0:
        return 0
    if s[_PHASE] > 0:
        ts_local = max(ts_local, s[_RECEIPT])
        s[_RECEIPT] = ts_local
    return ts_local


@njit(**_INNER)
def _row(out: I64, row: int, ts: int, seen: int, kind: int, flags: int, price: int, qty: int) -> None:
    out[0, row], out[1, row], out[2, row] = ts, seen, kind
    out[3, row], out[4, row], out[5, row] = flags, price, qty


@njit(**_INNER)
def _sweep(o: Overlay, ts: int, seen: int, move: int, out: I64, rows: int) -> int:
    """Prints of the shown levels that a step of the price leaves behind."""
    side = 0 if move < 0 else 1
    n = o.state[side]
    if n == 0:
        return rows
    wide = o.state[_WIDE]
    best = o.keys[side, n - 1] - wide + (o.state[_SHIFT] if side == 0 else -o.state[_SHIFT])
    kind = TRADE_SELL if side == 0 else TRADE_BUY
    i = o.state[2 + side] - 1
    while i >= 0 and o.shown_keys[side, i] > best:
        key = o.shown_keys[side, i]
        _row(out, rows, ts, seen, kind, PACKET_END, key if side == 0 else -key, o.shown_qtys[side, i])
        rows += 1
        i -= 1
    return rows


@njit(**_INNER)
def _show(o: Overlay, ts: int, seen: int, flags: int, out: I64, rows: int) -> int:
    """Write what differs between the book that is due now and the one shown; the caller ends the packet."""
    depth, wide, shift = 1e-6 * o.state[_DEPTH], o.state[_WIDE], o.state[_SHIFT]
    keys, qtys = np.empty(_MOST, np.int64), np.empty(_MOST, np.int64)
    for side in range(2):
        offset = (shift if side == 0 else -shift) - wide
        n, known, count = o.state[side], o.state[2 + side], 0
        kind = BID if side == 0 else ASK
        i, j = n - 1, known - 1
        while i >= 0 or j >= 0:
            due = o.keys[side, i] + offset if i >= 0 else 0
            if i >= 0 and ((side == 0 and due <= 0) or (side == 1 and due >= 0)):
                i -= 1  # no price
                continue
            have = o.shown_keys[side, j] if j >= 0 else 0
            if j < 0 or (i >= 0 and due > have):
                key, now, was = due, max(1, int(o.qtys[side, i] * depth)), 0
                i -= 1
            elif i >= 0 and due == have:
                key, now, was = due, max(1, int(o.qtys[side, i] * depth)), o.shown_qtys[side, j]
                i -= 1
                j -= 1
            else:
                key, now, was = have, 0, o.shown_qtys[side, j]
                j -= 1
            if now != was:
                _row(out, rows, ts, seen, kind, flags, key if side == 0 else -key, now)
                rows += 1
            if now > 0:
                keys[count], qtys[count] = key, now
                count += 1
        for at in range(count):  # best last
            o.shown_keys[side, at], o.shown_qtys[side, at] = keys[count - 1 - at], qtys[count - 1 - at]
        o.state[2 + side] = count
    return rows


@njit(**_INNER)
def _begin(o: Overlay) -> bool:
    """Remember the price and the book before the scenario; whether both sides are there."""
    s = o.state
    if s[0] == 0 or s[1] == 0:
        return False
    s[_HOME2] = o.keys[0, s[0] - 1] - o.keys[1, s[1] - 1]
    for side in range(2):
        for i in range(s[side]):
            o.shown_keys[side, i], o.shown_qtys[side, i] = o.keys[side, i], o.qtys[side, i]
        s[2 + side] = s[side]
    s[_PHASE], s[_NEXT], s[_MARKED], s[_DEPTH] = 1, s[_START] + STEP_NS, s[_START], 1_000_000
    return True


@njit(**_INNER)
def _move(o: Overlay, ts: int, ts_local: int, out: I64, rows: int) -> int:
    """A step of the scenario at a time: sweep what it leaves behind, then the levels of the new book."""
    s = o.state
    seen, was = _seen(o, ts, ts_local), s[_SHIFT]
    s[_SHIFT], s[_WIDE], s[_DEPTH] = _shift_at(o, ts), _widening(o, ts), int(1e6 * _path(o, ts, 2) + 0.5)
    if o.flags[2] > 0.0 and ts >= s[_MARKED]:
        _row(out, rows, ts, seen, MARK, PACKET_END, s[_HOME2] // 2, 0)
        rows += 1
        s[_MARKED] += _MARK_NS
    if s[_SHIFT] != was:
        rows = _sweep(o, ts, seen, s[_SHIFT] - was, out, rows)
    first = rows
    rows = _show(o, ts, seen, 0, out, rows)
    if rows > first:
        out[3, rows - 1] |= PACKET_END
    return rows


@njit(**_INNER)
def _apply(o: Overlay, kind: int, price: int, qty: int) -> None:
    """A level row of the tape on the tape's book."""
    side = 0 if kind == BID or kind == BEST_BID else 1
    key = price if side == 0 else -price
    if kind == BEST_BID or kind == BEST_ASK:
        while o.state[side] > 0 and o.keys[side, o.state[side] - 1] > key:
            o.state[side] -= 1
    store_level(o.keys, o.qtys, o.state, side, key, qty)


@njit(**_INNER)
def _print(o: Overlay, ts: int, seen: int, kind: int, flags: int, price: int, qty: int, out: I64, rows: int) -> int:
    """A print of the tape within the scenario."""
    against = TRADE_BUY if o.flags[3] > 0.0 else TRADE_SELL
    if kind == against and uniform(o.random) < _path(o, ts, 4):
        return rows
    wide = 0 if kind == TRADE_UNKNOWN else o.state[_WIDE]
    moved = price + o.state[_SHIFT] + (wide if kind == TRADE_BUY else -wide)
    _row(out, rows, ts, seen, kind, flags | PACKET_END, max(1, moved), max(1, int(qty * (1e-6 * o.state[_DEPTH]))))
    return rows + 1


@njit(**_ENTRY)
def lay(
    o: Overlay, ts: I64, ts_local: I64, kind: I64, flags: I64, price: I64, qty: I64, begin: int, out: I64
) -> tuple[int, int]:
    """Pass rows from ``begin`` on through the scenario until ``out`` is nearly full; rows written, and where to go
    on.
    """
    s, rows, at = o.state, 0, begin
    while at < len(ts):
        end = at
        while not flags[end] & PACKET_END:
            end += 1
        now = ts[at]
        need = 2 * (s[0] + s[1] + s[2] + s[3]) + 2 * (end - at) + 64
        if rows + need > out.shape[1]:
            break
        if s[_PHASE] == 0 and now >= s[_START]:
            _begin(o)
        if s[_PHASE] == 1:
            step = min(s[_NEXT], s[_START] + s[_LENGTH])
            if step <= now:  # one step a turn, so that the room is sure
                rows = _move(o, step, 0 if ts_local[at] == 0 else step, out, rows)
                s[_NEXT] += STEP_NS
                if step >= s[_START] + s[_LENGTH]:
                    s[_PHASE] = 2
                continue
        if s[_PHASE] != 1:
            for i in range(at, end + 1):
                what, moved = kind[i], price[i]
                if what == RESET:
                    s[0] = s[1] = 0
                elif what == BID or what == ASK or what == BEST_BID or what == BEST_ASK:
                    _apply(o, what, price[i], qty[i])
                if what <= BEST_ASK or what == MARK:
                    moved = price[i] + s[_SHIFT]
                _row(out, rows, ts[i], _seen(o, ts[i], ts_local[i]), what, flags[i], moved, qty[i])
                rows += 1
        else:
            rows = _inside(o, ts, ts_local, kind, flags, price, qty, at, end, out, rows)
        at = end + 1
    return rows, at


@njit(**_INNER)
def _inside(
    o: Overlay,
    ts: I64,
    ts_local: I64,
    kind: I64,
    flags: I64,
    price: I64,
    qty: I64,
    at: int,
    end: int,
    out: I64,
    rows: int,
) -> int:
    """One packet of the tape while the scenario lasts."""
    s, now = o.state, ts[end]
    seen, levels, snapshot, first = _seen(o, now, ts_local[end]), False, False, rows
    for i in range(at, end + 1):
        what = kind[i]
        snapshot = snapshot or flags[i] & SNAPSHOT != 0
        if what == RESET or what == GAP:
            if what == RESET:
                s[0] = s[1] = s[2] = s[3] = 0
            _row(out, rows, now, seen, what, 0, price[i], qty[i])
            rows += 1
            levels = True
        elif what == BID or what == ASK or what == BEST_BID or what == BEST_ASK:
            _apply(o, what, price[i], qty[i])
            levels = True
        elif what == TRADE_BUY or what == TRADE_SELL or what == TRADE_UNKNOWN:
            rows = _print(o, now, seen, what, flags[i], price[i], qty[i], out, rows)
        elif what == MARK and o.flags[2] > 0.0:
            continue
        else:
            moved = price[i] + s[_SHIFT] if what == MARK else price[i]
            _row(out, rows, now, seen, what, flags[i] | PACKET_END, moved, qty[i])
            rows += 1
    if levels:
        before = rows
        rows = _show(o, now, seen, SNAPSHOT if snapshot else 0, out, rows)
        if rows > before or (rows > first and not out[3, rows - 1] & PACKET_END):
            out[3, rows - 1] |= PACKET_END
    return rows
