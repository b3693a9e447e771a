"""Means of dependent series: circular block bootstrap (D. Politis, J. Romano, 1992), blocks of 2·n^(1/3) values."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

DRAWS: Final = 4_000


class Mean(NamedTuple):
    """A mean and what chance lets expect of it.

    Attributes
    ----------
    value
        In the unit of the series.
    low, high
        Central 95 % interval from resampled blocks.
    deviation
        Of the mean over resamples.
    p_above, p_below
        One-sided chances of a mean so far above (below) 0 if the true one were 0, from resamples of the centred
        series; never 0.
    size
        Values in the series.
    """

    value: float
    low: float
    high: float
    deviation: float
    p_above: float
    p_below: float
    size: int


def resampled_means(values: F64, draws: int = DRAWS, seed: int = 0) -> F64:
    """Means (draws,) of resampled blocks of a series (n,).

    Raises
    ------
    UsageError
        If the series has fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise UsageError(f"a bootstrap needs at least 2 values, had {count}")
    length = max(1, min(count // 2, round(2.0 * count ** (1.0 / 3.0))))
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[: length - 1])))))
    blocks = sums[length:] - sums[:-length]
    drawn = np.random.default_rng(seed).integers(0, count, (draws, -(-count // length)))
    return np.asarray(blocks[drawn].mean(axis=1) / length, np.float64)


def mean_of(values: F64, draws: int = DRAWS, seed: int = 0) -> Mean:
    """Mean of a series with its interval and one-sided chances; a series of nothing but 0 has chances of 1."""
    value = float(values.mean())
    moved = resampled_means(values - value, draws, seed)
    low, high = (value + np.quantile(moved, (0.025, 0.975))).tolist()
    deviation = float(moved.std())
    if not deviation > 1e-15 * max(1.0, abs(value)):
        certain = 1.0 / (1 + draws)
        above, below = (certain if value > 0.0 else 1.0), (certain if value < 0.0 else 1.0)
        return Mean(value, value, value, 0.0, above, below, len(values))
    above = (1 + int((moved >= value).sum())) / (1 + draws)
    below = (1 + int((moved <= value).sum())) / (1 + draws)
    return Mean(value, low, high, deviation, above, below, len(values))
