"""A comparison as tables for the terminal, as one HTML page and as plain values."""

import math
from dataclasses import asdict
from html import escape
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidewright.agents.comparison.contest import Comparison, Heat, Row
from tidewright.market.clock import iso
from tidewright.measure.charts import BLUE, GREEN, GREY, ORANGE, Figure, figure_layout
from tidewright.measure.comparison import Difference
from tidewright.measure.presentation import number_text
from tidewright.measure.report_page import document

HEADINGS: Final = (
    "PnL", "PnL bp", "Sharpe", "Sortino", "SQN", "SQN held", "max DD %", "fills", "mean held", "most held",
    "PnL beside", "95 % interval", "won", "trials",
)  # fmt: skip
NOTE: Final = (
    "PnL bp: profit over traded notional, basis points. Sharpe, Sortino: annualised (365 days), over all held-out "
    "cycles. SQN capped at 100 trades; held: with what a window ends with as one more trade, at the mid. Mean held: "
    "position either way, base, once a cycle; most held: the largest. Beside: less the first contender on the same "
    "events, with a paired block-bootstrap interval. Won: windows with more profit than the first contender's. Trials: "
    "parameter sets tried, none of them in the windows judged here."
)
ELSEWHERE: Final = "Intervals of all other measures beside the first contender: --html and --json."
# What is told beside the first contender: name of the difference, heading, factor, digits.
MEASURES: Final = (
    ("profit", "PnL", 1.0, 2),
    ("profit_per_notional", "PnL bp", 1e4, 2),
    ("sharpe", "Sharpe", 1.0, 1),
    ("sortino", "Sortino", 1.0, 1),
    ("sqn", "SQN", 1.0, 2),
    ("sqn_held", "SQN held", 1.0, 2),
    ("max_drawdown", "max DD %", 100.0, 3),
    ("inventory", "mean held", 1.0, None),
)
# What the specification hopes for against the traditional bot, as changes of its own figures.
AMBITION: Final = {"sqn": 1.04, "sharpe": 1.25, "max_drawdown": -0.60}
_COLOURS: Final = (GREY, BLUE, GREEN, ORANGE, "#cc79a7", "#56b4e9", "#e69f00", "#1c2530")
_NAMES: Final = {"sqn": "SQN", "sharpe": "Sharpe ratio", "max_drawdown": "maximum drawdown"}


