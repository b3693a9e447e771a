"""The gate between target quotes and orders: pure functions, the same in the engine and in a live session.

All amounts are float64 in quote currency except quantities and prices, which are int64 lots and ticks. Nothing here
rounds money: the gate only decides which quotes may go out.
"""

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.tape import I64
from tidewright.risk.limits import LimitValues

# Which limits stopped something: bits of the mask that `gate` returns.
POSITION_LIMIT: Final = 1
STOP_LOSS: Final = 2
DAILY_LOSS: Final = 4
VOLATILITY_CUTOFF: Final = 8

REASONS: Final = {
    POSITION_LIMIT: "position limit",
    STOP_LOSS: "stop loss",
    DAILY_LOSS: "daily loss",
    VOLATILITY_CUTOFF: "volatility cut-off",
}


class Exposure(NamedTuple):
    """What the limits are measured against, known state only. Scalars.

    Attributes
    ----------
    position
        Inventory deviation from the start, int64 lots, commission taken in base counted.
    mid
        Mid price, float64 quote per base.
    lot
        Quantity step, float64 base units.
    equity, day_equity
        Equity now and at the day's start (UTC of market time), float64 quote.
    entry_price
        Average entry price of the position, float64; 0 when flat.
    volatility
        EWMA deviation of the mid's log return a cycle, float64.
    """

    position: int
    mid: float
    lot: float
    equity: float
    day_equity: float
    entry_price: float
    volatility: float


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def halted(exposure: Exposure, limits: LimitValues) -> int:
    """Limits that forbid any quote now: a mask of DAILY_LOSS and VOLATILITY_CUTOFF."""
    mask = 0
    if exposure.equity < exposure.day_equity * (1.0 - limits.daily_loss):
        mask |= 4
    if exposure.volatility > limits.volatility_cutoff:
        mask |= 8
    return mask


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def stopped_out(exposure: Exposure, limits: LimitValues) -> bool:
    """Whether the position's unrealised loss is beyond the stop loss, as a share of its entry value."""
    if exposure.position == 0 or exposure.entry_price <= 0.0:
        return False
    change = exposure.mid / exposure.entry_price - 1.0
    loss = -change if exposure.position > 0 else change
    return loss > limits.stop_loss


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def cap_side(exposure: Exposure, limits: LimitValues, sign: int, qty: I64, count: int) -> int:
    """How many of the first quotes of a side fit under the position limit, all of them open at once.

    Parameters
    ----------
    sign
        +1 for bids, -1 for asks.
    qty
        Quantities of the quotes, nearest first, int64 lots.
    count
        How many quotes there are.

    Returns
    -------
    int
        The largest n <= count for which inventory in that direction plus the first n quotes, at the mid, is at
        most ``max_position_share`` of equity.
    """
    allowed = limits.max_position_share * exposure.equity
    lots = exposure.position * sign
    for index in range(count):
        lots += qty[index]
        if np.float64(lots) * exposure.lot * exposure.mid > allowed:
            return index
    return count


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def gate(
    exposure: Exposure, limits: LimitValues, bid_qty: I64, bids: int, ask_qty: I64, asks: int
) -> tuple[int, int, int]:
    """Cut target quotes down to what the limits allow.

    Beyond the daily loss or the volatility cut-off nothing is quoted. A stopped-out position is not added to; what
    reduces it stays. Each side is cut from the far end until it fits under the position limit; quotes that only reduce
    the position always fit.

    Parameters
    ----------
    bid_qty, ask_qty
        Target quantities, nearest first, int64 lots.
    bids, asks
        How many there are.

    Returns
    -------
    tuple[int, int, int]
        Bids and asks that may stand, and the mask of the limits that cut something.
    """
    mask = halted(exposure, limits)
    if mask != 0:
        return 0, 0, (mask if bids + asks > 0 else 0)
    kept_bids = bids
    kept_asks = asks
    if stopped_out(exposure, limits):
        if exposure.position > 0:
            kept_bids = 0
        else:
            kept_asks = 0
        if kept_bids != bids or kept_asks != asks:
            mask |= 2
    capped = cap_side(exposure, limits, 1, bid_qty, kept_bids)
    if capped < kept_bids:
        kept_bids = capped
        mask |= 1
    capped = cap_side(exposure, limits, -1, ask_qty, kept_asks)
    if capped < kept_asks:
        kept_asks = capped
        mask |= 1
    return kept_bids, kept_asks, mask


def reasons(mask: int) -> list[str]:
    """Names of the limits in a mask."""
    return [name for bit, name in REASONS.items() if mask & bit]
