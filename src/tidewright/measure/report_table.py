"""The report in the terminal: the figures with what they rest on, mark-outs, proposals, assumptions."""

import math
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tidewright.market.clock import SECOND, iso
from tidewright.measure.definitions import DEFINITIONS, Definition
from tidewright.measure.presentation import duration_text, figure_text, number_text, sample_text, value_text
from tidewright.measure.report import EXTRAS, ReportData, Summary
from tidewright.measure.validation_sections import regret_table, stages_table

# In the order users of trading reports know; a name is a figure or one of EXTRAS.
ORDER = (
    "equity_start",
    "equity_end",
    "absolute_profit",
    "trading_profit",
    "total_return",
    "market_change",
    "cagr",
    "sharpe",
    "sharpe_error",
    "sortino",
    "calmar",
    "sqn",
    "mean_profit_p_value",
    "profit_factor",
    "expectancy",
    "win_rate",
    "closed_trades",
    "daily_trades",
    "realised_profit",
    "best_trade",
    "worst_trade",
    "average_trade_duration",
    "max_consecutive_wins",
    "max_consecutive_losses",
    "orders",
    "cancels",
    "rejects",
    "fills",
    "buys",
    "sells",
    "volume_quote",
    "turnover",
    "fees",
    "final_position",
    "time_in_position",
    "min_balance",
    "max_balance",
    "volatility",
    "max_drawdown",
    "absolute_drawdown",
    "drawdown_start_ns",
    "drawdown_end_ns",
)


def title_of(name: str) -> str:
    """Name of a figure or extra as the report prints it."""
    return DEFINITIONS[name].title if name in DEFINITIONS else EXTRAS[name][0]


def meaning_of(name: str) -> str:
    """Its formula in words, with the annualisation."""
    if name in EXTRAS:
        return EXTRAS[name][2]
    definition = DEFINITIONS[name]
    return definition.formula + (" (a year is 365 days)" if definition.annualised else "")


def text_of(name: str, data: ReportData, summary: Summary) -> str:
    """Its value with unit, or why there is none."""
    facts = data.facts
    if name in summary.figures:
        return figure_text(name, summary.figures[name], summary.samples, facts.quote, facts.base)
    value, unit = summary.extras[name], EXTRAS[name][1]
    if not math.isfinite(value):
        return "n/a"
    if unit == "time":
        return iso(int(value))[:19].replace("T", " ")
    return value_text(Definition(name, "", "", unit, "span"), value, facts.quote, facts.base)


def sample_of(name: str, summary: Summary) -> str:
    """What it rests on."""
    return sample_text(DEFINITIONS[name], summary.samples) if name in DEFINITIONS else ""


def verdict(data: ReportData, summary: Summary) -> str:
    """The session in two sentences, with how far they can be believed."""
    figures, facts = summary.figures, data.facts
    profit = summary.extras["absolute_profit"]
    word = "Gained" if profit > 0 else "Lost" if profit < 0 else "Neither gained nor lost:"
    share = figures["total_return"]
    text = (
        f"{word} {number_text(abs(profit))} {facts.quote} ({number_text(share * 100)} %) in "
        f"{duration_text(summary.samples.span_ns)} of market time, with {summary.samples.fills:,} "
        f"{'fill' if summary.samples.fills == 1 else 'fills'} and a maximum "
        f"drawdown of {number_text(figures['max_drawdown'] * 100)} %."
    )
    trading = summary.extras["trading_profit"]
    if math.isfinite(trading) and data.untouched is not None and data.untouched[-1] != data.untouched[0]:
        move = float(data.untouched[-1] - data.untouched[0])
        moved = "gained" if move > 0 else "lost"
        text += (
            f" The starting balances alone {moved} {number_text(abs(move))} {facts.quote} by "
            f"the market's move, so trading {'earned' if trading > 0 else 'cost'} {number_text(abs(trading))} "
            f"{facts.quote}."
        )
    sharpe, error = figures["sharpe"], figures["sharpe_error"]
    if math.isfinite(sharpe) and abs(sharpe) < 2 * error:
        text += (
            f" The Sharpe ratio is {number_text(sharpe)} with a standard error of {number_text(error)}: "
            "too short a time to tell skill from luck."
        )
    elif math.isfinite(sharpe):
        text += f" The Sharpe ratio is {number_text(sharpe)} with a standard error of {number_text(error)}."
    return text


