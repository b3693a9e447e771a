"""What a decision makes of every lane: it learns, samples its equity, and sends what leads to its target quotes."""

import math
from typing import Final

import numpy as np
from numba import int64, njit

from tidewright.engine.accounts import catch_up_knowledge, worth
from tidewright.engine.arrivals import arrive_or_wait, push
from tidewright.engine.layout import (
    ACT_AT,
    B_ARRIVAL,
    B_END,
    B_MERGED,
    BATCH_HEAD,
    BATCH_TAIL,
    CAPTURE_HEAD,
    CFG_CHECK_BALANCE,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_F_LIMITS,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_LIMITED,
    CFG_LOT_UNITS,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    CFG_STRATEGY,
    CURVE_COUNT,
    DONE,
    F_DAY,
    F_KNOWN_VALUE,
    F_NEWEST,
    F_PEAK,
    F_START,
    FREE,
    GROW_KNOWN,
    IN_GAP,
    KNOWN_ROOM,
    L_ALIVE,
    L_BOUND,
    L_CANCELS,
    L_CUT,
    L_HALTED,
    L_KNOWN,
    L_KNOWN_FIRST,
    L_LIMITED,
    L_MINUTE,
    L_ORDERS,
    L_RESTING,
    L_SENT,
    L_SLOT_FREE,
    LANES,
    MSG_TAIL,
    NEVER,
    NEW_DAY,
    NUMBER,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    P_NEXT,
    P_WHOSE,
    PENDING,
    REST_FIRST,
    REST_LAST,
    RESTING,
    RESTING_STATE,
    SAMPLES,
    SENT,
    START,
    V_ASK,
    V_ASK_QTY,
    V_BID,
    V_BID_QTY,
    V_MID2,
    V_WHOLE,
    State,
)
from tidewright.engine.nodes import join, leave
from tidewright.engine.orders import cancel
from tidewright.engine.prefetch import fetch
from tidewright.engine.sampling import sample
from tidewright.engine.slots import set_state, state_of, whose
from tidewright.market.codes import LIMIT, POST_ONLY
from tidewright.market.features import PRICE_CHANGE, VARIANCE, imbalance
from tidewright.market.ladder import BEST, LOW, PLACED, WIDTH, Ladder, index_of
from tidewright.risk.gate import DAILY_LOSS, Exposure, Standing, gate, halted, latched
from tidewright.risk.limits import LimitValues
from tidewright.strategies.dispatch import quote
from tidewright.strategies.view import Quotes, View

