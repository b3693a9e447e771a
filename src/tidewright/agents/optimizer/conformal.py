"""Between what and what will the next epoch's difference lie? Conformal intervals that follow a market that drifts.

A forecast says what difference it expects and with what deviation. How many deviations the differences of the past were
off says how wide an interval must be: no shape is assumed. Under drift the past is no sample of the future, so each end
of the interval has a level of its own that is corrected by every miss (adaptive conformal inference, Gibbs and Candès
2021): ``a ← a + γ (α − miss)``. Whatever the market does, the share of misses of an end over T epochs differs from α by
at most ``(max(a₁, 1 − a₁) + γ)/(γ T)``.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

LEVEL: Final = 0.9  # of the interval; half of the rest may be missed at each end
STEP: Final = 0.005  # γ: a miss moves an end's level by this
REMEMBERED: Final = 500  # newest errors that an end is read off
PRIOR: Final = 39  # made-up errors, quantiles of the normal distribution, that stay among them
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Range:
    """An interval for the sum of the differences over the next epoch.

    Attributes
    ----------
    expected
        What is expected, quote.
    lower, upper
        Its ends, quote; infinite where misses of late have been so many that no width is enough.
    level
        Share of epochs that shall lie in such intervals.
    covered
        Share that did; NaN before the first.
    count
        Epochs behind ``covered``.
    """

    expected: float
    lower: float
    upper: float
    level: float
    covered: float
    count: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, null where infinite or unknown."""
        names = ("expected", "lower", "upper", "level", "covered")
        plain = {name: value if math.isfinite(value := getattr(self, name)) else None for name in names}
        return {**plain, "n": self.count}


class Conformal:
    """Learns how far off forecasts were, one epoch at a time.

    Parameters
    ----------
    level
        Share of epochs that shall lie within, in (0, 1).
    """

    def __init__(self, level: float = LEVEL) -> None:
        self._level = level
        self._aim = (1.0 - level) / 2.0
        self._low = self._high = self._aim  # levels of the two ends
        normal = NormalDist()
        self._sorted = [normal.inv_cdf((rank + 0.5) / PRIOR) for rank in range(PRIOR)]
        self._recent: list[float] = []
        self._within = 0
        self._count = 0

    def tell(self, error: float) -> None:
        """An epoch's error: the difference that came less the expected one, in deviations."""
        below, above = self._ends()
        self._count += 1
        self._within += below <= error <= above
        self._low += STEP * (self._aim - (error < below))
        self._high += STEP * (self._aim - (error > above))
        self._recent.append(error)
        insort(self._sorted, error)
        if len(self._recent) > REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._recent.pop(0))]

    def range(self, expected: float, deviation: float) -> Range:
        """The interval of a forecast."""
        below, above = self._ends()
        covered = self._within / self._count if self._count else math.nan
        low, high = (expected + end * deviation if deviation > 0.0 else expected for end in (below, above))
        return Range(expected, low, high, self._level, covered, self._count)

    def _ends(self) -> tuple[float, float]:
        """Of the interval, in deviations: the order statistics of a split-conformal interval."""
        count = len(self._sorted)
        low = math.floor(self._low * (count + 1) + _ROUNDING)
        high = math.ceil((1.0 - self._high) * (count + 1) - _ROUNDING)
        below = -math.inf if low < 1 else self._sorted[min(low, count) - 1]
        above = math.inf if high > count else self._sorted[max(high, 1) - 1]
        return min(below, above), max(below, above)


def learned(errors: Iterable[float], level: float = LEVEL) -> Conformal:
    """What a row of errors, oldest first, has taught."""
    found = Conformal(level)
    for error in errors:
        found.tell(error)
    return found
