"""The gate between target quotes and orders: pure functions, the same in the engine and in a live session.

All amounts are float64 in quote currency except quantities and prices, which are int64 lots and ticks. Nothing here
rounds money: the gate only decides which quotes may go out.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import int64

from tidewright.market.inner import inner
from tidewright.market.tape import I64
from tidewright.risk.limits import LimitValues

# Which limits stopped something: bits of the mask that `gate` returns.
POSITION_LIMIT: Final = 1
STOP_LOSS: Final = 2
DAILY_LOSS: Final = 4
VOLATILITY_CUTOFF: Final = 8
DRAWDOWN: Final = 16
ORDER_NOTIONAL: Final = 32
PRICE_COLLAR: Final = 64
ORDER_RATE: Final = 128

REASONS: Final = {
    POSITION_LIMIT: "position limit",
    STOP_LOSS: "stop loss",
    DAILY_LOSS: "daily loss",
    VOLATILITY_CUTOFF: "volatility cut-off",
    DRAWDOWN: "drawdown",
    ORDER_NOTIONAL: "order notional",
    PRICE_COLLAR: "price collar",
    ORDER_RATE: "order rate",
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
        Equity now and at the day's start, float64 quote.
    entry_price
        Average entry price of the position, float64; 0 when flat.
    volatility
        EWMA deviation of the mid's log return a cycle, float64.
    peak_equity
        Highest equity so far, float64 quote.
    best_bid, best_ask
        int64 ticks.
    tick
        Price step, float64 quote per base.
    halts
        Limits that were breached before and still halt: a mask of DAILY_LOSS and DRAWDOWN, int64.
    sent
        New orders sent in the last 60 seconds so far, int64.
    least
        Smallest position that counts as one, lots, int64, 1 at least: see :func:`least_position`.
    """

    position: int
    mid: float
    lot: float
    equity: float
    day_equity: float
    entry_price: float
    volatility: float
    peak_equity: float
    best_bid: int
    best_ask: int
    tick: float
    halts: int
    sent: int
    least: int


class Standing(NamedTuple):
    """Orders of one side that may still fill. A buffer and a count.

    Attributes
    ----------
    price, qty
        int64 ticks and lots, at most 63 entries mean anything.
    orders
        How many there are, int64.
    """

    price: I64
    qty: I64
    orders: int


@inner
def halted(exposure: Exposure, limits: LimitValues) -> int:
    """Limits that forbid any quote now: a mask of DAILY_LOSS, VOLATILITY_CUTOFF and DRAWDOWN."""
    mask = exposure.halts
    if limits.daily_loss < np.inf and exposure.equity < exposure.day_equity * (1.0 - limits.daily_loss):
        mask |= 4
    if exposure.volatility > limits.volatility_cutoff:
        mask |= 8
    if limits.drawdown < np.inf and exposure.equity < exposure.peak_equity * (1.0 - limits.drawdown):
        mask |= 16
    return mask


@inner
def latched(mask: int, limits: LimitValues) -> int:
    """The part of a mask that halts until it is released (drawdown) or the day ends (daily loss, if strict)."""
    return mask & (20 if limits.strict > 0.0 else 16)


