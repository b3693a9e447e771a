"""Equity samples of the lanes, and the sums of what lies between them."""

import math

from numba import int64

from tidewright.engine.accounts import worth
from tidewright.engine.layout import (
    CFG_CURVE,
    CURVE_COUNT,
    F_DAY,
    F_DOWNSIDE_SQ,
    F_DRAWDOWN,
    F_LAST,
    F_NEWEST,
    F_PEAK,
    F_RETURN,
    F_RETURN_SQ,
    F_START,
    L_KNOWN,
    LANES,
    SAMPLES,
    State,
)
from tidewright.market.inner import inlined, inner


@inner
def value_capital(state: State, mid2: int) -> None:
    """The first mid of the view: what a lane started with is worth this much, and was all the time."""
    for lane in range(state.reg[LANES]):
        sums = state.lane_f[lane]
        capital = worth(state, int64(lane), int64(L_KNOWN), mid2)
        sums[F_START] = capital
        sums[F_LAST] = capital
        sums[F_NEWEST] = capital
        sums[F_PEAK] = capital
        sums[F_DAY] = capital
        if state.cfg[CFG_CURVE] == 1:
            for i in range(state.reg[CURVE_COUNT]):
                state.curve[i, lane] = capital


@inlined
def sample(state: State, lane: int, equity: float) -> None:
    """Take a lane's equity sample; the one before goes into the sums, the newest may still be replaced at the end."""
    if state.reg[SAMPLES] > 0:
        settle(state, lane)
    state.lane_f[lane, F_NEWEST] = equity


@inlined
def settle(state: State, lane: int) -> None:
    """Enter the newest sample into the sums of returns and the drawdown."""
    sums = state.lane_f
    equity = sums[lane, F_NEWEST]
    before = sums[lane, F_LAST]
    if equity == before and before > 0.0:
        return  # a return of 0 and no new peak or trough
    change = equity / before - 1.0 if before > 0.0 else math.nan
    sums[lane, F_RETURN] += change
    sums[lane, F_RETURN_SQ] += change * change
    fall = change if not change >= 0.0 else 0.0  # no jump: which it is cannot be foreseen
    sums[lane, F_DOWNSIDE_SQ] += fall * fall
    sums[lane, F_LAST] = equity
    if equity > sums[lane, F_PEAK]:
        sums[lane, F_PEAK] = equity
    elif sums[lane, F_PEAK] > 0.0:
        sums[lane, F_DRAWDOWN] = max(sums[lane, F_DRAWDOWN], (sums[lane, F_PEAK] - equity) / sums[lane, F_PEAK])