def uptime_text(data: ReportData, summary: Summary) -> str:
    """Uptime with the counts it comes from."""
    if not math.isfinite(summary.uptime):
        return "n/a (no cycle was due yet)"
    return f"{number_text(summary.uptime * 100)} % ({data.cycles:,} of {data.cycles_due:,} cycles decided)"


def render(data: ReportData, summary: Summary) -> RenderableType:
    """Everything for the terminal, to be printed by a rich console."""
    parts: list[RenderableType] = [Text(verdict(data, summary)), "", _figures(data, summary)]
    if summary.markouts:
        parts += ["", _markouts(summary)]
    if data.proposals:
        parts += ["", _proposals(data, summary)]
    if any(item.stage != "refused" for item in data.stages):
        parts += ["", stages_table(data.stages)]
    for agent, history in data.regrets.items():
        parts += ["", regret_table(history, data.facts.quote, agent if data.agents else "")]
    parts += ["", _pairs("ASSUMPTIONS", grouped(data.assumptions))]
    return Group(*parts)


def grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Settings of one group, ``limits.drawdown`` and ``limits.stop_loss``, in one line; what is empty is left out."""
    lines: dict[str, list[str]] = {}
    for name, value in pairs:
        group, _, leaf = name.rpartition(".")
        if value not in ("", "[]"):
            lines.setdefault(group or leaf, []).append(f"{leaf} {value}" if group else value)
    return [(name, ", ".join(values)) for name, values in lines.items()]


def _figures(data: ReportData, summary: Summary) -> Table:
    facts = data.facts
    table = Table(title="SUMMARY METRICS", title_justify="left", title_style="bold")
    table.add_column("Metric", no_wrap=True)
    table.add_column("Value", justify="right")
    table.add_column("Rests on", style="dim", no_wrap=True)
    table.add_row("From", iso(int(data.equity_ts[0]))[:19].replace("T", " "), "")
    table.add_row("To", iso(int(data.equity_ts[-1]))[:19].replace("T", " "), duration_text(summary.samples.span_ns))
    table.add_row("Trading mode", f"{facts.mode}, {facts.symbol} on {facts.venue}", "")
    table.add_row("Strategy", facts.strategy, "")
    table.add_row("Uptime", uptime_text(data, summary), "")
    table.add_section()
    for name in ORDER:
        table.add_row(title_of(name), text_of(name, data, summary), sample_of(name, summary))
    for asset, amount in data.fees_by_asset.items():
        table.add_row(f"Fees taken in {asset}", amount, "")
    return table


def _markouts(summary: Summary) -> Table:
    table = Table(title="MARK-OUTS (basis points; negative: the market went on against the fill)", title_justify="left")
    for column in ("Fills", "After", "n", "Before fee", "After fee", "± error"):
        table.add_column(column, justify="left" if column == "Fills" else "right")
    for row in summary.markouts:
        table.add_row(
            row.group,
            f"{row.horizon_ns // SECOND} s",
            f"{row.count:,}",
            *(number_text(v) if math.isfinite(v) else "n/a" for v in markout_values(row)),
        )
    return table


def markout_values(row: object) -> tuple[float, float, float]:
    """The numbers of a mark-out row in the order of its columns."""
    return tuple(getattr(row, name) for name in ("before_fee_bp", "after_fee_bp", "error_bp"))  # type: ignore[return-value]


def _proposals(data: ReportData, summary: Summary) -> Table:
    rows = [
        ("Received", f"{len(data.proposals):,}"),
        ("Accepted", f"{summary.accepted:,}"),
        ("Refused", f"{summary.refused:,}"),
        ("Confidence came true", reliability_text(summary)),
    ]
    last = data.proposals[-1]
    rows.append(("Last", f"{last.verdict or 'open'}: {last.why}" if last.why else last.verdict or "open"))
    return _pairs("PROPOSALS", rows)


def reliability_text(summary: Summary) -> str:
    """How far confidence scores could be believed, in words."""
    found = summary.reliability
    if found is None:
        return "n/a (no outcome known yet)"
    return (
        f"Brier score {number_text(found.brier, 4)} over {found.count} outcomes (0 perfect, 0.25 a coin), "
        f"calibration error {number_text(found.calibration_error, 3)}, "
        f"{number_text(found.base_rate * 100, 0)} % came true"
    )


def _pairs(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table
