"""The front of a search as a plot on the terminal: what is gained of one objective for what is given of another."""

from typing import Final

import numpy as np
import numpy.typing as npt
from rich.text import Text

from tidewright.agents.optimizer.search import Search

F64 = npt.NDArray[np.float64]

WIDTH: Final = 64  # of the field, characters
HEIGHT: Final = 14
_ROOM: Final = 0.15  # around the front, of its span


def front_plot(search: Search, width: int = WIDTH, height: int = HEIGHT) -> Text | None:
    """First objective across, second one up: the front, and what lies near it and keeps the constraints.

    Returns
    -------
    Text | None
        ``None`` where there is nothing to see: one objective, or a front of one point.
    """
    front = search.front()
    if len(search.problem.goals) < 2 or len(front) < 2:
        return None
    across, up = (goal.name for goal in search.problem.goals[:2])
    left, right = _ends(front.values[across])
    low, high = _ends(front.values[up])
    field = [[" "] * width for _ in range(height)]
    for values, keep, mark in ((search.values, search.feasible, "·"), (front.values, slice(None), "●")):
        x, y = (_cells(values[name][keep], *ends) for name, ends in ((across, (left, right)), (up, (low, high))))
        near = (x >= 0.0) & (x <= 1.0) & (y >= 0.0) & (y <= 1.0)
        for column, row in zip(x[near], y[near], strict=True):
            field[round((1.0 - row) * (height - 1))][round(column * (width - 1))] = mark
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(map(len, labels))
    text = Text(f"{up} (up) over {across}; ● front, · others that keep the constraints; in sample\n")
    for label, row in zip(labels, field, strict=True):
        text.append(f"{label:>{margin}} │{''.join(row).rstrip()}\n")
    text.append(f"{'':>{margin}} └{'─' * width}\n")
    first, last = f"{left:.4g}", f"{right:.4g}"
    text.append(f"{'':>{margin}}  {first}{last:>{width - len(first)}}")
    text.no_wrap = True
    return text


def _ends(values: F64) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = _ROOM * (high - low) or max(abs(high), 1e-12) * _ROOM
    return low - room, high + room


def _cells(values: F64, low: float, high: float) -> F64:
    """Places between two ends, 0 to 1."""
    return (values - low) / (high - low)
