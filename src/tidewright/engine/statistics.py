"""The streamed sums of every lane as a dict of arrays: nothing was kept per cycle.

Keys, one array entry a lane:

========================= ====== ====================================================================================
n_samples                 int64  equity samples: one a decision, one at the end of the tape; as many returns
sum_return                f64    sum of simple returns of equity from sample to sample, the first from the capital
sum_return_sq             f64    sum of their squares
sum_downside_sq           f64    sum of squares of the negative ones
equity_start, equity_end  f64    quote; the starting balances at the first mid, the newest sample
max_drawdown              f64    largest fall from a peak of the samples, fraction of the peak
span_ns                   int64  from the start of decisions to the newest sample
n_orders                  int64  new orders sent
n_cancels                 int64  orders that a cancel ended
n_fills, n_buys, n_sells  int64  fills
n_rejects                 int64  orders the venue refused
n_limited                 int64  decisions at which a limit cut quotes
volume_quote              f64    sum of price * quantity
fees_base                 f64    commission taken in base, base units
fees_quote                f64    commission taken in quote
fees_other                f64    commission taken in a third asset, its units
fees_value                f64    all of it in quote: base at the price of its fill, a third asset at its stated price
funding                   f64    funding paid less received, quote; not among the fees
n_closed                  int64  fills, or parts of fills, that reduced the position
sum_closed, sum_closed_sq f64    their profit against the average entry cost, both net of commission, and its square
n_wins                    int64  those with a profit > 0
sum_win, sum_loss         f64    their profits, the others' (<= 0)
sum_duration_ns           f64    time since the quantity-weighted mean entry time of what they closed
max_abs_position_lots     int64  largest position either way
time_in_position_ns       int64  time with a position
position_lots             int64  true position
cash                      int64  what its fills left in cash, tick*lot, commissions aside
fee_base_units            int64  commission taken in base, 1e-8
fee_quote_units           int64  commission taken in quote, 1e-8
funding_units             int64  funding paid less received, 1e-8 quote
========================= ====== ====================================================================================
"""

import numpy as np
import numpy.typing as npt

from tidewright.engine import layout as at
from tidewright.engine.layout import State


def statistics(state: State) -> dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float64]]:
    """Sums of all lanes so far; see the module's page for the keys."""
    lane, sums, reg = state.lane, state.lane_f.copy(), state.reg
    if reg[at.SAMPLES] > 0:
        _settle(sums)
    now = max(int(reg[at.LAST_TS]), int(reg[at.NOW])) if reg[at.FIRST_TS] != at.NEVER else 0
    held = lane[:, at.L_IN_POSITION].copy()
    open_now = lane[:, at.L_POSITION] != 0
    held[open_now] += now - lane[open_now, at.L_SINCE]
    cycle = int(state.cfg[at.CFG_CYCLE])
    funding = state.funding[:, at.PAID].copy() if len(state.funding) else np.zeros(len(lane), np.int64)
    other = bool(state.cfg[at.CFG_FEE_OTHER])  # then the column of fees in quote holds those in the third asset
    last = now if reg[at.FINISHED] else int(reg[at.START]) + int(reg[at.DECISIONS]) * cycle
    span = max(0, last - int(reg[at.START])) if reg[at.START] != at.NEVER else 0
    return {
        "n_samples": np.full(len(lane), reg[at.SAMPLES], np.int64),
        "sum_return": sums[:, at.F_RETURN],
        "sum_return_sq": sums[:, at.F_RETURN_SQ],
        "sum_downside_sq": sums[:, at.F_DOWNSIDE_SQ],
        "equity_start": sums[:, at.F_START],
        "equity_end": sums[:, at.F_LAST],
        "max_drawdown": sums[:, at.F_DRAWDOWN],
        "span_ns": np.full(len(lane), span, np.int64),
        "n_orders": lane[:, at.L_ORDERS].copy(),
        "n_cancels": lane[:, at.L_CANCELS].copy(),
        "n_fills": lane[:, at.L_FILLS].copy(),
        "n_rejects": lane[:, at.L_REJECTS].copy(),
        "n_limited": lane[:, at.L_LIMITED].copy(),
        "n_buys": lane[:, at.L_BUYS].copy(),
        "n_sells": lane[:, at.L_SELLS].copy(),
        "volume_quote": sums[:, at.F_VOLUME],
        "fees_base": lane[:, at.L_FEE_BASE] / 1e8,
        "fees_quote": np.zeros(len(lane)) if other else lane[:, at.L_FEE_QUOTE] / 1e8,
        "fees_other": lane[:, at.L_FEE_QUOTE] / 1e8 if other else np.zeros(len(lane)),
        "fees_value": sums[:, at.F_FEES_VALUE],
        "funding": funding / 1e8,
        "n_closed": lane[:, at.L_CLOSED].copy(),
        "sum_closed": sums[:, at.F_CLOSED],
        "sum_closed_sq": sums[:, at.F_CLOSED_SQ],
        "n_wins": lane[:, at.L_WINS].copy(),
        "sum_win": sums[:, at.F_WIN],
        "sum_loss": sums[:, at.F_LOSS],
        "sum_duration_ns": sums[:, at.F_DURATION],
        "max_abs_position_lots": lane[:, at.L_MAX_POSITION].copy(),
        "time_in_position_ns": held,
        "position_lots": lane[:, at.L_POSITION].copy(),
        "cash": lane[:, at.L_CASH].copy(),
        "fee_base_units": lane[:, at.L_FEE_BASE].copy(),
        "fee_quote_units": lane[:, at.L_FEE_QUOTE].copy(),
        "funding_units": funding,
    }


def curve_sums(start: npt.NDArray[np.float64], curve: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """The sums over equity samples that a lane streams, from a curve; the same arithmetic in the same order.

    Parameters
    ----------
    start
        Equity before the first sample, quote, (lanes,).
    curve
        Equity at every sample, quote, (n, lanes).
    """
    sums = np.zeros((len(start), at.LANE_F_FIELDS))
    for column in (at.F_START, at.F_LAST, at.F_PEAK):
        sums[:, column] = start
    for equity in curve:
        sums[:, at.F_NEWEST] = equity
        _settle(sums)
    return {
        "sum_return": sums[:, at.F_RETURN].copy(),
        "sum_return_sq": sums[:, at.F_RETURN_SQ].copy(),
        "sum_downside_sq": sums[:, at.F_DOWNSIDE_SQ].copy(),
        "equity_start": start.copy(),
        "equity_end": sums[:, at.F_LAST].copy(),
        "max_drawdown": sums[:, at.F_DRAWDOWN].copy(),
    }


def _settle(sums: npt.NDArray[np.float64]) -> None:
    """What `sampling.settle` does with the newest sample, on a copy."""
    equity, before = sums[:, at.F_NEWEST], sums[:, at.F_LAST].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(before > 0.0, equity / before - 1.0, np.nan)
    sums[:, at.F_RETURN] += change
    sums[:, at.F_RETURN_SQ] += change * change
    sums[:, at.F_DOWNSIDE_SQ] += np.where(change >= 0.0, 0.0, change * change)
    sums[:, at.F_LAST] = equity
    peak = np.maximum(sums[:, at.F_PEAK], equity)
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.where(peak > 0.0, (peak - equity) / peak, 0.0)
    sums[:, at.F_PEAK] = peak
    sums[:, at.F_DRAWDOWN] = np.maximum(sums[:, at.F_DRAWDOWN], fall)
