"""``tw.backtest``: what it answers, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.engine.example import SECOND, market
from tests.engine.futures import future
from tidewright.engine.backtest import BacktestResult
from tidewright.market.codes import ASK, BID, FUNDING, PACKET_END, SNAPSHOT, TRADE_SELL
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape, columns
from tidewright.measure.definitions import DEFINITIONS
from tidewright.risk.limits import Limits

SPREADS = [0.01, 0.02, 0.05]
RULES = {"cycle": "10s", "fees": ("0.0002", "0.0005"), "latency": "50ms", "capital": "20000", "base_inventory": "0.1"}


def run(tape: Tape, **other: object) -> BacktestResult:
    return tw.backtest(tape, "grid", {"spread_percentage": SPREADS, "levels": 3}, **{**RULES, **other})


@pytest.fixture(scope="module")
def tape() -> Tape:
    return market()


@pytest.fixture(scope="module")
def result(tape: Tape) -> BacktestResult:
    return run(tape)


def test_metrics_are_arrays_over_lanes_named_as_defined(result: BacktestResult) -> None:
    assert result.lanes == 3
    assert list(result.metrics) == list(DEFINITIONS)
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in result.metrics.values())
    assert all(values.shape == (3,) for values in result.statistics.values())
    assert (result.metrics["fills"] > 0).all()
    assert len(set(result.metrics["equity_end"])) == 3


def test_parameters_are_those_that_ran_defaults_included(result: BacktestResult) -> None:
    assert result.strategy == "grid"
    assert result.params["spread_percentage"].tolist() == SPREADS
    assert result.params["levels"].tolist() == [3, 3, 3]
    assert result.params["base_quantity"].tolist() == [0.001] * 3


def test_equity_has_a_point_for_every_decision_and_the_end(result: BacktestResult, tape: Tape) -> None:
    equity = result.equity
    assert equity.columns == ["ts", "lane_0", "lane_1", "lane_2"]
    ts = equity["ts"].to_numpy()
    decisions = (tape.end_ns - tape.start_ns) // (10 * SECOND)
    assert ts[:decisions].tolist() == [tape.start_ns + k * 10 * SECOND for k in range(1, decisions + 1)]
    assert ts[-1] == tape.end_ns and len(ts) in (decisions, decisions + 1)
    assert (np.diff(ts) > 0).all()
    for lane in range(3):
        values = equity[f"lane_{lane}"]
        assert values[-1] == result.metrics["equity_end"][lane]
        assert values[0] == pytest.approx(result.metrics["equity_start"][lane], rel=1e-4), "nothing can be lost yet"
    first_mid = (result.metrics["equity_start"][0] - 20_000) / 0.1
    assert first_mid == pytest.approx(60_000, rel=0.01), "capital and inventory at the first mid"


def test_a_single_lane_has_an_equity_column_of_that_name(tape: Tape) -> None:
    single = tw.backtest(tape, params={"spread_percentage": 0.02}, cycle="30s")
    assert single.lanes == 1
    assert single.equity.columns == ["ts", "equity"]


def test_fills_sum_up_to_the_position_and_the_fees(result: BacktestResult, tape: Tape) -> None:
    for lane in range(3):
        fills = result.fills(lane)
        assert fills.columns == [
            "ts", "known_ts", "side", "price", "qty", "fee", "fee_asset", "maker", "order", "price_ticks", "qty_lots",
        ]  # fmt: skip
        sums = {name: values[lane] for name, values in result.statistics.items()}
        signed = pl.when(pl.col("side") == "buy").then(pl.col("qty_lots")).otherwise(-pl.col("qty_lots"))
        assert fills.select(signed.sum()).item() == sums["position_lots"]
        assert len(fills) == sums["n_fills"]
        assert (fills["side"] == "buy").sum() == sums["n_buys"]
        for asset, total in (("BTC", sums["fees_base"]), ("USDT", sums["fees_quote"])):
            paid = fills.filter(pl.col("fee_asset") == asset)["fee"].cast(pl.Decimal(30, 8)).sum()
            assert float(paid) == total > 0
        value = fills.select((pl.col("price").cast(pl.Float64) * pl.col("qty").cast(pl.Float64)).sum()).item()
        assert value == pytest.approx(sums["volume_quote"], rel=1e-12)
        assert fills["ts"].is_sorted()
        assert (fills["known_ts"] >= fills["ts"] + 50_000_000).all(), "known only after the answer's latency"
        assert fills["ts"].min() > tape.start_ns + 10 * SECOND + 50_000_000, "no fill before the first order arrives"
        for row in fills.head(5).iter_rows(named=True):
            assert row["price"] == tape.instrument.price_text(row["price_ticks"])
            assert row["qty"] == tape.instrument.qty_text(row["qty_lots"])
            assert row["fee_asset"] == ("BTC" if row["side"] == "buy" else "USDT")


def test_a_buys_fee_is_taken_in_base_and_a_sells_in_quote_truncated(result: BacktestResult) -> None:
    for row in result.fills(0).iter_rows(named=True):
        assert row["maker"] and 0 < row["qty_lots"] <= 100
        value = row["qty_lots"] * 1_000 if row["side"] == "buy" else row["qty_lots"] * row["price_ticks"] * 10
        assert row["fee"] == f"{value * 20_000 // 10**8 / 1e8:.8f}"


def test_a_future_is_charged_its_funding_and_the_assumptions_say_how(result: BacktestResult, tape: Tape) -> None:
    assert result.assumptions["funding"] == "none (spot)"
    linear = replace(tape.instrument, kind="linear")
    bare = run(Tape(tape.path, linear, tape.meta, tape.data))
    assert bare.assumptions["funding"] == "none: the tape has no row of funding"
    assert (bare.metrics["funding"] == 0).all()
    for marks, price in ((True, "the last mark price"), (False, "the mid, for the tape has no mark price")):
        funded = run(future(marks=marks))
        said = f"charged 4 times, for the position held at that instant, at {price}"
        assert funded.assumptions["funding"] == said
        assert (funded.metrics["funding"] != 0).all() and (
            funded.metrics["funding"] == funded.statistics["funding"]
        ).all()


def test_what_funding_costs_is_what_the_equity_lacks() -> None:
    tape = future()
    rate = tape.data.kind == FUNDING
    free = Tape(tape.path, tape.instrument, tape.meta, tape.data._replace(price=np.where(rate, 0, tape.data.price)))
    paid, unpaid = run(tape), run(free)
    lacking = unpaid.statistics["equity_end"] - paid.statistics["equity_end"]
    assert np.allclose(lacking, paid.statistics["funding"], rtol=0, atol=1e-9)
    for name in ("n_fills", "fees_value", "cash", "position_lots", "sum_closed"):
        assert (paid.statistics[name] == unpaid.statistics[name]).all()


def test_assumptions_name_everything_and_shares_sum_to_one(result: BacktestResult, tape: Tape) -> None:
    facts = result.assumptions
    assert facts["tape"]["rows"] == len(tape)
    assert facts["tape"]["symbol"] == "BTCUSDT"
    assert facts["maker_fee"] == 0.0002
    assert facts["taker_fee"] == 0.0005
    assert facts["entry_latency_ms"] == facts["response_latency_ms"] == 50
    assert facts["queue"] == "risk_averse"
    assert facts["limits"] is None
    assert (facts["capital"], facts["base_inventory"]) == ("20000", "0.1")
    assert "3 lanes" in facts["cohorts"] and "10 s" in facts["cohorts"]
    assert sum(result.shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert result.shares["whole"] > 0.99


def test_the_same_twice_is_the_same_bytes(result: BacktestResult, tape: Tape) -> None:
    again = run(tape)
    for name, values in result.statistics.items():
        assert again.statistics[name].tobytes() == values.tobytes(), name
    for name, values in result.metrics.items():
        assert again.metrics[name].tobytes() == values.tobytes(), name
    assert again.equity.equals(result.equity)
    assert all(again.fills(lane).equals(result.fills(lane)) for lane in range(3))
    assert again.assumptions == result.assumptions


@pytest.mark.parametrize(("queue", "filled"), [("risk_averse", [30]), ("prob", [30]), ("front", [50, 50])])
def test_the_queue_model_says_how_much_of_the_prints_is_left_for_an_order(
    queue: str, filled: list[int], tape: Tape
) -> None:
    start = tape.start_ns
    rows = [
        (start, 0, BID, SNAPSHOT, 5_999_000, 100),
        (start, 0, ASK, SNAPSHOT | PACKET_END, 6_001_000, 100),
        (start + 15 * SECOND, 0, TRADE_SELL, PACKET_END, 5_999_000, 50),
        (start + 16 * SECOND, 0, TRADE_SELL, PACKET_END, 5_999_000, 80),
    ]
    small = Tape(Path(), tape.instrument, tape.meta, columns(rows))
    # The first quotes lie at the touch: 6,000,000 * (1 -+ 0.03333 / 200) rounded outward.
    done = tw.backtest(small, params={"spread_percentage": 0.03333, "levels": 1}, cycle="10s", queue=queue)
    fills = done.fills(0)
    assert fills["qty_lots"].to_list() == filled
    assert set(fills["price_ticks"]) == {5_999_000}


def test_fees_latency_queue_and_limits_make_a_difference(result: BacktestResult, tape: Tape) -> None:
    free = run(tape, fees=("0", "0"))
    assert (free.metrics["fees"] == 0).all()
    assert (free.metrics["equity_end"] != result.metrics["equity_end"]).all()
    assert (run(tape, queue="front").metrics["fills"] >= result.metrics["fills"]).all()
    tight = run(tape, limits=Limits(max_position_share=0.001))
    assert tight.statistics["n_limited"].sum() > 0
    assert tight.metrics["orders"].sum() < result.metrics["orders"].sum()
    slow = run(tape, latency="5s")
    assert slow.statistics["sum_closed"].tobytes() != result.statistics["sum_closed"].tobytes()


def test_start_and_end_bound_the_decisions(tape: Tape) -> None:
    start, end = tape.start_ns + 300 * SECOND, tape.start_ns + 900 * SECOND
    part = run(tape, start=start, end=end)
    ts = part.equity["ts"].to_numpy()
    assert ts[0] == start + 10 * SECOND
    assert end - 10 * SECOND < ts[-1] <= end
    assert part.fills(0)["ts"].min() > start


def test_many_lanes_keep_no_record_unless_asked(tape: Tape) -> None:
    spreads = np.linspace(0.01, 0.1, 20)
    many = tw.backtest(tape, params={"spread_percentage": spreads}, cycle="60s")
    with pytest.raises(UsageError, match="record_equity=True"):
        _ = many.equity
    with pytest.raises(UsageError, match="record_fills=True"):
        many.fills(0)
    asked = tw.backtest(tape, params={"spread_percentage": spreads}, cycle="60s", record_fills=True)
    assert len(asked.fills(0)) == asked.statistics["n_fills"][0]
    with pytest.raises(UsageError, match=r"lane must be in 0\.\.19, was 20"):
        asked.fills(20)


def test_progress_ends_with_all_rows(tape: Tape) -> None:
    told: list[tuple[int, int]] = []
    run(tape, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(tape), len(tape))


REFUSED = {
    "unknown strategy": (("gird", {}), {}, r"unknown strategy 'gird'; did you mean 'grid'\? There are: grid"),
    "unknown parameter": (("grid", {"spred": 1}), {}, "strategy 'grid' has no parameter 'spred'"),
    "negative spread": (("grid", {"spread_percentage": -0.1}), {}, r"spread_percentage must be in \[.*\], was -0.1"),
    "spread that is no number": (("grid", {"spread_percentage": float("nan")}), {}, "spread_percentage must be in"),
    "levels in parts": (("grid", {"levels": 1.5}), {}, "levels must be a whole number, was 1.5"),
    "lengths that do not fit": (("grid", {"levels": [1, 2], "base_quantity": [1, 2, 3]}), {}, "one number or 3"),
    "unknown queue": (("grid", {}), {"queue": "fifo"}, "unknown queue model 'fifo'. There are: risk_averse"),
    "queue power": (("grid", {}), {"queue": "prob", "queue_power": 0.0}, "queue_power must be > 0 and finite, was 0"),
    "negative latency": (("grid", {}), {"latency": "-5ms"}, "a duration must be >= 0 and finite, was '-5ms'"),
    "negative answer": (("grid", {}), {"response": -1}, "a duration must be >= 0 and finite, was -1"),
    "no cycle": (("grid", {}), {"cycle": "0s"}, "cycle must be > 0, was 0"),
    "no duration": (("grid", {}), {"cycle": "soon"}, "a duration is a number with"),
    "a fee over 100 %": (("grid", {}), {"fees": ("2", "0")}, "maker fee must be within"),
    "a fee in words": (("grid", {}), {"fees": ("much", "0")}, "fee rate must be a decimal number, was 'much'"),
    "negative capital": (("grid", {}), {"capital": "-1"}, "capital must be >= 0, was -1"),
    "capital too fine": (("grid", {}), {"capital": "0.123456789"}, "capital must have at most 8 decimals"),
    "an end before the start": (("grid", {}), {"end": 5}, "end must be after the tape's start"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_run_is_refused_with_rule_and_value(tape: Tape, case: str) -> None:
    (strategy, params), other, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        tw.backtest(tape, strategy, params, **other)


def test_an_empty_tape_is_refused(tape: Tape) -> None:
    empty = Tape(Path("nothing"), tape.instrument, {**tape.meta, "rows": 0}, columns([]))
    with pytest.raises(UsageError, match="tape nothing has no rows"):
        tw.backtest(empty)


def test_an_inverse_contract_is_refused_instead_of_miscounted(tape: Tape) -> None:
    inverse = Tape(tape.path, replace(tape.instrument, kind="inverse"), tape.meta, tape.data)
    with pytest.raises(UsageError, match="spot and linear instruments"):
        tw.backtest(inverse)
