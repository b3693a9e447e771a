"""Funding of perpetual futures: at its times, who holds a position pays or receives a share of what it is worth."""

from numba import int64

from tidewright.engine.accounts import share_of, tell
from tidewright.engine.layout import (
    CFG_QUOTE_DEN,
    CFG_QUOTE_NUM,
    CFG_STRATEGY,
    DONE,
    GROW_KNOWN,
    KNOWN_ROOM,
    L_POSITION,
    LANES,
    LAST_MARK,
    MID2,
    PAID,
    PAID_KNOWN,
    State,
)
from tidewright.market.inner import inner


@inner
def charge(state: State, rate: int, known: int) -> int:
    """Charge every lane for its position; GROW_KNOWN and nothing has happened if there is no room to tell them.

    A long position pays where the rate (1e-8) is positive, a short one where it is negative, and the other receives.
    The position counts at the mark price, or where the tape has none at the mid of the last packet end that was whole.
    """
    reg = state.reg
    lanes = reg[LANES]
    quoted = state.cfg[CFG_STRATEGY] >= 0
    if quoted and reg[KNOWN_ROOM] < lanes:
        return GROW_KNOWN
    twice = 2 * reg[LAST_MARK] if reg[LAST_MARK] > 0 else reg[MID2]
    for lane in range(lanes):
        position = state.lane[lane, L_POSITION]
        value = abs(position) * twice * state.cfg[CFG_QUOTE_NUM]
        amount = share_of(value, rate, state.cfg[CFG_QUOTE_DEN] * 200_000_000)
        if position < 0:
            amount = -amount
        if amount != 0:
            state.funding[lane, PAID] += amount
            if quoted:
                tell(state, int64(lane), known, int64(-1), int64(0), int64(0), int64(0), amount)
            else:
                state.funding[lane, PAID_KNOWN] += amount
    return DONE
