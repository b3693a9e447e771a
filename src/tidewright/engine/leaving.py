"""What limits ask of a lane beyond its quotes: its order rate, and leaving by taking what nobody takes from it."""

from numba import int64

from tidewright.engine.arrivals import push
from tidewright.engine.latency import response_at
from tidewright.engine.layout import (
    ACT_AT,
    CFG_MIN_NOTIONAL,
    CFG_MIN_QTY,
    CFG_RECENT,
    K_NEXT,
    K_QTY,
    L_ALIVE,
    L_CLEAR,
    L_CUT,
    L_KNOWN_FIRST,
    L_LEAVING,
    L_ORDERS,
    L_SENT,
    NUMBER,
    P_WHOSE,
    RECENT_ENTRY,
    RECENT_FIRST,
    RECENT_USED,
    SENT,
    TAKERS,
    State,
)
from tidewright.engine.replacing import fit_slots
from tidewright.engine.slots import whose, write_order
from tidewright.market.clock import MINUTE
from tidewright.market.codes import IOC, LIMIT
from tidewright.market.inner import inner
from tidewright.risk.escape import taking
from tidewright.risk.gate import Exposure, Standing, admit_side, must_leave
from tidewright.risk.limits import LimitValues
from tidewright.strategies.view import View


@inner
def forget_sent(state: State, lane: int, now: int) -> None:
    """Take out of a lane's count the orders that are 60 s old."""
    recent = state.recent[lane]
    while recent[RECENT_USED] > 0:
        entry = RECENT_ENTRY + 2 * recent[RECENT_FIRST]
        if recent[entry] > now - MINUTE:
            return
        state.lane[lane, L_SENT] -= recent[entry + 1]
        recent[RECENT_FIRST] = (recent[RECENT_FIRST] + 1) % state.cfg[CFG_RECENT]
        recent[RECENT_USED] -= 1


@inner
def note_sent(state: State, lane: int, now: int, orders: int) -> None:
    """Count new orders of a decision, 1 at least."""
    recent = state.recent[lane]
    entry = RECENT_ENTRY + 2 * ((recent[RECENT_FIRST] + recent[RECENT_USED]) % state.cfg[CFG_RECENT])
    recent[entry] = now
    recent[entry + 1] = orders
    recent[RECENT_USED] += 1
    state.lane[lane, L_SENT] += orders


@inner
def leave(
    state: State, lane: int, view: View, exposure: Exposure, limits: LimitValues, bids: int, asks: int, sent: int
) -> tuple[int, int, int]:
    """Let a lane leave by taking where it has to go and its post-only order has waited long enough.

    Parameters
    ----------
    bids, asks, sent
        What the gate has left, and how many of it are new.

    Returns
    -------
    tuple[int, int, int]
        Bids and asks that it wants, and how many orders are new. Bids < 0: its orders stay as they are, and asks is the
        side of the order in the targets that takes, < 0: there is none.
    """
    row = state.lane[lane]
    waited = row[L_LEAVING]
    if not must_leave(exposure, limits):
        row[L_LEAVING] = 0
        return bids, asks, sent
    row[L_LEAVING] = waited + 1
    if waited < limits.flatten_patience:
        return bids, asks, sent
    if waited == limits.flatten_patience:
        at = state.reg[ACT_AT]
        row[L_CLEAR] = at + response_at(state, at)
        return int64(0), int64(0), int64(0)
    nothing = (int64(-1), int64(-1), int64(0))
    if not settled(state, lane, view.now_ns):
        return nothing
    side, price, lots = taking(
        limits,
        waited,
        exposure.position,
        view.mid2,
        view.tick,
        view.lot,
        int64(0),
        state.cfg[CFG_MIN_QTY],
        state.cfg[CFG_MIN_NOTIONAL],
    )
    if lots == 0:
        return nothing
    prices, qtys = state.target[2 * side], state.target[2 * side + 1]
    prices[0] = price
    qtys[0] = lots
    none = Standing(state.target[4], state.target[5], int64(0))
    kept, cut, after = admit_side(exposure, limits, 1 - 2 * side, prices, qtys, int64(1), none, exposure.sent)
    row[L_CUT] |= cut
    return (int64(-1), side, after - exposure.sent) if kept == 1 else nothing


@inner
def settled(state: State, lane: int, now: int) -> bool:
    """Whether a lane has heard what became of everything it sent: nothing of it can still fill."""
    row = state.lane[lane]
    if now < row[L_CLEAR] or row[L_ALIVE] > 0 or row[L_ALIVE + 1] > 0:
        return False
    each = row[L_KNOWN_FIRST]
    while each >= 0:
        if state.known[each, K_QTY] != 0:
            return False
        each = state.known[each, K_NEXT]
    return True


@inner
def send_taking(state: State, lane: int, side: int) -> None:
    """Send the order of :func:`leave`. It goes the way of a message: what it may cause needs room first."""
    fit_slots(state, lane, side, int64(0), int64(1))
    slot = int64(state.alive[2 * lane + side, 0])
    state.lane[lane, L_ORDERS] += 1
    state.reg[NUMBER] += 1
    write_order(state, slot, state.target[2 * side, 0], state.target[2 * side + 1, 0], state.reg[NUMBER])
    state.place[slot, P_WHOSE] = whose(lane, SENT, side, LIMIT, IOC)
    state.reg[TAKERS] = 1
    push(state, slot)