@inner
def least_position(limits: LimitValues, mid2: int, min_qty: int, min_notional: int) -> int:
    """The smallest position that counts as one, lots: no order could leave a smaller one, so no limit waits for that.

    Parameters
    ----------
    mid2
        Best bid plus best ask, ticks, > 0.
    min_qty, min_notional
        Smallest order that the venue takes, lots and tick*lots: here at the furthest price that leaving takes.
    """
    price = max(int64(1), int64(mid2 * 0.5 * (1.0 - min(limits.flatten_collar, limits.price_collar, 1.0))))
    least: int = max(int64(1), min_qty, -(-min_notional // price))
    return least


@inner
def stopped_out(exposure: Exposure, limits: LimitValues) -> bool:
    """Whether the position's unrealised loss is beyond the stop loss, as a share of its entry value."""
    if abs(exposure.position) < exposure.least or exposure.entry_price <= 0.0:
        return False
    change = exposure.mid / exposure.entry_price - 1.0
    loss = -change if exposure.position > 0 else change
    return loss > limits.stop_loss


@inner
def admit_side(
    exposure: Exposure, limits: LimitValues, sign: int, price: I64, qty: I64, count: int, standing: Standing, sent: int
) -> tuple[int, int, int]:
    """Keep the quotes of a side that the limits on orders and position allow, in place.

    Parameters
    ----------
    sign
        +1 for bids, -1 for asks.
    price, qty
        The quotes, nearest first, int64 ticks and lots; what is kept is moved to the front, quantities may fall.
    count
        How many quotes there are.
    standing
        Orders of the side that may still fill: a quote that is one of them is not a new order. With ``strict`` all of
        them count against the position, wanted or not.
    sent
        New orders in the last 60 seconds so far.

    Returns
    -------
    tuple[int, int, int]
        How many are kept: as many as, all of them open at once, leave the inventory in that direction, at the mid, at
        most ``max_position_share`` of equity; the mask of limits that cut something; ``sent`` with the new ones.
    """
    allowed = limits.max_position_share * max(0.0, exposure.equity)  # not a number where the limit is off: then none
    strict = limits.strict > 0.0
    lots = exposure.position * sign
    if strict:
        for i in range(standing.orders):
            lots += standing.qty[i]
    mask = 0
    kept = 0
    matched = 0
    for i in range(count):
        at = np.float64(price[i]) * exposure.tick
        wanted = qty[i]
        if abs(at - exposure.mid) > limits.price_collar * exposure.mid:
            mask |= 64
            continue
        if np.float64(wanted) * exposure.lot * at > limits.order_notional:
            mask |= 32
            wanted = np.int64(math.floor(limits.order_notional / (at * exposure.lot)))
            if wanted <= 0:
                continue
        there = False
        for j in range(standing.orders):
            if standing.price[j] == price[i] and standing.qty[j] == wanted and (matched >> j) & 1 == 0:
                matched |= 1 << j
                there = True
                break
        reach = lots if strict and there else lots + wanted
        if reach > 0 and np.float64(reach) * exposure.lot * exposure.mid > allowed:  # what leads home always may
            mask |= 1
            break
        if not there:
            if np.float64(sent) >= limits.orders_per_minute:
                mask |= 128
                continue
            sent += 1
        lots = reach
        price[kept] = price[i]
        qty[kept] = wanted
        kept += 1
    return kept, mask, sent


@inner
def must_leave(exposure: Exposure, limits: LimitValues) -> bool:
    """Whether a breach has to flatten now: stop loss, daily loss or drawdown; not while volatility alone halts."""
    if limits.flatten <= 0.0 or abs(exposure.position) < exposure.least:
        return False
    stopped = halted(exposure, limits)
    if stopped != 0:
        return (stopped & 20) != 0
    return stopped_out(exposure, limits)


@inner
def way_out(exposure: Exposure, price: I64, qty: I64) -> int:
    """Write the one quote that leaves the position: all of it, one tick inside the opposite best; how many: 0 or 1."""
    if exposure.position == 0:
        return 0
    price[0] = exposure.best_bid + 1 if exposure.position > 0 else exposure.best_ask - 1
    qty[0] = abs(exposure.position)
    return 1 if price[0] > 0 else 0


@inner
def gate(
    exposure: Exposure,
    limits: LimitValues,
    bid_price: I64,
    bid_qty: I64,
    bids: int,
    ask_price: I64,
    ask_qty: I64,
    asks: int,
    standing_bids: Standing,
    standing_asks: Standing,
) -> tuple[int, int, int, int]:
    """Cut target quotes down to what the limits allow, in place; the rule of each limit is in :class:`Limits`.

    Parameters
    ----------
    bid_price, bid_qty, ask_price, ask_qty
        Target quotes, nearest first, int64 ticks and lots, with room for one at least.
    bids, asks
        How many there are.
    standing_bids, standing_asks
        Orders that may still fill; needed by ``strict`` and ``orders_per_minute``, else they may be empty.

    Returns
    -------
    tuple[int, int, int, int]
        Bids and asks that may stand, the mask of the limits that cut something, and how many of the quotes are new
        orders (all, where nothing standing was passed).
    """
    stopped = halted(exposure, limits)
    mask = stopped if bids + asks > 0 else 0
    leaving = must_leave(exposure, limits)
    if stopped != 0:
        bids = 0
        asks = 0
        mask = stopped if leaving else mask
    elif stopped_out(exposure, limits):
        if exposure.position > 0:
            mask |= 2 if bids > 0 or leaving else 0
            bids = 0
        else:
            mask |= 2 if asks > 0 or leaving else 0
            asks = 0
    if leaving and exposure.position > 0:
        asks = way_out(exposure, ask_price, ask_qty)
    elif leaving:
        bids = way_out(exposure, bid_price, bid_qty)
    sent = exposure.sent
    bids, cut_bids, sent = admit_side(exposure, limits, np.int64(1), bid_price, bid_qty, bids, standing_bids, sent)
    asks, cut_asks, sent = admit_side(exposure, limits, np.int64(-1), ask_price, ask_qty, asks, standing_asks, sent)
    return bids, asks, mask | cut_bids | cut_asks, sent - exposure.sent


def reasons(mask: int) -> list[str]:
    """Names of the limits in a mask."""
    return [name for bit, name in REASONS.items() if mask & bit]
