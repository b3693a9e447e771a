"""The best prices after every packet of a tape, for checking and summaries.

It keeps each side as a sorted list, so it needs no price window; the engine has a faster book of its own.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.tape import I64, U8, Columns

WHOLE: Final = 0
LOCKED: Final = 1
CROSSED: Final = 2
ONE_SIDED: Final = 3
IN_GAP: Final = 4
STATE_NAMES: Final = ("whole", "locked", "crossed", "one_sided", "gap")

_MOST: Final = 1 << 16  # levels a side; the farthest are forgotten
# Inner functions are never called from Python: leaving out their wrappers saves much of the compilation.
_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}


class Touches(NamedTuple):
    """The book after every packet.

    Attributes
    ----------
    row
        int64, index of the packet's last row.
    bid, ask
        int64 ticks, the best prices; meaningless where ``state`` says that a side is missing.
    state
        uint8, a code of :data:`STATE_NAMES`.
    unchanged
        Level rows that set the quantity a level already had.
    unknown_removals
        Level rows that removed a level that was not there.
    """

    row: I64
    bid: I64
    ask: I64
    state: U8
    unchanged: int
    unknown_removals: int


def touches(data: Columns) -> Touches:
    """Play a tape's rows and note the touch after every packet."""
    packets = int(np.count_nonzero(data.flags & PACKET_END))
    row, bid, ask = (np.zeros(packets, np.int64) for _ in range(3))
    state, counts = np.zeros(packets, np.uint8), np.zeros(2, np.int64)
    # read-only maps and arrays would be two signatures to compile
    kind, flags, price, qty = (np.require(c, requirements="W") for c in (data.kind, data.flags, data.price, data.qty))
    _play(kind, flags, price, qty, row, bid, ask, state, counts)
    return Touches(row, bid, ask, state, int(counts[0]), int(counts[1]))


@njit(**_INNER)
def _find(prices: I64, count: int, key: int) -> int:
    """First index whose entry is >= key; entries rise."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if prices[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**_INNER)
def _set(prices: I64, quantities: I64, count: int, key: int, qty: int, counts: I64) -> int:
    """Set one level, the best one is last; returns the new number of levels."""
    at = _find(prices, count, key)
    known = at < count and prices[at] == key
    if qty == 0:
        if not known:
            counts[1] += 1
            return count
        for i in range(at, count - 1):
            prices[i] = prices[i + 1]
            quantities[i] = quantities[i + 1]
        return count - 1
    if known:
        counts[0] += quantities[at] == qty
        quantities[at] = qty
        return count
    if count == _MOST:  # forget the farthest
        if at == 0:
            return count
        for i in range(at - 1):
            prices[i] = prices[i + 1]
            quantities[i] = quantities[i + 1]
        prices[at - 1] = key
        quantities[at - 1] = qty
        return count
    for i in range(count, at, -1):
        prices[i] = prices[i - 1]
        quantities[i] = quantities[i - 1]
    prices[at] = key
    quantities[at] = qty
    return count + 1


@njit(**_ENTRY)
def _play(kind: U8, flags: U8, price: I64, qty: I64, row: I64, bid: I64, ask: I64, state: U8, counts: I64) -> None:
    # asks are kept under their negated price, so that the best of either side is the last of a rising list
    prices, quantities = np.zeros((2, _MOST), np.int64), np.zeros((2, _MOST), np.int64)
    held = np.zeros(2, np.int64)
    gap, snapshot, packet = True, False, 0
    for i in range(len(kind)):
        what = kind[i]
        if what == BID or what == ASK or what == BEST_BID or what == BEST_ASK:
            side = 0 if what == BID or what == BEST_BID else 1
            key = price[i] if side == 0 else -price[i]
            if what == BEST_BID or what == BEST_ASK:
                held[side] = _find(prices[side], held[side], key + 1)
            held[side] = _set(prices[side], quantities[side], held[side], key, qty[i], counts)
            snapshot = snapshot or flags[i] & SNAPSHOT != 0
        elif what == RESET or what == GAP:
            gap, snapshot = True, False
            if what == RESET:
                held[0] = held[1] = 0
        if flags[i] & PACKET_END:
            if snapshot:
                gap = False
            snapshot = False
            row[packet] = i
            bid[packet] = prices[0, held[0] - 1] if held[0] > 0 else 0
            ask[packet] = -prices[1, held[1] - 1] if held[1] > 0 else 0
            if gap:
                state[packet] = IN_GAP
            elif held[0] == 0 or held[1] == 0:
                state[packet] = ONE_SIDED
            elif bid[packet] > ask[packet]:
                state[packet] = CROSSED
            elif bid[packet] == ask[packet]:
                state[packet] = LOCKED
            else:
                state[packet] = WHOLE
            packet += 1
