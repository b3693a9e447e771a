"""The life of an order at the venue: resting, fills, death, and the reports of them."""

from numba import int64

from tidewright.engine.accounts import book_fill, commission, tell
from tidewright.engine.checks import size_refusal
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    CFG_FEE_IN_BASE,
    CFG_FEE_OTHER,
    CFG_RECORD,
    DEAD,
    L_BOUND,
    L_CANCELS,
    L_REJECTS,
    L_RESTING,
    LOG_COUNT,
    LOG_FIELDS,
    LOG_SEQ,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    PACKET,
    RESTING,
    RESTING_STATE,
    TAG,
    State,
)
from tidewright.engine.nodes import join, leave, open_tail
from tidewright.engine.slots import kind_of, lane_of, release, set_state, side_of, state_of
from tidewright.market.codes import (
    AMEND_QUANTITY,
    AMEND_REJECTED,
    AMENDED,
    CANCELLED,
    FEE_OTHER,
    FILL,
    MARKET,
    NO_REASON,
    REJECTED,
    UNKNOWN_ORDER,
)
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import WIDTH


@inner
def write_report(
    state: State, what: int, slot: int, ts: int, known: int, price: int, qty: int, maker: int, fee: int, reason: int
) -> None:
    """Append one report of an order to the log. There must be room."""
    reg = state.reg
    order = state.order[slot]
    row = state.log[reg[LOG_COUNT]]
    reg[LOG_COUNT] += 1
    row[0] = reg[LOG_SEQ]
    reg[LOG_SEQ] += 1
    row[1] = lane_of(state, slot)
    row[2] = what
    row[3] = order[O_NUMBER]
    row[4] = state.tag[slot, TAG]
    row[5] = ts
    row[6] = known
    row[7] = side_of(state, slot)
    row[8] = price
    row[9] = qty
    row[10] = order[O_LEAVES]
    row[11] = maker
    row[12] = fee
    row[13] = 1 if what == FILL and (side_of(state, slot) == 1 or state.cfg[CFG_FEE_IN_BASE] == 0) else 0
    if what == FILL and state.cfg[CFG_FEE_OTHER] == 1:
        row[13] = FEE_OTHER
    row[14] = reason


@inner
def write_message(state: State, what: int, slot: int, ts: int, known: int, price: int, qty: int, reason: int) -> None:
    """Append one report that is not of a fill."""
    write_report(state, what, slot, ts, known, price, qty, int64(0), int64(0), reason)


@inner
def fill(state: State, slot: int, qty: int, price: int, maker: int, ts: int, known: int) -> None:
    """Fill an order; a resting one leaves the queue with its last lot."""
    lane = lane_of(state, slot)
    side = side_of(state, slot)
    fee_base, fee_quote = commission(state, side, price, qty, maker)
    book_fill(state, lane, side, price, qty, fee_base, fee_quote, ts)
    state.order[slot, O_LEAVES] -= qty
    if state.cfg[CFG_RECORD] > 0:
        write_report(state, int64(FILL), slot, ts, known, price, qty, maker, fee_base + fee_quote, int64(NO_REASON))
    signed = qty if side == 0 else -qty
    if state.order[slot, O_LEAVES] > 0:
        tell(state, lane, known, int64(-1), signed, price, fee_base, fee_quote)
        return
    end_order(state, slot, lane)
    tell(state, lane, known, slot, signed, price, fee_base, fee_quote)


@inlined
def rest(state: State, slot: int, lane: int, side: int, index: int) -> None:
    """Put what is left of an order into the queue of its price."""
    set_state(state, slot, RESTING_STATE)
    state.lane[lane, L_RESTING] += 1
    state.reg[RESTING] += 1
    price = state.order[slot, O_PRICE]
    key = price if side == 0 else -price
    if key > state.lane[lane, L_BOUND + side]:
        state.lane[lane, L_BOUND + side] = key
    join(state, slot, side, side * state.reg[WIDTH] + index, open_tail(state.reg[PACKET]))


@inlined
def end_order(state: State, slot: int, lane: int) -> None:
    """An order is dead; if it rested, it leaves its queue. The list of stop orders forgets it when it is next read."""
    before = state_of(state, slot)
    set_state(state, slot, DEAD)
    if before == RESTING_STATE:
        leave(state, slot)
    if before == RESTING_STATE or before > DEAD:
        state.lane[lane, L_RESTING] -= 1
        state.reg[RESTING] -= 1


@inner
def die(state: State, slot: int, what: int, now: int, reason: int) -> None:
    """End an order that expires or is rejected."""
    lane = lane_of(state, slot)
    known = now + response_at(state, now)
    if state.cfg[CFG_RECORD] > 1:
        price, qty = state.order[slot, O_PRICE], state.order[slot, O_QTY]
        write_message(state, what, slot, now, known, price, qty, reason)
    end_order(state, slot, lane)
    if what == REJECTED:
        state.lane[lane, L_REJECTS] += 1
    tell(state, lane, known, slot, int64(0), int64(0), int64(0), int64(0))


@inner
def reject_unknown(state: State, what: int, lane: int, number: int, now: int) -> None:
    """Report a cancel or an amendment that found no order."""
    if state.cfg[CFG_RECORD] < 2:
        return
    reg = state.reg
    row = state.log[reg[LOG_COUNT]]
    reg[LOG_COUNT] += 1
    for column in range(LOG_FIELDS):
        row[column] = 0
    row[0] = reg[LOG_SEQ]
    reg[LOG_SEQ] += 1
    row[1] = lane
    row[2] = what
    row[3] = number
    row[5] = now
    row[6] = now + response_at(state, now)
    row[14] = UNKNOWN_ORDER


@inlined
def cancel(state: State, slot: int, now: int) -> None:
    """A cancel reaches an order that rests, waits, or is dead without its lane knowing."""
    if state_of(state, slot) != DEAD:
        lane = lane_of(state, slot)
        if state.cfg[CFG_RECORD] > 1:
            price, qty = state.order[slot, O_PRICE], state.order[slot, O_QTY]
            known = now + response_at(state, now)
            write_message(state, int64(CANCELLED), slot, now, known, price, qty, int64(NO_REASON))
        end_order(state, slot, lane)
        state.lane[lane, L_CANCELS] += 1
    release(state, slot)


@inner
def amend(state: State, slot: int, qty: int, now: int) -> None:
    """An amendment reaches a living order: its quantity falls to ``qty`` lots in all, and it keeps its place.

    It must be less than before and more than what has filled, and pass the filters of quantity and value.
    """
    order = state.order[slot]
    known = now + response_at(state, now)
    reason = int64(NO_REASON)
    if not order[O_QTY] - order[O_LEAVES] < qty < order[O_QTY]:
        reason = int64(AMEND_QUANTITY)
    else:
        reason = size_refusal(state, kind_of(state, slot) == MARKET, order[O_PRICE], qty, now)
    if reason != NO_REASON:
        write_message(state, int64(AMEND_REJECTED), slot, now, known, order[O_PRICE], order[O_QTY], reason)
        return
    order[O_LEAVES] -= order[O_QTY] - qty
    order[O_QTY] = qty
    write_message(state, int64(AMENDED), slot, now, known, order[O_PRICE], qty, int64(NO_REASON))
