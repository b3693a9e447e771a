"""A genetic search with random immigrants: simple, honest, the same for the same seed.

Every generation is new candidates only. Parents are the best of all judged so far (elitism: nothing good is lost and
nothing is judged twice), chosen by tournament, crossed by blending (BLX-α, Eshelman and Schaffer 1993), mutated by a
normal step that narrows from generation to generation. A share of each generation is random immigrants (Grefenstette
1992), so that a market that has changed is looked at with fresh eyes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.space import Space
from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]
_ATTEMPTS = 8  # redraws of a candidate that was judged before, then it is accepted: small spaces run out of new ones


@dataclass(frozen=True, slots=True)
class Genetics:
    """How generations are bred. Shares and probabilities in [0, 1].

    Attributes
    ----------
    immigrants
        Share of a generation drawn at random from the whole space.
    parents
        Share of the population size that breeds.
    tournament
        Candidates compared for each parent.
    crossover, blend
        Probability that two parents are blended, and how far beyond them a child may lie (BLX-α).
    mutation, step, narrowing
        Probability a coordinate is moved, deviation of the move in the unit cube, and its factor a generation.
    """

    immigrants: float = 0.25
    parents: float = 0.25
    tournament: int = 3
    crossover: float = 0.8
    blend: float = 0.3
    mutation: float = 0.4
    step: float = 0.15
    narrowing: float = 0.7


class GeneticSearch:
    """Ask for candidates, tell their scores.

    Parameters
    ----------
    space
        What is searched.
    population
        Candidates a generation, >= 2.
    rng
        The only source of randomness.
    seeds
        Values (n, d) that are in the first generation: the incumbent, earlier good ones.
    """

    def __init__(
        self,
        space: Space,
        population: int,
        rng: np.random.Generator,
        seeds: F64 | None = None,
        genetics: Genetics | None = None,
    ) -> None:
        if population < 2:
            raise UsageError(f"a generation has at least 2 candidates, was {population}")
        self.space = space
        self.generation = 0
        self._population = population
        self._rng = rng
        self._genetics = genetics or Genetics()
        dims = len(space.dimensions)
        self._seeds = np.empty((0, dims)) if seeds is None else space.decode(space.encode(seeds))[:population]
        self._asked: F64 | None = None
        self._judged: set[bytes] = set()
        self.values: F64 = np.empty((0, dims))
        self.scores: F64 = np.empty(0)

    def ask(self) -> F64:
        """Values (population, d) of the next generation.

        Raises
        ------
        UsageError
            If the scores of the last one are still owed.
        """
        if self._asked is not None:
            raise UsageError("the scores of the last generation must be told before the next is asked for")
        rows = self._first() if self.generation == 0 else self._bred()
        self._asked = self._renewed(rows)
        return self._asked

    def tell(self, scores: F64) -> None:
        """Scores of the last generation, higher is better; NaN counts as the worst.

        Raises
        ------
        UsageError
            If nothing was asked or the count differs.
        """
        if self._asked is None or len(scores) != len(self._asked):
            asked = 0 if self._asked is None else len(self._asked)
            raise UsageError(f"{asked} scores were asked for, {len(scores)} were told")
        self.values = np.concatenate([self.values, self._asked])
        self.scores = np.concatenate([self.scores, np.where(np.isnan(scores), -np.inf, scores)])
        self._judged.update(row.tobytes() for row in self._asked)
        self._asked = None
        self.generation += 1

    def best(self, count: int, distance: float = 0.0) -> npt.NDArray[np.int64]:
        """Indices into ``values`` of the best, best first, each at least ``distance`` from the better ones.

        Parameters
        ----------
        distance
            Largest coordinate difference in the unit cube that still counts as the same place.
        """
        units = self.space.encode(self.values)
        chosen: list[int] = []
        for index in np.argsort(-self.scores, kind="stable"):
            if not np.isfinite(self.scores[index]):
                break
            if all(np.abs(units[index] - units[other]).max() > distance for other in chosen):
                chosen.append(int(index))
            if len(chosen) == count:
                break
        return np.array(chosen, np.int64)

    def _first(self) -> F64:
        random = self._immigrants(self._population - len(self._seeds))
        return np.concatenate([self._seeds, random])

    def _bred(self) -> F64:
        g = self._genetics
        newcomers = round(g.immigrants * self._population)
        children = self._population - newcomers
        pool = np.argsort(-self.scores, kind="stable")[: max(2, round(g.parents * self._population))]
        units = self.space.encode(self.values[pool])  # sorted: the smaller the position, the better
        mothers = units[self._rng.integers(0, len(pool), (children, g.tournament)).min(axis=1)]
        fathers = units[self._rng.integers(0, len(pool), (children, g.tournament)).min(axis=1)]
        low, high = np.minimum(mothers, fathers), np.maximum(mothers, fathers)
        reach = g.blend * (high - low)
        blended = self._rng.uniform(low - reach, high + reach)
        crossed = self._rng.random((children, 1)) < g.crossover
        child = np.where(crossed, blended, mothers)
        moved = self._rng.random(child.shape) < g.mutation
        step = g.step * g.narrowing ** (self.generation - 1)
        child = np.clip(child + moved * self._rng.normal(0.0, step, child.shape), 0.0, 1.0)
        return np.concatenate([self.space.decode(child), self._immigrants(newcomers)])

    def _immigrants(self, count: int) -> F64:
        return self.space.decode(self._rng.random((count, len(self.space.dimensions))))

    def _renewed(self, rows: F64) -> F64:
        seen = set(self._judged)
        for index in range(len(rows)):
            for _ in range(_ATTEMPTS):
                if rows[index].tobytes() not in seen:
                    break
                rows[index] = self._immigrants(1)[0]
            seen.add(rows[index].tobytes())
        return rows
