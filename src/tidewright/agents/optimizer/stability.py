"""How far the neighbours fall: a peak without a hillside around it is luck, or is missed at the next tick."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]

RADIUS: Final = 0.05  # of the unit cube: a twentieth of each parameter's range
CORNERS: Final = 8  # neighbours that differ in all parameters at once


@dataclass(frozen=True, slots=True)
class Stability:
    """What the neighbours of a winner keep of its gain over the incumbent.

    Attributes
    ----------
    share
        Share of the gain that the median neighbour keeps: 1 a plateau, 0 none of it.
    mean, worst
        Mean share, and that of the worst neighbour; below 0: it would lose against the incumbent.
    worst_params
        Its parameters.
    neighbours, radius
        How many were judged, and how far from the winner in the unit cube.
    """

    share: float
    mean: float
    worst: float
    worst_params: dict[str, float]
    neighbours: int
    radius: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        figures = {name: round(getattr(self, name), 6) for name in ("share", "mean", "worst")}
        return {
            **figures,
            "worst_params": self.worst_params,
            "neighbours": self.neighbours,
            "radius": self.radius,
        }


def neighbours(space: Space, winner: Mapping[str, float], radius: float = RADIUS, seed: int = 0) -> F64:
    """Values around a winner: each parameter a step up and down, and some with all parameters moved at once.

    Returns
    -------
    F64
        Shape (n, dimensions), without repetitions and without the winner; a whole-number parameter moves by one at
        least, a value beyond its range is moved to the end of it.
    """
    value = np.array([winner[name] for name in space.names], np.float64)[None, :]
    unit = space.encode(value)[0]
    rows = []
    for index, part in enumerate(space.dimensions):
        step = radius if part.kind != "int" else max(radius, 1.0 / (part.high - part.low + 1.0))
        for sign in (-1.0, 1.0):
            row = unit.copy()
            row[index] += sign * step
            rows.append(row)
    rng = np.random.default_rng([seed, len(unit)])
    moved = rng.choice(np.array([-1.0, 1.0]), (CORNERS, len(unit))) * rng.uniform(0.5, 1.0, (CORNERS, len(unit)))
    around = np.clip(np.concatenate([np.array(rows), unit + radius * moved]), 0.0, 1.0)
    found = space.decode(around)
    home = space.decode(unit[None, :])[0]
    found = found[(found != home).any(axis=1) & (found != value[0]).any(axis=1)]
    return found[np.sort(np.unique(found, axis=0, return_index=True)[1])]


def stability(
    score_of: Callable[[F64], F64],
    space: Space,
    winner: Mapping[str, float],
    incumbent: Mapping[str, float],
    seed: int = 0,
    radius: float = RADIUS,
) -> Stability | None:
    """Judge a winner's neighbours in the same replay as itself and the incumbent.

    Parameters
    ----------
    score_of
        Judges values (n, dimensions) of the space in one replay: the objective of each; one with too few fills scores
        under ``objective.TOO_FEW`` and counts as not trading, 0.

    Returns
    -------
    Stability or None
        ``None`` where the winner does not beat the incumbent there: there is no gain to keep.
    """
    around = neighbours(space, winner, radius, seed)
    pair = np.array([[params[name] for name in space.names] for params in (winner, incumbent)], np.float64)
    scores = score_of(np.concatenate([pair, around]))
    scores = np.where(scores > TOO_FEW, scores, 0.0)
    gain = float(scores[0] - scores[1])
    if not len(around) or not gain > 0.0:
        return None
    shares = (scores[2:] - scores[1]) / gain
    worst = int(shares.argmin())
    named = dict(zip(space.names, (float(v) for v in around[worst]), strict=True))
    return Stability(float(np.median(shares)), float(shares.mean()), float(shares[worst]), named, len(around), radius)
