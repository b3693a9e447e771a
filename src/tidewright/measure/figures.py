"""Every performance figure, from one place: streamed sums of many lanes, or an equity curve with its closed trades.

Both ways end in the same arithmetic, and both count the first interval: the equity before the first trade is the base
of the first return. Backtest, optimizer, session and report all call this module, so their figures mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import DAY
from tidewright.market.errors import UsageError
from tidewright.measure.definitions import DEFAULT_MINIMUMS, DEFINITIONS, Minimums
from tidewright.measure.student import t_tail

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

YEAR_NS: Final = 365 * DAY
SQN_CAP: Final = 100

REQUIRED: Final = (
    "n_samples",
    "sum_return",
    "sum_return_sq",
    "sum_downside_sq",
    "equity_start",
    "equity_end",
    "max_drawdown",
    "n_orders",
    "n_cancels",
    "n_fills",
    "n_rejects",
    "n_buys",
    "n_sells",
    "volume_quote",
    "fees_base",
    "fees_quote",
    "n_closed",
    "sum_closed",
    "sum_closed_sq",
    "n_wins",
    "sum_win",
    "sum_loss",
    "sum_duration_ns",
    "max_abs_position_lots",
    "time_in_position_ns",
)

# A variance this small beside the mean square is rounding, not variation.
_FLAT: Final = 1e-13


@dataclass(frozen=True, slots=True)
class ClosedTrades:
    """Closed trades of one account, one array entry a trade.

    Attributes
    ----------
    ts
        When each was closed, int64 ns.
    pnl
        Profit net of fees, quote, float64.
    duration_ns
        Time since the mean entry time of what it closed, int64 ns.
    """

    ts: I64
    pnl: F64
    duration_ns: I64

    @classmethod
    def none(cls) -> "ClosedTrades":
        """No closed trade."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64))


def from_statistics(
    stats: Mapping[str, npt.NDArray[Any]], cycle_ns: int, minimums: Minimums = DEFAULT_MINIMUMS
) -> dict[str, F64]:
    """All figures of all lanes from streamed sums.

    Parameters
    ----------
    stats
        Arrays of one shape, usually one entry a lane: the names of :data:`REQUIRED`. Equity, ``volume_quote``, closed
        PnL and ``fees_quote`` share one money unit. Returns are simple returns of equity over one cycle, the first
        interval included; ``sum_downside_sq`` sums ``min(return, 0)**2``; ``max_drawdown`` is a fraction of the peak;
        ``sum_win`` > 0 and ``sum_loss`` (of either sign) sum the PnL of winning and losing closed trades. Optional:
        ``span_ns`` (default ``n_samples * cycle_ns``), ``fees_value`` (all fees in quote; without it ``fees`` is known
        only where no fee was taken in base), ``funding`` (0 unless told).
    cycle_ns
        Length of one return interval, nanoseconds, > 0.
    minimums
        Smallest samples; a figure under its minimum is NaN.

    Returns
    -------
    One float64 array for every name of :data:`tidewright.measure.definitions.DEFINITIONS`, in that order.

    Raises
    ------
    UsageError
        If a name is missing or the cycle is not > 0.
    """
    missing = [name for name in REQUIRED if name not in stats]
    if missing:
        raise UsageError(f"statistics lack {', '.join(missing)}")
    if cycle_ns <= 0:
        raise UsageError(f"cycle must be > 0 ns, was {cycle_ns}")
    s = {name: np.asarray(value, np.float64) for name, value in stats.items()}
    span_ns = s["span_ns"] if "span_ns" in s else s["n_samples"] * cycle_ns
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        figures = {
            **_of_returns(s, span_ns, cycle_ns, minimums),
            **_of_closed_trades(s, minimums),
            **_of_activity(s, span_ns),
        }
    return {name: figures[name] for name in DEFINITIONS}


def _of_returns(s: dict[str, F64], span_ns: F64, cycle_ns: int, minimums: Minimums) -> dict[str, F64]:
    n, periods = s["n_samples"], YEAR_NS / cycle_ns
    mean, sd = mean_and_deviation(n, s["sum_return"], s["sum_return_sq"])
    growth = s["equity_end"] / s["equity_start"]
    usable = s["equity_start"] > 0
    per_cycle = mean / sd
    compounded = np.where(growth > 0, growth, 0.0) ** (YEAR_NS / np.where(span_ns > 0, span_ns, np.nan)) - 1.0
    cagr = _where(usable & (span_ns >= minimums.days * DAY) & (span_ns > 0), compounded)
    downside = np.sqrt(s["sum_downside_sq"] / n)
    enough = usable & (n >= max(2, minimums.returns))
    return {
        "equity_start": s["equity_start"],
        "equity_end": s["equity_end"],
        "total_return": _where(usable, growth - 1.0),
        "cagr": cagr,
        "volatility": _where(enough, sd * np.sqrt(periods)),
        "sharpe": _where(enough & (sd > 0), per_cycle * np.sqrt(periods)),
        "sharpe_error": _where(enough & (sd > 0), np.sqrt((1.0 + per_cycle**2 / 2.0) / n * periods)),
        "sortino": _where(enough & (downside > 0), mean / downside * np.sqrt(periods)),
        "max_drawdown": _where(usable & (n >= 1), s["max_drawdown"]),
        "calmar": _where(s["max_drawdown"] > 0, cagr / s["max_drawdown"]),
    }


