"""Has it changed? Sequential detectors of a shift in the mean, and how often they cry wolf.

CUSUM (Page 1954) adds up what lies beyond an allowance ``k`` and signals at ``h``, both in standard deviations; for a
shift of ``2k`` it is the fastest detector at its rate of false alarms (Moustakides 1986). The run lengths are those of
Brook and Evans (1972): the sum as a Markov chain, for independent normal values.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

ALLOWANCE: Final = 0.5
LIMIT: Final = 5.0


@dataclass(slots=True)
class Cusum:
    """Two-sided CUSUM of standardised values.

    With ``k = 0.5, h = 5`` an unchanged stream is signalled once in 465 values, a shift of one deviation after 10.4 in
    the mean.

    Attributes
    ----------
    k, h
        Allowance and limit, standard deviations, > 0.
    up, down
        The two sums; 0 where nothing has gathered.
    """

    k: float = ALLOWANCE
    h: float = LIMIT
    up: float = 0.0
    down: float = 0.0
    _up_for: int = 0
    _down_for: int = 0

    def __post_init__(self) -> None:
        if not (self.k > 0 and self.h > 0):
            raise UsageError(f"a CUSUM needs an allowance and a limit > 0, had {self.k} and {self.h}")

    def update(self, value: float) -> int:
        """Take in a value; 0, or after a signal how many values ago the change is thought to have begun (>= 1).

        The beginning is the first value since the sum that signals was last 0 (Page's estimator). A signal starts the
        sums anew. A value that is not finite is passed over.
        """
        if not math.isfinite(value):
            return 0
        self.up = max(0.0, self.up + value - self.k)
        self.down = max(0.0, self.down - value - self.k)
        self._up_for = self._up_for + 1 if self.up > 0 else 0
        self._down_for = self._down_for + 1 if self.down > 0 else 0
        if self.up <= self.h and self.down <= self.h:
            return 0
        began = self._up_for if self.up > self.h else self._down_for
        self.reset()
        return began

    def reset(self) -> None:
        """Forget what has gathered."""
        self.up = self.down = 0.0
        self._up_for = self._down_for = 0


@dataclass(slots=True)
class Residuals:
    """One series standardised by its own past: the surprise of each value, about N(0, 1) while nothing changes.

    Market figures are autocorrelated and their scale is unknown. Mean, deviation and first autocorrelation are learned
    with exponential forgetting, the residual is what the last value did not foretell, in deviations, bounded by
    ``clip`` so that one outlier is not a change. The first ``warm`` values give NaN.

    Attributes
    ----------
    memory
        Values after which the weight of a value has fallen to 1/e.
    """

    memory: float = 60.0
    warm: int = 20
    clip: float = 3.0
    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    covariance: float = 0.0
    last: float = 0.0
    spread: float = field(default=0.0)

    def update(self, value: float) -> float:
        """The residual of a value; NaN while learning and for values that are not finite."""
        if not math.isfinite(value):
            return math.nan
        rho = min(max(self.covariance / self.variance, 0.0), 0.95) if self.variance > 0 else 0.0
        surprise = value - self.mean - rho * (self.last - self.mean)
        known = self.count >= self.warm and self.spread > 0
        found = min(max(surprise / math.sqrt(self.spread), -self.clip), self.clip) if known else math.nan
        rate = max(1.0 / self.memory, 1.0 / (self.count + 1))
        before, self.count = self.last - self.mean, self.count + 1
        bound = self.clip * math.sqrt(self.spread)
        counted = min(max(surprise, -bound), bound) if known else surprise
        gap = value - self.mean
        self.mean += rate * gap
        self.variance += rate * (gap * gap - self.variance)
        self.covariance += rate * (gap * before - self.covariance)
        self.spread += rate * (counted * counted - self.spread)
        self.last = value
        return found
