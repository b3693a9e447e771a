"""Performance figures: vectors, identities, the first interval, and samples too small to speak."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import DAY, SECOND
from tidewright.market.errors import UsageError
from tidewright.measure.definitions import DEFINITIONS, NO_MINIMUMS, Minimums
from tidewright.measure.figures import REQUIRED, ClosedTrades, from_equity, from_statistics

CYCLE = 30 * SECOND
SQN_LIST = [1.0, -1.0, 2.0, -1.0, 3.0, -1.0, 1.0, -1.0, 2.0, 1.0]


def trades(pnl: list[float], duration: int = SECOND) -> ClosedTrades:
    n = len(pnl)
    return ClosedTrades(np.arange(n, dtype=np.int64), np.array(pnl, np.float64), np.full(n, duration, np.int64))


def curve(values: list[float], step: int = CYCLE) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(values), dtype=np.int64) * step, np.array(values, np.float64)


def lane_statistics(values: list[float], pnl: list[float]) -> dict[str, float]:
    """One lane's sums, kept the way an engine keeps them: one step at a time."""
    s = dict.fromkeys(REQUIRED, 0.0)
    s["equity_start"] = s["equity_end"] = peak = last = values[0]
    for value in values[1:]:
        change = value / last - 1.0
        s["n_samples"] += 1
        s["sum_return"] += change
        s["sum_return_sq"] += change * change
        s["sum_downside_sq"] += min(change, 0.0) ** 2
        peak = max(peak, value)
        s["max_drawdown"] = max(s["max_drawdown"], (peak - value) / peak)
        s["equity_end"] = last = value
    for profit in pnl:
        s["n_closed"] += 1
        s["sum_closed"] += profit
        s["sum_closed_sq"] += profit * profit
        s["n_wins"] += profit > 0
        s["sum_win"] += max(profit, 0.0)
        s["sum_loss"] += min(profit, 0.0)
        s["sum_duration_ns"] += SECOND
    return s


equities = st.lists(st.floats(50.0, 200.0), min_size=3, max_size=60)
profits = st.lists(st.floats(-100.0, 100.0).map(lambda x: round(x, 6)), max_size=60)


@given(st.lists(st.tuples(equities, profits), min_size=1, max_size=4))
def test_streamed_sums_and_equity_curve_agree(lanes: list[tuple[list[float], list[float]]]) -> None:
    sums = [lane_statistics(values, pnl) for values, pnl in lanes]
    stacked = {name: np.array([lane[name] for lane in sums]) for name in REQUIRED}
    streamed = from_statistics(stacked, CYCLE, NO_MINIMUMS)
    for lane, (values, pnl) in enumerate(lanes):
        single = from_equity(*curve(values), trades(pnl), CYCLE, minimums=NO_MINIMUMS)
        assert list(single) == list(streamed) == list(DEFINITIONS)
        for name in DEFINITIONS:
            assert streamed[name][lane] == pytest.approx(single[name], rel=1e-6, abs=1e-9, nan_ok=True), name


@given(equities, profits)
def test_figures_agree_with_their_definitions(values: list[float], pnl: list[float]) -> None:
    got = from_equity(*curve(values), trades(pnl), CYCLE, minimums=NO_MINIMUMS)
    returns = [b / a - 1 for a, b in itertools.pairwise(values)]
    year = 365 * 86400 / 30
    assert math.prod(1 + r for r in returns) == pytest.approx(1 + got["total_return"])
    sd = statistics.stdev(returns)
    if sd > 1e-5:
        assert got["volatility"] == pytest.approx(sd * math.sqrt(year), rel=1e-6)
        assert got["sharpe"] == pytest.approx(statistics.fmean(returns) / sd * math.sqrt(year), rel=1e-5, abs=1e-5)
    fall = max(1 - low / high for i, high in enumerate(values) for low in values[i:])
    assert got["max_drawdown"] == pytest.approx(fall, abs=1e-12)
    if pnl:
        wins, losses = [x for x in pnl if x > 0], [x for x in pnl if x < 0]
        assert got["win_rate"] == pytest.approx(len(wins) / len(pnl))
        assert got["realised_profit"] == pytest.approx(sum(wins) + sum(losses), abs=1e-6)
        if losses and abs(sum(pnl)) > 1e-6:
            # A profit factor above 1 and a positive expectancy are the same statement.
            assert (got["profit_factor"] > 1) == (got["expectancy"] > 0) == (got["realised_profit"] > 0)


@given(equities)
def test_sign_of_the_ratios_is_the_sign_of_the_mean_return(values: list[float]) -> None:
    got = from_equity(*curve(values), trades([]), CYCLE, minimums=NO_MINIMUMS)
    mean = statistics.fmean(b / a - 1 for a, b in itertools.pairwise(values))
    if math.isfinite(got["sharpe"]) and math.isfinite(got["sortino"]) and abs(mean) > 1e-9:
        assert np.sign(got["sharpe"]) == np.sign(got["sortino"]) == np.sign(mean)


def test_a_loss_in_the_first_interval_counts() -> None:
    """The case published figures got wrong: one early loss, then small gains; the account lost money."""
    values = [1_000_000.0, 998_140.0] + [998_140.0 + 10.0 * i * (1 + i % 2) for i in range(1, 8)]
    got = from_equity(*curve(values, DAY), trades([]), DAY, minimums=NO_MINIMUMS)
    late = from_equity(*curve(values[1:], DAY), trades([]), DAY, minimums=NO_MINIMUMS)
    assert got["total_return"] < 0 and got["sharpe"] < 0 and got["sortino"] < 0
    assert late["sharpe"] > 1  # what leaving it out would claim


