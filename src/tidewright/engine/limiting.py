"""The risk limits on a lane's target quotes: most often a look tells that none is near, else the gate applies them."""

import math

import numpy as np
from numba import int64, uint64

from tidewright.engine.layout import (
    CFG_F_LIMITS,
    CFG_LOT_UNITS,
    F_DAY,
    F_KNOWN_VALUE,
    F_NEWEST,
    F_PEAK,
    L_ALIVE,
    L_CUT,
    L_HALTED,
    L_KNOWN,
    L_LIMITED,
    L_SENT,
    O_PRICE,
    O_QTY,
    State,
)
from tidewright.engine.leaving import forget_sent, leave, note_sent
from tidewright.market.hints import few
from tidewright.market.inner import inlined, inner
from tidewright.risk.gate import Exposure, Standing, gate, halted, latched, stopped_out
from tidewright.risk.limits import LimitValues
from tidewright.strategies.view import View


@inlined
def limit_values(state: State) -> LimitValues:
    """The limits of a run."""
    f = state.cfg_f
    i = CFG_F_LIMITS
    return LimitValues(
        f[i],
        f[i + 1],
        f[i + 2],
        f[i + 3],
        f[i + 4],
        f[i + 5],
        f[i + 6],
        f[i + 7],
        f[i + 8],
        f[i + 9],
        f[i + 10],
        f[i + 11],
        f[i + 12],
    )


@inlined
def exposure_of(state: State, lane: int, view: View, least: int) -> Exposure:
    """What the limits look at, by what a lane knows; ``least``: the smallest position that counts as one."""
    row = state.lane[lane]
    sums = state.lane_f[lane]
    known = row[L_KNOWN]
    inventory = known
    if row[L_KNOWN + 2] != 0:  # fees in base
        lot_units = state.cfg[CFG_LOT_UNITS]
        inventory = (known * lot_units - row[L_KNOWN + 2]) // lot_units
    entry = 0.0
    if known != 0:
        entry = sums[F_KNOWN_VALUE] / np.float64(abs(known)) * view.tick
    return Exposure(
        inventory,
        np.float64(view.mid2) / 2.0 * view.tick,
        view.lot,
        sums[F_NEWEST],
        sums[F_DAY],
        entry,
        view.volatility,
        max(sums[F_PEAK], sums[F_NEWEST]),
        view.best_bid,
        view.best_ask,
        view.tick,
        row[L_HALTED],
        row[L_SENT],
        least,
    )


@inlined
def far_from_limits(state: State, lane: int, exposure: Exposure, values: LimitValues, bids: int, asks: int) -> bool:
    """Whether the gate would obviously leave all quotes as they are: True only if it would.

    The worst of a side, its outermost prices, its largest quantity and all of its quantities together, passes every
    limit; rounding keeps order, so each quote by itself passes too.
    """
    stopped = halted(exposure, values) != 0 or stopped_out(exposure, values)
    rated = values.orders_per_minute < math.inf
    return (
        not stopped
        and not rated
        and side_is_far(state, lane, int64(0), exposure, values, bids)
        and side_is_far(state, lane, int64(1), exposure, values, asks)
    )


@inlined
def side_is_far(state: State, lane: int, side: int, exposure: Exposure, values: LimitValues, count: int) -> bool:
    """:func:`far_from_limits` of the targets of a side."""
    if count == 0:
        return True
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    lots = exposure.position * (1 - 2 * side)
    low = high = price[0]
    little = much = int64(qty[0])
    lots += qty[0]
    for i in range(1, count):
        few()
        low, high = min(low, price[uint64(i)]), max(high, price[uint64(i)])
        little, much = min(little, qty[uint64(i)]), max(much, qty[uint64(i)])
        lots += qty[uint64(i)]
    if values.strict > 0.0:  # what is there already is counted twice, if it is wanted again
        alive = state.alive[2 * lane + side]
        for i in range(state.lane[lane, L_ALIVE + side]):
            few()
            lots += state.order[int64(alive[uint64(i)]), O_QTY]
    nearest, furthest = np.float64(low) * exposure.tick, np.float64(high) * exposure.tick
    collar = values.price_collar * exposure.mid
    dear = np.float64(much) * exposure.lot * furthest > values.order_notional
    allowed = values.max_position_share * max(0.0, exposure.equity)
    heavy = lots > 0 and np.float64(lots) * exposure.lot * exposure.mid > allowed
    wide = abs(nearest - exposure.mid) > collar or abs(furthest - exposure.mid) > collar
    return little > 0 and not (dear or heavy or wide)


@inner
def limit(
    state: State, lane: int, view: View, exposure: Exposure, values: LimitValues, bids: int, asks: int
) -> tuple[int, int]:
    """Cut target quotes down to what the lane's limits allow, by its known state."""
    row = state.lane[lane]
    rated = values.orders_per_minute < math.inf
    if rated:
        forget_sent(state, lane, view.now_ns)
        exposure = exposure_of(state, lane, view, exposure.least)
    kept_bids, kept_asks, mask, sent = gate(
        exposure,
        values,
        state.target[0],
        state.target[1],
        bids,
        state.target[2],
        state.target[3],
        asks,
        standing(state, lane, int64(0)),
        standing(state, lane, int64(1)),
    )
    row[L_CUT] = mask
    row[L_HALTED] |= latched(halted(exposure, values), values)
    if values.flatten > 0.0:
        kept_bids, kept_asks, sent = leave(state, lane, view, exposure, values, kept_bids, kept_asks, sent)
    if rated and sent > 0:
        note_sent(state, lane, view.now_ns, sent)
    if mask != 0:
        row[L_LIMITED] += 1
    return kept_bids, kept_asks


@inner
def standing(state: State, lane: int, side: int) -> Standing:
    """The orders of a side that the lane believes alive, their whole quantities, in the buffer behind the targets."""
    price = state.target[4 + 2 * side]
    qty = state.target[5 + 2 * side]
    count = state.lane[lane, L_ALIVE + side]
    for i in range(count):
        slot = int64(state.alive[2 * lane + side, i])
        price[i] = state.order[slot, O_PRICE]
        qty[i] = state.order[slot, O_QTY]
    return Standing(price, qty, count)
