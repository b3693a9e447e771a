"""Stylised facts of a tape: what markets have in common, as numbers.

The list is Cont 2001 ("Empirical properties of asset returns: stylized facts and statistical issues"); each fact is
one number with
its definition, its sample size and, for what is measured on returns, a standard error by the jackknife over 20
consecutive
blocks (Künsch 1989): ``sqrt(19/20 * sum (value without block i - their mean)^2)``.

Returns are log returns of the mid over steps that lie in no gap; ``step`` is the horizon in seconds.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market import calibration_flow as flow_of
from tidewright.market.calibration_flow import TAKE, Flow
from tidewright.market.clock import SECOND

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STEPS: Final = (1, 10, 60, 300)
_BLOCKS: Final = 20
_LEAST: Final = 100


class Fact(NamedTuple):
    """One number.

    Attributes
    ----------
    value, error
        The number and its standard error; nan where it cannot be told.
    size
        Sample size.
    """

    value: float
    error: float
    size: int


DEFINITIONS: Final = {
    "volatility_day_percent_10s": "standard deviation of 10 s returns times the root of a day's 10 s, percent",
    "volatility_day_percent_60s": "the same of 60 s returns",
    "volatility_day_percent_300s": "the same of 300 s returns",
    "autocorrelation_10s": "lag-1 autocorrelation of 10 s returns (near 0: no linear autocorrelation)",
    "autocorrelation_60s": "the same of 60 s returns",
    "variance_ratio_300s_10s": "variance of 300 s returns over 30 times that of 10 s returns (1: a random walk)",
    "kurtosis_10s": "kurtosis of 10 s returns (3: normal; heavy tails)",
    "kurtosis_60s": "the same of 60 s returns",
    "kurtosis_300s": "the same of 300 s returns (nearer 3: aggregational Gaussianity)",
    "tail_index_10s": "Hill's estimate over the largest twentieth of |10 s returns| (2 to 5 in most markets)",
    "skewness_60s": "skewness of 60 s returns (gain/loss asymmetry)",
    "conditional_kurtosis_10s": "kurtosis of 10 s returns over their EWMA volatility (conditional heavy tails)",
    "clustering_10s_lag1": "lag-1 autocorrelation of |10 s returns| (volatility clusters)",
    "clustering_10s_lag10": "the same at lag 10",
    "clustering_60s_lag5": "lag-5 autocorrelation of |60 s returns|",
    "clustering_decay": "exponent b of |10 s return| autocorrelation ~ lag^-b, lags 1 to 60 (slow: 0.2 to 0.4)",
    "intermittency_60s": "variance over mean of how many |10 s returns| in 10 min exceed their 95 % quantile",
    "leverage_60s": "correlation of a 60 s return with the next one's square",
    "volume_volatility_60s": "correlation of |60 s return| with the lots traded in it",
    "time_asymmetry": "correlation of |300 s return| with the next mean |60 s return|, less the reverse",
    "trade_sign_lag1": "lag-1 autocorrelation of the signs of market orders (persistent flow)",
    "trade_sign_lag10": "the same at lag 10",
    "orders_per_second": "orders (changes of levels and market orders) a second",
    "trades_per_second": "market orders a second",
    "order_count_dispersion_60s": "variance over mean of the number of orders a minute (1: Poisson)",
}


def facts(found: Flow) -> dict[str, Fact]:
    """All numbers of DEFINITIONS for one tape's order flow."""
    r = {step: _returns(found.books, step) for step in STEPS}
    out: dict[str, Fact] = {}
    for step in (10, 60, 300):
        out[f"volatility_day_percent_{step}s"] = _block(
            r[step], lambda x, s=step: float(np.std(x) * np.sqrt(86_400 / s) * 100)
        )
        out[f"kurtosis_{step}s"] = _block(r[step], _kurtosis)
    for step in (10, 60):
        out[f"autocorrelation_{step}s"] = _block(r[step], lambda x: _correlation(x[:-1], x[1:]))
    ratio = np.var(r[300]) / (30 * np.var(r[10])) if len(r[300]) > 20 and np.var(r[10]) > 0 else np.nan
    out["variance_ratio_300s_10s"] = Fact(float(ratio), float(np.sqrt(2 / max(1, len(r[300])))), len(r[300]))
    out["tail_index_10s"] = _hill(r[10])
    out["skewness_60s"] = _block(r[60], _skewness)
    out["conditional_kurtosis_10s"] = _block(_scaled(r[10]), _kurtosis)
    for step, lag in ((10, 1), (10, 10), (60, 5)):
        out[f"clustering_{step}s_lag{lag}"] = _block(np.abs(r[step]), lambda x, k=lag: _correlation(x[:-k], x[k:]))
    out["clustering_decay"] = _decay(np.abs(r[10]))
    out["intermittency_60s"] = _intermittency(np.abs(r[10]))
    out["leverage_60s"] = _block(r[60], lambda x: _correlation(x[:-1], x[1:] ** 2))
    out["volume_volatility_60s"] = _volume_volatility(found)
    out["time_asymmetry"] = _asymmetry(r[60])
    out.update(_flow_facts(found.orders))
    return {name: out[name] for name in DEFINITIONS}