MINUTE_NS: Final = 60_000_000_000


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def room_to_act(state: State) -> int:
    """DONE if the pool holds all that lanes may come to know of the arrivals of a decision, else GROW_KNOWN."""
    orders = 2 * state.alive.shape[1] * state.reg[LANES]  # of which each may be rejected, and none takes
    return GROW_KNOWN if state.reg[KNOWN_ROOM] < orders else DONE


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
    if arrived == 1:
        find_room(state)
    first = reg[MSG_TAIL]
    for lane in range(reg[LANES]):
        if lane + 1 < reg[LANES]:
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
            requote(state, int64(lane), view, arrived, at)
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
def fetch_orders(state: State, lane: int) -> None:
    """Fetch the orders of the lane that comes next."""
    for side in range(2):
        for i in range(state.lane[lane, L_ALIVE + side]):
            slot = int64(state.alive[2 * lane + side, i])
            fetch(state.order, slot)
            fetch(state.place, slot)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def fetch_levels(state: State, side: int, count: int) -> None:
    """Fetch what hangs on the prices that a lane wants, as far as they lie in the window."""
    width = state.reg[WIDTH]
    for i in range(count):
        index = index_of(Ladder(state.qty, state.reg), side, state.target[2 * side, i])
        if 0 <= index < width:
            fetch(state.tail, side * width + index)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def find_room(state: State) -> None:
    """Note between which prices a post-only order of a side passes the price filter and the book."""
    reg = state.reg
    cfg = state.cfg
    low = reg[LOW]
    high = low + reg[WIDTH] - 1
    reg[REST_FIRST] = max(low, max(cfg[CFG_MIN_PRICE], int64(1)))
    reg[REST_LAST] = min(high, cfg[CFG_MAX_PRICE])
    reg[REST_FIRST + 1] = reg[REST_FIRST]
    reg[REST_LAST + 1] = reg[REST_LAST]
    if reg[BEST + 1] >= 0:
        reg[REST_LAST] = min(reg[REST_LAST], high - reg[BEST + 1] - 1)
    if reg[BEST] >= 0:
        reg[REST_FIRST + 1] = max(reg[REST_FIRST + 1], low + reg[BEST] + 1)
    plain = reg[IN_GAP] == 0 and reg[PLACED] == 1 and cfg[CFG_CHECK_BALANCE] == 0
    if not plain:  # every order takes the long way
        reg[REST_LAST] = -1
        reg[REST_LAST + 1] = -1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def requote(state: State, lane: int, view: View, arrived: int, at: int) -> None:
    """Ask a lane's strategy, apply the limits, and send the difference to what the lane believes alive."""
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
        bids, asks = limit(state, lane, seen, bids, asks)
    bids = merge(state, int64(0), bids)
    asks = merge(state, int64(1), asks)
    if arrived == 1:
        fetch_levels(state, int64(0), bids)
        fetch_levels(state, int64(1), asks)
    bids_there = keep_wanted(state, lane, int64(0), bids, arrived, at)
    asks_there = keep_wanted(state, lane, int64(1), asks, arrived, at)
    send_missing(state, lane, int64(0), bids, bids_there, arrived, at)
    send_missing(state, lane, int64(1), asks, asks_there, arrived, at)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def limit(state: State, lane: int, view: View, bids: int, asks: int) -> tuple[int, int]:
    """Cut target quotes down to what the lane's limits allow, by its known state."""
    known = state.lane[lane, L_KNOWN]
    lot_units = state.cfg[CFG_LOT_UNITS]
    inventory = (known * lot_units - state.lane[lane, L_KNOWN + 2]) // lot_units
    entry = 0.0
    if known != 0:
        entry = state.lane_f[lane, F_KNOWN_VALUE] / np.float64(abs(known)) * view.tick
    row = state.lane[lane]
    sums = state.lane_f[lane]
    minute = view.now_ns // MINUTE_NS
    if row[L_MINUTE] != minute:
        row[L_MINUTE] = minute
        row[L_SENT] = 0
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
    )
    f = state.cfg_f
    i = CFG_F_LIMITS
    values = LimitValues(f[i], f[i + 1], f[i + 2], f[i + 3], f[i + 4], f[i + 5], f[i + 6], f[i + 7], f[i + 8], f[i + 9])
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
    row[L_SENT] += sent
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


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def merge(state: State, side: int, count: int) -> int:
    """Make several targets on one tick one, at the place of the first, quantities added; how many are left."""
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    ordered = int64(1)
    while ordered < count and (price[ordered] > price[ordered - 1]) == (side == 1):
        if price[ordered] == price[ordered - 1]:
            break
        ordered += 1
    if ordered >= count:  # from the best outwards, as strategies write them: all different
        return count
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
def keep_wanted(state: State, lane: int, side: int, count: int, arrived: int, at: int) -> int:
    """Cancel the orders of a side that are not wanted; a mask of the targets that are there."""
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    alive = state.alive[2 * lane + side]
    order = state.order
    row = state.lane[lane]
    there = int64(0)
    kept = int64(0)
    gone = int64(0)
    free = row[L_SLOT_FREE]
    for i in range(row[L_ALIVE + side]):
        slot = int64(alive[i])
        found = int64(-1)
        for j in range(count):
            if order[slot, O_PRICE] == price[j] and order[slot, O_QTY] == qty[j] and (there >> j) & 1 == 0:
                found = int64(j)
                break
        if found >= 0:
            there |= int64(1) << found
            alive[kept] = slot
            kept += 1
        elif arrived == 0:
            push(state, ~slot)
        elif state_of(state, slot) == RESTING_STATE:
            leave(state, slot)
            set_state(state, slot, FREE)
            state.place[slot, P_NEXT] = free
            free = slot
            gone += 1
        else:
            row[L_SLOT_FREE] = free
            cancel(state, slot, at)
            free = row[L_SLOT_FREE]
    row[L_SLOT_FREE] = free
    row[L_ALIVE + side] = kept
    if arrived == 1 and kept == 0:  # none rests: who comes next need not look for own orders in its way
        row[L_BOUND + side] = -NEVER
    row[L_RESTING] -= gone
    row[L_CANCELS] += gone
    state.reg[RESTING] -= gone
    return there


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def send_missing(state: State, lane: int, side: int, count: int, there: int, arrived: int, at: int) -> None:
    """Send new post-only orders for the targets that are not there.

    One that arrives at once and obviously may rest is put into its queue here; any other goes the way of all orders.
    """
    reg = state.reg
    cfg = state.cfg
    order = state.order
    place = state.place
    row = state.lane[lane]
    price_of = state.target[2 * side]
    qty_of = state.target[2 * side + 1]
    alive = state.alive[2 * lane + side]
    first = reg[REST_FIRST + side] if arrived == 1 else int64(1)
    last = reg[REST_LAST + side] if arrived == 1 else int64(0)
    sign = 1 - 2 * side
    start = reg[LOW] if side == 0 else -reg[LOW] - reg[WIDTH] + 1  # an index is sign * price - start
    bound = -row[L_BOUND + 1 - side]
    least, most = cfg[CFG_MIN_QTY], cfg[CFG_MAX_QTY]
    small, large = cfg[CFG_MIN_NOTIONAL], cfg[CFG_MAX_NOTIONAL]
    room = cfg[CFG_MAX_ORDERS] - row[L_RESTING]
    held = row[L_ALIVE + side]
    number = reg[NUMBER]
    free = row[L_SLOT_FREE]
    best = row[L_BOUND + side]
    resting = int64(0)
    for i in range(count):
        if (there >> i) & 1 == 1:
            continue
        price = price_of[i]
        qty = qty_of[i]
        slot = free
        free = int64(place[slot, P_NEXT])
        number += 1
        order[slot, O_PRICE] = price
        order[slot, O_QTY] = qty
        order[slot, O_LEAVES] = qty
        order[slot, O_NUMBER] = number
        alive[held] = slot
        held += 1
        key = sign * price
        if (
            first <= price <= last
            and least <= qty <= most
            and small <= price * qty <= large
            and resting < room
            and key < bound
        ):
            place[slot, P_WHOSE] = whose(lane, RESTING_STATE, side, LIMIT, POST_ONLY)
            resting += 1
            best = max(best, key)
            join(state, slot, side, key - start)
            continue
        place[slot, P_WHOSE] = whose(lane, SENT, side, LIMIT, POST_ONLY)
        if arrived == 0:
            push(state, slot)
            continue
        row[L_SLOT_FREE] = free
        row[L_RESTING] += resting
        reg[RESTING] += resting
        row[L_BOUND + side] = best
        arrive_or_wait(state, slot, at)
        free = row[L_SLOT_FREE]
        room = cfg[CFG_MAX_ORDERS] - row[L_RESTING]
        resting = int64(0)
        bound = -row[L_BOUND + 1 - side]
        best = row[L_BOUND + side]
    row[L_SLOT_FREE] = free
    row[L_RESTING] += resting
    reg[RESTING] += resting
    row[L_BOUND + side] = best
    row[L_ORDERS] += number - reg[NUMBER]
    reg[NUMBER] = number
    row[L_ALIVE + side] = held
