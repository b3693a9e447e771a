"""How sure: paired differences of two lanes on the same events, resampled in blocks.

Candidate and incumbent see the same market, so the difference of their equity changes, cycle by cycle, has far less
noise than either. Neighbouring cycles are not independent; whole blocks of them are resampled (circular block
bootstrap, Politis and Romano 1992).

Most of the noise that is left is *drift*: the difference of their positions times the change of the mid. It decides
much of one epoch and says little about the next. The rest, what their quotes earned against the mid when they
filled, less fees, lasts. So the drift is a control variate: the forecast's mean counts it at a quarter, its deviation
in full.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.measure.overfitting import effective_trials, expected_maximum

F64 = npt.NDArray[np.float64]

DRIFT_WEIGHT: Final = 0.25  # of the drift in what lasts; docs/confidence.md says how it was found
FLATTERY: Final = 0.5  # of what the best of several finalists is expected to owe to chance
SLOPE: Final = 2.0  # logits a unit of asinh(z)
HALF_BLOCKS: Final = 3.0  # with this many independent blocks half of z is believed
BOUND: Final = 0.01  # no confidence nearer to 0 or 1 than this: no window shows more
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What paired differences say.

    Attributes
    ----------
    mean, lower, upper
        Mean difference a cycle out of sample and its central 95 % bootstrap interval, quote units.
    probability
        Chance that the next ``horizon`` cycles add up to more than 0, from the bootstrap of these differences alone.
    edge, z
        What is thought to last of the difference, a cycle, quote, from both windows; and the same over the horizon in
        deviations of the sum that is foretold.
    expected, deviation
        That sum over the horizon, and its deviation, quote: what the conformal interval is built on.
    confidence
        The forecast before what came true corrects it, a probability.
    cycles, block, horizon
        Out-of-sample differences, block length and horizon, cycles.
    choices
        Finalists the candidate was chosen from, counted by how different they are (1 to their number).
    """

    mean: float
    lower: float
    upper: float
    probability: float
    edge: float
    z: float
    expected: float
    deviation: float
    confidence: float
    cycles: int
    block: int
    horizon: int
    choices: float

    def block_deviation(self, cycles: int) -> float:
        """Deviation of the difference of so many cycles, quote, from the width of the interval of its mean."""
        return max(0.0, self.upper - self.lower) / (2.0 * 1.96) * (self.cycles * cycles) ** 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """Candidate's less incumbent's of every cycle of one window, quote units, each shape (cycles,).

    Attributes
    ----------
    difference
        Of the equity changes.
    drift
        The part of it that is position times change of the mid.
    """

    difference: F64
    drift: F64

    @classmethod
    def of(cls, increments: F64, drift: F64 | None, candidate: int, incumbent: int = -1) -> "Pair":
        """From the columns of two lanes; without a drift it is taken as 0."""
        difference = increments[:, candidate] - increments[:, incumbent]
        part = np.zeros_like(difference) if drift is None else drift[:, candidate] - drift[:, incumbent]
        return cls(difference, part)

    @property
    def lasting(self) -> float:
        """Mean difference a cycle, of the drift only the part that lasts."""
        return float((self.difference - (1.0 - DRIFT_WEIGHT) * self.drift).mean())

    def no_better(self) -> str:
        """Why the candidate is not proposed by what it earned here; empty: nothing speaks against it."""
        if self.lasting > 0.0:
            return ""
        mean = float(self.difference.mean())
        if mean <= 0.0:
            return "out of sample the incumbent earned more than the best of the candidates"
        return (
            f"out of sample the best of the candidates earned {mean:.3g} a cycle more than the incumbent, but with its "
            f"positions' luck with the price counted at a quarter {self.lasting:.3g}: that would not last"
        )


def block_length(cycles: int) -> int:
    """Cycles in a block: twice the cube root of the sample, the usual order for a bootstrap of means."""
    return max(1, min(cycles, round(2.0 * cycles ** (1.0 / 3.0))))


def block_sums(series: F64, length: int, block: int, draws: int, rng: np.random.Generator) -> F64:
    """Sums of ``draws`` resampled series of ``length``, built from circular blocks of ``series``; shape (draws,)."""
    circle = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[:block]]))])
    whole, rest = divmod(length, block)
    starts = rng.integers(0, len(series), (draws, whole))
    sums = (circle[starts + block] - circle[starts]).sum(axis=1)
    if rest:
        last = rng.integers(0, len(series), draws)
        sums += circle[last + rest] - circle[last]
    return np.asarray(sums, np.float64)


def effective_choices(differences: F64) -> float:
    """How many independent finalists these are worth: exp of the entropy of the eigenvalues of their correlation.

    Parameters
    ----------
    differences
        Each finalist's less the incumbent's equity changes, shape (cycles, finalists).
    """
    varied = differences[:, differences.std(axis=0) > 0.0]
    if varied.shape[1] < 2:
        return 1.0
    return effective_trials(np.asarray(np.corrcoef(varied, rowvar=False), np.float64))


