"""What a lane has taken of the tape's levels: remembered, so that no lot is had twice.

An entry hangs in two lists: its lane's, to be found, and its level's, to be corrected by the level's rows.
"""

from numba import int64

from tidewright.engine.layout import (
    L_TAKEN,
    T_LEVEL_NEXT,
    T_LEVEL_PREV,
    T_NEXT,
    T_OWNER,
    T_POSITION,
    T_PREV,
    T_QTY,
    TAKEN_FREE,
    TAKEN_ROOM,
    TAKEN_TOP,
    State,
)
from tidewright.market.inner import inner


@inner
def taken_of(state: State, lane: int, position: int) -> int:
    """Lots a lane has taken of a level."""
    each = state.lane[lane, L_TAKEN]
    while each >= 0:
        if state.taken[each, T_POSITION] == position:
            return state.taken[each, T_QTY]
        each = state.taken[each, T_NEXT]
    return int64(0)


@inner
def take_from(state: State, lane: int, position: int, qty: int) -> None:
    """Remember that a lane took from a level. There must be room."""
    taken = state.taken
    first = state.lane[lane, L_TAKEN]
    each = first
    while each >= 0:
        if taken[each, T_POSITION] == position:
            taken[each, T_QTY] += qty
            return
        each = taken[each, T_NEXT]
    each = state.reg[TAKEN_FREE]
    state.reg[TAKEN_FREE] = each + 1 + taken[each, T_NEXT]
    state.reg[TAKEN_ROOM] -= 1
    state.reg[TAKEN_TOP] = max(state.reg[TAKEN_TOP], each + 1)
    taken[each, T_OWNER] = lane + 1
    taken[each, T_POSITION] = position
    taken[each, T_QTY] = qty
    taken[each, T_NEXT] = first
    taken[each, T_PREV] = -1
    if first >= 0:
        taken[first, T_PREV] = each
    state.lane[lane, L_TAKEN] = each
    head = int64(state.taken_head[position]) - 1
    taken[each, T_LEVEL_NEXT] = head
    taken[each, T_LEVEL_PREV] = -1
    if head >= 0:
        taken[head, T_LEVEL_PREV] = each
    else:
        state.mark[position] |= 2
    state.taken_head[position] = each + 1


@inner
def forget(state: State, each: int) -> None:
    """Remove an entry."""
    taken = state.taken
    before = taken[each, T_PREV]
    after = taken[each, T_NEXT]
    if before >= 0:
        taken[before, T_NEXT] = after
    else:
        state.lane[taken[each, T_OWNER] - 1, L_TAKEN] = after
    if after >= 0:
        taken[after, T_PREV] = before
    before = taken[each, T_LEVEL_PREV]
    after = taken[each, T_LEVEL_NEXT]
    position = taken[each, T_POSITION]
    if before >= 0:
        taken[before, T_LEVEL_NEXT] = after
    elif position >= 0:
        state.taken_head[position] = after + 1
        if after < 0:
            state.mark[position] &= 1
    if after >= 0:
        taken[after, T_LEVEL_PREV] = before
    taken[each, T_OWNER] = 0
    taken[each, T_NEXT] = state.reg[TAKEN_FREE] - each - 1
    state.reg[TAKEN_FREE] = each
    state.reg[TAKEN_ROOM] += 1


@inner
def correct_taken(state: State, position: int, old: int, new: int) -> None:
    """A row that raises a level forgives as much as it adds; never more counts as taken than there is."""
    each = int64(state.taken_head[position]) - 1
    while each >= 0:
        after = state.taken[each, T_LEVEL_NEXT]
        left = state.taken[each, T_QTY]
        if new > old:
            left -= new - old
        left = min(left, new)  # also after a rise: behind a best quote a level was unknown, old is 0 then
        if left > 0:
            state.taken[each, T_QTY] = left
        else:
            forget(state, each)
        each = after


@inner
def forget_all(state: State) -> None:
    """After a reset or gap nothing counts as taken."""
    if state.reg[TAKEN_ROOM] == len(state.taken):
        return
    for each in range(state.reg[TAKEN_TOP]):
        if state.taken[each, T_OWNER] > 0:
            forget(state, each)
