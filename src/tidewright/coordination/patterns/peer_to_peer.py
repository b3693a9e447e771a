"""Equal agents: each tells its neighbours its number and moves towards theirs until all have the same.

Average consensus x(t+1) = W x(t) with Metropolis weights (Xiao & Boyd 2004): the distance to the mean shrinks by the
second largest
absolute eigenvalue of W a round. Where some lie, each drops the f highest and f lowest numbers it hears before it
averages (W-MSR,
LeBlanc et al. 2013): the honest stay within their own range.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidewright.coordination.patterns.combining import pool_beliefs, tolerated, trimmed_mean
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result, shared_names
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64


def metropolis(neighbours: Sequence[Sequence[int]]) -> F64:
    """Mixing matrix of an undirected graph: w_ij = 1 / (1 + max(degree_i, degree_j)), the rest stays with oneself.

    Returns
    -------
    F64
        (n, n), symmetric, rows sum to 1.

    Raises
    ------
    UsageError
        If somebody is a neighbour of an agent that is not one of his.
    """
    n = len(neighbours)
    matrix = np.zeros((n, n))
    for i, heard in enumerate(neighbours):
        for j in heard:
            if i == j or i not in neighbours[j]:
                raise UsageError(f"neighbours must hear each other and not themselves, {i} and {j} do not")
            matrix[i, j] = 1.0 / (1 + max(len(heard), len(neighbours[j])))
    np.fill_diagonal(matrix, 1.0 - matrix.sum(axis=1))
    return matrix


def rate(matrix: F64) -> float:
    """Factor by which the distance to the mean shrinks a round: the second largest absolute eigenvalue."""
    values = np.sort(np.abs(np.linalg.eigvalsh(matrix)))
    return float(values[-2]) if len(values) > 1 else 0.0


def consensus(values: F64, matrix: F64, rounds: int) -> F64:
    """Numbers of all agents after some rounds of averaging."""
    x = values.copy()
    for _ in range(rounds):
        x = matrix @ x
    return x


def resilient_round(own: float, heard: Sequence[float], liars: int) -> float:
    """An honest agent's next number when up to ``liars`` of those it hears may say anything (W-MSR).

    Of the numbers above its own it drops the ``liars`` highest, of those below the ``liars`` lowest.
    """
    above = sorted(value for value in heard if value > own)
    below = sorted(value for value in heard if value < own)
    equal = [value for value in heard if value == own]
    kept = [*below[min(liars, len(below)) :], *equal, *above[: max(0, len(above) - liars)], own]
    return math.fsum(kept) / len(kept)


class PeerToPeer:
    """Equal agents share what they believe: trimmed mean of numbers, logarithmic pool of beliefs about who does best.

    Each agent's belief about the others starts uniform and moves with the losses all can see; a peer that does
    not speak
    is left out of the pool.

    Parameters
    ----------
    eta
        How fast beliefs move with a loss of 1.
    memory
        Share of the log-belief that is kept a decision, so that an old regime is forgotten.
    """

    name = "peer_to_peer"

    def __init__(self, eta: float = 0.5, memory: float = 0.98) -> None:
        self._eta, self._memory = eta, memory
        self._scores: dict[str, float] = {}

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """Numbers all can agree on; capital by the pooled belief."""
        names = sorted(opinion.agent for opinion in opinions)
        params = dict(incumbent)
        for name in shared_names(incumbent, opinions):
            values = [opinion.params.get(name, incumbent[name]) for opinion in opinions]  # silence: leave it
            params[name] = trimmed_mean(values, tolerated(len(values)))
        stances = [opinion.stance for opinion in opinions]
        stance = round(trimmed_mean(stances, tolerated(len(stances)))) if stances else 0
        return Outcome(params, stance, self._shares(names), f"{len(names)} peers agree")

    def learn(self, results: Mapping[str, Result]) -> None:
        """Losses everybody sees."""
        for agent, result in results.items():
            self._scores[agent] = self._memory * self._scores.get(agent, 0.0) - self._eta * result.loss

    def _shares(self, names: Sequence[str]) -> dict[str, float]:
        if not names:
            return {}
        # Each peer tilts the common evidence towards itself by one loss: pooling takes the tilts out again.
        beliefs = [
            [math.exp(self._scores.get(name, 0.0) + (self._eta if name == teller else 0.0)) for name in names]
            for teller in names
        ]
        return dict(zip(names, pool_beliefs([[v / math.fsum(b) for v in b] for b in beliefs]), strict=True))
