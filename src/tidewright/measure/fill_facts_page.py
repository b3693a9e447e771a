"""The facts about fills as one HTML page that holds everything it needs."""

import math
from html import escape
from typing import Any, Final

from tidewright.market.clock import iso
from tidewright.measure.charts import BLUE, GREEN, GREY, ORANGE, Figure, figure_layout
from tidewright.measure.fill_facts import AS_EXPECTED, HORIZONS_NS, NOT_EXPECTED, Fact, horizon_text
from tidewright.measure.fill_facts_blocks import Estimate
from tidewright.measure.fill_facts_curves import Curve, Point
from tidewright.measure.fill_facts_report import FactsReport
from tidewright.measure.fill_facts_table import figure_text, heading, interval_text
from tidewright.measure.report_page import document

_LEAST_FILLS: Final = 10
_COLOURS: Final = (BLUE, ORANGE, GREEN)
_VERDICT_CLASS: Final = {AS_EXPECTED: "accepted", NOT_EXPECTED: "invalid"}  # styles of the report's page


def page(report: FactsReport) -> str:
    """The whole page as text."""
    shown: dict[str, Figure] = {}
    for curve in report.curves:
        if curve.name != "time_in_queue":
            shown[f"probability_{curve.name}"] = _probability_chart(curve)
        shown[f"markout_{curve.name}"] = _markout_chart(curve)
    cells = next(curve for curve in report.curves if curve.name == "queue_share")
    shown["trade_off"] = _trade_off_chart(cells)
    shown["makers"], shown["fees"], shown["falls"] = _maker_chart(report), _fee_chart(report), _fall_chart(report)
    title = f"Facts about fills · {report.tape['symbol']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="dim">{escape(heading(report))}</div>',
        f'<p class="verdict">{escape(report.summary)}.</p>',
        '<p class="dim small">Small post-only orders (probes) are placed on both sides at regular times, whatever the '
        "market does; what happens to them shows how the simulation fills orders, apart from any strategy. A figure is "
        "as expected when its whole interval lies on the side the literature found, not as expected when the interval "
        "excludes the smallest effect that would count, and has too few observations where it shows neither.</p>",
        _fact_table(report.facts),
        "<h2>Fill probability against mark-out</h2>",
        _chart(
            "trade_off", "Each point: a tenth of the orders at the touch, by their queue's share of both best levels"
        ),
    ]
    for curve in report.curves:
        parts.append(f"<h2>{escape(curve.title)}</h2>")
        pair = "" if curve.name == "time_in_queue" else _chart(f"probability_{curve.name}", "Share filled, percent")
        pair += _chart(f"markout_{curve.name}", "Mean mark-out before fees, basis points, with 95 % intervals")
        parts.append(f'<div class="pair">{pair}</div>')
    parts += [
        "<h2>Symmetric makers, fees and falls</h2>",
        '<div class="pair">'
        + _chart("makers", "PnL per notional at zero fee by distance of bid to ask, basis points, with 95 % intervals")
        + _chart("fees", "Annualised Sharpe ratio by maker fee, with 95 % intervals")
        + "</div>",
        _chart("falls", "Fills of probes in the largest falls"),
        "<h2>Assumptions</h2>",
        _assumptions(report),
    ]
    return document(escape(title), "\n".join(parts), shown)


def _chart(name: str, title: str) -> str:
    return f'<div class="chart"><h3>{escape(title)}</h3><div id="{name}"></div></div>'


def _fact_table(facts: tuple[Fact, ...]) -> str:
    rows = []
    for fact in facts:
        style = _VERDICT_CLASS.get(fact.verdict, "refused")
        rows.append(
            f'<tr><td>{escape(fact.title)}<div class="dim small">{escape(fact.definition)}</div></td>'
            f'<td class="num">{escape(figure_text(fact))}<div class="dim small">'
            f"{escape(interval_text(fact.estimate, fact.unit))}</div></td>"
            f'<td class="num">{fact.count:,}<div class="dim small">{escape(fact.of)}</div></td>'
            f'<td>{escape(fact.claim.text)}<div class="dim small">{escape(fact.claim.least_text)}</div>'
            f'<div class="dim small">{escape(fact.literature)}<br>{escape(fact.source)}'
            f'</div></td><td class="rest {style}">{escape(fact.verdict)}</td></tr>'
        )
    return (
        '<div class="scroll"><table><thead><tr><th>Fact</th><th class="num">Figure, 95 %</th><th class="num">n</th>'
        f"<th>Expected</th><th>Verdict</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _assumptions(report: FactsReport) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in report.assumptions)
    return f"<table><tbody>{rows}</tbody></table>"


# -- charts -----------------------------------------------------------------------------------------------------------


def _bars(estimates: list[Estimate], scale: float = 1.0) -> dict[str, Any]:
    """Error bars that need not be symmetric; none where the interval is not known."""

    def reach(high: bool) -> list[float]:
        found = []
        for estimate in estimates:
            length = estimate.high - estimate.figure if high else estimate.figure - estimate.low
            found.append(length * scale if length == length else 0.0)
        return found

    return {"type": "data", "symmetric": False, "array": reach(True), "arrayminus": reach(False), "thickness": 1.2}


def _values(estimates: list[Estimate], scale: float = 1.0) -> list[float | None]:
    return [estimate.figure * scale if estimate.figure == estimate.figure else None for estimate in estimates]


def _points(points: tuple[Point, ...]) -> list[str]:
    return [f"{point.orders:,} orders, {point.fills:,} fills" for point in points]


def _filled_enough(curve: Curve) -> tuple[Point, ...]:
    """Classes with a mean worth a place in a chart."""
    return tuple(point for point in curve.points if point.fills >= _LEAST_FILLS)


def _category_layout(y_title: str, x_title: str, **more: Any) -> Figure:
    layout = figure_layout(270, y_title, hovermode="closest", **more)
    layout["xaxis"].update({"title": {"text": x_title, "font": {"size": 11}}, "type": "category"})
    layout["yaxis"]["zeroline"] = True
    layout["yaxis"]["zerolinecolor"] = GREY
    layout["margin"]["b"] = 56
    return layout


def _probability_chart(curve: Curve) -> Figure:
    estimates = [point.probability for point in curve.points]
    bar = {
        "type": "bar",
        "x": [point.label for point in curve.points],
        "y": _values(estimates, 100.0),
        "error_y": _bars(estimates, 100.0),
        "marker": {"color": BLUE},
        "text": _points(curve.points),
        "textposition": "none",
        "hovertemplate": "%{y:.1f} %<br>%{text}<extra></extra>",
        "showlegend": False,
    }
    return {"data": [bar], "layout": _category_layout("filled, %", curve.x_title)}


def _markout_chart(curve: Curve) -> Figure:
    traces = []
    points = _filled_enough(curve)
    for k, horizon in enumerate(HORIZONS_NS):
        estimates = [point.markout_bp[k] for point in points]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+lines",
                "name": f"after {horizon_text(horizon)}",
                "x": [point.label for point in points],
                "y": _values(estimates),
                "error_y": _bars(estimates),
                "marker": {"color": _COLOURS[k], "size": 6},
                "line": {"color": _COLOURS[k], "width": 1, "dash": "dot"},
                "text": _points(points),
                "hovertemplate": "%{y:.2f} bp<br>%{text}<extra></extra>",
            }
        )
    return {"data": traces, "layout": _category_layout("bp", curve.x_title)}


