"""Order slots: whose they are, in which state, and giving them back."""

from tidewright.engine.layout import (
    FREE,
    L_SLOT_FREE,
    O_LEAVES,
    O_NUMBER,
    O_PRICE,
    O_QTY,
    P_NEXT,
    P_WHOSE,
    RESTING_STATE,
    SET_OFF,
    STOPPED,
    State,
)
from tidewright.market.inner import inlined


@inlined
def whose(lane: int, state: int, side: int, kind: int, tif: int) -> int:
    """The word of a slot that says whose order it holds and in which state."""
    return lane * 256 + state * 32 + side * 16 + kind * 8 + tif


@inlined
def write_order(state: State, slot: int, price: int, qty: int, number: int) -> None:
    """Put what is ordered into a slot."""
    order = state.order
    order[slot, O_PRICE] = price
    order[slot, O_QTY] = qty
    order[slot, O_LEAVES] = qty
    order[slot, O_NUMBER] = number


@inlined
def lane_of(state: State, slot: int) -> int:
    """Lane of an order."""
    return state.place[slot, P_WHOSE] >> 8


@inlined
def state_of(state: State, slot: int) -> int:
    """FREE, SENT, WAITING, RESTING_STATE, DEAD, STOPPED or SET_OFF."""
    return (state.place[slot, P_WHOSE] >> 5) & 7


@inlined
def set_state(state: State, slot: int, new: int) -> None:
    """Put an order into a state."""
    state.place[slot, P_WHOSE] = (state.place[slot, P_WHOSE] & ~224) | (new << 5)


@inlined
def rests(state: State, slot: int, lane: int, side: int) -> bool:
    """Whether a slot holds a resting order of a lane's side."""
    return state.place[slot, P_WHOSE] >> 4 == lane * 16 + 6 + side


@inlined
def holds_funds(state: State, slot: int, lane: int, side: int) -> bool:
    """Whether a slot holds an order of a lane's side that locks balances: a resting one, or a stop order."""
    how = state_of(state, slot)
    mine = state.place[slot, P_WHOSE] >> 8 == lane and side_of(state, slot) == side
    return mine and (how == RESTING_STATE or how == STOPPED or how == SET_OFF)


@inlined
def side_of(state: State, slot: int) -> int:
    """Side of an order."""
    return (state.place[slot, P_WHOSE] >> 4) & 1


@inlined
def kind_of(state: State, slot: int) -> int:
    """LIMIT or MARKET."""
    return (state.place[slot, P_WHOSE] >> 3) & 1


@inlined
def tif_of(state: State, slot: int) -> int:
    """Time in force of an order."""
    return state.place[slot, P_WHOSE] & 7


@inlined
def release(state: State, slot: int) -> None:
    """Put a slot of which its lane has no more use into the lane's pool."""
    lane = lane_of(state, slot)
    set_state(state, slot, FREE)
    state.place[slot, P_NEXT] = state.lane[lane, L_SLOT_FREE]
    state.lane[lane, L_SLOT_FREE] = slot
