"""How sure: paired differences of two lanes on the same events, resampled in blocks.

Candidate and incumbent see the same market, so the difference of their equity changes, cycle by cycle, has far less
noise than either. Neighbouring cycles are not independent; whole blocks of them are resampled (circular block
bootstrap, Politis and Romano 1992).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.measure.overfitting import effective_trials, expected_maximum

F64 = npt.NDArray[np.float64]

HALF_BLOCKS: Final = 10.0  # with this many independent blocks half of what the bootstrap says beyond 1/2 is believed
BOUND: Final = 0.02  # no confidence nearer to 0 or 1 than this: no window shows more
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What paired differences say.

    Attributes
    ----------
    mean, lower, upper
        Mean difference a cycle and its central 95 % bootstrap interval, quote units.
    probability
        Chance that the next ``horizon`` cycles add up to more than 0, from the bootstrap alone.
    confidence
        The same after shrinkage for choosing among finalists and for the small sample.
    cycles, block, horizon
        Differences, block length and horizon, cycles.
    choices
        Finalists the candidate was chosen from, counted by how different they are (1 to their number).
    """

    mean: float
    lower: float
    upper: float
    probability: float
    confidence: float
    cycles: int
    block: int
    horizon: int
    choices: float


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


def paired(differences: F64, horizon: int, choices: float, rng: np.random.Generator, draws: int = 4000) -> Evidence:
    """Evidence from paired differences.

    The predicted sum over the horizon is ``resampled sum + horizon·(m* − mean − shift)``: a resampled stretch, plus
    what is not known of the mean (m*, the mean of a resample of full length), less what choosing the best of
    ``choices`` finalists is expected to flatter it (shift, the expected maximum of that many standard normals times the
    standard error of the mean). ``probability`` is without the shift. Then
    ``confidence = 1/2 + (p − 1/2)·m/(m + 10)`` with m = cycles/block, kept within [0.02, 0.98].

    Parameters
    ----------
    differences
        Candidate's less incumbent's equity change of every out-of-sample cycle, quote units, shape (cycles,).
    horizon
        Cycles of one epoch.
    choices
        Finalists the candidate was chosen from, >= 1; see :func:`effective_choices`.

    Raises
    ------
    UsageError
        If there are fewer than 2 differences or the horizon is not > 0.
    """
    cycles = len(differences)
    if cycles < 2 or horizon < 1:
        raise UsageError(f"evidence needs 2 cycles and a horizon of 1, had {cycles} and {horizon}")
    block = block_length(cycles)
    mean = float(differences.mean())
    means = block_sums(differences, cycles, block, draws, rng) / cycles
    ahead = block_sums(differences, horizon, block, draws, rng)
    predicted = ahead + horizon * (means - mean)
    shift = max(0.0, expected_maximum(choices)) * float(means.std())
    scale = _ROUNDING * float(np.abs(differences).sum()) * max(1.0, horizon / cycles)
    shrink = (cycles / block) / (cycles / block + HALF_BLOCKS)
    confidence = 0.5 + (_share_above(predicted - horizon * shift, scale) - 0.5) * shrink
    lower, upper = np.quantile(means, [0.025, 0.975])
    return Evidence(
        mean=mean,
        lower=float(lower),
        upper=float(upper),
        probability=_share_above(predicted, scale),
        confidence=float(np.clip(confidence, BOUND, 1.0 - BOUND)),
        cycles=cycles,
        block=block,
        horizon=horizon,
        choices=choices,
    )


def moments(returns: F64) -> tuple[float, float, float]:
    """Sharpe ratio a cycle, skewness and (not excess) kurtosis of returns; 0, 0, 3 where they do not vary."""
    mean, deviation = float(returns.mean()), float(returns.std())
    if deviation <= _ROUNDING * max(1e-300, float(np.abs(returns).max())):
        return 0.0, 0.0, 3.0
    z = (returns - mean) / deviation
    return mean / float(returns.std(ddof=1)), float((z**3).mean()), float((z**4).mean())


def _share_above(values: F64, scale: float) -> float:
    return float((values > scale).mean() + 0.5 * (np.abs(values) <= scale).mean())
