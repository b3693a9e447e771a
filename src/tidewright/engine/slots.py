"""Order slots: whose they are, and giving them back."""

from numba import njit

from tidewright.engine.layout import BURIED, FREE, L_SLOT_FREE, O_NEXT, O_NODE, O_STATE, O_WHOSE, State


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def lane_of(state: State, slot: int) -> int:
    """Lane of an order."""
    return state.order[slot, O_WHOSE] >> 5


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def side_of(state: State, slot: int) -> int:
    """Side of an order."""
    return (state.order[slot, O_WHOSE] >> 4) & 1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def kind_of(state: State, slot: int) -> int:
    """LIMIT or MARKET."""
    return (state.order[slot, O_WHOSE] >> 3) & 1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def tif_of(state: State, slot: int) -> int:
    """Time in force of an order."""
    return state.order[slot, O_WHOSE] & 7


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def give_back(state: State, slot: int) -> None:
    """Put a slot that is in no list into its lane's pool."""
    lane = state.order[slot, O_WHOSE] >> 5
    state.order[slot, O_STATE] = FREE
    state.order[slot, O_NEXT] = state.lane[lane, L_SLOT_FREE]
    state.lane[lane, L_SLOT_FREE] = slot


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def release(state: State, slot: int) -> None:
    """A lane has no more use for an order's slot; while it is in a node's list it waits for the node's end."""
    if state.order[slot, O_NODE] >= 0:
        state.order[slot, O_STATE] = BURIED
    else:
        give_back(state, slot)
