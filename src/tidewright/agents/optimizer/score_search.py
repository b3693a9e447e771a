"""The agent's search: one score a lane, generations of candidates, the incumbent in the first of them."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.search import Search
from tidewright.agents.optimizer.space import Space
from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

AGENT: Final = ("gp", "forest", "genetic")  # the ensemble without TPE, whose proposals cost milliseconds each
_UNJUDGED: Final = -1.0  # score that the search is told of a lane with too few fills, beside the broken constraint


class Searched(Protocol):
    """What a study needs of a search that is over: all values (n, d), their scores, and which are the best."""

    scores: F64

    @property
    def values(self) -> F64:
        """Values (n, d) of all judged, in order."""
        ...

    def best(self, count: int, distance: float = 0.0) -> npt.NDArray[np.int64]:
        """Rows of the best, best first, each at least ``distance`` from the better ones."""
        ...


class ScoreSearch:
    """Ask for a generation, tell its scores. Nothing is judged twice, and nothing good is lost.

    Parameters
    ----------
    space
        What is searched.
    population
        Candidates a generation, >= 2.
    seed
        The only source of randomness.
    seeds
        Values (n, d) that are in the first generation: the incumbent, earlier good ones.
    sampler
        As in :class:`tidewright.agents.optimizer.search.Search`.
    """

    def __init__(
        self,
        space: Space,
        population: int,
        seed: int,
        seeds: F64 | None = None,
        sampler: str | Sequence[str] = AGENT,
    ) -> None:
        if population < 2:
            raise UsageError(f"a generation has at least 2 candidates, was {population}")
        start = None if seeds is None else space.shown(space.decode(space.encode(seeds[:population])))
        self._search = Search(space, {"score": "max"}, ["unshown<=0"], sampler, seed, start)
        self._population = population
        self._asked: dict[str, npt.NDArray[np.float64]] | None = None
        self.space = space
        self.generation = 0
        self.scores: F64 = np.empty(0)

    @property
    def values(self) -> F64:
        """Values (n, d) of all judged, in order."""
        return self._search.parameters

    def ask(self) -> F64:
        """Values (population, d) of the next generation.

        Raises
        ------
        UsageError
            If the scores of the last one are still owed.
        """
        if self._asked is not None:
            raise UsageError("the scores of the last generation must be told before the next is asked for")
        self._asked = self._search.ask(self._population)
        return self.space.values(self._asked)

    def tell(self, scores: F64) -> None:
        """Scores of the last generation, higher is better; NaN counts as the worst.

        Raises
        ------
        UsageError
            If nothing was asked or the count differs.
        """
        asked = 0 if self._asked is None else self._population
        if self._asked is None or len(scores) != asked:
            raise UsageError(f"{asked} scores were asked for, {len(scores)} were told")
        known = np.where(np.isnan(scores), -np.inf, scores)
        shown = known > TOO_FEW
        unshown = np.where(shown, -1.0, np.clip(TOO_FEW - known, 0.01, 1e6) / 100.0)  # fewer fills, farther from 0
        self._search.tell(self._asked, np.where(shown, known, _UNJUDGED), unshown)
        self.scores = np.concatenate([self.scores, known])
        self._asked = None
        self.generation += 1

    def best(self, count: int, distance: float = 0.0) -> npt.NDArray[np.int64]:
        """Rows of the best, best first, each at least ``distance`` from the better ones; none without a score.

        Parameters
        ----------
        distance
            Largest coordinate difference in the unit cube that still counts as the same place.
        """
        found = self._search.best(count, distance)
        return found[np.isfinite(self.scores[found])]
