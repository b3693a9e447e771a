"""Value at risk and expected shortfall of returns: historical, parametric, filtered by EWMA or GARCH, Cornish-Fisher.

Returns are simple or log returns of one step, float64 (n,), oldest first. Results are losses: positive fractions of
what is held, of one step; :func:`over_horizon` scales them. ``confidence`` is the share of steps that the loss shall
not pass (0.99: one step in a hundred is worse).
"""

import math
from typing import Final, Literal, NamedTuple

import numpy as np

from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64

RISKMETRICS: Final = 0.94
"""Weight of the past in the EWMA variance (RiskMetrics Technical Document, 1996, for daily returns)."""

METHODS: Final = ("historical", "normal", "student", "ewma", "garch", "cornish_fisher")
Method = Literal["historical", "normal", "student", "ewma", "garch", "cornish_fisher"]

_LEAST: Final = 30  # returns below which a tail says nothing


class Tail(NamedTuple):
    """A loss that is passed with probability 1 - confidence, and the mean of those that pass it. Positive fractions."""

    value_at_risk: float
    expected_shortfall: float


def measure(returns: F64, confidence: float = 0.99, method: Method = "historical") -> Tail:
    """The tail of the next step's return by one of :data:`METHODS`.

    Raises
    ------
    UsageError
        If the method is unknown, or the confidence is not in (0.5, 1).
    DataError
        If there are fewer than 30 returns, or one is not finite.
    """
    functions = {
        "historical": historical,
        "normal": normal,
        "student": student,
        "ewma": ewma_filtered,
        "garch": garch_filtered,
        "cornish_fisher": cornish_fisher,
    }
    if method not in functions:
        raise UsageError(f"VaR method must be one of {', '.join(METHODS)}, was {method!r}")
    return functions[method](returns, confidence)


def historical(returns: F64, confidence: float = 0.99) -> Tail:
    """Tail of the empirical distribution; the shortfall weighs the boundary's loss so that the weights add up to the
    tail's mass (Acerbi & Tasche 2002, equation 4.5).
    """
    losses = -np.sort(_checked(returns, confidence))  # largest first
    mass = len(losses) * (1.0 - confidence)
    # Without the margin a mass of 5 that came out as 5.000000000000004 would take a sixth loss.
    whole = math.floor(mass + 1e-9)
    boundary = losses[min(max(whole, 1), len(losses)) - 1] if whole >= mass - 1e-9 else losses[whole]
    shortfall = (losses[:whole].sum() + (mass - whole) * losses[min(whole, len(losses) - 1)]) / mass
    return Tail(float(boundary), float(shortfall))


def normal_tail(mean: float, deviation: float, confidence: float = 0.99) -> Tail:
    """Tail of a normal return."""
    from scipy.special import ndtri

    _check_confidence(confidence)
    z = float(ndtri(confidence))
    density = math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return Tail(deviation * z - mean, deviation * density / (1.0 - confidence) - mean)


def student_tail(mean: float, deviation: float, freedom: float, confidence: float = 0.99) -> Tail:
    """Tail of a Student t return with this mean and standard deviation (McNeil, Frey & Embrechts 2015, example 2.15).

    Parameters
    ----------
    freedom
        Degrees of freedom, > 2, so that there is a deviation.
    """
    from scipy import stats

    _check_confidence(confidence)
    if not freedom > 2:
        raise UsageError(f"degrees of freedom must be > 2, were {freedom}")
    quantile = float(stats.t.ppf(confidence, freedom))
    density = float(stats.t.pdf(quantile, freedom))
    scale = deviation * math.sqrt((freedom - 2.0) / freedom)
    beyond = density / (1.0 - confidence) * (freedom + quantile * quantile) / (freedom - 1.0)
    return Tail(scale * quantile - mean, scale * beyond - mean)


def normal(returns: F64, confidence: float = 0.99) -> Tail:
    """Parametric: normal with the sample's mean and deviation."""
    values = _checked(returns, confidence)
    return normal_tail(float(values.mean()), float(values.std(ddof=1)), confidence)


