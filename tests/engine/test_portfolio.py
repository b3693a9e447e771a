"""Several instruments in one replay: the portfolio is the sum of its parts, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.engine.example import market
from tests.engine.futures import future
from tidewright.engine.backtest import BacktestResult
from tidewright.engine.portfolio import PortfolioResult
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape
from tidewright.measure.figures import from_equity
from tidewright.measure.trades import ClosedTrades
from tidewright.risk.limits import Limits

CAPTURES = Path(__file__).parents[2].parent / "shared" / "data" / "binance_spot_btc_eth"
PARAMS: dict[str, Any] = {"spread_percentage": np.array([0.01, 0.03, 0.05]), "levels": 2, "base_quantity": 0.01}
OPTIONS: dict[str, Any] = {"cycle": "5s", "latency": "20ms"}


@cache
def other(symbol: str, venue: str, seed: int = 11, quote: str = "USDT", hours: float = 0.3) -> Tape:
    """Another synthetic market under another name."""
    tape = market(hours, seed)
    base = symbol.removesuffix(quote)
    known = replace(tape.instrument, symbol=symbol, venue=venue, base=base, quote=quote, maker_fee=20_000)
    return Tape(Path(), known, {**tape.meta, "detail": "L2+trades"}, tape.data)


def all_of(found: BacktestResult | PortfolioResult) -> dict[str, bytes]:
    """Figures, sums and equity as bytes."""
    parts: dict[str, Mapping[str, np.ndarray]] = {"metric": found.metrics, "sum": found.statistics}
    told = {f"{kind} {name}": values.tobytes() for kind, part in parts.items() for name, values in part.items()}
    assert found.equity_ts is not None and found.equity_values is not None
    return {**told, "ts": found.equity_ts.tobytes(), "equity": found.equity_values.tobytes()}


@pytest.mark.parametrize("lockstep", [False, True])
@pytest.mark.parametrize("limits", [None, Limits(0.2, 0.02, 0.0005, 0.01)])
def test_a_portfolio_of_one_is_the_plain_backtest_to_the_last_bit(lockstep: bool, limits: Limits | None) -> None:
    tape = market(0.3)
    options = {**OPTIONS, "limits": limits, "base_inventory": "0.5"}
    plain = tw.backtest(tape, "grid", PARAMS, **options)
    assert (plain.statistics["n_fills"] > 0).all()
    found = tw.backtest([tape], "grid", PARAMS, lockstep=lockstep, **options)
    same = {name: value for name, value in all_of(found).items() if name in all_of(plain)}
    assert {name for name, value in same.items() if all_of(plain)[name] != value} == set()
    assert all_of(plain) == all_of(found.instruments["BTCUSDT"])
    for lane in range(3):
        assert plain.fills(lane).equals(found.instruments["BTCUSDT"].fills(lane))


@pytest.mark.parametrize("lockstep", [False, True])
def test_funding_of_a_portfolio_is_that_of_its_futures(lockstep: bool) -> None:
    plain = tw.backtest(future(), "grid", PARAMS, **OPTIONS)
    assert (plain.statistics["funding_units"] != 0).all()
    alone = tw.backtest([future()], "grid", PARAMS, lockstep=lockstep, **OPTIONS)
    same = {name: value for name, value in all_of(alone).items() if name in all_of(plain)}
    assert {name for name, value in same.items() if all_of(plain)[name] != value} == set()
    found = tw.backtest([future(), other("ETHUSDT", "synthetic")], "grid", PARAMS, lockstep=lockstep, **OPTIONS)
    assert found.metrics["funding"].tolist() == found.instruments["BTCUSDT"].metrics["funding"].tolist()
    for lane in range(3):
        sums = [(known.instrument.quote_units, known.statistics) for known in found.instruments.values()]
        fills = sum(int(part["cash"][lane]) * money - int(part["fee_quote_units"][lane]) for money, part in sums)
        funding = sum(int(part["funding_units"][lane]) for _, part in sums)
        assert found.account(lane).cash["USDT"] == 10_000 * UNIT + fills - funding


@pytest.mark.parametrize("lockstep", [False, True])
def test_the_order_of_tapes_and_the_number_of_threads_do_not_matter(lockstep: bool) -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic"), other("ETHUSDT", "elsewhere", 5)]
    one = tw.backtest(tapes, "grid", PARAMS, lockstep=lockstep, **OPTIONS)
    two = tw.backtest(tapes[::-1], "grid", PARAMS, lockstep=lockstep, threads=2, **OPTIONS)
    assert list(one.instruments) == list(two.instruments) == ["BTCUSDT", "elsewhere:ETHUSDT", "synthetic:ETHUSDT"]
    assert all_of(one) == all_of(two)
    assert one.fills(1).equals(two.fills(1))


def test_deciding_together_changes_nothing_where_nothing_couples() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic")]
    apart = tw.backtest(tapes, "grid", PARAMS, **OPTIONS)
    along = tw.backtest(tapes, "grid", PARAMS, lockstep=True, **OPTIONS)
    assert all_of(apart) == all_of(along)
    for name, found in apart.instruments.items():
        assert all_of(found) == all_of(along.instruments[name])


def test_the_sum_of_the_parts_is_the_whole_to_the_unit() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic"), other("BTCUSDT", "elsewhere", 5)]
    found = tw.backtest(tapes, "grid", PARAMS, base_inventory="0.25", **OPTIONS)
    alone = {name: one.fills(lane=0) for name, one in found.instruments.items()}
    for lane in range(found.lanes):
        account = found.account(lane)
        cash, base = Fraction(10_000 * UNIT), {"BTC": Fraction(0), "ETH": Fraction(0)}
        for name, one in found.instruments.items():
            known = one.instrument
            base[known.base] += Fraction(25_000_000)
            for row in one.fills(lane).iter_rows(named=True):  # the reference: add up by hand
                sign = 1 if row["side"] == "buy" else -1
                base[known.base] += sign * Fraction(row["qty"]) * UNIT
                cash -= sign * Fraction(row["qty"]) * Fraction(row["price"]) * UNIT
                fee = Fraction(row["fee"]) * UNIT
                if row["fee_asset"] == known.base:
                    base[known.base] -= fee
                else:
                    cash -= fee
            assert account.positions[name] == int(one.statistics["position_lots"][lane])
        assert account.cash == {"USDT": cash}
        assert account.base == {name: int(units) for name, units in base.items()}, "BTC nets over both venues"
    assert sum(map(len, alone.values())) == len(found.fills(0)) > 0


def test_portfolio_equity_is_capital_and_what_each_instrument_made() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic")]
    found = tw.backtest(tapes, "grid", PARAMS, **OPTIONS)
    made = [one.equity_values - 10_000.0 for one in found.instruments.values() if one.equity_values is not None]
    np.testing.assert_allclose(found.equity_values, 10_000.0 + sum(made), rtol=1e-14)
    for lane in range(found.lanes):
        curve = np.concatenate(([10_000.0], found.equity_values[:, lane]))
        ts = np.concatenate(([found.equity_ts[0] - 5_000_000_000], found.equity_ts))
        slow = from_equity(ts, curve, ClosedTrades.none(), 5_000_000_000)
        for name in ("total_return", "volatility", "sharpe", "sortino", "max_drawdown"):
            assert found.metrics[name][lane] == pytest.approx(slow[name], rel=1e-9, nan_ok=True), name
    for name in ("fills", "orders", "volume_quote", "fees", "closed_trades", "realised_profit"):
        parts = sum(one.metrics[name] for one in found.instruments.values())
        np.testing.assert_allclose(found.metrics[name], parts, rtol=1e-13, err_msg=name)


def test_each_instrument_lives_as_it_would_alone_over_the_common_span() -> None:
    short = other("ETHUSDT", "synthetic", hours=0.2)
    found = tw.backtest([market(0.3), short], "grid", PARAMS, **OPTIONS)
    start = max(market(0.3).start_ns, short.start_ns)
    for tape, name in ((market(0.3), "BTCUSDT"), (short, "ETHUSDT")):
        alone = tw.backtest(tape, "grid", PARAMS, start=start, end=short.end_ns, **OPTIONS)
        assert alone.fills(0).equals(found.instruments[name].fills(0))
    assert found.assumptions["rows_after_the_span"]["BTCUSDT"] > 0
    assert found.assumptions["rows_after_the_span"]["ETHUSDT"] == 0


def test_parameters_fees_and_latency_may_differ_by_instrument() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic")]
    found = tw.backtest(
        tapes,
        "grid",
        {**PARAMS, "base_quantity": {"BTCUSDT": 0.01, "ETHUSDT": [0.01, 0.02, 0.03]}},
        fees={"BTCUSDT": ("0", "0"), "ETHUSDT": None},
        latency={"BTCUSDT": "20ms", "ETHUSDT": "1s"},
        cycle="5s",
    )
    btc, eth = found.instruments["BTCUSDT"], found.instruments["ETHUSDT"]
    assert btc.params["base_quantity"].tolist() == [0.01] * 3
    assert eth.params["base_quantity"].tolist() == [0.01, 0.02, 0.03]
    assert btc.assumptions["maker_fee"] == 0.0 and eth.assumptions["maker_fee"] == 0.0002
    assert (btc.assumptions["entry_latency_ms"], eth.assumptions["entry_latency_ms"]) == (20.0, 1000.0)


def test_a_loss_in_one_instrument_halts_the_others() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic")]
    params = {**PARAMS, "base_quantity": {"BTCUSDT": 0.2, "ETHUSDT": 0.0001}}
    loose, tight = Limits(None, None, 0.9, None), Limits(None, None, 0.0001, None)
    calm = tw.backtest(tapes, "grid", params, limits=loose, **OPTIONS)
    halted = tw.backtest(tapes, "grid", params, limits=tight, **OPTIONS)
    fell = calm.equity_values.min(axis=0) < 10_000.0 * (1 - 0.0001)
    own = calm.instruments["ETHUSDT"].equity_values
    assert own is not None and fell.all() and (own.min(axis=0) > 10_000.0 * (1 - 0.0001)).all()
    for lane in range(3):
        eth = [each.instruments["ETHUSDT"].fills(lane) for each in (calm, halted)]
        below = halted.equity_values[:, lane] < 10_000.0 * (1 - 0.0001)
        first = int(halted.equity_ts[np.argmax(below)])
        before = pl.col("ts") <= first
        assert eth[0].filter(before).equals(eth[1].filter(before)), "as without the limit until then"
        assert len(eth[1]) < len(eth[0]), "then it stands still, although it lost nothing itself"


def test_the_position_limit_measures_against_the_whole_portfolio() -> None:
    tapes = [market(0.3), other("ETHUSDT", "synthetic")]
    limits = Limits(0.05, None, None, None)
    free = tw.backtest(tapes, "grid", PARAMS, capital="20000", **OPTIONS)
    found = tw.backtest(tapes, "grid", PARAMS, limits=limits, capital="20000", **OPTIONS)
    assert found.assumptions["limits"] == "against the equity of the portfolio"
    for name, one in found.instruments.items():
        assert (one.statistics["n_limited"] > 0).all(), name
        least = free.instruments[name].statistics["max_abs_position_lots"]
        assert (one.statistics["max_abs_position_lots"] < least).any(), name


def test_a_strategy_sees_the_mid_of_another_instrument(tmp_path: Path) -> None:
    file = tmp_path / "lead.py"
    file.write_text(
        "import tidewright as tw\n"
        "@tw.strategy(parameters=[tw.Parameter('leader', 0.0, 0.0, 1e9, 0.0, 0.0, 'a mid'), tw.BASE_QUANTITY])\n"
        "def lead(view, params, quotes):\n"
        "    if params.leader <= 0.0:\n"
        "        return 0, 0\n"
        "    quotes.bid_price[0] = int(params.leader / view.tick) - 2000\n"
        "    quotes.bid_qty[0] = 10\n"
        "    return 1, 0\n"
    )
    tapes = [market(0.05), other("ETHUSDT", "synthetic", 7, hours=0.05)]  # the same market under two names
    blind = tw.backtest(tapes, f"{file}:lead", {}, **OPTIONS)
    seeing = tw.backtest(tapes, f"{file}:lead", {}, observe={"leader": "ETHUSDT"}, **OPTIONS)
    assert blind.statistics["n_orders"].tolist() == [0]
    assert (seeing.statistics["n_orders"] > 0).all()


def test_two_quote_assets_need_a_rate() -> None:
    tapes = [market(0.2), other("ETHUSD", "synthetic", quote="USD")]
    with pytest.raises(UsageError, match=r"quoted in USD, USDT.*rates="):
        tw.backtest(tapes, "grid", PARAMS, capital={"USDT": "5000", "USD": "4000"}, **OPTIONS)
    with pytest.raises(UsageError, match="capital must be given by quote asset"):
        tw.backtest(tapes, "grid", PARAMS, rates={"USD": "1.25"}, **OPTIONS)
    found = tw.backtest(
        tapes, "grid", PARAMS, rates={"USD": "1.25"}, capital={"USDT": "5000", "USD": "4000"}, **OPTIONS
    )
    assert found.quote == "USDT" and found.statistics["equity_start"].tolist() == [10_000.0] * 3
    made = {name: one.equity_values for name, one in found.instruments.items()}
    np.testing.assert_allclose(found.equity_values, made["BTCUSDT"] + 1.25 * made["ETHUSD"], rtol=1e-14)
    assert set(found.holdings()["cash"]) == {"USD", "USDT"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"params": {"base_quantity": {"BTCUSDT": 1}}}, "parameter base_quantity lacks 'ETHUSDT'"),
        ({"latency": {"BTCUSDT": "1s", "ETHUSDT": "1s", "XRP": "1s"}}, "latency has 'XRP'"),
        ({"check_balance": True}, "check_balance is for one instrument"),
        ({"rates": {"EUR": "1"}}, "there is a rate for EUR"),
        ({"observe": {"leader": "ETHUSDT"}}, "no parameter 'leader'"),
        ({"limits": Limits(), "ray": "local"}, "threads instead of ray"),
        ({"end": 5}, "end must be after the tape's start"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tw.backtest([market(0.3), other("ETHUSDT", "synthetic")], "grid", **options)


def test_tapes_of_one_instrument_or_without_common_time_are_refused() -> None:
    with pytest.raises(UsageError, match="two tapes are of BTCUSDT"):
        tw.backtest([market(0.3), market(0.3)], "grid")
    tape = other("ETHUSDT", "synthetic")
    late = tape.data._replace(ts=tape.data.ts + 10**15, ts_local=tape.data.ts_local + 10**15)
    with pytest.raises(UsageError, match="must share some time"):
        tw.backtest([market(0.3), Tape(Path(), tape.instrument, tape.meta, late)], "grid")
    with pytest.raises(UsageError, match="at least one tape"):
        tw.backtest([], "grid")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded markets are not here")
def test_bitcoin_and_ether_as_recorded_are_one_portfolio(tmp_path: Path) -> None:
    from tidewright.market.importers.binance_raw import import_binance_raw

    tapes = []
    for symbol in ("btcusdt", "ethusdt"):
        import_binance_raw(sorted(CAPTURES.glob(f"{symbol}_*.gz")), tmp_path / symbol)
        tapes.append(Tape.open(tmp_path / symbol))
    params = {"spread_percentage": [0.01, 0.02], "levels": 2, "base_quantity": {"BTCUSDT": 0.001, "ETHUSDT": 0.02}}
    options: dict[str, Any] = {"cycle": "1s", "latency": "10ms", "capital": "100000"}
    apart = tw.backtest(tapes, "grid", params, **options)
    along = tw.backtest(tapes, "grid", params, lockstep=True, **options)
    assert all_of(apart) == all_of(along)
    assert all((one.statistics["n_fills"] > 10).all() for one in apart.instruments.values())
    for lane in range(2):
        held, cash = apart.account(lane), Fraction(100_000 * UNIT)
        for one in apart.instruments.values():
            for row in one.fills(lane).iter_rows(named=True):
                sign = 1 if row["side"] == "buy" else -1
                cash -= sign * Fraction(row["qty"]) * Fraction(row["price"]) * UNIT
                cash -= Fraction(row["fee"]) * UNIT if row["fee_asset"] == "USDT" else 0
        assert held.cash == {"USDT": cash}
