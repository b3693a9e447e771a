"""The tape's book as the engine follows it: gaps, the moving window, packet ends."""

from numba import int64

from tidewright.engine.impact import measure_return
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    CFG_IMPACT,
    CFG_PARITY,
    CFG_TOUCH_ONLY,
    DONE,
    DUE,
    EPOCH,
    IMPACT_MEASURED,
    IN_GAP,
    KNOWN_FROM,
    LOST,
    LOST_PRICE,
    MARKET_STATE,
    MID2,
    MISSED_ROWS,
    MOVE,
    MOVE_TO,
    NEVER,
    OWN,
    PACKET_ROW,
    PACKET_TS,
    RECEIPT,
    SHARE,
    SNAPSHOT_SEEN,
    STATE_CROSSED,
    STATE_GAP,
    STATE_ONE_SIDED,
    STATE_OUT,
    STATE_SINCE,
    STATE_WHOLE,
    TOUCHING,
    WAIT_COUNT,
    WAIT_DUE,
    WHOLE,
    State,
)
from tidewright.engine.nodes import rejoin, requeue
from tidewright.engine.prints import touch, touch_room, touch_whole
from tidewright.engine.taken import correct_taken, forget_all
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, PACKET_END, RESET
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import (
    BEST,
    LOW,
    STRANGE,
    UNKNOWN,
    WIDTH,
    WORST,
    Ladder,
    clear,
    index_of,
    off_centre,
    set_level,
)
from tidewright.market.tape import I64, U8


@inner
def change_level(state: State, side: int, index: int, qty: int) -> None:
    """Apply a level row inside the window to the book and to what hangs on the level."""
    position = side * state.reg[WIDTH] + index
    old = set_level(Ladder(state.qty, state.reg), side, index, qty)
    if state.mark[position] != 0 and state.reg[IN_GAP] == 0:
        tell_level(state, position, old, qty)
    if qty > 0 and state.reg[OWN + 1 - side] >= state.reg[WIDTH] - 1 - index:
        state.epoch[position] = state.reg[EPOCH]
        state.reg[TOUCHING] = 1


@inner
def tell_level(state: State, position: int, old: int, qty: int) -> None:
    """Let what hangs on a level hear of its row: the queue, and what was taken of it."""
    if state.mark[position] & 1:
        requeue(state, position, old, qty)
    if state.mark[position] & 2:
        correct_taken(state, position, max(int64(0), old), qty)


@inlined
def miss_level(state: State, side: int, index: int, qty: int, price: int) -> None:
    """A level row outside the window is remembered only in case its side turns out empty."""
    reg = state.reg
    reg[MISSED_ROWS] += 1
    if qty <= 0:
        return
    better = reg[LOST + side] != 1 or (price > reg[LOST_PRICE + side] if side == 0 else price < reg[LOST_PRICE + side])
    reg[LOST + side] = 1
    if better:
        reg[LOST_PRICE + side] = price


@inlined
def best_row(state: State, side: int, index: int, qty: int, price: int) -> None:
    """A best-bid/ask row empties the better levels of its side and sets its own."""
    while state.reg[BEST + side] > max(index, int64(-1)):
        change_level(state, side, state.reg[BEST + side], int64(0))
    if state.reg[STRANGE] == 1:
        hear_of_better(state, side, max(index, int64(-1)) + 1)
    if state.cfg[CFG_TOUCH_ONLY] == 1:
        hide_behind(state, side, index)
    if 0 <= index < state.reg[WIDTH]:
        change_level(state, side, index, qty)
    else:
        miss_level(state, side, index, qty, price)


@inner
def cross(state: State, side: int, index: int) -> None:
    """Parity: a level set to more than 0 fills the own orders it reaches and empties the opposite levels it crosses.

    The newest row is believed, so the book is never crossed or locked. Queues at the emptied levels do not hear of it.
    """
    reg = state.reg
    other = int64(1 - side)
    reach = reg[WIDTH] - 1 - index
    if reg[OWN + other] >= reach:
        touch_whole(state, other, reach, reg[PACKET_TS], reg[PACKET_TS] + response_at(state, reg[PACKET_TS]))
    while reg[BEST + other] >= reach:
        set_level(Ladder(state.qty, state.reg), other, reg[BEST + other], int64(0))


@inner
def hear_of_better(state: State, side: int, first: int) -> None:
    """Unknown levels at or better than an index are known to be empty: nothing is better than the best."""
    base = side * state.reg[WIDTH]
    for index in range(first, state.reg[KNOWN_FROM + side]):
        if state.qty[base + index] < 0:
            change_level(state, side, int64(index), int64(0))
    state.reg[KNOWN_FROM + side] = min(first, state.reg[KNOWN_FROM + side])


@inner
def hide_behind(state: State, side: int, best: int) -> None:
    """The levels behind the best are unknown: on a tape of best quotes nobody says what stands there.

    What rests there keeps its place in the queue as far as it is known; who comes now joins an unknown queue. Those
    behind the levels that hold something are unknown already, unless this is the first such row.
    """
    reg = state.reg
    base = side * reg[WIDTH]
    stop = max(int64(0), min(best, reg[WIDTH]))
    first = int64(0)
    if reg[KNOWN_FROM + side] > 0:
        first = max(first, min(reg[BEST + side], reg[WORST + side]))
    for index in range(first, stop):
        state.qty[base + index] = UNKNOWN
    if reg[BEST + side] < stop:
        reg[BEST + side] = -1  # the row itself sets it
    reg[WORST + side] = reg[WIDTH]
    reg[STRANGE] = 1
    reg[KNOWN_FROM + side] = stop