def test_sqn_vectors() -> None:
    got = from_equity(*curve([1.0, 1.0]), trades(SQN_LIST), CYCLE, minimums=NO_MINIMUMS)
    assert got["sqn"] == pytest.approx(1.260252, abs=5e-7)
    assert got["expectancy"] == pytest.approx(0.6)
    many = from_equity(*curve([1.0, 1.0]), trades(SQN_LIST * 40), CYCLE)
    assert many["sqn"] == pytest.approx(4.195586, abs=5e-7)
    assert many["sqn_uncapped"] == pytest.approx(8.391172, abs=5e-7)


def test_sqn_is_the_t_statistic_its_p_value_tests() -> None:
    scale = np.linspace(-1.0, 1.0, 100)
    pnl = (scale / scale.std(ddof=1) + 0.245).tolist()  # mean 0.245 sd, n 100: SQN 2.45
    got = from_equity(*curve([1.0, 1.0]), trades(pnl), CYCLE)
    assert got["sqn"] == pytest.approx(2.45)
    assert got["mean_profit_p_value"] == pytest.approx(0.0080, abs=5e-5)


def test_annualisation_is_by_365_days_and_the_cycle() -> None:
    values = [100.0 * (1.0 + 0.001 * (i % 2)) * 1.0001**i for i in range(2 * 365 + 1)]
    got = from_equity(*curve(values, DAY), trades([]), DAY)
    assert got["cagr"] == pytest.approx((values[-1] / values[0]) ** 0.5 - 1)
    assert got["calmar"] == pytest.approx(got["cagr"] / got["max_drawdown"])
    returns = np.diff(values) / np.array(values[:-1])
    assert got["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    sr = returns.mean() / returns.std(ddof=1)
    assert got["sharpe_error"] == pytest.approx(math.sqrt((1 + sr * sr / 2) / len(returns) * 365))


def test_small_samples_say_nothing() -> None:
    rng = np.random.default_rng(1)
    values = (100 * np.cumprod(1 + rng.normal(0, 0.01, 30))).tolist()
    short = from_equity(*curve(values), trades(SQN_LIST), CYCLE)  # 29 returns, 10 trades, 15 minutes
    for name in ("sharpe", "sortino", "volatility", "cagr", "calmar", "sqn", "mean_profit_p_value"):
        assert math.isnan(short[name]), name
    for name in ("total_return", "max_drawdown", "win_rate", "expectancy"):
        assert math.isfinite(short[name]), name
    longer = from_equity(*curve([*values, 100.0]), trades(SQN_LIST * 3), CYCLE)
    assert math.isfinite(longer["sharpe"]) and math.isfinite(longer["sqn"]) and math.isnan(longer["cagr"])


def test_an_unchanging_account_has_no_ratio_instead_of_infinity() -> None:
    got = from_equity(*curve([100.0] * 50), trades([0.5] * 40), CYCLE)
    assert got["total_return"] == 0 and got["max_drawdown"] == 0 and got["volatility"] == 0
    for name in ("sharpe", "sortino", "sqn", "mean_profit_p_value", "profit_factor"):
        assert math.isnan(got[name]), name


def test_constant_growth_is_not_an_enormous_sharpe() -> None:
    got = from_equity(*curve([100.0 * 1.0001**i for i in range(200)]), trades([]), CYCLE)
    assert math.isnan(got["sharpe"])


def test_an_account_that_lost_everything_has_no_ratio_but_a_return() -> None:
    got = from_equity(*curve([100.0, 10.0, -5.0, 1.0] * 20), trades([]), CYCLE)
    assert math.isnan(got["sharpe"]) and math.isnan(got["volatility"])
    assert got["total_return"] == pytest.approx(-0.99)
    assert got["max_drawdown"] == pytest.approx(1.05)


def test_activity_and_fees() -> None:
    activity = {"n_fills": 4, "n_buys": 3, "n_sells": 1, "volume_quote": 50.0, "fees_value": 0.25, "fees_base": 0.001}
    got = from_equity(*curve([100.0, 101.0]), trades([]), CYCLE, activity)
    assert (got["fills"], got["buys"], got["sells"]) == (4, 3, 1)
    assert got["turnover"] == 0.5 and got["fees"] == 0.25
    lane = {name: np.array([value]) for name, value in lane_statistics([100.0, 101.0], []).items()}
    lane["fees_base"], lane["fees_quote"] = np.array([1e-3]), np.array([0.1])
    assert math.isnan(from_statistics(lane, CYCLE)["fees"][0])  # base fees without a value are not guessed
    lane["fees_base"] = np.array([0.0])
    assert from_statistics(lane, CYCLE)["fees"][0] == 0.1


def test_minimums_can_be_chosen() -> None:
    got = from_equity(*curve([100.0, 101.0, 100.5, 102.0]), trades(SQN_LIST), CYCLE, minimums=Minimums(returns=3))
    assert math.isfinite(got["sharpe"]) and math.isnan(got["sqn"])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="sum_loss"):
        from_statistics({name: np.zeros(1) for name in REQUIRED if name != "sum_loss"}, CYCLE)
    with pytest.raises(UsageError, match="cycle must be > 0"):
        from_statistics({name: np.zeros(1) for name in REQUIRED}, 0)
    with pytest.raises(UsageError, match="must rise"):
        from_equity(np.array([0, 0], np.int64), np.array([1.0, 1.0]), trades([]), CYCLE)
    with pytest.raises(UsageError, match="as many times"):
        from_equity(np.array([0], np.int64), np.array([1.0, 1.0]), trades([]), CYCLE)


def test_every_figure_has_a_definition_fit_to_print() -> None:
    for name, definition in DEFINITIONS.items():
        assert definition.name == name and definition.title and len(definition.formula) > 8
        assert definition.unit and definition.sample
