"""Queue nodes: orders that joined one price after the same packet share one place in the queue.

The nodes of a price form a ring in order of arrival; a node holds its orders in order of arrival. One that is full is
followed by another for the same packet, which hears the same and so stands at the same place. The best index with a
node is kept for each side, so that most rows need one comparison to see that they concern no order.
"""

from typing import Final

from numba import int64, njit, uint64

from tidewright.engine.layout import (
    CFG_F_POWER,
    CFG_QUEUE,
    H_PACKET,
    H_TURN,
    N_END,
    N_FIRST,
    N_NEXT,
    N_POSITION,
    N_PREV,
    N_RESTING,
    NODE_FIELDS,
    NODE_FREE,
    NODES,
    OWN,
    OWN_WORST,
    P_COLUMN,
    P_NODE,
    PACKET,
    Q_AHEAD,
    Q_TRADED,
    STRAY,
    TAIL_SHIFT,
    State,
)
from tidewright.engine.prefetch import fetch
from tidewright.engine.queues import ahead_after_level, ahead_on_arrival
from tidewright.market.ladder import WIDTH

LOW_BITS: Final = 0x7FFF_FFFF  # no node is the youngest of its price for 2**31 packets


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def youngest(state: State, position: int) -> int:
    """Youngest node of a price, -1: none."""
    return (state.tail[position] & LOW_BITS) - 1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def join(state: State, slot: int, side: int, position: int, packet: int) -> None:
    """Let an order join the back of a price inside the window; ``packet``: the register PACKET."""
    node = state.node
    tail = state.tail[position]
    found = (tail & LOW_BITS) - 1
    if tail >> TAIL_SHIFT != packet & LOW_BITS or node[found, N_END] == NODE_FIELDS:
        found = hang(state, side, position)
    column = node[found, N_END]
    node[found, uint64(column)] = slot
    node[found, N_END] = column + 1
    node[found, N_RESTING] += 1
    state.place[slot, P_NODE] = found
    state.place[slot, P_COLUMN] = column


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def set_youngest(state: State, position: int, found: int, packet: int) -> None:
    """Note a node as the youngest of a price, with its packet."""
    state.tail[position] = (packet & LOW_BITS) << TAIL_SHIFT | (found + 1)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def hang(state: State, side: int, position: int) -> int:
    """Hang a fresh node at the end of the ring of a price: it is the youngest."""
    node = state.node
    reg = state.reg
    index = position - side * reg[WIDTH]
    found = reg[NODE_FREE]
    free = int64(node[found, N_NEXT])
    reg[NODE_FREE] = free
    fetch(node, free, 0)
    fetch(state.home, free, 0)
    fetch(state.node_q, free, 0)
    node[found, N_POSITION] = position
    state.home[found, H_PACKET] = reg[PACKET]
    state.home[found, H_TURN] = 2 * reg[NODES] + side
    reg[NODES] += 1
    node[found, N_RESTING] = 0
    node[found, N_END] = N_FIRST
    state.node_q[found, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
    state.node_q[found, Q_TRADED] = 0.0
    last = youngest(state, position)
    set_youngest(state, position, found, reg[PACKET])
    if last < 0:
        node[found, N_NEXT] = found
        node[found, N_PREV] = found
        state.mark[position] |= 1
        if index > reg[OWN + side]:
            reg[OWN + side] = index
        if index < reg[OWN_WORST + side]:
            reg[OWN_WORST + side] = index
        return found
    first = int64(node[last, N_NEXT])
    node[last, N_NEXT] = found
    node[first, N_PREV] = found
    node[found, N_PREV] = last
    node[found, N_NEXT] = first
    return found


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def leave(state: State, slot: int) -> None:
    """Take an order out of its queue; its node goes with the last one."""
    node = state.node
    found = int64(state.place[slot, P_NODE])
    node[found, uint64(state.place[slot, P_COLUMN])] = -1
    left = node[found, N_RESTING] - 1
    node[found, N_RESTING] = left
    if left == 0:
        drop(state, found)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def drop(state: State, found: int) -> None:
    """Give a node back in which no order rests."""
    node = state.node
    reg = state.reg
    position = int64(node[found, N_POSITION])
    if position < 0:
        reg[STRAY] -= 1
    else:
        after = int64(node[found, N_NEXT])
        if after == found:
            state.tail[position] = 0
            state.mark[position] &= 2
            side = int64(position >= reg[WIDTH])
            index = position - side * reg[WIDTH]
            if index == reg[OWN + side]:
                best = next_own(state, side, index - 1)
                reg[OWN + side] = best
                if best < 0:
                    reg[OWN_WORST + side] = reg[WIDTH]
        else:
            before = int64(node[found, N_PREV])
            node[before, N_NEXT] = after
            node[after, N_PREV] = before
            if youngest(state, position) == found:
                set_youngest(state, position, before, state.home[before, H_PACKET])
    node[found, N_NEXT] = reg[NODE_FREE]
    reg[NODE_FREE] = found


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def next_own(state: State, side: int, index: int) -> int:
    """Best index at or worse than one that has a node; -1: none."""
    base = side * state.reg[WIDTH]
    worst = state.reg[OWN_WORST + side]
    while index >= worst:
        if state.mark[base + index] & 1:
            return index
        index -= 1
    return -1


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def count_orders(state: State, side: int, worst: int) -> int:
    """How many orders of a side rest at an index or better."""
    count = int64(0)
    index = state.reg[OWN + side]
    while index >= worst and index >= 0:
        last = youngest(state, side * state.reg[WIDTH] + index)
        each = last
        while True:
            count += state.node[each, N_RESTING]
            each = int64(state.node[each, N_NEXT])
            if each == last:
                break
        index = next_own(state, side, index - 1)
    return count


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def requeue(state: State, position: int, old: int, new: int) -> None:
    """Apply a level's row to the nodes of its price."""
    node_q = state.node_q
    last = youngest(state, position)
    model = state.cfg[CFG_QUEUE]
    power = state.cfg_f[CFG_F_POWER]
    each = last
    while True:
        node_q[each, Q_AHEAD] = ahead_after_level(model, power, node_q[each, Q_AHEAD], node_q[each, Q_TRADED], old, new)
        node_q[each, Q_TRADED] = 0.0
        each = int64(state.node[each, N_NEXT])
        if each == last:
            break


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def rejoin(state: State) -> None:
    """After a gap: the orders of each price go to its back, in their order of arrival."""
    for side in range(2):
        index = state.reg[OWN + side]
        while index >= 0:
            rejoin_price(state, side * state.reg[WIDTH] + index)
            index = next_own(state, side, index - 1)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def rejoin_price(state: State, position: int) -> None:
    """Put the nodes of one price at its back, as if all had been hung just now."""
    last = youngest(state, position)
    set_youngest(state, position, last, state.reg[PACKET])
    each = last
    while True:
        state.home[each, H_PACKET] = state.reg[PACKET]
        state.node_q[each, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
        state.node_q[each, Q_TRADED] = 0.0
        each = int64(state.node[each, N_NEXT])
        if each == last:
            break
