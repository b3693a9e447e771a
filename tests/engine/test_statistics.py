"""The streamed sums are those of the recorded equity and fills."""

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.engine.example import SECOND, market
from tidewright.engine.backtest import BacktestResult
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import BUY, SELL
from tidewright.measure.definitions import DEFINITIONS, Minimums
from tidewright.measure.figures import ClosedTrades, closed_statistics, equity_statistics, from_equity, from_statistics
from tidewright.measure.trades import Fills, closed_trades, fill_activity

CYCLE = 10 * SECOND
RUNS = {
    "grid": ("grid", {"spread_percentage": [0.005, 0.02, 0.06], "levels": 2, "base_quantity": [0.002, 0.3, 0.001]}, {}),
    "avellaneda": (
        "avellaneda_stoikov",
        {"gamma": [0.002, 0.05], "kappa": 1.0, "max_position": 0.5},
        {"queue": "prob"},
    ),
    "with inventory and rebate": (
        "grid",
        {"spread_percentage": [0.01, 0.03]},
        {"base_inventory": "0.5", "fees": ("-0.0001", "0.0004"), "latency": "2s"},
    ),
}


@pytest.fixture(scope="module", params=RUNS)
def result(request: pytest.FixtureRequest) -> BacktestResult:
    strategy, params, other = RUNS[request.param]
    rules = {"cycle": CYCLE / 1e9, "fees": ("0.0002", "0.0004"), "capital": "50000", **other}
    return tw.backtest(market(), strategy, params, **rules)


def fills_of(result: BacktestResult, lane: int) -> Fills:
    rows = result.fills(lane)
    price = rows["price"].cast(pl.Float64).to_numpy()
    fee = rows["fee"].cast(pl.Float64).to_numpy()
    return Fills(
        ts=rows["ts"].to_numpy(),
        side=np.where(rows["side"].to_numpy() == "sell", SELL, BUY).astype(np.uint8),
        price=price,
        qty=rows["qty"].cast(pl.Float64).to_numpy(),
        maker=rows["maker"].to_numpy(),
        fee=np.where(rows["fee_asset"].to_numpy() == result.instrument.base, fee * price, fee),
    )


def curve_of(result: BacktestResult, lane: int) -> tuple[np.ndarray, np.ndarray]:
    """The recorded curve behind the capital it started from."""
    start = market().start_ns
    values = result.equity_values[:, lane]
    return np.concatenate([[start], result.equity_ts]), np.concatenate([[result.metrics["equity_start"][lane]], values])


def closed_of(result: BacktestResult, lane: int) -> ClosedTrades:
    return closed_trades(fills_of(result, lane))


def test_returns_and_drawdown_are_those_of_the_recorded_equity(result: BacktestResult) -> None:
    for lane in range(result.lanes):
        streamed = {name: values[lane] for name, values in result.statistics.items()}
        again = equity_statistics(*curve_of(result, lane))
        for name in ("n_samples", "equity_start", "equity_end", "span_ns"):
            assert streamed[name] == again[name], name
        assert streamed["max_drawdown"] == again["max_drawdown"] > 0
        for name in ("sum_return", "sum_return_sq", "sum_downside_sq"):
            assert streamed[name] == pytest.approx(float(again[name]), rel=1e-9, abs=1e-13), name


def test_closed_trades_are_those_of_the_recorded_fills(result: BacktestResult) -> None:
    for lane in range(result.lanes):
        streamed = {name: values[lane] for name, values in result.statistics.items()}
        closed = closed_of(result, lane)
        again = closed_statistics(closed)
        assert streamed["n_closed"] == again["n_closed"] > 3
        assert streamed["n_wins"] == again["n_wins"]
        for name in ("sum_closed", "sum_closed_sq", "sum_win", "sum_loss"):
            assert streamed[name] == pytest.approx(float(again[name]), rel=1e-7, abs=1e-9), name
        # Each duration is rounded to whole nanoseconds, from another origin.
        assert streamed["sum_duration_ns"] == pytest.approx(
            float(again["sum_duration_ns"]), abs=1_000 * len(closed.pnl)
        )


