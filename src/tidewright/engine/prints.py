"""Fills from the tape: prints that reach resting orders, and opposite levels that touch them."""

import math

import numpy as np
from numba import int64, uint64

from tidewright.engine.arrivals import room_for
from tidewright.engine.layout import (
    CFG_PARITY,
    DONE,
    EPOCH,
    F_VOLUME,
    F_WIN,
    L_CLOSED,
    L_KNOWN,
    L_POSITION,
    L_PRINT,
    L_USED,
    N_FIRST,
    NODE_FIELDS,
    O_LEAVES,
    O_PRICE,
    OWN,
    PRINTS,
    Q_AHEAD,
    Q_TRADED,
    QUEUE_UNKNOWN,
    RESTING,
    State,
)
from tidewright.engine.nodes import count_orders, list_nodes, next_own, stands
from tidewright.engine.orders import fill
from tidewright.engine.prefetch import fetch
from tidewright.engine.slots import lane_of
from tidewright.engine.taken import take_from, taken_of
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, WIDTH, Ladder, next_level


@inlined
def on_print(state: State, side: int, index: int, qty: int, ts: int, known: int) -> None:
    """Let a print meet the resting orders of a side, best price first, each lane by itself.

    Parameters
    ----------
    side
        Side of the orders it meets.
    index
        Index of the print's price on that side; may lie outside the window.
    qty
        Lots of the print.
    """
    reg = state.reg
    own = reg[OWN + side]
    if own < index:
        return
    reg[PRINTS] += 1
    base = side * reg[WIDTH]
    while own >= 0 and own > index:
        fill_price(state, base + own, qty, own > index, ts, known)
        own = next_own(state, side, own - 1)
    if own == index and own >= 0:
        fill_price(state, base + own, qty, own > index, ts, known)


@inner
def fill_price(state: State, position: int, qty: int, beyond: bool, ts: int, known: int) -> None:
    """Let a print of some lots reach the orders of one price; ``beyond``: the print's price is worse than theirs."""
    for i in range(list_nodes(state, position) - 1, -1, -1):  # the oldest first
        each = int64(state.listed[i])
        ahead = 0.0 if beyond else state.node_q[each, Q_AHEAD]
        state.node_q[each, Q_AHEAD] = 0.0 if beyond else max(0.0, ahead - np.float64(qty))
        if not beyond:
            state.node_q[each, Q_TRADED] += np.float64(qty)
        if ahead >= QUEUE_UNKNOWN:
            state.node_q[each, Q_AHEAD] = ahead
        elif ahead < np.float64(qty):
            fill_node(state, each, qty - int64(math.ceil(ahead)), ts, known)


@inlined
def fill_node(state: State, each: int, available: int, ts: int, known: int) -> None:
    """Give each lane in a node what a print has left for it."""
    node = state.node
    order = state.order
    fetch_lanes(state, each)
    for column in range(N_FIRST, NODE_FIELDS):
        slot = int64(node[each, uint64(column)])
        if slot < 0:
            break
        if not stands(state, slot, each, int64(column)):
            continue
        lane = lane_of(state, slot)
        if state.lane[lane, L_PRINT] != state.reg[PRINTS]:
            state.lane[lane, L_PRINT] = state.reg[PRINTS]
            state.lane[lane, L_USED] = 0
        lots = min(order[slot, O_LEAVES], available - state.lane[lane, L_USED])
        if available > 0 and state.cfg[CFG_PARITY] == 1:
            lots = order[slot, O_LEAVES]
        if lots > 0:
            state.lane[lane, L_USED] += lots
            fill(state, slot, lots, order[slot, O_PRICE], int64(1), ts, known)


@inner
def fetch_lanes(state: State, each: int) -> None:
    """Fetch what the fills of a node's orders will touch: orders first, then their lanes."""
    for column in range(N_FIRST, NODE_FIELDS):
        slot = int64(state.node[each, uint64(column)])
        if slot < 0:
            break
        fetch(state.place, slot, 0)
        fetch(state.order, slot, 0)
    for column in range(N_FIRST, NODE_FIELDS):
        slot = int64(state.node[each, uint64(column)])
        if slot < 0:
            break
        if stands(state, slot, each, int64(column)):
            lane = int64(lane_of(state, slot))
            fetch(state.lane, lane, L_KNOWN)
            fetch(state.lane, lane, L_POSITION)
            fetch(state.lane, lane, L_CLOSED)
            fetch(state.lane_f, lane, F_VOLUME)
            fetch(state.lane_f, lane, F_WIN)


