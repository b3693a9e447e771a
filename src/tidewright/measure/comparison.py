"""Contenders judged in the same windows: their figures over all windows together, and paired differences.

Every window begins with the same capital, so results of windows add up: the pooled curve is the capital plus all that
was earned so far. Differences are taken on the same events and resampled in blocks of neighbouring cycles (circular
block bootstrap, Politis and Romano 1992): one set of resamples for both contenders of a pair and for all measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.measure.definitions import NO_MINIMUMS
from tidewright.measure.figures import REQUIRED, SQN_CAP, YEAR_NS, from_statistics, mean_and_deviation

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
    volume
        Traded in every cycle, quote, shape (cycles,).
    closed
        Of the trades closed in every cycle: how many, the sum of their profits and of the squares, shape (cycles, 3).
    held
        The position either way at the end of every cycle, base, shape (cycles,).
    """

    increments: F64
    statistics: Mapping[str, float]
    volume: F64
    closed: F64
    held: F64

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
    profit_per_notional
        Profit over traded notional, a fraction.
    sharpe, sortino
        Annualised.
    max_drawdown
        Fraction of the peak of the pooled curve. Of a resample it is that of a curve of resampled blocks.
    sqn, sqn_held
        Capped at 100 trades. Of closed trades alone, and with what is held when a window ends as one more trade,
        closed at the mid: who never closes what loses has no loss among the closed ones.
    inventory
        Mean position either way, sampled once a cycle, base.
    windows_won, windows
        Windows in which it earned more, ties half; how many there were.
    """

    profit: Difference
    profit_per_notional: Difference
    sharpe: Difference
    sortino: Difference
    max_drawdown: Difference
    sqn: Difference
    sqn_held: Difference
    inventory: Difference
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
    ``profit_per_notional``: profit over traded notional, a fraction, NaN where nothing was traded; and ``sqn_held`` and
    ``inventory``, see :class:`Paired`.

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
    figures["sqn_held"] = float(_sqn(np.concatenate([_with_held(run) for run in runs]).sum(axis=0)))
    figures["inventory"] = float(np.concatenate([run.held for run in runs]).mean())
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
    tables = np.stack([_table(runs), _table(others)])
    if tables.shape[1] < 2:
        raise UsageError(f"a paired comparison needs at least 2 cycles, had {tables.shape[1]}")
    drawn = _resampled(tables, capital, cycle_ns, draws, np.random.default_rng(seed))
    actual = _figures(tables.sum(axis=1), tables.shape[1], cycle_ns) | {
        "max_drawdown": _drawdown(tables[:, :, 0], capital)
    }
    won = sum(
        1.0 if a.profit > b.profit else 0.5 if a.profit == b.profit else 0.0 for a, b in zip(runs, others, strict=True)
    )
    found = {
        name: _difference(float(value[0]), float(value[1]), drawn[name][0] - drawn[name][1])
        for name, value in actual.items()
    }
    return Paired(**found, windows_won=won, windows=len(runs))


def _table(runs: Sequence[Run]) -> F64:
    """What is summed over cycles for all measures, shape (cycles, 11); the first column are the equity changes."""
    parts = []
    for run in runs:
        change = run.increments
        columns = np.stack([change, change**2, np.minimum(change, 0.0) ** 2, run.volume, run.held], axis=1)
        parts.append(np.concatenate([columns, run.closed, _with_held(run)], axis=1))
    return np.concatenate(parts)


def _with_held(run: Run) -> F64:
    """Closed trades of every cycle, as :attr:`Run.closed`; in the last one also what is held then, at the mid."""
    closed = run.closed.copy()
    if run.statistics.get("position_lots", 0.0):
        rest = run.profit - closed[:, 1].sum()
        closed[-1] += (1.0, rest, rest * rest)
    return closed


def _resampled(tables: F64, capital: float, cycle_ns: int, draws: int, rng: np.random.Generator) -> dict[str, F64]:
    """Figures, shape (2, draws) each, of resampled pairs of tables (2, cycles, columns)."""
    count = tables.shape[1]
    block = max(1, min(count, round(2.0 * count ** (1.0 / 3.0))))
    blocks, each = -(-count // block), max(1, _CHUNK // count)
    sums, falls = [], []
    for first in range(0, draws, each):
        size = min(each, draws - first)
        starts = rng.integers(0, count, (size, blocks))
        index = ((starts[:, :, None] + np.arange(block)) % count).reshape(size, -1)[:, :count]
        places = index + count * np.arange(size)[:, None]
        times = np.bincount(places.ravel(), minlength=size * count).reshape(size, count)
        sums.append(times.astype(np.float64) @ tables)  # how often each cycle was drawn, for all measures at once
        falls.append(_drawdown(tables[:, :, 0][:, index], capital))
    return _figures(np.concatenate(sums, axis=1), count, cycle_ns) | {"max_drawdown": np.concatenate(falls, axis=1)}


def _figures(sums: F64, cycles: int, cycle_ns: int) -> dict[str, F64]:
    """All measures but the drawdown, of sums (..., columns) over so many cycles."""
    profit, square, downside, volume, held = np.moveaxis(sums[..., :5], -1, 0)
    mean, deviation = mean_and_deviation(np.full(profit.shape, float(cycles)), profit, square)
    year = np.sqrt(YEAR_NS / cycle_ns)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "profit": profit,
            "profit_per_notional": profit / volume,
            "sharpe": mean / deviation * year,
            "sortino": mean / np.sqrt(downside / cycles) * year,
            "sqn": _sqn(sums[..., 5:8]),
            "sqn_held": _sqn(sums[..., 8:11]),
            "inventory": held / cycles,
        }
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in found.items()}


def _drawdown(changes: F64, capital: float) -> F64:
    """Largest fall from the peak, a fraction of it, of equity changes (..., cycles)."""
    curve = capital + np.cumsum(changes, axis=-1)
    peak = np.maximum(np.maximum.accumulate(curve, axis=-1), capital)
    return np.asarray(((peak - curve) / peak).max(axis=-1))


def _sqn(sums: F64) -> F64:
    """Of number, sum and sum of squares of the profits of trades (..., 3)."""
    count, total, square = np.moveaxis(sums, -1, 0)
    mean, deviation = mean_and_deviation(count, total, square)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.sqrt(np.minimum(count, SQN_CAP)) * mean / deviation
    return np.where(np.isfinite(value), value, np.nan)


def _difference(mine: float, theirs: float, drawn: F64) -> Difference:
    value = mine - theirs
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(known) < len(drawn) / 2:
        return Difference(float(value), float("nan"), float("nan"), float("nan"))
    lower, upper = np.quantile(known, [0.025, 0.975])
    return Difference(float(value), float(lower), float(upper), float(value / theirs) if theirs > 0 else float("nan"))
