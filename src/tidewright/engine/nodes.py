"""Queue nodes: orders that joined one price after the same packet share one place in the queue.

A price knows its youngest node, and each node the next older one; a node holds its orders in order of arrival. One
that is full is followed by another for the same packet, which hears the same and so stands at the same place. The
best index with a node is kept for each side, so that most rows need one comparison to see that they concern no order.
"""

from typing import Final

import numpy as np
from numba import int64, uint64

from tidewright.engine.layout import (
    CFG_F_POWER,
    CFG_PARITY,
    CFG_QUEUE,
    EMPTIED,
    N_FIRST,
    N_OLDER,
    N_POSITION,
    NODE_FIELDS,
    NODE_FREE,
    NODES,
    OWN,
    OWN_WORST,
    P_SPOT,
    Q_AHEAD,
    Q_TRADED,
    Q_TURN,
    QUEUE_FRONT,
    QUEUE_RISK_AVERSE,
    RESTING_STATE,
    STRAY,
    TAIL_COLUMN,
    TAIL_OPEN,
    State,
)
from tidewright.engine.prefetch import fetch
from tidewright.engine.queues import ahead_after_level, ahead_on_arrival
from tidewright.engine.slots import state_of
from tidewright.market.hints import last_marked
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import WIDTH

NODE_BITS: Final = (1 << TAIL_COLUMN) - 1
COLUMN_BITS: Final = NODE_FIELDS - 1
NODE_SHIFT: Final = NODE_FIELDS.bit_length() - 1
assert NODE_FIELDS == 1 << NODE_SHIFT


@inlined
def youngest(state: State, position: int) -> int:
    """Youngest node of a price, -1: none."""
    return (state.tail[position] & NODE_BITS) - 1


@inlined
def open_tail(packet: int) -> int:
    """Upper half of the word of a price whose youngest node is of a packet and has room; no such word is 0."""
    return (2 * packet + 1) << TAIL_OPEN


@inlined
def stands(state: State, slot: int, each: int, column: int) -> bool:
    """Whether the order that joined at a column of a node still rests there: slots are used again, columns are not."""
    return state.place[slot, P_SPOT] == each * NODE_FIELDS + column and state_of(state, slot) == RESTING_STATE


@inlined
def node_of(state: State, slot: int) -> int:
    """Node that an order rests in."""
    return state.place[slot, P_SPOT] >> NODE_SHIFT  # a division would ask for its sign


@inlined
def join(state: State, slot: int, side: int, position: int, opened: int) -> None:
    """Let an order join the back of a price inside the window; ``opened``: :func:`open_tail` of the packet.

    Nothing here waits for the line of the node: where the order goes is all in the price's word.
    """
    tail = state.tail[position]
    if (tail ^ opened) >> TAIL_OPEN != 0:
        tail = opened | hang(state, side, position)
    state.tail[position] = tail + (int64(1) << TAIL_COLUMN)
    found = (tail & NODE_BITS) - 1
    column = (tail >> TAIL_COLUMN) & COLUMN_BITS
    state.node[found, uint64(column)] = slot
    state.resting[found] += 1
    state.place[slot, P_SPOT] = found * NODE_FIELDS + column