def _grid(books: I64, step: int) -> tuple[I64, F64, npt.NDArray[np.bool_]]:
    """Times, log mids and whether the mid is known, every ``step`` seconds."""
    times = np.arange(books[flow_of.B_T, 0], books[flow_of.B_T, -1] + 1, step * SECOND)
    at = np.searchsorted(books[flow_of.B_T], times, "right") - 1
    mid = 0.5 * (books[flow_of.B_BID, at] + books[flow_of.B_ASK, at])
    after = np.minimum(at + 1, books.shape[1] - 1)
    known = (books[flow_of.B_SEGMENT, at] == books[flow_of.B_SEGMENT, after]) | (books[flow_of.B_T, at] == times)
    return times, np.log(np.maximum(mid, 1.0)), known


def _returns(books: I64, step: int) -> F64:
    if books.shape[1] < 2:
        return np.zeros(0)
    _, logs, known = _grid(books, step)
    return np.diff(logs)[known[1:] & known[:-1]]


def _correlation(a: F64, b: F64) -> float:
    if len(a) < 3 or np.std(a) == 0 or np.std(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _kurtosis(x: F64) -> float:
    variance = float(np.var(x))
    return float(np.mean((x - x.mean()) ** 4) / variance**2) if variance > 0 else float("nan")


def _skewness(x: F64) -> float:
    variance = float(np.var(x))
    return float(np.mean((x - x.mean()) ** 3) / variance**1.5) if variance > 0 else float("nan")


def _block(x: F64, figure) -> Fact:  # type: ignore[no-untyped-def]
    """A figure of a sample and its jackknife error; nan of a sample under 30."""
    if len(x) < 30:
        return Fact(float("nan"), float("nan"), len(x))
    value = figure(x)
    error = float("nan")
    if len(x) >= _LEAST:
        edges = np.linspace(0, len(x), _BLOCKS + 1).astype(np.int64)
        left = np.array([figure(np.delete(x, np.s_[edges[i] : edges[i + 1]])) for i in range(_BLOCKS)])
        error = float(np.sqrt((_BLOCKS - 1) / _BLOCKS * np.sum((left - left.mean()) ** 2)))
    return Fact(value, error, len(x))


def _hill(x: F64) -> Fact:
    """Hill 1975: one over the mean log excess of the largest values; error ``index / sqrt(k)``."""
    size = np.sort(np.abs(x[x != 0]))
    k = len(size) // 20
    if k < 10:
        return Fact(float("nan"), float("nan"), len(size))
    excess = float(np.mean(np.log(size[-k:] / size[-k - 1])))
    index = 1.0 / excess if excess > 0 else float("nan")
    return Fact(index, index / np.sqrt(k), len(size))


def _scaled(x: F64) -> F64:
    """Returns over the square root of the EWMA (0.94, RiskMetrics) of the squares before them."""
    if len(x) < 30:
        return x
    variance, out = float(np.var(x)), np.zeros(len(x))
    floor = 1e-3 * variance
    for i, value in enumerate(x):
        out[i] = value / np.sqrt(max(variance, floor, 1e-30))
        variance = 0.94 * variance + 0.06 * value * value
    return out


def _decay(size: F64) -> Fact:
    lags = np.array([1, 2, 3, 5, 8, 12, 20, 30, 45, 60])
    if len(size) < 600:
        return Fact(float("nan"), float("nan"), len(size))
    found = np.array([_correlation(size[:-k], size[k:]) for k in lags])
    good = found > 0.005
    if np.count_nonzero(good) < 4:
        return Fact(float("nan"), float("nan"), len(size))
    slope = np.polyfit(np.log(lags[good]), np.log(found[good]), 1)[0]
    return Fact(float(-slope), float("nan"), len(size))


def _intermittency(size: F64) -> Fact:
    whole = len(size) // 60 * 60
    if whole < 600:
        return Fact(float("nan"), float("nan"), len(size))
    high = (size[:whole] > np.quantile(size, 0.95)).reshape(-1, 60).sum(axis=1)
    return Fact(float(np.var(high) / max(high.mean(), 1e-12)), float("nan"), len(high))


def _volume_volatility(found: Flow) -> Fact:
    if found.books.shape[1] < 2:
        return Fact(float("nan"), float("nan"), 0)
    times, logs, known = _grid(found.books, 60)
    takes = found.orders[:, found.orders[flow_of.KIND] == TAKE]
    at = np.searchsorted(times, takes[flow_of.T], "right") - 1
    inside = (at >= 0) & (at < len(times) - 1)
    lots = np.bincount(at[inside], takes[flow_of.SIZE][inside], len(times) - 1)[: len(times) - 1]
    good = known[1:] & known[:-1]
    value = _correlation(np.abs(np.diff(logs))[good], lots[good].astype(np.float64)) if good.any() else float("nan")
    return Fact(value, float(1 / np.sqrt(max(1, good.sum()))), int(good.sum()))


def _asymmetry(r: F64) -> Fact:
    """Müller et al. 1997: coarse volatility predicts fine volatility better than the other way round."""
    whole = len(r) // 5 * 5
    if whole < 100:
        return Fact(float("nan"), float("nan"), len(r))
    fine = np.abs(r[:whole]).reshape(-1, 5).mean(axis=1)
    coarse = np.abs(r[:whole].reshape(-1, 5).sum(axis=1))
    value = _correlation(coarse[:-1], fine[1:]) - _correlation(fine[:-1], coarse[1:])
    return Fact(value, float(np.sqrt(2 / len(fine))), len(fine))


def _flow_facts(orders: I64) -> dict[str, Fact]:
    once = orders[:, (orders[flow_of.KIND] != TAKE) | (orders[flow_of.GROUP] == 0)]
    takes = once[:, once[flow_of.KIND] == TAKE]
    dt = np.diff(once[flow_of.T]) / SECOND
    same = np.diff(once[flow_of.SEGMENT]) == 0
    seconds = max(1e-9, float(dt[same].sum()))
    sign = np.where(takes[flow_of.SIDE] == 1, 1.0, -1.0)
    out = {
        "orders_per_second": Fact(once.shape[1] / seconds, float("nan"), once.shape[1]),
        "trades_per_second": Fact(takes.shape[1] / seconds, float("nan"), takes.shape[1]),
    }
    for lag in (1, 10):
        out[f"trade_sign_lag{lag}"] = _block(
            sign, lambda x, k=lag: _correlation(x[:-k], x[k:]) if len(x) > k + 3 else float("nan")
        )
    minutes = (once[flow_of.T] - once[flow_of.T][:1]) // (60 * SECOND)
    count = np.bincount(minutes)[:-1] if len(minutes) else np.zeros(0)
    dispersion = float(np.var(count) / count.mean()) if len(count) > 5 and count.mean() > 0 else float("nan")
    out["order_count_dispersion_60s"] = Fact(dispersion, float("nan"), len(count))
    return out
