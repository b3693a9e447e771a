"""The replay itself: rows of the tape in order, and everything that is due between them."""

import numpy as np
from numba import njit

from tidewright.engine.accounts import worth
from tidewright.engine.arrivals import deliver_calls, deliver_messages, room_for
from tidewright.engine.book import best_row, change_level, end_packet, miss_level, place_window, start_gap
from tidewright.engine.decide import capture_views, decide, sample, value_capital
from tidewright.engine.layout import (
    BAD_TIME,
    BATCH_HEAD,
    BATCH_TAIL,
    BEFORE,
    C_ARRIVAL,
    CALL_HEAD,
    CALL_TAIL,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_FEED,
    CFG_RESPONSE,
    CFG_STRATEGY,
    CURVE_COUNT,
    DECISIONS,
    DONE,
    DUE,
    F_NEWEST,
    F_START,
    FINISHED,
    FIRST_TS,
    GROW_CURVE,
    IN_GAP,
    IN_PACKET,
    INFERRED_PRINTS,
    KNOWN_MID2,
    LAST_TS,
    MID2,
    NEVER,
    NEXT_CAPTURE,
    NEXT_DECISION,
    NOW,
    OWN,
    PACKET,
    PACKET_ROW,
    PACKET_TS,
    RECEIPT,
    RESTING,
    ROWS,
    SNAPSHOT_SEEN,
    START,
    STATE_SINCE,
    WAIT_DUE,
    State,
)
from tidewright.engine.prints import on_print
from tidewright.engine.reference import state_at
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, GAP, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_UNKNOWN
from tidewright.market.ladder import BEST, LOW, WIDTH, Ladder, index_of
from tidewright.market.tape import I64, U8


@njit(cache=True)  # type: ignore[misc]
def run(address: int, ts: I64, ts_local: I64, kind: U8, flags: U8, price: I64, qty: I64, start: int) -> tuple[int, int]:
    """Read rows until the end of the slice.

    Parameters
    ----------
    address
        Of the state's table.
    ts, ts_local, kind, flags, price, qty
        Columns of whole packets, read-only.
    start
        Row to go on from.

    Returns
    -------
    tuple[int, int]
        DONE and the number of rows; or GROW_..., BAD_TIME and the row to go on from (or at fault).
    """
    state = state_at(address)
    reg = state.reg
    rows = len(ts)
    for i in range(start, rows):
        if reg[IN_PACKET] == 0:
            status = begin_packet(state, ts[i], ts_local[i], i)
            if status != DONE:
                return status, i
            if reg[BEST] < 0 and reg[BEST + 1] < 0:
                place_window(state, kind, price, qty, flags, i)
        if reg[IN_PACKET] == 1:
            if ts[i] != reg[PACKET_TS]:
                return BAD_TIME, i
            status = apply_row(state, kind, flags, price, qty, i)
            if status != DONE:
                return status, i
        if flags[i] & PACKET_END:
            status = end_packet(state, kind, price, qty, i)
            if status != DONE:
                reg[IN_PACKET] = 2  # the row is done, its packet's end is not
                return status, i
            reg[IN_PACKET] = 0
    reg[ROWS] += rows
    return DONE, rows


@njit(cache=True)  # type: ignore[misc]
def begin_packet(state: State, ts: int, ts_local: int, row: int) -> int:
    """Let everything before a packet's time happen, then open it."""
    reg = state.reg
    if ts < reg[LAST_TS] or ts <= reg[NOW]:
        return BAD_TIME
    if reg[FIRST_TS] == NEVER:
        reg[FIRST_TS] = ts
        reg[STATE_SINCE] = ts
        if reg[START] == NEVER:
            set_start_of(state, ts)
    received = ts_local if ts_local > 0 else ts + state.cfg[CFG_FEED]
    receipt = max(reg[RECEIPT], max(received, ts))
    if receipt > reg[NEXT_CAPTURE] or ts > reg[DUE]:
        status = catch_up(state, ts, receipt)
        if status != DONE:
            return status
    reg[RECEIPT] = receipt
    reg[LAST_TS] = ts
    reg[PACKET_TS] = ts
    reg[PACKET_ROW] = row
    reg[PACKET] += 1
    reg[IN_PACKET] = 1
    reg[BEFORE] = reg[BEST]
    reg[BEFORE + 1] = reg[BEST + 1]
    return DONE


@njit(cache=True)  # type: ignore[misc]
def set_start_of(state: State, start: int) -> None:
    """Fix when decisions begin."""
    reg = state.reg
    reg[START] = start
    if state.cfg[CFG_STRATEGY] >= 0:
        reg[NEXT_DECISION] = start + state.cfg[CFG_CYCLE]
        reg[NEXT_CAPTURE] = reg[NEXT_DECISION]
        reg[DUE] = min(reg[DUE], reg[NEXT_DECISION])


@njit(cache=True)  # type: ignore[misc]
def catch_up(state: State, before: int, receipt: int) -> int:
    """Let everything before a time happen; the next packet is received at ``receipt``."""
    reg = state.reg
    if receipt > reg[NEXT_CAPTURE]:
        status = capture_views(state, receipt)
        if status != DONE:
            return status
    while reg[DUE] < before:
        status = instant(state, reg[DUE])
        if status != DONE:
            return status
    return DONE


@njit(cache=True)  # type: ignore[misc]
def instant(state: State, now: int) -> int:
    """All that is due at one time, after its packets: arrivals, the decision, and what it sends without latency."""
    status = deliver(state, now)
    if status != DONE:
        return status
    if state.reg[NEXT_DECISION] == now:
        status = decide(state, now)
        if status != DONE:
            return status
        status = deliver(state, now)
        if status != DONE:
            state.reg[DUE] = now
            return status
    find_due(state)
    return DONE


