"""Voters: the median decides numbers, two thirds decide orders, and weight is earned, not declared.

With n voters and f = floor((n - 1) / 3) of them arbitrary: the weighted median stays within the honest voters' range,
because f voters never
hold a majority of the weight; and no order is given that fewer than a third of all voters, counted as honest, wanted,
because an order
needs two thirds of all of them by count.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tidewright.coordination.patterns.combining import cap_weights, quorum, weighted_median
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result, shared_names
from tidewright.market.tape import F64

_NEUTRAL = 0.25  # Brier score of somebody who always says one half
_PRIOR = 20.0  # outcomes before which a record counts half
_FLOOR = 0.05
_KEPT = 500


class Records:
    """What each voter's confidence has been worth, and how far voters err together.

    Worth: 1 - Brier / 0.25, shrunk towards ``start`` as if it rested on 20 outcomes more; a voter who declares
    much and is wrong
    loses it, one who always says one half earns nothing. Errors, less their mean where it came true and where it
    did not, that move together say that voters know the same: a
    voter's weight is divided by 1 + the sum of its positive correlations, so that k copies weigh as much as one.
    """

    def __init__(self, start: float = 0.2) -> None:
        self._start = start
        self._errors: dict[str, dict[int, float]] = {}  # by agent and round; negative: it came true
        self._round = 0
        self._known: dict[tuple[str, str], float] = {}  # correlations of this round

    def add(self, results: Mapping[str, Result]) -> None:
        """One round of declared confidences that came true or not."""
        self._round += 1
        self._known.clear()
        for agent, result in results.items():
            if result.confidence is None or result.came_true is None:
                continue
            kept = self._errors.setdefault(agent, {})
            kept[self._round] = result.confidence - (1.0 if result.came_true else 0.0)
            if len(kept) > _KEPT:
                del kept[next(iter(kept))]

    def worth(self, agent: str) -> float:
        """At least 0.05, at most 1."""
        errors = self._errors.get(agent, {})
        earned = math.fsum(1 - error * error / _NEUTRAL for error in errors.values())
        return max(_FLOOR, (earned + _PRIOR * self._start) / (len(errors) + _PRIOR))

    def correlation(self, one: str, other: str) -> float:
        """Of the two voters' errors in the rounds both spoke, shrunk towards 0 where these are few."""
        pair = (one, other) if one < other else (other, one)
        if pair not in self._known:
            self._known[pair] = self._correlate(*pair)
        return self._known[pair]

    def _correlate(self, one: str, other: str) -> float:
        a, b = self._errors.get(one, {}), self._errors.get(other, {})
        both = [key for key in a if key in b]
        if len(both) < 3:
            return 0.0
        dx, dy = _residuals([a[key] for key in both]), _residuals([b[key] for key in both])
        scale = math.sqrt(float(dx @ dx) * float(dy @ dy))
        if scale <= 1e-12:  # constant errors: nothing can be said about moving together
            return 0.0
        return float(dx @ dy) / scale * len(both) / (len(both) + _PRIOR)

    def correlations(self, agents: Sequence[str]) -> F64:
        """Matrix of them, for reports."""
        return np.array([[1.0 if a == b else self.correlation(a, b) for b in agents] for a in agents])

    def weights(self, agents: Sequence[str]) -> dict[str, float]:
        """Capped shares of the vote, sum 1."""
        raw = {}
        for agent in agents:
            together = math.fsum(max(0.0, self.correlation(agent, other)) for other in agents if other != agent)
            raw[agent] = self.worth(agent) / (1 + together)
        return cap_weights(raw)


def _residuals(errors: Sequence[float]) -> F64:
    """Errors less their mean among those that came true, and among those that did not: what is hard is hard for all."""
    found = np.array(errors)
    for group in (found < 0, found >= 0):
        if group.any():
            found[group] -= found[group].mean()
    return found


class Democratic:
    """Votes of a known electorate.

    Parameters
    ----------
    voters
        All who may vote; who is silent counts in the quorum and not in the median.
    """

    name = "democratic"

    def __init__(self, voters: Sequence[str]) -> None:
        self._voters = tuple(voters)
        self.records = Records()

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """Numbers by weighted median, a direction by two thirds, capital by weight; without a quorum all stays."""
        votes = self._valid(opinions)
        need = quorum(len(self._voters))
        weights = self.records.weights(self._voters)
        params = dict(incumbent)
        if len(votes) < need:
            return Outcome(params, 0, {}, f"{len(votes)} of {len(self._voters)} voted, {need} are needed")
        for name in shared_names(incumbent, votes):
            # Who does not speak of a number votes for leaving it: else few could decide it among themselves.
            values = [vote.params.get(name, incumbent[name]) for vote in votes]
            params[name] = weighted_median(values, [weights[vote.agent] for vote in votes])
        shares = {vote.agent: weights[vote.agent] for vote in votes}
        return Outcome(params, self._direction(votes, need), shares, f"{len(votes)} of {len(self._voters)} voted")

    def believe(self, beliefs: Mapping[str, float]) -> float | None:
        """Weighted median of the voters' probabilities; without a quorum nothing."""
        known = [agent for agent in self._voters if agent in beliefs]
        if len(known) < quorum(len(self._voters)):
            return None
        weights = self.records.weights(self._voters)
        return weighted_median([beliefs[agent] for agent in known], [weights[agent] for agent in known])

    def learn(self, results: Mapping[str, Result]) -> None:
        """What confidences were worth."""
        self.records.add(results)

    def _valid(self, opinions: Sequence[Opinion]) -> list[Opinion]:
        """One vote each; who says two different things in one round has said nothing."""
        found: dict[str, Opinion | None] = {}
        for opinion in opinions:
            if opinion.agent not in self._voters:
                continue
            before = found.setdefault(opinion.agent, opinion)
            if before != opinion:
                found[opinion.agent] = None
        return [found[agent] for agent in self._voters if found.get(agent) is not None]  # type: ignore[misc]

    def _direction(self, votes: Sequence[Opinion], need: int) -> int:
        for sign in (1, -1):
            agreeing = sorted(abs(vote.stance) for vote in votes if vote.stance * sign > 0)
            if len(agreeing) >= need:
                # The strength that as many wanted at least: the weakest of the strongest `need`.
                return sign * agreeing[len(agreeing) - need]
        return 0
