"""What a view says about the market, computed the same way in the engine and in a live session."""

import math
from typing import Final

import numpy as np

from tidewright.market.inner import inlined
from tidewright.market.tape import F64

DECAY: Final = 0.06  # weight of the newest squared return in the variance (RiskMetrics 1996 takes 0.94 for the rest)

# State of the cycle features, float64.
LAST_MID2: Final = 0  # twice the mid of the last decision with a whole view, ticks; 0: none yet
VARIANCE: Final = 1  # EWMA of squared log returns a cycle
RETURNS: Final = 2  # how many returns there were
PRICE_CHANGE: Final = 3  # the newest log return
STATE: Final = 4


def new_state() -> F64:
    """State before the first decision, (STATE,) float64."""
    return np.zeros(STATE, np.float64)


@inlined
def observe_mid(state: F64, mid2: int) -> tuple[float, float]:
    """Take in the mid of a decision with a whole view.

    Parameters
    ----------
    state
        See :func:`new_state`; overwritten.
    mid2
        Best bid + best ask, ticks, > 0.

    Returns
    -------
    tuple[float, float]
        Log return since the last such decision (0 at the first) and volatility: the root of the exponentially
        weighted mean of squared returns a cycle (0 before the first return).
    """
    mid = np.float64(mid2)
    if state[LAST_MID2] > 0.0:
        change = math.log(mid / state[LAST_MID2])
        square = change * change
        if state[RETURNS] == 0.0:
            state[VARIANCE] = square
        else:
            state[VARIANCE] += DECAY * (square - state[VARIANCE])
        state[RETURNS] += 1.0
        state[PRICE_CHANGE] = change
    state[LAST_MID2] = mid
    return state[PRICE_CHANGE], math.sqrt(state[VARIANCE])


@inlined
def imbalance(bid_qty: int, ask_qty: int) -> float:
    """(bid - ask) / (bid + ask) of two quantities, -1..1; 0 if both are 0."""
    total = np.float64(bid_qty + ask_qty)
    if total <= 0.0:
        return 0.0
    return np.float64(bid_qty - ask_qty) / total
