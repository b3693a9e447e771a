"""Statistics against overfitting, on published vectors of both definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.measure import overfitting as of

DAILY = math.sqrt(250)


def dsr(trials: int, skew: float = -3.0, kurtosis: float = 10.0) -> float:
    return of.deflated_sharpe(2.5 / DAILY, 1250, trials, 0.5 / 250, skew, kurtosis)


def test_classic_deflated_sharpe() -> None:
    assert dsr(100) == pytest.approx(0.90039683444939034, abs=1e-13)
    assert math.sqrt(0.5 / 250) * of.expected_maximum(100) == pytest.approx(0.113172, abs=5e-7)
    assert dsr(46) == pytest.approx(0.950502, abs=5e-7)
    assert dsr(88, 0.0, 3.0) == pytest.approx(0.950491, abs=5e-7)
    assert dsr(10) == pytest.approx(0.993880, abs=5e-7)


def test_classic_probabilistic_sharpe() -> None:
    monthly = 1.585 / math.sqrt(12)
    assert of.probabilistic_sharpe(monthly, 0.0, 24, -2.448, 10.164) == pytest.approx(0.91323430688486018, abs=1e-13)
    assert of.probabilistic_sharpe(monthly, 0.0, 24) == pytest.approx(0.981592, abs=1e-6)


@pytest.mark.parametrize(
    ("trials", "value"),
    [(10, 1.574598), (45, 2.235640), (80, 2.45), (100, 2.5306028932016846), (200, 2.766), (1000, 3.255)],
)
def test_expected_best_of_useless_trials(trials: int, value: float) -> None:
    assert of.expected_maximum(trials) == pytest.approx(value, abs=1.2e-3 if trials == 80 else 5.5e-4)
    if trials == 100:
        assert of.expected_maximum(trials) == pytest.approx(value, abs=1e-12)


def test_classic_minimum_track_record() -> None:
    daily = of.minimum_track_record(2 / DAILY, 1 / DAILY) / 250
    assert daily == pytest.approx(2.7311878017281761, abs=1e-9)
    week = math.sqrt(52)
    assert of.minimum_track_record(2 / week, 1 / week) / 52 == pytest.approx(2.8288335869452368, abs=1e-9)
    month = math.sqrt(12)
    got = of.minimum_track_record(3 / month, 2.5 / month, -0.72, 5.78) / 12
    assert got == pytest.approx(27.352920196040301, abs=1e-9)
    assert of.minimum_track_record(0.1, 0.1) == math.inf


MU_OVER_SD, T, SKEW, KURT = 0.036 / 0.079, 24, -2.448, 10.164


def test_null_variance_vectors() -> None:
    assert math.sqrt(of.sharpe_variance(MU_OVER_SD, T, SKEW, KURT)) == pytest.approx(0.329, abs=5e-4)
    assert math.sqrt(of.sharpe_variance(MU_OVER_SD, T)) == pytest.approx(0.214, abs=5.5e-4)
    assert of.probabilistic_sharpe_null(MU_OVER_SD, 0.0, T, SKEW, KURT) == pytest.approx(0.987, abs=5e-4)
    assert of.probabilistic_sharpe(MU_OVER_SD, 0.0, T, SKEW, KURT) == pytest.approx(0.913, abs=1e-3)
    assert of.probabilistic_sharpe_null(MU_OVER_SD, 0.1, T, SKEW, KURT) == pytest.approx(0.939, abs=5e-4)
    assert of.minimum_track_record_null(MU_OVER_SD, 0, SKEW, KURT) == pytest.approx(13.029, abs=5e-4)
    assert of.minimum_track_record_null(MU_OVER_SD, 0, SKEW, KURT, alpha=0.1) == pytest.approx(7.909, abs=5e-4)
    assert of.critical_sharpe(0.0, T, SKEW, KURT, alpha=0.1) == pytest.approx(0.262, abs=5e-4)


def test_null_variance_with_autocorrelation() -> None:
    rho = 0.2
    assert math.sqrt(of.sharpe_variance(MU_OVER_SD, T, SKEW, KURT, rho)) == pytest.approx(0.379, abs=6e-4)
    assert of.probabilistic_sharpe_null(MU_OVER_SD, 0.0, T, SKEW, KURT, rho) == pytest.approx(0.966, abs=5e-4)
    assert of.minimum_track_record_null(MU_OVER_SD, 0, SKEW, KURT, rho, alpha=0.1) == pytest.approx(11.863, abs=5e-4)


def test_null_variance_deflated_sharpe() -> None:
    assert math.sqrt(0.1) * of.expected_maximum(10) == pytest.approx(0.498, abs=5e-4)
    assert of.deflated_sharpe_null(MU_OVER_SD, T, 10, 0.1, SKEW, KURT) == pytest.approx(0.416, abs=5e-4)
    got = of.deflated_sharpe_null(MU_OVER_SD, T, 10, 0.1, SKEW, KURT, variance_of_maximum=False)
    assert got == pytest.approx(0.451, abs=5e-4)


def test_variance_of_the_maximum() -> None:
    assert of.maximum_variance(1) == pytest.approx(1.0, abs=1e-9)
    assert of.maximum_variance(2) == pytest.approx(1 - 1 / math.pi, abs=1e-9)  # closed form
    assert of.maximum_variance(10) == pytest.approx(0.34434, abs=5e-5)  # tables of normal order statistics


def test_effective_trials() -> None:
    assert of.effective_trials(np.eye(3)) == pytest.approx(3.0)
    assert of.effective_trials(np.ones((4, 4))) == pytest.approx(1.0)


@given(st.floats(-0.3, 0.3), st.integers(3, 5000), st.integers(2, 500), st.integers(2, 500))
def test_more_trials_never_raise_the_deflated_ratio(sharpe: float, n: int, a: int, b: int) -> None:
    few, many = sorted((a, b))
    assert of.deflated_sharpe(sharpe, n, many, 0.01) <= of.deflated_sharpe(sharpe, n, few, 0.01) + 1e-12
    assert of.deflated_sharpe(sharpe, n, 1, 0.01) == of.probabilistic_sharpe(sharpe, 0.0, n)


def test_impossible_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 1 observation"):
        of.probabilistic_sharpe(0.1, 0.0, 1)
    with pytest.raises(UsageError, match="trials must be >= 1"):
        of.expected_maximum(0)
    with pytest.raises(UsageError, match="autocorrelation"):
        of.sharpe_variance(0.1, 10, autocorrelation=1.0)
