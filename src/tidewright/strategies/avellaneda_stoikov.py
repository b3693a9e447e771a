"""Avellaneda-Stoikov market making (2008), in basis points of the mid so that one setting fits any price.

Notes
-----
M. Avellaneda, S. Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8(3), 2008: the
reservation price (3.17) and the optimal spread (3.18),

``r = s - q gamma sigma^2 (T - t)``, ``spread = gamma sigma^2 (T - t) + (2 / gamma) ln(1 + gamma / k)``.
"""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.placing import place
from tidewright.strategies.view import Quotes, View

GAMMA: Final = 0
KAPPA: Final = 1
SIGMA_BPS: Final = 2
HORIZON_S: Final = 3
LEVELS: Final = 4
LEVEL_SPACING: Final = 5
BASE_QUANTITY: Final = 6
MAX_POSITION: Final = 7


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def reservation_and_spread(
    mid: float, inventory: float, gamma: float, sigma: float, kappa: float, time_left: float
) -> tuple[float, float]:
    """Reservation price and total optimal spread, in the unit of ``mid``.

    Parameters
    ----------
    mid
        Mid price s.
    inventory
        Signed inventory q, in order sizes.
    gamma
        Risk aversion, > 0.
    sigma
        Deviation of the mid over the whole horizon, in the unit of ``mid``.
    kappa
        Decay of the fill intensity with distance, 1 / unit of ``mid``.
    time_left
        T - t as a fraction of the horizon, 0..1.
    """
    variance = gamma * sigma * sigma * time_left
    return mid - inventory * variance, variance + 2.0 / gamma * math.log(1.0 + gamma / kappa)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def avellaneda_stoikov(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane; never through the opposite best, so that post-only quotes can rest.

    Parameters
    ----------
    params
        gamma (per basis point and order size), kappa (1 / basis point), sigma_bps (basis points over the horizon;
        0: measured, from the view's volatility a cycle, scaled by the cycles in a horizon), horizon_s (seconds;
        inventory is wound down towards the end of each), levels, level_spacing (distance of further levels in half
        spreads), base_quantity, max_position (base units), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    horizon = params[HORIZON_S] * 1e9
    time_left = 1.0 - (np.float64(view.elapsed_ns) % horizon) / horizon
    sigma = params[SIGMA_BPS]
    if sigma <= 0.0:
        sigma = 1e4 * view.volatility * math.sqrt(horizon / np.float64(view.cycle_ns))
    inventory = np.float64(view.position) / np.float64(lots)
    shift, spread = reservation_and_spread(0.0, inventory, params[GAMMA], sigma, params[KAPPA], time_left)
    limit = params[MAX_POSITION] / view.lot
    return place(view, quotes, shift, 0.5 * spread, np.int64(params[LEVELS]), params[LEVEL_SPACING], lots, limit)
