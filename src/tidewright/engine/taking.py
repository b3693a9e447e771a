"""Taking: a marketable order walks the tape's book net of what its lane has taken."""

import math

from numba import int64

from tidewright.engine.checks import slots_of
from tidewright.engine.impact import impact_ticks
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    CFG_IMPACT,
    CFG_PARITY,
    IMPACT_NONE,
    N_FIRST,
    N_OLDER,
    NEVER,
    NODE_FIELDS,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    Q_AHEAD,
    Q_TURN,
    WHOLE,
    State,
)
from tidewright.engine.nodes import node_of, stands, youngest
from tidewright.engine.orders import die, fill
from tidewright.engine.slots import kind_of, lane_of, rests, side_of, tif_of
from tidewright.engine.taken import take_from, taken_of
from tidewright.market.codes import EXPIRED, FOK, FOK_UNFILLED, IOC, MARKET, NO_LIQUIDITY, SELF_TRADE
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, WIDTH, Ladder, index_of, next_level, price_at


@inner
def take(state: State, slot: int, index: int, now: int) -> bool:
    """Let an arriving order that is not post-only take; whether a remainder rests."""
    order = state.order
    market = kind_of(state, slot) == MARKET
    tif = tif_of(state, slot)
    other = 1 - side_of(state, slot)
    reach = int64(1 - NEVER) if market else state.reg[WIDTH] - 1 - index
    if state.cfg[CFG_PARITY] == 1:
        return take_whole(state, slot, other, max(reach, int64(0)), now)
    whole = state.reg[WHOLE] == 1
    if tif == FOK and (not whole or reachable(state, slot, other, reach) < order[slot, O_QTY]):
        die(state, slot, int64(EXPIRED), now, int64(FOK_UNFILLED))
        return False
    if whole:
        number = order[slot, O_NUMBER]
        extra = int64(0)
        if state.cfg[CFG_IMPACT] != IMPACT_NONE:
            lots = min(order[slot, O_LEAVES], reachable(state, slot, other, max(reach, int64(0))))
            extra = impact_ticks(state, lots, now)
        walk(state, slot, other, reach, extra, now)
        if order[slot, O_NUMBER] != number or order[slot, O_LEAVES] == 0:
            return False
    if market or tif == IOC:
        die(state, slot, int64(EXPIRED), now, int64(NO_LIQUIDITY))
        return False
    return True


@inner
def take_whole(state: State, slot: int, other: int, reach: int, now: int) -> bool:
    """Parity's taking: all of it at the best opposite price, however little stands there; whether it rests instead."""
    best = state.reg[BEST + other]
    if best >= reach:
        price = price_at(Ladder(state.qty, state.reg), other, best)
        fill(state, slot, state.order[slot, O_LEAVES], price, int64(0), now, now + response_at(state, now))
        return False
    tif = tif_of(state, slot)
    if kind_of(state, slot) == MARKET or tif == IOC or tif == FOK:
        die(state, slot, int64(EXPIRED), now, int64(FOK_UNFILLED if tif == FOK else NO_LIQUIDITY))
        return False
    return True


@inlined
def reachable(state: State, slot: int, other: int, reach: int) -> int:
    """Lots the order could take from the tape, counted until they suffice."""
    lane = lane_of(state, slot)
    total = int64(0)
    level = state.reg[BEST + other]
    while level >= reach and total < state.order[slot, O_QTY]:
        position = other * state.reg[WIDTH] + level
        total += max(int64(0), state.qty[position] - taken_of(state, lane, position))
        level = next_level(Ladder(state.qty, state.reg), other, level - 1)
    return total


@inner
def walk(state: State, slot: int, other: int, reach: int, extra: int, now: int) -> None:
    """Take level by level, best first. An own resting order in the way lets the walk have what stands ahead of it,
    expires, and lets the walk go on.
    """
    lane = lane_of(state, slot)
    width = state.reg[WIDTH]
    level = state.reg[BEST + other]
    if level < 0:
        level = int64(-NEVER)
    own = best_own_index(state, lane, other, int64(NEVER))
    while max(level, own) >= reach and max(level, own) > -NEVER:
        index = max(level, own)
        position = other * width + index
        inside = 0 <= index < width
        if index == own:
            if inside:
                pass_own(state, slot, position, extra, now)
            else:
                expire_stray(state, lane, other, index, now)
            own = best_own_index(state, lane, other, index - 1)
        if state.order[slot, O_LEAVES] == 0:
            return
        if inside:
            take_level(state, slot, position, NEVER, extra, now)
        if state.order[slot, O_LEAVES] == 0:
            return
        if index == level:
            level = next_level(Ladder(state.qty, state.reg), other, level - 1)
        if level < 0:
            level = int64(-NEVER)


