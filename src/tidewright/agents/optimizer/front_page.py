"""The page of a search on a tape: the front, slices of the score, the finalists, and how far they can be believed."""

import math
from collections.abc import Mapping
from html import escape
from itertools import combinations
from typing import Any, Final

import numpy as np

from tidewright.agents.optimizer.belief import told_assumptions, told_verdict
from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.optimize import Optimization
from tidewright.agents.optimizer.search import Search
from tidewright.agents.optimizer.surfaces import Surface
from tidewright.market.clock import iso
from tidewright.measure.charts import BLUE, GREY, ORANGE, Figure, figure_layout
from tidewright.measure.presentation import number_text
from tidewright.measure.report_page import document
from tidewright.measure.validation_sections import validation_html

_FIGURES: Final = ("total_return", "sharpe", "sqn", "max_drawdown", "fills", "fees")
_MOST_POINTS: Final = 2_000
_MOST_ROWS: Final = 25


def page(done: Optimization, tape: str) -> str:
    """The whole page, self-contained."""
    charts: dict[str, Figure] = {}
    title = f"{done.plan.strategy} on {tape}: search"
    parts = [f"<h1>{escape(title)}</h1>", _about(done)]
    if done.search is not None:
        parts += [_fronts(done.search, charts), _front_table(done.search)]
    parts += [_surfaces(done.slices, charts), _finalists(done), _belief(done), _assumptions(done)]
    return document(escape(title), "\n".join(part for part in parts if part), charts)


def _about(done: Optimization) -> str:
    plan = done.plan
    windows = ((name, part) for name, part in (("in sample", plan.split.inside), ("out of sample", plan.split.outside)))
    spans = "; ".join(f"{name} {iso(part.start_ns)} to {iso(part.end_ns)}" for name, part in windows)
    ranges = ", ".join(f"{part.name} {part.low:g} to {part.high:g}" for part in plan.space.dimensions)
    return (
        f'<p class="dim">{escape(spans)}. Searched: {escape(ranges)}. '
        f"{done.found.trials} parameter sets were tried; the figures of the best of so many flatter it.</p>"
    )


def _fronts(search: Search, charts: dict[str, Figure]) -> str:
    goals = [goal.name for goal in search.problem.goals]
    front = search.front()
    blocks = []
    for number, (x, y) in enumerate(list(combinations(goals, 2))[:3]):
        name = f"front{number}"
        shown = np.flatnonzero(search.feasible)[-_MOST_POINTS:]
        charts[name] = {
            "data": [
                _dots(search.values[x][shown], search.values[y][shown], "keeps the constraints", GREY, 4),
                _dots(front.values[x], front.values[y], "front", BLUE, 8, _labels(front.points)),
            ],
            "layout": _near(
                figure_layout(360, y, hovermode="closest", xaxis={"title": {"text": x}}),
                front.values[x],
                front.values[y],
            ),
        }
        blocks.append(
            f'<div class="chart"><h3>{escape(x)} and {escape(y)}, in sample</h3><div id="{name}"></div></div>'
        )
    return f'<h2>Front</h2><div class="pair">{"".join(blocks)}</div>' if blocks else ""


def _near(layout: Figure, x: Any, y: Any) -> Figure:
    """Show the front and what lies near it; a double click shows all."""
    for axis, values in (("xaxis", np.asarray(x)), ("yaxis", np.asarray(y))):
        if (span := float(np.ptp(values))) > 0.0:
            layout[axis] = {
                **layout.get(axis, {}),
                "range": [float(values.min()) - 1.5 * span, float(values.max()) + 1.5 * span],
            }
    return layout


def _dots(x: Any, y: Any, name: str, colour: str, size: int, text: list[str] | None = None) -> Figure:
    marks: Figure = {
        "type": "scatter",
        "mode": "markers",
        "x": np.asarray(x).tolist(),
        "y": np.asarray(y).tolist(),
        "name": name,
        "marker": {"color": colour, "size": size},
    }
    return marks if text is None else {**marks, "text": text}


def _labels(points: Mapping[str, Any]) -> list[str]:
    names = list(points)
    return ["<br>".join(f"{n} {points[n][i]:.6g}" for n in names) for i in range(len(points[names[0]]))]


