"""What a venue checks when an order arrives: filters, balance, post-only. In this order."""

from numba import int64

from tidewright.engine.bounds import find_bounds
from tidewright.engine.impact import impact_ticks
from tidewright.engine.layout import (
    BOUNDS_AT,
    CFG_CHECK_BALANCE,
    CFG_FEE_OTHER,
    CFG_FUNDING,
    CFG_LOT_UNITS,
    CFG_MARKET_MAX_QTY,
    CFG_MARKET_MIN_QTY,
    CFG_MARKET_STEP,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MAX_STOPS,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    CFG_PARITY,
    CFG_QUOTE_DEN,
    CFG_QUOTE_NUM,
    CFG_REFERENCE,
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
    LEAST_AT_MARKET,
    LEAST_PRICE,
    MOST_AT_MARKET,
    MOST_PRICE,
    NEVER,
    O_LEAVES,
    O_PRICE,
    PAID,
    REFERENCE_NONE,
    SET_OFF,
    SLOTS,
    STOPPED,
    WHOLE,
    State,
)
from tidewright.engine.slots import holds_funds, lane_of, rests, state_of
from tidewright.engine.taken import taken_of
from tidewright.market.codes import (
    FILTER_LOT,
    FILTER_MAX_ORDERS,
    FILTER_MAX_STOPS,
    FILTER_NOTIONAL,
    FILTER_PERCENT_PRICE,
    FILTER_PRICE,
    INSUFFICIENT_BALANCE,
    MARKET,
    NO_REASON,
    OUTSIDE_WINDOW,
    POST_ONLY,
    WOULD_TAKE,
)
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, PLACED, WIDTH, Ladder, next_level, price_at


@inlined
def refusal(
    state: State, lane: int, side: int, kind: int, tif: int, price: int, qty: int, stop: int, index: int, now: int
) -> int:
    """Why the venue refuses an arriving order: NO_REASON if it does not. Filters, balance, post-only.

    ``stop`` is the price of a stop order, 0 of any other.
    """
    cfg = state.cfg
    market = kind == MARKET
    if not market:
        if price <= 0 or price < cfg[CFG_MIN_PRICE] or price > cfg[CFG_MAX_PRICE]:
            return int64(FILTER_PRICE)
        if cfg[CFG_REFERENCE] != REFERENCE_NONE:
            if state.reg[BOUNDS_AT] != now:
                find_bounds(state, now)
            if price < state.reg[LEAST_PRICE + side] or price > state.reg[MOST_PRICE + side]:
                return int64(FILTER_PERCENT_PRICE)
    reason = size_refusal(state, market, price, qty, now)
    if reason != NO_REASON:
        return reason
    if stop > 0 and (stop < cfg[CFG_MIN_PRICE] or stop > cfg[CFG_MAX_PRICE]):
        return int64(FILTER_PRICE)
    if state.lane[lane, L_RESTING] >= cfg[CFG_MAX_ORDERS]:
        return int64(FILTER_MAX_ORDERS)
    if stop > 0 and cfg[CFG_MAX_STOPS] != NEVER and stops_of(state, lane) >= cfg[CFG_MAX_STOPS]:
        return int64(FILTER_MAX_STOPS)
    if not market and (index < 0 or index >= state.reg[WIDTH] or state.reg[PLACED] == 0):
        return int64(OUTSIDE_WINDOW)
    if cfg[CFG_CHECK_BALANCE] == 1 and not affordable(state, lane, side, market, price, qty, now):
        return int64(INSUFFICIENT_BALANCE)
    if tif == POST_ONLY and would_take(state, lane, side, price, index):
        return int64(WOULD_TAKE)
    return int64(NO_REASON)


@inner
def size_refusal(state: State, market: bool, price: int, qty: int, now: int) -> int:
    """Why the quantity of an order, or what it is worth, does not pass the filters: NO_REASON if it does."""
    cfg = state.cfg
    if qty <= 0 or qty < cfg[CFG_MIN_QTY] or qty > cfg[CFG_MAX_QTY]:
        return int64(FILTER_LOT)
    if not market:
        passes = cfg[CFG_MIN_NOTIONAL] <= price * qty <= cfg[CFG_MAX_NOTIONAL]
        return int64(NO_REASON if passes else FILTER_NOTIONAL)
    if qty < cfg[CFG_MARKET_MIN_QTY] or qty > cfg[CFG_MARKET_MAX_QTY] or qty % cfg[CFG_MARKET_STEP] != 0:
        return int64(FILTER_LOT)
    if cfg[CFG_REFERENCE] != REFERENCE_NONE:
        if state.reg[BOUNDS_AT] != now:
            find_bounds(state, now)
        if qty < state.reg[LEAST_AT_MARKET] or qty > state.reg[MOST_AT_MARKET]:
            return int64(FILTER_NOTIONAL)
    return int64(NO_REASON)


