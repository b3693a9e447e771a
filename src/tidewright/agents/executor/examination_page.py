"""The examinations of a policy as one HTML page that holds everything it needs."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from tidewright.agents.executor.examination import Examined, Standing
from tidewright.agents.executor.examination_panel import BASE, FORESIGHT, POLICY
from tidewright.agents.executor.seating import ABLATIONS, FAILED, PASSED, SEEDS
from tidewright.measure.charts import BLUE, GREEN, GREY, ORANGE, Figure, figure_layout
from tidewright.measure.report_page import document

TITLES: Final = {
    "leak": "Would a leak of the future be seen?",
    "fair_game": "Does it earn where nobody can?",
    "seeds": "What is learning worth over all seeds?",
    "fees": "What does it earn at which fee?",
    "ablations": "Is each part of it worth having?",
    "behaviour": "What does it do when?",
}
_STYLES: Final = {PASSED: "accepted", FAILED: "invalid"}
_PARTS: Final = {"levels": BLUE, "stance": ORANGE, "skew": GREEN, "spread": GREY}
_UNIT: Final = "bp of the largest position, a cycle"


def page(found: Examined, name: str, verdict: str) -> str:
    """The whole page as text.

    Parameters
    ----------
    name
        Of the policy.
    verdict
        Whether it may be seated, a sentence.
    """
    figures: dict[str, Figure] = {"fees": _fee_chart(found.standings), "ablations": _ablation_chart(found)}
    figures |= {f"when_{number}": _behaviour_chart(thirds) for number, thirds in found.behaviour.items()}
    report = found.report
    tapes = "; ".join(f"{one['source']}, {one['rows']:,} rows" for one in report.tapes)
    parts = [
        f"<h1>{escape(name)}: examinations</h1>",
        f'<div class="dim">{escape(report.date)} · version {escape(report.version)} · {escape(tapes)} · '
        f"{report.cycles:,} cycles at each fee</div>",
        f'<p class="verdict">{escape(verdict[:1].upper() + verdict[1:])}.</p>',
        _verdicts(found),
        "<h2>At which fee</h2>",
        _chart("fees", f"Mean profit with 95 % intervals, {_UNIT}"),
        "<h2>What each part is worth</h2>",
        _chart("ablations", f"The policy less itself without a part, with 95 % intervals, {_UNIT}"),
        _seeds(found),
        "<h2>What it does when</h2>",
        '<p class="dim small">Means over the lowest, middle and highest third of decisions by each number of the '
        "state: levels a side, stance (-2 strong sell to 2 strong buy), skew in half spreads, spread over the base "
        "rule's.</p>",
        '<div class="pair">'
        + "".join(_chart(f"when_{number}", number.replace("_", " ")) for number in found.behaviour)
        + "</div>",
        "<h2>All contenders</h2>",
        _standings(found.standings),
        f'<p class="dim small">{escape(report.command)}</p>',
    ]
    return document(escape(f"{name}: examinations"), "\n".join(parts), figures)


def headline(name: str, figures: Mapping[str, Any]) -> str:
    """The figures of an examination that its verdict rests on, in one line."""
    if name in ("leak", "fair_game"):
        kinds = [kind for kind in ("tapes", "shuffled", "driftless", "learned") if kind in figures]
        means = [figures[kind]["profit"] if name == "leak" else figures[kind] for kind in kinds]
        return "; ".join(f"{kind} {_mean(mean)}" for kind, mean in zip(kinds, means, strict=True))
    if name == "seeds":
        profit, gain = figures["profit"], figures["over_base_rule"]
        return f"IQM {_mean(profit)}, over the base rule {_mean(gain)}, {profit['runs']} seeds, a window"
    if name == "fees":
        return "; ".join(f"{fee} bp {_mean(mean)}" for fee, mean in figures.items())
    if name == "ablations":
        worse = figures["worse_than"]
        text = f"over the base rule {_mean(figures['gain_over'][BASE])}"
        return text + (f"; worse than {', '.join(worse)}" if worse else "")
    widest = figures["range_over_thirds"]
    if not widest:
        return "it took no decision"
    most = []
    for part in ("levels", "stance", "skew", "spread"):
        number = max(widest, key=lambda name, part=part: float(widest[name][part]))  # type: ignore[misc]
        most.append(f"{part} with {number} ({widest[number][part]:.2f})")
    return f"changes most: {', '.join(most)}"


def _mean(mean: Mapping[str, Any]) -> str:
    return f"{mean['value']:+.3f} [{mean['low']:+.3f}, {mean['high']:+.3f}]"


def _verdicts(found: Examined) -> str:
    rows = [
        f'<tr><td>{escape(TITLES[one.name])}<div class="dim small">{escape(one.rule)}</div></td>'
        f'<td class="rest {_STYLES.get(one.verdict, "refused")}">{escape(one.verdict)}</td>'
        f"<td>{escape(headline(one.name, one.figures))}</td></tr>"
        for one in found.examinations
    ]
    head = "<thead><tr><th>Examination</th><th>Verdict</th><th>Figures</th></tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _chart(name: str, title: str) -> str:
    return f'<div class="chart"><h3>{escape(title)}</h3><div id="{name}"></div></div>'


def _fee_chart(standings: list[Standing]) -> Figure:
    lines = []
    for who, colour in ((POLICY, BLUE), (BASE, GREY), (FORESIGHT, ORANGE)):
        mine = [one for one in standings if one.who == who]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": who,
                "x": [f"{one.fee_bp:g} bp" for one in mine],
                "y": [one.profit.value for one in mine],
                "line": {"color": colour},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [one.profit.high - one.profit.value for one in mine],
                    "arrayminus": [one.profit.value - one.profit.low for one in mine],
                },
            }
        )
    return {"data": lines, "layout": figure_layout(300, "bp")}


def _ablation_chart(found: Examined) -> Figure:
    gains = next(one.figures["gain_over"] for one in found.examinations if one.name == ABLATIONS)
    bars = {
        "type": "scatter",
        "mode": "markers",
        "y": list(gains),
        "x": [mean["value"] for mean in gains.values()],
        "marker": {"color": BLUE, "size": 8},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [mean["high"] - mean["value"] for mean in gains.values()],
            "arrayminus": [mean["value"] - mean["low"] for mean in gains.values()],
        },
    }
    layout = figure_layout(60 + 24 * len(gains), "", hovermode="closest")
    layout["xaxis"] |= {"zeroline": True, "zerolinecolor": GREY, "title": {"text": "bp; right of 0: the part helps"}}
    return {"data": [bars], "layout": layout}


def _behaviour_chart(thirds: list[dict[str, float]]) -> Figure:
    spans = [f"{third['from']:+.2f} to {third['to']:+.2f}" for third in thirds]
    labels = [f"{place}: {span}" for place, span in zip(("low", "middle", "high"), spans, strict=False)]
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": part,
            "x": labels,
            "y": [third[part] for third in thirds],
            "line": {"color": colour},
        }
        for part, colour in _PARTS.items()
    ]
    return {"data": lines, "layout": figure_layout(240, "")}


def _seeds(found: Examined) -> str:
    figures = next(one.figures for one in found.examinations if one.name == SEEDS)
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="num">{value:+.3f}</td></tr>'
        for name, value in figures["members"].items()
    )
    unit = f"{figures['unit']}, at {figures['fee_bp']:g} bp"
    return (
        f'<h2>Each seed alone</h2><p class="dim small">Mean profit, {escape(unit)}.</p>'
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
    )


def _standings(standings: list[Standing]) -> str:
    columns = ("fee bp", "who", f"profit, {_UNIT}", "95 %", "profit, quote", "bp of volume", "fills", "aside")
    rows = []
    for one in standings:
        per_volume = f"{1e4 * one.quote / one.traded:+.2f}" if one.traded > 0.0 else "–"
        cells = [
            f"{one.profit.value:+.4f}",
            f"{one.profit.low:+.4f} .. {one.profit.high:+.4f}",
            f"{one.quote:+,.2f}",
            per_volume,
            f"{one.fills:,}",
            "–" if math.isnan(one.aside) else f"{one.aside:.0%}",
        ]
        rows.append(
            f'<tr><td class="num">{one.fee_bp:g}</td><td>{escape(one.who)}</td>'
            + "".join(f'<td class="num">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    return f"<details><summary>{len(standings)} rows</summary>{table}</details>"
