"""Is a Sharpe ratio skill, luck, or the best of many tries? Probabilistic and deflated Sharpe ratios.

Two definitions are in use, and this module names them apart:

* the **classic** one, :func:`probabilistic_sharpe` and :func:`deflated_sharpe` (Bailey and López de Prado, "The Sharpe
  Ratio Efficient Frontier" 2012 and "The Deflated Sharpe Ratio" 2014): the variance is taken at the observed ratio and
  divided by T − 1;
* the **null-variance** one, the functions that end in ``_null`` (López de Prado, Lipton and Zoonekynd, "Sharpe Ratio
  Inference", 2025): the variance is taken under the null hypothesis, divided by T, with terms for first-order
  autocorrelation.

Every Sharpe ratio here is per observation, never annualised; ``kurtosis`` is not excess (normal: 3).
"""

import math
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

EULER_GAMMA: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()


def _check_sample(observations: float) -> None:
    if not observations > 1:
        raise UsageError(f"a Sharpe ratio needs more than 1 observation, had {observations}")


def _check_trials(trials: float) -> None:
    if not trials >= 1:
        raise UsageError(f"the number of trials must be >= 1, was {trials}")


# -- the classic definition -----------------------------------------------------------------------------------------


def _classic_spread(sharpe: float, skew: float, kurtosis: float) -> float:
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2


