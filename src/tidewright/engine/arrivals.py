"""What reaches the venue at one instant: cancels, orders that waited for the end of a gap, then new orders."""

from numba import int64

from tidewright.engine.checks import refusal, slots_of
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    B_ARRIVAL,
    B_END,
    B_MERGED,
    BATCH_HEAD,
    BATCH_TAIL,
    C_ARRIVAL,
    C_LANE,
    C_LATE,
    C_NUMBER,
    C_QTY,
    C_SLOT,
    CALL_HEAD,
    CALL_TAIL,
    CFG_RECORD,
    CFG_STRATEGY,
    DONE,
    FREE,
    GROW_KNOWN,
    GROW_LOG,
    GROW_TAKEN,
    IN_GAP,
    KNOWN_ROOM,
    LAST_TRADE,
    LATE,
    LOG_COUNT,
    MSG_HEAD,
    MSG_TAIL,
    NEVER,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    RESTING,
    SENT,
    SET_OFF,
    STOP_PRICE,
    STOP_WAY,
    T_OWNER,
    T_QTY,
    TAKEN_ROOM,
    TAKEN_TOP,
    TAKERS,
    WAIT_COUNT,
    WAIT_DUE,
    WAITING,
    State,
)
from tidewright.engine.orders import amend, cancel, die, reject_unknown, rest, write_message
from tidewright.engine.slots import kind_of, lane_of, side_of, state_of, tif_of
from tidewright.engine.stops import go_off, hold, set_off_by, wait
from tidewright.engine.taking import take
from tidewright.market.codes import (
    ACCEPTED,
    AMEND_REJECTED,
    CANCEL_REJECTED,
    IOC,
    NO_REASON,
    NO_STOP,
    POST_ONLY,
    REJECTED,
    WOULD_TRIGGER,
)
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, WIDTH, Ladder, index_of, next_level


@inner
def arrive(state: State, slot: int, now: int) -> None:
    """A new order reaches the venue outside a gap."""
    lane = lane_of(state, slot)
    side = side_of(state, slot)
    tif = tif_of(state, slot)
    price, qty = state.order[slot, O_PRICE], state.order[slot, O_QTY]
    index = index_of(Ladder(state.qty, state.reg), side, price)
    stop = state.cfg[CFG_STRATEGY] < 0 and state.tag[slot, STOP_WAY] != NO_STOP
    stop_price = state.tag[slot, STOP_PRICE] if stop else int64(0)
    reason = refusal(state, lane, side, kind_of(state, slot), tif, price, qty, stop_price, index, now)
    if stop and reason == NO_REASON and set_off_by(state, slot, state.reg[LAST_TRADE]):
        reason = int64(WOULD_TRIGGER)
    if reason != NO_REASON:
        die(state, slot, int64(REJECTED), now, reason)
        return
    if state.cfg[CFG_RECORD] > 1:
        known = now + response_at(state, now)
        write_message(state, int64(ACCEPTED), slot, now, known, price, qty, int64(NO_REASON))
    if stop:
        hold(state, slot)
        return
    if tif == POST_ONLY or take(state, slot, index, now):
        rest(state, slot, lane, side, index)


@inner
def arrive_or_wait(state: State, slot: int, now: int) -> None:
    """A new order reaches the venue; in a gap it waits."""
    if state.reg[IN_GAP] == 0:
        arrive(state, slot, now)
    else:
        wait(state, slot, int64(WAITING))


@inner
def admit_waiting(state: State, now: int) -> None:
    """The gap or the instant is over: orders that waited arrive, in the order they came."""
    count = state.reg[WAIT_COUNT]
    state.reg[WAIT_COUNT] = 0
    state.reg[WAIT_DUE] = NEVER
    for i in range(count):
        slot = state.waiting[i, 0]
        if state.order[slot, O_NUMBER] != state.waiting[i, 1]:
            continue
        if state_of(state, slot) == WAITING:
            arrive(state, slot, now)
        elif state_of(state, slot) == SET_OFF:
            go_off(state, slot, now)


