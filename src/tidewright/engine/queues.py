"""Queue models: how many lots stand ahead of a node after its level changed. Prints are the same for all of them."""

import math

import numpy as np
from numba import float64

from tidewright.engine.layout import QUEUE_FRONT, QUEUE_PROB, QUEUE_PROB_LOG, QUEUE_UNKNOWN
from tidewright.market.inner import inlined, inner


@inlined
def ahead_on_arrival(model: int, level: int) -> float:
    """Lots ahead of an order that joins a level; a level not heard of (< 0) is an unknown queue."""
    if level < 0:
        return QUEUE_UNKNOWN
    if model == QUEUE_FRONT:
        return 0.0
    return np.float64(level)


@inner
def ahead_after_level(model: int, power: float, ahead: float, traded: float, old: int, new: int) -> float:
    """Lots ahead after a row set the level from ``old`` to ``new`` lots.

    Parameters
    ----------
    power
        Exponent n of the power family ``f(x) = x**n``.
    ahead
        Lots ahead before the row.
    traded
        Lots printed at the price since the level's last row; they are no cancellations.

    Notes
    -----
    `prob` is hftbacktest's probability queue: a cancellation of c lots takes ``(1 - p) c`` from ahead,
    ``p = f(behind) / (f(behind) + f(ahead))``, and what cannot come from behind comes from ahead too. The published
    expression can fall below 0, hence the clip.
    """
    after = np.float64(new)
    if ahead >= QUEUE_UNKNOWN:
        return 0.0 if model == QUEUE_FRONT else after
    if ahead <= 0.0:
        return 0.0
    if model == QUEUE_PROB or model == QUEUE_PROB_LOG:
        change = np.float64(old) - after - traded
        if change >= 0.0:
            behind = float64(old) - ahead
            if model == QUEUE_PROB:
                weight_behind = behind**power
                weight_ahead = ahead**power
            else:
                weight_behind = math.log(1.0 + behind)
                weight_ahead = math.log(1.0 + ahead)
            p = weight_behind / (weight_behind + weight_ahead)
            ahead = ahead - (1.0 - p) * change + min(behind - p * change, 0.0)
    return max(0.0, min(ahead, after))