@inlined
def touch_room(state: State) -> int:
    """Whether the pools can hold the fills of the touches at a packet end; see ``room_for``."""
    bids, asks = levels_touching(state, int64(0)), levels_touching(state, int64(1))
    most = (bids + asks) * state.reg[RESTING]
    if room_for(state, most, most) == DONE:  # most often; to count who rests where takes longer
        return DONE
    last = state.reg[WIDTH] - 1
    fills = bids * count_orders(state, int64(0), last - state.reg[BEST + 1])
    fills += asks * count_orders(state, int64(1), last - state.reg[BEST])
    return room_for(state, fills, fills)


@inlined
def levels_touching(state: State, side: int) -> int:
    """How many levels of the other side stand at or through the best own order of a side."""
    if state.reg[OWN + side] < 0:
        return int64(0)
    reach = state.reg[WIDTH] - 1 - state.reg[OWN + side]
    level = state.reg[BEST + 1 - side]
    count = int64(0)
    while level >= reach:
        count += 1
        level = next_level(Ladder(state.qty, state.reg), int64(1 - side), level - 1)
    return count


@inner
def touch(state: State, ts: int, known: int) -> None:
    """Fill own orders that a renewed opposite level reaches, at their price, from the best price and level outwards."""
    reg = state.reg
    if state.cfg[CFG_PARITY] == 1:
        return  # judged row by row, see touch_whole
    for side in range(2):
        other = int64(1 - side)
        base = other * reg[WIDTH]
        level = reg[BEST + other]
        while level >= 0 and reg[OWN + side] >= 0 and level >= reg[WIDTH] - 1 - reg[OWN + side]:
            if state.epoch[base + level] == reg[EPOCH]:
                touch_level(state, int64(side), base + level, reg[WIDTH] - 1 - level, ts, known)
            level = next_level(Ladder(state.qty, state.reg), other, level - 1)


@inlined
def touch_level(state: State, side: int, level_position: int, reach: int, ts: int, known: int) -> None:
    """Let one opposite level fill own orders at or through its price, index ``reach`` of their side."""
    node = state.node
    order = state.order
    own = state.reg[OWN + side]
    while own >= reach:
        for i in range(list_nodes(state, side * state.reg[WIDTH] + own) - 1, -1, -1):
            each = int64(state.listed[i])
            fetch_lanes(state, each)
            for column in range(N_FIRST, NODE_FIELDS):
                slot = int64(node[each, uint64(column)])
                if slot < 0:
                    break
                if not stands(state, slot, each, int64(column)):
                    continue
                lane = lane_of(state, slot)
                net = state.qty[level_position] - taken_of(state, lane, level_position)
                lots = min(order[slot, O_LEAVES], net)
                if lots > 0:
                    take_from(state, lane, level_position, lots)
                    fill(state, slot, lots, order[slot, O_PRICE], int64(1), ts, known)
        own = next_own(state, side, own - 1)


@inner
def touch_whole(state: State, side: int, reach: int, ts: int, known: int) -> None:
    """Fill every own order of a side at or better than an index as a whole: parity's touch by one row."""
    node = state.node
    order = state.order
    own = state.reg[OWN + side]
    while own >= 0 and own >= reach:
        for i in range(list_nodes(state, side * state.reg[WIDTH] + own) - 1, -1, -1):
            each = int64(state.listed[i])
            for column in range(N_FIRST, NODE_FIELDS):
                slot = int64(node[each, uint64(column)])
                if slot < 0:
                    break
                if stands(state, slot, each, int64(column)):
                    fill(state, slot, order[slot, O_LEAVES], order[slot, O_PRICE], int64(1), ts, known)
        own = next_own(state, side, own - 1)