@inlined
def push(state: State, message: int) -> None:
    """Append to the ring of messages under way: an order's slot, or ``~slot`` for its cancel."""
    tail = state.reg[MSG_TAIL]
    state.msg[tail] = message
    tail += 1
    state.reg[MSG_TAIL] = tail if tail < len(state.msg) else int64(0)


@inner
def deliver_messages(state: State, now: int) -> int:
    """Let what the strategies sent for this instant arrive; GROW_... and nothing has happened if there is no room."""
    reg = state.reg
    waiting = reg[WAIT_DUE] <= now and reg[IN_GAP] == 0
    due = reg[BATCH_HEAD] != reg[BATCH_TAIL] and state.batch[reg[BATCH_HEAD], B_ARRIVAL] <= now
    if not waiting and not due:
        return DONE
    end = state.batch[reg[BATCH_HEAD], B_END] if due else reg[MSG_HEAD]
    size = len(state.msg)
    status = room_for(state, 2 * ((end - reg[MSG_HEAD]) % size + reg[WAIT_COUNT]), int64(0))
    if status == DONE and reg[TAKERS] == 1:
        status = room_for_takers(state, reg[MSG_HEAD], end, waiting)
    if status != DONE:
        return status
    first = reg[MSG_HEAD]
    apart = waiting or (due and state.batch[reg[BATCH_HEAD], B_MERGED] == 1)
    if apart:
        cancels_first(state, first, end, now)
        if waiting:
            admit_waiting(state, now)
    while first != end:
        message = int64(state.msg[first])
        if message >= 0:
            arrive_or_wait(state, message, now)
            if apart and state.tag[message, LATE] == 1:
                state.tag[message, LATE] = 0
                cancel(state, message, now)
        elif not apart:
            cancel(state, ~message, now)
        first += 1
        if first == size:
            first = int64(0)
    reg[MSG_HEAD] = end
    if due:
        reg[BATCH_HEAD] = (reg[BATCH_HEAD] + 1) % len(state.batch)
    return DONE


@inner
def room_for_takers(state: State, first: int, end: int, waiting: bool) -> int:
    """Whether the pools can hold what those of some messages may cause that take; see :func:`room_for_lots`."""
    lots = int64(0)
    takers = int64(0)
    orders = (end - first) % len(state.msg)
    while first != end:
        slot = int64(state.msg[first])
        if slot >= 0 and tif_of(state, slot) == IOC:
            lots += state.order[slot, O_QTY]
            takers += 1
        first = (first + 1) % len(state.msg)
    if waiting:
        orders += state.reg[WAIT_COUNT]
        for i in range(state.reg[WAIT_COUNT]):
            if tif_of(state, state.waiting[i, 0]) == IOC:
                lots += state.order[state.waiting[i, 0], O_QTY]
                takers += 1
    return DONE if takers == 0 else room_for_lots(state, lots, takers, 2 * orders)


@inner
def cancels_first(state: State, first: int, end: int, now: int) -> None:
    """Let the cancels among some messages act before all orders; one of an order among them is noted, see LATE."""
    while first != end:
        message = int64(state.msg[first])
        if message < 0 and state_of(state, ~message) == SENT:
            state.tag[~message, LATE] = 1
        elif message < 0:
            cancel(state, ~message, now)
        first = (first + 1) % len(state.msg)


@inner
def room_for(state: State, reports: int, taken: int) -> int:
    """DONE if the pools hold this many more entries, else which of them has to grow."""
    reg = state.reg
    if state.cfg[CFG_RECORD] > 0 and len(state.log) - reg[LOG_COUNT] < reports:
        return GROW_LOG
    if reg[KNOWN_ROOM] < reports and state.cfg[CFG_STRATEGY] >= 0:
        return GROW_KNOWN
    if reg[TAKEN_ROOM] < taken:
        return GROW_TAKEN
    return DONE


