"""What a decision makes of every lane: it learns, samples its equity, and sends what leads to its target quotes."""

import math
from typing import Final

from numba import int64

from tidewright.engine.accounts import catch_up_knowledge, worth
from tidewright.engine.layout import (
    ACT_AT,
    ACTED_MID2,
    B_ARRIVAL,
    B_END,
    B_MERGED,
    BATCH_HEAD,
    BATCH_TAIL,
    CAPTURE_HEAD,
    CFG_ASK,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_LIMITED,
    CFG_MIN_NOTIONAL,
    CFG_MIN_QTY,
    CFG_STRATEGY,
    CURVE_COUNT,
    DONE,
    EMPTIED,
    F_DAY,
    F_NEWEST,
    F_START,
    GROW_KNOWN,
    KNOWN_ROOM,
    L_CUT,
    L_HALTED,
    L_JOINED,
    L_KNOWN,
    L_KNOWN_FIRST,
    L_LEAVING,
    LANES,
    MSG_TAIL,
    NEVER,
    NEW_DAY,
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
from tidewright.engine.leaving import send_taking
from tidewright.engine.limiting import exposure_of, far_from_limits, limit, limit_values
from tidewright.engine.nodes import drop_emptied
from tidewright.engine.replacing import fetch_orders, find_room, replace
from tidewright.engine.sampling import sample
from tidewright.market.features import PRICE_CHANGE, VARIANCE, imbalance
from tidewright.market.inner import inlined, inner
from tidewright.risk.gate import DAILY_LOSS, least_position
from tidewright.risk.limits import LimitValues
from tidewright.strategies.dispatch import looks_at_mid_only, quote
from tidewright.strategies.view import Quotes, View

MANY_EMPTIED: Final = 32  # nodes that are given back together: few jumps, and still in the processor's cache


@inlined
def room_to_act(state: State) -> int:
    """DONE if the pool holds all that lanes may come to know of the arrivals of a decision, else GROW_KNOWN."""
    # Each new order may be rejected, and none takes; half of the slots are for orders that are being cancelled.
    return GROW_KNOWN if 2 * state.reg[KNOWN_ROOM] < state.reg[SLOTS] else DONE


@inner
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
    still = whole and not new_day and is_still(state, mid2, view.volatility, values)
    first = reg[MSG_TAIL]
    lanes = reg[LANES]
    next_unmoved = still and knows_nothing_new(state, int64(0))
    for lane in range(lanes):
        unmoved = next_unmoved
        if lane + 1 < lanes:
            next_unmoved = still and knows_nothing_new(state, int64(lane) + 1)
            if not next_unmoved:
                fetch_orders(state, int64(lane) + 1)
        equity = state.lane_f[lane, F_NEWEST]
        if not unmoved:
            if state.lane[lane, L_KNOWN_FIRST] >= 0:
                catch_up_knowledge(state, int64(lane), now)
            equity = worth(state, int64(lane), int64(L_KNOWN), mid2) if mid2 > 0 else state.lane_f[lane, F_START]
        sample(state, int64(lane), equity)
        if new_day:
            state.lane_f[lane, F_DAY] = equity
            state.lane[lane, L_HALTED] &= ~DAILY_LOSS
        if curve:
            state.curve[reg[CURVE_COUNT], lane] = equity
        if whole and not unmoved:
            bids, asks = ask(state, int64(lane), view, values, least)
            if bids >= 0:
                replace(state, int64(lane), bids, asks, arrived, at)
            elif asks >= 0:
                send_taking(state, int64(lane), asks)
            if reg[EMPTIED] >= MANY_EMPTIED:
                drop_emptied(state)
    drop_emptied(state)
    reg[SAMPLES] += 1
    reg[ACTED_MID2] = mid2 if whole else int64(0)
    if curve:
        state.curve_ts[reg[CURVE_COUNT]] = now
        reg[CURVE_COUNT] += 1
    if reg[MSG_TAIL] != first:
        send_batch(state, at)
    reg[PENDING] = NEVER
    reg[ACT_AT] = NEVER


@inlined
def is_still(state: State, mid2: int, volatility: float, values: LimitValues) -> bool:
    """Whether a lane that has heard nothing and was not limited wants what it wanted at the decision before.

    Its equity is what it was and its orders are as it wants them: there is nothing to ask and nothing to send. Of the
    limits only volatility, the rate of orders and the way out could say something else.
    """
    cfg = state.cfg
    if state.reg[ACTED_MID2] != mid2 or cfg[CFG_ASK] == 1 or not looks_at_mid_only(cfg[CFG_STRATEGY]):
        return False
    rated = values.orders_per_minute < math.inf
    quiet = values.flatten <= 0.0 and not rated and not volatility > values.volatility_cutoff
    return bool(cfg[CFG_LIMITED] == 0 or quiet)


@inlined
def knows_nothing_new(state: State, lane: int) -> bool:
    """Whether a lane has heard nothing since its newest decision, at which no limit cut anything.

    Nor may quotes have met on a tick: strict limits see one order where the strategy wants two, and count it besides.
    """
    row = state.lane[lane]
    if state.cfg[CFG_LIMITED] == 1 and row[L_CUT] | row[L_JOINED] != 0:
        return False
    return bool(row[L_KNOWN_FIRST] < 0)


@inlined
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


@inlined
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
        state.lane[lane, L_JOINED] = 0
        exposure = exposure_of(state, lane, seen, least)
        if far_from_limits(state, lane, exposure, values, bids, asks):
            state.lane[lane, L_CUT] = 0
            state.lane[lane, L_LEAVING] = 0
        else:
            bids, asks = limit(state, lane, seen, exposure, values, bids, asks)
    return bids, asks