@inner
def expire_stray(state: State, lane: int, side: int, index: int, now: int) -> None:
    """Let a lane's orders at a price outside the window expire, in order of arrival: there is nothing ahead to take."""
    first, last = slots_of(state, lane)
    while True:
        found = int64(-1)
        for each in range(first, last):
            if (
                rests(state, int64(each), lane, side)
                and index_of(Ladder(state.qty, state.reg), side, state.order[each, O_PRICE]) == index
                and (found < 0 or turn_of(state, int64(each)) < turn_of(state, found))
            ):
                found = int64(each)
        if found < 0:
            return
        die(state, own_in_node(state, lane, int64(node_of(state, found))), int64(EXPIRED), now, int64(SELF_TRADE))


@inlined
def turn_of(state: State, slot: int) -> float:
    """How early the node of a resting order was made."""
    return state.node_q[node_of(state, slot), Q_TURN]


@inner
def pass_own(state: State, slot: int, position: int, extra: int, now: int) -> None:
    """Take what lies ahead of each own order of a price, then let it expire if the incoming order wants more."""
    lane = lane_of(state, slot)
    each = next_own_at(state, lane, position, int64(-1))
    while each >= 0 and state.order[slot, O_LEAVES] > 0:
        ahead = state.node_q[node_of(state, each), Q_AHEAD]
        lots = int64(math.ceil(min(ahead, 1e18)))
        take_level(state, slot, position, lots - taken_of(state, lane, position), extra, now)
        if state.order[slot, O_LEAVES] > 0:
            die(state, each, int64(EXPIRED), now, int64(SELF_TRADE))
            each = next_own_at(state, lane, position, int64(-1))


@inlined
def take_level(state: State, slot: int, position: int, most: int, extra: int, now: int) -> None:
    """Take from one level, at most ``most`` lots, at its price, worse by ``extra`` ticks but within the limit."""
    lane = lane_of(state, slot)
    net = state.qty[position] - taken_of(state, lane, position)
    lots = min(state.order[slot, O_LEAVES], min(net, most))
    if lots <= 0:
        return
    take_from(state, lane, position, lots)
    width = state.reg[WIDTH]
    side = position // width
    price = price_at(Ladder(state.qty, state.reg), side, position - side * width)
    if extra > 0:
        price = paid_price(state, slot, price, extra)
    fill(state, slot, lots, price, int64(0), now, now + response_at(state, now))


@inner
def paid_price(state: State, slot: int, price: int, extra: int) -> int:
    """A level's price moved against the taker, not beyond its limit, nor below a tick."""
    limited = kind_of(state, slot) != MARKET
    limit = state.order[slot, O_PRICE]
    if side_of(state, slot) == 0:
        return min(price + extra, limit) if limited else price + extra
    return max(price - extra, limit if limited else int64(1))


@inner
def own_in_node(state: State, lane: int, each: int) -> int:
    """First order of a lane in a node, -1: none."""
    for column in range(N_FIRST, NODE_FIELDS):
        slot = int64(state.node[each, column])
        if slot < 0:
            break
        if lane_of(state, slot) == lane and stands(state, slot, each, int64(column)):
            return slot
    return int64(-1)


@inner
def next_own_at(state: State, lane: int, position: int, after: int) -> int:
    """First order of a lane in the queue of a price, -1: none."""
    first = after
    each = youngest(state, position)
    while each >= 0:
        slot = own_in_node(state, lane, each)
        if slot >= 0:
            first = slot
        each = int64(state.node[each, N_OLDER])
    return first


@inner
def best_own_index(state: State, lane: int, side: int, index: int) -> int:
    """Best index, at or worse than one, where a lane has a resting order; may lie outside the window; -NEVER: none."""
    best = int64(-NEVER)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        if rests(state, int64(slot), lane, side):
            own = index_of(Ladder(state.qty, state.reg), side, state.order[slot, O_PRICE])
            if best < own <= index:
                best = own
    return best
