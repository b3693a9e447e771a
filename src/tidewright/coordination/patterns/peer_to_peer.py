"""Equal agents: each tells its neighbours its number and moves towards theirs until all have the same.

Average consensus x(t+1) = W x(t) with Metropolis weights (Xiao & Boyd 2004): the distance to the mean shrinks by the
second largest
absolute eigenvalue of W a round. Where some lie, each drops the f highest and f lowest numbers it hears before it
averages (W-MSR,
LeBlanc et al. 2013): the honest stay within their own range. Beliefs are pooled by their log-odds (Genest 1984).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tidewright.coordination.patterns.combining import log_pool, pool_beliefs, tolerated, trimmed_mean
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result, shared_names
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64

_ROUNDS: Final = 200


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


def agree(values: Sequence[float], neighbours: Sequence[Sequence[int]], liars: int) -> tuple[float, int]:
    """Let peers tell each other their numbers until they have one: that number, and the rounds it took.

    Averaging by Metropolis weights where nobody may lie, W-MSR rounds else. Where the rounds end before all have the
    same (a graph in parts, or too thin for so many liars), it is the median of what they have.

    Parameters
    ----------
    neighbours
        Whom each hears.
    liars
        How many numbers may be anything.
    """
    x: F64 = np.array(values, np.float64)
    spread = near = 1e-9 * float(np.abs(x).max(initial=0.0))
    matrix = metropolis(neighbours) if not liars else None
    for number in range(_ROUNDS + 1):
        spread = float(np.ptp(x))
        if spread <= near or number == _ROUNDS:
            break
        if matrix is not None:
            x = matrix @ x
        else:
            x = np.array([resilient_round(own, [x[j] for j in neighbours[i]], liars) for i, own in enumerate(x)])
    return float(x.mean() if spread <= near else np.median(x)), number


class PeerToPeer:
    """Equal agents share what they believe: consensus on numbers, logarithmic pool of beliefs about who does best.

    Each agent's belief about the others starts uniform and moves with the losses all can see; a peer that does
    not speak
    is left out of the pool.

    Parameters
    ----------
    neighbours
        Whom each peer hears, both ways; of a peer that is not named, and where nothing is given, all hear all.
    eta
        How fast beliefs move with a loss of 1.
    memory
        Share of the log-belief that is kept a decision, so that an old regime is forgotten.
    """

    name = "peer_to_peer"

    def __init__(
        self, neighbours: Mapping[str, Sequence[str]] | None = None, eta: float = 0.5, memory: float = 0.98
    ) -> None:
        self._neighbours = {name: set(heard) for name, heard in (neighbours or {}).items()}
        self._eta, self._memory = eta, memory
        self._scores: dict[str, float] = {}

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """Numbers all can agree on; capital by the pooled belief."""
        opinions = sorted(opinions, key=lambda opinion: opinion.agent)
        names = [opinion.agent for opinion in opinions]
        params, rounds = dict(incumbent), 0
        heard = [[j for j, other in enumerate(names) if self._hears(name, other)] for name in names]
        for name in shared_names(incumbent, opinions):
            values = [opinion.params.get(name, incumbent[name]) for opinion in opinions]  # silence: leave it
            params[name], took = agree(values, heard, tolerated(len(values)))
            rounds = max(rounds, took)
        stances = [opinion.stance for opinion in opinions]
        stance = round(trimmed_mean(stances, tolerated(len(stances)))) if stances else 0
        after = f" after {rounds} rounds" if rounds else ""
        return Outcome(params, stance, self._shares(names), f"{len(names)} peers agree{after}")

    def believe(self, beliefs: Mapping[str, float]) -> float | None:
        """Logarithmic pool of the peers' probabilities, without the highest and lowest that may be lies."""
        few = tolerated(len(beliefs))
        kept = sorted(beliefs.values())[few : len(beliefs) - few]
        return log_pool(kept) if kept else None

    def _hears(self, one: str, other: str) -> bool:
        if one == other:
            return False
        near = [self._neighbours[name] for name in (one, other) if name in self._neighbours]
        return not near or other in self._neighbours.get(one, ()) or one in self._neighbours.get(other, ())

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
