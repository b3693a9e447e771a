"""Facts about fills that a simulation has to reproduce before its profits can be believed.

Measured on *probes*: small post-only orders placed on both sides at regular times, whatever the market does, each left
alone for the same life. What happens to them shows how the simulation fills orders, apart from any strategy. Every
fact is a figure with its interval, what the literature found, and a verdict that can go against the simulation.

Sources: J. Albers, M. Cucuringu, S. Howison, A. Shestopaloff, arXiv 2502.18625 (232,897 live maker orders on Binance's
BTCUSDT perpetual); T. DeLise, arXiv 2407.16527 (10-year note futures); Jain, Firoozye, Kochems, Treleaven, arXiv
2510.26438 (costs); arXiv 2602.00776 (maker returns 2022-2025, the crash of 2025-10-10); arXiv 2608.21888 (reversal).
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tidewright.market.clock import SECOND
from tidewright.measure.fill_facts_blocks import Estimate

HORIZONS_NS: Final = (SECOND, 10 * SECOND, 60 * SECOND)
MIN_FILLS: Final = 30
SHARE_HIGH: Final = 0.8  # of the touch: from here on a side outweighs the other

AS_EXPECTED: Final = "as expected"
NOT_EXPECTED: Final = "not as expected"
TOO_FEW: Final = "too few"
Verdict = Literal["as expected", "not as expected", "too few"]

ALBERS: Final = "Albers et al., arXiv 2502.18625"
DELISE: Final = "DeLise, arXiv 2407.16527"
JAIN: Final = "Jain et al., arXiv 2510.26438"
MAKERS: Final = "arXiv 2602.00776"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is expected of a figure.

    Attributes
    ----------
    kind
        ``"below"`` and ``"above"`` a bound; ``"not_above"``: the bound must not be shown to be exceeded; ``"near"``: at
        most ``least`` away from it.
    bound
        In the figure's unit.
    least
        The smallest effect that would count: a figure shown to stay short of it is not as expected, however small the
        interval. A figure that shows neither has too few observations.
    """

    kind: Literal["below", "above", "not_above", "near"]
    bound: float
    least: float

    def verdict(self, estimate: Estimate, count: int, minimum: int = MIN_FILLS) -> Verdict:
        """Whether the interval bears the claim out."""
        figure, low, high, _ = estimate
        if count < minimum or not (np.isfinite(figure) and np.isfinite(low) and np.isfinite(high)):
            return "too few"
        if self.kind == "not_above":
            return "not as expected" if low > self.bound else "as expected"
        if self.kind == "near":
            if self.bound - self.least <= low and high <= self.bound + self.least:
                return "as expected"
            outside = high < self.bound - self.least or low > self.bound + self.least
            return "not as expected" if outside else "too few"
        if self.kind == "above":
            low, high, bound, least = -high, -low, -self.bound, -self.least
        else:
            bound, least = self.bound, self.least
        if high < bound:
            return "as expected"
        return "not as expected" if low > least else "too few"

    @property
    def least_text(self) -> str:
        """The smallest effect that would count, in words; empty where the bound says it all."""
        if self.kind == "not_above" or self.least == self.bound:
            return ""
        return f"{'within' if self.kind == 'near' else 'counts from'} {self.least:g}".replace("-", "−")

    @property
    def text(self) -> str:
        """The claim in words, without unit."""
        words = {"below": "below", "above": "above", "not_above": "not shown above", "near": "near"}
        return f"{words[self.kind]} {self.bound:g}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure about fills, what was expected of it, and the verdict.

    Attributes
    ----------
    name, title, definition
        What it is.
    unit
        ``"bp"``, ``"share"`` or a word.
    count, of
        Size of the sample and what it counts.
    estimate
        The figure with its interval.
    claim, literature, source
        What was expected and where that comes from.
    verdict
        See :class:`Claim`.
    """

    name: str
    title: str
    definition: str
    unit: str
    count: int
    of: str
    estimate: Estimate
    claim: Claim
    literature: str
    source: str
    verdict: Verdict


def fact(
    name: str,
    title: str,
    definition: str,
    unit: str,
    sample: tuple[int, str],
    estimate: Estimate,
    claim: Claim,
    literature: tuple[str, str],
    minimum: int = MIN_FILLS,
) -> Fact:
    """A fact with its verdict."""
    verdict = claim.verdict(estimate, sample[0], minimum)
    return Fact(name, title, definition, unit, *sample, estimate, claim, *literature, verdict)


def horizon_text(horizon_ns: int) -> str:
    """``"1 s"``."""
    return f"{horizon_ns / SECOND:g} s"
