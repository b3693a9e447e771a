"""Validation, stages and regret as people read them: rows for the terminal, sections and a curve for a page."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tidewright.market.clock import iso
from tidewright.measure import charts
from tidewright.measure.presentation import number_text
from tidewright.measure.regret import History, Total
from tidewright.measure.report import ReportData, Stage
from tidewright.measure.validation import Validation

Row = tuple[str, str, str]


def validation_rows(found: Validation, steady: Mapping[str, Any] | None = None) -> list[Row]:
    """Name, value and meaning of every figure of a validation.

    Parameters
    ----------
    steady
        Stability of the winner's neighbours as plain values (``share, worst, neighbours, radius``), if it was judged.
    """
    shape, trials = found.moments, f"{found.trials:,} trials"
    evenly = f" (of {found.searched:,}, taken evenly)" if found.searched > found.candidates else ""
    rows = [
        ("Trials", f"{found.trials:,}", f"ever judged; {found.candidates:,} of this search{evenly} are worth "
         f"{number_text(found.effective_trials)} independent ones"),
        ("Sharpe ratio an observation", number_text(shape.sharpe, 4), f"of {found.observations:,} differences to the "
         f"incumbent; skewness {number_text(shape.skew)}, kurtosis {number_text(shape.kurtosis)}"),
        ("Best of useless trials", number_text(found.expected_best, 4), f"expected of the best of {trials}"),
        ("Probabilistic Sharpe ratio", _share(found.probabilistic), "chance that the true ratio is above 0 "
         "(Bailey and López de Prado 2012), trials not counted"),
        ("– variance under the null", _share(found.probabilistic_null), "the same by the definition of 2025"),
        ("Deflated Sharpe ratio", _share(found.deflated), f"against the best of {trials} (2014), variance 1/T"),
        ("– variance under the null", _share(found.deflated_null), "by the definition of 2025, deviation of a maximum"),
        ("– variance of the trials", _share(found.deflated_by_trials), "severe where many trials were truly bad"),
        ("Minimum track record", _count(found.track_record), "observations to show a ratio above 0 at 5 %"),
    ]  # fmt: skip
    if (over := found.overfitting) is not None:
        rows.append(
            ("Probability of overfitting", _share(over.pbo), f"CSCV, {over.splits:,} splits of {over.blocks} blocks, "
             f"{over.candidates:,} candidates{evenly}; useless ones: 50 %")
        )  # fmt: skip
    if (chosen := found.selection) is not None:
        rows.append(
            ("Walk-forward", f"{number_text(chosen.train, 3)} → {number_text(chosen.test, 3)}",
             f"Sharpe ratio of the best in training, there and after it, mean of {len(chosen.folds)} splits")
        )  # fmt: skip
    if (snoop := found.snooping) is not None:
        rows.append(
            ("Reality check, SPA", f"p = {number_text(snoop.reality_check, 3)}, {number_text(snoop.spa, 3)}",
             f"White 2000 and Hansen 2005, {snoop.candidates} finalists out of sample")
        )  # fmt: skip
    if steady is not None:
        rows.append(
            ("Gain kept by the neighbours", f"{_share(steady['share'])}, worst {_share(steady['worst'])}",
             f"median of {steady['neighbours']} within {steady['radius']:g} of each range, same replay")
        )  # fmt: skip
    return rows


def validation_table(found: Validation, steady: Mapping[str, Any] | None = None) -> Table:
    """For the terminal."""
    table = Table(title="VALIDATION OF THE CHOICE", title_justify="left", title_style="bold")
    table.add_column("Figure", no_wrap=True)
    table.add_column("Value", justify="right")
    table.add_column("Meaning", style="dim", overflow="fold")
    for name, value, meaning in validation_rows(found, steady):
        table.add_row(name, value, meaning)
    return table


def validation_html(found: Validation, steady: Mapping[str, Any] | None = None) -> str:
    """A section of a page."""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="num">{escape(value)}</td><td class="mean dim small">{escape(meaning)}'
        "</td></tr>"
        for name, value, meaning in validation_rows(found, steady)
    )
    return (
        '<h2>Validation of the choice</h2><table class="figures"><thead><tr><th>Figure</th><th class="num">Value</th>'
        f"<th>Meaning</th></tr></thead><tbody>{rows}</tbody></table>"
    )


# -- stages ------------------------------------------------------------------------------------------------------------

_WORDS = {
    "refused": "refused",
    "canary": "canary at small size",
    "full": "in full use",
    "rolled_back": "rolled back",
    "replaced": "replaced from outside",
}


def stages_table(stages: Sequence[Stage]) -> Table:
    """What became of accepted proposals, for the terminal; refusals are in the proposals' own table."""
    table = Table(title="STAGES OF ACCEPTED PROPOSALS", title_justify="left", title_style="bold")
    table.add_column("Time", no_wrap=True)
    table.add_column("Stage", no_wrap=True)
    table.add_column("Cause", overflow="fold")
    for item in stages:
        if item.stage != "refused":
            table.add_row(iso(item.ts)[5:16].replace("T", " "), _WORDS.get(item.stage, item.stage), Text(item.cause))
    return table


