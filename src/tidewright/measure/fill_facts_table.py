"""The facts about fills in the terminal."""

import math
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidewright.market.clock import iso
from tidewright.measure.fill_facts import AS_EXPECTED, HORIZONS_NS, NOT_EXPECTED, Fact, horizon_text
from tidewright.measure.fill_facts_blocks import Estimate
from tidewright.measure.fill_facts_curves import Curve
from tidewright.measure.fill_facts_report import FactsReport
from tidewright.measure.presentation import duration_text, number_text

_STYLES: Final = {AS_EXPECTED: "green", NOT_EXPECTED: "bold red"}


def figure_text(fact: Fact) -> str:
    """The figure with its unit; ``"n/a"`` where there is none."""
    return _with_unit(estimate_text(fact.estimate.figure, fact.unit), fact.unit)


def interval_text(estimate: Estimate, unit: str) -> str:
    """``"−0.30 to −0.20"``; ``"n/a"`` where there is none."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return "n/a"
    return f"{estimate_text(estimate.low, unit)} to {estimate_text(estimate.high, unit)}"


def estimate_text(value: float, unit: str) -> str:
    """A number with the digits its unit deserves."""
    if not math.isfinite(value):
        return "n/a"
    if unit == "share":
        return f"{number_text(value * 100.0, 1)} %"
    return number_text(value, 0 if abs(value) >= 100.0 else 2)


def _with_unit(text: str, unit: str) -> str:
    return text if unit in ("share", "correlation", "Sharpe") or text == "n/a" else f"{text} {unit}"


def heading(report: FactsReport) -> str:
    """Which tape, over which time."""
    tape = report.tape
    start, end = (iso(tape[name])[:16].replace("T", " ") for name in ("start_ns", "end_ns"))
    span = duration_text(tape["end_ns"] - tape["start_ns"])
    return f"{start} to {end} UTC ({span}) · {tape['venue']} · {tape['detail']}"


def render(report: FactsReport, width: int = 80) -> RenderableType:
    """Facts, curves and assumptions as tables; the literature's figures where ``width`` columns have room for them."""
    return Group(
        Text(f"Facts about fills: {report.tape['symbol']}", style="bold"),
        Text(heading(report), style="dim"),
        _facts(report, width >= 120),
        *(_curve(curve) for curve in report.curves),
        _makers(report),
        _fees(report),
        _assumptions(report),
        Text(report.summary, style="bold"),
    )


def _facts(report: FactsReport, literature: bool) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left", header_style="dim")
    table.add_column("fact")
    for name, style in (("figure", ""), ("95 %", "dim"), ("n", "dim")):
        table.add_column(name, style=style, justify="right")
    table.add_column("expected", style="dim")
    table.add_column("verdict", no_wrap=True)
    if literature:
        table.add_column("literature", style="dim")
    for fact in report.facts:
        table.add_row(
            fact.title,
            figure_text(fact),
            interval_text(fact.estimate, fact.unit),
            f"{fact.count:,}",
            fact.claim.text,
            Text(fact.verdict, style=_STYLES.get(fact.verdict, "dim")),
            *([fact.literature] if literature else []),
        )
    return table


def _curve(curve: Curve) -> Table:
    table = Table(box=None, pad_edge=False, title=f"\n{curve.title}", title_justify="left", title_style="bold")
    heads = ("orders", "fills", "filled", *(f"{horizon_text(h)}, bp" for h in HORIZONS_NS))
    table.add_column(curve.x_title, style="bold", max_width=44)
    for name in heads:
        table.add_column(name, justify="right", header_style="dim")
    for point in curve.points:
        table.add_row(
            point.label,
            f"{point.orders:,}",
            f"{point.fills:,}",
            estimate_text(point.probability.figure, "share"),
            *(estimate_text(value.figure, "bp") for value in point.markout_bp),
        )
    return table


def _makers(report: FactsReport) -> Table:
    table = Table(box=None, pad_edge=False, title="\nSymmetric makers at zero fee", title_justify="left")
    table.title_style = "bold"
    for name in ("bid to ask, bp", "fills", "PnL per notional, bp", "95 %"):
        table.add_column(name, justify="right", header_style="dim")
    for group in report.makers:
        table.add_row(
            f"{number_text(group.low_bp)} to {number_text(group.high_bp)}",
            f"{group.fills:,}",
            estimate_text(group.pnl_bp.figure, "bp"),
            interval_text(group.pnl_bp, "bp"),
        )
    return table


def _fees(report: FactsReport) -> Table:
    table = Table(box=None, pad_edge=False, title="\nThe same makers at other fees", title_justify="left")
    table.title_style = "bold"
    for name in ("fee, bp", "PnL per notional, bp", "Sharpe, a year", "95 %"):
        table.add_column(name, justify="right", header_style="dim")
    for point in report.fees:
        table.add_row(
            f"{point.fee_bp:g}",
            estimate_text(point.pnl_bp, "bp"),
            estimate_text(point.sharpe.figure, "Sharpe"),
            interval_text(point.sharpe, "Sharpe"),
        )
    return table


def _assumptions(report: FactsReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title="\nAssumptions", title_justify="left")
    table.title_style = "bold"
    for name, value in report.assumptions:
        table.add_row(Text(name, style="dim"), value)
    return table
