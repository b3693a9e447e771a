"""Mean reversion: quotes around the price that the last move is expected to fall back to.

The centre is the mid less a share of the last cycle's return: after a rise both sides move down, so that asks fill
first, and the other
way round. It leans against the inventory as the other makers do. A move of more than ``cutoff`` deviations is taken
for news, not noise:
then nothing is quoted on the side that would trade against it.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.placing import place
from tidewright.strategies.view import Quotes, View

REVERSION: Final = 0
CUTOFF: Final = 1
SPREAD_PERCENTAGE: Final = 2
SKEW: Final = 3
LEVELS: Final = 4
LEVEL_SPACING: Final = 5
BASE_QUANTITY: Final = 6
MAX_POSITION: Final = 7


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def mean_reversion(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane.

    Parameters
    ----------
    params
        reversion (share of the last cycle's return that is expected back), cutoff (deviations; 0: none),
        spread_percentage (first bid to first ask, percent), skew (basis points a quote size of inventory), levels,
        level_spacing (in half spreads), base_quantity, max_position (base units), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    shift = -1e4 * params[REVERSION] * view.price_change
    shift -= params[SKEW] * np.float64(view.position) / np.float64(lots)
    half = params[SPREAD_PERCENTAGE] * 50.0
    limit = params[MAX_POSITION] / view.lot
    bids, asks = place(view, quotes, shift, half, np.int64(params[LEVELS]), params[LEVEL_SPACING], lots, limit)
    if params[CUTOFF] > 0.0 and view.volatility > 0.0:
        if view.price_change > params[CUTOFF] * view.volatility:
            asks = 0
        elif view.price_change < -params[CUTOFF] * view.volatility:
            bids = 0
    return bids, asks
