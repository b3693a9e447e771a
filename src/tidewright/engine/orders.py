"""The life of an order at the venue: resting, fills, death, and the reports of them."""

import numpy as np
from numba import njit

from tidewright.engine.accounts import book_fill, commission, free_slot, tell
from tidewright.engine.layout import (
    CFG_FEE_IN_BASE,
    CFG_RECORD,
    CFG_RESPONSE,
    DEAD,
    L_BOUND,
    L_CANCELS,
    L_LOCK_BUY,
    L_LOCK_SELL,
    L_REJECTS,
    L_RESTING,
    LOG_COUNT,
    LOG_FIELDS,
    LOG_SEQ,
    O_CANCEL,
    O_LANE,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    O_SIDE,
    O_STATE,
    O_TAG,
    RESTING,
    RESTING_STATE,
    State,
)
from tidewright.engine.nodes import join, leave
from tidewright.market.codes import CANCEL_REJECTED, CANCELLED, FILL, NO_REASON, REJECTED, UNKNOWN_ORDER


@njit(cache=True, _nrt=False)  # type: ignore[misc]
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
    row[1] = order[O_LANE]
    row[2] = what
    row[3] = order[O_NUMBER]
    row[4] = order[O_TAG]
    row[5] = ts
    row[6] = known
    row[7] = order[O_SIDE]
    row[8] = price
    row[9] = qty
    row[10] = order[O_LEAVES]
    row[11] = maker
    row[12] = fee
    row[13] = 1 if what == FILL and (order[O_SIDE] == 1 or state.cfg[CFG_FEE_IN_BASE] == 0) else 0
    row[14] = reason


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def fill(state: State, slot: int, qty: int, price: int, maker: int, ts: int, known: int) -> None:
    """Fill an order; a resting one leaves the queue with its last lot."""
    order = state.order[slot]
    lane = order[O_LANE]
    side = order[O_SIDE]
    fee_base, fee_quote = commission(state, side, price, qty, maker)
    book_fill(state, lane, side, price, qty, fee_base, fee_quote, ts)
    order[O_LEAVES] -= qty
    resting = order[O_STATE] == RESTING_STATE
    if resting:
        lock(state, lane, side, order[O_PRICE], -qty)
    if state.cfg[CFG_RECORD] > 0:
        write_report(state, FILL, slot, ts, known, price, qty, maker, fee_base + fee_quote, NO_REASON)
    signed = qty if side == 0 else -qty
    if order[O_LEAVES] > 0:
        tell(state, lane, known, ts, np.int64(-1), signed, price, fee_base, fee_quote)
        return
    if resting:
        stop_resting(state, slot)
    order[O_STATE] = DEAD
    tell(state, lane, known, ts, slot, signed, price, fee_base, fee_quote)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def lock(state: State, lane: int, side: int, price: int, qty: int) -> None:
    """Change what a lane's resting orders lock, by lots at a price."""
    if side == 0:
        state.lane[lane, L_LOCK_BUY] += price * qty
    else:
        state.lane[lane, L_LOCK_SELL] += qty


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def rest(state: State, slot: int, side: int, index: int) -> None:
    """Put what is left of an order into the queue of its price."""
    order = state.order[slot]
    row = state.lane[order[O_LANE]]
    order[O_STATE] = RESTING_STATE
    row[L_RESTING] += 1
    state.reg[RESTING] += 1
    lock(state, order[O_LANE], side, order[O_PRICE], order[O_LEAVES])
    key = order[O_PRICE] if side == 0 else -order[O_PRICE]
    if key > row[L_BOUND + side]:
        row[L_BOUND + side] = key
    join(state, slot, side, index)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def stop_resting(state: State, slot: int) -> None:
    """Take an order out of its queue; its state is the caller's to set."""
    leave(state, slot)
    state.lane[state.order[slot, O_LANE], L_RESTING] -= 1
    state.reg[RESTING] -= 1


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def die(state: State, slot: int, what: int, now: int, reason: int) -> None:
    """End an order that was not filled to the end: cancelled, expired or rejected."""
    order = state.order[slot]
    known = now + state.cfg[CFG_RESPONSE]
    if state.cfg[CFG_RECORD] > 1:
        write_report(state, what, slot, now, known, order[O_PRICE], order[O_QTY], 0, 0, reason)
    if order[O_STATE] == RESTING_STATE:
        lock(state, order[O_LANE], order[O_SIDE], order[O_PRICE], -order[O_LEAVES])
        stop_resting(state, slot)
    order[O_STATE] = DEAD
    if what == REJECTED:
        state.lane[order[O_LANE], L_REJECTS] += 1
    if what == CANCELLED:
        state.lane[order[O_LANE], L_CANCELS] += 1
        free_slot(state, slot)
    else:
        tell(state, order[O_LANE], known, now, slot, np.int64(0), np.int64(0), np.int64(0), np.int64(0))


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def reject_cancel(state: State, lane: int, number: int, now: int) -> None:
    """Report a cancel that found no order."""
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
    row[2] = CANCEL_REJECTED
    row[3] = number
    row[5] = now
    row[6] = now + state.cfg[CFG_RESPONSE]
    row[14] = UNKNOWN_ORDER


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def cancel(state: State, slot: int, now: int) -> None:
    """A cancel reaches an order that rests, waits, or is dead without its lane knowing."""
    state.order[slot, O_CANCEL] = 0
    if state.order[slot, O_STATE] == DEAD:
        free_slot(state, slot)
        return
    die(state, slot, np.int64(CANCELLED), now, np.int64(NO_REASON))
