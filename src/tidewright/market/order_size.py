"""The smallest order that a venue's filters let through, at a price, and the newest price of a tape."""

from typing import Final

import numpy as np

from tidewright.market.codes import BEST_ASK, BEST_BID, TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns

_PRICED: Final = (TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN, BEST_BID, BEST_ASK)
_LOOK: Final = 1 << 16  # rows looked at at a time, from behind


def least_lots(instrument: Instrument, price_ticks: int) -> int:
    """Lots of the smallest order at a price: the least quantity, and the least worth.

    Parameters
    ----------
    price_ticks
        > 0.
    """
    lots, worth = instrument.smallest_order
    return max(1, lots, -(-worth // price_ticks))


def last_price(data: Columns) -> int:
    """The newest price of a trade or a best price, ticks; else of any level; 0 if there is none."""
    any_price = 0
    for stop in range(len(data.ts), 0, -_LOOK):
        part = data.rows(max(0, stop - _LOOK), stop)
        priced = np.flatnonzero(np.isin(part.kind, _PRICED) & (part.price > 0))
        if len(priced):
            return int(part.price[priced[-1]])
        levels = np.flatnonzero((part.kind < TRADE_BUY) & (part.price > 0))
        any_price = any_price or (int(part.price[levels[-1]]) if len(levels) else 0)
    return any_price
