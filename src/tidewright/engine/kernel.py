"""The replay itself: rows of the tape in order, and everything that is due between them."""

import numpy as np

from tidewright.engine.accounts import worth
from tidewright.engine.arrivals import deliver_calls, deliver_messages, room_for
from tidewright.engine.book import (
    best_row,
    change_level,
    cross,
    end_packet,
    miss_level,
    place_window,
    remember_updates,
    start_gap,
    window_after_packet,
)
from tidewright.engine.decide import capture_views, decide
from tidewright.engine.funding import charge
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    ACT_AT,
    ACTED_MID2,
    B_ARRIVAL,
    BAD_TIME,
    BATCH_HEAD,
    BATCH_TAIL,
    BEFORE,
    C_ARRIVAL,
    CALL_HEAD,
    CALL_TAIL,
    CFG_ASK,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_FEED,
    CFG_FUNDING,
    CFG_IMPACT,
    CFG_PARITY,
    CFG_STRATEGY,
    CURVE_COUNT,
    DECISIONS,
    DONE,
    DUE,
    F_NEWEST,
    F_START,
    FINISHED,
    FIRST_MID_AT,
    FIRST_TS,
    GROW_CURVE,
    IMPACT_MEASURED,
    IN_GAP,
    IN_PACKET,
    INFERRED_PRINTS,
    KNOWN_MID2,
    L_POSITION,
    LANES,
    LAST_MARK,
    LAST_TRADE,
    LAST_TS,
    LOOK,
    MID2,
    NEVER,
    NEXT_CAPTURE,
    NEXT_DECISION,
    NOW,
    OWN,
    PACKET,
    PACKET_ROW,
    PACKET_TS,
    PENDING,
    RECEIPT,
    RESTING,
    SAMPLES,
    SNAPSHOT_SEEN,
    START,
    STATE_SINCE,
    STOP_COUNT,
    TOUCHING,
    VOLUME,
    WAIT_DUE,
    State,
)
from tidewright.engine.prints import on_print
from tidewright.engine.reference import state_at
from tidewright.engine.requote import act, room_to_act
from tidewright.engine.sampling import sample, value_capital
from tidewright.engine.skim import is_quiet, skim
from tidewright.engine.stops import watch_stops
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    GAP,
    MARK,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_UNKNOWN,
)
from tidewright.market.entry import entry
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, LOW, WIDTH, Ladder, index_of
from tidewright.market.tape import I64, U8


@entry
def run(
    address: int, ts: I64, ts_local: I64, kind: U8, flags: U8, price: I64, qty: I64, start: int, until: int
) -> tuple[int, int]:
    """Read rows until the end of the slice, then let everything due at or before a time happen.

    Parameters
    ----------
    address
        Of the state's table.
    ts, ts_local, kind, flags, price, qty
        Columns of whole packets, read-only.
    start
        Row to go on from.
    until
        No later row has a time at or before it; -NEVER: nothing is said about later rows.

    Returns
    -------
    tuple[int, int]
        DONE and the number of rows; or what stands in the way (GROW_..., MOVE, BAD_TIME, LOOK) and the row to go
        on from.
    """
    state = state_at(address)
    reg = state.reg
    rows = len(ts)
    i = start
    while i <= rows:
        if i < rows and is_quiet(state):
            i = skim(address, ts, ts_local, kind, flags, price, qty, i)
        if reg[IN_PACKET] == 0:
            last = i == rows
            before = until + 1 if last else ts[i]
            receipt = before
            if last:
                if until == -NEVER:
                    break
            else:
                status = check_time(state, before)
                if status != DONE:
                    return status, i
                receipt = max(before, ts_local[i] if ts_local[i] > 0 else before + state.cfg[CFG_FEED])
            receipt = max(receipt, reg[RECEIPT])
            if receipt > reg[NEXT_CAPTURE] or before > reg[DUE]:
                status = catch_up(state, before, receipt)
                if status != DONE:
                    return status, i
            if last:
                reg[NOW] = max(reg[NOW], until)
                break
            open_packet(state, before, receipt, i)
            if reg[BEST] < 0 and reg[BEST + 1] < 0:
                status = place_window(state, kind, price, qty, flags, i)
                if status != DONE:
                    return status, i
        ends = flags[i] & PACKET_END
        if reg[IN_PACKET] == 1:
            if ts[i] != reg[PACKET_TS]:
                return BAD_TIME, i
            status = apply_row(state, np.int64(kind[i]), np.int64(flags[i]), price[i], qty[i])
            if status != DONE:
                return status, i
            if kind[i] == RESET and ends == 0:
                status = place_window(state, kind, price, qty, flags, i + 1)
                if status != DONE:
                    return status, i + 1
        if ends != 0:
            if reg[IN_PACKET] != 3:
                reg[IN_PACKET] = 2
                status = end_packet(state)
                if status != DONE:
                    return status, i
                if reg[TOUCHING] == 1:
                    remember_updates(state, kind, price, qty, i)
                reg[IN_PACKET] = 3
            status = window_after_packet(state)
            if status != DONE:
                return status, i
            reg[IN_PACKET] = 0
        i += 1
    if reg[PENDING] != NEVER:
        act(state, np.int64(0))  # somebody may look
        find_due(state)
    return DONE, rows


