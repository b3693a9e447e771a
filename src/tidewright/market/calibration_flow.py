"""The order flow behind a tape: its level rows and prints turned into limit orders, cancellations and market orders.

A tape of level quantities (L2) does not say what an order did. Here the change of a level is read as one order: more
quantity is a limit order, less is a market order as far as prints explain it, else a cancellation. Several orders at
one level within one packet are one net change: counts are lower bounds, equally for every tape they are compared on.

Rules
-----
* A print acts on its level at once; the level row that follows then changes nothing. If the level row comes first,
  prints of that price within ``window_ns`` after it explain its fall.
* Prints of one instant and side are one market order (``GROUP`` counts them).
* Of one packet, what falls comes before what grows; the orders of a packet are spread evenly over the time since the
  packet before, at most the feed's interval: a feed that sends every 100 ms says no more about when they came.
* A level that would cross the other side removes what it crosses (feeds send the two sides apart).
* A print of unknown side is a buy above the mid and a sell below it (Lee and Ready 1991); at the mid, as the last one.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.tape import I64, U8, Columns

# Kinds of orders.
IMPROVE: Final = 0  # a limit order between the two bests
JOIN: Final = 1  # a limit order at the best
ADD: Final = 2  # a limit order at a level behind the best
NEW: Final = 3  # a limit order behind the best where no level was
TRIM: Final = 4  # part of the best level is cancelled
CLEAR: Final = 5  # all of the best level is cancelled
CUT: Final = 6  # part of a level behind the best is cancelled
DROP: Final = 7  # all of a level behind the best is cancelled
TAKE: Final = 8  # a market order (any print)
KINDS: Final = 9
KIND_NAMES: Final = ("improve", "join", "add", "new", "trim", "clear", "cut", "drop", "take")

RANKS: Final = 128  # levels a side whose orders are noted

# Rows of Flow.orders.
(T, KIND, SIDE, RANK, DIST, SIZE, BEFORE, SPREAD, OWN, OPPOSITE, MOVE, MID2, MID2_AFTER, GROUP, SEGMENT, LEVELS) = (
    range(16)
)
FIELDS: Final = 16
# Rows of Flow.books.
(B_T, B_BID, B_ASK, B_BID_QTY, B_ASK_QTY, B_BID_VOLUME, B_ASK_VOLUME, B_SEGMENT) = range(8)

VOLUME_LEVELS: Final = 10

_MOST: Final = 1 << 14
_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}

# Slots of the kernel's registers.
_COUNT, _LAST_MOVE, _SEGMENT, _EVENTS, _GROUP_TS, _GROUP_SIDE, _GROUP, _LAST_SIDE, _FULL, _READY = (
    0,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
)


class Flow(NamedTuple):
    """Orders and books of a tape.

    Attributes
    ----------
    orders
        int64[16, n], a column an order, rows by the names above: time (ns), kind, side of the level (0 bid, 1 ask),
        rank of the level (0 is the best; -1: a print off the book), distance behind the own best in ticks (negative:
        better), size and quantity of the level before (lots), spread before (ticks), quantity of the own and of the
        opposite best before, last move of the mid (1 up, -1 down, 0 none yet), twice the mid before and after
        (ticks), number of the print in its market order, number of the stretch without a gap, levels of the side
        before (at most RANKS).
    books
        int64[8, m], the book at the ends of packets: time, best bid, best ask, their quantities, quantity on the first
        ten levels of either side, number of the stretch.
    last_book
        Bids and asks at the end, int64[2, levels] each: prices (ticks) and quantities (lots), best first, at most
        RANKS.
    """

    orders: I64
    books: I64
    last_book: tuple[I64, I64]


def order_flow(data: Columns, batch_ns: int = 0, window_ns: int = 50_000_000, locks: bool = False) -> Flow:
    """Orders and books of a tape.

    Parameters
    ----------
    data
        Rows of a tape.
    batch_ns
        Interval at which the feed sends levels, ns; 0: at once.
    window_ns
        How long after a level's fall a print may explain it, ns.
    locks
        Whether a best bid equal to the best ask is allowed (else the older side gives way).
    """
    packets = int(np.count_nonzero(data.flags & PACKET_END))
    # read-only maps and arrays would be two signatures to compile
    ts, price, qty = (np.require(column, requirements="W") for column in (data.ts, data.price, data.qty))
    kind, flags = np.require(data.kind, requirements="W"), np.require(data.flags, requirements="W")
    prints = (kind >= TRADE_BUY) & (kind <= TRADE_UNKNOWN)
    room = 2 * len(data.ts) + 1024
    while True:
        orders, books = np.zeros((FIELDS, room), np.int64), np.zeros((8, packets), np.int64)
        registers = np.zeros(11, np.int64)
        keys, qtys = np.zeros((2, _MOST), np.int64), np.zeros((2, _MOST), np.int64)
        rows = _Rows(ts, kind, price, qty, np.where(prints, qty, 0))
        noted = _reconstruct(rows, flags, batch_ns, window_ns, int(locks), keys, qtys, orders, books, registers)
        if not registers[_FULL]:
            last = tuple(
                _levels(keys[side], qtys[side], int(registers[_COUNT + side]), 1 - 2 * side) for side in (0, 1)
            )
            return Flow(orders[:, : registers[_EVENTS]].copy(), books[:, :noted].copy(), (last[0], last[1]))
        room *= 2


def _levels(keys: I64, qtys: I64, count: int, sign: int) -> I64:
    """Price and quantity of the best levels of a side, best first."""
    best = slice(max(0, count - RANKS), count)
    return np.stack([sign * keys[best][::-1], qtys[best][::-1]])


class _Rows(NamedTuple):
    """The tape's columns, and what of each print is not yet explained by a level's fall."""

    ts: I64
    kind: U8
    price: I64
    qty: I64
    left: I64


@njit(**_INNER)
def _find(keys: I64, count: int, key: int) -> int:
    """First index whose entry is >= key; entries rise."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**_INNER)
