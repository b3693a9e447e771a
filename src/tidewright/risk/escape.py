"""How a position that has to go is left when nobody takes the post-only order: in slices that take, within a collar.

``flatten`` first offers the whole position one tick inside the opposite best (:func:`tidewright.risk.gate.way_out`): no
taker fee, no walk through a thin book. In a one-way market that order is not filled, so after some decisions the
position is sold (or bought back) by marketable immediate-or-cancel orders. Pure; the session and the stress runs of
whole tapes call the same function.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import UsageError


@dataclass(frozen=True, slots=True)
class Escape:
    """When and how it takes.

    Attributes
    ----------
    patience
        Decisions that the post-only order waits before it is withdrawn, >= 0; at the next decision taking begins.
    slices
        The position is left in so many orders, one a decision: the first takes 1/n of it, the next 1/(n - 1) of what is
        left, and so on; >= 1.
    collar
        Most that a price may be worse than the mid, fraction in (0, 1): what is not filled within it waits for the next
        decision. Where it is less than half a tick, the nearest price beyond the mid may be taken all the same: nobody
        can stand nearer.
    """

    patience: int = 1
    slices: int = 2
    collar: float = 0.01

    def __post_init__(self) -> None:
        if self.patience < 0 or self.slices < 1:
            raise UsageError(f"patience must be >= 0 and slices >= 1, were {self.patience}, {self.slices}")
        if not 0 < self.collar < 1:
            raise UsageError(f"the collar of a way out must be in (0, 1), was {self.collar}")


class Taking(NamedTuple):
    """A marketable immediate-or-cancel order: side code, limit price in ticks, lots."""

    side: int
    price_ticks: int
    qty_lots: int


def taking(
    escape: Escape,
    waited: int,
    position_lots: int,
    mid2_ticks: int,
    *,
    standing_lots: int = 0,
    least_lots: int = 1,
    most_lots: float = math.inf,
    price_collar: float | None = None,
) -> Taking | None:
    """The order that takes at this decision; ``None``: it is not time yet, or all of the position is in orders.

    Parameters
    ----------
    waited
        Decisions before this one at which the position had to go and was not flat.
    position_lots
        Inventory deviation, lots, signed.
    mid2_ticks
        Best bid plus best ask.
    standing_lots
        What may still fill of other orders that leave the position: together they never turn it over.
    least_lots, most_lots
        Smallest order that the venue takes (less is left to a later slice), and the largest by other limits.
    price_collar
        Limit on any order's price, fraction of the mid; the tighter of the two holds, and this one to the tick.
    """
    free = abs(position_lots) - standing_lots
    if waited <= escape.patience or free <= 0 or mid2_ticks <= 0:
        return None
    left = max(1, escape.slices - (waited - escape.patience - 1))
    lots = min(free, max(-(-abs(position_lots) // left), least_lots))
    lots = int(min(lots, most_lots))
    if lots <= 0:
        return None
    collar = escape.collar if price_collar is None else min(escape.collar, price_collar)
    reach = collar * mid2_ticks / 2.0
    if price_collar is None or price_collar * mid2_ticks >= 1.0:
        reach = max(reach, 0.5)
    if position_lots > 0:
        return Taking(SELL, max(1, math.ceil(mid2_ticks / 2.0 - reach)), lots)
    return Taking(BUY, max(1, math.floor(mid2_ticks / 2.0 + reach)), lots)
