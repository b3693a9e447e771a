"""Kelly's criterion: how much to bet on an edge, how little where the edge is only estimated.

J. L. Kelly, "A New Interpretation of Information Rate", Bell System Technical Journal 35 (1956). For bets small against
the capital it is the continuous case ``f = mu / sigma^2``: growth ``f mu - f^2 sigma^2 / 2`` a unit of time is largest
there (E. O. Thorp, "The Kelly Criterion in Blackjack, Sports Betting and the Stock Market", 2006, section 7).
"""

import math

from tidewright.market.errors import UsageError


def binary(chance: float, odds: float) -> float:
    """Share of the capital to stake on a bet that wins ``odds`` times the stake; below 0: do not.

    ``f = p - (1 - p) / b``.

    Raises
    ------
    UsageError
        If the chance is no probability or the odds are not > 0.
    """
    if not 0.0 <= chance <= 1.0 or not odds > 0.0:
        raise UsageError(f"a bet needs a chance in [0, 1] and odds > 0, had {chance} and {odds}")
    return chance - (1.0 - chance) / odds


def continuous(mean: float, deviation: float) -> float:
    """Exposure over capital that makes it grow fastest: ``mu / sigma^2``.

    Parameters
    ----------
    mean, deviation
        Of the return of one unit of exposure, in the same unit of time.

    Raises
    ------
    UsageError
        If the deviation is not > 0.
    """
    if not deviation > 0.0:
        raise UsageError(f"the deviation must be > 0, was {deviation}")
    return mean / deviation**2


def growth(mean: float, deviation: float, exposure: float) -> float:
    """Growth of the logarithm of the capital a unit of time: ``f mu - f^2 sigma^2 / 2``."""
    return exposure * mean - 0.5 * (exposure * deviation) ** 2


def relative_growth(fraction: float) -> float:
    """Growth with a fraction of Kelly's exposure over that with all of it: ``c (2 - c)``."""
    return fraction * (2.0 - fraction)


def chance_of_falling(share: float, fraction: float) -> float:
    """Probability that the capital is ever at ``share`` of what it was, with a fraction of Kelly's exposure.

    ``x^(2/c - 1)`` (Thorp 2006, section 7.3), for c in (0, 2).

    Raises
    ------
    UsageError
        If share is not in (0, 1] or fraction not in (0, 2).
    """
    if not 0.0 < share <= 1.0:
        raise UsageError(f"the share must be in (0, 1], was {share}")
    return float(share ** _power(fraction))


def chance_of_reaching(high: float, low: float, fraction: float) -> float:
    """Probability that the capital is ``high`` times what it was before it is ``low`` times (Thorp 2006, 7.3).

    Raises
    ------
    UsageError
        If not 0 < low < 1 < high, or fraction not in (0, 2).
    """
    if not 0.0 < low < 1.0 < high:
        raise UsageError(f"needed 0 < low < 1 < high, had {low} and {high}")
    power = _power(fraction)
    return float((low**power - 1.0) / ((low / high) ** power - 1.0))


def shrinkage(mean: float, error: float) -> float:
    """What an estimated edge is worth of a known one: ``m^2 / (m^2 + s^2)``, in [0, 1].

    With the exposure ``k m / sigma^2`` and an estimate m of standard error s around the true edge, expected growth is
    ``(k mu^2 - k^2 (mu^2 + s^2) / 2) / sigma^2`` and largest at this k, where the estimate stands in for the edge. The
    continuous form of R. D. Baker and I. G. McHale, "Optimal Betting Under Parameter Uncertainty: Improving the Kelly
    Criterion", Decision Analysis 10 (2013).

    Raises
    ------
    UsageError
        If the error is < 0.
    """
    if not error >= 0.0:
        raise UsageError(f"a standard error must be >= 0, was {error}")
    if mean == 0.0:
        return 0.0
    return (mean / math.hypot(mean, error)) ** 2


def sized(mean: float, deviation: float, error: float, fraction: float, most: float = 1.0) -> float:
    """Exposure over that of the configured size: a fraction of Kelly's, at most ``most``, shrunk by the uncertainty.

    ``min(most, c m / sigma^2) * m^2 / (m^2 + s^2)``, and 0 without a positive edge. It is shrunk after it is bounded:
    the size that limits allow is mostly far under Kelly's, and the doubt about the edge has to be felt all the same.

    Parameters
    ----------
    mean, deviation, error
        Of returns with the configured size: estimate, deviation, standard error of the estimate.
    """
    if not mean > 0.0 or not deviation > 0.0 or not math.isfinite(error):
        return 0.0
    return min(most, fraction * continuous(mean, deviation)) * shrinkage(mean, error)


def _power(fraction: float) -> float:
    if not 0.0 < fraction < 2.0:
        raise UsageError(f"the fraction of Kelly's exposure must be in (0, 2), was {fraction}")
    return 2.0 / fraction - 1.0