def _note(
    keys: I64, qtys: I64, reg: I64, orders: I64, ts: int, kind: int, side: int, key: int, size: int, before: int
) -> None:
    """Note one order with the book as it is before it; sides are kept best last, asks under negated prices."""
    at = reg[_EVENTS]
    if at >= orders.shape[1]:
        reg[_FULL] = 1
        return
    own, other = reg[_COUNT + side], reg[_COUNT + 1 - side]
    bid, ask = keys[0, reg[_COUNT] - 1], -keys[1, reg[_COUNT + 1] - 1]
    place = _find(keys[side], own, key)
    known = place < own and keys[side, place] == key
    best = keys[side, own - 1]
    if kind == TAKE:
        rank = own - 1 - place if known else -1
    elif known:
        rank = own - 1 - place
    else:
        rank = own - place  # the rank it will have
    if rank >= RANKS:
        return
    orders[T, at], orders[KIND, at], orders[SIDE, at], orders[RANK, at] = ts, kind, side, rank
    orders[DIST, at], orders[SIZE, at], orders[BEFORE, at] = best - key, size, before
    orders[SPREAD, at] = ask - bid
    orders[OWN, at], orders[OPPOSITE, at] = qtys[side, own - 1], qtys[1 - side, other - 1]
    orders[MOVE, at], orders[MID2, at], orders[MID2_AFTER, at] = reg[_LAST_MOVE], bid + ask, bid + ask
    orders[SEGMENT, at], orders[LEVELS, at] = reg[_SEGMENT], min(own, RANKS)
    reg[_EVENTS] = at + 1


@njit(**_INNER)
def _moved(keys: I64, reg: I64, orders: I64, since: int) -> None:
    """Write the mid after the orders noted from ``since`` on, and the direction it moved."""
    if reg[_COUNT] == 0 or reg[_COUNT + 1] == 0:
        return
    mid2 = keys[0, reg[_COUNT] - 1] - keys[1, reg[_COUNT + 1] - 1]
    for i in range(since, reg[_EVENTS]):
        orders[MID2_AFTER, i] = mid2
        if mid2 != orders[MID2, i]:
            reg[_LAST_MOVE] = 1 if mid2 > orders[MID2, i] else -1