@inner
def hang(state: State, side: int, position: int) -> int:
    """Hang a fresh node at the back of a price: it is the youngest. The lower half of the price's word."""
    reg = state.reg
    index = position - side * reg[WIDTH]
    found = reg[NODE_FREE]
    free = found + 1 + int64(state.node[found, N_OLDER])
    reg[NODE_FREE] = free
    fetch(state.node, free, 0)
    fetch(state.node_q, free, 0)
    for column in range(N_FIRST, NODE_FIELDS):
        state.node[found, uint64(column)] = -1
    state.node[found, N_POSITION] = position
    state.node[found, N_OLDER] = youngest(state, position)
    state.node_q[found, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
    state.node_q[found, Q_TRADED] = 0.0
    state.node_q[found, Q_TURN] = 2 * reg[NODES] + side
    reg[NODES] += 1
    state.mark[position] |= 1
    reg[OWN + side] = max(reg[OWN + side], index)
    reg[OWN_WORST + side] = min(reg[OWN_WORST + side], index)
    return int64(N_FIRST) << TAIL_COLUMN | (found + 1)


@inlined
def leave(state: State, slot: int) -> None:
    """Take an order out of its queue; its node goes with the last one."""
    found = int64(node_of(state, slot))
    left = state.resting[found] - 1
    state.resting[found] = left
    if left == 0:
        drop(state, found)


@inlined
def leave_later(state: State, slot: int, count: int, does: int) -> int:
    """Take an order out of its queue, as one of many: no jump depends on whether it was the last of its node.

    Nodes that are empty then are noted for :func:`drop_emptied`, behind the ``count`` that are; how many there are now.
    ``does``: 0: nothing happens, without a jump.
    """
    found = int64(node_of(state, slot))
    left = state.resting[found] - does
    state.resting[found] = left
    state.listed[count] = found
    return count + (does & int64(left == 0))


@inner
def drop_emptied(state: State) -> None:
    """Give the nodes back that were left for good."""
    count = state.reg[EMPTIED]
    for i in range(count):
        fetch(state.node, int64(state.listed[uint64(i)]), 0)
    for i in range(count):  # the youngest of its price remembers it
        position = max(int64(state.node[int64(state.listed[uint64(i)]), N_POSITION]), int64(0))
        fetch(state.node, max(youngest(state, position), int64(0)), 0)
    for i in range(count):
        found = int64(state.listed[uint64(i)])
        if state.resting[found] == 0:  # nobody has come since
            drop(state, found)
    state.reg[EMPTIED] = 0


@inner
def drop(state: State, found: int) -> None:
    """Give a node back in which no order rests."""
    node = state.node
    reg = state.reg
    position = int64(node[found, N_POSITION])
    older = int64(node[found, N_OLDER])
    each = youngest(state, position) if position >= 0 else found
    if position < 0:
        reg[STRAY] -= 1
    elif each != found:
        while node[each, N_OLDER] != found:  # no more steps than a row of the level takes
            each = int64(node[each, N_OLDER])
        node[each, N_OLDER] = older
    else:
        state.tail[position] = older + 1  # nobody joins that one any more
        if older < 0:
            state.mark[position] &= 2
            side = int64(position >= reg[WIDTH])
            index = position - side * reg[WIDTH]
            if index == reg[OWN + side]:
                best = next_own(state, side, index - 1)
                reg[OWN + side] = best
                if best < 0:
                    reg[OWN_WORST + side] = reg[WIDTH]
    node[found, N_OLDER] = reg[NODE_FREE] - found - 1
    reg[NODE_FREE] = found


@inlined
def list_nodes(state: State, position: int) -> int:
    """Write the nodes of a price into the buffer, the youngest first; how many there are."""
    count = int64(0)
    each = youngest(state, position)
    while each >= 0:
        state.listed[count] = each
        count += 1
        each = int64(state.node[each, N_OLDER])
    return count


@inner
def next_own(state: State, side: int, index: int) -> int:
    """Best index at or worse than one that has a node; -1: none."""
    base = side * state.reg[WIDTH]
    worst = state.reg[OWN_WORST + side]
    while index - 7 >= worst:
        place = last_marked(state.mark, base + index - 7)
        if place >= 0:
            return index - 7 + place
        index -= 8
    while index >= worst:
        if state.mark[base + index] & 1:
            return index
        index -= 1
    return -1


@inner
def count_orders(state: State, side: int, worst: int) -> int:
    """How many orders of a side rest at an index or better."""
    count = int64(0)
    index = state.reg[OWN + side]
    while index >= worst and index >= 0:
        each = youngest(state, side * state.reg[WIDTH] + index)
        while each >= 0:
            count += state.resting[each]
            each = int64(state.node[each, N_OLDER])
        index = next_own(state, side, index - 1)
    return count


@inner
def requeue(state: State, position: int, old: int, new: int) -> None:
    """Apply a level's row to the nodes of its price."""
    node_q = state.node_q
    model = state.cfg[CFG_QUEUE]
    each = youngest(state, position)
    plain = model == QUEUE_RISK_AVERSE or model == QUEUE_FRONT
    if plain and state.cfg[CFG_PARITY] == 0:  # every queue hears of all rows, so an older node never has more ahead
        while each >= 0 and node_q[each, Q_AHEAD] > np.float64(new):
            node_q[each, Q_AHEAD] = 0.0 if model == QUEUE_FRONT else np.float64(new)
            each = int64(state.node[each, N_OLDER])
        return
    power = state.cfg_f[CFG_F_POWER]
    while each >= 0:
        node_q[each, Q_AHEAD] = ahead_after_level(model, power, node_q[each, Q_AHEAD], node_q[each, Q_TRADED], old, new)
        node_q[each, Q_TRADED] = 0.0
        each = int64(state.node[each, N_OLDER])


@inner
def rejoin(state: State) -> None:
    """After a gap: the orders of each price go to its back, in their order of arrival."""
    for side in range(2):
        index = state.reg[OWN + side]
        while index >= 0:
            rejoin_price(state, side * state.reg[WIDTH] + index)
            index = next_own(state, side, index - 1)


@inlined
def rejoin_price(state: State, position: int) -> None:
    """Put the nodes of one price at its back, as if all had been hung just now."""
    each = youngest(state, position)
    state.tail[position] = each + 1
    while each >= 0:
        state.node_q[each, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
        state.node_q[each, Q_TRADED] = 0.0
        each = int64(state.node[each, N_OLDER])
