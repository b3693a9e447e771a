"""Replacing a lane's orders: what it does not want is cancelled, what is missing is sent."""

from typing import Final

import numpy as np
from numba import int64, uint64

from tidewright.engine.arrivals import arrive_or_wait, push
from tidewright.engine.bounds import find_bounds
from tidewright.engine.layout import (
    ACT_AT,
    BOUNDS_AT,
    CFG_CHECK_BALANCE,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    CFG_REFERENCE,
    EMPTIED,
    FREE,
    IN_GAP,
    L_ALIVE,
    L_BOUND,
    L_CANCELS,
    L_JOINED,
    L_KNOWN_FIRST,
    L_ORDERS,
    L_RESTING,
    L_SLOT_FREE,
    LEAST_PRICE,
    MOST_PRICE,
    NEVER,
    NUMBER,
    O_PRICE,
    O_QTY,
    P_NEXT,
    P_WHOSE,
    PACKET,
    REFERENCE_NONE,
    REST_FIRST,
    REST_LAST,
    RESTING,
    RESTING_STATE,
    SENT,
    State,
)
from tidewright.engine.nodes import join, leave_later, open_tail
from tidewright.engine.orders import cancel
from tidewright.engine.prefetch import fetch
from tidewright.engine.slots import state_of, whose, write_order
from tidewright.market.codes import LIMIT, POST_ONLY
from tidewright.market.hints import among_four, few
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, LOW, PLACED, WIDTH

FETCHED: Final = 8  # orders of a lane and side that are asked for ahead of time
LARGEST: Final = 9e18  # a product below it is an int64


@inlined
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
    if cfg[CFG_REFERENCE] != REFERENCE_NONE:
        if reg[BOUNDS_AT] != reg[ACT_AT]:
            find_bounds(state, reg[ACT_AT])
        for side in range(2):
            reg[REST_FIRST + side] = max(reg[REST_FIRST + side], reg[LEAST_PRICE + side])
            reg[REST_LAST + side] = min(reg[REST_LAST + side], reg[MOST_PRICE + side])
    if reg[BEST + 1] >= 0:
        reg[REST_LAST] = min(reg[REST_LAST], high - reg[BEST + 1] - 1)
    if reg[BEST] >= 0:
        reg[REST_FIRST + 1] = max(reg[REST_FIRST + 1], low + reg[BEST] + 1)
    plain = reg[IN_GAP] == 0 and reg[PLACED] == 1 and cfg[CFG_CHECK_BALANCE] == 0
    if not plain:  # every order takes the long way
        reg[REST_LAST] = -1
        reg[REST_LAST + 1] = -1


@inlined
def fetch_orders(state: State, lane: int) -> None:
    """Fetch the orders that a lane believes alive, and the first of what it will come to know."""
    for side in range(2):
        alive = state.alive[2 * lane + side]
        for i in range(0, min(state.lane[lane, L_ALIVE + side], int64(FETCHED)), 2):  # two lie in a line, most often
            slot = int64(alive[uint64(i)])
            fetch(state.order, slot, 0)
            if i & 2 == 0:
                fetch(state.place, slot, 0)
    fetch(state.known, state.lane[lane, L_KNOWN_FIRST], 0)


@inlined
def fetch_targets(state: State, side: int, count: int) -> None:
    """Fetch what is known of the prices of a side's targets."""
    price = state.target[2 * side]
    sign = 1 - 2 * side
    start = first_price(state, side)
    for i in range(count):
        few()
        position = sign * price[uint64(i)] - start
        fetch(state.tail, position, 0)
        fetch(state.qty, position, 0)


@inlined
def replace(state: State, lane: int, bids: int, asks: int, arrived: int, at: int) -> None:
    """Send the difference between the targets of a lane and what it believes alive.

    Parameters
    ----------
    bids, asks
        How many there are.
    arrived, at
        See :func:`tidewright.engine.requote.act`.
    """
    if arrived == 1 and exchange(state, lane, bids, asks):
        return
    written = bids + asks
    bids, asks = merge(state, lane, int64(0), bids), merge(state, lane, int64(1), asks)
    if arrived == 1 and bids + asks < written and exchange(state, lane, bids, asks):
        return
    bids_there, bid_slots = keep_wanted(state, lane, int64(0), bids, arrived, at)
    asks_there, ask_slots = keep_wanted(state, lane, int64(1), asks, arrived, at)
    if bid_slots > 0 or bids_there != (int64(1) << bids) - 1:
        send_missing(state, lane, int64(0), bids, bids_there, bid_slots, arrived, at)
    if ask_slots > 0 or asks_there != (int64(1) << asks) - 1:
        send_missing(state, lane, int64(1), asks, asks_there, ask_slots, arrived, at)


