"""How fills depend on what an order met: by distance, by its queue's share, by quantity ahead, by time in the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidewright.measure.fill_facts import HORIZONS_NS
from tidewright.measure.fill_facts_blocks import Estimate, block_sums, bootstrap, ratio
from tidewright.measure.fill_facts_probes import F64, I64, Probes, queue_share, share_cells

_DISTANCES_BP: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_AHEAD: Final = (0.1, 0.3, 1.0, 3.0, 10.0)  # in median levels
_WAITS_S: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One class of orders.

    Attributes
    ----------
    label
        What they have in common.
    orders, fills
        How many.
    probability
        Share filled within their life.
    markout_bp
        Mean mark-out after each of HORIZONS_NS, basis points.
    drift_bp
        Mean move of the mid from just before the fill to 1 s after it, in the order's favour, basis points.
    """

    label: str
    orders: int
    fills: int
    probability: Estimate
    markout_bp: tuple[Estimate, ...]
    drift_bp: Estimate


@dataclass(frozen=True, slots=True)
class Curve:
    """Classes of orders along one property."""

    name: str
    title: str
    x_title: str
    points: tuple[Point, ...]


def probe_curves(probes: Probes, blocks: int) -> list[Curve]:
    """The curves of a set of probes; classes without orders are left out."""
    touch = probes.touch
    return [_by_distance(probes, blocks), _by_share(touch, blocks), _by_ahead(probes, blocks), _by_wait(touch, blocks)]


def _by_distance(probes: Probes, blocks: int) -> Curve:
    edges = (-1e-12, 1e-12, *_DISTANCES_BP)
    labels = ["inside", "touch", *(f"≤ {edge:g}" for edge in _DISTANCES_BP), f"> {_DISTANCES_BP[-1]:g}"]
    kinds = np.searchsorted(np.array(edges), probes.behind, side="left")
    return Curve(
        "distance",
        "By distance from the best price of its own side",
        "basis points behind the touch at arrival",
        _points(probes, kinds, labels, blocks),
    )


def _by_share(touch: Probes, blocks: int) -> Curve:
    kinds, share = share_cells(touch), queue_share(touch)
    labels = [
        f"{np.nanmean(share[kinds == kind]):.2f}" if np.isfinite(share[kinds == kind]).any() else "n/a"
        for kind in range(int(kinds.max()) + 1 if len(kinds) else 0)
    ]
    return Curve(
        "queue_share",
        "By the queue's share of both best levels, at the touch",
        "quantity ahead / both best levels, mean of each tenth",
        _points(touch, kinds, labels, blocks),
    )


def _by_ahead(probes: Probes, blocks: int) -> Curve:
    best = probes.where(probes.behind <= 0.0)
    at_touch = best.near[best.behind == 0.0]
    middle = float(np.median(at_touch)) if len(at_touch) else 1.0
    relative = best.near / middle if middle > 0.0 else best.near
    kinds = np.searchsorted(np.array((0.0, *_AHEAD)), relative, side="left")
    labels = ["0 (own level)", *(f"≤ {edge:g}" for edge in _AHEAD), f"> {_AHEAD[-1]:g}"]
    return Curve(
        "quantity_ahead",
        "By quantity ahead at arrival, at the touch and inside the spread",
        "quantity ahead / median quantity at the touch",
        _points(best, kinds, labels, blocks),
    )


def _by_wait(touch: Probes, blocks: int) -> Curve:
    filled = touch.where(touch.filled)
    kinds = np.searchsorted(np.array(_WAITS_S), filled.wait_ns / 1e9, side="left")
    labels = [*(f"≤ {edge:g} s" for edge in _WAITS_S), f"> {_WAITS_S[-1]:g} s"]
    return Curve(
        "time_in_queue",
        "By time in the queue, filled orders at the touch",
        "from arrival to fill",
        _points(filled, kinds, labels, blocks),
    )


def _points(probes: Probes, kinds: I64, labels: Sequence[str], blocks: int) -> tuple[Point, ...]:
    points = []
    for kind, label in enumerate(labels):
        part = probes.where(kinds == kind)
        if len(part.block) == 0:
            continue
        ones = np.ones(len(part.block))
        points.append(
            Point(
                label,
                len(part.block),
                int(part.filled.sum()),
                bootstrap(block_sums(part.block, blocks, part.filled.astype(np.float64), ones), ratio),
                tuple(_mean(part, part.markout_bp[k], blocks) for k in range(len(HORIZONS_NS))),
                _mean(part, part.drift_bp[0], blocks),
            )
        )
    return tuple(points)


def _mean(part: Probes, values: F64, blocks: int) -> Estimate:
    return bootstrap(block_sums(part.block, blocks, values, np.isfinite(values).astype(np.float64)), ratio)