@inner
def stops_of(state: State, lane: int) -> int:
    """How many stop orders of a lane have not become orders like any other."""
    count = int64(0)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        how = state_of(state, int64(slot))
        count += int64((how == STOPPED or how == SET_OFF) and lane_of(state, int64(slot)) == lane)
    return count


@inlined
def would_take(state: State, lane: int, side: int, price: int, index: int) -> bool:
    """Whether a post-only order meets the tape net of what its lane has taken, or an own order."""
    reg = state.reg
    other = 1 - side
    if reg[BEST + other] >= reg[WIDTH] - 1 - index and meets_tape(state, lane, other, reg[WIDTH] - 1 - index):
        return True
    key = price if other == 0 else -price
    if state.lane[lane, L_BOUND + other] < key or state.cfg[CFG_PARITY] == 1:
        return False
    best = best_own_key(state, lane, other)
    state.lane[lane, L_BOUND + other] = best
    return best >= key


@inner
def meets_tape(state: State, lane: int, other: int, reach: int) -> bool:
    """Whether the tape holds anything at or better than an index of a side that the lane has not taken."""
    if state.lane[lane, L_TAKEN] < 0:
        return True
    level = state.reg[BEST + other]
    while level >= reach:
        position = other * state.reg[WIDTH] + level
        if state.qty[position] > taken_of(state, lane, position):
            return True
        level = next_level(Ladder(state.qty, state.reg), other, level - 1)
    return False


@inner
def best_own_key(state: State, lane: int, side: int) -> int:
    """Best resting price of a lane's side (asks negated, so that greater is better); -NEVER: none."""
    best = int64(-NEVER)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        order = state.order[slot]
        if rests(state, int64(slot), lane, side):
            best = max(best, order[O_PRICE] if side == 0 else -order[O_PRICE])
    return best


@inlined
def slots_of(state: State, lane: int) -> tuple[int, int]:
    """Range of slots that holds all of a lane's orders (and, once it grew, others' too)."""
    if state.lane[lane, L_GREW] == 1:
        return int64(0), state.reg[SLOTS]
    first = lane * state.cfg[CFG_SLOTS]
    return first, first + state.cfg[CFG_SLOTS]


@inner
def affordable(state: State, lane: int, side: int, market: bool, price: int, qty: int, now: int) -> bool:
    """Whether the free balance covers an order; commissions are not reserved."""
    cfg = state.cfg
    row = state.lane[lane]
    if side == 1:
        free = row[L_POSITION] - locked(state, lane, int64(1))
        return qty * cfg[CFG_LOT_UNITS] <= row[L_BASE_START] + free * cfg[CFG_LOT_UNITS] - row[L_FEE_BASE]
    cost = walk_cost(state, lane, qty, now) if market else price * qty
    spent = (row[L_CASH] - locked(state, lane, int64(0)) - cost) * cfg[CFG_QUOTE_NUM]
    fees = row[L_FEE_QUOTE] if cfg[CFG_FEE_OTHER] == 0 else int64(0)
    if cfg[CFG_FUNDING] == 1:
        fees += state.funding[lane, PAID]
    return (row[L_QUOTE_START] - fees) * cfg[CFG_QUOTE_DEN] + spent >= 0


@inner
def locked(state: State, lane: int, side: int) -> int:
    """What a lane has locked: tick*lots of bids, lots of asks; a stop that buys at market locks nothing."""
    total = int64(0)
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        order = state.order[slot]
        if holds_funds(state, int64(slot), lane, side):
            total += order[O_LEAVES] * (order[O_PRICE] if side == 0 else int64(1))
    return total


@inner
def walk_cost(state: State, lane: int, qty: int, now: int) -> int:
    """tick*lots a market buy would pay for what the net book holds."""
    reg = state.reg
    left = qty
    cost = int64(0)
    if reg[WHOLE] == 0:
        return cost
    level = reg[BEST + 1]
    while level >= 0 and left > 0:
        position = reg[WIDTH] + level
        here = min(left, state.qty[position] - taken_of(state, lane, position))
        if here > 0:
            cost += here * price_at(Ladder(state.qty, state.reg), int64(1), level)
            left -= here
        level = next_level(Ladder(state.qty, state.reg), int64(1), level - 1)
    return cost + (qty - left) * impact_ticks(state, qty - left, now)
