"""One call for every strategy: an integer picks the rule, so that compiled callers stay in numba's disk cache.

A built-in strategy is a small number. A user's own is the address that its rule gives as its number
(:class:`tidewright.strategies.custom_rule.CustomRule`), valid while that rule lives.
"""

from typing import Final

from numba import njit

from tidewright.market.tape import F64
from tidewright.strategies.avellaneda_stoikov import avellaneda_stoikov
from tidewright.strategies.custom_call import FIRST_ADDRESS, call
from tidewright.strategies.glft import glft
from tidewright.strategies.grid import grid
from tidewright.strategies.mean_reversion import mean_reversion
from tidewright.strategies.momentum import momentum
from tidewright.strategies.shaped import shaped
from tidewright.strategies.view import Quotes, View

NONE: Final = -1  # a lane driven from outside
GRID: Final = 0
AVELLANEDA_STOIKOV: Final = 1
GLFT: Final = 2
SHAPED: Final = 3
MEAN_REVERSION: Final = 4
MOMENTUM: Final = 5
CUSTOM: Final = 4095  # stands in a snapshot for a user's strategy, whose address is another in every process


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def looks_at_mid_only(strategy: int) -> bool:
    """Whether a strategy's quotes follow from its parameters, its position and the mid, and from nothing else."""
    return strategy == 0


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def quote(strategy: int, view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    """Write one lane's target quotes.

    Parameters
    ----------
    strategy
        One of the constants above, or the address of a custom rule's block.
    params
        The lane's parameters in the order of :mod:`tidewright.strategies.registry`, shape (n_params,), float64.

    Returns
    -------
    tuple[int, int]
        How many bids and asks were written.
    """
    if strategy == 0:
        return grid(view, params, quotes)
    if strategy == 1:
        return avellaneda_stoikov(view, params, quotes)
    if strategy == 2:
        return glft(view, params, quotes)
    if strategy == 3:
        return shaped(view, params, quotes)
    if strategy == 4:
        return mean_reversion(view, params, quotes)
    if strategy == 5:
        return momentum(view, params, quotes)
    if strategy >= FIRST_ADDRESS:
        return call(strategy, view, params, quotes)
    return 0, 0
