"""Queue nodes: orders that joined one price after the same packet share one place in the queue.

The nodes of a price form a ring in order of arrival, the orders of a node a list in order of arrival. The best index
with a node is kept for each side, so that most rows need one comparison to see that they concern no order.
"""

from typing import Final

from numba import int64, njit

from tidewright.engine.layout import (
    CFG_F_POWER,
    CFG_QUEUE,
    H_PACKET,
    H_POSITION,
    H_PRICE,
    H_SIDE,
    N_FIRST,
    N_LAST,
    N_NEXT,
    N_PREV,
    NODE_FREE,
    OWN,
    OWN_WORST,
    P_NEXT,
    P_NODE,
    P_PREV,
    PACKET,
    Q_AHEAD,
    Q_TRADED,
    STRAY,
    TAIL_NODE,
    TAIL_PACKET,
    State,
)
from tidewright.engine.queues import ahead_after_level, ahead_on_arrival
from tidewright.market.ladder import WIDTH, Ladder, price_at

LOW_BITS: Final = 0x7FFF_FFFF  # no node is the youngest of its price for 2**31 packets


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def join(state: State, slot: int, side: int, index: int) -> None:
    """Let an order join the back of a price inside the window."""
    node = state.node
    place = state.place
    position = side * state.reg[WIDTH] + index
    found = int64(state.tail[position, TAIL_NODE]) - 1
    if found < 0 or state.tail[position, TAIL_PACKET] != state.reg[PACKET] & LOW_BITS:
        found = hang(state, side, position)
    last = int64(node[found, N_LAST])
    place[slot, P_NODE] = found
    place[slot, P_PREV] = last
    place[slot, P_NEXT] = -1
    node[found, N_LAST] = slot
    if last >= 0:
        place[last, P_NEXT] = slot
    else:
        node[found, N_FIRST] = slot


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def hang(state: State, side: int, position: int) -> int:
    """Hang a fresh node at the end of the ring of a price: it is the youngest."""
    node = state.node
    reg = state.reg
    index = position - side * reg[WIDTH]
    found = reg[NODE_FREE]
    reg[NODE_FREE] = node[found, N_NEXT]
    state.home[found, H_POSITION] = position
    state.home[found, H_PACKET] = reg[PACKET]
    state.home[found, H_PRICE] = price_at(Ladder(state.qty, state.reg), side, index)
    state.home[found, H_SIDE] = side
    node[found, N_LAST] = -1
    state.node_q[found, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
    state.node_q[found, Q_TRADED] = 0.0
    last = int64(state.tail[position, TAIL_NODE]) - 1
    state.tail[position, TAIL_NODE] = found + 1
    state.tail[position, TAIL_PACKET] = reg[PACKET] & LOW_BITS
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
    place = state.place
    found = int64(place[slot, P_NODE])
    before = int64(place[slot, P_PREV])
    after = int64(place[slot, P_NEXT])
    if before >= 0:
        place[before, P_NEXT] = after
    else:
        state.node[found, N_FIRST] = after
    if after >= 0:
        place[after, P_PREV] = before
    else:
        state.node[found, N_LAST] = before
        if before < 0:
            drop(state, found)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def drop(state: State, found: int) -> None:
    """Give a node back in which no order rests."""
    node = state.node
    reg = state.reg
    position = state.home[found, H_POSITION]
    if position < 0:
        reg[STRAY] -= 1
    else:
        after = int64(node[found, N_NEXT])
        if after == found:
            state.tail[position, TAIL_NODE] = 0
            state.mark[position] &= 2
            side = state.home[found, H_SIDE]
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
            if state.tail[position, TAIL_NODE] == found + 1:
                state.tail[position, TAIL_NODE] = before + 1
                state.tail[position, TAIL_PACKET] = state.home[before, H_PACKET] & LOW_BITS
    state.home[found, H_SIDE] = -1
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
        last = int64(state.tail[side * state.reg[WIDTH] + index, TAIL_NODE]) - 1
        each = last
        while True:
            slot = int64(state.node[each, N_FIRST])
            while slot >= 0:
                count += 1
                slot = int64(state.place[slot, P_NEXT])
            each = int64(state.node[each, N_NEXT])
            if each == last:
                break
        index = next_own(state, side, index - 1)
    return count


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def requeue(state: State, position: int, old: int, new: int) -> None:
    """Apply a level's row to the nodes of its price."""
    node_q = state.node_q
    last = int64(state.tail[position, TAIL_NODE]) - 1
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
    """After a gap: the orders of each price go to its back, in their order of arrival, as one node."""
    for side in range(2):
        index = state.reg[OWN + side]
        while index >= 0:
            rejoin_price(state, side * state.reg[WIDTH] + index)
            index = next_own(state, side, index - 1)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def rejoin_price(state: State, position: int) -> None:
    """Merge the nodes of one price into its oldest and put it at the back."""
    node = state.node
    place = state.place
    oldest = int64(node[state.tail[position, TAIL_NODE] - 1, N_NEXT])
    each = int64(node[oldest, N_NEXT])
    while each != oldest:
        slot = int64(node[each, N_FIRST])
        last = node[oldest, N_LAST]
        place[last, P_NEXT] = slot
        place[slot, P_PREV] = last
        node[oldest, N_LAST] = node[each, N_LAST]
        while slot >= 0:
            place[slot, P_NODE] = oldest
            slot = int64(place[slot, P_NEXT])
        after = int64(node[each, N_NEXT])
        state.home[each, H_SIDE] = -1
        node[each, N_NEXT] = state.reg[NODE_FREE]
        state.reg[NODE_FREE] = each
        each = after
    state.tail[position, TAIL_NODE] = oldest + 1
    state.tail[position, TAIL_PACKET] = state.reg[PACKET] & LOW_BITS
    node[oldest, N_NEXT] = oldest
    node[oldest, N_PREV] = oldest
    state.home[oldest, H_PACKET] = state.reg[PACKET]
    state.node_q[oldest, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
    state.node_q[oldest, Q_TRADED] = 0.0
