"""Queue nodes: orders that joined one price after the same packet share one place in the queue.

The nodes of a price form a ring in order of arrival, the orders of a node a list in order of arrival. The best index
with a node is kept for each side, so that most rows need one comparison to see that they concern no order.
"""

import numpy as np
from numba import njit

from tidewright.engine.layout import (
    CFG_F_POWER,
    CFG_QUEUE,
    N_FIRST,
    N_LAST,
    N_NEXT,
    N_PACKET,
    N_POSITION,
    N_PREV,
    N_PRICE,
    N_SIDE,
    NODE_FREE,
    O_NEXT,
    O_NODE,
    O_PREV,
    OWN,
    OWN_WORST,
    PACKET,
    Q_AHEAD,
    Q_TRADED,
    STRAY,
    State,
)
from tidewright.engine.queues import ahead_after_level, ahead_on_arrival
from tidewright.market.ladder import WIDTH, Ladder, price_at


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def join(state: State, slot: int, side: int, index: int) -> None:
    """Let an order join the back of a price inside the window."""
    node = state.node
    position = side * state.reg[WIDTH] + index
    head = np.int64(state.head[position])
    found = np.int64(-1)
    if head >= 0 and node[node[head, N_PREV], N_PACKET] == state.reg[PACKET]:
        found = node[head, N_PREV]
    else:
        found = state.reg[NODE_FREE]
        state.reg[NODE_FREE] = node[found, N_NEXT]
        node[found, N_PACKET] = state.reg[PACKET]
        node[found, N_PRICE] = price_at(Ladder(state.qty, state.reg), side, index)
        node[found, N_SIDE] = side
        node[found, N_FIRST] = -1
        node[found, N_LAST] = -1
        state.node_q[found, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
        state.node_q[found, Q_TRADED] = 0.0
        hang(state, found, side, index)
    order = state.order
    last = node[found, N_LAST]
    order[slot, O_NODE] = found
    order[slot, O_NEXT] = -1
    order[slot, O_PREV] = last
    if last >= 0:
        order[last, O_NEXT] = slot
    else:
        node[found, N_FIRST] = slot
    node[found, N_LAST] = slot


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def hang(state: State, found: int, side: int, index: int) -> None:
    """Hang a node at the end of the ring of its price: it is the youngest."""
    node = state.node
    reg = state.reg
    position = side * reg[WIDTH] + index
    node[found, N_POSITION] = position
    head = np.int64(state.head[position])
    if head < 0:
        state.head[position] = found
        node[found, N_NEXT] = found
        node[found, N_PREV] = found
        state.mark[position] |= 1
        if index > reg[OWN + side]:
            reg[OWN + side] = index
        if index < reg[OWN_WORST + side]:
            reg[OWN_WORST + side] = index
        return
    last = node[head, N_PREV]
    node[last, N_NEXT] = found
    node[head, N_PREV] = found
    node[found, N_PREV] = last
    node[found, N_NEXT] = head


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def leave(state: State, slot: int) -> None:
    """Take an order out of its queue; its node goes with the last one."""
    node = state.node
    order = state.order
    found = order[slot, O_NODE]
    before = order[slot, O_PREV]
    after = order[slot, O_NEXT]
    if before >= 0:
        order[before, O_NEXT] = after
    else:
        node[found, N_FIRST] = after
    if after >= 0:
        order[after, O_PREV] = before
    else:
        node[found, N_LAST] = before
    order[slot, O_NODE] = -1
    if node[found, N_FIRST] < 0:
        drop(state, found)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def drop(state: State, found: int) -> None:
    """Give an empty node back."""
    node = state.node
    reg = state.reg
    position = node[found, N_POSITION]
    if position < 0:
        reg[STRAY] -= 1
    else:
        after = node[found, N_NEXT]
        if after == found:
            state.head[position] = -1
            state.mark[position] &= 2
            side = node[found, N_SIDE]
            index = position - side * reg[WIDTH]
            if index == reg[OWN + side]:
                best = next_own(state, side, index - 1)
                reg[OWN + side] = best
                if best < 0:
                    reg[OWN_WORST + side] = reg[WIDTH]
        else:
            before = node[found, N_PREV]
            node[before, N_NEXT] = after
            node[after, N_PREV] = before
            if state.head[position] == found:
                state.head[position] = after
    node[found, N_SIDE] = -1
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
def requeue(state: State, position: int, old: int, new: int) -> None:
    """Apply a level's row to the nodes of its price."""
    node = state.node
    head = np.int64(state.head[position])
    model = state.cfg[CFG_QUEUE]
    power = state.cfg_f[CFG_F_POWER]
    each = head
    while True:
        state.node_q[each, Q_AHEAD] = ahead_after_level(
            model, power, state.node_q[each, Q_AHEAD], state.node_q[each, Q_TRADED], old, new
        )
        state.node_q[each, Q_TRADED] = 0.0
        each = node[each, N_NEXT]
        if each == head:
            break


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def rejoin(state: State) -> None:
    """After a gap: the orders of each price go to its back, in their order of arrival, as one node."""
    for side in range(2):
        index = state.reg[OWN + side]
        while index >= 0:
            rejoin_price(state, side * state.reg[WIDTH] + index)
            index = next_own(state, side, index - 1)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def rejoin_price(state: State, position: int) -> None:
    """Merge the nodes of one price into its first and put it at the back."""
    node = state.node
    order = state.order
    head = np.int64(state.head[position])
    each = node[head, N_NEXT]
    while each != head:
        slot = node[each, N_FIRST]
        order[slot, O_PREV] = node[head, N_LAST]
        order[node[head, N_LAST], O_NEXT] = slot
        node[head, N_LAST] = node[each, N_LAST]
        while slot >= 0:
            order[slot, O_NODE] = head
            slot = order[slot, O_NEXT]
        after = node[each, N_NEXT]
        node[each, N_SIDE] = -1
        node[each, N_NEXT] = state.reg[NODE_FREE]
        state.reg[NODE_FREE] = each
        each = after
    node[head, N_NEXT] = head
    node[head, N_PREV] = head
    node[head, N_PACKET] = state.reg[PACKET]
    state.node_q[head, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
    state.node_q[head, Q_TRADED] = 0.0
