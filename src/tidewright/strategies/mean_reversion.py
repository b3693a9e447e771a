"""Mean reversion: quotes around the price that the last move is expected to fall back to.

The centre is the mid less a share of the last cycle's return: after a rise both sides move down, so that asks fill
first, and the other way round. It leans against the inventory as the other makers do. A move of more than ``cutoff``
deviations is taken for news, not noise: then nothing is quoted on the side that would trade against it.
"""

from typing import Final

from numba import int64, njit

from tidewright.market.tape import F64
from tidewright.strategies.placing import follow
from tidewright.strategies.view import Quotes, View

REVERSION: Final = 0
CUTOFF: Final = 1


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def mean_reversion(view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write the target quotes of one lane.

    Parameters
    ----------
    params
        reversion (share of the last cycle's return that is expected back), cutoff (deviations; 0: none), and the rest
        of :func:`tidewright.strategies.placing.follow`, float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    return follow(view, params, int64(CUTOFF), -1e4 * params[REVERSION] * view.price_change, quotes)
