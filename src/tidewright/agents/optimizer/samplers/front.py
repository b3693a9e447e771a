"""Pareto fronts (minimisation): dominance, hypervolume, and the boxes that a front leaves free."""

from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MARGIN: Final = 0.1  # of the range: how far the reference point lies beyond what it must cover
FAR: Final = 3.0  # what lies beyond this many times (median - best) above the median is far worse than usual


def nondominated(losses: F64) -> Bools:
    """Rows that no other row is better than (of equal rows the first), shape (n,)."""
    count, objectives = losses.shape
    if count == 0:
        return np.empty(0, np.bool_)
    if objectives == 1:
        first = np.zeros(count, np.bool_)
        first[int(np.argmin(losses[:, 0]))] = True
        return first
    from moocore import is_nondominated

    return np.asarray(is_nondominated(losses, keep_weakly=False), np.bool_)


def ranks(losses: F64) -> I64:
    """Rank of dominance of each row, 0 the front."""
    if losses.shape[1] == 1:
        return np.argsort(np.argsort(losses[:, 0], kind="stable"), kind="stable").astype(np.int64)
    from moocore import pareto_rank

    return np.asarray(pareto_rank(losses), np.int64)


def hypervolume(losses: F64, reference: F64) -> float:
    """Volume dominated by rows within the reference point."""
    inside = losses[(losses < reference).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    if losses.shape[1] == 1:
        return float(reference[0] - inside.min())
    from moocore import hypervolume as volume

    return float(volume(inside, ref=reference))


def corner(front: F64, everything: F64) -> tuple[F64, F64]:
    """Reference point of a front, and the range its objectives are measured by.

    The reference lies beyond the front's worst corner and beyond everything seen that is not far worse than usual: a
    front that has found only a part of the trade-off must not hide that its ends can be moved.
    """
    span = np.ptp(front, axis=0)
    reference = front.max(axis=0)
    if len(everything):
        middle, least = np.median(everything, axis=0), everything.min(axis=0)
        usual = np.minimum(everything.max(axis=0), middle + FAR * (middle - least))
        span = np.maximum(span, usual - least)
        reference = np.maximum(reference, usual)
    span = np.where(span > 0, span, 1.0)
    return reference + MARGIN * span, span


def gains(before: F64, new: F64) -> F64:
    """What each new row alone adds to what was known before: hypervolume in units of the ranges, shape (k,)."""
    if len(new) == 0:
        return np.empty(0)
    together = np.concatenate([before, new])
    front = together[nondominated(together)]
    reference, span = corner(front, together)
    scaled_front = (before[nondominated(before)] - reference) / span
    scaled = (new - reference) / span
    zero = np.zeros(new.shape[1])
    base = hypervolume(scaled_front, zero)
    found = np.zeros(len(new))
    useful = np.flatnonzero((scaled < 0.0).all(axis=1))
    if len(scaled_front) and len(useful):
        below: Bools = scaled_front[None, :, :] <= scaled[useful][:, None, :]
        beaten = np.any(np.all(below, axis=2), axis=1)
        useful = useful[~beaten]
    if new.shape[1] == 1:
        found[useful] = -scaled[useful, 0] - base
        return np.maximum(found, 0.0)
    for row in useful:
        found[row] = hypervolume(np.concatenate([scaled_front, scaled[row : row + 1]]), zero) - base
    return np.maximum(found, 0.0)


def free_boxes(front: F64, reference: F64) -> tuple[F64, F64]:
    """Disjoint boxes that make up what is better than the reference and not dominated by a front.

    Returns lower and upper corners, each (boxes, m); lower corners may be -inf. One dimension after the other is cut
    at the front's values; in each slice the points before it leave free what they leave free in one dimension less.
    """
    inside = front[(front < reference).all(axis=1)]
    lows, highs = _slices(inside, reference)
    return np.array(lows).reshape(-1, len(reference)), np.array(highs).reshape(-1, len(reference))


def _slices(front: F64, reference: F64) -> tuple[list[list[float]], list[list[float]]]:
    if len(reference) == 1:
        best = min(float(reference[0]), float(front.min())) if len(front) else float(reference[0])
        return [[-np.inf]], [[best]]
    ordered = front[np.argsort(front[:, -1], kind="stable")]
    edges = [-np.inf, *ordered[:, -1].tolist(), float(reference[-1])]
    lows: list[list[float]] = []
    highs: list[list[float]] = []
    for number in range(len(edges) - 1):
        if edges[number + 1] <= edges[number]:
            continue
        before = ordered[:number, :-1]
        inner_low, inner_high = _slices(before[nondominated(before)], reference[:-1])
        lows += [[*part, edges[number]] for part in inner_low]
        highs += [[*part, edges[number + 1]] for part in inner_high]
    return lows, highs
