"""The front of a search on the terminal."""

import numpy as np

from tidewright.agents.optimizer.search import Search
from tidewright.cli.front_plot import front_plot


def searched(values: list[list[float]], objectives: dict[str, str], constraints: tuple[str, ...] = ()) -> Search:
    search = Search({"x": (0.0, 1.0)}, objectives, constraints, sampler="genetic")
    search.tell({"x": np.linspace(0.0, 1.0, len(values))}, values)
    return search


def test_points_stand_where_their_objectives_are() -> None:
    # 1 to 10 and 2 to 20 are the front's ends; with room of 0.15 spans the field is -0.35..11.35 by -0.7..22.7.
    search = searched(
        [[1.0, 2.0], [10.0, 20.0], [5.5, 12.0], [4.0, 15.0], [1.0, 99.0]], {"risk": "min", "gain": "max"}, ("gain<=50",)
    )
    plot = front_plot(search, width=27, height=12)
    assert plot is not None
    title, *field, line, ends = plot.plain.splitlines()
    assert title.startswith("gain (up) over risk") and len(field) == 12 and "└" in line
    assert ends.split() == ["-0.35", "11.35"] and field[0].startswith("22.7 │") and field[-1].startswith("-0.7 │")
    rows = [row.partition("│")[2] for row in field]
    found = {(up, row.index(mark), mark) for up, row in enumerate(rows) for mark in "●·" if mark in row}
    assert found == {(10, 3, "●"), (1, 23, "●"), (4, 10, "●"), (5, 13, "·")}


def test_one_objective_or_one_point_has_no_plot() -> None:
    assert front_plot(searched([[1.0], [2.0]], {"a": "min"})) is None
    assert front_plot(searched([[1.0, 1.0], [2.0, 2.0]], {"a": "min", "b": "min"})) is None


def test_a_front_flat_in_one_objective_is_shown_too() -> None:
    search = searched([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.5, 2.0, 4.0]], {"a": "min", "b": "min", "c": "min"})
    plot = front_plot(search)
    assert plot is not None and plot.plain.count("●") == 3  # the legend's, and two places
