"""One record of how far a chosen candidate can be believed, from the returns of all candidates of a search.

Everything is a ratio or a probability an observation, never annualised. With a benchmark (the parameters in use) all
of it is about the *difference* to the benchmark: what is decided is whether to change.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.measure import overfitting
from tidewright.measure.splits import TimeSplit, paths
from tidewright.measure.validation_cscv import BlockSums, Cscv, blocks_for, cscv
from tidewright.measure.validation_snooping import Snooping, available, snooping

F64 = npt.NDArray[np.float64]

_COMPARED: Final = 128  # candidates whose correlation is looked at; more would tell the same
_ALPHA: Final = 0.05
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Moments:
    """Of returns: ratio of mean to deviation, skewness, (not excess) kurtosis, first-order autocorrelation."""

    sharpe: float
    skew: float
    kurtosis: float
    autocorrelation: float


@dataclass(frozen=True, slots=True)
class Fold:
    """One walk-forward step: the best of the training stretch, there and on the test stretch (Sharpe ratios)."""

    chosen: int
    train: float
    test: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What choosing the best in training earned in testing, over all splits.

    Attributes
    ----------
    folds
        One a split.
    train, test
        Mean Sharpe ratio of the chosen ones.
    efficiency
        ``test / train``: the share of the promise that was kept; NaN where nothing was promised (train <= 0).
    paths
        Combinatorial splits: Sharpe ratio of each whole test path, rising; empty for walk-forward.
    """

    folds: tuple[Fold, ...]
    train: float
    test: float
    efficiency: float
    paths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    """How far the chosen candidate can be believed.

    Attributes
    ----------
    observations, candidates, trials, effective_trials
        Returns; candidates in the matrix; all ever tried, which the deflated ratios count; and how many independent
        ones the matrix is worth.
    moments
        Of the chosen candidate's returns (less the benchmark's).
    variance, expected_best
        Variance of the candidates' Sharpe ratios, and what the best of ``trials`` useless ones would show with the
        sampling variance 1/T.
    probabilistic, probabilistic_null
        Probability that the true ratio is above 0: classic definition, and with the variance under the null.
    deflated, deflated_null
        The same against ``expected_best``: classic, and under the null (deviation of the maximum).
    deflated_by_trials
        Classic, with the variance of the candidates' own ratios instead of 1/T: severe where many were truly bad.
    track_record, track_record_null
        Observations needed to show that the ratio is above 0 at 5 %: classic, and under the null; infinite at or
        below 0.
    overfitting
        CSCV over the candidates; ``None``: too few observations or candidates.
    snooping
        White's reality check and Hansen's SPA; ``None``: not asked for, not installed, or nothing to compare.
    selection
        Walk-forward or combinatorial splits; ``None``: none given.
    searched
        Candidates of the search where the matrix is an even share of them; 0: it holds all.
    """

    observations: int
    candidates: int
    trials: int
    effective_trials: float
    moments: Moments
    variance: float
    expected_best: float
    probabilistic: float
    probabilistic_null: float
    deflated: float
    deflated_null: float
    deflated_by_trials: float
    track_record: float
    track_record_null: float
    overfitting: Cscv | None = None
    snooping: Snooping | None = None
    selection: Selection | None = None
    searched: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known or infinite is null."""
        found = asdict(self)
        return {name: _plain(value) for name, value in found.items()}


def validate(
    returns: F64,
    chosen: int | None = None,
    *,
    benchmark: F64 | None = None,
    trials: int | None = None,
    sums: BlockSums | None = None,
    splits: Sequence[TimeSplit] = (),
    draws: int = 0,
    seed: int = 0,
) -> Validation:
    """Validate the choice of a candidate.

    Parameters
    ----------
    returns
        Result of every observation (a cycle) of every candidate (a lane), shape (T, N), any unit of money or a
        fraction of it.
    chosen
        The candidate that was chosen; ``None``: the one with the best Sharpe ratio.
    benchmark
        Result of every observation of what is used now, shape (T,), subtracted from all.
    trials
        Candidates ever tried, at least N; ``None``: N.
    sums
        Block sums of all candidates (their differences to the benchmark) where the matrix holds only some of them.
    splits
        Of the T observations, see :mod:`tidewright.measure.splits`.
    draws
        Bootstrap draws of the reality check and the SPA test; 0: leave them out. Left out too without ``arch``.
    seed
        Of the bootstrap.

    Raises
    ------
    UsageError
        If the matrix is empty, holds something that is not finite, or ``chosen`` is not in it.
    """
    matrix = _differences(returns, benchmark)
    count, width = matrix.shape
    ratios = sharpe_ratios(matrix)
    best = int(ratios.argmax()) if chosen is None else chosen
    if not 0 <= best < width:
        raise UsageError(f"the chosen candidate must be one of {width}, was {best}")
    tried = max(width, trials or width)
    shape = moments(matrix[:, best])
    varied = float(ratios.var(ddof=1)) if width > 1 else 0.0
    if sums is not None:
        varied = float(sums.sharpes().var(ddof=1))
    blocks = blocks_for(count)
    if sums is None and blocks:
        sums = BlockSums.of(matrix, blocks)
    over = cscv(sums) if sums is not None and sums.sums.shape[1] > 1 else None
    snoop = None
    if draws and available() and bool((matrix.std(axis=0) > 0).any()):
        snoop = snooping(matrix, max(1, round(count ** (1.0 / 3.0))), seed, draws)
    return Validation(
        observations=count,
        candidates=width if sums is None else sums.sums.shape[1],
        trials=tried,
        effective_trials=_effective(matrix),
        moments=shape,
        variance=varied,
        overfitting=over,
        snooping=snoop,
        selection=selection(matrix, splits) if splits else None,
        **_ratios(shape, count, tried, varied),
    )


def with_snooping(found: Validation, told: Snooping | None) -> Validation:
    """The same record with tests for data snooping that were made on other observations."""
    return replace(found, snooping=told)


def _ratios(shape: Moments, count: int, tried: int, varied: float) -> dict[str, Any]:
    sharpe, skew, kurtosis = shape.sharpe, shape.skew, shape.kurtosis
    rho = min(0.99, max(-0.99, shape.autocorrelation))
    useless = math.sqrt(1.0 / count) * overfitting.expected_maximum(tried)
    return {
        "expected_best": useless,
        "probabilistic": _defined(overfitting.probabilistic_sharpe, sharpe, 0.0, count, skew, kurtosis),
        "probabilistic_null": _defined(overfitting.probabilistic_sharpe_null, sharpe, 0.0, count, skew, kurtosis, rho),
        "deflated": _defined(overfitting.deflated_sharpe, sharpe, count, tried, 1.0 / count, skew, kurtosis),
        "deflated_null": _defined(
            overfitting.deflated_sharpe_null, sharpe, count, tried, 1.0 / count, skew, kurtosis, rho
        ),
        "deflated_by_trials": _defined(overfitting.deflated_sharpe, sharpe, count, tried, varied, skew, kurtosis),
        "track_record": _defined(overfitting.minimum_track_record, sharpe, 0.0, skew, kurtosis, _ALPHA),
        "track_record_null": _defined(overfitting.minimum_track_record_null, sharpe, 0.0, skew, kurtosis, rho, _ALPHA),
    }


def _defined(statistic: Any, *values: float) -> float:
    """The statistic, NaN where returns are too odd for its formula (a variance that is not positive)."""
    try:
        return float(statistic(*values))
    except (ZeroDivisionError, ValueError):
        return math.nan


def moments(returns: F64) -> Moments:
    """Moments of one series; 0, 0, 3, 0 where it does not vary."""
    mean, deviation = float(returns.mean()), float(returns.std())
    if len(returns) < 3 or deviation <= _ROUNDING * max(1e-300, float(np.abs(returns).max())):
        return Moments(0.0, 0.0, 3.0, 0.0)
    z = (returns - mean) / deviation
    return Moments(
        mean / float(returns.std(ddof=1)),
        float((z**3).mean()),
        float((z**4).mean()),
        float((z[1:] * z[:-1]).sum() / (z * z).sum()),
    )


def sharpe_ratios(matrix: F64) -> F64:
    """Mean over deviation of each column, 0 where it does not vary."""
    deviation = matrix.std(axis=0, ddof=1) if len(matrix) > 1 else np.zeros(matrix.shape[1])
    scale = _ROUNDING * np.maximum(np.abs(matrix).max(axis=0), 1e-300)
    varied = deviation > scale
    return np.where(varied, matrix.mean(axis=0) / np.where(varied, deviation, 1.0), 0.0)


def selection(matrix: F64, splits: Sequence[TimeSplit]) -> Selection:
    """Choose the best candidate of each training stretch, judge it on the test stretch.

    Parameters
    ----------
    matrix
        Results (T, N).
    splits
        Of the T observations; combinatorial ones are put together to whole test paths.
    """
    found, tests = [], []
    for split in splits:
        inside = sharpe_ratios(matrix[split.train])
        best = int(inside.argmax())
        tested = matrix[split.test, best]
        tests.append(tested)
        found.append(Fold(best, float(inside[best]), float(sharpe_ratios(tested[:, None])[0])))
    train, test = (float(np.mean([getattr(fold, name) for fold in found])) for name in ("train", "test"))
    return Selection(tuple(found), train, test, test / train if train > 0 else math.nan, _path_ratios(splits, tests))


def _path_ratios(splits: Sequence[TimeSplit], tests: Sequence[F64]) -> tuple[float, ...]:
    chosen = len(splits[0].groups)
    if not chosen:
        return ()
    groups = 1 + max(max(split.groups) for split in splits)
    if len(splits) != math.comb(groups, chosen):
        raise UsageError(
            f"combinatorial splits of {groups} groups come as {math.comb(groups, chosen)}, had {len(splits)}"
        )
    parts = [_by_group(split, result) for split, result in zip(splits, tests, strict=True)]
    ratios = []
    for path in paths(groups, chosen):
        whole = np.concatenate([parts[number][group] for group, number in enumerate(path)])
        ratios.append(float(sharpe_ratios(whole[:, None])[0]))
    return tuple(sorted(ratios))


def _by_group(split: TimeSplit, result: F64) -> dict[int, F64]:
    """A split's test results by group."""
    return dict(zip(split.groups, np.split(result, np.cumsum(split.sizes)[:-1]), strict=True))


def _differences(returns: F64, benchmark: F64 | None) -> F64:
    matrix = np.asarray(returns, np.float64)
    if matrix.ndim != 2 or len(matrix) < 2 or matrix.shape[1] < 1:
        raise UsageError(
            f"validation needs a matrix of at least 2 observations of 1 candidate, had shape {matrix.shape}"
        )
    if benchmark is not None:
        if np.shape(benchmark) != (len(matrix),):
            raise UsageError(f"the benchmark needs {len(matrix)} observations, had shape {np.shape(benchmark)}")
        matrix = matrix - np.asarray(benchmark, np.float64)[:, None]
    bad = ~np.isfinite(matrix).all(axis=0)
    if bad.any():
        raise UsageError(f"results must be finite numbers; candidate {int(bad.argmax())} has one that is not")
    return matrix


def _effective(matrix: F64) -> float:
    varied = matrix[:, matrix.std(axis=0) > 0.0]
    if varied.shape[1] < 2:
        return 1.0
    step = -(-varied.shape[1] // _COMPARED)
    part = varied[:, ::step]
    return overfitting.effective_trials(np.asarray(np.corrcoef(part, rowvar=False), np.float64))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    return value
