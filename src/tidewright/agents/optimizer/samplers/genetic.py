"""NSGA-II with up to two objectives, NSGA-III beyond, by pymoo's operators, on everything judged so far.

Parents are the survivors of all (nothing good is lost, whoever proposed it), children come by simulated binary
crossover and polynomial mutation, choices by uniform crossover; a share of each generation is random
immigrants (Grefenstette 1992), so that a market that has changed is looked at with fresh eyes.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.history import History, Proposal, plain
from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

IMMIGRANTS: Final = 0.1
_FEWEST: Final = 16  # parents
_BAD: Final = 1e12  # loss of a row that failed
_CROSSED: Final = 0.9  # chance that a pair is crossed, and that a child is mutated
_MUTATED: Final = 0.9
_CLOSE_TO_PARENTS: Final = 15.0  # distribution indices of crossover and mutation: the greater the nearer
_CLOSE_TO_CHILD: Final = 20.0


class GeneticSampler:
    """Breeds from the survivors."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.state: Mapping[str, list[float]] = {}

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """Children, and immigrants."""
        if len(history) < 4:
            return plain(moves.even(self._space, count, rng))
        newcomers = int(rng.binomial(count, IMMIGRANTS))
        bred = self._bred(history, count - newcomers, rng)
        return plain(np.concatenate([bred, moves.random(self._space, newcomers, rng)]))

    def thinking(self, history: History, count: int) -> float:
        """Seconds: next to nothing but the sorting of fronts."""
        return 0.001 + 3e-6 * count + 5e-5 * len(history) * (history.losses.shape[1] - 1)

    def _bred(self, history: History, count: int, rng: np.random.Generator) -> F64:
        if count == 0:
            return np.empty((0, len(self._space.dimensions)))
        size = max(_FEWEST, round(2.0 * np.sqrt(len(history))))
        parents, standing = _survivors(history, size, rng)
        pairs = _tournaments(standing, -(-count // 2), rng)
        units = mutated(crossed(parents[pairs].swapaxes(0, 1), rng), rng)
        return self._space.snapped(self._choices(units, parents, pairs, rng))[:count]

    def _choices(self, units: F64, parents: F64, pairs: I64, rng: np.random.Generator) -> F64:
        """Choices are no numbers: each from one of the parents, or, seldom, any."""
        choices = np.array(self._space.categories) > 0
        if not choices.any():
            return units
        both = np.concatenate([pairs, pairs])
        picked = np.where(rng.random(units.shape) < 0.5, parents[both[:, 0]], parents[both[:, 1]])
        anew = rng.random(units.shape) < 1.0 / units.shape[1]
        return np.where(choices, np.where(anew, rng.random(units.shape), picked), units)


def crossed(parents: F64, rng: np.random.Generator) -> F64:
    """Two children of each pair by simulated binary crossover, shape (2 * pairs, d), of parents (2, pairs, d).

    pymoo's operator, drawing as its class does, without the objects that this makes of every parent and child.
    """
    from pymoo.operators.crossover.sbx import cross_sbx

    _, pairs, dims = parents.shape
    chosen = np.asarray(rng.random(pairs) < _CROSSED, np.bool_)
    children = parents.copy()
    if chosen.any():
        rng.random((pairs, 1))  # whether children are exchanged, which they always may be
        each = np.ones((pairs, 1))
        found = cross_sbx(
            parents, np.zeros(dims), np.ones(dims), _CLOSE_TO_PARENTS * each, 0.5 * each, 0.5 * each, random_state=rng
        )
        children[:, chosen] = found[:, chosen]
    return children.reshape(-1, dims)


def mutated(units: F64, rng: np.random.Generator) -> F64:
    """The same by polynomial mutation, as pymoo's class does it."""
    from pymoo.operators.mutation.pm import mut_pm

    count, dims = units.shape
    chance = np.full(count, min(0.5, 1.0 / dims))
    found = mut_pm(
        units, np.zeros(dims), np.ones(dims), np.full(count, _CLOSE_TO_CHILD), chance, at_least_once=False,
        random_state=rng,
    )  # fmt: skip
    return np.where(rng.random((count, 1)) <= _MUTATED, found, units)


def _survivors(history: History, size: int, rng: np.random.Generator) -> tuple[F64, F64]:
    """Positions of parents, and for tournaments: violation, rank, crowding (less is better), shape (parents, 3)."""
    failed = ~history.finite
    losses = np.where(failed[:, None], _BAD, np.where(np.isfinite(history.losses), history.losses, _BAD))
    violation = np.minimum(history.violation + np.where(failed, 1.0, 0.0), _BAD)
    if losses.shape[1] == 1:
        order = np.lexsort((losses[:, 0], violation))[:size]
        standing = np.stack([violation[order], losses[order, 0], np.zeros(len(order))], axis=1)
        return history.units[order], standing
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem

    dims, objectives = history.units.shape[1], losses.shape[1]
    problem = Problem(n_var=dims, n_obj=objectives, n_ieq_constr=1, xl=np.zeros(dims), xu=np.ones(dims))
    pop = Population.new(X=history.units, F=losses, G=violation[:, None])
    kept = _survival(objectives, size).do(problem, pop, n_survive=min(size, len(pop)), random_state=rng)
    crowding = [-float(one.get("crowding")) if one.get("crowding") is not None else 0.0 for one in kept]
    rank = [float(one.get("rank")) if one.get("rank") is not None else 0.0 for one in kept]
    cv = kept.get("CV")[:, 0]
    return kept.get("X"), np.stack([np.asarray(cv, np.float64), np.array(rank), np.array(crowding)], axis=1)


def _survival(objectives: int, size: int) -> Any:
    if objectives == 2:
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        return RankAndCrowding()
    from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
    from pymoo.util.ref_dirs import get_reference_directions

    partitions = 1
    while _directions(objectives, partitions + 1) <= size:
        partitions += 1
    return ReferenceDirectionSurvival(get_reference_directions("das-dennis", objectives, n_partitions=partitions))


def _directions(objectives: int, partitions: int) -> int:
    from math import comb

    return comb(objectives + partitions - 1, partitions)


def _tournaments(standing: F64, count: int, rng: np.random.Generator) -> I64:
    """Pairs of parents, each the better of two drawn, shape (count, 2)."""
    place = np.empty(len(standing), np.int64)
    place[np.lexsort((standing[:, 2], standing[:, 1], standing[:, 0]))] = np.arange(len(standing))
    drawn = rng.integers(0, len(standing), (count, 2, 2))
    first = place[drawn[..., 0]] <= place[drawn[..., 1]]
    return np.where(first, drawn[..., 0], drawn[..., 1])
