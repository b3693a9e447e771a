"""Looking again and again without fooling oneself: a test of "the new is no worse than the old", to be read any time.

A test that is read every epoch at 5 % will cry wolf sooner or later. Here the evidence is a *wealth*: of somebody who
bets, at fair odds if the new one is no worse, that it is (Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", 2024; Shafer 2021). By Ville's inequality it ever reaches ``1/α`` with a probability of
at most α, however often one looks and whenever one stops.

The rule, for differences x_1, x_2, … (new less old, one a block of cycles):

* ``z_t = x_t / (3 s_t)`` with s_t the deviation of earlier differences. Losses count down to −1, so that no single
  block
  decides; gains count in full, down to a wealth of a fiftieth: both keep the test on the safe side of heavy tails;
* a bet λ multiplies its wealth by ``1 − λ z_t``; the wealth is the mean over the bets 0.05, 0.1, 0.2, 0.4, 0.8;
* harm may begin late: a share ``1/(s(s + 1))`` of the money starts betting at block s and waits in cash before. The
  whole
  is a test martingale all the same, and remembers past gains no longer than it must.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

BETS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
CUT: Final = 3.0  # deviations at which a loss is cut
_LEFT: Final = 0.02  # of a bet's wealth, after the largest gain
_MOST: Final = 1e300  # finite, so that it can be told
_BETS: Final = np.array(BETS)
_PRIOR_BLOCKS: Final = 5.0  # what a scale that is passed in counts


class HarmTest:
    """Is the new one worse? Fed with differences as they come; the same differences give the same state.

    Parameters
    ----------
    alpha
        Probability of ever raising a false alarm, in (0, 1).
    scale
        Deviation of a block's difference as known before, same unit; 0: the first block only sets the scale.

    Attributes
    ----------
    count
        Differences seen.
    total
        Their sum, not cut.
    peak
        Highest wealth so far.

    Raises
    ------
    UsageError
        If a parameter is out of range.
    """

    def __init__(self, alpha: float = 0.05, scale: float = 0.0) -> None:
        if not 0.0 < alpha < 1.0:
            raise UsageError(f"the error rate of a sequential test must be in (0, 1), was {alpha}")
        if not (math.isfinite(scale) and scale >= 0.0):
            raise UsageError(f"the scale of differences must be >= 0, was {scale}")
        self.alpha = alpha
        self.count = 0
        self.total = 0.0
        self.peak = 1.0
        self._weight = _PRIOR_BLOCKS if scale > 0.0 else 0.0
        self._sum, self._squares = 0.0, self._weight * scale**2
        self._wealth = np.zeros(len(BETS))

    def observe(self, differences: Iterable[float]) -> None:
        """Take in differences, new less old, oldest first.

        Raises
        ------
        UsageError
            If one is not finite.
        """
        for value in differences:
            if not math.isfinite(value):
                raise UsageError(f"a difference must be a finite number, was {value}")
            self._one(float(value))

    def _one(self, value: float) -> None:
        self.count += 1
        self.total += value
        width = CUT * self._deviation()
        seen = max(-width, value) if width else value
        z = seen / width if width else 0.0
        started = 1.0 / (self.count * (self.count + 1.0))
        self._wealth = np.minimum((self._wealth + started) * np.maximum(_LEFT, 1.0 - _BETS * z), _MOST)
        if seen or self._weight:
            kept = min(seen, width) if width else seen  # one huge gain must not blind the test for the rest of the day
            self._weight += 1.0
            self._sum += kept
            self._squares += kept * kept
        self.peak = max(self.peak, self.evalue)

    def _deviation(self) -> float:
        if not self._weight:
            return 0.0
        mean = self._sum / self._weight
        # Never under a third of the mean square's root: a few like blocks do not make a scale.
        square = self._squares / self._weight
        return math.sqrt(max(square - mean * mean, square / 9.0))

    @property
    def evalue(self) -> float:
        """Wealth now, 1 at the start: evidence that the new one is worse."""
        return float(self._wealth.mean()) + 1.0 / (self.count + 1.0)

    @property
    def harmful(self) -> bool:
        """Whether the wealth has reached ``1/alpha`` at some time."""
        return self.peak >= 1.0 / self.alpha

    @property
    def mean(self) -> float:
        """Mean difference a block, 0 before the first."""
        return self.total / self.count if self.count else 0.0


def confidence_sequence(
    differences: Sequence[float] | F64, alpha: float = 0.05, planned: int = 24
) -> tuple[float, float]:
    """Interval of the mean that holds at all times at once (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024).

    ``mean ± s √(2 (nρ² + 1)/(n²ρ²) · ln(√(nρ² + 1)/α))``: asymptotic, two-sided, tightest around ``planned``
    differences.

    Returns
    -------
    tuple
        Lower and upper end; infinite under 2 differences.

    Raises
    ------
    UsageError
        If alpha is not in (0, 1) or planned not >= 1.
    """
    if not 0.0 < alpha < 1.0 or planned < 1:
        raise UsageError(f"a confidence sequence needs alpha in (0, 1) and planned >= 1, had {alpha} and {planned}")
    values = np.asarray(differences, np.float64)
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    rho2 = (2.0 * math.log(1.0 / alpha) + math.log(1.0 + 2.0 * math.log(1.0 / alpha))) / planned
    half = float(values.std(ddof=1)) * math.sqrt(
        2.0 * (n * rho2 + 1.0) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1.0) / alpha)
    )
    return float(values.mean()) - half, float(values.mean()) + half


def block_sums(differences: F64, block: int) -> F64:
    """Sums over whole blocks of so many cycles; a rest at the end is a block too if it is at least half of one."""
    if block < 1:
        raise UsageError(f"a block has at least 1 cycle, was {block}")
    whole, rest = divmod(len(differences), block)
    sums = np.asarray(differences[: whole * block], np.float64).reshape(whole, block).sum(axis=1)
    if rest and (2 * rest >= block or not whole):
        return np.append(sums, differences[whole * block :].sum())
    return sums
