"""Decisions: every lane takes a look, samples its equity, and sends the messages that reach its target quotes."""

import math
from typing import Final

import numpy as np
from numba import int64, njit

from tidewright.engine.accounts import catch_up_knowledge, worth
from tidewright.engine.checks import slots_of
from tidewright.engine.layout import (
    A_PRICE,
    A_QTY,
    A_SLOT,
    BATCH_TAIL,
    BURIED,
    CAPTURE_HEAD,
    CAPTURE_TAIL,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_ENTRY,
    CFG_F_LIMITS,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_LIMITED,
    CFG_LOT_UNITS,
    CFG_STRATEGY,
    CURVE_COUNT,
    DAY,
    DECISIONS,
    DONE,
    F_DAY,
    F_DOWNSIDE_SQ,
    F_DRAWDOWN,
    F_KNOWN_VALUE,
    F_LAST,
    F_NEWEST,
    F_PEAK,
    F_RETURN,
    F_RETURN_SQ,
    F_START,
    FIRST_MID_AT,
    GROW_CAPTURE,
    GROW_CURVE,
    KNOWN_MID2,
    L_ALIVE,
    L_KNOWN,
    L_KNOWN_FIRST,
    L_LIMITED,
    L_ORDERS,
    L_PENDING,
    L_SAMPLES,
    L_SLOT_FREE,
    MID2,
    MSG_TAIL,
    NEVER,
    NEXT_CAPTURE,
    NEXT_DECISION,
    NUMBER,
    O_LEAVES,
    O_NEXT,
    O_NODE,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    O_STATE,
    O_WHOSE,
    SENT,
    START,
    V_ASK,
    V_ASK_QTY,
    V_BID,
    V_BID_QTY,
    V_MID2,
    V_UNTIL,
    V_WHOLE,
    WHOLE,
    State,
)
from tidewright.engine.nodes import sweep
from tidewright.market.codes import POST_ONLY
from tidewright.market.features import imbalance, observe_mid
from tidewright.market.ladder import BEST, LOW, WIDTH
from tidewright.market.tape import I64
from tidewright.risk.gate import Exposure, gate
from tidewright.risk.limits import LimitValues
from tidewright.strategies.dispatch import quote
from tidewright.strategies.view import Quotes, View

