"""The report: its numbers, its table, its JSON and its page."""

import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.console import Console

from tests.measure.example import CYCLE, START, example
from tidewright.market.errors import UsageError
from tidewright.measure.charts import thin
from tidewright.measure.mids import MidSeries
from tidewright.measure.report import Proposal, ReportData, summarise, to_json
from tidewright.measure.report_page import page, write_page
from tidewright.measure.report_table import ORDER, grouped, render, text_of, verdict
from tidewright.measure.trades import Fills


@pytest.fixture(scope="module")
def data() -> ReportData:
    return example(hours=6.0)


def printed(data: ReportData) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(render(data, summarise(data)))
    return console.file.getvalue()  # type: ignore[attr-defined]


def empty() -> ReportData:
    """A session that just began: one equity point, nothing done."""
    full = example(hours=1.0)
    return replace(
        full,
        equity_ts=full.equity_ts[:1],
        equity=full.equity[:1],
        position=full.position[:1],
        untouched=None,
        fills=Fills.none(),
        orders=0,
        cancels=0,
        rejects=0,
        cycles=0,
        cycles_due=0,
        proposals=(),
        mids=None,
    )


def test_the_parts_add_up(data: ReportData) -> None:
    got = summarise(data)
    fills = data.fills
    cash = -float(np.sum(fills.signed_qty * fills.price + fills.fee))
    held = float(np.sum(fills.signed_qty))
    assert got.figures["fills"] == got.figures["buys"] + got.figures["sells"] == len(fills)
    assert got.extras["absolute_profit"] == pytest.approx(data.equity[-1] - data.equity[0])
    assert data.untouched is not None
    moved = float(data.untouched[-1] - data.untouched[0])
    assert got.extras["trading_profit"] == pytest.approx(got.extras["absolute_profit"] - moved)
    # Realised profit less the cost of what is still held is the cash flow of the fills.
    still_held_cost = got.figures["realised_profit"] - cash
    assert still_held_cost / held == pytest.approx(60_000, rel=0.05)
    assert got.extras["absolute_drawdown"] <= got.extras["max_balance"] - got.extras["min_balance"] + 1e-9
    assert got.accepted + got.refused == len(data.proposals)
    assert got.uptime == pytest.approx(data.cycles / (len(data.equity) - 1))
    assert [row.group for row in got.markouts] == ["maker"] * 3 + ["taker"] * 3


def test_time_in_position_is_the_share_of_the_span_with_a_position() -> None:
    base = example(hours=1.0)
    second = 1_000_000_000
    fills = Fills(
        START + np.array([600, 1500]) * second,
        np.array([0, 1], np.uint8),
        np.array([100.0, 101.0]),
        np.array([0.3, 0.3]),
        np.array([True, True]),
        np.zeros(2),
    )
    got = summarise(replace(base, fills=fills))
    span = (len(base.equity) - 1) * CYCLE
    assert got.figures["time_in_position"] == pytest.approx(900 * second / span)
    held = summarise(replace(base, fills=replace_first(fills)))
    assert held.figures["time_in_position"] == pytest.approx(1 - 600 * second / span)


def replace_first(fills: Fills) -> Fills:
    return Fills(*(getattr(fills, name)[:1] for name in ("ts", "side", "price", "qty", "maker", "fee")))


def test_json_is_plain_and_says_why_a_figure_is_missing(data: ReportData) -> None:
    summary = summarise(data)
    got = json.loads(orjson.dumps(to_json(data, summary)))
    assert got["figures"]["cagr"] is None and got["unknown"]["cagr"] == "6 h, needs 30 days"
    assert got["figures"]["sharpe"] == summary.figures["sharpe"]
    assert set(got["unknown"]) == {name for name, value in got["figures"].items() if value is None}
    assert got["samples"]["returns"] == len(data.equity) - 1
    assert set(got["definitions"]) == set(got["figures"])
    assert got["proposals"]["reliability"]["count"] == sum(p.outcome is not None for p in data.proposals)
    assert got["session"]["from"] == "2026-02-02T02:40:00.000Z"


def test_table_bears_the_usual_names(data: ReportData) -> None:
    text = printed(data)
    for name in (
        "SUMMARY METRICS",
        "Starting balance",
        "Absolute profit",
        "Total profit %",
        "CAGR %",
        "Sharpe",
        "Sortino",
    ):
        assert name in text
    for name in (
        "SQN",
        "Mean profit p-value",
        "Profit factor",
        "Expectancy",
        "Win rate",
        "Avg. duration",
        "Uptime",
        "Fees",
    ):
        assert name in text
    assert "n/a (6 h, needs 30 days)" in text and "MARK-OUTS" in text and "Brier score" in text
    assert "maker 0.01 %, taker 0.05 %" in text


def test_settings_of_a_group_are_one_line_of_the_table() -> None:
    pairs = [("Fees", "0.1 %"), ("limits.stop_loss", "0.02"), ("agents.keys", ""), ("limits.drawdown", "none")]
    assert grouped([*pairs, ("x.y.z", "1")]) == [
        ("Fees", "0.1 %"),
        ("limits", "stop_loss 0.02, drawdown none"),
        ("x.y", "z 1"),
    ]


def test_every_figure_is_in_the_table(data: ReportData) -> None:
    summary = summarise(data)
    shown = set(ORDER)
    hidden = set(summary.figures) - shown
    assert hidden == {"sqn_uncapped"}  # the p-value says the same
    assert shown <= set(summary.figures) | set(summary.extras)


