import numpy as np
import pytest

from tidewright.market import calibration_flow as flow
from tidewright.market.calibration import measured_flow
from tidewright.market.calibration_flow import Flow
from tidewright.market.synthetic import synthesize
from tidewright.measure.stylised_facts import DEFINITIONS, facts

SECOND = 1_000_000_000


def walk(returns: np.ndarray) -> Flow:
    """A flow whose mid has the given log returns a second, and two orders."""
    mid = 1e8 * np.exp(np.cumsum(returns))
    books = np.zeros((8, len(mid)), np.int64)
    books[flow.B_T] = np.arange(len(mid)) * SECOND
    books[flow.B_BID] = books[flow.B_ASK] = mid.astype(np.int64)
    orders = np.zeros((flow.FIELDS, 2), np.int64)
    orders[flow.T] = [0, len(mid) * SECOND]
    return Flow(orders, books, (books[:2], books[:2]))


def test_a_normal_random_walk_has_no_stylised_facts():
    got = facts(walk(np.random.default_rng(3).normal(0, 1e-4, 60_000)))
    for name, expected, room in (
        ("kurtosis_10s", 3.0, 0.3), ("autocorrelation_10s", 0.0, 0.05), ("clustering_10s_lag1", 0.0, 0.05),
        ("variance_ratio_300s_10s", 1.0, 0.35), ("skewness_60s", 0.0, 0.3),
        ("volatility_day_percent_10s", 1e-2 * np.sqrt(86_400), 0.1),
    ):  # fmt: skip
        assert got[name].value == pytest.approx(expected, abs=room), name
        assert got[name].error > 0 or name.startswith("variance"), name


def test_tails_clusters_and_reversal_are_told():
    random = np.random.default_rng(5)
    heavy = facts(walk(random.standard_t(3, 60_000) * 1e-4 * np.repeat(np.exp(random.normal(0, 1, 60)), 1_000)))
    assert heavy["kurtosis_10s"].value > 5 and heavy["clustering_10s_lag10"].value > 0.1
    assert 1.5 < heavy["tail_index_10s"].value < 5
    noise = random.normal(0, 1e-4, 60_001)
    assert facts(walk(np.diff(noise)))["variance_ratio_300s_10s"].value < 0.1
    assert facts(walk(np.diff(noise)))["autocorrelation_10s"].value == pytest.approx(-0.5, abs=0.05)


def test_jackknife_error_is_the_usual_one_for_a_mean_like_figure():
    returns = np.random.default_rng(1).normal(0, 1e-4, 40_000)
    got = facts(walk(returns))["volatility_day_percent_10s"]
    assert got.error == pytest.approx(got.value / np.sqrt(2 * got.size), rel=0.6)


def test_every_fact_is_there_and_short_tapes_say_that_they_cannot_tell():
    got = facts(measured_flow(synthesize(None, hours=0.3, seed=1).data)[1])
    assert list(got) == list(DEFINITIONS)
    assert np.isnan(got["kurtosis_300s"].value) and got["orders_per_second"].value > 0