def student(returns: F64, confidence: float = 0.99) -> Tail:
    """Parametric: Student t with the sample's mean and deviation, degrees of freedom from its kurtosis (method of
    moments, 4 + 6 / excess; 4.05 to 200).
    """
    values = _checked(returns, confidence)
    _, excess = _shape(values)
    freedom = min(200.0, max(4.05, 4.0 + 6.0 / excess)) if excess > 0 else 200.0
    return student_tail(float(values.mean()), float(values.std(ddof=1)), freedom, confidence)


def cornish_fisher(returns: F64, confidence: float = 0.99) -> Tail:
    """Normal quantile corrected for skewness and kurtosis; see :func:`cornish_fisher_tail`."""
    values = _checked(returns, confidence)
    skewness, excess = _shape(values)
    return cornish_fisher_tail(float(values.mean()), float(values.std(ddof=1)), skewness, excess, confidence)


def cornish_fisher_tail(
    mean: float, deviation: float, skewness: float, excess: float, confidence: float = 0.99
) -> Tail:
    """Tail of a return with these moments by the Cornish-Fisher expansion (Cornish & Fisher 1938, Favre & Galeano
    2002).

    ``z + (z^2-1) S/6 + (z^3-3z) K/24 - (2z^3-5z) S^2/36`` at the lower normal quantile; the shortfall is its mean over
    the tail, which the normal's incomplete moments give in closed form.

    Raises
    ------
    DataError
        If the corrected quantile does not rise with the normal one over the whole tail: the expansion then gives no
        distribution (Maillard 2012), and another method must be used.
    """
    from scipy.special import ndtri

    _check_confidence(confidence)
    z = float(ndtri(1.0 - confidence))
    s, k = skewness / 6.0, excess / 24.0
    square = skewness * skewness / 36.0
    # The slope as a quadratic in z: it must not be negative from the tail's boundary outwards.
    a, b, c = 3.0 * (k - 2.0 * square), 2.0 * s, 1.0 - 3.0 * k + 5.0 * square
    deepest = min(z, -b / (2.0 * a)) if a > 0 else -8.0
    if any(a * x * x + b * x + c < 0 for x in (z, deepest)):
        raise DataError(
            f"the Cornish-Fisher expansion gives no distribution for skewness {skewness:.3g} and excess kurtosis "
            f"{excess:.3g}; use the historical or a filtered method"
        )
    quantile = z + (z * z - 1.0) * s + (z**3 - 3.0 * z) * k - (2.0 * z**3 - 5.0 * z) * square
    density, mass = math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi), 1.0 - confidence
    first, second, third = -density, mass - z * density, -(z * z + 2.0) * density
    total = first + (second - mass) * s + (third - 3.0 * first) * k - (2.0 * third - 5.0 * first) * square
    return Tail(-deviation * quantile - mean, -deviation * total / mass - mean)


def ewma_variances(returns: F64, start: float | None = None, decay: float = RISKMETRICS) -> F64:
    """Variance before each return and after the last: ``v' = decay v + (1 - decay) r^2``.

    Parameters
    ----------
    start
        Variance before the first; ``None``: the mean square of the first 30 (or all) returns.

    Returns
    -------
    F64
        Shape (n + 1,), float64: entry i is the forecast for return i.
    """
    if not 0 < decay < 1:
        raise UsageError(f"the decay must be in (0, 1), was {decay}")
    squares = np.square(np.asarray(returns, np.float64))
    first = float(squares[:_LEAST].mean()) if start is None else start
    return _recursion(squares, first, 0.0, 1.0 - decay, decay)


def garch_variances(returns: F64, omega: float, alpha: float, beta: float, start: float | None = None) -> F64:
    """Variance before each return and after the last: ``v' = omega + alpha r^2 + beta v`` (Bollerslev 1986).

    Parameters
    ----------
    start
        Variance before the first; ``None``: the long run's.
    """
    first = garch_long_run(omega, alpha, beta) if start is None else start
    return _recursion(np.square(np.asarray(returns, np.float64)), first, omega, alpha, beta)


def garch_long_run(omega: float, alpha: float, beta: float) -> float:
    """Unconditional variance ``omega / (1 - alpha - beta)``."""
    if not (omega > 0 and alpha >= 0 and beta >= 0 and alpha + beta < 1):
        raise UsageError(f"GARCH needs omega > 0 and alpha + beta < 1, were {omega}, {alpha}, {beta}")
    return omega / (1.0 - alpha - beta)


