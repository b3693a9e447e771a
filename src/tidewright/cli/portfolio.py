"""``tidewright backtest`` over several tapes: options by instrument, the portfolio's table and answer."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tidewright.cli.figures_table import figures_table
from tidewright.cli.idle_lanes import notes
from tidewright.engine.backtest import BacktestResult
from tidewright.engine.portfolio import PortfolioResult
from tidewright.market.errors import UsageError
from tidewright.strategies import registry

LISTED = 20  # lanes in the table; the answer has them all


def params_by_name(
    words: Sequence[str], names: Sequence[str], parse: Callable[[list[str]], dict[str, list[float]]]
) -> dict[str, Any]:
    """Strategy parameters of ``name=value`` for all instruments and ``INSTRUMENT:name=value`` for one.

    Raises
    ------
    UsageError
        If there is no such instrument, or a parameter is given for some of them only.
    """
    found: dict[str, Any] = dict(parse([word for word in words if ":" not in word.partition("=")[0]]))
    for word in words:
        left, equals, value = word.partition("=")
        instrument, colon, name = left.rpartition(":")
        if not colon:
            continue
        if instrument not in names:
            raise UsageError(f"--set {word}: there is no instrument {instrument!r}, only {', '.join(names)}")
        common = found.get(name)
        if not isinstance(common, dict):
            found[name] = dict.fromkeys(names, common) if common is not None else {}
        found[name] |= {instrument: parse([f"{name}{equals}{value}"])[name]}
    return found


def amounts(text: str, option: str) -> str | dict[str, str]:
    """One amount, or ``USD=5000,USDT=4000``."""
    if "=" not in text:
        return text
    return _pairs(text.split(","), option)


def rates_of(words: Sequence[str]) -> dict[str, str]:
    """Rates of ``USD=1.0001``."""
    return _pairs(words, "--rate")


def _pairs(words: Sequence[str], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        asset, equals, value = word.partition("=")
        if not (asset and equals and value):
            raise UsageError(f"{option} takes ASSET=number, was {word!r}")
        found[asset] = value
    return found


def portfolio_answer(result: PortfolioResult, one: Callable[[BacktestResult], dict[str, Any]]) -> dict[str, Any]:
    """Plain values: the portfolio's, and each instrument's as if it had been alone."""

    def plain(array: Any) -> Any:
        values = [None if isinstance(v, float) and not math.isfinite(v) else v for v in array.tolist()]
        return values[0] if result.lanes == 1 else values

    holdings = [result.holdings(lane) for lane in range(result.lanes)]
    return {
        "strategy": result.strategy,
        "lanes": result.lanes,
        "quote": result.quote,
        "metrics": {name: plain(values) for name, values in result.metrics.items()},
        "statistics": {name: plain(values) for name, values in result.statistics.items()},
        "holdings": holdings[0] if result.lanes == 1 else holdings,
        "assumptions": result.assumptions,
        "instruments": {name: one(found) for name, found in result.instruments.items()},
    }


def show_portfolio(
    console: Console, result: PortfolioResult, shown: Sequence[str], cell: Callable[[str, Any], str]
) -> None:
    """A line for the portfolio and one for each instrument, lane by lane."""
    title = f"{registry.strategy(result.strategy).title} on {', '.join(result.instruments)}, in {result.quote}"
    table = figures_table(title, ["lane", "", *shown])
    table.columns[1].justify, table.columns[1].no_wrap = "left", True
    for lane in range(min(result.lanes, LISTED)):
        _row(table, str(lane), "portfolio", result.metrics, result.statistics, lane, shown, cell)
        for name, found in result.instruments.items():
            _row(table, "", name, found.metrics, found.statistics, lane, shown, cell)
    console.print(table)
    if result.lanes > LISTED:
        console.print(f"... and {result.lanes - LISTED} lanes more (--json has them all)")
    held = result.holdings(0)
    for title, key in (("cash", "cash"), ("positions", "positions"), ("net of base assets", "net_base")):
        console.print(f"{title} (lane 0): {', '.join(f'{text} {asset}' for asset, text in held[key].items())}")
    for name, found in result.instruments.items():
        for sentence in notes(found):
            console.print(f"note: {name}: {sentence}")
    facts = result.assumptions
    console.print(
        f"assumed: {facts['span']['start']} to {facts['span']['end']}; decisions: {facts['decisions']}; "
        f"cash: {facts['cash']}; limits: {facts['limits'] or 'none'}; no impact on the market"
    )
    for name, found in result.instruments.items():
        _facts(console, name, found.assumptions)
    console.print(f"ran in: {result.ran}")


def _row(
    table: Table,
    lane: str,
    name: str,
    metrics: Mapping[str, Any],
    statistics: Mapping[str, Any],
    index: int,
    shown: Sequence[str],
    cell: Callable[[str, Any], str],
) -> None:
    sources = [metrics if each in metrics else statistics for each in shown]
    table.add_row(lane, name, *(cell(each, source[each][index]) for each, source in zip(shown, sources, strict=True)))


def _facts(console: Console, name: str, facts: Mapping[str, Any]) -> None:
    tape = facts["tape"]
    console.print(
        f"{name}: fees {facts['maker_fee']:.4%} maker, {facts['taker_fee']:.4%} taker; latency "
        f"{facts['entry_latency_ms']:g} + {facts['response_latency_ms']:g} ms; queue {facts['queue']}; "
        f"detail {tape['detail_level']} ({tape['detail']}): {tape['detail_fills']}"
    )
