"""VaR and expected shortfall: published numbers, and properties that hold for every sample."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import DataError, UsageError
from tidewright.risk import value_at_risk as v

RETURNS = (0.01, -0.02, 0.015, -0.005)


def sample(seed: int = 1, count: int = 2000, freedom: float = 5.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(freedom, count) * 0.01


@pytest.mark.parametrize(
    ("confidence", "var", "shortfall"),
    [(0.95, 1.644854, 2.062713), (0.975, 1.959964, 2.337803), (0.99, 2.326348, 2.665214)],
)
def test_the_normal_tail_is_the_textbooks(confidence: float, var: float, shortfall: float) -> None:
    """Quantile and phi(z) / (1 - c) of the standard normal; McNeil, Frey & Embrechts 2015, examples 2.11 and 2.14."""
    assert v.normal_tail(0.0, 1.0, confidence) == pytest.approx((var, shortfall), abs=1e-6)
    assert v.normal_tail(0.5, 2.0, confidence) == pytest.approx((2 * var - 0.5, 2 * shortfall - 0.5), abs=2e-6)


@pytest.mark.parametrize(
    ("freedom", "var", "shortfall"), [(3, 2.621576, 4.043231), (4, 2.649492, 3.691510), (5, 2.606464, 3.448837)]
)
def test_the_tail_of_a_student_t_of_unit_variance(freedom: float, var: float, shortfall: float) -> None:
    """99 %; computed with scipy from the definition, as McNeil, Frey & Embrechts 2015, example 2.15."""
    assert v.student_tail(0.0, 1.0, freedom) == pytest.approx((var, shortfall), abs=1e-6)


def test_the_ewma_variance_of_riskmetrics() -> None:
    """lambda 0.94 (RiskMetrics 1996), v0 = 1e-4."""
    found = v.ewma_variances(np.array(RETURNS), 1e-4)
    assert found[-1] == pytest.approx(1.184548e-4, rel=1e-6)
    assert math.sqrt(found[-1]) == pytest.approx(0.01088369, rel=1e-6)
    assert found[0] == 1e-4 and len(found) == 5


def test_the_garch_variance_its_long_run_and_half_life() -> None:
    """omega 2e-6, alpha 0.08, beta 0.9 on the same returns."""
    assert v.garch_variances(np.array(RETURNS), 2e-6, 0.08, 0.9, 1e-4)[-1] == pytest.approx(1.2244e-4, rel=1e-4)
    assert v.garch_long_run(2e-6, 0.08, 0.9) == pytest.approx(1e-4)
    assert v.garch_half_life(0.08, 0.9) == pytest.approx(34.31, abs=0.005)
    with pytest.raises(UsageError, match="alpha \\+ beta < 1"):
        v.garch_long_run(1e-6, 0.2, 0.8)


def test_the_historical_tail_takes_the_worst_share_and_weighs_its_boundary() -> None:
    losses = np.arange(1, 101) / 100
    assert v.historical(-losses, 0.95) == pytest.approx((0.96, 0.98))
    # 2.5 losses in the tail: 1.00, 0.99 and half of 0.98.
    assert v.historical(-losses, 0.975) == pytest.approx((0.98, (1.0 + 0.99 + 0.49) / 2.5))


def test_cornish_fisher_is_normal_without_skew_and_kurtosis_and_its_shortfall_is_the_tails_mean() -> None:
    assert v.cornish_fisher_tail(0.0, 1.0, 0.0, 0.0) == pytest.approx((2.326348, 2.665214), abs=1e-6)
    from scipy.special import ndtri

    skewness, excess = -0.3, 1.0
    found = v.cornish_fisher_tail(0.0, 1.0, skewness, excess)
    z = ndtri((np.arange(200_000) + 0.5) / 200_000 * 0.01)
    path = z + (z**2 - 1) * skewness / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
    assert found.value_at_risk == pytest.approx(-path[-1], rel=1e-4)
    assert found.expected_shortfall == pytest.approx(-path.mean(), rel=1e-4)


def test_cornish_fisher_refuses_moments_for_which_it_gives_no_distribution() -> None:
    with pytest.raises(DataError, match="gives no distribution"):
        v.cornish_fisher_tail(0.0, 1.0, -3.0, 1.0)


def test_filtered_tails_follow_the_newest_volatility() -> None:
    calm = sample(3, 600)
    wild = np.concatenate([calm, sample(4, 40) * 5])
    for method, times in (("ewma", 2.0), ("garch", 1.5)):
        assert v.measure(wild, 0.99, method).value_at_risk > times * v.measure(calm, 0.99, method).value_at_risk
    assert v.measure(wild, 0.95, "historical").value_at_risk < 2 * v.measure(calm, 0.95, "historical").value_at_risk


def test_a_garch_fit_finds_what_made_the_returns() -> None:
    rng = np.random.default_rng(11)
    omega, alpha, beta, variance = 2e-6, 0.1, 0.85, 4e-5
    returns = []
    for shock in rng.standard_normal(6000):
        returns.append(shock * math.sqrt(variance))
        variance = omega + alpha * returns[-1] ** 2 + beta * variance
    found = v.garch_fit(np.array(returns))
    assert found[1] == pytest.approx(alpha, abs=0.03) and found[2] == pytest.approx(beta, abs=0.05)
    assert v.garch_long_run(*found) == pytest.approx(4e-5, rel=0.2)


@given(st.integers(0, 10_000), st.sampled_from(["historical", "normal", "student", "ewma"]), st.floats(0.01, 100.0))
def test_a_shortfall_is_never_less_than_its_var_and_both_scale_with_the_returns(
    seed: int, method: v.Method, scale: float
) -> None:
    returns = sample(seed, 200)
    tail, scaled = v.measure(returns, 0.975, method), v.measure(returns * scale, 0.975, method)
    assert tail.expected_shortfall >= tail.value_at_risk
    assert scaled == pytest.approx((tail.value_at_risk * scale, tail.expected_shortfall * scale), rel=1e-6)


def test_a_portfolio_of_opposite_positions_in_one_thing_has_no_risk() -> None:
    covariance = np.array([[4e-4, 4e-4], [4e-4, 4e-4]])
    assert v.portfolio(np.array([1000.0, -1000.0]), covariance) == (0.0, 0.0)
    assert v.portfolio(np.array([1000.0, 0.0]), covariance).value_at_risk == pytest.approx(2.326348 * 20, rel=1e-6)
    assert v.over_horizon(v.Tail(1.0, 2.0), 4.0) == (2.0, 4.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: v.measure(sample(), 0.99, "magic"), "must be one of historical"),
        (lambda: v.measure(sample(), 0.4), "in \\(0.5, 1\\)"),
        (lambda: v.ewma_variances(sample(), decay=1.0), "decay must be in"),
        (lambda: v.over_horizon(v.Tail(1, 1), 0), "horizon must be > 0"),
        (lambda: v.student_tail(0, 1, 2.0), "must be > 2"),
    ],
)
def test_wrong_use_is_told_with_the_rule(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def test_too_few_or_broken_returns_are_refused() -> None:
    with pytest.raises(DataError, match="at least 30 returns, there were 4"):
        v.measure(np.array(RETURNS))
    with pytest.raises(DataError, match="finite"):
        v.measure(np.full(50, np.nan))