def _of_closed_trades(s: dict[str, F64], minimums: Minimums) -> dict[str, F64]:
    n = s["n_closed"]
    mean, sd = mean_and_deviation(n, s["sum_closed"], s["sum_closed_sq"])
    tested = (n >= max(2, minimums.closed_trades)) & (sd > 0)
    described = n >= max(1, minimums.trades_described)
    quality = mean / sd
    losses = np.abs(s["sum_loss"])
    return {
        "closed_trades": n,
        "realised_profit": s["sum_closed"],
        "sqn": _where(tested, np.sqrt(np.minimum(n, SQN_CAP)) * quality),
        "sqn_uncapped": _where(tested, np.sqrt(n) * quality),
        "mean_profit_p_value": _where(tested, t_tail(np.where(tested, np.sqrt(n) * quality, np.nan), n - 1.0)),
        "win_rate": _where(described, s["n_wins"] / n),
        "profit_factor": _where(described & (losses > 0), s["sum_win"] / losses),
        "expectancy": _where(described, mean),
        "average_trade_duration": _where(described, s["sum_duration_ns"] / n),
    }


def _of_activity(s: dict[str, F64], span_ns: F64) -> dict[str, F64]:
    fees = s["fees_value"] if "fees_value" in s else _where(s["fees_base"] == 0, s["fees_quote"])
    return {
        "orders": s["n_orders"],
        "cancels": s["n_cancels"],
        "rejects": s["n_rejects"],
        "fills": s["n_fills"],
        "buys": s["n_buys"],
        "sells": s["n_sells"],
        "volume_quote": s["volume_quote"],
        "turnover": _where(s["equity_start"] > 0, s["volume_quote"] / s["equity_start"]),
        "fees_base": s["fees_base"],
        "fees_quote": s["fees_quote"],
        "fees": fees,
        "funding": s["funding"] if "funding" in s else np.zeros_like(s["n_fills"]),
        "max_abs_position_lots": s["max_abs_position_lots"],
        "time_in_position": _where(span_ns > 0, s["time_in_position_ns"] / span_ns),
    }


def mean_and_deviation(n: F64, total: F64, total_sq: F64) -> tuple[F64, F64]:
    """Mean and standard deviation (n − 1) from sums; a deviation that is only rounding is 0, under 2 values NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        variance = (total_sq - total * mean) / (n - 1.0)
        variance = np.where(variance <= _FLAT * total_sq / n, 0.0, variance)
        return mean, np.sqrt(np.where(n >= 2, variance, np.nan))


def _where(condition: npt.NDArray[np.bool_], value: F64) -> F64:
    return np.where(condition, value, np.nan)


def equity_statistics(ts: I64, equity: F64) -> dict[str, F64]:
    """Sums over an equity curve that :func:`from_statistics` needs.

    Parameters
    ----------
    ts
        Times of the points, int64 ns, rising. The first point is the capital before anything happened.
    equity
        Equity at each point, quote, float64. A point at or under 0 makes the return after it, and so the ratios, NaN.

    Raises
    ------
    UsageError
        If the arrays differ in length, are empty, or time does not rise.
    """
    if len(ts) != len(equity) or len(ts) == 0:
        raise UsageError(f"an equity curve needs as many times as values, at least one: {len(ts)} and {len(equity)}")
    if bool(np.any(np.diff(ts) <= 0)):
        raise UsageError("times of an equity curve must rise")
    base = np.where(equity[:-1] > 0, equity[:-1], np.nan)
    returns = equity[1:] / base - 1.0
    peak = np.maximum.accumulate(equity)
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.where(peak > 0, (peak - equity) / peak, 0.0)
    scalars = {
        "n_samples": len(returns),
        "sum_return": returns.sum(),
        "sum_return_sq": (returns * returns).sum(),
        "sum_downside_sq": (np.minimum(returns, 0.0) ** 2).sum(),
        "equity_start": equity[0],
        "equity_end": equity[-1],
        "max_drawdown": fall.max(),
        "span_ns": int(ts[-1]) - int(ts[0]),
    }
    return {name: np.asarray(float(value)) for name, value in scalars.items()}


def closed_statistics(closed: ClosedTrades) -> dict[str, F64]:
    """Sums over closed trades that :func:`from_statistics` needs."""
    wins, losses = closed.pnl[closed.pnl > 0], closed.pnl[closed.pnl < 0]
    scalars = {
        "n_closed": len(closed.pnl),
        "sum_closed": closed.pnl.sum(),
        "sum_closed_sq": (closed.pnl**2).sum(),
        "n_wins": len(wins),
        "sum_win": wins.sum(),
        "sum_loss": losses.sum(),
        "sum_duration_ns": closed.duration_ns.sum(),
    }
    return {name: np.asarray(float(value)) for name, value in scalars.items()}


def from_equity(
    ts: I64,
    equity: F64,
    closed: ClosedTrades,
    cycle_ns: int,
    activity: Mapping[str, float] | None = None,
    minimums: Minimums = DEFAULT_MINIMUMS,
) -> dict[str, float]:
    """All figures of one account from its equity curve and closed trades.

    Parameters
    ----------
    ts, equity
        The curve, see :func:`equity_statistics`; the first point is the capital before the first interval.
    closed
        The closed trades.
    cycle_ns
        Usual distance of two points, nanoseconds: it sets the annualisation.
    activity
        Counts and sums named as in :data:`REQUIRED` (``n_orders``, ``volume_quote``, ...) and ``fees_value``; 0 where
        absent.
    minimums
        Smallest samples; a figure under its minimum is NaN.

    Returns
    -------
    A float for every name of :data:`tidewright.measure.definitions.DEFINITIONS`.
    """
    stats: dict[str, F64] = {name: np.zeros(()) for name in REQUIRED}
    stats.update({name: np.asarray(float(value)) for name, value in (activity or {}).items()})
    stats.update(equity_statistics(np.asarray(ts, np.int64), np.asarray(equity, np.float64)))
    stats.update(closed_statistics(closed))
    return {name: float(value) for name, value in from_statistics(stats, cycle_ns, minimums).items()}