def test_figures_are_those_of_the_recorded_equity_and_fills(result: BacktestResult) -> None:
    few = Minimums(returns=2, closed_trades=2, trades_described=1, days=0)
    streamed = from_statistics(result.statistics, CYCLE, few)
    taken_over = ("n_orders", "n_cancels", "n_rejects", "fees_base", "fees_quote")
    elsewhere = ("max_abs_position_lots", "time_in_position_ns")  # recomputed in the next test
    for lane in range(result.lanes):
        activity = fill_activity(fills_of(result, lane))
        activity |= {name: float(result.statistics[name][lane]) for name in taken_over + elsewhere}
        again = from_equity(*curve_of(result, lane), closed_of(result, lane), CYCLE, activity, few)
        assert not np.isnan(again["sharpe"]) and not np.isnan(again["sqn"])
        for name in DEFINITIONS:
            assert streamed[name][lane] == pytest.approx(again[name], rel=1e-6, abs=1e-9, nan_ok=True), name


def test_position_and_the_time_in_it_are_those_of_the_fills(result: BacktestResult) -> None:
    end = market().end_ns
    for lane in range(result.lanes):
        rows = result.fills(lane)
        signed = np.where(rows["side"].to_numpy() == "buy", 1, -1) * rows["qty_lots"].to_numpy()
        position = np.cumsum(signed)
        held = np.diff(np.append(rows["ts"].to_numpy(), end))
        assert result.statistics["position_lots"][lane] == position[-1]
        assert result.statistics["max_abs_position_lots"][lane] == np.abs(position).max()
        assert result.statistics["time_in_position_ns"][lane] == held[position != 0].sum()


def test_the_final_equity_is_the_account_at_the_last_mid(result: BacktestResult) -> None:
    for lane in range(result.lanes):
        rows = result.fills(lane)
        buys = rows["side"].to_numpy() == "buy"
        qty, price = rows["qty_lots"].to_numpy().astype(object), rows["price_ticks"].to_numpy().astype(object)
        cash = -sum(np.where(buys, qty, -qty) * price) * 10  # 1e-8 USDT a tick*lot
        fees = rows["fee"].cast(pl.Decimal(30, 8)).to_numpy().astype(object) * 10**8
        paid = sum(fees[~buys])
        base = sum(np.where(buys, qty, -qty)) * 1_000 - sum(fees[buys])
        facts = result.assumptions
        base += round(float(facts["base_inventory"]) * 10**8)
        quote = round(float(facts["capital"]) * 10**8) + cash - paid
        mid = (float(result.metrics["equity_end"][lane]) * 1e8 - float(quote)) / float(base)
        assert mid == pytest.approx(last_mid(), rel=1e-9)


def last_mid() -> float:
    """From a plain replay of the tape's levels."""
    data = market().data
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for kind, price, qty in zip(data.kind.tolist(), data.price.tolist(), data.qty.tolist(), strict=True):
        if kind <= 1:
            sides[kind][price] = qty
    best_bid = max(price for price, qty in sides[0].items() if qty)
    best_ask = min(price for price, qty in sides[1].items() if qty)
    return (best_bid + best_ask) / 2 * 0.01


def test_reading_the_sums_on_the_way_changes_nothing() -> None:
    data = market().data
    config = ReplayConfig(cycle_ns=CYCLE, record_equity=1)
    quiet, asked = (
        Replay(market().instrument, config, "grid", {"spread_percentage": [0.01, 0.03]}, quote_units=10**12)
        for _ in range(2)
    )
    ends = np.flatnonzero(data.flags & 1) + 1
    row = 0
    for end in [*ends[:: len(ends) // 9].tolist(), len(data.ts)]:
        quiet.feed(data.rows(row, end))
        asked.feed(data.rows(row, end))
        row = end
        sums = asked.statistics()
        points = asked.equity()[1]
        assert (sums["n_samples"] == len(points)).all()
        if len(points):
            assert sums["equity_end"].tolist() == points[-1].tolist()
    quiet.finish()
    asked.finish()
    for name, values in quiet.statistics().items():
        assert asked.statistics()[name].tobytes() == values.tobytes(), name