def garch_half_life(alpha: float, beta: float) -> float:
    """Steps after which half of a shock to the variance is gone: ``ln 0.5 / ln(alpha + beta)``."""
    return math.log(0.5) / math.log(alpha + beta)


def garch_fit(returns: F64) -> tuple[float, float, float]:
    """Omega, alpha and beta of a zero-mean GARCH(1,1) with normal errors, by the `arch` package.

    Raises
    ------
    UsageError
        If `arch` is not installed.
    DataError
        If the returns do not vary, or the fit has no long run.
    """
    try:
        from arch.univariate import GARCH, ZeroMean
    except ImportError:
        raise UsageError("GARCH is fitted by `arch`: pip install 'tidewright[evidence]'") from None
    values = _checked(returns, 0.99)
    size = float(values.std())
    if size == 0:
        raise DataError("GARCH cannot be fitted to returns that do not vary")
    scaled = ZeroMean(values / size, volatility=GARCH(1, 0, 1), rescale=False)
    found = scaled.fit(disp="off", show_warning=False).params
    omega, alpha, beta = (float(found[name]) for name in ("omega", "alpha[1]", "beta[1]"))
    if not alpha + beta < 1:
        # At the edge of the region the fit allows; a hair inside it the long run exists and forecasts are the same.
        excess = (alpha + beta) / 0.9999
        alpha, beta = alpha / excess, beta / excess
    return max(omega, 1e-9) * size * size, alpha, beta


def ewma_filtered(returns: F64, confidence: float = 0.99, decay: float = RISKMETRICS) -> Tail:
    """Filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999): returns in units of their forecast
    deviation, their empirical tail times the next step's EWMA deviation.
    """
    return _filtered(_checked(returns, confidence), ewma_variances(returns, decay=decay), confidence)


def garch_filtered(returns: F64, confidence: float = 0.99) -> Tail:
    """As :func:`ewma_filtered` with a fitted GARCH(1,1)."""
    values = _checked(returns, confidence)
    return _filtered(values, garch_variances(values, *garch_fit(values)), confidence)


def portfolio(exposures: F64, covariance: F64, confidence: float = 0.99) -> Tail:
    """Variance-covariance tail of a portfolio of zero mean, in the exposures' money.

    Parameters
    ----------
    exposures
        Signed value of each position, (n,) float64.
    covariance
        Of the returns, (n, n) float64.
    """
    variance = float(exposures @ covariance @ exposures)
    return normal_tail(0.0, math.sqrt(max(0.0, variance)), confidence)


def over_horizon(tail: Tail, steps: float) -> Tail:
    """The tail of so many steps, by the square root of time: steps without drift and correlation in time."""
    if not steps > 0:
        raise UsageError(f"a horizon must be > 0 steps, was {steps}")
    return Tail(*(part * math.sqrt(steps) for part in tail))


def _filtered(values: F64, variances: F64, confidence: float) -> Tail:
    if not variances.min() > 0:
        raise DataError("returns that do not vary at the start cannot be filtered; use the historical method")
    found = historical(values / np.sqrt(variances[:-1]), confidence)
    return Tail(*(part * math.sqrt(float(variances[-1])) for part in found))


def _recursion(squares: F64, first: float, constant: float, new: float, old: float) -> F64:
    from scipy.signal import lfilter

    steps = lfilter([1.0], [1.0, -old], constant + new * squares, zi=[old * first])[0]
    return np.concatenate([[first], steps])


def _shape(values: F64) -> tuple[float, float]:
    """Skewness and excess kurtosis, of the population."""
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    if variance == 0:
        return 0.0, 0.0
    return float(np.mean(centred**3)) / variance**1.5, float(np.mean(centred**4)) / variance**2 - 3.0


def _check_confidence(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise UsageError(f"the confidence of a VaR must be in (0.5, 1), was {confidence}")


def _checked(returns: F64, confidence: float) -> F64:
    _check_confidence(confidence)
    values = np.asarray(returns, np.float64)
    if len(values) < _LEAST:
        raise DataError(f"a VaR needs at least {_LEAST} returns, there were {len(values)}")
    if not np.isfinite(values).all():
        raise DataError("a VaR needs finite returns")
    return values
