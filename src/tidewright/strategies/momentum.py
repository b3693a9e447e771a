"""Momentum: quotes around the price that the last move is expected to go on to.

The centre is the mid plus a share of the last cycle's return and of the pressure in the book; beyond ``threshold``
deviations only the side
that goes with the move is quoted. Post-only as the other makers: it joins a move, it does not chase it.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.placing import place
from tidewright.strategies.view import Quotes, View

CONTINUATION: Final = 0
PRESSURE_BPS: Final = 1
THRESHOLD: Final = 2
SPREAD_PERCENTAGE: Final = 3
SKEW: Final = 4
LEVELS: Final = 5
LEVEL_SPACING: Final = 6
BASE_QUANTITY: Final = 7
MAX_POSITION: Final = 8


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def momentum(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane.

    Parameters
    ----------
    params
        continuation (share of the last cycle's return that is expected again), pressure_bps (shift at an imbalance of
        1, basis points), threshold (deviations; 0: none), spread_percentage (first bid to first ask, percent), skew
        (basis points a quote size of inventory), levels, level_spacing (in half spreads), base_quantity, max_position
        (base units), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    shift = 1e4 * params[CONTINUATION] * view.price_change + params[PRESSURE_BPS] * view.imbalance
    shift -= params[SKEW] * np.float64(view.position) / np.float64(lots)
    half = params[SPREAD_PERCENTAGE] * 50.0
    limit = params[MAX_POSITION] / view.lot
    bids, asks = place(view, quotes, shift, half, np.int64(params[LEVELS]), params[LEVEL_SPACING], lots, limit)
    if params[THRESHOLD] > 0.0 and view.volatility > 0.0:
        if view.price_change > params[THRESHOLD] * view.volatility:
            asks = 0
        elif view.price_change < -params[THRESHOLD] * view.volatility:
            bids = 0
    return bids, asks
