"""Replacing a lane's orders: what it does not want is cancelled, what is missing is sent."""

from numba import int64, njit, uint64

from tidewright.engine.arrivals import arrive_or_wait, push
from tidewright.engine.layout import (
    CFG_CHECK_BALANCE,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    FREE,
    IN_GAP,
    L_ALIVE,
    L_BOUND,
    L_CANCELS,
    L_KNOWN_FIRST,
    L_ORDERS,
    L_RESTING,
    L_SLOT_FREE,
    NEVER,
    NUMBER,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    P_NEXT,
    P_WHOSE,
    PACKET,
    REST_FIRST,
    REST_LAST,
    RESTING,
    RESTING_STATE,
    SENT,
    State,
)
from tidewright.engine.nodes import join, leave
from tidewright.engine.orders import cancel
from tidewright.engine.prefetch import fetch
from tidewright.engine.slots import state_of, whose
from tidewright.market.codes import LIMIT, POST_ONLY
from tidewright.market.ladder import BEST, LOW, PLACED, WIDTH


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
def fetch_orders(state: State, lane: int) -> None:
    """Fetch a lane's orders, and the first of what it will come to know."""
    for side in range(2):
        for i in range(state.lane[lane, L_ALIVE + side]):
            slot = int64(state.alive[2 * lane + side, uint64(i)])
            fetch(state.order, slot, 0)
            fetch(state.place, slot, 0)
    fetch(state.known, state.lane[lane, L_KNOWN_FIRST], 0)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def replace(state: State, lane: int, bids: int, asks: int, arrived: int, at: int) -> None:
    """Send the difference between the targets of a lane and what it believes alive.

    Parameters
    ----------
    bids, asks
        How many there are, all of different prices.
    arrived, at
        See :func:`tidewright.engine.requote.act`.
    """
    bids_there, bid_slots = keep_wanted(state, lane, int64(0), bids, arrived, at)
    asks_there, ask_slots = keep_wanted(state, lane, int64(1), asks, arrived, at)
    if bid_slots > 0 or bids_there != (int64(1) << bids) - 1:
        send_missing(state, lane, int64(0), bids, bids_there, bid_slots, arrived, at)
    if ask_slots > 0 or asks_there != (int64(1) << asks) - 1:
        send_missing(state, lane, int64(1), asks, asks_there, ask_slots, arrived, at)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
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
    for i in range(row[L_ALIVE + side]):
        slot = int64(alive[uint64(i)])
        wanted = order[slot, O_PRICE]
        found = int64(-1)
        if i < count and price[uint64(i)] == wanted:  # most often all are as before, or none is
            found = int64(i)
        else:
            for j in range(count):  # all of which are different
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
            leave(state, slot)
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
    return there, left


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def send_missing(state: State, lane: int, side: int, count: int, there: int, left: int, arrived: int, at: int) -> None:
    """Send new post-only orders for the targets that are not there.

    One that arrives at once and obviously may rest is put into its queue here; any other goes the way of all orders.
    ``left`` slots behind those of the living orders are used first.
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
    start = reg[LOW] if side == 0 else -reg[LOW] - 2 * reg[WIDTH] + 1  # a position is sign * price - start
    bound = -row[L_BOUND + 1 - side]
    least, most = cfg[CFG_MIN_QTY], cfg[CFG_MAX_QTY]
    small, large = cfg[CFG_MIN_NOTIONAL], cfg[CFG_MAX_NOTIONAL]
    room = cfg[CFG_MAX_ORDERS] - row[L_RESTING]
    held = row[L_ALIVE + side]
    end = held + left
    number = reg[NUMBER]
    packet = reg[PACKET]
    free = row[L_SLOT_FREE]
    best = row[L_BOUND + side]
    resting = int64(0)
    for i in range(count):
        if (there >> i) & 1 == 1:
            continue
        price = price_of[uint64(i)]
        qty = qty_of[uint64(i)]
        slot = free
        if held < end:
            slot = int64(alive[uint64(held)])
        else:
            free = int64(place[slot, P_NEXT])
            alive[uint64(held)] = slot
        held += 1
        number += 1
        order[slot, O_PRICE] = price
        order[slot, O_QTY] = qty
        order[slot, O_LEAVES] = qty
        order[slot, O_NUMBER] = number
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
            join(state, slot, side, key - start, packet)
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
    for i in range(held, end):  # fewer orders than before
        slot = int64(alive[i])
        place[slot, P_NEXT] = free
        free = slot
    row[L_SLOT_FREE] = free
    row[L_RESTING] += resting
    reg[RESTING] += resting
    row[L_BOUND + side] = best
    row[L_ORDERS] += number - reg[NUMBER]
    reg[NUMBER] = number
    row[L_ALIVE + side] = held
