"""Queue nodes: orders that joined one price after the same packet share one place in the queue.

The nodes of a price form a ring in order of arrival, the orders of a node a list in order of arrival. The best index
with a node is kept for each side, so that most rows need one comparison to see that they concern no order.
"""

from numba import int64, njit

from tidewright.engine.layout import (
    BURIED,
    CFG_F_POWER,
    CFG_QUEUE,
    CFG_STRATEGY,
    N_COUNT,
    N_FIRST,
    N_NEXT,
    N_PACKET,
    N_POSITION,
    N_PREV,
    N_PRICE,
    N_SIDE,
    NODE_FREE,
    O_NEXT,
    O_NODE,
    O_STATE,
    OWN,
    OWN_WORST,
    PACKET,
    Q_AHEAD,
    Q_TRADED,
    RESTING_STATE,
    STRAY,
    State,
)
from tidewright.engine.queues import ahead_after_level, ahead_on_arrival
from tidewright.engine.slots import give_back
from tidewright.market.ladder import WIDTH, Ladder, price_at


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def join(state: State, slot: int, side: int, index: int) -> None:
    """Let an order join the back of a price inside the window."""
    node = state.node
    position = side * state.reg[WIDTH] + index
    head = int64(state.head[position]) - 1
    found = int64(-1)
    if head >= 0 and node[node[head, N_PREV], N_PACKET] == state.reg[PACKET]:
        found = node[head, N_PREV]
    else:
        found = state.reg[NODE_FREE]
        state.reg[NODE_FREE] = node[found, N_NEXT]
        node[found, N_PACKET] = state.reg[PACKET]
        node[found, N_PRICE] = price_at(Ladder(state.qty, state.reg), side, index)
        node[found, N_SIDE] = side
        node[found, N_FIRST] = -1
        node[found, N_COUNT] = 0
        state.node_q[found, Q_AHEAD] = ahead_on_arrival(state.cfg[CFG_QUEUE], state.qty[position])
        state.node_q[found, Q_TRADED] = 0.0
        hang(state, found, side, index)
    enlist(state, found, slot)


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def enlist(state: State, found: int, slot: int) -> None:
    """Put an order into a node's list. A strategy has one order a price, so its place does not matter: the front."""
    node = state.node
    order = state.order
    first = node[found, N_FIRST]
    node[found, N_COUNT] += 1
    order[slot, O_NODE] = found
    if first < 0 or state.cfg[CFG_STRATEGY] >= 0:
        order[slot, O_NEXT] = first
        node[found, N_FIRST] = slot
        return
    while order[first, O_NEXT] >= 0:
        first = order[first, O_NEXT]
    order[first, O_NEXT] = slot
    order[slot, O_NEXT] = -1


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def hang(state: State, found: int, side: int, index: int) -> None:
    """Hang a node at the end of the ring of its price: it is the youngest."""
    node = state.node
    reg = state.reg
    position = side * reg[WIDTH] + index
    node[found, N_POSITION] = position
    head = int64(state.head[position]) - 1
    if head < 0:
        state.head[position] = found + 1
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


@njit(cache=True, _nrt=False, inline="always")  # type: ignore[misc]
def leave(state: State, slot: int) -> None:
    """An order no longer rests: its node goes with the last one, until then the order stays in the list unheeded."""
    found = state.order[slot, O_NODE]
    state.node[found, N_COUNT] -= 1
    if state.node[found, N_COUNT] == 0:
        drop(state, found)


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def sweep(state: State, found: int) -> None:
    """Take orders that no longer rest out of a node's list."""
    order = state.order
    before = int64(-1)
    slot = state.node[found, N_FIRST]
    while slot >= 0:
        after = order[slot, O_NEXT]
        if order[slot, O_STATE] == RESTING_STATE:
            before = slot
        else:
            if before >= 0:
                order[before, O_NEXT] = after
            else:
                state.node[found, N_FIRST] = after
            order[slot, O_NODE] = -1
            if order[slot, O_STATE] == BURIED:
                give_back(state, slot)
        slot = after


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def drop(state: State, found: int) -> None:
    """Give a node back in which no order rests, and the slots it held."""
    slot = state.node[found, N_FIRST]
    while slot >= 0:
        after = state.order[slot, O_NEXT]
        state.order[slot, O_NODE] = -1
        if state.order[slot, O_STATE] == BURIED:
            give_back(state, slot)
        slot = after
    node = state.node
    reg = state.reg
    position = node[found, N_POSITION]
    if position < 0:
        reg[STRAY] -= 1
    else:
        after = node[found, N_NEXT]
        if after == found:
            state.head[position] = 0
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
            if state.head[position] == found + 1:
                state.head[position] = after + 1
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
    head = int64(state.head[position]) - 1
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
    head = int64(state.head[position]) - 1
    last = node[head, N_FIRST]
    while order[last, O_NEXT] >= 0:
        last = order[last, O_NEXT]
    each = node[head, N_NEXT]
    while each != head:
        slot = node[each, N_FIRST]
        order[last, O_NEXT] = slot
        while slot >= 0:
            order[slot, O_NODE] = head
            last = slot
            slot = order[slot, O_NEXT]
        node[head, N_COUNT] += node[each, N_COUNT]
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
