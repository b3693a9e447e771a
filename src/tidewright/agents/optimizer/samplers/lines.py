"""Cuts between neighbours on lines along the axes: next to no thinking, for functions that are judged at once.

Points that differ in one number alone lie on a line. Between two neighbours on it the function is taken to be a random
walk (a Wiener process), whose chance of passing a target between them is exp(-2 (a - t)(b - t) / (variance x distance))
with losses a and b at the ends and a target t below the best known (Kushner 1964; Zilinskas 1985, the P-algorithm). The
likeliest segments of all lines are cut, in proportion to what their ends lack. That goes on wherever many numbers mean
the same (prices are whole ticks): a segment whose ends gave the same answers is most likely flat, and rarely cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.history import Bools, History, Proposal, best_first, plain
from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

IMMIGRANTS: Final = 0.05
ROWS: Final = 2048  # of more, the better half and the latest
_BEYOND: Final = 0.1  # how far the target lies below the best, in units of (median - best)
_FLAT: Final = 16.0  # times as unlikely, in the exponent, is what lies between equal answers
_JITTER: Final = 0.1  # deviation of where a segment is cut
_EDGE: Final = 0.05  # of a segment that no cut comes nearer to its ends than
_LEAST: Final = 1e-5  # distance of neighbours in the unit cube that is not cut further
_SAME: Final = 1e-9  # numbers nearer than this are one
_GUESSES: Final = 3.0  # segments' worth of doubt about how much a number matters


class LineSampler:
    """Cuts the segments that most likely hide something better than the best."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.state: Mapping[str, list[float]] = {}

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """Cuts, and a few points drawn over the space."""
        if len(history) < 4 or not history.finite.any():
            return plain(moves.even(self._space, count, rng))
        newcomers = int(rng.binomial(count, IMMIGRANTS))
        cuts = self._cut(_latest(history), count - newcomers, rng)
        return plain(np.concatenate([cuts, moves.random(self._space, count - len(cuts), rng)]))

    def thinking(self, history: History, count: int) -> float:
        """Seconds: sorting all points along each number."""
        return 0.002 + 4e-5 * count + 1e-6 * min(len(history), ROWS) * history.units.shape[1]

    def _cut(self, history: History, count: int, rng: np.random.Generator) -> F64:
        loss, answer = _one_loss(history, rng)
        best = float(loss.min())
        span = float(np.median(loss)) - best
        span = span if span > 0.0 else 1.0
        target = best - _BEYOND * span
        units = np.concatenate([history.units, history.pending])
        parts = self._segments(units, np.minimum(loss, best + 2.0 * span), answer)
        if len(parts.axis) == 0:
            return units[:0]
        heap = parts.likeliest(target, 4 * count + 64)
        heapify(heap)
        found: list[F64] = []
        jitter = _JITTER * rng.standard_normal(count)
        while heap and len(found) < count:
            _, number, axis, row, low, high, first, second, scale = heappop(heap)
            left, right = first - target, second - target
            share = min(1.0 - _EDGE, max(_EDGE, left / (left + right) + float(jitter[len(found)])))
            point = units[row].copy()
            point[axis] = low + share * (high - low)
            if self._space.dimensions[axis].kind == "int":
                point = self._space.snapped(point[None, :])[0]
                if min(abs(float(point[axis]) - end) for end in (low, high, float(units[row, axis]))) < _SAME:
                    continue  # no whole number lies between
            found.append(point)
            place = float(point[axis])
            between = first + (place - low) / (high - low) * (second - first)
            for ends in ((low, place, first, between), (place, high, between, second)):
                doubt = _doubt(target, *ends, scale)
                if ends[1] - ends[0] >= _LEAST:
                    heappush(heap, (doubt, number, axis, row, *ends, scale))
        return np.array(found, np.float64).reshape(-1, units.shape[1])

    def _segments(self, units: F64, loss: F64, answer: I64) -> "_Segments":
        """All segments of all lines; what is pending is believed to lie on the straight between its neighbours."""
        waiting = len(units) - len(loss)
        loss = np.concatenate([loss, np.full(waiting, np.nan)])
        answer = np.concatenate([answer, -1 - np.arange(waiting)])
        parts = self._space.dimensions
        conditional = any(part.when is not None for part in parts)
        active = ~np.isnan(self._space.decode(units)) if conditional else np.ones(units.shape, np.bool_)
        axes = [axis for axis, part in enumerate(parts) if part.kind in ("float", "log")]
        axes = axes or [axis for axis, part in enumerate(parts) if part.kind == "int"]
        return _joined([_along(units, loss, answer, axis, active[:, axis]) for axis in axes])


@dataclass(frozen=True, slots=True)
class _Segments:
    """Stretches between neighbours on lines.

    Attributes
    ----------
    axis, point
        The number that changes along a stretch, and the row of a point on its line.
    low, high, first, second
        Its ends in the unit cube, and the losses there.
    scale
        Variance of the loss a unit of the number, less where both ends gave the same answers.
    """

    axis: I64
    point: I64
    low: F64
    high: F64
    first: F64
    second: F64
    scale: F64

    def likeliest(
        self, target: float, count: int
    ) -> list[tuple[float, int, int, int, float, float, float, float, float]]:
        """Those most likely to pass the target: doubt, their number, and their columns."""
        doubt = _doubt(target, self.low, self.high, self.first, self.second, self.scale)
        doubt = np.where(self.high - self.low < _LEAST, np.inf, doubt)
        chosen = np.argsort(doubt, kind="stable")[:count]
        chosen = chosen[np.isfinite(doubt[chosen])]
        columns = [getattr(self, name)[chosen].tolist() for name in self.__slots__]
        return list(zip(doubt[chosen].tolist(), chosen.tolist(), *columns, strict=True))