@inlined
def check_time(state: State, ts: int) -> int:
    """BAD_TIME if a packet's time is in the past; the first packet's time begins the run."""
    reg = state.reg
    if ts < reg[LAST_TS] or ts <= reg[NOW]:
        return BAD_TIME
    if reg[FIRST_TS] == NEVER:
        reg[FIRST_TS] = ts
        reg[STATE_SINCE] = ts
        if reg[START] == NEVER:
            set_start(state, ts)
    return DONE


@inlined
def open_packet(state: State, ts: int, receipt: int, row: int) -> None:
    """Begin a packet."""
    reg = state.reg
    reg[RECEIPT] = receipt
    reg[LAST_TS] = ts
    reg[PACKET_TS] = ts
    reg[PACKET_ROW] = row
    reg[PACKET] += 1
    reg[IN_PACKET] = 1
    reg[BEFORE] = reg[BEST]
    reg[BEFORE + 1] = reg[BEST + 1]


@inlined
def set_start(state: State, start: int) -> None:
    """Fix when decisions begin."""
    reg = state.reg
    reg[START] = start
    if state.cfg[CFG_STRATEGY] >= 0:
        reg[NEXT_DECISION] = start + state.cfg[CFG_CYCLE]
        reg[NEXT_CAPTURE] = reg[NEXT_DECISION]
        reg[DUE] = min(reg[DUE], reg[NEXT_DECISION])


@inner
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


@inlined
def instant(state: State, now: int) -> int:
    """All that is due at one time, after its packets: arrivals, the decision, and what it sends without latency."""
    status = deliver(state, now)
    if status != DONE:
        return status
    if state.reg[NEXT_DECISION] == now:
        status = decide(state, now)
        if status != DONE:
            return status
        if state.cfg[CFG_ASK] == 1:
            state.reg[DUE] = now  # go on here
            return LOOK
        status = deliver(state, now)
        if status != DONE:
            state.reg[DUE] = now
            return status
    find_due(state)
    return DONE


@inlined
def deliver(state: State, now: int) -> int:
    """What was sent for this time arrives."""
    reg = state.reg
    if state.cfg[CFG_STRATEGY] < 0:
        return deliver_calls(state, now)
    if reg[ACT_AT] <= now:
        if reg[WAIT_DUE] > now or reg[IN_GAP] == 1:
            status = room_to_act(state)
            if status != DONE:
                return status
            act(state, np.int64(1))
            return deliver_messages(state, now)  # orders that take
        act(state, np.int64(0))  # orders that waited for the end of a gap come between the cancels and the new ones
    return deliver_messages(state, now)


@inlined
def find_due(state: State) -> None:
    """The earliest time at which something is to happen."""
    reg = state.reg
    due = min(min(reg[NEXT_DECISION], reg[WAIT_DUE]), reg[ACT_AT])
    if reg[BATCH_HEAD] != reg[BATCH_TAIL]:
        due = min(due, state.batch[reg[BATCH_HEAD], B_ARRIVAL])
    if reg[CALL_HEAD] < reg[CALL_TAIL]:
        due = min(due, state.call[reg[CALL_HEAD], C_ARRIVAL])
    reg[DUE] = due


