"""Numbers of several agents made into one: medians, trimmed means, opinion pools, and weights that cannot be bought."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from tidewright.market.errors import UsageError

HELD_BY_FEW: Final = 0.45
"""Most of the weight that ``tolerated(n)`` voters may hold together: less than a half, with room for rounding."""


_LEAST: Final = 1e-6


def tolerated(n: int) -> int:
    """How many of n agents may be arbitrary: floor((n - 1) / 3) (Lamport, Shostak & Pease 1982)."""
    return max(0, (n - 1) // 3)


def quorum(n: int) -> int:
    """Votes needed for an order: two thirds of all n voters, rounded up."""
    return -(-2 * n // 3)


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The value at which half of the weight is reached; where that is between two values, their middle.

    It lies between two values of any group that holds more than half of the weight.

    Raises
    ------
    UsageError
        If there are no values, or a weight is negative, or all are 0.
    """
    if not values or len(values) != len(weights) or min(weights) < 0 or not sum(weights) > 0:
        raise UsageError(f"a weighted median needs values with weights >= 0, not all 0, was {list(weights)}")
    pairs = sorted(zip(values, weights, strict=True))
    half, reached = math.fsum(weights) / 2, 0.0
    for index, (value, weight) in enumerate(pairs):
        reached += weight
        if abs(reached - half) <= 1e-12 * half:
            after = next((other for other, heavy in pairs[index + 1 :] if heavy > 0), value)
            return value + (after - value) / 2
        if reached > half:
            return value
    return pairs[-1][0]


def trimmed_mean(values: Sequence[float], liars: int) -> float:
    """Mean without the ``liars`` lowest and the ``liars`` highest values.

    With at most that many liars among more than twice as many values it lies within the range of the honest ones.

    Raises
    ------
    UsageError
        If nothing would be left.
    """
    if len(values) <= 2 * liars:
        raise UsageError(f"a mean that drops {liars} values at each end needs more than {2 * liars}, had {len(values)}")
    kept = sorted(values)[liars : len(values) - liars]
    return math.fsum(kept) / len(kept)


def log_pool(probabilities: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Logarithmic opinion pool of probabilities of one event: weighted mean of the log-odds.

    Externally Bayesian: pooling and then learning gives what learning and then pooling gives (Genest 1984).

    Raises
    ------
    UsageError
        If a probability is not in [0, 1], or some are 0 and others 1.
    """
    if not probabilities or not all(0 <= p <= 1 for p in probabilities):
        raise UsageError(f"probabilities must be in [0, 1], were {list(probabilities)}")
    if 0 in probabilities or 1 in probabilities:
        if 0 in probabilities and 1 in probabilities:
            raise UsageError("a pool of a certain yes and a certain no has no value")
        return 0.0 if 0 in probabilities else 1.0
    shares = weights if weights is not None else [1 / len(probabilities)] * len(probabilities)
    total = math.fsum(shares)
    odds = math.fsum(w / total * math.log(p / (1 - p)) for w, p in zip(shares, probabilities, strict=True))
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def pool_beliefs(beliefs: Sequence[Sequence[float]]) -> list[float]:
    """Logarithmic pool, equal weights, of distributions over the same things: normalised geometric mean."""
    logs = [math.fsum(math.log(max(b[i], 1e-300)) for b in beliefs) / len(beliefs) for i in range(len(beliefs[0]))]
    top = max(logs)
    raw = [math.exp(value - top) for value in logs]
    total = math.fsum(raw)
    return [value / total for value in raw]


def cap_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Shares (sum 1) in the weights' order, the largest cut so that no ``tolerated(n)`` voters hold a majority.

    From three voters on no single one holds a majority either. Every weight counts as at least a millionth of the
    largest; two voters weigh the same.

    Raises
    ------
    UsageError
        If a weight is negative or not finite.
    """
    if any(not 0 <= weight < math.inf for weight in weights.values()):
        raise UsageError(f"weights must be >= 0 and finite, were {dict(weights)}")
    n, top = len(weights), max(weights.values(), default=0.0)
    if n < 3 or top <= 0:
        return dict.fromkeys(weights, 1 / n)
    raised = [max(weight / top, _LEAST) for weight in weights.values()]
    few = max(1, tolerated(n))
    level = 1.0
    if _held(raised, few) > HELD_BY_FEW:
        low, high = _LEAST, 1.0  # with every weight cut to the least all are equal, and few hold a third at most
        for _ in range(60):
            level = (low + high) / 2
            low, high = (
                (low, level) if _held([min(weight, level) for weight in raised], few) > HELD_BY_FEW else (level, high)
            )
        level = low
    cut = [min(weight, level) for weight in raised]
    total = math.fsum(cut)
    return {name: weight / total for name, weight in zip(weights, cut, strict=True)}


def _held(weights: Sequence[float], few: int) -> float:
    return math.fsum(sorted(weights, reverse=True)[:few]) / math.fsum(weights)
