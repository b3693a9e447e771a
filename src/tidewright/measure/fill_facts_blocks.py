"""Intervals for figures of dependent observations: a bootstrap over blocks of time.

Fills of one minute have the same market in common, so their number says little about how well a mean is known. Every
statistic here is a function of sums over blocks of time; blocks are drawn with replacement and the statistic is worked
out anew for each draw. Few blocks give too narrow an interval; the quantiles are moved outward to what Student's t
with one degree of freedom less than there are blocks asks for (the expanded percentile interval of Hesterberg 2015,
"What Teachers Should Know About the Bootstrap").
"""

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.measure.student import t_tail

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Statistic = Callable[[F64], F64]

DRAWS: Final = 2_000
LEAST_BLOCKS: Final = 8  # fewer blocks with observations give no interval
_CONFIDENCE: Final = 0.95


class Estimate(NamedTuple):
    """A figure with its 95 % interval; NaN where it is not known.

    Attributes
    ----------
    figure, low, high
        In the unit of the statistic.
    blocks
        Blocks of time that hold observations.
    """

    figure: float
    low: float
    high: float
    blocks: int


UNKNOWN: Final = Estimate(math.nan, math.nan, math.nan, 0)


def block_sums(block: I64, blocks: int, *columns: F64) -> F64:
    """Sums of columns over blocks.

    Parameters
    ----------
    block
        Block of each observation, 0 to blocks - 1, (n,) int64.
    columns
        Values, (n,) float64; NaN counts as 0.

    Returns
    -------
    F64
        Shape (blocks, columns).
    """
    return np.stack([np.bincount(block, np.nan_to_num(column), blocks) for column in columns], axis=1)


def ratio(sums: F64) -> F64:
    """First sum over the second along the last axis: a mean, a share. NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] != 0.0, sums[..., 0] / sums[..., 1], np.nan)


def bootstrap(sums: F64, statistic: Statistic, seed: int = 1) -> Estimate:
    """A statistic of block sums with its interval.

    Parameters
    ----------
    sums
        Shape (blocks, k); a block whose sums are all 0 holds no observation and is left out.
    statistic
        From totals of shape (..., k) to figures of shape (...).
    seed
        The same seed gives the same interval.

    Returns
    -------
    Estimate
        The interval is NaN for fewer than LEAST_BLOCKS blocks, or where a tenth of the draws is undefined.
    """
    used = sums[np.any(sums != 0.0, axis=1)]
    count = len(used)
    if count == 0:
        return UNKNOWN
    figure = float(statistic(used.sum(axis=0)))
    if count < LEAST_BLOCKS or not math.isfinite(figure):
        return Estimate(figure, math.nan, math.nan, count)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=DRAWS)
    drawn = statistic(weights.astype(np.float64) @ used)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 0.9 * DRAWS:
        return Estimate(figure, math.nan, math.nan, count)
    tail = _normal_tail(math.sqrt(count / (count - 1)) * t_quantile(0.5 + _CONFIDENCE / 2, count - 1))
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Estimate(figure, float(low), float(high), count)


@cache
def t_quantile(probability: float, df: int) -> float:
    """Quantile of Student's t distribution, by Newton's method from the normal one, which lies on its near side.

    Parameters
    ----------
    probability
        Above 0.5 and below 1.
    df
        Degrees of freedom, >= 1.
    """
    at = NormalDist().inv_cdf(probability)
    scale = math.exp(math.lgamma((df + 1) / 2.0) - math.lgamma(df / 2.0)) / math.sqrt(df * math.pi)
    for _ in range(50):
        density = scale * (1.0 + at * at / df) ** (-(df + 1) / 2.0)
        step = (float(t_tail(at, df)) - (1.0 - probability)) / density
        at += step
        if abs(step) < 1e-10 * at:
            break
    return at


def _normal_tail(value: float) -> float:
    return 0.5 * math.erfc(value / math.sqrt(2.0))