@inner
def apply_row(state: State, code: int, flag: int, price: int, qty: int) -> int:
    """Apply one row; GROW_... and nothing has happened if there is no room for its fills."""
    reg = state.reg
    if code <= BEST_ASK and (code <= ASK or code >= BEST_BID):
        side = np.int64(code == ASK or code == BEST_ASK)
        index = index_of(Ladder(state.qty, state.reg), side, price)
        if flag & SNAPSHOT:
            reg[SNAPSHOT_SEEN] = 1
        parity = qty > 0 and state.cfg[CFG_PARITY] == 1
        if parity:
            status = room_for(state, reg[RESTING], np.int64(0))
            if status != DONE:
                return status
        if code >= BEST_BID:
            best_row(state, side, index, qty, price)
        elif 0 <= index < reg[WIDTH]:
            change_level(state, side, index, qty)
        else:
            miss_level(state, side, index, qty, price)
        if parity and 0 <= index < reg[WIDTH]:
            cross(state, side, index)
        return DONE
    if code == RESET or code == GAP:
        start_gap(state, code == RESET)
        return DONE
    if flag & SNAPSHOT:
        reg[SNAPSHOT_SEEN] = 1
    if code > TRADE_UNKNOWN:
        if code == MARK:
            reg[LAST_MARK] = price
        elif state.cfg[CFG_FUNDING] == 1:
            return charge(state, price, known_at(state))
        return DONE
    if reg[IN_GAP] == 0:
        status = apply_print(state, code, price, qty)
        if status != DONE:
            return status
    reg[LAST_TRADE] = price
    if reg[STOP_COUNT] > 0:
        watch_stops(state, price)
    if state.cfg[CFG_IMPACT] == IMPACT_MEASURED:
        reg[VOLUME] += qty
    return DONE


@inlined
def apply_print(state: State, code: int, price: int, qty: int) -> int:
    """Let a print meet resting orders: buys meet asks, sells meet bids."""
    reg = state.reg
    side = np.int64(code == TRADE_BUY)
    if code == TRADE_UNKNOWN:
        bid = reg[BEFORE]
        ask = reg[WIDTH] - 1 - reg[BEFORE + 1]
        if state.cfg[CFG_PARITY] == 1 or bid < 0 or reg[BEFORE + 1] < 0 or bid >= ask:
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
    on_print(state, side, index, qty, reg[PACKET_TS], known_at(state))
    return DONE


@inlined
def known_at(state: State) -> int:
    """When lanes know what the current packet does to them."""
    reg = state.reg
    known = reg[PACKET_TS] + response_at(state, reg[PACKET_TS])
    return known if state.cfg[CFG_PARITY] == 1 else max(known, reg[RECEIPT])


@entry
def finish(address: int) -> int:
    """One final equity point takes the true state, replacing a decision's at the same time; DONE or GROW_CURVE."""
    state = state_at(address)
    reg = state.reg
    end = max(reg[LAST_TS], reg[NOW])
    replaces = reg[DECISIONS] > 0 and reg[NEXT_DECISION] - state.cfg[CFG_CYCLE] == end
    if state.cfg[CFG_CURVE] == 1 and not replaces and reg[CURVE_COUNT] == len(state.curve_ts):
        return GROW_CURVE
    unsampled = reg[KNOWN_MID2] == 0 or (replaces and reg[FIRST_MID_AT] == end)
    if reg[MID2] > 0 and unsampled and state.cfg[CFG_STRATEGY] >= 0:
        value_capital(state, reg[MID2])
    for lane in range(reg[LANES]):
        equity = state.lane_f[lane, F_START]
        if reg[MID2] > 0:
            equity = worth(state, np.int64(lane), np.int64(L_POSITION), reg[MID2])
        if replaces:
            state.lane_f[lane, F_NEWEST] = equity
        else:
            sample(state, np.int64(lane), equity)
        if state.cfg[CFG_CURVE] == 1:
            state.curve[reg[CURVE_COUNT] - np.int64(replaces), lane] = equity
    if not replaces:
        reg[SAMPLES] += 1
    if state.cfg[CFG_CURVE] == 1 and not replaces:
        state.curve_ts[reg[CURVE_COUNT]] = end
        reg[CURVE_COUNT] += 1
    reg[FINISHED] = 1
    reg[ACTED_MID2] = 0  # the newest sample may be of the true state, which lanes do not know
    return DONE