@njit(cache=True)  # type: ignore[misc]
def deliver(state: State, now: int) -> int:
    """What was sent for this time arrives."""
    if state.cfg[CFG_STRATEGY] < 0:
        return deliver_calls(state, now)
    return deliver_messages(state, now)


@njit(cache=True)  # type: ignore[misc]
def find_due(state: State) -> None:
    """The earliest time at which something is to happen."""
    reg = state.reg
    due = min(reg[NEXT_DECISION], reg[WAIT_DUE])
    if reg[BATCH_HEAD] != reg[BATCH_TAIL]:
        due = min(due, state.batch[reg[BATCH_HEAD], 0])
    if reg[CALL_HEAD] < reg[CALL_TAIL]:
        due = min(due, state.call[reg[CALL_HEAD], C_ARRIVAL])
    reg[DUE] = due


@njit(cache=True)  # type: ignore[misc]
def advance_to(state: State, until: int) -> int:
    """Let everything due at or before a time happen; no later row has a time at or before it."""
    reg = state.reg
    if reg[START] == NEVER:
        find_due(state)
    status = catch_up(state, until + 1, max(until + 1, reg[RECEIPT]))
    if status == DONE:
        reg[NOW] = max(reg[NOW], until)
    return status


@njit(cache=True)  # type: ignore[misc]
def apply_row(state: State, kind: U8, flags: U8, price: I64, qty: I64, i: int) -> int:
    """Apply one row; GROW_... and nothing has happened if there is no room for its fills."""
    reg = state.reg
    code = kind[i]
    if code <= BEST_ASK and (code <= ASK or code >= BEST_BID):
        side = np.int64(code == ASK or code == BEST_ASK)
        index = index_of(Ladder(state.qty, state.reg), side, price[i])
        if flags[i] & SNAPSHOT:
            reg[SNAPSHOT_SEEN] = 1
        if code >= BEST_BID:
            best_row(state, side, index, qty[i], price[i])
        elif 0 <= index < reg[WIDTH]:
            change_level(state, side, index, qty[i])
        else:
            miss_level(state, side, index, qty[i], price[i])
        return DONE
    if code == RESET or code == GAP:
        start_gap(state, code == RESET)
        if code == RESET and (flags[i] & PACKET_END) == 0:
            place_window(state, kind, price, qty, flags, i + 1)
        return DONE
    if flags[i] & SNAPSHOT:
        reg[SNAPSHOT_SEEN] = 1
    if code <= TRADE_UNKNOWN and reg[IN_GAP] == 0:
        return apply_print(state, code, price[i], qty[i])
    return DONE


@njit(cache=True)  # type: ignore[misc]
def apply_print(state: State, code: int, price: int, qty: int) -> int:
    """Let a print meet resting orders: buys meet asks, sells meet bids."""
    reg = state.reg
    side = np.int64(code == TRADE_BUY)
    if code == TRADE_UNKNOWN:
        bid = reg[BEFORE]
        ask = reg[WIDTH] - 1 - reg[BEFORE + 1]
        if bid < 0 or reg[BEFORE + 1] < 0 or bid >= ask:
            return DONE
        at = price - reg[LOW]
        if bid < at < ask:
            return DONE
        side = np.int64(at >= ask)
        reg[INFERRED_PRINTS] += 1
    index = index_of(Ladder(state.qty, state.reg), side, price)
    if reg[OWN + side] < index:
        return DONE
    status = room_for(state, reg[RESTING], np.int64(0))
    if status != DONE:
        return status
    on_print(state, side, index, qty, reg[PACKET_TS], max(reg[PACKET_TS] + state.cfg[CFG_RESPONSE], reg[RECEIPT]))
    return DONE


@njit(cache=True)  # type: ignore[misc]
def finish_state(state: State) -> int:
    """End of the tape: what is due until its last time happens, and one final equity point takes the true state."""
    reg = state.reg
    if reg[FINISHED] == 1 or reg[FIRST_TS] == NEVER:
        return DONE
    end = max(reg[LAST_TS], reg[NOW])
    status = advance_to(state, end)
    if status != DONE:
        return status
    replaces = reg[DECISIONS] > 0 and reg[NEXT_DECISION] - state.cfg[CFG_CYCLE] == end
    if state.cfg[CFG_CURVE] == 1 and not replaces and reg[CURVE_COUNT] == len(state.curve_ts):
        return GROW_CURVE
    if reg[MID2] > 0 and reg[KNOWN_MID2] == 0 and state.cfg[CFG_STRATEGY] >= 0:
        value_capital(state, reg[MID2])
    for lane in range(len(state.lane)):
        equity = state.lane_f[lane, F_START]
        if reg[MID2] > 0:
            equity = worth(state, np.int64(lane), np.int64(0), reg[MID2])
        if replaces:
            state.lane_f[lane, F_NEWEST] = equity
        else:
            sample(state, np.int64(lane), equity)
        if state.cfg[CFG_CURVE] == 1:
            state.curve[reg[CURVE_COUNT] - np.int64(replaces), lane] = equity
    if state.cfg[CFG_CURVE] == 1 and not replaces:
        state.curve_ts[reg[CURVE_COUNT]] = end
        reg[CURVE_COUNT] += 1
    reg[FINISHED] = 1
    return DONE


@njit(cache=True)  # type: ignore[misc]
def advance(address: int, until: int) -> int:
    """See :func:`advance_to`."""
    return advance_to(state_at(address), until)


@njit(cache=True)  # type: ignore[misc]
def finish(address: int) -> int:
    """See :func:`finish_state`."""
    return finish_state(state_at(address))


@njit(cache=True)  # type: ignore[misc]
def set_start(address: int, start: int) -> None:
    """See :func:`set_start_of`."""
    set_start_of(state_at(address), start)