def render(found: Comparison) -> RenderableType:
    """One table a tape and fee, and what was assumed."""
    parts: list[RenderableType] = []
    for heat in found.heats:
        table = Table(title=_title(heat), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        for name in HEADINGS:
            table.add_column(name, justify="right", no_wrap=True)
        for row in heat.rows:
            table.add_row(row.name, *_cells(row))
        parts += [table, *(Text(f"  {row.name}: {row.meaning}", style="dim") for row in heat.rows), Text("")]
    return Group(*parts, Text(f"{NOTE} {ELSEWHERE}"), Text(_assumed(found), style="dim"))


def to_json(found: Comparison) -> dict[str, Any]:
    """Plain values; the curves are left to the page. NaN becomes null."""
    heats = []
    for heat in found.heats:
        rows = []
        for row in heat.rows:
            value = asdict(row)
            del value["curve"]
            value["against_ambition"] = against_ambition(row)
            rows.append(value)
        first, last = heat.windows[0], heat.windows[-1]
        heats.append(
            {
                "tape": heat.tape,
                "symbol": heat.symbol,
                "maker_bp": heat.maker_bp,
                "windows": len(heat.windows),
                "from": iso(first.start_ns),
                "until": iso(last.end_ns),
                "contenders": rows,
            }
        )
    return {"comparisons": heats, "ambition": AMBITION, "assumptions": found.assumptions}


def against_ambition(row: Row) -> dict[str, float]:
    """Relative change of SQN, Sharpe ratio and drawdown; NaN for the first contender or where its figure is not > 0."""
    if row.paired is None:
        return dict.fromkeys(AMBITION, math.nan)
    return {name: getattr(row.paired, name).relative for name in AMBITION}


def page(found: Comparison) -> str:
    """The whole page as text."""
    shown: dict[str, Figure] = {}
    parts = ["<h1>Comparison on held-out windows</h1>", f'<p class="dim">{escape(NOTE)}</p>']
    for index, heat in enumerate(found.heats):
        shown[f"curve_{index}"] = _curves(heat)
        shown[f"beside_{index}"] = _beside(heat)
        parts += [
            f"<h2>{escape(_title(heat))}</h2>",
            '<div class="scroll">' + _table(heat) + "</div>",
            f'<p class="dim small">{_meanings(heat)}</p>',
            _differences(heat),
            '<div class="pair">'
            + _chart(f"curve_{index}", f"Profit over all windows, {heat.quote}")
            + _chart(f"beside_{index}", f"Profit beside {heat.rows[0].name}, {heat.quote}, with 95 % intervals")
            + "</div>",
            f'<p class="dim small">{escape(_ambition_text(heat))}</p>',
        ]
    parts += ["<h2>Assumptions</h2>", f'<p class="dim">{escape(_assumed(found))}</p>']
    return document("Comparison · Tidewright", "\n".join(parts), shown)


def _title(heat: Heat) -> str:
    first, last = heat.windows[0], heat.windows[-1]
    return (
        f"{heat.symbol}, maker fee {heat.maker_bp:g} bp: {len(heat.windows)} windows, "
        f"{iso(first.start_ns)} to {iso(last.end_ns)}"
    )


def _cells(row: Row) -> list[str]:
    f = row.figures
    cells = [
        _text(f["profit"]),
        _text(1e4 * f["profit_per_notional"]),
        _text(f["sharpe"], 1),
        _text(f["sortino"], 1),
        _text(f["sqn"]),
        _text(f["sqn_held"]),
        _text(100.0 * f["max_drawdown"], 3),
        f"{f['fills']:,.0f}",
        _text(f["inventory"], None),
        f"{f['max_position']:.6g}",
    ]
    if row.paired is None:
        return [*cells, "", "", "", f"{row.trials:,}"]
    profit = row.paired.profit
    return [
        *cells,
        _text(profit.value),
        _interval(profit),
        f"{row.paired.windows_won:g}/{row.paired.windows}",
        f"{row.trials:,}",
    ]


def _text(value: float, digits: int | None = 2) -> str:
    """With so many decimals; ``None``: with four digits, wherever the point is."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.4g}".replace("-", "−") if digits is None else number_text(value, digits)


def _interval(found: Difference) -> str:
    return f"[{_text(found.lower)}, {_text(found.upper)}]"


def _table(heat: Heat) -> str:
    head = "".join(f'<th class="num">{escape(name)}</th>' for name in HEADINGS)
    rows = []
    for row in heat.rows:
        cells = "".join(f'<td class="num">{escape(cell)}</td>' for cell in _cells(row))
        rows.append(f"<tr><td>{escape(row.name)}</td>{cells}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _differences(heat: Heat) -> str:
    """Every measure of every contender less the first one's, with its interval."""
    if len(heat.rows) < 2:
        return ""
    head = "".join(f'<th class="num">{escape(heading)}</th>' for _, heading, _, _ in MEASURES)
    rows = []
    for row in heat.rows[1:]:
        cells = "".join(_difference(getattr(row.paired, name), factor, digits) for name, _, factor, digits in MEASURES)
        rows.append(f"<tr><td>{escape(row.name)}</td>{cells}</tr>")
    return (
        f"<h3>Beside {escape(heat.rows[0].name)}: difference and its 95 % interval; bold: it excludes 0</h3>"
        f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _difference(found: Difference, factor: float, digits: int | None) -> str:
    value, lower, upper = (_text(factor * each, digits) for each in (found.value, found.lower, found.upper))
    if not math.isfinite(found.lower):
        return f'<td class="num na">{value}</td>'
    shown = f"<b>{value}</b>" if found.lower > 0.0 or found.upper < 0.0 else value
    return f'<td class="num">{shown}<br><span class="dim small">{lower} to {upper}</span></td>'


def _meanings(heat: Heat) -> str:
    return "".join(f"<b>{escape(row.name)}</b>: {escape(row.meaning)}. " for row in heat.rows)


def _ambition_text(heat: Heat) -> str:
    """How far each contender's figures are from the first one's, beside what is hoped for."""
    hoped = ", ".join(f"{_NAMES[name]} {100 * value:+.0f} %" for name, value in AMBITION.items())
    parts = []
    for row in heat.rows[1:]:
        changes = against_ambition(row)
        parts.append(f"{row.name}: " + ", ".join(f"{_NAMES[n]} {_percent(v)}" for n, v in changes.items()))
    return f"Beside {heat.rows[0].name} (hoped for: {hoped}). " + "; ".join(parts) + "."


def _percent(value: float) -> str:
    return f"{100 * value:+.0f} %" if math.isfinite(value) else "n/a (the other's is not above 0)"


def _chart(name: str, title: str) -> str:
    return f'<div class="chart"><h3>{escape(title)}</h3><div id="{name}"></div></div>'


def _curves(heat: Heat) -> Figure:
    data = []
    for index, row in enumerate(heat.rows):
        step = max(1, len(row.curve) // 1_500)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": row.name,
                "x": list(range(1, len(row.curve) + 1, step)),
                "y": [round(value, 8) for value in row.curve[::step]],
                "line": {"color": _COLOURS[index % len(_COLOURS)], "width": 1.6},
            }
        )
    layout = figure_layout(320, heat.quote)
    layout["xaxis"]["title"] = {"text": "cycle of the held-out windows"}
    return {"data": data, "layout": layout}


def _beside(heat: Heat) -> Figure:
    rows = [row for row in heat.rows if row.paired is not None]
    profit = [row.paired.profit for row in rows if row.paired is not None]
    above = [p.upper - p.value if math.isfinite(p.upper) else 0.0 for p in profit]
    below = [p.value - p.lower if math.isfinite(p.lower) else 0.0 for p in profit]
    bars = {
        "type": "scatter",
        "mode": "markers",
        "x": [row.name for row in rows],
        "y": [p.value for p in profit],
        "marker": {"color": BLUE, "size": 9},
        "error_y": {"type": "data", "symmetric": False, "array": above, "arrayminus": below},
    }
    layout = figure_layout(320, heat.quote, showlegend=False)
    layout["yaxis"]["zeroline"] = True
    layout["yaxis"]["zerolinecolor"] = GREY
    return {"data": [bars], "layout": layout}


def _assumed(found: Comparison) -> str:
    a = found.assumptions
    sized = f" ({a['sizes']})" if a["sizes"] else ""
    return (
        f"Capital {a['capital']} a window, orders of {100 * a['order_share']:.4g} % and positions up to "
        f"{100 * a['position_share']:.4g} % of it{sized}, cycles of {a['cycle_s']:g} s, latency {a['latency_ms']:g} "
        f"ms, queue {a['queue']}, {a['candidates']} × {a['generations']} candidates a search (seed {a['seed']}), "
        f"training share {a['train']:g}. {a['windows'][0].upper()}{a['windows'][1:]}. {a['policy']}"
    ).rstrip()
