"""What a decision makes of every lane: it learns, samples its equity, and sends what leads to its target quotes."""

import math
from typing import Final

import numpy as np
from numba import int64, njit

from tidewright.engine.accounts import catch_up_knowledge, worth
from tidewright.engine.layout import (
    ACT_AT,
    B_ARRIVAL,
    B_END,
    B_MERGED,
    BATCH_HEAD,
    BATCH_TAIL,
    CAPTURE_HEAD,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_F_LIMITS,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_LIMITED,
    CFG_LOT_UNITS,
    CFG_MIN_NOTIONAL,
    CFG_MIN_QTY,
    CFG_STRATEGY,
    CURVE_COUNT,
    DONE,
    EMPTIED,
    F_DAY,
    F_KNOWN_VALUE,
    F_NEWEST,
    F_PEAK,
    F_START,
    GROW_KNOWN,
    KNOWN_ROOM,
    L_ALIVE,
    L_CUT,
    L_HALTED,
    L_KNOWN,
    L_KNOWN_FIRST,
    L_LIMITED,
    L_SENT,
    LANES,
    MSG_TAIL,
    NEVER,
    NEW_DAY,
    O_PRICE,
    O_QTY,
    PENDING,
    SAMPLES,
    SLOTS,
    START,
    V_ASK,
    V_ASK_QTY,
    V_BID,
    V_BID_QTY,
    V_MID2,
    V_WHOLE,
    State,
)
from tidewright.engine.leaving import forget_sent, leave, note_sent, send_taking
from tidewright.engine.nodes import drop_emptied
from tidewright.engine.replacing import fetch_orders, find_room, replace
from tidewright.engine.sampling import sample
from tidewright.market.features import PRICE_CHANGE, VARIANCE, imbalance
from tidewright.risk.gate import DAILY_LOSS, Exposure, Standing, gate, halted, latched, least_position
from tidewright.risk.limits import LimitValues
from tidewright.strategies.dispatch import quote
from tidewright.strategies.view import Quotes, View

