"""What a venue checks when an order arrives: filters, balance, post-only. In this order."""

from numba import int64

from tidewright.engine.impact import impact_ticks
from tidewright.engine.layout import (
    CFG_CHECK_BALANCE,
    CFG_FEE_OTHER,
    CFG_LOT_UNITS,
    CFG_MARKET_MAX_QTY,
    CFG_MAX_NOTIONAL,
    CFG_MAX_ORDERS,
    CFG_MAX_PRICE,
    CFG_MAX_QTY,
    CFG_MIN_NOTIONAL,
    CFG_MIN_PRICE,
    CFG_MIN_QTY,
    CFG_PARITY,
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
    SLOTS,
    WHOLE,
    State,
)
from tidewright.engine.slots import holds_funds, rests
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
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, PLACED, WIDTH, Ladder, next_level, price_at


@inlined
def refusal(state: State, lane: int, side: int, kind: int, tif: int, price: int, qty: int, index: int, now: int) -> int:
    """Why the venue refuses an arriving order: NO_REASON if it does not. Filters, balance, post-only."""
    cfg = state.cfg
    market = kind == MARKET
    if not market and (price <= 0 or price < cfg[CFG_MIN_PRICE] or price > cfg[CFG_MAX_PRICE]):
        return int64(FILTER_PRICE)
    if qty <= 0 or qty < cfg[CFG_MIN_QTY] or qty > cfg[CFG_MAX_QTY]:
        return int64(FILTER_LOT)
    if market:
        if qty > cfg[CFG_MARKET_MAX_QTY]:
            return int64(FILTER_LOT)
    elif price * qty < cfg[CFG_MIN_NOTIONAL] or price * qty > cfg[CFG_MAX_NOTIONAL]:
        return int64(FILTER_NOTIONAL)
    if state.lane[lane, L_RESTING] >= cfg[CFG_MAX_ORDERS]:
        return int64(FILTER_MAX_ORDERS)
    if not market and (index < 0 or index >= state.reg[WIDTH] or state.reg[PLACED] == 0):
        return int64(OUTSIDE_WINDOW)
    if cfg[CFG_CHECK_BALANCE] == 1 and not affordable(state, lane, side, market, price, qty, now):
        return int64(INSUFFICIENT_BALANCE)
    if tif == POST_ONLY and would_take(state, lane, side, price, index):
        return int64(WOULD_TAKE)
    return int64(NO_REASON)


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