def test_a_session_that_did_nothing_still_reports() -> None:
    data = empty()
    summary = summarise(data)
    assert math.isnan(summary.uptime) and summary.markouts == [] and summary.reliability is None
    assert text_of("sharpe", data, summary) == "n/a (0 returns, needs 30)"
    assert text_of("win_rate", data, summary) == "n/a (0 closed trades, needs 1)"
    assert "Neither gained nor lost" in verdict(data, summary)
    assert "no cycle was due yet" in printed(data)
    assert "<h1>" in page(data, summary)
    orjson.dumps(to_json(data, summary))


def test_the_verdict_doubts_a_sharpe_ratio_within_two_errors() -> None:
    data = example(hours=1.0, seed=3)
    summary = summarise(data)
    short = summary.figures | {"sharpe": 10.0, "sharpe_error": 8.0}
    assert "too short a time" in verdict(data, replace(summary, figures=short))
    long = summary.figures | {"sharpe": 10.0, "sharpe_error": 1.0}
    assert "too short a time" not in verdict(data, replace(summary, figures=long))


class Reader(HTMLParser):
    """Collects ids, links to other places, script bodies and whether tags are closed."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.figures = ""
        self._in_figures = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.outside += [str(given[name]) for name in ("src", "href") if given.get(name)]
        if given.get("id"):
            self.ids.add(str(given["id"]))
        self._in_figures = given.get("id") == "figures"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._in_figures = False

    def handle_data(self, data: str) -> None:
        if self._in_figures:
            self.figures += data


def test_page_is_whole_and_needs_no_network(data: ReportData) -> None:
    summary = summarise(data)
    text = page(data, summary)
    reader = Reader()
    reader.feed(text)
    assert reader.open == [] and reader.outside == []
    figures = json.loads(reader.figures.replace("<\\/", "</"))
    names = {"equity", "trading", "drawdown", "inventory", "price", "confidence", "markouts", "reliability"}
    assert set(figures) == names
    assert figures["trading"]["data"][0]["y"][-1] == pytest.approx(summary.extras["trading_profit"], abs=1e-6)
    assert set(figures) <= reader.ids
    assert len(figures["equity"]["layout"]["shapes"]) == len(data.proposals)
    assert [trace["name"] for trace in figures["equity"]["data"]] == ["starting balances, left alone", "equity"]
    assert figures["equity"]["data"][1]["y"][-1] == pytest.approx(float(data.equity[-1]), abs=1e-6)
    assert [trace["name"] for trace in figures["price"]["data"]] == ["mid", "buy", "sell"]
    assert "&lt;seed 1&gt; &amp; depth" in text and "<seed 1>" not in text


def test_text_from_outside_cannot_leave_its_place(data: ReportData) -> None:
    hostile = "</script><script>alert(1)</script>"
    item = Proposal(START + CYCLE, hostile, 0.5, "refused", hostile, {hostile: 1.0})
    bad = replace(data, proposals=(item,), assumptions=((hostile, hostile),))
    text = page(bad, summarise(bad))
    assert hostile not in text


def test_a_proposal_shows_where_its_difference_should_lie(data: ReportData) -> None:
    ranged = replace(data.proposals[-1], ahead=(-1.25, 3.5, 0.9))
    endless = replace(data.proposals[0], ahead=(-math.inf, 2.0, 0.9))
    shown = replace(data, proposals=(endless, *data.proposals[1:-1], ranged))
    text = page(shown, summarise(shown))
    assert "\u22121.250 to 3.500 (90 %)" in text and "? to 2.000 (90 %)" in text


def test_page_is_written_whole_or_not_at_all(tmp_path: Path, data: ReportData) -> None:
    summary = summarise(data)
    target = write_page(tmp_path / "sub" / "report.html", data, summary)
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    before = target.read_bytes()
    broken = replace(data, mids=MidSeries(np.zeros(0, np.int64), np.zeros(0), 0), assumptions=(("x", 5),))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_page(target, broken, summary)
    assert target.read_bytes() == before and [p.name for p in target.parent.iterdir()] == ["report.html"]


def test_thinning_keeps_the_extremes_and_the_ends() -> None:
    ts = np.arange(100_000, dtype=np.int64)
    values = np.sin(ts / 5_000.0)
    values[77_777], values[12_345] = 9.0, -9.0
    kept, line = thin(ts, values, 500)
    assert len(kept) <= 502 and kept[0] == 0 and kept[-1] == 99_999
    assert line.max() == 9.0 and line.min() == -9.0 and bool(np.all(np.diff(kept) > 0))
    same_ts, same = thin(ts[:100], values[:100], 500)
    assert same is not None and len(same_ts) == 100


def test_many_fills_are_thinned_and_said_so(data: ReportData) -> None:
    count = 12_001
    fills = Fills(
        START + np.arange(count, dtype=np.int64) * 1_000_000_000,
        np.zeros(count, np.uint8),
        np.full(count, 100.0),
        np.full(count, 0.001),
        np.ones(count, np.bool_),
        np.zeros(count),
    )
    full = replace(data, fills=fills)
    assert "buy (1 of 3)" in page(full, summarise(full))


def test_unmatched_series_are_refused(data: ReportData) -> None:
    with pytest.raises(UsageError, match="untouched balances"):
        replace(data, untouched=data.equity[:-1])
    with pytest.raises(UsageError, match="same times"):
        replace(data, position=data.position[:-1])
