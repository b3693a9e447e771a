"""Writing quotes around a price of one's own, for the strategies that lean against their inventory."""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.view import Quotes, View

FAR: Final = 0
SPREAD_PERCENTAGE: Final = 1
SKEW: Final = 2
LEVELS: Final = 3
LEVEL_SPACING: Final = 4
BASE_QUANTITY: Final = 5
MAX_POSITION: Final = 6


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def place(
    view: View, quotes: Quotes, shift: float, half: float, levels: int, spacing: float, lots: int, limit: float
) -> tuple[int, int]:
    """Write quotes on both sides of a shifted mid; never through the opposite best, so that post-only quotes can rest.

    Parameters
    ----------
    shift
        Of the centre from the mid, basis points of the mid.
    half
        Distance of the first bid and ask from the centre, basis points of the mid.
    levels, spacing
        Quotes a side, and the distance of further ones in ``half``.
    lots
        Quantity of each, > 0.
    limit
        No bids from this position up, no asks from its negative down, lots.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    half_mid = np.float64(view.mid2) / 2.0
    bids = 0
    asks = 0
    for k in range(levels):
        distance = half * (1.0 + spacing * np.float64(k))
        if np.float64(view.position) < limit - 1e-9:
            price = np.int64(math.floor(half_mid * (1.0 + (shift - distance) * 1e-4)))
            price = min(price, np.int64(view.best_ask - 1 - k))
            if price > 0:
                quotes.bid_price[bids] = price
                quotes.bid_qty[bids] = lots
                bids += 1
        if np.float64(view.position) > -limit + 1e-9:
            price = np.int64(math.ceil(half_mid * (1.0 + (shift + distance) * 1e-4)))
            price = max(price, np.int64(view.best_bid + 1 + k))
            if price > 0:
                quotes.ask_price[asks] = price
                quotes.ask_qty[asks] = lots
                asks += 1
    return bids, asks


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def follow(view: View, params: F64, first: int, shift: float, quotes: Quotes) -> tuple[int, int]:
    """Quotes of a strategy that expects a move: its centre shifted, leaning against the inventory, after a far move
    only on the side that goes with it.

    Parameters
    ----------
    params, first
        From that index on: far (deviations of the last cycle's return from which on the other side is left out; 0:
        never), spread_percentage (first bid to first ask, percent), skew (basis points a quote size of inventory),
        levels, level_spacing (in half spreads), base_quantity, max_position (base units), float64.
    shift
        Of the expected price from the mid, basis points.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    lots = np.int64(math.floor(params[first + BASE_QUANTITY] / view.lot + 1e-9))
    if lots <= 0:
        return 0, 0
    shift -= params[first + SKEW] * np.float64(view.position) / np.float64(lots)
    half = params[first + SPREAD_PERCENTAGE] * 50.0
    levels, spacing = np.int64(params[first + LEVELS]), params[first + LEVEL_SPACING]
    bids, asks = place(view, quotes, shift, half, levels, spacing, lots, params[first + MAX_POSITION] / view.lot)
    far = params[first + FAR]
    if far > 0.0 and view.volatility > 0.0:
        if view.price_change > far * view.volatility:
            asks = 0
        elif view.price_change < -far * view.volatility:
            bids = 0
    return bids, asks
