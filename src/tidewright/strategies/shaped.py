"""A base rule's quotes, shaped: the rule that a policy steers by writing new parameters before every decision.

With spread 1, skew 0 and stance 0 it quotes as its base rule does.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.avellaneda_stoikov import reservation_and_spread
from tidewright.strategies.glft import half_spread_and_skew
from tidewright.strategies.placing import place
from tidewright.strategies.view import Quotes, View

SPREAD: Final = 0
SKEW: Final = 1
LEVEL_SPACING: Final = 2
LEVELS: Final = 3
STANCE: Final = 4
BASE_RULE: Final = 5
GAMMA: Final = 6
KAPPA: Final = 7
INTENSITY: Final = 8
HORIZON_S: Final = 9
BASE_QUANTITY: Final = 10
MAX_POSITION: Final = 11


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def shaped(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane; never through the opposite best, so that post-only quotes can rest.

    Parameters
    ----------
    params
        spread (half spread over the base rule's), skew (shift up, in half spreads), level_spacing (in half spreads),
        levels, stance (inventory to lean towards in halves of max_position, -2..2; at the ends only one side is
        quoted), base_rule (0: glft, 1: avellaneda_stoikov), gamma (per basis point and order size), kappa (1 / basis
        point), intensity (fills a second at the mid), horizon_s (seconds), base_quantity, max_position (base units),
        float64. The deviation of the mid is the measured one.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0 or params[LEVELS] <= 0.0:
        return 0, 0
    limit = params[MAX_POSITION] / view.lot
    inventory = (np.float64(view.position) - 0.5 * params[STANCE] * limit) / np.float64(lots)
    if params[BASE_RULE] == 0.0:
        sigma = 1e4 * view.volatility * math.sqrt(1e9 / np.float64(view.cycle_ns))
        half, lean = half_spread_and_skew(params[GAMMA], sigma, params[KAPPA], params[INTENSITY])
        shift = -lean * inventory
    else:
        horizon = params[HORIZON_S] * 1e9
        time_left = 1.0 - (np.float64(view.elapsed_ns) % horizon) / horizon
        sigma = 1e4 * view.volatility * math.sqrt(horizon / np.float64(view.cycle_ns))
        shift, spread = reservation_and_spread(0.0, inventory, params[GAMMA], sigma, params[KAPPA], time_left)
        half = 0.5 * spread
    half *= params[SPREAD]
    shift += params[SKEW] * half
    bids, asks = place(view, quotes, shift, half, np.int64(params[LEVELS]), params[LEVEL_SPACING], lots, limit)
    if params[STANCE] >= 2.0:
        asks = 0
    elif params[STANCE] <= -2.0:
        bids = 0
    return bids, asks
