"""What a strategy sees and where it writes: the same two tuples in backtest, shadow lanes, paper and live."""

from typing import Final, NamedTuple

import numpy as np

from tidewright.market.tape import I64

MAX_LEVELS: Final = 32  # most quotes a side a strategy may want


class View(NamedTuple):
    """The known state of one lane at a decision. Scalars only.

    Attributes
    ----------
    now_ns, elapsed_ns, cycle_ns
        Decision time, time since the start, and time between decisions, int64 ns, market time.
    best_bid, best_ask
        int64 ticks, of the whole book in view (equal when locked).
    bid_qty, ask_qty
        Quantity at the best levels, int64 lots.
    mid2
        best_bid + best_ask, int64 ticks: twice the mid, exact.
    tick, lot
        Price and quantity step, float64.
    price_change
        Log return of the mid over the last cycle, float64.
    volatility
        Exponentially weighted deviation of the mid's log return a cycle, float64; 0 before there is one.
    imbalance
        (bid - ask) / (bid + ask) quantity at the best levels, float64 in [-1, 1].
    position
        Net filled quantity known to the lane, int64 lots, from its starting inventory.
    """

    now_ns: int
    elapsed_ns: int
    cycle_ns: int
    best_bid: int
    best_ask: int
    bid_qty: int
    ask_qty: int
    mid2: int
    tick: float
    lot: float
    price_change: float
    volatility: float
    imbalance: float
    position: int


class Quotes(NamedTuple):
    """Where a strategy writes its target quotes; reused, so only the counted entries mean anything.

    Attributes
    ----------
    bid_price, ask_price
        int64 ticks, shape (MAX_LEVELS,).
    bid_qty, ask_qty
        int64 lots, shape (MAX_LEVELS,).
    """

    bid_price: I64
    bid_qty: I64
    ask_price: I64
    ask_qty: I64


def new_quotes() -> Quotes:
    """Fresh buffers for one lane's target quotes."""
    return Quotes(*(np.zeros(MAX_LEVELS, np.int64) for _ in range(4)))
