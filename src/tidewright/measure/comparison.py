"""Contenders judged in the same windows: their figures over all windows together, and paired differences.

Every window begins with the same capital, so results of windows add up: the pooled curve is the capital plus all that
was earned so far. Differences are taken cycle by cycle on the same events, and resampled in blocks of neighbouring
cycles (circular block bootstrap, Politis and Romano 1992); both contenders of a pair are resampled together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.measure.definitions import NO_MINIMUMS
from tidewright.measure.figures import REQUIRED, YEAR_NS, from_statistics

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

DRAWS: Final = 2_000
_CHUNK: Final = 4_000_000  # resampled returns held at once, entries
_OF_CURVE: Final = ("equity_start", "equity_end", "max_drawdown", "max_abs_position_lots")


@dataclass(frozen=True, slots=True)
class Run:
    """What one contender did in one window.

    Attributes
    ----------
    increments
        Equity change of every cycle, quote, shape (cycles,).
    statistics
        The engine's streamed sums of its lane, scalars by name.
    """

    increments: F64
    statistics: Mapping[str, float]

    @property
    def profit(self) -> float:
        """Equity change over the window, quote."""
        return float(self.increments.sum())


@dataclass(frozen=True, slots=True)
class Difference:
    """A contender less the one it is compared with.

    Attributes
    ----------
    value, lower, upper
        The difference and its central 95 % bootstrap interval; NaN where it is undefined.
    relative
        The difference over the other's value, where that is > 0; else NaN: a share of a loss says nothing.
    """

    value: float
    lower: float
    upper: float
    relative: float


@dataclass(frozen=True, slots=True)
class Paired:
    """A contender beside the one it is compared with.

    Attributes
    ----------
    profit
        Quote, over all windows.
    sharpe, sortino
        Annualised.
    max_drawdown
        Fraction of the peak of the pooled curve. Of a resample it is that of a curve of resampled blocks.
    sqn, sqn_held
        Capped at 100 trades; resampled by whole windows. Of closed trades alone, and with what is held when a window
        ends as one more trade, closed at the mid: who never closes what loses has no loss among the closed ones.
    windows_won, windows
        Windows in which it earned more, ties half; how many there were.
    """

    profit: Difference
    sharpe: Difference
    sortino: Difference
    max_drawdown: Difference
    sqn: Difference
    sqn_held: Difference
    windows_won: float
    windows: int


def pooled(runs: Sequence[Run], capital: float, cycle_ns: int) -> dict[str, float]:
    """Figures over all windows together.

    Parameters
    ----------
    runs
        One a window, in time order.
    capital
        What every window begins with, quote.
    cycle_ns
        Time between decisions, nanoseconds.

    Returns
    -------
    Figures of :mod:`tidewright.measure.definitions` without minimum samples, NaN where undefined, and
    ``profit_per_notional``: profit over traded notional, a fraction, NaN where nothing was traded; and ``sqn_held``,
    see :class:`Paired`.

    Raises
    ------
    UsageError
        If there is no window.
    """
    if not runs:
        raise UsageError("a comparison needs at least one window, had none")
    sums: dict[str, npt.NDArray[Any]] = {
        name: np.asarray(sum(float(run.statistics[name]) for run in runs)) for name in REQUIRED if name not in _OF_CURVE
    }
    curve = capital + np.concatenate([[0.0], np.cumsum(np.concatenate([run.increments for run in runs]))])
    peak = np.maximum.accumulate(curve)
    sums["equity_start"], sums["equity_end"] = np.asarray(curve[0]), np.asarray(curve[-1])
    sums["max_drawdown"] = np.asarray(((peak - curve) / peak).max())
    sums["max_abs_position_lots"] = np.asarray(max(float(run.statistics["max_abs_position_lots"]) for run in runs))
    figures = {name: float(value) for name, value in from_statistics(sums, cycle_ns, NO_MINIMUMS).items()}
    volume = figures["volume_quote"]
    figures["profit"] = float(curve[-1] - curve[0])
    figures["sqn_held"] = float(_sqn(np.array([_trades(run, held=True) for run in runs]).sum(axis=0)))
    figures["profit_per_notional"] = figures["profit"] / volume if volume > 0 else float("nan")
    return figures


def paired(
    runs: Sequence[Run], others: Sequence[Run], capital: float, cycle_ns: int, seed: int, draws: int = DRAWS
) -> Paired:
    """One contender beside another on the same windows.

    Raises
    ------
    UsageError
        If the windows differ in number or length, or there are fewer than two cycles in all.
    """
    if [len(run.increments) for run in runs] != [len(run.increments) for run in others]:
        raise UsageError("paired contenders need the same windows with the same cycles")
    mine, theirs = (np.concatenate([run.increments for run in each]) for each in (runs, others))
    if len(mine) < 2:
        raise UsageError(f"a paired comparison needs at least 2 cycles, had {len(mine)}")
    rng = np.random.default_rng(seed)
    both = np.stack([mine, theirs])
    drawn = _resampled(both, capital, cycle_ns, draws, rng)
    actual = _figures(both[:, None, :], capital, cycle_ns)[:, :, 0]
    profit, sharpe, sortino, fall = (
        _difference(float(value[0]), float(value[1]), resampled[0] - resampled[1])
        for value, resampled in zip(actual, drawn, strict=True)
    )
    won = sum(
        1.0 if a.profit > b.profit else 0.5 if a.profit == b.profit else 0.0 for a, b in zip(runs, others, strict=True)
    )
    chosen = rng.integers(0, len(runs), (draws, len(runs)))
    sqn, held = (_sqn_difference(runs, others, chosen, held) for held in (False, True))
    return Paired(profit, sharpe, sortino, fall, sqn, held, won, len(runs))


def _resampled(both: F64, capital: float, cycle_ns: int, draws: int, rng: np.random.Generator) -> F64:
    """Figures (4, 2, draws) of resampled pairs of series."""
    count = both.shape[1]
    block = max(1, min(count, round(2.0 * count ** (1.0 / 3.0))))
    blocks = -(-count // block)
    parts = []
    for first in range(0, draws, max(1, _CHUNK // count)):
        size = min(max(1, _CHUNK // count), draws - first)
        starts = rng.integers(0, count, (size, blocks))
        index = ((starts[:, :, None] + np.arange(block)) % count).reshape(size, -1)[:, :count]
        parts.append(_figures(both[:, index], capital, cycle_ns))
    return np.concatenate(parts, axis=2)


def _figures(series: F64, capital: float, cycle_ns: int) -> F64:
    """Profit, Sharpe, Sortino and drawdown, shape (4, 2, draws), of equity changes (2, draws, cycles)."""
    returns = series / capital
    year = np.sqrt(YEAR_NS / cycle_ns)
    mean = returns.mean(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = mean / returns.std(axis=2, ddof=1) * year
        sortino = mean / np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=2)) * year
    curve = 1.0 + np.cumsum(returns, axis=2)
    peak = np.maximum(np.maximum.accumulate(curve, axis=2), 1.0)
    drawdown = ((peak - curve) / peak).max(axis=2)
    found = np.stack([series.sum(axis=2), sharpe, sortino, drawdown])
    return np.where(np.isfinite(found), found, np.nan)


def _sqn_difference(runs: Sequence[Run], others: Sequence[Run], chosen: I64, held: bool) -> Difference:
    table = np.array([[_trades(run, held) for run in each] for each in (runs, others)])
    drawn = _sqn(table[:, chosen].sum(axis=2))
    actual = _sqn(table.sum(axis=1))
    return _difference(float(actual[0]), float(actual[1]), drawn[0] - drawn[1])


def _trades(run: Run, held: bool) -> tuple[float, float, float]:
    """Number, sum and sum of squares of the profits of a window's trades."""
    count, total, square = (float(run.statistics[name]) for name in ("n_closed", "sum_closed", "sum_closed_sq"))
    if not held or not run.statistics.get("position_lots", 0.0):
        return count, total, square
    rest = run.profit - total
    return count + 1.0, run.profit, square + rest * rest


def _sqn(sums: F64) -> F64:
    count, total, square = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        spread = np.sqrt(np.maximum(square - total * mean, 0.0) / (count - 1.0))
        value = np.sqrt(np.minimum(count, 100.0)) * mean / spread
    return np.where(np.isfinite(value), value, np.nan)


def _difference(mine: float, theirs: float, drawn: F64) -> Difference:
    value = mine - theirs
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(known) < len(drawn) / 2:
        return Difference(float(value), float("nan"), float("nan"), float("nan"))
    lower, upper = np.quantile(known, [0.025, 0.975])
    return Difference(float(value), float(lower), float(upper), float(value / theirs) if theirs > 0 else float("nan"))
