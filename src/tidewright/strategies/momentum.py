"""Momentum: quotes around the price that the last move is expected to go on to.

The centre is the mid plus a share of the last cycle's return and of the pressure in the book; beyond ``threshold``
deviations only the side that goes with the move is quoted. Post-only as the other makers: it joins a move, it does not
chase it.
"""

from typing import Final

from numba import int64, njit

from tidewright.market.tape import F64
from tidewright.strategies.placing import follow
from tidewright.strategies.view import Quotes, View

CONTINUATION: Final = 0
PRESSURE_BPS: Final = 1
THRESHOLD: Final = 2


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def momentum(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane.

    Parameters
    ----------
    params
        continuation (share of the last cycle's return that is expected again), pressure_bps (shift at an imbalance of
        1, basis points), threshold (deviations; 0: none), and the rest of
        :func:`tidewright.strategies.placing.follow`, float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    shift = 1e4 * params[CONTINUATION] * view.price_change + params[PRESSURE_BPS] * view.imbalance
    return follow(view, params, int64(THRESHOLD), shift, quotes)