@inner
def deliver_calls(state: State, now: int) -> int:
    """Let what was sent from outside for this instant arrive.

    Cancels and amendments come first, but none overtakes the arrival of its own order.
    """
    reg = state.reg
    waiting = reg[WAIT_DUE] <= now and reg[IN_GAP] == 0
    first = reg[CALL_HEAD]
    end = first
    while end < reg[CALL_TAIL] and state.call[end, C_ARRIVAL] <= now:
        end += 1
    if end == first and not waiting:
        return DONE
    status = room_for_calls(state, first, end, waiting)
    if status != DONE:
        return status
    for i in range(first, end):
        if state.call[i, C_SLOT] < 0:
            slot = find_order(state, state.call[i, C_LANE], state.call[i, C_NUMBER])
            if slot >= 0 and state_of(state, slot) == SENT:
                state.tag[slot, LATE] = 1
                state.call[i, C_LATE] = 1
            else:
                change_call(state, i, now)
    if waiting:
        admit_waiting(state, now)
    for i in range(first, end):
        slot = state.call[i, C_SLOT]
        if slot < 0:
            continue
        late = state.tag[slot, LATE] == 1
        number = state.order[slot, O_NUMBER]
        arrive_or_wait(state, slot, now)
        if late:
            for j in range(first, end):
                if state.call[j, C_LATE] == 1 and state.call[j, C_NUMBER] == number:
                    change_call(state, j, now)
    reg[CALL_HEAD] = end
    return DONE


@inlined
def change_call(state: State, i: int, now: int) -> None:
    """A cancel or amendment from outside acts, or is rejected because there is no such order any more."""
    lane = state.call[i, C_LANE]
    qty = state.call[i, C_QTY]
    slot = find_order(state, lane, state.call[i, C_NUMBER])
    if slot < 0:
        what = int64(CANCEL_REJECTED) if qty == 0 else int64(AMEND_REJECTED)
        reject_unknown(state, what, lane, state.call[i, C_NUMBER], now)
    elif qty == 0:
        cancel(state, slot, now)
    else:
        amend(state, slot, qty, now)


@inner
def find_order(state: State, lane: int, number: int) -> int:
    """Slot of a lane's living order, -1 if there is none."""
    first, last = slots_of(state, lane)
    for slot in range(first, last):
        if (
            state.order[slot, O_NUMBER] == number
            and state_of(state, int64(slot)) != FREE
            and lane_of(state, int64(slot)) == lane
        ):
            return slot
    return int64(-1)


@inner
def room_for_calls(state: State, first: int, end: int, waiting: bool) -> int:
    """Whether the pools can hold all that an instant's calls may cause; see :func:`room_for_lots`."""
    lots = int64(0)
    orders = end - first
    for i in range(first, end):
        if state.call[i, C_SLOT] >= 0:
            lots += state.order[state.call[i, C_SLOT], O_QTY]
    if waiting:
        for i in range(state.reg[WAIT_COUNT]):
            lots += state.order[state.waiting[i, 0], O_QTY]
            orders += 1
    return room_for_lots(state, lots, orders, int64(0))


@inner
def room_for_lots(state: State, lots: int, orders: int, reports: int) -> int:
    """Whether the pools can hold what orders of so many lots in all may cause, beside some reports.

    An order takes from a level at most once, and once more for each own order in its way; the levels it can reach are
    those within the quantity of all orders of the instant plus all that was taken before.
    """
    for each in range(state.reg[TAKEN_TOP]):
        if state.taken[each, T_OWNER] > 0:
            lots += state.taken[each, T_QTY]
    steps = int64(0)
    for side in range(2):
        left = lots
        level = state.reg[BEST + side]
        while level >= 0 and left > 0:
            left -= state.qty[side * state.reg[WIDTH] + level]
            steps += 1
            level = next_level(Ladder(state.qty, state.reg), int64(side), level - 1)
    return room_for(state, reports + orders * (7 + steps) + 2 * (state.reg[RESTING] + orders), orders * (2 + steps))