MANY_EMPTIED: Final = 32  # nodes that are given back together: few jumps, and still in the processor's cache


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def room_to_act(state: State) -> int:
    """DONE if the pool holds all that lanes may come to know of the arrivals of a decision, else GROW_KNOWN."""
    # Each new order may be rejected, and none takes; half of the slots are for orders that are being cancelled.
    return GROW_KNOWN if 2 * state.reg[KNOWN_ROOM] < state.reg[SLOTS] else DONE


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def act(state: State, arrived: int) -> None:
    """Let every lane act on the pending decision.

    Parameters
    ----------
    arrived
        1: it is the time at which the lanes' messages arrive, and they do so at once; 0: they are put under way.
    """
    reg = state.reg
    now = reg[PENDING]
    at = reg[ACT_AT]
    seen = state.capture[reg[CAPTURE_HEAD]]
    mid2 = seen[V_MID2]
    whole = seen[V_WHOLE] == 1
    new_day = reg[NEW_DAY] == 1
    curve = state.cfg[CFG_CURVE] == 1
    view = View(
        now,
        now - reg[START],
        state.cfg[CFG_CYCLE],
        seen[V_BID],
        seen[V_ASK],
        seen[V_BID_QTY],
        seen[V_ASK_QTY],
        mid2,
        state.cfg_f[CFG_F_TICK],
        state.cfg_f[CFG_F_LOT],
        state.features[PRICE_CHANGE],
        math.sqrt(state.features[VARIANCE]),
        imbalance(seen[V_BID_QTY], seen[V_ASK_QTY]),
        int64(0),
    )
    values = limit_values(state)
    least = int64(1)
    if whole and state.cfg[CFG_LIMITED] == 1:
        least = least_position(values, mid2, state.cfg[CFG_MIN_QTY], state.cfg[CFG_MIN_NOTIONAL])
    if arrived == 1:
        find_room(state)
    first = reg[MSG_TAIL]
    lanes = reg[LANES]
    for lane in range(lanes):
        if lane + 1 < lanes:
            fetch_orders(state, int64(lane) + 1)
        if state.lane[lane, L_KNOWN_FIRST] >= 0:
            catch_up_knowledge(state, int64(lane), now)
        equity = worth(state, int64(lane), int64(L_KNOWN), mid2) if mid2 > 0 else state.lane_f[lane, F_START]
        sample(state, int64(lane), equity)
        if new_day:
            state.lane_f[lane, F_DAY] = equity
            state.lane[lane, L_HALTED] &= ~DAILY_LOSS
        if curve:
            state.curve[reg[CURVE_COUNT], lane] = equity
        if whole:
            bids, asks = ask(state, int64(lane), view, values, least)
            if bids >= 0:
                replace(state, int64(lane), bids, asks, arrived, at)
            elif asks >= 0:
                send_taking(state, int64(lane), asks)
            if reg[EMPTIED] >= MANY_EMPTIED:
                drop_emptied(state)
    drop_emptied(state)
    reg[SAMPLES] += 1
    if curve:
        state.curve_ts[reg[CURVE_COUNT]] = now
        reg[CURVE_COUNT] += 1
    if reg[MSG_TAIL] != first:
        send_batch(state, at)
    reg[PENDING] = NEVER
    reg[ACT_AT] = NEVER


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def send_batch(state: State, at: int) -> None:
    """Note when the messages of a decision arrive: with those before, if they do so together."""
    reg = state.reg
    batch = state.batch
    newest = (reg[BATCH_TAIL] - 1) % len(batch)
    if reg[BATCH_HEAD] != reg[BATCH_TAIL] and batch[newest, B_ARRIVAL] == at:
        batch[newest, B_END] = reg[MSG_TAIL]
        batch[newest, B_MERGED] = 1
        return
    batch[reg[BATCH_TAIL], B_ARRIVAL] = at
    batch[reg[BATCH_TAIL], B_END] = reg[MSG_TAIL]
    batch[reg[BATCH_TAIL], B_MERGED] = 0
    reg[BATCH_TAIL] = (reg[BATCH_TAIL] + 1) % len(batch)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def ask(state: State, lane: int, view: View, values: LimitValues, least: int) -> tuple[int, int]:
    """Ask a lane's strategy and apply the limits: how many bids and asks it wants; bids < 0: see
    :func:`tidewright.engine.leaving.leave`.
    """
    target = state.target
    quotes = Quotes(target[0], target[1], target[2], target[3])
    seen = View(
        view.now_ns,
        view.elapsed_ns,
        view.cycle_ns,
        view.best_bid,
        view.best_ask,
        view.bid_qty,
        view.ask_qty,
        view.mid2,
        view.tick,
        view.lot,
        view.price_change,
        view.volatility,
        view.imbalance,
        state.lane[lane, L_KNOWN],
    )
    bids, asks = quote(state.cfg[CFG_STRATEGY], seen, state.params[lane], quotes)
    if state.cfg[CFG_LIMITED] == 1:
        bids, asks = limit(state, lane, seen, values, least, bids, asks)
    return bids, asks


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
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


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def limit(
    state: State, lane: int, view: View, values: LimitValues, least: int, bids: int, asks: int
) -> tuple[int, int]:
    """Cut target quotes down to what the lane's limits allow, by its known state.

    ``least``: the smallest position that counts as one, the same for all lanes.
    """
    known = state.lane[lane, L_KNOWN]
    lot_units = state.cfg[CFG_LOT_UNITS]
    inventory = (known * lot_units - state.lane[lane, L_KNOWN + 2]) // lot_units
    entry = 0.0
    if known != 0:
        entry = state.lane_f[lane, F_KNOWN_VALUE] / np.float64(abs(known)) * view.tick
    row = state.lane[lane]
    sums = state.lane_f[lane]
    rated = values.orders_per_minute < math.inf
    if rated:
        forget_sent(state, lane, view.now_ns)
    exposure = Exposure(
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


@njit(cache=True, _nrt=False)  # type: ignore[misc]
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