@inner
def exchange(state: State, lane: int, bids: int, asks: int) -> bool:
    """Replace a lane's unwanted orders at once if all of its orders rest and all new ones may, as is most usual.

    Every step that this leaves out would change nothing. False: it cannot, and nothing has happened.
    """
    reg = state.reg
    row = state.lane[lane]
    fetch_targets(state, int64(0), bids)
    fetch_targets(state, int64(1), asks)
    bids_kept, bids_there = match(state, lane, int64(0), bids)
    asks_kept, asks_there = match(state, lane, int64(1), asks)
    if bids_kept | asks_kept < 0:
        return False
    more = bids + asks - row[L_ALIVE] - row[L_ALIVE + 1]
    bid = best_passing(state, int64(0), bids)
    ask = best_passing(state, int64(1), asks)
    if bid >= -ask or row[L_RESTING] + more > state.cfg[CFG_MAX_ORDERS]:
        return False
    row[L_BOUND] = bid
    row[L_BOUND + 1] = ask
    row[L_RESTING] += more
    reg[RESTING] += more
    exchange_side(state, lane, int64(0), bids, bids_kept, bids_there)
    exchange_side(state, lane, int64(1), asks, asks_kept, asks_there)
    return True


@inlined
def best_passing(state: State, side: int, count: int) -> int:
    """Best key of a side's targets (asks negated) if all obviously pass the filters and the book on arrival.

    -NEVER: there are none; NEVER: some may not pass, though with quantities far apart all might, or they do not stand
    from the best outwards, as strategies write them.
    """
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    if count == 0:
        return int64(-NEVER)
    sign = 1 - 2 * side
    little = much = qty[0]
    steps = int64(0)
    for i in range(1, count):
        few()
        steps |= sign * (price[uint64(i - 1)] - price[uint64(i)]) - 1
        little, much = min(little, qty[uint64(i)]), max(much, qty[uint64(i)])
    best = price[0]
    last = price[uint64(count - 1)]
    passing = steps >= 0 and may_rest(state, side, min(best, last), max(best, last), little, much)
    return sign * best if passing else int64(NEVER)


@inlined
def match(state: State, lane: int, side: int, count: int) -> tuple[int, int]:
    """Which orders of a side that a lane believes alive are wanted, and which of its targets are there, as masks.

    The first is -1 if one of the orders does not rest, or rests at the price of a target with another quantity.
    """
    price = state.target[2 * side]
    alive = state.alive[2 * lane + side]
    old = state.lane[lane, L_ALIVE + side]
    resting = whose(lane, RESTING_STATE, side, LIMIT, POST_ONLY)
    for j in range(count, (count + 3) & ~3):
        few()
        price[uint64(j)] = 0  # no order's
    odd = int64(0)
    met = int64(0)
    most = max(old, count)  # a number that can be foreseen, unlike how many are left of the old
    for i in range(most):
        few()
        odd |= (state.place[alive[uint64(i)], P_WHOSE] ^ resting) & -int64(i < old)
    for j in range(0, count, 4):  # once, most often
        for i in range(most):
            few()
            met |= among_four(state.target, 2 * side, int64(j), state.order[alive[uint64(i)], O_PRICE]) & -int64(
                i < old
            )
    if odd != 0:
        return int64(-1), int64(0)
    if met == 0:
        return int64(0), int64(0)
    kept = int64(0)
    there = int64(0)
    for j in range(0, count, 4):
        for i in range(old):
            few()
            slot = int64(alive[uint64(i)])
            same = among_four(state.target, 2 * side, int64(j), state.order[slot, O_PRICE])
            odd |= same & ~among_four(state.target, 2 * side + 1, int64(j), state.order[slot, O_QTY])
            odd |= there & (same << j)  # two orders of one price
            there |= same << j
            kept |= int64(same != 0) << i
    return int64(-1) if odd != 0 else kept, there


