"""The order book by price: two dense arrays of levels over a window of prices, kernels only.

A side's levels are addressed by an *index* that grows with how good the price is: bids by their distance from the
window's low end, asks mirrored (``index ^ (width - 1)``; the width is a power of two). So every rule is written once,
"better" is "greater", for both sides. A *position* is ``side * width + index``, the place in the array.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.hints import last_held
from tidewright.market.inner import inlined, inner
from tidewright.market.tape import I64
from tidewright.market.zeros import zeros

# Registers, the first of the array they share with the engine.
LOW: Final = 0  # price of the window's low end, ticks
WIDTH: Final = 1  # prices in the window, a power of two
BEST: Final = 2  # 2, 3: index of the best level of bids, asks; -1: none
WORST: Final = 4  # 4, 5: no level above 0 has a smaller index
PLACED: Final = 6  # 1 once the window has a place
STRANGE: Final = 7  # 1 when levels may be UNKNOWN
REGISTERS: Final = 8

UNKNOWN: Final = -1  # quantity of a level that entered the window and has not been heard of since


class Ladder(NamedTuple):
    """A book by price.

    Attributes
    ----------
    qty
        Quantity of each level, (2 * width,) int64 lots: 0 nothing, UNKNOWN never heard of.
    reg
        Registers, int64, at least REGISTERS long.
    """

    qty: I64
    reg: I64


def new_ladder(width: int, reg: I64 | None = None) -> Ladder:
    """An empty book.

    Parameters
    ----------
    width
        Prices in the window, a power of two.
    reg
        Registers to use; ``None``: fresh ones.
    """
    registers = np.zeros(REGISTERS, np.int64) if reg is None else reg
    registers[WIDTH] = width
    registers[BEST] = registers[BEST + 1] = -1
    registers[WORST] = registers[WORST + 1] = width
    return Ladder(zeros((2 * width,), np.int64), registers)


@inlined
def index_of(ladder: Ladder, side: int, price: int) -> int:
    """Index of a price on a side; outside the window: < 0 or >= width, still in the order of goodness."""
    offset = price - ladder.reg[LOW]
    if side == 0:
        return offset
    return ladder.reg[WIDTH] - 1 - offset


@inlined
def price_at(ladder: Ladder, side: int, index: int) -> int:
    """Price of an index of a side, ticks."""
    if side == 0:
        return ladder.reg[LOW] + index
    return ladder.reg[LOW] + ladder.reg[WIDTH] - 1 - index


@inner
def set_level(ladder: Ladder, side: int, index: int, qty: int) -> int:
    """Set a level inside the window; its quantity before, UNKNOWN included."""
    reg = ladder.reg
    position = side * reg[WIDTH] + index
    old = ladder.qty[position]
    ladder.qty[position] = qty
    best = reg[BEST + side]
    if qty > 0:
        if index > best:
            reg[BEST + side] = index
        if index < reg[WORST + side]:
            reg[WORST + side] = index
    elif index == best:
        reg[BEST + side] = next_level(ladder, side, index - 1)
    return old


@inner
def next_level(ladder: Ladder, side: int, index: int) -> int:
    """Index of the best level at or worse than an index that holds something; -1: none."""
    base = side * ladder.reg[WIDTH]
    worst = ladder.reg[WORST + side]
    if index >= worst and ladder.qty[base + index] > 0:  # the next price, where levels are dense
        return index
    while index - 7 >= worst:  # fine ticks leave long gaps
        place = last_held(ladder.qty, base + index - 7)
        if place >= 0:
            return index - 7 + place
        index -= 8
    while index >= worst:
        if ladder.qty[base + index] > 0:
            return index
        index -= 1
    return -1


@inner
def clear(ladder: Ladder) -> None:
    """Empty the book; every level is known to hold nothing."""
    reg = ladder.reg
    width = reg[WIDTH]
    for side in range(2):
        low = np.int64(0) if reg[STRANGE] != 0 else reg[WORST + side]
        high = width if reg[STRANGE] != 0 else reg[BEST + side] + 1
        for index in range(low, high):
            ladder.qty[side * width + index] = 0
        reg[BEST + side] = -1
        reg[WORST + side] = width
    reg[STRANGE] = 0


def shift(column: npt.NDArray[Any], width: int, up: int, blank: int) -> None:
    """Move a per-level column with the window, ``up`` ticks towards higher prices; what enters is ``blank``."""
    for side in range(2):
        part = column[side * width : (side + 1) * width]
        step = up if side == 0 else -up
        if abs(step) >= width:
            part[:] = blank
        elif step > 0:
            part[:-step] = part[step:].copy()
            part[-step:] = blank
        elif step < 0:
            part[-step:] = part[:step].copy()
            part[:-step] = blank


def move_window(ladder: Ladder, low: int) -> None:
    """Put the window's low end at a price; levels that enter are UNKNOWN, those that leave are forgotten.

    The first placement, of an empty book, makes no level unknown.
    """
    reg = ladder.reg
    width = int(reg[WIDTH])
    up = low - int(reg[LOW])
    reg[LOW] = low
    if not reg[PLACED]:
        reg[PLACED] = 1
        return
    if up == 0:
        return
    reg[STRANGE] = 1
    shift(ladder.qty, width, up, UNKNOWN)
    for side in range(2):
        held = np.flatnonzero(ladder.qty[side * width : (side + 1) * width] > 0)
        reg[BEST + side] = held[-1] if len(held) else -1
        reg[WORST + side] = held[0] if len(held) else width


@inlined
def off_centre(ladder: Ladder, price: int) -> bool:
    """Whether a price lies outside the window's middle half, or the window has no place yet."""
    reg = ladder.reg
    quarter = reg[WIDTH] // 4
    return reg[PLACED] == 0 or price < reg[LOW] + quarter or price >= reg[LOW] + reg[WIDTH] - quarter