@njit(**_INNER)
def store_level(keys: I64, qtys: I64, reg: I64, side: int, key: int, qty: int) -> None:
    """Set a level without noting an order; ``reg[side]`` is the number of levels of the side, which rise in
    goodness.
    """
    count = reg[_COUNT + side]
    at = _find(keys[side], count, key)
    known = at < count and keys[side, at] == key
    if known and qty > 0:
        qtys[side, at] = qty
    elif known:
        for i in range(at, count - 1):
            keys[side, i] = keys[side, i + 1]
            qtys[side, i] = qtys[side, i + 1]
        reg[_COUNT + side] = count - 1
    elif qty > 0:
        if count == _MOST:  # forget the farthest
            if at == 0:
                return
            for i in range(at - 1):
                keys[side, i] = keys[side, i + 1]
                qtys[side, i] = qtys[side, i + 1]
            keys[side, at - 1] = key
            qtys[side, at - 1] = qty
            return
        for i in range(count, at, -1):
            keys[side, i] = keys[side, i - 1]
            qtys[side, i] = qtys[side, i - 1]
        keys[side, at] = key
        qtys[side, at] = qty
        reg[_COUNT + side] = count + 1


@njit(**_INNER)
def _print(keys: I64, qtys: I64, reg: I64, orders: I64, ts: int, stamp: int, side: int, key: int, size: int) -> None:
    """A print of ``size`` that meets the level ``key`` of ``side``; ``stamp`` is the print's own time."""
    same = reg[_GROUP_TS] == stamp and reg[_GROUP_SIDE] == side
    reg[_GROUP] = reg[_GROUP] + 1 if same else 0
    reg[_GROUP_TS], reg[_GROUP_SIDE] = stamp, side
    count = reg[_COUNT + side]
    at = _find(keys[side], count, key)
    known = at < count and keys[side, at] == key
    before = qtys[side, at] if known else 0
    since = reg[_EVENTS]
    _note(keys, qtys, reg, orders, ts, TAKE, side, key, size, before)
    if reg[_EVENTS] > since:
        orders[GROUP, since] = reg[_GROUP]
    if known and (before > size or count > 1):
        store_level(keys, qtys, reg, side, key, max(0, before - size))
        _moved(keys, reg, orders, since)


@njit(**_INNER)
def _fall(
    rows: _Rows,
    row: int,
    keys: I64,
    qtys: I64,
    reg: I64,
    orders: I64,
    window: int,
    side: int,
    key: int,
    qty: int,
) -> None:
    """A level falls to ``qty``: prints soon after explain what they can, the rest was cancelled."""
    ts, left = rows.ts, rows.left
    own = reg[_COUNT + side]
    at = _find(keys[side], own, key)
    before = qtys[side, at]
    fall = before - qty
    j, aim = row + 1, key if side == 0 else -key
    while fall > 0 and j < len(ts) and ts[j] <= ts[row] + window:
        if left[j] > 0 and rows.price[j] == aim:
            meets = rows.kind[j] == TRADE_UNKNOWN or (rows.kind[j] == TRADE_SELL) == (side == 0)
            if meets:
                size = min(left[j], fall)
                left[j] -= size
                fall -= size
                _print(keys, qtys, reg, orders, ts[row], ts[j], side, key, size)
        j += 1
    if fall <= 0:
        return
    own = reg[_COUNT + side]
    if own == 0 or (own == 1 and qty == 0):
        store_level(keys, qtys, reg, side, key, qty)
        return
    at = _find(keys[side], own, key)
    if at >= own or keys[side, at] != key:
        return
    best = at == own - 1
    what = (CLEAR if qty == 0 else TRIM) if best else (DROP if qty == 0 else CUT)
    since = reg[_EVENTS]
    _note(keys, qtys, reg, orders, ts[row], what, side, key, fall, qtys[side, at])
    store_level(keys, qtys, reg, side, key, qty)
    _moved(keys, reg, orders, since)