DAY_NS: Final = 86_400_000_000_000


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def capture_views(state: State, before: int) -> int:
    """Keep the view of all decisions before a time: the next packet is known no earlier, so the view is complete."""
    reg = state.reg
    if state.cfg[CFG_STRATEGY] < 0:
        reg[NEXT_CAPTURE] = NEVER
        return DONE
    size = len(state.capture)
    tail = reg[CAPTURE_TAIL]
    if (tail + 1) % size == reg[CAPTURE_HEAD]:
        return GROW_CAPTURE
    bid = reg[BEST]
    ask = reg[BEST + 1]
    width = reg[WIDTH]
    row = state.capture[tail]
    row[V_UNTIL] = before
    row[V_WHOLE] = reg[WHOLE]
    row[V_MID2] = reg[MID2]
    if reg[WHOLE] == 1:
        row[V_BID] = reg[LOW] + bid
        row[V_ASK] = reg[LOW] + width - 1 - ask
        row[V_BID_QTY] = state.qty[bid]
        row[V_ASK_QTY] = state.qty[width + ask]
    reg[CAPTURE_TAIL] = (tail + 1) % size
    cycle = state.cfg[CFG_CYCLE]
    steps = max(int64(1), -(-(before - reg[START]) // cycle))
    reg[NEXT_CAPTURE] = reg[START] + steps * cycle
    return DONE


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def decide(state: State, now: int) -> int:
    """Take the decision of all lanes; GROW_... and nothing has happened if there is no room."""
    reg = state.reg
    if state.cfg[CFG_CURVE] == 1 and reg[CURVE_COUNT] == len(state.curve_ts):
        return GROW_CURVE
    size = len(state.capture)
    while state.capture[reg[CAPTURE_HEAD], V_UNTIL] <= now:
        reg[CAPTURE_HEAD] = (reg[CAPTURE_HEAD] + 1) % size
    seen = state.capture[reg[CAPTURE_HEAD]]
    mid2 = seen[V_MID2]
    if mid2 > 0 and reg[KNOWN_MID2] == 0:
        value_capital(state, mid2)
        reg[FIRST_MID_AT] = now
    reg[KNOWN_MID2] = mid2
    whole = seen[V_WHOLE] == 1
    change, volatility = 0.0, 0.0
    if whole:
        change, volatility = observe_mid(state.features, mid2)
    day = now // DAY_NS
    new_day = day != reg[DAY]
    reg[DAY] = day
    sample_lanes(state, now, mid2, new_day)
    if whole:
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
            change,
            volatility,
            imbalance(seen[V_BID_QTY], seen[V_ASK_QTY]),
            int64(0),
        )
        first = reg[MSG_TAIL]
        quote_lanes(state, view, now)
        if reg[MSG_TAIL] != first:
            state.batch[reg[BATCH_TAIL], 0] = now + state.cfg[CFG_ENTRY]
            state.batch[reg[BATCH_TAIL], 1] = reg[MSG_TAIL]
            reg[BATCH_TAIL] = (reg[BATCH_TAIL] + 1) % len(state.batch)
    reg[DECISIONS] += 1
    reg[NEXT_DECISION] += state.cfg[CFG_CYCLE]
    return DONE


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def value_capital(state: State, mid2: int) -> None:
    """The first mid of the view: what a lane started with is worth this much, and was all the time."""
    for lane in range(len(state.lane)):
        sums = state.lane_f[lane]
        capital = worth(state, int64(lane), int64(L_KNOWN), mid2)
        sums[F_START] = capital
        sums[F_LAST] = capital
        sums[F_NEWEST] = capital
        sums[F_PEAK] = capital
        sums[F_DAY] = capital
        if state.cfg[CFG_CURVE] == 1:
            for i in range(state.reg[CURVE_COUNT]):
                state.curve[i, lane] = capital


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def sample_lanes(state: State, now: int, mid2: int, new_day: bool) -> None:
    """Let every lane learn what is known by now and sample its equity."""
    for lane in range(len(state.lane)):
        if state.lane[lane, L_KNOWN_FIRST] >= 0:
            catch_up_knowledge(state, int64(lane), now)
        equity = worth(state, int64(lane), int64(L_KNOWN), mid2) if mid2 > 0 else state.lane_f[lane, F_START]
        sample(state, int64(lane), equity)
        if new_day:
            state.lane_f[lane, F_DAY] = equity
        if state.cfg[CFG_CURVE] == 1:
            state.curve[state.reg[CURVE_COUNT], lane] = equity
    if state.cfg[CFG_CURVE] == 1:
        state.curve_ts[state.reg[CURVE_COUNT]] = now
        state.reg[CURVE_COUNT] += 1


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def sample(state: State, lane: int, equity: float) -> None:
    """Add an equity sample; the one before goes into the sums, the newest may still be replaced at the end."""
    if state.lane[lane, L_PENDING] == 1:
        settle(state, lane)
    state.lane_f[lane, F_NEWEST] = equity
    state.lane[lane, L_PENDING] = 1
    state.lane[lane, L_SAMPLES] += 1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def settle(state: State, lane: int) -> None:
    """Enter the newest sample into the sums of returns and the drawdown."""
    sums = state.lane_f
    equity = sums[lane, F_NEWEST]
    before = sums[lane, F_LAST]
    change = equity / before - 1.0 if before > 0.0 else math.nan
    sums[lane, F_RETURN] += change
    sums[lane, F_RETURN_SQ] += change * change
    if not change >= 0.0:
        sums[lane, F_DOWNSIDE_SQ] += change * change
    sums[lane, F_LAST] = equity
    if equity > sums[lane, F_PEAK]:
        sums[lane, F_PEAK] = equity
    elif sums[lane, F_PEAK] > 0.0:
        sums[lane, F_DRAWDOWN] = max(sums[lane, F_DRAWDOWN], (sums[lane, F_PEAK] - equity) / sums[lane, F_PEAK])
    state.lane[lane, L_PENDING] = 0


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def quote_lanes(state: State, view: View, now: int) -> None:
    """Ask every lane's strategy, apply the limits, and send the difference."""
    target = state.target
    quotes = Quotes(target[0], target[1], target[2], target[3])
    strategy = state.cfg[CFG_STRATEGY]
    for lane in range(len(state.lane)):
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
        bids, asks = quote(strategy, seen, state.params[lane], quotes)
        if state.cfg[CFG_LIMITED] == 1:
            bids, asks = limit(state, int64(lane), seen, bids, asks)
        bids = merge(quotes.bid_price, quotes.bid_qty, bids)
        asks = merge(quotes.ask_price, quotes.ask_qty, asks)
        send(state, int64(lane), bids, asks)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def limit(state: State, lane: int, view: View, bids: int, asks: int) -> tuple[int, int]:
    """Cut target quotes down to what the lane's limits allow, by its known state."""
    known = state.lane[lane, L_KNOWN]
    lot_units = state.cfg[CFG_LOT_UNITS]
    inventory = (known * lot_units - state.lane[lane, L_KNOWN + 2]) // lot_units
    entry = 0.0
    if known != 0:
        entry = state.lane_f[lane, F_KNOWN_VALUE] / np.float64(abs(known)) * view.tick
    exposure = Exposure(
        inventory,
        np.float64(view.mid2) / 2.0 * view.tick,
        view.lot,
        state.lane_f[lane, F_NEWEST],
        state.lane_f[lane, F_DAY],
        entry,
        view.volatility,
    )
    first = CFG_F_LIMITS
    values = LimitValues(state.cfg_f[first], state.cfg_f[first + 1], state.cfg_f[first + 2], state.cfg_f[first + 3])
    kept_bids, kept_asks, mask = gate(exposure, values, state.target[1], bids, state.target[3], asks)
    if mask != 0:
        state.lane[lane, L_LIMITED] += 1
    return kept_bids, kept_asks


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def merge(price: I64, qty: I64, count: int) -> int:
    """Make several quotes on one tick one, at the place of the first, quantities added; how many are left."""
    kept = int64(0)
    for i in range(count):
        same = int64(-1)
        for j in range(kept):
            if price[j] == price[i]:
                same = int64(j)
        if same >= 0:
            qty[same] += qty[i]
        else:
            price[kept] = price[i]
            qty[kept] = qty[i]
            kept += 1
    return kept


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def send(state: State, lane: int, bids: int, asks: int) -> None:
    """Cancel what is not wanted, then send what is missing: bids, then asks."""
    target = state.target
    bids_there = keep_wanted(state, lane, int64(0), target[0], target[1], bids)
    asks_there = keep_wanted(state, lane, int64(1), target[2], target[3], asks)
    for i in range(bids):
        if (bids_there >> i) & 1 == 0:
            send_order(state, lane, int64(0), target[0, i], target[1, i])
    for i in range(asks):
        if (asks_there >> i) & 1 == 0:
            send_order(state, lane, int64(1), target[2, i], target[3, i])


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def keep_wanted(state: State, lane: int, side: int, price: I64, qty: I64, count: int) -> int:
    """Send a cancel to the orders of a side that are not wanted; a mask of the targets that are there."""
    alive = state.alive
    row = 2 * lane + side
    there = int64(0)
    kept = int64(0)
    for i in range(state.lane[lane, L_ALIVE + side]):
        found = int64(-1)
        for j in range(count):
            if alive[row, i, A_PRICE] == price[j] and alive[row, i, A_QTY] == qty[j] and (there >> j) & 1 == 0:
                found = int64(j)
                break
        if found >= 0:
            there |= int64(1) << found
            alive[row, kept, A_SLOT] = alive[row, i, A_SLOT]
            alive[row, kept, A_PRICE] = alive[row, i, A_PRICE]
            alive[row, kept, A_QTY] = alive[row, i, A_QTY]
            kept += 1
        else:
            push(state, ~alive[row, i, A_SLOT])
    state.lane[lane, L_ALIVE + side] = kept
    return there


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def push(state: State, message: int) -> None:
    """Append to the ring of messages under way."""
    tail = state.reg[MSG_TAIL]
    state.msg[tail] = message
    tail += 1
    state.reg[MSG_TAIL] = tail if tail < len(state.msg) else int64(0)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def send_order(state: State, lane: int, side: int, price: int, qty: int) -> None:
    """Send a new post-only order."""
    if state.lane[lane, L_SLOT_FREE] < 0:
        reclaim(state, lane)
    slot = state.lane[lane, L_SLOT_FREE]
    order = state.order
    state.lane[lane, L_SLOT_FREE] = order[slot, O_NEXT]
    state.reg[NUMBER] += 1
    order[slot, O_PRICE] = price
    order[slot, O_QTY] = qty
    order[slot, O_LEAVES] = qty
    order[slot, O_NUMBER] = state.reg[NUMBER]
    order[slot, O_STATE] = SENT
    order[slot, O_WHOSE] = lane * 32 + side * 16 + POST_ONLY
    count = state.lane[lane, L_ALIVE + side]
    row = 2 * lane + side
    state.alive[row, count, A_SLOT] = slot
    state.alive[row, count, A_PRICE] = price
    state.alive[row, count, A_QTY] = qty
    state.lane[lane, L_ALIVE + side] = count + 1
    state.lane[lane, L_ORDERS] += 1
    push(state, slot)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def reclaim(state: State, lane: int) -> None:
    """Get back the slots of dead orders that lie in the lists of living nodes; then the pool cannot be empty."""
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        if state.order[slot, O_STATE] == BURIED and state.order[slot, O_NODE] >= 0:
            sweep(state, state.order[slot, O_NODE])
