"""Decisions: when they are taken, and on which view of the market.

What a decision makes of every lane (:mod:`tidewright.engine.requote`) may wait until its orders arrive, as long as
nobody looks: a lane knows the same then, and is visited once instead of three times.
"""

from typing import Final

from numba import int64

from tidewright.engine.latency import entry_at
from tidewright.engine.layout import (
    ACT_AT,
    B_ARRIVAL,
    BATCH_HEAD,
    BATCH_TAIL,
    CAPTURE_HEAD,
    CAPTURE_TAIL,
    CFG_CURVE,
    CFG_CYCLE,
    CFG_DAY_OFFSET,
    CFG_RECORD,
    CFG_STRATEGY,
    CURVE_COUNT,
    DAY,
    DECISIONS,
    DONE,
    FIRST_MID_AT,
    GROW_CAPTURE,
    GROW_CURVE,
    KNOWN_MID2,
    LAST_ARRIVAL,
    MID2,
    NEVER,
    NEW_DAY,
    NEXT_CAPTURE,
    NEXT_DECISION,
    PENDING,
    START,
    V_ASK,
    V_ASK_QTY,
    V_BID,
    V_BID_QTY,
    V_MID2,
    V_UNTIL,
    V_WHOLE,
    WHOLE,
    State,
)
from tidewright.engine.requote import act
from tidewright.engine.sampling import value_capital
from tidewright.market.features import observe_mid
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, LOW, WIDTH

DAY_NS: Final = 86_400_000_000_000


@inner
def capture_views(state: State, before: int) -> int:
    """Keep the view of all decisions before a time: the next packet is known no earlier, so the view is complete."""
    reg = state.reg
    if state.cfg[CFG_STRATEGY] < 0:
        reg[NEXT_CAPTURE] = NEVER
        return DONE
    size = len(state.capture)
    tail = reg[CAPTURE_TAIL]
    if (tail + 1) % size == reg[CAPTURE_HEAD]:
        return GROW_CAPTURE
    bid = reg[BEST]
    ask = reg[BEST + 1]
    width = reg[WIDTH]
    row = state.capture[tail]
    row[V_UNTIL] = before
    row[V_WHOLE] = reg[WHOLE]
    row[V_MID2] = reg[MID2]
    if reg[WHOLE] == 1:
        row[V_BID] = reg[LOW] + bid
        row[V_ASK] = reg[LOW] + width - 1 - ask
        row[V_BID_QTY] = state.qty[bid]
        row[V_ASK_QTY] = state.qty[width + ask]
    reg[CAPTURE_TAIL] = (tail + 1) % size
    cycle = state.cfg[CFG_CYCLE]
    steps = max(int64(1), -(-(before - reg[START]) // cycle))
    reg[NEXT_CAPTURE] = reg[START] + steps * cycle
    return DONE


@inner
def decide(state: State, now: int) -> int:
    """Take the decision of all lanes; GROW_... and nothing has happened if there is no room.

    Where its orders arrive before the next decision, the lanes act on it when they do; else at once, as they do where
    the log shall show the order of all they send.
    """
    reg = state.reg
    if state.cfg[CFG_CURVE] == 1 and reg[CURVE_COUNT] == len(state.curve_ts):
        return GROW_CURVE
    size = len(state.capture)
    while state.capture[reg[CAPTURE_HEAD], V_UNTIL] <= now:
        reg[CAPTURE_HEAD] = (reg[CAPTURE_HEAD] + 1) % size
    seen = state.capture[reg[CAPTURE_HEAD]]
    mid2 = seen[V_MID2]
    if mid2 > 0 and reg[KNOWN_MID2] == 0:
        value_capital(state, mid2)
        reg[FIRST_MID_AT] = now
    reg[KNOWN_MID2] = mid2
    if seen[V_WHOLE] == 1:
        observe_mid(state.features, mid2)
    day = (now + state.cfg[CFG_DAY_OFFSET]) // DAY_NS
    reg[NEW_DAY] = int64(day != reg[DAY])
    reg[DAY] = day
    reg[PENDING] = now
    at = max(now + entry_at(state, now), reg[LAST_ARRIVAL])  # no message overtakes another
    reg[ACT_AT] = reg[LAST_ARRIVAL] = at
    if seen[V_WHOLE] == 0 or at - now > state.cfg[CFG_CYCLE] or state.cfg[CFG_RECORD] > 1 or arrives_with(state, at):
        act(state, int64(0))
    reg[DECISIONS] += 1
    reg[NEXT_DECISION] += state.cfg[CFG_CYCLE]
    return DONE


@inlined
def arrives_with(state: State, at: int) -> bool:
    """Whether messages of an earlier decision arrive at the same time."""
    reg = state.reg
    if reg[BATCH_HEAD] == reg[BATCH_TAIL]:
        return False
    return state.batch[(reg[BATCH_TAIL] - 1) % len(state.batch), B_ARRIVAL] == at
