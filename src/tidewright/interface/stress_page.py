"""Stress tests on the screen and as one HTML page."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tidewright.engine.stress import Fired, StressRun
from tidewright.interface.stress_book import Present
from tidewright.market.clock import iso
from tidewright.measure import charts
from tidewright.measure.presentation import duration_text
from tidewright.measure.report_page import document
from tidewright.risk.liquidity import NEVER
from tidewright.risk.stress import Outcome, Shock

_LOSSES: Final = (
    "scenario", "loss", "of equity", "by the move", "in the outage", "leaving", "time to leave", "limits breached",
)  # fmt: skip
_RUNS: Final = (
    "tape", "worst loss", "at the end", "fills", "position use", "limit passed", "flat after",
    "limits that fired, first time",
)  # fmt: skip


_PARTS: Final = (3, 4, 5)  # columns of what a loss is made of
_WIDE: Final = 110  # characters from which on they are shown


def render(present: Present | None, outcomes: Sequence[Outcome], runs: Sequence[StressRun], width: int) -> Group:
    """Tables for a terminal; a narrow one gets the sums without their parts."""
    parts: list[Any] = []
    if present is not None:
        title = f"{present.source}: equity {present.equity:,.2f}, revalued"
        table = Table(title=title, title_justify="left", box=None)
        shown = [i for i in range(len(_LOSSES)) if width >= _WIDE or i not in _PARTS]
        for i in shown:
            last = i == len(_LOSSES) - 1
            table.add_column(_LOSSES[i], justify="left" if last or i == 0 else "right", no_wrap=not last)
        for one in sorted(outcomes, key=lambda each: -each.loss):
            cells = _cells(one)
            table.add_row(*(cells[i] for i in shown))
        parts.append(table)
    if runs:
        table = Table(title="whole tapes through the engine", title_justify="left", box=None)
        for name in _RUNS:
            side = name in (_RUNS[0], _RUNS[-1])
            table.add_column(name, justify="left" if side else "right", overflow="fold")
        for run in runs:
            table.add_row(*_run_cells(run))
        parts.append(table)
        for run in runs:
            for fired in run.fired:
                if fired.cause():
                    parts.append(Text(f"{run.name}: {_slippage(fired)}"))
    return Group(*parts)


def page(
    present: Present | None, shocks: Sequence[Shock], outcomes: Sequence[Outcome], runs: Sequence[StressRun]
) -> str:
    """One self-contained HTML page."""
    shown: dict[str, charts.Figure] = {}
    body = ["<h1>Stress test</h1>"]
    if present is not None:
        body.append(f'<p class="dim">{escape(present.source)}, equity {present.equity:,.2f}</p>')
        ordered = sorted(outcomes, key=lambda each: -each.loss)
        shown["losses"] = {
            "data": [
                {
                    "type": "bar",
                    "orientation": "h",
                    "x": [round(100 * one.loss_share, 6) for one in ordered][::-1],
                    "y": [one.shock for one in ordered][::-1],
                    "marker": {"color": "#0072b2"},
                }
            ],
            "layout": charts.figure_layout(80 + 24 * len(ordered), "", margin={"l": 150, "r": 12, "t": 26, "b": 40}),
        }
        body.append('<h2>Loss by scenario</h2><div class="chart"><div id="losses"></div></div>')
        body.append(_table(_LOSSES, [_cells(one) for one in ordered]))
        body.append("<h2>What the scenarios assume</h2>")
        heads = ("scenario", "about", "moves", "depth", "spread", "source")
        body.append(_table(heads, [_assumed(one) for one in shocks]))
    if runs:
        body.append("<h2>Whole tapes through the engine</h2>")
        body.append(_table(_RUNS, [_run_cells(run) for run in runs]))
        for number, run in enumerate(runs):
            name = f"run{number}"
            ts, equity = charts.thin(np.array(run.ts, np.int64), np.array(run.equity))
            shown[name] = {
                "data": [{"type": "scatter", "mode": "lines", "x": charts.times(ts), "y": equity.tolist()}],
                "layout": charts.figure_layout(220, "equity"),
            }
            body.append(f'<div class="chart"><h3>{escape(run.name)}</h3><div id="{name}"></div></div>')
            causes = [f"<li>{escape(_slippage(fired))}</li>" for fired in run.fired if fired.cause()]
            body.append(f"<ul>{''.join(causes)}</ul>" if causes else "")
    return document("Stress test", "\n".join(body), shown)


def _slippage(fired: Fired) -> str:
    return f"{fired.limit} {fired.threshold:.2%} passed by {fired.slippage:.3%}: {fired.cause()}"


def _cells(one: Outcome) -> list[str]:
    time = "never" if one.flatten_ns >= NEVER else duration_text(one.flatten_ns) if one.flatten_ns else "at once"
    return [
        one.shock,
        f"{one.loss:,.2f}",
        f"{one.loss_share:.2%}",
        f"{one.revaluation:,.2f}",
        f"{one.outage:,.2f}",
        f"{one.unwind:,.2f}",
        time,
        ", ".join(one.fired) or "none",
    ]


def _run_cells(run: StressRun) -> list[str]:
    return [
        run.name,
        f"{run.loss_share:.3%}",
        f"{run.end_share:.3%}",
        str(run.fills),
        f"{run.position_use:.1%}",
        f"{run.passed} times",
        "never" if run.flat_after_ns is None else duration_text(run.flat_after_ns) if run.flat_after_ns else "at once",
        "; ".join(f"{one.limit} {iso(one.ts)[11:19]}" for one in run.fired) or "none",
    ]


def _assumed(one: Shock) -> list[str]:
    moves = ", ".join(f"{asset} {move:+.0%}" for asset, move in one.moves.items()) or "none"
    return [one.name, one.about, moves, f"{one.depth:g}", f"{one.spread:g}", one.source]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
