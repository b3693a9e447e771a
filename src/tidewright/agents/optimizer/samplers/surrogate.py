"""Search on a model of the function, where the improvement it expects is greatest.

A model (Gaussian process, forest) foretells every objective and constraint with a spread. Candidates are drawn over
the space and near what is good, scored by expected hypervolume improvement times the probability of keeping the
constraints, and refined around the best of them. Members of a batch are chosen one after another as if those before had
come out as foretold (kriging believer, Ginsbourger, Le Riche and Carraro 2010): the front moves, and the spread shrinks
near them by their correlation.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.front import FAR, corner, free_boxes, nondominated
from tidewright.agents.optimizer.samplers.history import History, Proposal, best_first, plain
from tidewright.agents.optimizer.samplers.improvement import expected_improvement, log_feasibility
from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

ROWS: Final = 256  # rows a model is fitted to: the better half of them the best, the others drawn
_OVER_SPACE: Final = 512
_NEAR_FRONT: Final = 768
_REFINED: Final = 384
_ROUNDS: Final = 4
_STEPS: Final = 16  # times a large batch looks at the scores anew
_SHORTLIST: Final = 384
_WAITING: Final = 24  # pending positions that shrink the spread around them
_BOX_POINTS: Final = {1: 1, 2: 128, 3: 40, 4: 14}  # front points that boxes are cut by; 10 with more objectives


class Posterior(Protocol):
    """What a model foretells of candidates."""

    mean: F64
    deviation: F64

    def correlation(self, row: int) -> F64:
        """Correlation of what is foretold of one candidate with that of all, shape (p, outputs)."""
        ...


class Model(Protocol):
    """Learns outputs (n, k) from features (n, f), and foretells them."""

    state: Mapping[str, list[float]]

    def fit(self, features: F64, outputs: F64, rng: np.random.Generator) -> None:
        """Learn."""
        ...

    def foretell(self, features: F64) -> Posterior:
        """Mean and deviation of all outputs."""
        ...

    def thinking(self, rows: int, outputs: int) -> float:
        """Seconds that learning so many rows and searching on them takes."""
        ...


class SurrogateSampler:
    """Proposes where a model expects most.

    Parameters
    ----------
    space
        What is searched.
    model
        Fitted anew for each proposal.
    """

    def __init__(self, space: Space, model: Model) -> None:
        self._space = space
        self._model = model

    @property
    def state(self) -> Mapping[str, list[float]]:
        """What the model carries on."""
        return self._model.state

    @state.setter
    def state(self, value: Mapping[str, list[float]]) -> None:
        self._model.state = value

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """Positions of the greatest expected improvement; drawn over the space before anything finite is known."""
        known = np.flatnonzero(np.isfinite(history.losses).any(axis=1) | np.isfinite(history.excess).any(axis=1))
        if len(known) < 2:
            return plain(moves.even(self._space, count, rng))
        task = _Task(history.rows(known), rng)
        with _one_thread():
            return plain(self._search(task, history.pending, count, rng))

    def _search(self, task: "_Task", pending: F64, count: int, rng: np.random.Generator) -> F64:
        """Fit the model, draw candidates, refine around the best, and choose a batch."""
        self._model.fit(self._space.features(task.units), task.outputs, rng)
        centres = task.units[: max(8, min(64, len(task.units) // 3))]
        found = np.concatenate(
            [moves.random(self._space, _OVER_SPACE, rng), moves.near(self._space, centres, _NEAR_FRONT, rng)]
        )
        score = self._score(found, task)
        for number in range(_ROUNDS):
            top = np.argsort(-score, kind="stable")[: 8 + count // 8]
            widest = 0.2 * 0.4**number
            new = moves.near(self._space, found[top], _REFINED, rng, widest)
            found = np.concatenate([found, new])
            score = np.concatenate([score, self._score(new, task)])
        _, first = np.unique(found, axis=0, return_index=True)
        first = first[np.argsort(-score[first], kind="stable")][: max(_SHORTLIST, 3 * count)]
        return self._batch(found[first], pending, task, count)

    def thinking(self, history: History, count: int) -> float:
        """Seconds: the model's, and what choosing a batch adds."""
        outputs = history.losses.shape[1] + history.excess.shape[1]
        return self._model.thinking(min(len(history), ROWS), outputs) + 5e-4 * outputs * count

    def _score(self, units: F64, task: "_Task") -> F64:
        told = self._model.foretell(self._space.features(units))
        return task.score(told.mean, told.deviation)

    def _batch(self, units: F64, pending: F64, task: "_Task", count: int) -> F64:
        """Choose from a shortlist; what is pending counts as chosen before."""
        told = self._model.foretell(self._space.features(np.concatenate([units, pending])))
        mean, deviation = told.mean, told.deviation.copy()
        taken = np.zeros(len(mean), np.bool_)
        waiting = range(len(units), len(mean))
        taken[len(units) :] = True
        for row in list(waiting)[:: max(1, len(waiting) // _WAITING)]:
            deviation *= np.sqrt(np.maximum(0.0, 1.0 - told.correlation(row) ** 2))
        chosen: list[int] = []
        believed = list(waiting)
        each = -(-count // _STEPS)
        while len(chosen) < min(count, len(units)):
            score = task.score(mean, deviation, mean[believed])
            score[taken] = -np.inf
            for _ in range(min(each, count - len(chosen))):
                row = int(np.argmax(score))
                if not np.isfinite(score[row]):
                    break
                near = told.correlation(row) ** 2
                deviation *= np.sqrt(np.maximum(0.0, 1.0 - near))
                score += np.log(np.maximum(1e-12, 1.0 - near.max(axis=1)))  # until it is scored anew
                score[row] = -np.inf
                taken[row] = True
                chosen.append(row)
                believed.append(row)
            if taken.all():
                break
        return units[np.array(chosen, np.int64)]


def _one_thread() -> Any:
    """Linear algebra in one thread: for matrices this small the others only spin, and sums come out the same anywhere.

    Returns
    -------
    context manager
        Until its end.
    """
    import scipy.linalg  # noqa: F401 - only what is loaded can be told
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


class _Task:
    """What a model learns, and what improvement means, in units of the standardised outputs."""

    def __init__(self, history: History, rng: np.random.Generator) -> None:
        order = best_first(history)
        if len(order) > ROWS:
            half = ROWS // 2
            rest = rng.permutation(order[half:])[: ROWS - half]
            order = np.concatenate([order[:half], np.sort(rest)])
        chosen = history.rows(order)
        self.units = chosen.units
        self.objectives = history.losses.shape[1]
        losses = _bounded(chosen.losses, history.losses)
        self._centre, self._scale = losses.mean(axis=0), _deviation(losses)
        scaled = (losses - self._centre) / self._scale
        excess = np.where(np.isnan(chosen.excess), np.nan, chosen.excess)
        size = _typical(history.excess)
        self.outputs = np.concatenate([scaled, _imputed(np.clip(excess / size, -3.0, 3.0))], axis=1)
        keep = chosen.feasible
        self._front = scaled[keep][nondominated(scaled[keep])] if keep.any() else np.empty((0, self.objectives))
        self._any = bool(keep.any())
        self._seen = scaled[keep]

    def score(self, mean: F64, deviation: F64, believed: F64 | None = None) -> F64:
        """Logarithm of expected improvement times probability of feasibility; without a feasible row the latter."""
        m = self.objectives
        feasible = log_feasibility(mean[:, m:], deviation[:, m:])
        if not self._any:
            return feasible
        front = self._front
        if believed is not None and len(believed):
            expected = believed[(believed[:, m:] <= 0.0).all(axis=1), :m]
            front = np.concatenate([front, expected])
        reference, span = corner(self._front, self._seen)
        front = front[nondominated(front)]
        limit = _BOX_POINTS.get(m, 10)
        if len(front) > limit:
            front = front[_spread(front / span, limit)]
        lows, highs = free_boxes(front, reference)
        gain = expected_improvement(mean[:, :m], deviation[:, :m], lows, highs)
        return np.log(np.maximum(gain, 1e-300)) + feasible


def _bounded(losses: F64, everything: F64) -> F64:
    """Losses with what is far worse than usual brought near, and failures set to the worst."""
    bounded = np.empty_like(losses)
    for column in range(losses.shape[1]):
        known = everything[np.isfinite(everything[:, column]), column]
        if len(known) == 0:
            bounded[:, column] = 0.0
            continue
        middle = float(np.median(known))
        limit = middle + FAR * (middle - float(known.min()))
        worst = min(float(known.max()), limit)
        values = np.where(np.isfinite(losses[:, column]), losses[:, column], worst)
        bounded[:, column] = np.minimum(values, worst)
    return bounded


def _deviation(values: F64) -> F64:
    deviation = values.std(axis=0)
    return np.where(deviation > 0, deviation, 1.0)


def _typical(excess: F64) -> F64:
    """Size of each constraint's excess."""
    size = np.ones(excess.shape[1])
    for column in range(excess.shape[1]):
        known = np.abs(excess[np.isfinite(excess[:, column]), column])
        middle = float(np.median(known)) if len(known) else 0.0
        size[column] = middle if middle > 0 else float(known.max()) if len(known) and known.max() > 0 else 1.0
    return size


def _imputed(excess: F64) -> F64:
    """Unknown excesses taken for the worst."""
    return np.where(np.isfinite(excess), excess, 3.0)


def _spread(front: F64, count: int) -> I64:
    """Rows of a front far from each other, the ends of each objective first."""
    chosen = list(dict.fromkeys(int(row) for row in front.argmin(axis=0)))[:count]
    distance = np.min([np.linalg.norm(front - front[row], axis=1) for row in chosen], axis=0)
    while len(chosen) < count:
        row = int(np.argmax(distance))
        chosen.append(row)
        distance = np.minimum(distance, np.linalg.norm(front - front[row], axis=1))
    return np.array(chosen, np.int64)