@inlined
def exchange_side(state: State, lane: int, side: int, count: int, kept: int, there: int) -> None:
    """Let the unwanted resting orders of a lane's side leave, and new ones join for the targets that are not there."""
    reg = state.reg
    row = state.lane[lane]
    alive = state.alive[2 * lane + side]
    old = row[L_ALIVE + side]
    emptied = reg[EMPTIED]
    held = int64(0)
    for i in range(max(old, count)):
        few()
        emptied = leave_later(state, int64(alive[uint64(i)]), emptied, int64(i < old) & ~(kept >> i))
    reg[EMPTIED] = emptied
    if kept != 0:  # they come first, in their order
        for i in range(old):
            few()
            stays = (kept >> i) & 1
            slot, other = int64(alive[uint64(i)]), int64(alive[uint64(held)])
            either = (slot ^ other) & -stays
            alive[uint64(i)] = slot ^ either
            alive[uint64(held)] = other ^ either
            held += stays
    row[L_CANCELS] += old - held
    row[L_ORDERS] += count - held
    for i in range(count, old):
        few()
        state.place[int64(alive[uint64(i)]), P_WHOSE] = whose(lane, FREE, side, LIMIT, POST_ONLY)
    fit_slots(state, lane, side, old, count)
    for i in range(old, count):
        few()
        state.place[int64(alive[uint64(i)]), P_WHOSE] = whose(lane, RESTING_STATE, side, LIMIT, POST_ONLY)
    rest_missing(state, lane, side, count, there, held)


@inlined
def fit_slots(state: State, lane: int, side: int, held: int, count: int) -> None:
    """Give a side as many slots as it is to have orders: more from the lane's pool, or those beyond back to it."""
    row = state.lane[lane]
    alive = state.alive[2 * lane + side]
    free = row[L_SLOT_FREE]
    while held < count:
        few()
        alive[uint64(held)] = free
        free = int64(state.place[free, P_NEXT])
        held += 1
    while held > count:
        few()
        held -= 1
        slot = int64(alive[uint64(held)])
        state.place[slot, P_NEXT] = free
        free = slot
    row[L_SLOT_FREE] = free
    row[L_ALIVE + side] = count


@inner
def merge(state: State, lane: int, side: int, count: int) -> int:
    """Make a lane's targets on one tick one, at the place of the first, quantities added; how many are left."""
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    ordered = int64(1)
    while ordered < count and (price[uint64(ordered)] > price[uint64(ordered - 1)]) == (side == 1):
        if price[uint64(ordered)] == price[uint64(ordered - 1)]:
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
    if kept < count:
        state.lane[lane, L_JOINED] = 1
    return kept


@inner
def keep_wanted(state: State, lane: int, side: int, count: int, arrived: int, at: int) -> tuple[int, int]:
    """Cancel the orders of a side that are not wanted.

    Returns
    -------
    tuple[int, int]
        A mask of the targets that are there; and how many slots are left over, which stay behind those of the living
        orders for :func:`send_missing` to use again.
    """
    price = state.target[2 * side]
    qty = state.target[2 * side + 1]
    alive = state.alive[2 * lane + side]
    order = state.order
    row = state.lane[lane]
    nobodys = whose(lane, FREE, side, LIMIT, POST_ONLY)
    there = int64(0)
    kept = int64(0)
    left = int64(0)
    emptied = state.reg[EMPTIED]
    for i in range(row[L_ALIVE + side]):
        few()
        slot = int64(alive[uint64(i)])
        wanted = order[slot, O_PRICE]
        found = int64(-1)
        if i < count and price[uint64(i)] == wanted:  # most often all are as before, or none is
            found = int64(i)
        else:
            for j in range(count):  # all of which are different
                few()
                if price[uint64(j)] == wanted:
                    found = int64(j)
                    break
        if found >= 0 and order[slot, O_QTY] == qty[uint64(found)] and (there >> found) & 1 == 0:
            there |= int64(1) << found
            alive[uint64(kept + left)] = alive[uint64(kept)]
            alive[uint64(kept)] = slot
            kept += 1
        elif arrived == 0:
            push(state, ~slot)
        elif state_of(state, slot) == RESTING_STATE:
            emptied = leave_later(state, slot, emptied, int64(1))
            state.place[slot, P_WHOSE] = nobodys
            alive[uint64(kept + left)] = slot
            left += 1
        else:
            cancel(state, slot, at)
    row[L_ALIVE + side] = kept
    if arrived == 1 and kept == 0:  # none rests: who comes next need not look for own orders in its way
        row[L_BOUND + side] = -NEVER
    row[L_RESTING] -= left
    row[L_CANCELS] += left
    state.reg[RESTING] -= left
    state.reg[EMPTIED] = emptied
    return there, left