@njit(**_INNER)
def _grow(keys: I64, qtys: I64, reg: I64, orders: I64, ts: int, side: int, key: int, qty: int) -> None:
    """A level grows to ``qty`` or comes."""
    own = reg[_COUNT + side]
    at = _find(keys[side], own, key)
    known = at < own and keys[side, at] == key
    before = qtys[side, at] if known else 0
    if own > 0 and reg[_COUNT + 1 - side] > 0:
        if known:
            what = JOIN if at == own - 1 else ADD
        else:
            what = IMPROVE if at == own else NEW
        since = reg[_EVENTS]
        _note(keys, qtys, reg, orders, ts, what, side, key, qty - before, before)
        store_level(keys, qtys, reg, side, key, qty)
        _moved(keys, reg, orders, since)
    else:
        store_level(keys, qtys, reg, side, key, qty)


@njit(**_INNER)
def _volume(qtys: I64, side: int, count: int) -> int:
    total = 0
    for i in range(max(0, count - VOLUME_LEVELS), count):
        total += qtys[side, i]
    return total


@njit(**_INNER)
def _traded(rows: _Rows, i: int, keys: I64, qtys: I64, reg: I64, orders: I64) -> None:
    """A print row."""
    side = reg[_LAST_SIDE]
    if rows.kind[i] == TRADE_UNKNOWN:
        mid2 = keys[0, reg[_COUNT] - 1] - keys[1, reg[_COUNT + 1] - 1]
        if 2 * rows.price[i] != mid2:
            side = 1 if 2 * rows.price[i] > mid2 else 0
    else:
        side = 1 if rows.kind[i] == TRADE_BUY else 0
    reg[_LAST_SIDE] = side
    key = rows.price[i] if side == 0 else -rows.price[i]
    _print(keys, qtys, reg, orders, rows.ts[i], rows.ts[i], side, key, rows.left[i])
    rows.left[i] = 0


@njit(**_INNER)
def _lose(rows: _Rows, i: int, keys: I64, qtys: I64, reg: I64, orders: I64, window: int, side: int, least: int) -> None:
    """Levels of a side that are better than ``least`` go, noted as orders except the last of a side."""
    while reg[_COUNT + side] > 0 and keys[side, reg[_COUNT + side] - 1] > least:
        was = reg[_COUNT + side]
        if was > 1:
            _fall(rows, i, keys, qtys, reg, orders, window, side, keys[side, was - 1], 0)
        if reg[_COUNT + side] == was:
            reg[_COUNT + side] = was - 1


@njit(**_INNER)
def _level_row(
    rows: _Rows, i: int, keys: I64, qtys: I64, reg: I64, orders: I64, window: int, locks: int, grows: bool
) -> None:
    """A level row outside gaps and snapshots: its fall in the first turn, its growth in the second."""
    what, qty = rows.kind[i], rows.qty[i]
    side = 0 if what == BID or what == BEST_BID else 1
    key = rows.price[i] if side == 0 else -rows.price[i]
    if not grows and (what == BEST_BID or what == BEST_ASK):
        _lose(rows, i, keys, qtys, reg, orders, window, side, key)
    at = _find(keys[side], reg[_COUNT + side], key)
    known = at < reg[_COUNT + side] and keys[side, at] == key
    before = qtys[side, at] if known else 0
    if not grows and known and qty < before:
        _fall(rows, i, keys, qtys, reg, orders, window, side, key, qty)
    elif grows and qty > before:
        # what the new level crosses is gone; a level at its own price may stay where locked books are allowed
        _lose(rows, i, keys, qtys, reg, orders, window, 1 - side, -key if locks else -key - 1)
        _grow(keys, qtys, reg, orders, rows.ts[i], side, key, qty)


