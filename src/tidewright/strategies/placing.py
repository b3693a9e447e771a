"""Writing quotes around a price of one's own, for the strategies that lean against their inventory."""

import math

import numpy as np
from numba import njit

from tidewright.strategies.view import Quotes, View


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