def _front_table(search: Search) -> str:
    front = search.front()
    names = [*front.points, *front.values, *front.measures]
    columns = [*front.points.values(), *front.values.values(), *front.measures.values()]
    picked = np.unique(np.linspace(0, len(front) - 1, min(len(front), _MOST_ROWS)).astype(int))
    rows = [[f"{column[row]:.6g}" for column in columns] for row in picked]
    head = f"{len(front)} points of the front" + ("" if len(picked) == len(front) else f", {len(picked)} of them shown")
    limits = ", ".join(part.text for part in search.problem.constraints) or "no constraints"
    goals = ", ".join(goal.text for goal in search.problem.goals)
    return f"<h2>{head}</h2><p class='dim'>{escape(goals)}; {escape(limits)}. In sample.</p>" + _table(names, rows)


def _surfaces(slices: tuple[Surface, ...], charts: dict[str, Figure]) -> str:
    blocks = []
    for number, cut in enumerate(slices):
        name = f"surface{number}"
        score = [[None if np.isnan(value) else value for value in row] for row in cut.score.tolist()]
        charts[name] = {
            "data": [
                {
                    "type": "heatmap",
                    "x": cut.x_values.tolist(),
                    "y": cut.y_values.tolist(),
                    "z": score,
                    "colorscale": "Viridis",
                    "colorbar": {"title": {"text": "score"}},
                },
                _dots([cut.at[0]], [cut.at[1]], "best", ORANGE, 11),
            ],
            "layout": figure_layout(360, cut.y, hovermode="closest", xaxis={"title": {"text": cut.x}}),
        }
        title = f"{escape(cut.x)} and {escape(cut.y)}"
        blocks.append(f'<div class="chart"><h3>{title}</h3><div id="{name}"></div></div>')
    if not blocks:
        return ""
    told = (
        "The score in sample over two parameters, the others as in the best; white: too few fills. Look for plateaus."
    )
    return f'<h2>Surfaces</h2><p class="dim">{told}</p><div class="pair">{"".join(blocks)}</div>'


def _finalists(done: Optimization) -> str:
    found, names = done.found, done.plan.space.names
    if not found.inside:
        return ""
    rows = []
    for index, inner in enumerate(found.inside):
        outer = found.outside[index] if found.outside else None
        last = index == len(found.inside) - 1
        label = "incumbent" if last else f"finalist {index + 1}" + (" *" if index == found.chosen else "")
        for where, lane in (("in", inner), ("out", outer)):
            if lane is not None:
                score = "few fills" if lane.score < TOO_FEW else f"{lane.score:.6f}"
                figures = [_figure(name, lane.figures[name]) for name in _FIGURES]
                rows.append([label, where, *(f"{lane.params[name]:.6g}" for name in names), score, *figures])
    return "<h2>Finalists, in and out of sample</h2>" + _table(["", "", *names, "score", *_FIGURES], rows)


def _figure(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "n/a"
    return f"{value:,.0f}" if name == "fills" else number_text(value, 4)


def _belief(done: Optimization) -> str:
    found = done.found
    lines = []
    if found.evidence is not None:
        e = found.evidence
        lines.append(
            f"Out of sample the chosen one earns {e.mean:+.6g} a cycle more than the incumbent "
            f"[{e.lower:+.6g}, {e.upper:+.6g}]; confidence {e.confidence:.2f} for the next {e.horizon} cycles."
        )
    if found.reason:
        lines.append(f"No proposal: {found.reason}.")
    lines += told_verdict(done)
    told = "<h2>How far this can be believed</h2>" + "".join(f"<p>{escape(line)}</p>" for line in lines)
    if found.validation is None:
        return told if lines else ""
    steady = None if found.steady is None else found.steady.to_json()
    return told + validation_html(found.validation, steady)


def _assumptions(done: Optimization) -> str:
    lines = "".join(f'<p class="dim">{escape(line)}</p>' for line in told_assumptions(done))
    return f"<h2>Assumptions</h2>{lines}" if lines else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f'<th class="num">{escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f'<td class="num">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
