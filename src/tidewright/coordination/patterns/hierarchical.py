"""A meta-agent above the strategies: it mixes them by how all of them have done, followed or not.

All shadow results are known, so this is prediction with expert advice under full information. Fixed share (Herbster &
Warmuth 1998)
with a decreasing rate follows the best strategy also when it changes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidewright.coordination.patterns.combining import log_pool
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64


def hedge_bound(rounds: int, experts: int) -> float:
    """Most that Hedge with rate sqrt(8 ln N / t) loses to the best expert (Cesa-Bianchi & Lugosi 2006, Theorem 2.3)."""
    logs = math.log(experts)
    return 2 * math.sqrt(rounds / 2 * logs) + math.sqrt(logs / 8)


class Hedge:
    """Exponential weights with the anytime rate sqrt(8 ln N / t): the best fixed expert in hindsight is the measure."""

    def __init__(self, experts: int) -> None:
        if experts < 2:
            raise UsageError(f"there must be at least 2 experts to weigh, was {experts}")
        self._total = np.zeros(experts)
        self._round = 0

    @property
    def weights(self) -> F64:
        """Of the next round, sum 1."""
        eta = math.sqrt(8 * math.log(len(self._total)) / (self._round + 1))
        raw = np.exp(-eta * (self._total - self._total.min()))
        return raw / raw.sum()

    def update(self, losses: F64) -> None:
        """Take in one round's losses, each in [0, 1]."""
        _check(losses, len(self._total))
        self._total += losses
        self._round += 1


class FixedShare:
    """Fixed share with decreasing rate eta_t and share alpha_t.

    w' = w^(eta_{t+1}/eta_t) exp(-eta_{t+1} loss), normalised, then w = (1 - alpha_{t+1}) w' + alpha_{t+1} / N.
    Its loss exceeds that
    of any sequence of experts that changes at rounds S by at most

        sum_t eta_t / 8 + ln N / eta_T + sum_{t not in S} ln(1 / (1 - alpha_t)) / eta_t + sum_{t in S} ln(N /
        alpha_t) / eta_t

    (t from 2 in the last two sums), for every loss sequence: Hoeffding's lemma, Jensen for the change of rate,
    and the share of alpha
    that no expert falls below; the proof of Cesa-Bianchi, Gaillard, Lugosi & Stoltz 2012 with these rates.

    Parameters
    ----------
    experts
        N.
    horizon
        Rounds after which rate and share fall no further, so that a session of months still follows; 0: they
        always fall.
    """

    def __init__(self, experts: int, horizon: int = 480) -> None:
        if experts < 2 or horizon < 0:
            raise UsageError(f"fixed share needs at least 2 experts and a horizon >= 0, was {experts}, {horizon}")
        self._n, self._horizon = experts, horizon
        self.weights: F64 = np.full(experts, 1.0 / experts)
        self._round = 1

    def eta(self, t: int) -> float:
        """Rate of round t, from 1: what is best when the best expert changes once in so many rounds."""
        age = self._age(t)
        return math.sqrt(8 * (2 * math.log(self._n) + math.log(age + 1)) / age)

    def alpha(self, t: int) -> float:
        """Share of round t, from 2."""
        return 1.0 / (self._age(t) + 1)

    def update(self, losses: F64) -> None:
        """Take in one round's losses, each in [0, 1]."""
        _check(losses, self._n)
        eta, after = self.eta(self._round), self.eta(self._round + 1)
        logs = np.log(self.weights) * (after / eta) - after * losses
        raw = np.exp(logs - logs.max())
        alpha = self.alpha(self._round + 1)
        self.weights = (1 - alpha) * raw / raw.sum() + alpha / self._n
        self._round += 1

    def bound(self, rounds: int, switches: Sequence[int]) -> float:
        """Most that it loses to experts that change at these rounds (2 to ``rounds``, counted from 1)."""
        changed = set(switches)
        total = math.fsum(self.eta(t) / 8 for t in range(1, rounds + 1)) + math.log(self._n) / self.eta(rounds)
        for t in range(2, rounds + 1):
            alpha = self.alpha(t)
            total += (math.log(self._n / alpha) if t in changed else -math.log1p(-alpha)) / self.eta(t)
        return total

    def _age(self, t: int) -> int:
        return min(t, self._horizon) if self._horizon else t


class Hierarchical:
    """Capital by fixed share; numbers of the strategy that leads.

    Parameters
    ----------
    agents
        All that can ever be weighed, known beforehand.
    horizon
        Of :class:`FixedShare`, decisions.
    """

    name = "hierarchical"

    def __init__(self, agents: Sequence[str], horizon: int = 480) -> None:
        self._agents = tuple(agents)
        self._share = FixedShare(len(self._agents), horizon) if len(self._agents) > 1 else None

    @property
    def weights(self) -> dict[str, float]:
        """Of all agents, sum 1."""
        if self._share is None:
            return dict.fromkeys(self._agents, 1.0)
        return dict(zip(self._agents, self._share.weights.tolist(), strict=True))

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """Capital by weight among those that speak; what belongs to the silent is not invested."""
        weights = self.weights
        spoken = {opinion.agent: opinion for opinion in opinions if opinion.agent in weights}
        shares = {agent: weights[agent] for agent in self._agents if agent in spoken}
        params = dict(incumbent)
        if not shares:
            return Outcome(params, 0, {}, "nobody speaks")
        leader = max(shares, key=lambda agent: (shares[agent], agent))
        params.update({name: value for name, value in spoken[leader].params.items() if name in incumbent})
        return Outcome(params, spoken[leader].stance, shares, f"{leader} leads with {shares[leader]:.3f}")

    def believe(self, beliefs: Mapping[str, float]) -> float | None:
        """Logarithmic pool by weight."""
        known = {agent: weight for agent, weight in self.weights.items() if agent in beliefs}
        return log_pool([beliefs[agent] for agent in known], list(known.values())) if known else None

    def learn(self, results: Mapping[str, Result]) -> None:
        """One round; an agent without a result counts as having done no better than the worst."""
        if self._share is None or not results:
            return
        worst = max(result.loss for result in results.values())
        losses = [results[agent].loss if agent in results else worst for agent in self._agents]
        self._share.update(np.array(losses))


def _check(losses: F64, experts: int) -> None:
    if losses.shape != (experts,) or not np.all((losses >= 0) & (losses <= 1)):
        raise UsageError(f"a round needs {experts} losses in [0, 1], was {losses.tolist()}")
