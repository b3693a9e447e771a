"""Slices through the objective: two parameters vary over a grid, the others stay; every point is judged, in sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.judge import Judge
from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.study import Plan, columns

F64 = npt.NDArray[np.float64]

STEPS: Final = 15
MOST: Final = 3  # slices


@dataclass(frozen=True, slots=True)
class Surface:
    """Score over two parameters.

    Attributes
    ----------
    x, y
        Names; ``x_values``, ``y_values`` their values.
    score
        Shape (y, x), NaN where lanes had too few fills.
    at
        The point it goes through.
    """

    x: str
    y: str
    x_values: F64
    y_values: F64
    score: F64
    at: tuple[float, float]


def surfaces(judge: Judge, plan: Plan, best: Mapping[str, float], most: int = MOST) -> tuple[Surface, ...]:
    """Slices through a parameter set, for the pairs of parameters in order; none with a single parameter.

    They are for looking at: nothing is chosen from them, and they do not count as trials.
    """
    names, centre = plan.space.names, np.array([[best[name] for name in plan.space.names]])
    found = []
    for first, second in list(combinations(range(len(names)), 2))[:most]:
        axes = []
        for index in (first, second):
            part = plan.space.dimensions[index]
            axes.append(np.unique(part.decode(np.linspace(0.0, 1.0, STEPS))))
        grid = np.repeat(centre, len(axes[0]) * len(axes[1]), axis=0)
        x, y = np.meshgrid(axes[0], axes[1])
        grid[:, first], grid[:, second] = x.ravel(), y.ravel()
        judged = judge.evaluate(plan.split.inside, columns(plan, grid), len(grid))
        score = plan.objective.scores(judged.statistics)
        score = np.where(score > TOO_FEW, score, np.nan).reshape(x.shape)
        at = (float(centre[0, first]), float(centre[0, second]))
        found.append(Surface(names[first], names[second], axes[0], axes[1], score, at))
    return tuple(found)
