"""What it costs and how long it takes to leave a position: from the book, and from the square-root law of impact.

Costs are fractions of the position's value at the mid; times are nanoseconds of market time.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from tidewright.market.clock import DAY
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64

IMPACT_EXPONENT: Final = 0.5
"""Of the share of the day's volume. Measured 0.489 +- 0.0015 over stocks (Sato & Kanazawa, arXiv 2411.13965)."""

IMPACT_FACTOR: Final = 1.0
"""Y of the law, of order 1 (Toth et al. 2011); to be fitted where own executions are at hand."""


class Levels(NamedTuple):
    """One side of a book, best first.

    Attributes
    ----------
    price
        Quote per base, (n,) float64.
    quantity
        Base units, (n,) float64.
    """

    price: F64
    quantity: F64


class Walk(NamedTuple):
    """What a market order finds.

    Attributes
    ----------
    filled
        Base units that the book holds of what was wanted.
    average
        Mean price paid, quote per base; NaN if nothing.
    cost
        Loss against the mid, fraction; NaN if nothing.
    """

    filled: float
    average: float
    cost: float


def walk(levels: Levels, quantity: float, mid: float) -> Walk:
    """Take a quantity out of a side of the book."""
    taken = np.minimum(levels.quantity, np.maximum(0.0, quantity - _before(levels.quantity)))
    filled = float(taken.sum())
    if filled <= 0:
        return Walk(0.0, math.nan, math.nan)
    average = float((taken * levels.price).sum() / filled)
    return Walk(filled, average, abs(average / mid - 1.0))


def square_root_impact(
    share_of_volume: float,
    daily_deviation: float,
    factor: float = IMPACT_FACTOR,
    exponent: float = IMPACT_EXPONENT,
) -> float:
    """``I = Y sigma_D (Q / V_D)^delta``: price move of a metaorder, fraction.

    Parameters
    ----------
    share_of_volume
        Quantity over the day's volume, Q / V_D.
    daily_deviation
        Deviation of a day's return, sigma_D.
    """
    if share_of_volume < 0 or daily_deviation < 0:
        raise UsageError(f"impact needs volume and deviation >= 0, were {share_of_volume} and {daily_deviation}")
    return factor * daily_deviation * share_of_volume**exponent


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What is known of a market's liquidity.

    Attributes
    ----------
    daily_volume
        Traded in a day, base units.
    daily_deviation
        Deviation of a day's return, fraction.
    bids, asks
        The book, or ``None`` where there is none: then half the spread is not counted either.
    mid
        Quote per base.
    taker_fee
        Rate, fraction.
    participation
        Most of the traded volume that an exit may make up, 0 to 1.
    """

    daily_volume: float
    daily_deviation: float
    mid: float
    bids: Levels | None = None
    asks: Levels | None = None
    taker_fee: float = 0.0
    participation: float = 0.1

    def __post_init__(self) -> None:
        if not self.daily_volume >= 0 or not self.daily_deviation >= 0 or not self.mid > 0:
            raise UsageError(
                f"liquidity needs volume and deviation >= 0 and a mid > 0, were {self.daily_volume}, "
                f"{self.daily_deviation} and {self.mid}"
            )
        if not 0 < self.participation <= 1:
            raise UsageError(f"participation must be in (0, 1], was {self.participation}")


class Unwind(NamedTuple):
    """What it takes to leave a position.

    Attributes
    ----------
    cost
        Fraction of the position's value: the dearer of walking the book now and the square-root law, and the fee.
    amount
        The same in quote.
    time_ns
        At the participation; 2**62 where nothing trades.
    book_share
        Of the quantity that the book holds now, 0 to 1; 0 without a book.
    """

    cost: float
    amount: float
    time_ns: int
    book_share: float


NEVER: Final = 2**62


def unwind(quantity: float, market: Liquidity) -> Unwind:
    """Cost and time to leave a position.

    Parameters
    ----------
    quantity
        Base units with the position's sign: a long one is sold into the bids.

    Notes
    -----
    What the book holds is taken at its prices; the rest is worked at the participation and moves the price by the
    square-root law of the whole quantity. With ``daily_volume`` 0 what the book does not hold cannot be left at all:
    its cost is everything.
    """
    size = abs(quantity)
    if size == 0:
        return Unwind(0.0, 0.0, 0, 1.0)
    side = market.bids if quantity > 0 else market.asks
    at_once = walk(side, size, market.mid) if side is not None else Walk(0.0, math.nan, math.nan)
    share = at_once.filled / size
    rest = size - at_once.filled
    if rest > 1e-12 * size and market.daily_volume <= 0:
        return Unwind(1.0, size * market.mid, NEVER, share)
    law = square_root_impact(size / market.daily_volume, market.daily_deviation) if market.daily_volume > 0 else 0.0
    book = 0.0 if at_once.filled <= 0 else at_once.cost * share
    # The last level seen is the least the rest pays; the law says what its own size adds.
    last = 0.0
    if side is not None and rest > 1e-12 * size and len(side.price):
        last = abs(float(side.price[-1]) / market.mid - 1.0) * (1.0 - share)
    cost = min(1.0, max(book + last, law) + market.taker_fee)
    time_ns = 0
    if rest > 1e-12 * size:
        time_ns = min(NEVER, math.ceil(rest / (market.participation * market.daily_volume) * DAY))
    return Unwind(cost, cost * size * market.mid, time_ns, share)


def _before(quantity: F64) -> F64:
    found: F64 = np.cumsum(quantity) - quantity
    return found