def _joined(parts: list[_Segments]) -> _Segments:
    columns = {name: [getattr(part, name) for part in parts] for name in _Segments.__slots__}
    none = {name: [np.empty(0, np.int64 if name in ("axis", "point") else np.float64)] for name in columns}
    return _Segments(**{name: np.concatenate(column or none[name]) for name, column in columns.items()})


def _doubt(target: float, low: Any, high: Any, first: Any, second: Any, scale: Any) -> Any:
    """Minus half the logarithm of the chance of passing the target between two ends."""
    return (first - target) * (second - target) / (scale * ((high - low) + 1e-12))


def _along(units: F64, loss: F64, answer: I64, axis: int, active: Bools) -> _Segments:
    """Segments along one number."""
    rows = np.flatnonzero(active)
    others = np.round(np.delete(units[rows], axis, axis=1) / _SAME).astype(np.int64)
    alone = others.shape[1] == 0
    line = np.zeros(len(rows), np.int64) if alone else np.unique(others, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((units[rows, axis], line))
    rows, line = rows[order], line[order]
    value, keep = _believed(units[rows, axis], loss[rows], line)
    rows, line, value = rows[keep], line[keep], value[keep]
    place = units[rows, axis]
    if len(rows) == 0:
        return _joined([])
    joint = line[1:] == line[:-1]
    start, stop = np.append(True, ~joint), np.append(~joint, True)
    inner = np.flatnonzero(joint)
    point = np.concatenate([rows[inner], rows[start], rows[stop]])
    low = np.concatenate([place[inner], np.zeros(int(start.sum())), place[stop]])
    high = np.concatenate([place[inner + 1], place[start], np.ones(int(stop.sum()))])
    usual = np.full(int(start.sum()), np.median(value))  # what was never judged is nothing special
    first = np.concatenate([value[inner], usual, value[stop]])
    second = np.concatenate([value[inner + 1], value[start], usual])
    flat = np.zeros(len(point), np.bool_)
    flat[: len(inner)] = answer[rows[inner]] == answer[rows[inner + 1]]
    steps = (value[inner + 1] - value[inner]) ** 2 / np.maximum(place[inner + 1] - place[inner], _LEAST)
    spread = float(np.var(value)) or 1.0
    scale = (float(steps.sum()) + _GUESSES * spread) / (len(steps) + _GUESSES)
    return _Segments(np.full(len(point), axis), point, low, high, first, second, np.where(flat, scale / _FLAT, scale))


def _believed(place: F64, value: F64, line: I64) -> tuple[F64, Bools]:
    """Losses with those of pending points from the neighbours on their line, and which rows' lines have any known."""
    known = np.isfinite(value)
    if known.all():
        return value, known
    index = np.arange(len(value))
    before = np.maximum.accumulate(np.where(known, index, -1))
    after = np.minimum.accumulate(np.where(known, index, len(value))[::-1])[::-1]
    left = (before >= 0) & (line[np.maximum(before, 0)] == line)
    right = (after < len(value)) & (line[np.minimum(after, len(value) - 1)] == line)
    before = np.where(left, before, np.where(right, after, 0))
    after = np.where(right, np.minimum(after, len(value) - 1), before)
    length = place[after] - place[before]
    share = np.where(length > 0.0, (place - place[before]) / np.where(length > 0.0, length, 1.0), 0.0)
    return value[before] + share * (value[after] - value[before]), left | right


def _latest(history: History) -> History:
    if len(history) <= ROWS:
        return history
    better = best_first(history)[: ROWS // 2]
    rest = np.setdiff1d(np.arange(len(history)), better)[-(ROWS - len(better)) :]
    return replace(history.rows(np.sort(np.concatenate([better, rest]))), pending=history.pending)


def _one_loss(history: History, rng: np.random.Generator) -> tuple[F64, I64]:
    """One loss a row, and the number of its answer (equal answers have one number).

    Of several objectives the augmented Chebyshev norm with weights drawn anew for each question (Knowles 2006, ParEGO);
    what breaks a constraint is worse than all that keeps them, by how far.
    """
    losses = np.where(history.finite[:, None], history.losses, np.nan)
    keep, objectives = history.feasible, history.losses.shape[1]
    good = losses[keep] if keep.any() else losses[history.finite]
    least, middle = good.min(axis=0), np.median(good, axis=0)
    scaled = (losses - least) / np.where(middle > least, middle - least, 1.0)
    weight = rng.dirichlet(np.ones(objectives))
    loss = (weight * scaled).max(axis=1) + 0.05 * (weight * scaled).sum(axis=1)
    if not keep.all():
        violation = history.violation
        finite = violation[np.isfinite(violation) & ~keep]
        size = float(np.median(finite)) if len(finite) else 1.0
        worse = float(np.median(loss[keep])) if keep.any() else 0.0
        loss = np.where(keep, loss, worse + violation / (size if size > 0.0 else 1.0))
        loss = np.where(history.finite, loss, np.inf)
    worst = loss[np.isfinite(loss)]
    loss = np.where(np.isfinite(loss), loss, worst.max() if len(worst) else 1.0)
    answers = np.concatenate([losses, history.excess], axis=1)
    return loss, np.unique(answers, axis=0, return_inverse=True)[1].reshape(-1)