def _trade_off_chart(cells: Curve) -> Figure:
    traces = []
    points = _filled_enough(cells)
    for k, horizon in enumerate(HORIZONS_NS):
        estimates = [point.markout_bp[k] for point in points]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"after {horizon_text(horizon)}",
                "x": _values([point.probability for point in points], 100.0),
                "y": _values(estimates),
                "error_y": _bars(estimates),
                "marker": {"color": _COLOURS[k], "size": 8},
                "text": [f"queue share {point.label}, {point.fills:,} fills" for point in points],
                "hovertemplate": "%{x:.1f} % filled, %{y:.2f} bp<br>%{text}<extra></extra>",
            }
        )
    layout = figure_layout(300, "mark-out, bp", hovermode="closest")
    layout["xaxis"]["title"] = {"text": "filled, %"}
    layout["yaxis"]["zeroline"] = True
    layout["margin"]["b"] = 46
    return {"data": traces, "layout": layout}


def _maker_chart(report: FactsReport) -> Figure:
    estimates = [group.pnl_bp for group in report.makers]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [f"{math.sqrt(group.low_bp * group.high_bp):.2g}" for group in report.makers],
        "y": _values(estimates),
        "error_y": _bars(estimates),
        "marker": {"color": BLUE, "size": 8},
        "text": [f"{g.low_bp:.3g} to {g.high_bp:.3g} bp, {g.fills:,} fills" for g in report.makers],
        "hovertemplate": "%{y:.2f} bp<br>%{text}<extra></extra>",
        "showlegend": False,
    }
    layout = _category_layout("bp", "distance of bid to ask, bp (geometric mean of each group)")
    # Wide grids fill seldom: their intervals would hide all others.
    known = [group.pnl_bp for group in report.makers if group.pnl_bp.low == group.pnl_bp.low]
    if known:
        narrowest = min(estimate.high - estimate.low for estimate in known)
        known = [estimate for estimate in known if estimate.high - estimate.low <= 6.0 * narrowest]
        low, high = min(0.0, *(e.low for e in known)), max(0.0, *(e.high for e in known))
        layout["yaxis"]["range"] = [low - 0.1 * (high - low), high + 0.1 * (high - low)]
    return {"data": [trace], "layout": layout}


def _fee_chart(report: FactsReport) -> Figure:
    estimates = [point.sharpe for point in report.fees]
    trace = {
        "type": "bar",
        "x": [f"{point.fee_bp:g}" for point in report.fees],
        "y": _values(estimates),
        "error_y": _bars(estimates),
        "marker": {"color": ORANGE},
        "text": [f"{point.pnl_bp:.2f} bp per notional" for point in report.fees],
        "textposition": "none",
        "hovertemplate": "Sharpe %{y:.2f}<br>%{text}<extra></extra>",
        "showlegend": False,
    }
    return {"data": [trace], "layout": _category_layout("Sharpe", "maker fee, bp")}


def _fall_chart(report: FactsReport) -> Figure:
    labels = [f"{iso(fall.start_ns)[5:19].replace('T', ' ')}<br>−{fall.fall_bp:.0f} bp" for fall in report.falls]
    traces = [
        {"type": "bar", "name": name, "x": labels, "y": counts, "marker": {"color": colour}}
        for name, counts, colour in (
            ("bids", [fall.bid_fills for fall in report.falls], BLUE),
            ("asks", [fall.ask_fills for fall in report.falls], ORANGE),
        )
    ]
    layout = _category_layout("fills", "", barmode="group")
    layout["xaxis"]["tickfont"] = {"size": 10}
    return {"data": traces, "layout": layout}
