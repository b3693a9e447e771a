"""The report's charts as plain plotly figures (``data`` and ``layout``), thinned to what a screen can show."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import SECOND
from tidewright.market.codes import BUY, SELL
from tidewright.measure.agents_section import COLOURS as AGENT_COLOURS
from tidewright.measure.report import ReportData, Summary, drawdown

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Figure = dict[str, Any]

# Colours that stay apart for colour-blind readers (Okabe and Ito).
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
GREY: Final = "#8a929c"
INK: Final = "#1c2530"

MOST_POINTS: Final = 4_000
MOST_FILLS: Final = 5_000


def thin(ts: I64, values: F64, most: int = MOST_POINTS) -> tuple[I64, F64]:
    """At most about ``most`` points of a line that keep every visible extreme: lowest and highest of each bucket."""
    if len(ts) <= most:
        return ts, values
    edges = np.linspace(0, len(ts), most // 2 + 1).astype(np.int64)
    keep = {0, len(ts) - 1}
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = values[start:stop]
        keep.update((start + int(part.argmin()), start + int(part.argmax())))
    index = np.array(sorted(keep))
    return ts[index], values[index]


def times(ts: I64) -> list[str]:
    """Times plotly reads, UTC, milliseconds."""
    return [_time(at) for at in ts.tolist()]


def _time(ns: int) -> str:
    seconds, rest = divmod(ns, SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") + f".{rest // 1_000_000:03d}"


def _rounded(values: F64, digits: int = 8) -> list[float | None]:
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]


def figure_layout(height: int, y_title: str, data: ReportData | None = None, **more: Any) -> Figure:
    """The house's layout of a chart; over time with the proposals' lines where ``data`` is given."""
    layout: Figure = {
        "height": height,
        "margin": {"l": 64, "r": 12, "t": 26, "b": 40},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#ffffff",
        "hovermode": "x unified",
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        "xaxis": {"gridcolor": "#eceff2", "linecolor": "#cfd6dd", "zeroline": False},
        "yaxis": {
            "title": {"text": y_title, "standoff": 6},
            "gridcolor": "#eceff2",
            "zeroline": False,
            "automargin": True,
            "exponentformat": "none",
            "separatethousands": True,
        },
    }
    if data is not None:
        layout["xaxis"]["type"] = "date"
        layout["xaxis"]["range"] = [_time(int(data.equity_ts[0])), _time(int(data.equity_ts[-1]))]
        layout["shapes"] = [_proposal_line(_time(p.ts), p.verdict) for p in data.proposals]
    layout.update(more)
    return layout


def _proposal_line(at: str, verdict: str) -> Figure:
    accepted = verdict == "accepted"
    line = {"color": GREEN if accepted else GREY, "width": 1, "dash": "solid" if accepted else "dot"}
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": line,
        "opacity": 0.7,
    }


def _line(ts: I64, values: F64, name: str, colour: str, **more: Any) -> Figure:
    x, y = thin(ts, values)
    line = {"color": colour, "width": 1.4, **more.pop("line", {})}
    return {"type": "scatter", "mode": "lines", "x": times(x), "y": _rounded(y), "name": name, "line": line, **more}


def equity_chart(data: ReportData) -> Figure:
    """Equity over time, beside the worth of the starting balances left alone."""
    lines = [_line(data.equity_ts, data.equity, "equity", BLUE)]
    if data.untouched is not None:
        alone = _line(data.equity_ts, data.untouched, "starting balances, left alone", GREY, line={"dash": "dot"})
        lines.insert(0, alone)
    return {
        "data": lines,
        "layout": figure_layout(260, data.facts.quote, data),
    }


def trading_chart(data: ReportData) -> Figure | None:
    """What trading added to the starting balances, over time; ``None`` where their worth is not known."""
    if data.untouched is None:
        return None
    added = (data.equity - data.equity[0]) - (data.untouched - data.untouched[0])
    line = _line(data.equity_ts, added, "profit of trading", GREEN, showlegend=False)
    return {"data": [line], "layout": figure_layout(200, data.facts.quote, data)}


def drawdown_chart(data: ReportData) -> Figure:
    """Fall from the highest equity so far, percent."""
    fall = -drawdown(data.equity) * 100.0
    area = _line(
        data.equity_ts, fall, "drawdown", ORANGE, fill="tozeroy", fillcolor="rgba(213,94,0,.15)", showlegend=False
    )
    return {"data": [area], "layout": figure_layout(170, "%", data)}


def inventory_chart(data: ReportData) -> Figure:
    """Net filled quantity over time."""
    steps = _line(data.equity_ts, data.position, "position", INK, line={"shape": "hv"}, showlegend=False)
    return {"data": [steps], "layout": figure_layout(190, data.facts.base, data)}


def actions_chart(data: ReportData) -> Figure | None:
    """Levels, stance, skew and spread of a policy over time; ``None`` where none steered."""
    if data.seat is None or len(data.seat.ts) < 2:
        return None
    lines = [
        _line(data.seat.ts, data.seat.actions[:, part], name, colour, line={"shape": "hv", "width": 1})
        for part, (name, colour) in enumerate(
            (("levels", GREY), ("stance", ORANGE), ("skew, half spreads", GREEN), ("spread over the base rule's", BLUE))
        )
    ]
    return {"data": lines, "layout": figure_layout(220, "", data)}


def agents_chart(data: ReportData, what: str) -> Figure | None:
    r"""A line an agent, of what it has ``gain``\ ed or of its ``capital``; ``None`` where one strategy traded."""
    agents = [one for one in data.agents if len(one.ts) > 1]
    if not agents:
        return None
    shape = {"shape": "hv"} if what == "capital" else {}
    lines = [
        _line(one.ts, getattr(one, what), one.name, AGENT_COLOURS[number % len(AGENT_COLOURS)], line=shape)
        for number, one in enumerate(agents)
    ]
    return {"data": lines, "layout": figure_layout(240, data.facts.quote, data)}


def price_chart(data: ReportData) -> Figure | None:
    """Mid and fills; ``None`` where neither is known."""
    traces: list[Figure] = []
    if data.mids is not None and len(data.mids.ts):
        traces.append(_line(data.mids.ts, data.mids.mid, "mid", GREY, line={"shape": "hv", "width": 1}))
    for side, name, colour, symbol in ((BUY, "buy", BLUE, "triangle-up"), (SELL, "sell", ORANGE, "triangle-down")):
        member = np.flatnonzero(data.fills.side == side)
        if len(member) == 0:
            continue
        shown = member[:: -(-len(member) // MOST_FILLS)]
        label = name if len(shown) == len(member) else f"{name} (1 of {-(-len(member) // MOST_FILLS)})"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": times(data.fills.ts[shown]),
                "y": _rounded(data.fills.price[shown]),
                "customdata": _rounded(data.fills.qty[shown]),
                "hovertemplate": f"{name} %{{customdata}} at %{{y}}<extra></extra>",
                "marker": {"symbol": symbol, "size": 7, "color": colour, "line": {"width": 0.5, "color": "#ffffff"}},
            }
        )
    if not traces:
        return None
    return {"data": traces, "layout": figure_layout(360, data.facts.quote, data, hovermode="closest")}


def proposals_chart(data: ReportData) -> Figure | None:
    """Confidence of every proposal over time, by verdict; ``None`` without proposals."""
    traces = []
    kinds = (("accepted", GREEN, "circle"), ("refused", GREY, "x-thin-open"), ("invalid", ORANGE, "diamond-open"))
    for verdict, colour, symbol in kinds:
        chosen = [p for p in data.proposals if p.verdict == verdict]
        if not chosen:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{verdict} ({len(chosen)})",
                "x": [_time(p.ts) for p in chosen],
                "y": [p.confidence if np.isfinite(p.confidence) else 0.0 for p in chosen],
                "text": [_wrapped(f"{p.source}: {p.why}" if p.why else p.source) for p in chosen],
                "hovertemplate": "confidence %{y:.2f}<br>%{text}<extra></extra>",
                "marker": {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
            }
        )
    if not traces:
        return None
    layout = figure_layout(210, "confidence", data, hovermode="closest")
    layout["shapes"] = []
    layout["yaxis"]["range"] = [-0.05, 1.05]
    return {"data": traces, "layout": layout}


def _wrapped(text: str, width: int = 60) -> str:
    lines, line = [], ""
    for word in text.replace("<", "&lt;").split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "<br>".join([*lines, line])


def markout_chart(summary: Summary) -> Figure | None:
    """Mean mark-outs before and after fees by horizon, with their standard errors; ``None`` without any."""
    traces = []
    for group, colour in (("maker", BLUE), ("taker", ORANGE)):
        rows = [row for row in summary.markouts if row.group == group and row.count]
        if not rows:
            continue
        labels = [f"{row.horizon_ns // SECOND} s" for row in rows]
        bars: Figure = {"type": "bar", "x": labels, "marker": {"color": colour}}
        error = {"type": "data", "array": _rounded(np.array([row.error_bp for row in rows])), "thickness": 1.2}
        before = {**bars, "name": f"{group}, before fee", "y": [row.before_fee_bp for row in rows], "error_y": error}
        after = {**bars, "name": f"{group}, after fee", "y": [row.after_fee_bp for row in rows], "opacity": 0.4}
        counts = [f"n = {row.count:,}" for row in rows]
        for trace in (before, after):
            traces.append({**trace, "text": counts, "hovertemplate": "%{y:.3f} bp<br>%{text}", "textposition": "none"})
    if not traces:
        return None
    layout = figure_layout(240, "bp", hovermode="closest", barmode="group")
    layout["yaxis"]["zeroline"] = True
    layout["xaxis"]["title"] = {"text": "after the fill"}
    layout["margin"]["b"] = 46
    return {"data": traces, "layout": layout}


def reliability_chart(summary: Summary) -> Figure | None:
    """Calibration curve of the confidence scores; ``None`` while no outcome is known."""
    if summary.reliability is None:
        return None
    bins = summary.reliability.bins
    curve = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "proposals",
        "x": [b.forecast for b in bins],
        "y": [b.outcome for b in bins],
        "text": [f"n = {b.count}" for b in bins],
        "hovertemplate": "said %{x:.2f}, came true %{y:.2f}<br>%{text}<extra></extra>",
        "marker": {"size": [7 + 2.5 * b.count**0.5 for b in bins], "color": BLUE},
        "line": {"color": BLUE, "width": 1.2},
    }
    ideal = {
        "type": "scatter",
        "mode": "lines",
        "name": "as said",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": GREY, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    layout = figure_layout(260, "share that came true", hovermode="closest")
    layout["xaxis"].update({"range": [-0.03, 1.03], "title": {"text": "confidence"}})
    layout["yaxis"]["range"] = [-0.05, 1.05]
    layout["margin"]["b"] = 46
    return {"data": [ideal, curve], "layout": layout}
