"""Correlation of instruments: estimated by shrinkage and by EWMA, watched for what changes.

Returns are (n, instruments) float64, oldest first, of one step.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64
from tidewright.risk.value_at_risk import RISKMETRICS

_LEAST: Final = 3


class Shrunk(NamedTuple):
    """A covariance and how much of it is the target (0: the sample's own, 1: the target)."""

    covariance: F64
    shrinkage: float


def ledoit_wolf(returns: F64) -> Shrunk:
    """Covariance shrunk towards a multiple of the identity (Ledoit & Wolf 2004), by scikit-learn.

    The returns are scaled to unit deviation first and the result back, so that the instruments' different volatility is
    not what is shrunk away.
    """
    from sklearn.covariance import ledoit_wolf as shrink

    values = _checked(returns)
    size = values.std(axis=0)
    size = np.where(size > 0, size, 1.0)
    covariance, amount = shrink(values / size)
    return Shrunk(covariance * np.outer(size, size), float(amount))


def ewma_covariance(returns: F64, decay: float = RISKMETRICS) -> F64:
    """``C' = decay C + (1 - decay) r r^T``, weights normalised so that they add up to 1 from the first return on."""
    if not 0 < decay < 1:
        raise UsageError(f"the decay must be in (0, 1), was {decay}")
    values = _checked(returns)
    weights = decay ** np.arange(len(values) - 1, -1, -1.0)
    weighted = values * (weights / weights.sum())[:, None]
    found: F64 = weighted.T @ values
    return found


def correlations(covariance: F64) -> F64:
    """Correlation matrix of a covariance; an instrument that does not move has correlation 0 with others."""
    size = np.sqrt(np.diag(covariance))
    safe = np.where(size > 0, size, 1.0)
    found: F64 = np.clip(covariance / np.outer(safe, safe), -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about a pair of instruments that must be looked at.

    Attributes
    ----------
    kind
        ``"high"``: they move as one beyond the limit; ``"lost"``: a correlation that was there has gone; ``"jump"``: it
        rose beyond what chance explains.
    now, before
        Correlation by the fast and by the slow estimate.
    score
        The difference in standard errors of Fisher's z; 0 for ``"high"``.
    """

    first: str
    second: str
    kind: str
    now: float
    before: float
    score: float

    def text(self) -> str:
        """One line for people."""
        words = {"high": "is beyond its limit", "lost": "has been lost", "jump": "has risen"}
        return (
            f"correlation of {self.first} and {self.second} {words[self.kind]}: {self.now:.2f}, was {self.before:.2f}"
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """When correlations raise an alarm.

    Attributes
    ----------
    fast, slow
        Decay of the estimate that is held against the other.
    highest
        Absolute correlation beyond which two instruments count as one.
    score
        Standard errors of Fisher's z that a change must pass.
    least
        Smallest change of a correlation that is one: near 1 the score alone calls 0.999 after 0.99999 lost.
    """

    fast: float = 0.94
    slow: float = 0.99
    highest: float = 0.9
    score: float = 4.0
    least: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.fast < self.slow < 1:
            raise UsageError(f"decays must be 0 < fast < slow < 1, were {self.fast} and {self.slow}")
        if not 0 < self.highest <= 1 or not self.score > 0:
            raise UsageError(f"highest must be in (0, 1] and score > 0, were {self.highest} and {self.score}")
        if not 0 <= self.least < 1:
            raise UsageError(f"the least change of a correlation must be in [0, 1), was {self.least}")


def alarms(returns: F64, names: tuple[str, ...], watch: Watch | None = None) -> list[Alarm]:
    """Alarms of the newest correlations against the older ones, by pair in the order of names.

    Without enough returns to compare there is none. The standard error counts the weights' effective size,
    ``(1 + decay) / (1 - decay)`` returns, and twice the variance that normal returns would have, for the sampling
    variance of a correlation grows with the tails: a stated allowance that errs on the quiet side.
    """
    rules = watch or Watch()
    values = _checked(returns)
    if values.shape[1] != len(names):
        raise UsageError(f"{values.shape[1]} columns of returns need as many names, there were {len(names)}")
    newest = 2 * round(_effective(rules.fast, len(values)))
    older = values[:-newest]  # what is new must not be part of what it is held against
    if len(older) < _LEAST:
        return []
    now = correlations(ewma_covariance(values, rules.fast))
    before = correlations(ewma_covariance(older, rules.slow))
    sizes = _effective(rules.fast, len(values)), _effective(rules.slow, len(older))
    error = math.sqrt(sum(2.0 / max(1.0, size - 3.0) for size in sizes))
    found = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            new, old = float(now[i, j]), float(before[i, j])
            score = (_fisher(new) - _fisher(old)) / error
            if abs(score) > rules.score and abs(new - old) >= rules.least:
                kind = "lost" if abs(new) < abs(old) else "jump"
                found.append(Alarm(names[i], names[j], kind, new, old, score))
            elif abs(new) > rules.highest:
                found.append(Alarm(names[i], names[j], "high", new, old, 0.0))
    return found


def _effective(decay: float, count: int) -> float:
    return min(float(count), (1.0 + decay) / (1.0 - decay))


def _fisher(correlation: float) -> float:
    return math.atanh(min(0.999999, max(-0.999999, correlation)))


def _checked(returns: F64) -> F64:
    values = np.asarray(returns, np.float64)
    if values.ndim != 2 or len(values) < _LEAST:
        raise DataError(f"correlations need returns of shape (n >= {_LEAST}, instruments), had {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("correlations need finite returns")
    return values