@njit(**_INNER)
def _quiet_row(rows: _Rows, i: int, keys: I64, qtys: I64, reg: I64) -> None:
    """A level row of a gap or a snapshot: the book as it is, no order."""
    what = rows.kind[i]
    side = 0 if what == BID or what == BEST_BID else 1
    key = rows.price[i] if side == 0 else -rows.price[i]
    if what == BEST_BID or what == BEST_ASK:
        while reg[_COUNT + side] > 0 and keys[side, reg[_COUNT + side] - 1] > key:
            reg[_COUNT + side] -= 1
    store_level(keys, qtys, reg, side, key, rows.qty[i])


@njit(**_INNER)
def _write_book(books: I64, noted: int, now: int, keys: I64, qtys: I64, reg: I64) -> None:
    bids, asks = reg[_COUNT], reg[_COUNT + 1]
    books[B_T, noted], books[B_SEGMENT, noted] = now, reg[_SEGMENT]
    books[B_BID, noted], books[B_ASK, noted] = keys[0, bids - 1], -keys[1, asks - 1]
    books[B_BID_QTY, noted], books[B_ASK_QTY, noted] = qtys[0, bids - 1], qtys[1, asks - 1]
    books[B_BID_VOLUME, noted], books[B_ASK_VOLUME, noted] = _volume(qtys, 0, bids), _volume(qtys, 1, asks)


@njit(**_INNER)
def _packet(
    rows: _Rows, begin: int, end: int, quiet: bool, keys: I64, qtys: I64, reg: I64, orders: I64, window: int, locks: int
) -> None:
    """All rows of a packet: what falls, then what grows."""
    for turn in range(2):
        for i in range(begin, end + 1):
            what = rows.kind[i]
            if what == TRADE_BUY or what == TRADE_SELL or what == TRADE_UNKNOWN:
                if turn == 0 and rows.left[i] > 0 and reg[_READY] and reg[_COUNT] > 0 and reg[_COUNT + 1] > 0:
                    _traded(rows, i, keys, qtys, reg, orders)
            elif what == BID or what == ASK or what == BEST_BID or what == BEST_ASK:
                if not quiet:
                    _level_row(rows, i, keys, qtys, reg, orders, window, locks, turn == 1)
                elif turn == 0:
                    _quiet_row(rows, i, keys, qtys, reg)


@njit(**_ENTRY)
def _reconstruct(
    rows: _Rows,
    flags: U8,
    batch: int,
    window: int,
    locks: int,
    keys: I64,
    qtys: I64,
    orders: I64,
    books: I64,
    reg: I64,
) -> int:
    noted, begin, previous = 0, 0, rows.ts[0] if len(flags) else 0
    for end in range(len(flags)):
        if not flags[end] & PACKET_END:
            continue
        snapshot, first = False, reg[_EVENTS]
        for i in range(begin, end + 1):
            if rows.kind[i] == RESET or rows.kind[i] == GAP:
                reg[_READY] = 0
            if rows.kind[i] == RESET:
                reg[_COUNT] = reg[_COUNT + 1] = 0
            snapshot = snapshot or flags[i] & SNAPSHOT != 0
        _packet(rows, begin, end, snapshot or not reg[_READY], keys, qtys, reg, orders, window, locks)
        if reg[_FULL]:
            return 0
        if snapshot and not reg[_READY]:
            reg[_READY] = 1
            reg[_SEGMENT] += 1
            reg[_LAST_MOVE] = 0
        now = rows.ts[end]
        fresh, start = reg[_EVENTS] - first, max(previous, now - batch)
        for i in range(fresh):
            if orders[KIND, first + i] != TAKE or fresh > 1:
                orders[T, first + i] = start + (now - start) * (i + 1) // fresh
        previous = now
        if reg[_READY] and reg[_COUNT] > 0 and reg[_COUNT + 1] > 0:
            _write_book(books, noted, now, keys, qtys, reg)
            noted += 1
        begin = end + 1
    return noted