@inner
def send_missing(state: State, lane: int, side: int, count: int, there: int, left: int, arrived: int, at: int) -> None:
    """Send new post-only orders for the targets that are not there.

    Where all of them arrive at once and obviously may rest, they go straight into their queues; else each goes the way
    of all orders. ``left`` slots behind those of the living orders are used first.
    """
    row = state.lane[lane]
    held = row[L_ALIVE + side]
    new = count - held
    fit_slots(state, lane, side, held + left, count)
    row[L_ORDERS] += new
    best = best_passing(state, side, count) if arrived == 1 else int64(NEVER)
    if best < -row[L_BOUND + 1 - side] and row[L_RESTING] + new <= state.cfg[CFG_MAX_ORDERS]:
        row[L_BOUND + side] = max(row[L_BOUND + side], best)
        row[L_RESTING] += new
        state.reg[RESTING] += new
        for i in range(held, count):
            few()
            slot = int64(state.alive[2 * lane + side, uint64(i)])
            state.place[slot, P_WHOSE] = whose(lane, RESTING_STATE, side, LIMIT, POST_ONLY)
        rest_missing(state, lane, side, count, there, held)
    else:
        send_each(state, lane, side, count, there, held, arrived, at)


@inlined
def may_rest(state: State, side: int, low: int, high: int, little: int, much: int) -> bool:
    """Whether orders within some prices and quantities all obviously pass the filters and the book on arrival."""
    cfg = state.cfg
    return bool(
        state.reg[REST_FIRST + side] <= low
        and high <= state.reg[REST_LAST + side]
        and cfg[CFG_MIN_QTY] <= little
        and much <= cfg[CFG_MAX_QTY]
        and cfg[CFG_MIN_NOTIONAL] <= low * little
        and np.float64(high) * np.float64(much) < LARGEST
        and high * much <= cfg[CFG_MAX_NOTIONAL]
    )


@inlined
def first_price(state: State, side: int) -> int:
    """What is to be taken from a price (asks: negated) to get its position."""
    reg = state.reg
    return reg[LOW] if side == 0 else -reg[LOW] - 2 * reg[WIDTH] + 1


@inlined
def rest_missing(state: State, lane: int, side: int, count: int, there: int, held: int) -> None:
    """Put new orders into the queues of the targets that are not there.

    The lane's slots from ``held`` on take them, and say so already. The buffer of targets holds only those then.
    """
    reg = state.reg
    price_of = state.target[2 * side]
    qty_of = state.target[2 * side + 1]
    alive = state.alive[2 * lane + side]
    sign = 1 - 2 * side
    start = first_price(state, side)
    opened = open_tail(reg[PACKET])
    number = reg[NUMBER]
    missing = count
    if there != 0:  # they come first: how many there are can be foreseen, unlike which
        missing = int64(0)
        for i in range(count):
            few()
            price_of[uint64(missing)] = price_of[uint64(i)]
            qty_of[uint64(missing)] = qty_of[uint64(i)]
            missing += 1 - ((there >> i) & 1)
    for i in range(missing):
        few()
        price = price_of[uint64(i)]
        slot = int64(alive[uint64(held)])
        held += 1
        number += 1
        write_order(state, slot, price, qty_of[uint64(i)], number)
        join(state, slot, side, sign * price - start, opened)
    reg[NUMBER] = number


@inner
def send_each(state: State, lane: int, side: int, count: int, there: int, held: int, arrived: int, at: int) -> None:
    """Send new orders for the targets that are not there one by one, in the lane's slots from ``held`` on."""
    for i in range(count):
        if (there >> i) & 1 == 1:
            continue
        slot = int64(state.alive[2 * lane + side, uint64(held)])
        held += 1
        state.reg[NUMBER] += 1
        write_order(state, slot, state.target[2 * side, i], state.target[2 * side + 1, i], state.reg[NUMBER])
        state.place[slot, P_WHOSE] = whose(lane, SENT, side, LIMIT, POST_ONLY)
        if arrived == 0:
            push(state, slot)
        else:
            arrive_or_wait(state, slot, at)