@inner
def start_gap(state: State, reset: bool) -> None:
    """A gap begins; a reset empties the book besides."""
    reg = state.reg
    if state.cfg[CFG_PARITY] == 1:  # it knows no gaps
        if reset:
            clear(Ladder(state.qty, state.reg))
        return
    reg[IN_GAP] = 1
    reg[SNAPSHOT_SEEN] = 0
    reg[WHOLE] = 0
    reg[WAIT_DUE] = NEVER
    forget_all(state)
    if reset:
        clear(Ladder(state.qty, state.reg))


@inner
def place_window(state: State, kind: U8, price: I64, qty: I64, flags: U8, start: int) -> int:
    """Before the rows of an empty book: MOVE if the best levels that the rest of the packet brings are off centre."""
    bid = int64(-1)
    ask = int64(-1)
    for i in range(start, len(kind)):
        code = kind[i]
        if code == RESET:
            break
        if qty[i] > 0:
            if code == BID or code == BEST_BID:
                bid = max(bid, price[i])
            elif (code == ASK or code == BEST_ASK) and (ask < 0 or price[i] < ask):
                ask = price[i]
        if flags[i] & PACKET_END:
            break
    if bid < 0 and ask < 0:
        return DONE
    return recentre(state, (bid + ask) // 2 if bid >= 0 and ask >= 0 else max(bid, ask))


@inlined
def recentre(state: State, centre: int) -> int:
    """MOVE if a price is off the window's middle half."""
    if off_centre(Ladder(state.qty, state.reg), centre):
        return ask_to_move(state, centre)
    return DONE


@inlined
def ask_to_move(state: State, centre: int) -> int:
    """Let the kernel's caller move the window to be around a price."""
    state.reg[MOVE_TO] = centre - state.reg[WIDTH] // 2
    return MOVE


@inner
def change_market_state(state: State, ts: int) -> None:
    """Share out the time since the market's state last changed."""
    reg = state.reg
    bid = reg[BEST]
    ask = reg[BEST + 1]
    if reg[IN_GAP] == 1:
        now = STATE_GAP
    elif bid < 0 or ask < 0:
        lost = (bid < 0 and reg[LOST] != 0) or (ask < 0 and reg[LOST + 1] != 0)
        now = STATE_OUT if lost else STATE_ONE_SIDED
    elif reg[WIDTH] - 1 - ask < bid:
        now = STATE_CROSSED
    else:
        now = STATE_WHOLE
    if now != reg[MARKET_STATE]:
        reg[SHARE + reg[MARKET_STATE]] += ts - reg[STATE_SINCE]
        reg[STATE_SINCE] = ts
        reg[MARKET_STATE] = now


@inner
def end_packet(state: State) -> int:
    """Close a packet; GROW_... and nothing has happened if there is no room for what it may fill.

    TOUCHING is 1 afterwards where the book is not fit for touches, and the packet's updates must be remembered.
    """
    reg = state.reg
    width = reg[WIDTH]
    if reg[TOUCHING] == 1:
        status = touch_room(state)
        if status != DONE:
            return status
    if reg[IN_GAP] == 1 and reg[SNAPSHOT_SEEN] == 1:
        reg[IN_GAP] = 0
        rejoin(state)
        if reg[WAIT_COUNT] > 0:
            reg[WAIT_DUE] = reg[PACKET_TS]
            reg[DUE] = min(reg[DUE], reg[WAIT_DUE])
    bid = reg[BEST]
    ask = width - 1 - reg[BEST + 1]
    both = bid >= 0 and reg[BEST + 1] >= 0
    reg[WHOLE] = 1 if both and bid <= ask and reg[IN_GAP] == 0 else 0
    if reg[WHOLE] == 1:
        reg[MID2] = 2 * reg[LOW] + bid + ask
        if state.cfg[CFG_IMPACT] == IMPACT_MEASURED:
            measure_return(state, reg[PACKET_TS])
    if reg[WHOLE] == 1 and bid < ask:
        if reg[TOUCHING] == 1:
            known = max(reg[PACKET_TS] + response_at(state, reg[PACKET_TS]), reg[RECEIPT])
            touch(state, reg[PACKET_TS], known)
            reg[TOUCHING] = 0
            reg[EPOCH] += 1
    else:
        reg[TOUCHING] = 1
    change_market_state(state, reg[PACKET_TS])
    return DONE


@inlined
def window_after_packet(state: State) -> int:
    """At a packet end: MOVE if the window no longer suits the book; to be asked again until it does."""
    reg = state.reg
    bid = reg[BEST]
    ask = reg[WIDTH] - 1 - reg[BEST + 1]
    if bid >= 0 and reg[BEST + 1] >= 0 and bid <= ask:
        reg[LOST] = 0
        reg[LOST + 1] = 0
        return recentre(state, reg[LOW] + (bid + ask) // 2)
    for side in range(2):
        if reg[BEST + side] >= 0:
            reg[LOST + side] = 0
        elif reg[LOST + side] == 1:
            reg[LOST + side] = 2  # so that its absence counts as "out of the window"
            return ask_to_move(state, reg[LOST_PRICE + side])
    return DONE


@inner
def remember_updates(state: State, kind: U8, price: I64, qty: I64, last: int) -> None:
    """The book is not fit for touches: mark the packet's updates for the next packet end that is.

    Parameters
    ----------
    last
        The packet's last row; the first is in the register PACKET_ROW.
    """
    reg = state.reg
    for i in range(reg[PACKET_ROW], last + 1):
        code = kind[i]
        if qty[i] <= 0 or not (code == BID or code == ASK or code == BEST_BID or code == BEST_ASK):
            continue
        side = int64(code == ASK or code == BEST_ASK)
        index = index_of(Ladder(state.qty, state.reg), side, price[i])
        if 0 <= index < reg[WIDTH]:
            state.epoch[side * reg[WIDTH] + index] = reg[EPOCH]
