"""Limits over all instruments, asked before an order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market.clock import DAY, HOUR
from tidewright.market.errors import UsageError
from tidewright.risk.liquidity import Levels, Liquidity
from tidewright.risk.portfolio import Portfolio, PortfolioLimits, allowed, tail, uses

NAMES = ("BTC", "ETH", "GOLD")
THIN = Liquidity(
    100.0, 0.02, 100.0, Levels(np.array([99.9]), np.array([1.0])), Levels(np.array([100.1]), np.array([1.0]))
)


def returns(seed: int = 1, count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    market, own = rng.standard_normal(count), rng.standard_normal((count, 3))
    return np.column_stack([market + 0.2 * own[:, 0], market + 0.2 * own[:, 1], own[:, 2]]) * 0.001


def held(*exposures: float, equity: float = 10_000.0, **more) -> Portfolio:
    return Portfolio(NAMES, np.array(exposures), equity, returns(), HOUR, **more)


def measured(portfolio: Portfolio, limits: PortfolioLimits) -> dict[str, float]:
    return {use.name: use.value for use in uses(portfolio, limits)}


def test_a_hedge_has_less_risk_than_either_side() -> None:
    limits = PortfolioLimits()
    alone, hedged = tail(held(1000, 0, 0), limits), tail(held(1000, -1000, 0), limits)
    assert hedged.value_at_risk < 0.5 * alone.value_at_risk
    assert alone.value_at_risk == pytest.approx(0.1 * 0.00102 * 2.33 * math.sqrt(24), rel=0.35)


def test_the_order_that_would_pass_the_var_limit_is_cut_to_what_fits() -> None:
    limits = PortfolioLimits(value_at_risk=0.002)
    part, why = allowed(held(0, 0, 0), "BTC", 5_000.0, limits)
    assert why == "value_at_risk" and 0 < part < 5_000
    assert measured(held(part, 0, 0), limits)["value_at_risk"] <= 0.002
    assert measured(held(part * 1.001, 0, 0), limits)["value_at_risk"] > 0.002
    assert allowed(held(0, 0, 0), "BTC", part * 0.5, limits) == (part * 0.5, "")


def test_an_order_that_hedges_or_reduces_passes_even_beyond_the_limit() -> None:
    limits = PortfolioLimits(value_at_risk=0.002)
    assert allowed(held(9_000, 0, 0), "BTC", -4_000.0, limits) == (-4_000.0, "")
    assert allowed(held(9_000, 0, 0), "ETH", -4_000.0, limits) == (-4_000.0, "")
    assert allowed(held(9_000, 0, 0), "BTC", 1.0, limits)[1] == "value_at_risk"


def test_what_moves_as_one_is_limited_together_and_what_does_not_is_not() -> None:
    limits = PortfolioLimits(correlated=0.3)
    assert measured(held(2_000, 500, 3_000), limits)["correlated:BTC"] == pytest.approx(0.25)
    part, why = allowed(held(2_000, 0, 0), "ETH", 2_000.0, limits)
    assert part == pytest.approx(1_000.0) and why.startswith("correlated")
    assert allowed(held(2_000, 0, 0), "GOLD", 2_000.0, limits) == (2_000.0, "")


def test_one_instrument_may_hold_no_more_than_its_share() -> None:
    part, why = allowed(held(0, 0, 0), "GOLD", -5_000.0, PortfolioLimits(concentration=0.2))
    assert part == pytest.approx(-2_000.0) and why == "concentration:GOLD"


def test_a_position_that_cannot_be_left_within_the_limit_is_not_entered() -> None:
    markets = {"BTC": THIN}
    cost = PortfolioLimits(unwind_cost=0.002)
    part, why = allowed(held(0, 0, 0, markets=markets), "BTC", 5_000.0, cost)
    assert why == "unwind_cost:BTC" and 0 < part < 500
    slow = PortfolioLimits(unwind_time_ns=DAY // 10)
    part, why = allowed(held(0, 0, 0, markets=markets), "BTC", 5_000.0, slow)
    assert why == "unwind_time_s:BTC" and part == pytest.approx(200.0)  # 1 in the book, 1 in a tenth of a day


def test_what_is_not_known_forbids_nothing_and_is_said_to_be_unknown() -> None:
    young = Portfolio(NAMES, np.array([1.0, 0, 0]), 10.0, returns()[:10], HOUR)
    limits = PortfolioLimits(value_at_risk=1e-9)
    assert math.isnan(measured(young, limits)["value_at_risk"])
    assert allowed(young, "BTC", 1.0, limits) == (1.0, "")


@settings(max_examples=50)
@given(
    st.lists(st.floats(-5_000, 5_000), min_size=3, max_size=3),
    st.sampled_from(NAMES),
    st.floats(-20_000, 20_000).filter(lambda x: abs(x) > 1e-3),
    st.floats(0.001, 0.05),
    st.floats(0.05, 1.0),
)
def test_whatever_is_asked_for_no_limit_that_held_is_passed(
    exposures: list[float], name: str, change: float, most: float, share: float
) -> None:
    limits = PortfolioLimits(value_at_risk=most, concentration=share, correlated=share, method="normal")
    before = held(*exposures)
    part, why = allowed(before, name, change, limits)
    assert abs(part) <= abs(change) and part * change >= 0 and (part == change) == (not why)
    was = measured(before, limits)
    for use in uses(before.moved(name, part), limits):
        assert not use.breached or use.value <= was[use.name] * (1 + 1e-9), use


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"concentration": 0.0}, "concentration must be > 0"),
        ({"method": "magic"}, "must be one of"),
        ({"confidence": 0.2}, "confidence"),
    ],
)
def test_limits_out_of_range_are_refused(given_, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PortfolioLimits(**given_)
