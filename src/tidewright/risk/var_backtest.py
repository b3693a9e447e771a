"""Was a VaR right? Kupiec's and Christoffersen's tests and the Basel zones over days on which the loss passed it.

A *hit* is a step whose loss was greater than the VaR forecast for it. A right VaR is hit with probability ``1 -
confidence``, and a hit says nothing about the next step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64
from tidewright.risk.value_at_risk import Tail

GREEN, YELLOW, RED = "green", "yellow", "red"
_PLUS: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.50, 0.65, 0.75, 0.85, 1.0)


class Ratio(NamedTuple):
    """A likelihood ratio and the probability of one at least as large if the VaR is right."""

    statistic: float
    p_value: float


def kupiec(hits: int, steps: int, probability: float) -> Ratio:
    """Proportion of failures: is the share of hits the promised one? (Kupiec 1995; chi-squared, 1 degree of freedom).

    Parameters
    ----------
    probability
        Promised share of hits, 1 - confidence.
    """
    if not 0 <= hits <= steps or steps < 1:
        raise UsageError(f"hits must be 0 to {steps} steps, were {hits}")
    if not 0 < probability < 1:
        raise UsageError(f"the probability of a hit must be in (0, 1), was {probability}")
    share = hits / steps
    found = _log(1 - share, steps - hits) + _log(share, hits)
    promised = _log(1 - probability, steps - hits) + _log(probability, hits)
    return _chi_squared(2.0 * (found - promised), 1)


class Transitions(NamedTuple):
    """Counts of pairs of neighbouring steps: from no hit or hit (first digit) to no hit or hit (second)."""

    n00: int
    n01: int
    n10: int
    n11: int


def transitions(hits: npt.NDArray[np.bool_] | Sequence[bool]) -> Transitions:
    """Pairs of neighbouring steps by hit and no hit."""
    flags = np.asarray(hits, bool)
    before, after = flags[:-1], flags[1:]
    return Transitions(*(int(np.sum((before == a) & (after == b))) for a in (False, True) for b in (False, True)))


def independence(hits: npt.NDArray[np.bool_] | Sequence[bool]) -> Ratio:
    """Do hits come in clusters? (Christoffersen 1998; chi-squared, 1 degree of freedom)."""
    n00, n01, n10, n11 = transitions(hits)
    pairs = n00 + n01 + n10 + n11
    if pairs == 0:
        raise DataError("a test of independence needs at least two steps")
    apart = _share(n01, n00 + n01), _share(n11, n10 + n11)
    together = (n01 + n11) / pairs
    free = _log(1 - apart[0], n00) + _log(apart[0], n01) + _log(1 - apart[1], n10) + _log(apart[1], n11)
    bound = _log(1 - together, n00 + n10) + _log(together, n01 + n11)
    return _chi_squared(2.0 * (free - bound), 1)


def conditional_coverage(hits: npt.NDArray[np.bool_] | Sequence[bool], probability: float) -> Ratio:
    """Right share and no clusters at once: the sum of both ratios (Christoffersen 1998; 2 degrees of freedom)."""
    flags = np.asarray(hits, bool)
    both = kupiec(int(flags.sum()), len(flags), probability).statistic + independence(flags).statistic
    return _chi_squared(both, 2)


def basel_zone(hits: int, steps: int = 250, probability: float = 0.01) -> str:
    """Traffic light: green below 95 % of the binomial distribution, red from 99.99 % on, yellow between (Basel
    Committee 1996, "Supervisory framework for the use of backtesting"; 250 days at 99 %: green to 4, red from 10).
    """
    from scipy.special import bdtr

    if not 0 <= hits <= steps:
        raise UsageError(f"hits must be 0 to {steps} steps, were {hits}")
    reached = float(bdtr(hits, steps, probability))
    return GREEN if reached < 0.95 else YELLOW if reached < 0.9999 else RED


def basel_plus_factor(hits: int) -> float:
    """What the same document adds to the capital multiplier of 3 for hits in 250 days at 99 %."""
    return _PLUS[min(max(hits, 0), 10)]


@dataclass(frozen=True, slots=True)
class Backtest:
    """A VaR held against what came.

    Attributes
    ----------
    hits
        By step, bool.
    forecasts
        Value at risk by step, positive fractions, float64.
    shortfall_ratio
        Mean loss on hits over the mean shortfall forecast for them; 1 is right, more is too small a forecast; NaN
        without hits.
    """

    hits: npt.NDArray[np.bool_]
    forecasts: F64
    shortfall_ratio: float
    coverage: Ratio
    clusters: Ratio
    both: Ratio
    zone: str


def backtest(
    returns: F64, model: Callable[[F64, float], Tail], window: int = 250, confidence: float = 0.99
) -> Backtest:
    """Forecast each step from the ``window`` returns before it and count the hits.

    Raises
    ------
    DataError
        If there are not more returns than the window.
    """
    values = np.asarray(returns, np.float64)
    if len(values) <= window + 1:
        raise DataError(f"a backtest over windows of {window} returns needs more than {window + 1}, had {len(values)}")
    tails = np.array([model(values[i - window : i], confidence) for i in range(window, len(values))])
    losses = -values[window:]
    hits = losses > tails[:, 0]
    probability = 1.0 - confidence
    ratio = float(losses[hits].mean() / tails[hits, 1].mean()) if hits.any() else math.nan
    count = int(hits.sum())
    return Backtest(
        hits,
        tails[:, 0],
        ratio,
        kupiec(count, len(hits), probability),
        independence(hits),
        conditional_coverage(hits, probability),
        basel_zone(count, len(hits), probability),
    )


def _log(probability: float, count: int) -> float:
    """Count times the logarithm; nothing that did not happen weighs nothing."""
    return count * math.log(probability) if count else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _chi_squared(statistic: float, freedom: int) -> Ratio:
    from scipy.special import chdtrc

    value = max(0.0, statistic)
    return Ratio(value, float(chdtrc(freedom, value)))
