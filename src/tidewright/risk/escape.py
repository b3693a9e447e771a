"""How a position that has to go is left when nobody takes the post-only order: in slices that take, within a collar.

``flatten`` first offers the whole position one tick inside the opposite best (:func:`tidewright.risk.gate.way_out`): no
taker fee, no walk through a thin book. In a one-way market that order is not filled, so after ``flatten_patience``
decisions all orders are withdrawn, and from the next decision on the position is sold (or bought back) by marketable
immediate-or-cancel orders. Pure; a session and the engine's lanes call the same function.
"""

import math

from numba import int64

from tidewright.market.codes import BUY, SELL
from tidewright.market.inner import inner
from tidewright.risk.limits import LimitValues


@inner
def taking(
    limits: LimitValues,
    waited: int,
    position: int,
    mid2: int,
    tick: float,
    lot: float,
    standing: int,
    min_qty: int,
    min_notional: int,
) -> tuple[int, int, int]:
    """The marketable order that leaves at this decision: side code, limit price in ticks, lots. All int64.

    Parameters
    ----------
    waited
        Decisions before this one at which the position had to go and was not flat.
    position
        Inventory deviation, lots, signed.
    mid2
        Best bid plus best ask, ticks.
    tick, lot
        Steps of price (quote) and quantity (base), float64.
    standing
        Lots that may still fill of other orders that leave the position: together they never turn it over.
    min_qty, min_notional
        Smallest order that the venue takes, lots and tick*lots; a smaller rest goes with the slice before it, or, where
        the largest order does not allow that, the slice is smaller.

    Returns
    -------
    tuple[int, int, int]
        0 lots: it is not time yet, all of the position is in orders, or it is less than the venue takes. The tighter of
        the two collars holds, that of ``price_collar`` to the tick.
    """
    nothing = (int64(0), int64(0), int64(0))
    free = abs(position) - standing
    if waited <= limits.flatten_patience or free <= 0 or mid2 <= 0:
        return nothing
    mid = mid2 * 0.5
    reach = min(limits.flatten_collar, limits.price_collar) * mid
    if limits.price_collar * mid2 >= 1.0:
        reach = max(reach, 0.5)
    side = int64(SELL) if position > 0 else int64(BUY)
    price = max(int64(1), int64(math.ceil(mid - reach)) if position > 0 else int64(math.floor(mid + reach)))
    least = max(min_qty, -(-min_notional // price))
    left = int64(max(1.0, limits.flatten_slices - (waited - limits.flatten_patience - 1.0)))
    lots = min(free, max(-(-abs(position) // left), least))
    if free - lots < least:
        lots = free
    if lots * lot * (price * tick) > limits.order_notional:
        lots = int64(math.floor(limits.order_notional / (price * tick * lot)))
        if 0 < free - lots < least <= free - least:
            lots = free - least
    return (side, price, lots) if lots >= least else nothing
