"""The grid: a ladder of post-only quotes at fixed percentages around the mid."""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.view import Quotes, View

SPREAD_PERCENTAGE: Final = 0
LEVELS: Final = 1
BASE_QUANTITY: Final = 2
MAX_POSITION: Final = 3


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def grid(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane.

    Bids stand at ``mid * (1 - spread_percentage/100/2 * k)``, asks at ``mid * (1 + spread_percentage/100/2 * k)`` for
    k = 1..levels, rounded outward to ticks; bids are left out at position >= max_position, asks at position <=
    -max_position.

    Parameters
    ----------
    params
        spread_percentage (percent), levels, base_quantity (base units), max_position (base units), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    levels = np.int64(params[LEVELS])
    limit = params[MAX_POSITION] / view.lot
    half_mid = np.float64(view.mid2) / 2.0
    step = params[SPREAD_PERCENTAGE] / 100.0 / 2.0
    bids = 0
    asks = 0
    if np.float64(view.position) < limit - 1e-9:
        for k in range(1, levels + 1):
            price = np.int64(math.floor(half_mid * (1.0 - step * np.float64(k))))
            if price > 0:
                quotes.bid_price[bids] = price
                quotes.bid_qty[bids] = lots
                bids += 1
    if np.float64(view.position) > -limit + 1e-9:
        for k in range(1, levels + 1):
            quotes.ask_price[asks] = np.int64(math.ceil(half_mid * (1.0 + step * np.float64(k))))
            quotes.ask_qty[asks] = lots
            asks += 1
    return bids, asks
