"""Gueant-Lehalle-Fernandez-Tapia market making: the stationary quotes in closed form, in basis points of the mid.

Unlike Avellaneda and Stoikov's there is no horizon at which the inventory should be gone: the same market and inventory
give the same quotes at any hour.

Notes
-----
O. Gueant, C.-A. Lehalle, J. Fernandez-Tapia, "Dealing with the inventory risk", Mathematics and Financial Economics
7(4), 2013, in the form of O. Gueant, "Optimal market making", Applied Mathematical Finance 24(2), 2017, (4.6) and
(4.7): with ``xi = gamma`` and quotes of one order size,

``delta(q) = c1 + sigma c2 / 2 +- q sigma c2``, ``c1 = ln(1 + gamma / k) / gamma``,
``c2 = sqrt(gamma / (2 A k) (1 + gamma / k)^(k / gamma + 1))``,

plus for the bid's distance from the mid, minus for the ask's.
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
INTENSITY: Final = 2
SIGMA_BPS: Final = 3
LEVELS: Final = 4
LEVEL_SPACING: Final = 5
BASE_QUANTITY: Final = 6
MAX_POSITION: Final = 7


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def half_spread_and_skew(gamma: float, sigma: float, kappa: float, intensity: float) -> tuple[float, float]:
    """Distance of the quotes from the mid without inventory, and how far one order size of inventory moves both.

    Parameters
    ----------
    gamma
        Risk aversion, > 0.
    sigma
        Deviation of the mid over the root of a second, in the unit of distance, >= 0.
    kappa
        Decay of the fill intensity with distance, 1 / unit of distance, > 0.
    intensity
        Fills a second of a quote at the mid, A, > 0.
    """
    growth = math.log1p(gamma / kappa)
    c1 = growth / gamma
    c2 = math.sqrt(gamma / (2.0 * intensity * kappa) * math.exp((kappa / gamma + 1.0) * growth))
    return c1 + 0.5 * sigma * c2, sigma * c2


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def glft(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane; never through the opposite best, so that post-only quotes can rest.

    Parameters
    ----------
    params
        gamma (per basis point and order size), kappa (1 / basis point), intensity (fills a second at the mid),
        sigma_bps (basis points over the root of a second; 0: measured, from the view's volatility a cycle), levels,
        level_spacing (distance of further levels in half spreads), base_quantity, max_position (base units), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    sigma = params[SIGMA_BPS]
    if sigma <= 0.0:
        sigma = 1e4 * view.volatility * math.sqrt(1e9 / np.float64(view.cycle_ns))
    half, skew = half_spread_and_skew(params[GAMMA], sigma, params[KAPPA], params[INTENSITY])
    shift = -skew * np.float64(view.position) / np.float64(lots)
    limit = params[MAX_POSITION] / view.lot
    return place(view, quotes, shift, half, np.int64(params[LEVELS]), params[LEVEL_SPACING], lots, limit)