def probabilistic_sharpe(
    sharpe: float, benchmark: float, observations: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark; classic definition.

    ``PSR = Φ((SR − SR*) √(T − 1) / √(1 − γ3 SR + (γ4 − 1)/4 SR²))``.

    Parameters
    ----------
    sharpe, benchmark
        Observed and compared ratio, per observation.
    observations
        Number of returns T, > 1.
    skew, kurtosis
        Of the returns.

    Returns
    -------
    Probability, 0 to 1.
    """
    _check_sample(observations)
    spread = math.sqrt(_classic_spread(sharpe, skew, kurtosis))
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(observations - 1.0) / spread)


def expected_maximum(trials: float) -> float:
    """Expected maximum of independent standard normals, ``(1 − γ) Z(1 − 1/N) + γ Z(1 − 1/(N e))``; 0 for one trial.

    Parameters
    ----------
    trials
        Number N of (effective) trials, >= 1.
    """
    _check_trials(trials)
    if trials == 1:
        return 0.0
    first, second = 1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * math.e)
    return (1.0 - EULER_GAMMA) * _NORMAL.inv_cdf(first) + EULER_GAMMA * _NORMAL.inv_cdf(second)


def deflated_sharpe(
    sharpe: float, observations: float, trials: float, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probabilistic Sharpe ratio against what the best of many useless trials would show; classic definition.

    Parameters
    ----------
    sharpe
        Ratio of the chosen trial, per observation.
    observations
        Number of returns T, > 1.
    trials
        Number of (effective) trials it was the best of.
    variance
        Variance of the trials' Sharpe ratios, per observation.
    skew, kurtosis
        Of the chosen trial's returns.

    Returns
    -------
    Probability, 0 to 1.
    """
    benchmark = math.sqrt(variance) * expected_maximum(trials)
    return probabilistic_sharpe(sharpe, benchmark, observations, skew, kurtosis)


def minimum_track_record(
    sharpe: float, benchmark: float, skew: float = 0.0, kurtosis: float = 3.0, alpha: float = 0.05
) -> float:
    """Observations needed to show a Sharpe ratio above a benchmark; classic definition.

    ``MinTRL = 1 + (1 − γ3 SR + (γ4 − 1)/4 SR²) (Z(1 − α) / (SR − SR*))²``; infinite if ``sharpe <= benchmark``.
    """
    if sharpe <= benchmark:
        return math.inf
    return 1.0 + _classic_spread(sharpe, skew, kurtosis) * (_NORMAL.inv_cdf(1.0 - alpha) / (sharpe - benchmark)) ** 2


def effective_trials(correlation: npt.NDArray[np.float64]) -> float:
    """How many independent trials a set of correlated ones is worth: exp of the entropy of its eigenvalue shares.

    Parameters
    ----------
    correlation
        Correlation matrix of the trials' returns, (n, n).

    Returns
    -------
    1 (all the same) to n (independent).
    """
    shares = np.clip(np.linalg.eigvalsh(correlation), 0.0, None)
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


# -- the null-variance definition of 2025 ---------------------------------------------------------------------------


def sharpe_variance(
    sharpe: float, observations: float, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0
) -> float:
    """Variance of an estimated Sharpe ratio whose true value is ``sharpe``, with first-order autocorrelation.

    ``(a − b γ3 SR + c (γ4 − 1)/4 SR²)/T`` with ``a = 1 + 2ρ/(1−ρ)``, ``b = 1 + ρ/(1−ρ) + ρ²/(1−ρ²)``,
    ``c = 1 + 2ρ²/(1−ρ²)``.
    """
    _check_sample(observations)
    rho = autocorrelation
    if not -1.0 < rho < 1.0:
        raise UsageError(f"autocorrelation must be between -1 and 1, was {rho}")
    a = 1.0 + 2.0 * rho / (1.0 - rho)
    b = 1.0 + rho / (1.0 - rho) + rho**2 / (1.0 - rho**2)
    c = 1.0 + 2.0 * rho**2 / (1.0 - rho**2)
    return (a - b * skew * sharpe + c * (kurtosis - 1.0) / 4.0 * sharpe**2) / observations


def probabilistic_sharpe_null(
    sharpe: float,
    benchmark: float,
    observations: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float:
    """One minus the p-value of the null hypothesis "the true ratio is the benchmark", its variance taken under it."""
    deviation = math.sqrt(sharpe_variance(benchmark, observations, skew, kurtosis, autocorrelation))
    return _NORMAL.cdf((sharpe - benchmark) / deviation)


def minimum_track_record_null(
    sharpe: float,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """Observations needed to reject the benchmark at level alpha, variance under the null; infinite at or under it."""
    if sharpe <= benchmark:
        return math.inf
    unit = 2.0 * sharpe_variance(benchmark, 2.0, skew, kurtosis, autocorrelation)
    return unit * (_NORMAL.inv_cdf(1.0 - alpha) / (sharpe - benchmark)) ** 2


def critical_sharpe(
    benchmark: float,
    observations: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """Smallest observed ratio that rejects "the true ratio is the benchmark" at level alpha."""
    deviation = math.sqrt(sharpe_variance(benchmark, observations, skew, kurtosis, autocorrelation))
    return benchmark + _NORMAL.inv_cdf(1.0 - alpha) * deviation


@cache
def maximum_variance(trials: int) -> float:
    """Variance of the maximum of independent standard normals, by quadrature."""
    _check_trials(trials)
    x = np.linspace(-12.0, 12.0, 24_001)
    below = np.vectorize(_NORMAL.cdf, otypes=[np.float64])(x) ** (trials - 1)
    density = trials * below * np.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi)
    step = float(x[1] - x[0])
    mean, square = float((density * x).sum() * step), float((density * x * x).sum() * step)
    return square - mean**2


def deflated_sharpe_null(
    sharpe: float,
    observations: float,
    trials: int,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    *,
    variance_of_maximum: bool = True,
) -> float:
    """Deflated Sharpe ratio with the variance under the null, which is the expected best of the useless trials.

    Parameters
    ----------
    variance_of_maximum
        Whether the deviation is scaled by that of the maximum of ``trials`` normals, since it is a maximum that is
        tested; ``False`` scales as for one trial.
    """
    benchmark = math.sqrt(variance) * expected_maximum(trials)
    scale = maximum_variance(trials) if variance_of_maximum else 1.0
    deviation = math.sqrt(scale * sharpe_variance(benchmark, observations, skew, kurtosis, autocorrelation))
    return _NORMAL.cdf((sharpe - benchmark) / deviation)
