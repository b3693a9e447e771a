"""The front of a search as a table on the terminal."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tidewright.agents.optimizer.search import Search


def front_table(search: Search, most: int = 15) -> Table:
    """Points of the front, evenly chosen along it, ordered by the first objective."""
    front = search.front()
    goals = ", ".join(goal.text for goal in search.problem.goals)
    table = Table(
        title=f"front of {len(front)} points after {len(search)} candidates, in sample ({goals})",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    columns = {**front.points, **front.values, **front.measures}
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).astype(int)):
        table.add_row(*(f"{column[row]:.6g}" for column in columns.values()))
    return table
