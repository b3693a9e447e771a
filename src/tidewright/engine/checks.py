"""What a venue checks when an order arrives: filters, balance, post-only. In this order."""

from numba import int64, njit

from tidewright.engine.layout import (
    CFG_CHECK_BALANCE,
    CFG_LOT_UNITS,
    CFG_MARKET_MAX_QTY,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    CFG_QUOTE_DEN,
    CFG_QUOTE_NUM,
    CFG_SLOTS,
    L_BASE_START,
    L_BOUND,
    L_CASH,
    L_FEE_BASE,
    L_FEE_QUOTE,
    L_GREW,
    L_POSITION,
    L_QUOTE_START,
    L_RESTING,
    L_TAKEN,
    NEVER,
    O_LEAVES,
    O_PRICE,
    O_QTY,
    O_STATE,
    O_WHOSE,
    RESTING_STATE,
    WHOLE,
    State,
)
from tidewright.engine.slots import kind_of, lane_of, side_of, tif_of
from tidewright.engine.taken import taken_of
from tidewright.market.codes import (
    FILTER_LOT,
    FILTER_MAX_ORDERS,
    FILTER_NOTIONAL,
    FILTER_PRICE,
    INSUFFICIENT_BALANCE,
    MARKET,
    NO_REASON,
    OUTSIDE_WINDOW,
    POST_ONLY,
    WOULD_TAKE,
)
from tidewright.market.ladder import BEST, PLACED, WIDTH, Ladder, next_level


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def refusal(state: State, slot: int, index: int) -> int:
    """Why the venue refuses an arriving order: NO_REASON if it does not. Filters, balance, post-only."""
    cfg = state.cfg
    order = state.order[slot]
    price = order[O_PRICE]
    qty = order[O_QTY]
    row = state.lane[lane_of(state, slot)]
    market = kind_of(state, slot) == MARKET
    if not market and (price <= 0 or price < cfg[CFG_MIN_PRICE] or price > cfg[CFG_MAX_PRICE]):
        return int64(FILTER_PRICE)
    if qty <= 0 or qty < cfg[CFG_MIN_QTY] or qty > cfg[CFG_MAX_QTY]:
        return int64(FILTER_LOT)
    if market:
        if qty > cfg[CFG_MARKET_MAX_QTY]:
            return int64(FILTER_LOT)
    elif price * qty < cfg[CFG_MIN_NOTIONAL] or price * qty > cfg[CFG_MAX_NOTIONAL]:
        return int64(FILTER_NOTIONAL)
    if row[L_RESTING] >= cfg[CFG_MAX_ORDERS]:
        return int64(FILTER_MAX_ORDERS)
    if not market and (index < 0 or index >= state.reg[WIDTH] or state.reg[PLACED] == 0):
        return int64(OUTSIDE_WINDOW)
    if cfg[CFG_CHECK_BALANCE] == 1 and not affordable(state, slot, market):
        return int64(INSUFFICIENT_BALANCE)
    if tif_of(state, slot) == POST_ONLY and would_take(state, slot, index):
        return int64(WOULD_TAKE)
    return int64(NO_REASON)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def would_take(state: State, slot: int, index: int) -> bool:
    """Whether a post-only order meets the tape net of what its lane has taken, or an own order."""
    reg = state.reg
    order = state.order[slot]
    lane = lane_of(state, slot)
    other = 1 - side_of(state, slot)
    reach = reg[WIDTH] - 1 - index  # the order's price as an index of the other side
    level = reg[BEST + other]
    if level >= reach:
        if state.lane[lane, L_TAKEN] < 0:
            return True
        while level >= reach:
            position = other * reg[WIDTH] + level
            if state.qty[position] > taken_of(state, lane, position):
                return True
            level = next_level(Ladder(state.qty, state.reg), other, level - 1)
    key = order[O_PRICE] if other == 0 else -order[O_PRICE]
    if state.lane[lane, L_BOUND + other] < key:
        return False
    best = best_own_key(state, lane, other)
    state.lane[lane, L_BOUND + other] = best
    return best >= key


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def best_own_key(state: State, lane: int, side: int) -> int:
    """Best resting price of a lane's side (asks negated, so that greater is better); -NEVER: none."""
    best = int64(-NEVER)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        order = state.order[slot]
        if order[O_STATE] == RESTING_STATE and lane_of(state, slot) == lane and side_of(state, slot) == side:
            best = max(best, order[O_PRICE] if side == 0 else -order[O_PRICE])
    return best


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def slots_of(state: State, lane: int) -> tuple[int, int]:
    """Range of slots that holds all of a lane's orders (and, once it grew, others' too)."""
    if state.lane[lane, L_GREW] == 1:
        return int64(0), int64(len(state.order))
    first = lane * state.cfg[CFG_SLOTS]
    return first, first + state.cfg[CFG_SLOTS]


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def affordable(state: State, slot: int, market: bool) -> bool:
    """Whether the free balance covers an order; commissions are not reserved."""
    cfg = state.cfg
    lane = lane_of(state, slot)
    row = state.lane[lane]
    qty = state.order[slot, O_QTY]
    if side_of(state, slot) == 1:
        free = row[L_POSITION] - locked(state, lane, int64(1))
        return qty * cfg[CFG_LOT_UNITS] <= row[L_BASE_START] + free * cfg[CFG_LOT_UNITS] - row[L_FEE_BASE]
    cost = walk_cost(state, slot) if market else state.order[slot, O_PRICE] * qty
    spent = (row[L_CASH] - locked(state, lane, int64(0)) - cost) * cfg[CFG_QUOTE_NUM]
    return (row[L_QUOTE_START] - row[L_FEE_QUOTE]) * cfg[CFG_QUOTE_DEN] + spent >= 0


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def locked(state: State, lane: int, side: int) -> int:
    """What a lane's resting orders lock: tick*lots of bids, lots of asks."""
    total = int64(0)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        order = state.order[slot]
        if order[O_STATE] == RESTING_STATE and order[O_WHOSE] >> 4 == 2 * lane + side:
            total += order[O_LEAVES] * (order[O_PRICE] if side == 0 else int64(1))
    return total


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def walk_cost(state: State, slot: int) -> int:
    """tick*lots a market buy would pay for what the net book holds."""
    reg = state.reg
    order = state.order[slot]
    other = 1 - side_of(state, slot)
    left = order[O_QTY]
    cost = int64(0)
    if reg[WHOLE] == 0:
        return cost
    level = reg[BEST + other]
    while level >= 0 and left > 0:
        position = other * reg[WIDTH] + level
        here = min(left, state.qty[position] - taken_of(state, lane_of(state, slot), position))
        if here > 0:
            cost += here * (reg[0] + level if other == 0 else reg[0] + reg[WIDTH] - 1 - level)
            left -= here
        level = next_level(Ladder(state.qty, state.reg), other, level - 1)
    return cost