def stages_html(stages: Sequence[Stage]) -> str:
    """A section of a page; empty without a step."""
    shown = [item for item in stages if item.stage != "refused"]
    if not shown:
        return ""
    rows = "".join(
        f'<tr><td class="num">{iso(item.ts)[5:16].replace("T", " ")}</td>'
        f'<td class="{"invalid" if item.stage == "rolled_back" else "accepted"}">'
        f"{escape(_WORDS.get(item.stage, item.stage))}</td><td>{escape(item.cause)}"
        f'<div class="dim small">{escape(item.proposal_id)}</div></td></tr>'
        for item in shown[::-1]
    )
    return (
        "<h2>Stages of accepted proposals</h2>"
        '<p class="dim small">New parameters trade small first. Two shadow lanes, the new and the old parameters, see '
        "the same live events; a sequential test that may be read at any time decides whether they go back.</p>"
        '<div class="scroll"><table><thead><tr><th class="num">Time</th><th>Stage</th><th>Cause</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


# -- regret ------------------------------------------------------------------------------------------------------------


def regret_rows(history: History, quote: str) -> list[Row]:
    """Name, value and meaning."""
    found = history.account
    return [
        ("Epochs judged", f"{found.epochs:,}", "each again in shadow lanes at the end of it"),
        ("Ours", f"{number_text(found.ours)} {quote}", "what the parameters in use earned, piece by piece"),
        ("First parameters", f"{number_text(found.incumbent)} {quote}", "had they never been changed"),
        ("Gain by changing", _total(found.gain, quote), "ours less the first parameters"),
        ("Regret, best fixed", _total(found.static, quote), f"{_compared(history)} ({history.best_fixed})"),
        ("Regret, each epoch's best", _total(found.dynamic, quote), "against whatever was best in each epoch: nobody "
         "could know it, and much of it is luck"),
    ]  # fmt: skip


def _compared(history: History) -> str:
    """What the best fixed choice is the best of."""
    if not history.compared:
        return "against the fixed set that was best over all epochs, of those compared: a lower bound"
    why = f"; the last look back failed: {history.obstacle}" if history.obstacle else ""
    waiting = f" ({history.waiting:,} more have still to be judged over all epochs{why})" if history.waiting else ""
    return (
        f"against the best over all epochs of {history.compared:,} fixed sets, drawn, chosen or used{waiting}; others "
        "may be better: a lower bound"
    )


def regret_table(history: History, quote: str, agent: str = "") -> Table:
    """For the terminal.

    Parameters
    ----------
    agent
        Whose, where several trade.
    """
    table = Table(title=f"REGRET OF {agent}" if agent else "REGRET", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("Value, 95 % interval", justify="right")
    table.add_column("Meaning", style="dim", overflow="fold")
    for name, value, meaning in regret_rows(history, quote):
        table.add_row(name, value, meaning)
    return table


def regret_html(data: ReportData) -> str:
    """A section of a page with room for a curve each, named as in :func:`regret_charts`; empty without any account."""
    if not data.regrets:
        return ""
    return "<h2>Regret: what the best parameters would have earned</h2>" + "".join(
        _regret_html(history, data.facts.quote, agent if data.agents else "") for agent, history in data.regrets.items()
    )


def _regret_html(history: History, quote: str, agent: str) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="num">{escape(value)}</td><td class="mean dim small">{escape(meaning)}'
        "</td></tr>"
        for name, value, meaning in regret_rows(history, quote)
    )
    whose = f"{escape(agent)}: c" if agent else "C"
    return (
        f'<div class="chart"><h3>{whose}umulative, quote: gain by changing, and regret</h3>'
        f'<div id="{escape(_place(agent))}"></div></div><table class="figures"><tbody>{rows}</tbody></table>'
    )


def _place(agent: str) -> str:
    return f"regret-{agent}" if agent else "regret"


def regret_charts(data: ReportData) -> dict[str, charts.Figure]:
    """Cumulative gain and regret after each epoch, of each account, by their places on the page."""
    return {
        _place(agent if data.agents else ""): _regret_chart(history, data) for agent, history in data.regrets.items()
    }


def _regret_chart(history: History, data: ReportData) -> charts.Figure:
    names = {"gain": ("gain by changing", charts.GREEN), "static": ("regret, best fixed", charts.BLUE)}
    names["dynamic"] = ("regret, each epoch's best", charts.GREY)
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": charts.times(history.ts),
            "y": [round(value, 8) for value in history.account.curves[name]],
            "name": words,
            "line": {"color": colour, "width": 1.4},
            "marker": {"size": 4},
        }
        for name, (words, colour) in names.items()
    ]
    return {"data": lines, "layout": charts.figure_layout(230, data.facts.quote, data)}


def _total(found: Total, quote: str) -> str:
    text = f"{number_text(found.total)} {quote}"
    if found.lower is None or found.upper is None:
        return f"{text} (too few epochs for an interval)"
    return f"{text} [{number_text(found.lower)}, {number_text(found.upper)}]"


def _share(value: float | None) -> str:
    return "n/a" if value is None or not math.isfinite(value) else f"{number_text(value * 100, 1)} %"


def _count(value: float) -> str:
    return f"{int(np.ceil(value)):,}" if math.isfinite(value) else "never: it is not above 0"
