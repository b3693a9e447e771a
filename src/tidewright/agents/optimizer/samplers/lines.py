"""Cuts between neighbours on lines along the axes: next to no thinking, for functions that are judged at once.

Points that differ in one number alone lie on a line. Between two neighbours on it the function is taken to be a random
walk (a Wiener process), whose chance of passing a target between them is exp(-2 (a - t)(b - t) / (variance x distance))
with losses a and b at the ends and a target t below the best known (Kushner 1964; Zilinskas 1985, the P-algorithm). The
likeliest segments of all lines are cut, in proportion to what their ends lack. The variance a unit of the number is
learnt where the segment lies, from the segments near it: a function is rough in one part of a range and next to flat in
another (prices are whole ticks: many numbers of one stretch mean the same), and what is flat is rarely cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.history import Bools, History, Proposal, best_first, plain
from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

IMMIGRANTS: Final = 0.05
ROWS: Final = 2048  # of more, the better half and the latest
_BEYOND: Final = 0.1  # how far the target lies below the best, in units of (median - best), dealt among the fractions
_NEAR: Final = 4  # segments to either side from which the variance of one is learnt
_USUAL: Final = 4.0  # segments' worth of the variance along all lines that is added to theirs
_JITTER: Final = 0.1  # deviation of where a segment is cut
_EDGE: Final = 0.05  # of a segment that no cut comes nearer to its ends than
_LEAST: Final = 1e-5  # a segment in the unit cube that is shorter is not cut further
_ONE_BETWEEN: Final = 1.25  # steps: between whole numbers or ends of the range nearer than this lies no other
_SAME: Final = 1e-9  # numbers nearer than this are one


class LineSampler:
    """Cuts the segments that most likely hide something better than the best.

    Lines run along the numbers with fractions. Along whole numbers too, unless just one number has fractions: then each
    whole number is a line of its own, which all points with it lie on.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._fractions = [axis for axis, part in enumerate(space.dimensions) if part.kind in ("float", "log")]
        whole = [axis for axis, part in enumerate(space.dimensions) if part.kind == "int"]
        self._axes = self._fractions if len(self._fractions) == 1 else self._fractions + whole
        self._counts = {axis: int(space.dimensions[axis].high - space.dimensions[axis].low) + 1 for axis in whole}
        self._least = [
            _ONE_BETWEEN / self._counts[axis] if axis in whole else _LEAST for axis in range(len(space.names))
        ]
        self._others = {axis: [other for other in range(len(space.names)) if other != axis] for axis in self._axes}
        self._kin = {axis: [other for other in self._fractions if other != axis] for axis in self._axes}
        self._conditional = any(part.when is not None for part in space.dimensions)
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
        return 0.001 + 6e-6 * count + 1.6e-6 * min(len(history), ROWS) * history.units.shape[1]

    def _cut(self, history: History, count: int, rng: np.random.Generator) -> F64:
        loss = _one_loss(history, rng)
        best = float(loss.min())
        span = float(np.median(loss)) - best
        span = span if span > 0.0 else 1.0
        target = best - _BEYOND / max(1, len(self._fractions)) * span
        units = np.concatenate([history.units, history.pending])
        heap = self._segments(units, np.minimum(loss, best + 2.0 * span)).likeliest(
            target, count, np.array(self._least)
        )  # ordered, so a heap
        jitter = (_JITTER * rng.standard_normal(count)).tolist()
        rows: list[int] = []
        axes: list[int] = []
        places: list[float] = []
        while heap and len(rows) < count:
            _, number, axis, row, low, high, first, second, scale = heappop(heap)
            left, right = first - target, second - target
            share = min(1.0 - _EDGE, max(_EDGE, left / (left + right) + jitter[len(rows)]))
            place = low + share * (high - low)
            if axis in self._counts:
                place = _whole(place, low, high, self._counts[axis])
            rows.append(row)
            axes.append(axis)
            places.append(place)
            between = first + (place - low) / (high - low) * (second - first)
            middle, least = between - target, self._least[axis]
            if (length := place - low) >= least:
                doubt = left * middle / (scale * length)
                heappush(heap, (doubt, number, axis, row, low, place, first, between, scale))
            if (length := high - place) >= least:
                doubt = middle * right / (scale * length)
                heappush(heap, (doubt, number, axis, row, place, high, between, second, scale))
        found = units[rows]
        found[np.arange(len(rows)), axes] = places
        return found

    def _segments(self, units: F64, loss: F64) -> "_Segments":
        """All segments of all lines; what is pending is believed to lie on the straight between its neighbours."""
        loss = np.concatenate([loss, np.full(len(units) - len(loss), np.nan)])
        active = ~np.isnan(self._space.decode(units)) if self._conditional else np.ones(units.shape, np.bool_)
        alike = np.round(units / _SAME)
        found = []
        for axis in self._axes:
            rows = np.flatnonzero(active[:, axis])
            line, kin = _numbered(alike[rows][:, self._others[axis]]), _numbered(alike[rows][:, self._kin[axis]])
            found.append(_along(axis, rows, units[rows, axis], loss[rows], line, kin))
        return _joined(found)


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
        Variance of the loss a unit of the number.
    """

    axis: I64
    point: I64
    low: F64
    high: F64
    first: F64
    second: F64
    scale: F64

    def likeliest(
        self, target: float, count: int, least: F64
    ) -> list[tuple[float, int, int, int, float, float, float, float, float]]:
        """Those most likely to pass the target: doubt, their number, and their columns; none shorter than the least.

        Doubt is minus half the logarithm of the chance.
        """
        length = self.high - self.low
        doubt = (self.first - target) * (self.second - target) / (self.scale * np.maximum(length, _LEAST))
        doubt[length < least[self.axis]] = np.inf
        chosen = np.argsort(doubt, kind="stable")[:count]
        chosen = chosen[np.isfinite(doubt[chosen])]
        columns = [getattr(self, name)[chosen].tolist() for name in self.__slots__]
        return list(zip(doubt[chosen].tolist(), chosen.tolist(), *columns, strict=True))


def _joined(parts: list[_Segments]) -> _Segments:
    columns = {name: [getattr(part, name) for part in parts] for name in _Segments.__slots__}
    none = {name: [np.empty(0, np.int64 if name in ("axis", "point") else np.float64)] for name in columns}
    return _Segments(**{name: np.concatenate(column or none[name]) for name, column in columns.items()})


def _whole(place: float, low: float, high: float, count: int) -> float:
    """The position nearest to a place that is one of so many whole numbers between two ends, and none of these."""
    room = 0.75 / count
    return float(round(min(high - room, max(low + room, place)) * count - 0.5) + 0.5) / count


def _numbered(columns: F64) -> I64:
    """A number for each row; equal rows have one, and numbers go by the columns in their order."""
    if columns.shape[1] == 0:
        return np.zeros(len(columns), np.int64)
    if columns.shape[1] == 1:
        return np.unique(columns[:, 0], return_inverse=True)[1]
    order = np.lexsort(columns.T[::-1])
    ordered = columns[order]
    number = np.empty(len(columns), np.int64)
    number[order] = np.append(0, np.cumsum((ordered[1:] != ordered[:-1]).any(axis=1)))
    return number


def _along(axis: int, rows: I64, place: F64, loss: F64, line: I64, kin: I64) -> _Segments:
    """Segments along one number, of points by the number of their line and of the lines that are rough alike."""
    order = np.lexsort((place, line))
    value, keep = _believed(place[order], loss[order], line[order])
    order, value = order[keep], value[keep]
    if len(order) == 0:
        return _joined([])  # it counts for no point, or for none that was judged
    rows, place, line, kin = rows[order], place[order], line[order], kin[order]
    joint = line[1:] == line[:-1]
    start, stop, inner = np.append(True, ~joint), np.append(~joint, True), np.flatnonzero(joint)
    usual = float(np.median(value))
    before, after = value[start], value[stop]
    before = before + place[start] * (usual - before)  # far from all that was judged, a line is like any
    after = after + (1.0 - place[stop]) * (usual - after)
    ends = int(start.sum())
    low = np.concatenate([place[inner], np.zeros(ends), place[stop]])
    high = np.concatenate([place[inner + 1], place[start], np.ones(ends)])
    first = np.concatenate([value[inner], before, value[stop]])
    second = np.concatenate([value[inner + 1], value[start], after])
    own = np.concatenate([inner, np.flatnonzero(start), np.flatnonzero(stop)])
    change, length = value[inner + 1] - value[inner], np.maximum(place[inner + 1] - place[inner], _LEAST)
    scale = _scales(kin[own], 0.5 * (low + high), change**2, length, value)
    return _Segments(np.full(len(own), axis), rows[own], low, high, first, second, scale)


def _scales(kin: I64, middle: F64, change: F64, length: F64, value: F64) -> F64:
    """Variance of the loss a unit of the number about the middle of each segment.

    Parameters
    ----------
    kin, middle
        Segments, those of which the change is known first: which of them are rough alike, and where they lie.
    change, length
        Square of the change, and length, of those.
    value
        All losses: a line's length of their variance is added.
    """
    known = len(change)
    all_over = (float(change.sum()) + (float(np.var(value)) or 1.0)) / (float(length.sum()) + 1.0)
    if known == 0:
        return np.full(len(middle), all_over)
    at = 2.0 * kin + middle
    order = np.argsort(at[:known], kind="stable")
    places = at[order]
    changes, lengths = (np.append(0.0, np.cumsum(column[order])) for column in (change, length))
    here = np.searchsorted(places, at)
    low = np.maximum(here - _NEAR, np.searchsorted(places, 2.0 * kin))
    high = np.minimum(here + _NEAR, np.searchsorted(places, 2.0 * kin + 1.5))
    added = _USUAL * float(length.mean())
    near = np.maximum(0.0, changes[high] - changes[low])  # of sums: rounding may leave less than nothing
    return np.asarray((near + added * all_over) / (lengths[high] - lengths[low] + added))


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


def _one_loss(history: History, rng: np.random.Generator) -> F64:
    """One loss a row.

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
    return np.where(np.isfinite(loss), loss, worst.max() if len(worst) else 1.0)
