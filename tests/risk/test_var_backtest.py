"""Backtests of VaR: published vectors, and that a right model passes while a wrong one does not."""

import numpy as np
import pytest

from tidewright.market.errors import DataError, UsageError
from tidewright.risk import value_at_risk as v
from tidewright.risk import var_backtest as b


def hits(days: int, *at: int) -> np.ndarray:
    found = np.zeros(days, bool)
    found[list(at)] = True
    return found


@pytest.mark.parametrize(
    ("count", "days", "probability", "statistic", "p_value"),
    [
        (57, 1043, 0.05, 0.461466, 0.496939),  # the example of MATLAB's `pof` page prints the same
        (4, 250, 0.01, 0.769138, 0.380484),
        (5, 250, 0.01, 1.956810, 0.161855),
        (7, 250, 0.01, 5.496990, 0.019049),
        (10, 250, 0.01, 12.955491, 0.000319),
        (0, 250, 0.01, 5.025168, 0.024982),
        (20, 500, 0.01, 25.910982, 3.6e-7),
    ],
)
def test_kupiecs_ratio(count: int, days: int, probability: float, statistic: float, p_value: float) -> None:
    found = b.kupiec(count, days, probability)
    assert found.statistic == pytest.approx(statistic, abs=1e-6)
    assert found.p_value == pytest.approx(p_value, abs=1e-6)


def test_christoffersens_ratio_finds_clusters_that_kupiec_passes() -> None:
    """250 days; computed from the formula of Christoffersen 1998."""
    clustered, spread = hits(250, 20, 21, 22, 100, 101), hits(250, 20, 70, 120, 170, 220)
    assert b.transitions(clustered) == (242, 2, 2, 3) and b.transitions(spread) == (239, 5, 5, 0)
    assert b.independence(clustered) == pytest.approx((19.049307, 1.27e-5), abs=1e-6)
    assert b.independence(spread) == pytest.approx((0.204932, 0.650769), abs=1e-6)
    assert b.kupiec(5, 250, 0.01).p_value == pytest.approx(0.162, abs=5e-4)
    both = b.conditional_coverage(clustered, 0.01)
    assert both.statistic == pytest.approx(19.049307 + 1.956810, abs=1e-6) and both.p_value < 1e-4


def test_the_basel_zones_of_250_days() -> None:
    """Basel Committee 1996: green to 4, yellow 5 to 9, red from 10."""
    assert [b.basel_zone(count) for count in range(12)] == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 2
    assert [b.basel_plus_factor(count) for count in (4, 5, 9, 10, 30)] == [0.0, 0.40, 0.85, 1.0, 1.0]
    from scipy.special import bdtr

    found = [float(bdtr(k, 250, 0.01)) for k in (4, 5, 9, 10)]
    assert found == pytest.approx([0.892188, 0.958817, 0.999750, 0.999946], abs=1e-6)


def test_a_filtered_var_passes_where_volatility_clusters_and_a_plain_one_does_not() -> None:
    rng = np.random.default_rng(5)
    variance, returns = 1e-4, []
    for shock in rng.standard_normal(2500):
        returns.append(shock * np.sqrt(variance))
        variance = 2e-6 + 0.15 * returns[-1] ** 2 + 0.83 * variance
    values = np.array(returns)
    filtered = b.backtest(values, lambda r, c: v.measure(r, c, "ewma"), 250, 0.99)
    plain = b.backtest(values, lambda r, c: v.measure(r, c, "normal"), 250, 0.99)
    assert len(filtered.hits) == 2250 and filtered.coverage.p_value > 0.01 and filtered.clusters.p_value > 0.01
    assert plain.both.p_value < 0.001 and plain.zone != b.GREEN
    assert 0.8 < filtered.shortfall_ratio < 1.3


def test_a_var_of_nothing_is_red() -> None:
    values = np.random.default_rng(2).standard_normal(400)
    assert b.backtest(values, lambda *_: v.Tail(0.0, 0.1), 100).zone == b.RED


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(UsageError, match="hits must be 0 to 5"):
        b.kupiec(6, 5, 0.01)
    with pytest.raises(DataError, match="needs more than 251"):
        b.backtest(np.zeros(200), v.historical)
