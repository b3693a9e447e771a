"""Stop orders: they sleep until a print reaches their price, then wait for the end of the instant, or of the gap."""

from numba import int64

from tidewright.engine.checks import affordable
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    CFG_CHECK_BALANCE,
    DUE,
    IN_GAP,
    L_RESTING,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    PACKET_TS,
    RESTING,
    SENT,
    SET_OFF,
    STOP_COUNT,
    STOP_NUMBER,
    STOP_PRICE,
    STOP_SLOT,
    STOP_WAY,
    STOPPED,
    WAIT_COUNT,
    WAIT_DUE,
    WAITING,
    State,
)
from tidewright.engine.orders import die, rest, write_message
from tidewright.engine.slots import kind_of, lane_of, set_state, side_of, state_of
from tidewright.engine.taking import take
from tidewright.market.codes import (
    EXPIRED,
    FALLS,
    INSUFFICIENT_BALANCE,
    MARKET,
    NO_REASON,
    NO_STOP,
    OUTSIDE_WINDOW,
    RISES,
    TRIGGERED,
)
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import WIDTH, Ladder, index_of


@inlined
def set_off_by(state: State, slot: int, price: int) -> bool:
    """Whether a print at a price (0: there was none) sets a stop order off."""
    stop, way = state.tag[slot, STOP_PRICE], state.tag[slot, STOP_WAY]
    return price > 0 and ((way == RISES and price >= stop) or (way == FALLS and price <= stop))


@inner
def hold(state: State, slot: int) -> None:
    """Put a stop order on the list of those whose price has not printed."""
    reg = state.reg
    if reg[STOP_COUNT] == len(state.stop):
        watch_stops(state, int64(0))
    state.stop[reg[STOP_COUNT], STOP_SLOT] = slot
    state.stop[reg[STOP_COUNT], STOP_NUMBER] = state.order[slot, O_NUMBER]
    reg[STOP_COUNT] += 1
    set_state(state, slot, STOPPED)
    state.lane[lane_of(state, slot), L_RESTING] += 1
    reg[RESTING] += 1


@inner
def watch_stops(state: State, price: int) -> None:
    """Set off the stop orders that a print reaches (price 0: none), and forget the dead."""
    reg = state.reg
    kept = int64(0)
    for i in range(reg[STOP_COUNT]):
        slot = state.stop[i, STOP_SLOT]
        if state.order[slot, O_NUMBER] != state.stop[i, STOP_NUMBER] or state_of(state, slot) != STOPPED:
            continue
        if set_off_by(state, slot, price):
            wait(state, slot, int64(SET_OFF))
            if reg[IN_GAP] == 0:
                reg[WAIT_DUE] = reg[PACKET_TS]
                reg[DUE] = min(reg[DUE], reg[WAIT_DUE])
            continue
        state.stop[kept, STOP_SLOT] = slot
        state.stop[kept, STOP_NUMBER] = state.stop[i, STOP_NUMBER]
        kept += 1
    reg[STOP_COUNT] = kept


@inner
def go_off(state: State, slot: int, now: int) -> None:
    """A stop order that was set off becomes the order it holds; filters were tested and funds locked when it came."""
    lane = lane_of(state, slot)
    side = side_of(state, slot)
    price, qty = state.order[slot, O_PRICE], state.order[slot, O_LEAVES]
    market = kind_of(state, slot) == MARKET
    index = index_of(Ladder(state.qty, state.reg), side, price)
    known = now + response_at(state, now)
    write_message(state, int64(TRIGGERED), slot, now, known, price, state.order[slot, O_QTY], int64(NO_REASON))
    state.lane[lane, L_RESTING] -= 1
    state.reg[RESTING] -= 1
    set_state(state, slot, SENT)
    state.tag[slot, STOP_WAY] = NO_STOP
    if not market and (index < 0 or index >= state.reg[WIDTH]):
        die(state, slot, int64(EXPIRED), now, int64(OUTSIDE_WINDOW))
        return
    unpaid = market and side == 0 and state.cfg[CFG_CHECK_BALANCE] == 1
    if unpaid and not affordable(state, lane, side, market, price, qty, now):
        die(state, slot, int64(EXPIRED), now, int64(INSUFFICIENT_BALANCE))
        return
    if take(state, slot, index, now):
        rest(state, slot, lane, side, index)


@inner
def wait(state: State, slot: int, how: int) -> None:
    """Let an order wait for the end of a gap (WAITING), or of the instant that set it off (SET_OFF)."""
    if state.reg[WAIT_COUNT] == len(state.waiting):
        forget_dead_waiting(state)
    count = state.reg[WAIT_COUNT]
    state.waiting[count, 0] = slot
    state.waiting[count, 1] = state.order[slot, O_NUMBER]
    state.reg[WAIT_COUNT] = count + 1
    set_state(state, slot, how)


@inlined
def waits(state: State, slot: int) -> bool:
    """Whether an order waits for the end of a gap or of an instant."""
    return state_of(state, slot) == WAITING or state_of(state, slot) == SET_OFF


@inlined
def forget_dead_waiting(state: State) -> None:
    """Close the ranks after cancels of waiting orders; there are never more living ones than slots."""
    kept = int64(0)
    for i in range(state.reg[WAIT_COUNT]):
        slot = state.waiting[i, 0]
        if state.order[slot, O_NUMBER] == state.waiting[i, 1] and waits(state, slot):
            state.waiting[kept, 0] = slot
            state.waiting[kept, 1] = state.waiting[i, 1]
            kept += 1
    state.reg[WAIT_COUNT] = kept