def block_deviation(series: F64) -> float:
    """Deviation a square root of a cycle of sums of the series: what the circular block bootstrap converges to.

    The deviation of all circular block sums over the square root of the block length; half the plain deviation at
    least, for a handful of blocks can look too calm by chance.
    """
    block = block_length(len(series))
    circle = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series[:block]]))])
    sums = circle[block : block + len(series)] - circle[: len(series)]
    return max(float(sums.std()) / block**0.5, 0.5 * float(series.std()))


def paired(
    outside: Pair,
    horizon: int,
    choices: float,
    rng: np.random.Generator,
    inside: Pair | None = None,
    draws: int = 4000,
) -> Evidence:
    """Evidence from paired differences d with drift g, T of them in both windows together.

    ``edge = mean(d − g) + mean(g)/4``: the control variate of the module's text. Choosing the best of several finalists
    flatters: half the expected maximum of ``choices`` standard normals times the standard error c/√T is taken off. The
    sum over H cycles is foretold as ``H·edge`` with variance ``H·s² + H²·c²/T``: s² is the long-run variance of d
    (:func:`block_deviation`), c² that of d − g, so the second term is what is not known of the edge. ``z`` is the ratio
    times m/(m + 3), with m blocks of market seen. ``confidence = 1/(1 + exp(−2·asinh(z)))``: near a normal
    distribution's for small z, with tails as heavy as those of the sums that came; kept within [0.01, 0.99].

    The in-sample window counts too: it flatters the candidate, but over hundreds of epochs it told more about the next
    one than the shorter out-of-sample window did (docs/confidence.md); what flattery is left, outcomes correct.

    Parameters
    ----------
    outside, inside
        The pair in the out-of-sample window, >= 2 cycles; and in sample.
    horizon
        Cycles of one epoch.
    choices
        Finalists the candidate was chosen from, >= 1; see :func:`effective_choices`.

    Raises
    ------
    UsageError
        If there are fewer than 2 differences or the horizon is not > 0.
    """
    cycles = len(outside.difference)
    if cycles < 2 or horizon < 1:
        raise UsageError(f"evidence needs 2 cycles and a horizon of 1, had {cycles} and {horizon}")
    block = block_length(cycles)
    means = block_sums(outside.difference, cycles, block, draws, rng) / cycles
    ahead = block_sums(outside.difference, horizon, block, draws, rng)
    mean = float(outside.difference.mean())
    scale = _ROUNDING * float(np.abs(outside.difference).sum()) * max(1.0, horizon / cycles)
    lower, upper = np.quantile(means, [0.025, 0.975])
    edge, z, deviation = _lasting(outside, inside, horizon, choices)
    return Evidence(
        mean=mean,
        lower=float(lower),
        upper=float(upper),
        probability=_share_above(ahead + horizon * (means - mean), scale),
        edge=edge,
        z=z,
        expected=horizon * edge,
        deviation=deviation,
        confidence=float(np.clip(1.0 / (1.0 + np.exp(-SLOPE * np.arcsinh(z))), BOUND, 1.0 - BOUND)),
        cycles=cycles,
        block=block,
        horizon=horizon,
        choices=choices,
    )


def _lasting(outside: Pair, inside: Pair | None, horizon: int, choices: float) -> tuple[float, float, float]:
    """Edge a cycle, z, and the deviation of the sum over the horizon."""
    windows = [outside] if inside is None else [inside, outside]
    difference = np.concatenate([pair.difference for pair in windows])
    drift = np.concatenate([pair.drift for pair in windows])
    earned = difference - drift
    total = len(difference)
    tiny = _ROUNDING * float(np.abs(earned).sum() + np.abs(drift).sum())
    unknown = block_deviation(earned) / total**0.5  # standard error of the edge
    edge = float(earned.mean() + DRIFT_WEIGHT * drift.mean()) - FLATTERY * max(0.0, expected_maximum(choices)) * unknown
    deviation = (horizon * block_deviation(difference) ** 2 + (horizon * unknown) ** 2) ** 0.5
    scale = max(deviation, tiny)
    if abs(edge) * total <= tiny or scale == 0.0:  # nothing, or so small that squares and sums of it are nothing
        return edge, 0.0, deviation
    blocks = total / block_length(total)
    return edge, float(horizon * edge / scale * blocks / (blocks + HALF_BLOCKS)), deviation


def moments(returns: F64) -> tuple[float, float, float]:
    """Sharpe ratio a cycle, skewness and (not excess) kurtosis of returns; 0, 0, 3 where they do not vary."""
    mean, deviation = float(returns.mean()), float(returns.std())
    if deviation <= _ROUNDING * max(1e-300, float(np.abs(returns).max())):
        return 0.0, 0.0, 3.0
    z = (returns - mean) / deviation
    return mean / float(returns.std(ddof=1)), float((z**3).mean()), float((z**4).mean())


def _share_above(values: F64, scale: float) -> float:
    return float((values > scale).mean() + 0.5 * (np.abs(values) <= scale).mean())
