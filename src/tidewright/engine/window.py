"""Moving the price window. Rare, so it is done outside the kernels, on the same arrays."""

import numpy as np

from tidewright.engine import layout as at
from tidewright.engine.layout import State
from tidewright.engine.nodes import NODE_BITS
from tidewright.market.ladder import LOW, PLACED, WIDTH, Ladder, move_window, shift


def move(state: State, low: int) -> None:
    """Put the window's low end at a price, with everything that is stored by position.

    Levels that enter are unknown. Orders whose price leaves stay where they are in the market, but hang nowhere and
    cannot fill; when the price comes back they join a queue of unknown length.
    """
    reg = state.reg
    width = int(reg[WIDTH])
    placed = bool(reg[PLACED])
    up = low - int(reg[LOW])
    move_window(Ladder(state.qty, reg), low)
    if not placed or up == 0:
        return
    shift(state.mark, width, up, 0)
    shift(state.tail, width, up, 0)
    shift(state.taken_head, width, up, 0)
    shift(state.epoch, width, up, 0)
    reg[at.KNOWN_FROM : at.KNOWN_FROM + 2] = width
    _move_taken(state, width, up)
    _move_nodes(state, width, low, up)
    _find_own(state, width)


def _move_taken(state: State, width: int, up: int) -> None:
    """What was taken of levels that left is forgotten with them."""
    for each in np.flatnonzero(state.taken[: state.reg[at.TAKEN_TOP], at.T_OWNER] > 0):
        entry = state.taken[each]
        side = int(entry[at.T_POSITION]) // width
        index = int(entry[at.T_POSITION]) - side * width - (up if side == 0 else -up)
        if 0 <= index < width:
            entry[at.T_POSITION] = side * width + index
        else:
            _forget(state, int(each))


def _forget(state: State, each: int) -> None:
    """Take an entry out of its lane's list; its level's list is gone as a whole."""
    entry = state.taken[each]
    before, after = int(entry[at.T_PREV]), int(entry[at.T_NEXT])
    if before >= 0:
        state.taken[before, at.T_NEXT] = after
    else:
        state.lane[entry[at.T_OWNER] - 1, at.L_TAKEN] = after
    if after >= 0:
        state.taken[after, at.T_PREV] = before
    entry[at.T_OWNER] = 0
    entry[at.T_NEXT] = state.reg[at.TAKEN_FREE] - each - 1
    state.reg[at.TAKEN_FREE] = each
    state.reg[at.TAKEN_ROOM] += 1


def _move_nodes(state: State, width: int, low: int, up: int) -> None:
    """Nodes that left hang nowhere; those that came back are hung up again, the oldest first."""
    node, node_q = state.node, state.node_q
    used = np.flatnonzero(state.resting > 0)
    for each in used[np.argsort(node_q[used, at.Q_TURN])]:
        side, before = int(node_q[each, at.Q_TURN]) & 1, int(node[each, at.N_POSITION])
        if before >= 0:
            index = before - side * width
            node_q[each, at.Q_PRICE] = low - up + (index if side == 0 else width - 1 - index)
        offset = int(node_q[each, at.Q_PRICE]) - low
        inside = 0 <= offset < width
        position = side * width + (offset if side == 0 else width - 1 - offset)
        if before >= 0:
            node[each, at.N_POSITION] = position if inside else -1
            state.reg[at.STRAY] += not inside
        elif inside:
            state.reg[at.STRAY] -= 1
            _hang(state, int(each), position)


def _hang(state: State, each: int, position: int) -> None:
    """Hang a node at the back of its price: the level has just come back, so all nodes there are older."""
    state.node_q[each, at.Q_AHEAD], state.node_q[each, at.Q_TRADED] = at.QUEUE_UNKNOWN, 0.0
    state.node[each, at.N_POSITION] = position
    state.node[each, at.N_OLDER] = int(state.tail[position] & NODE_BITS) - 1
    state.tail[position] = each + 1
    state.mark[position] |= 1


def _find_own(state: State, width: int) -> None:
    for side in range(2):
        marked = np.flatnonzero(state.mark[side * width : (side + 1) * width] & 1)
        state.reg[at.OWN + side] = marked[-1] if len(marked) else -1
        state.reg[at.OWN_WORST + side] = marked[0] if len(marked) else width
