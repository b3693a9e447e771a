"""Detectors of change: known run lengths, quick at a shift, quiet without one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.run_length import run_length
from tidewright.market.errors import UsageError
from tidewright.measure.change import Cusum, Residuals


@pytest.mark.parametrize(
    ("h", "shift", "published"),
    [(4.0, 0.0, 168.0), (4.0, 1.0, 8.38), (5.0, 0.0, 465.0), (5.0, 1.0, 10.4), (5.0, 0.5, 38.0), (5.0, 2.0, 4.01)],
)
def test_run_lengths_are_those_of_the_textbook(h: float, shift: float, published: float) -> None:
    # Two-sided, k = 0.5: Montgomery, Introduction to Statistical Quality Control, table of CUSUM run lengths.
    assert run_length(0.5, h, shift) == pytest.approx(published, rel=0.005)


def test_simulated_run_lengths_agree() -> None:
    rng = np.random.default_rng(1)
    for shift, expected in ((0.0, run_length(0.5, 4.0)), (1.0, run_length(0.5, 4.0, 1.0))):
        lengths = []
        for _ in range(300):
            cusum, count = Cusum(0.5, 4.0), 1
            while not cusum.update(shift + rng.normal()):
                count += 1
            lengths.append(count)
        error = float(np.std(lengths)) / math.sqrt(len(lengths))
        assert abs(np.mean(lengths) - expected) < 4 * error


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_shift_is_told_with_its_beginning(sign: float) -> None:
    rng = np.random.default_rng(2)
    cusum = Cusum(h=8.0)
    values = np.concatenate([rng.normal(0, 1, 200), rng.normal(2.0 * sign, 1, 40)])
    told = [(index, began) for index, value in enumerate(values) if (began := cusum.update(float(value)))]
    index, began = told[0]
    assert 200 <= index <= 215
    assert abs(index - began + 1 - 200) <= 3


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_any_stream_can_be_watched(values: list[float]) -> None:
    cusum, residuals = Cusum(), Residuals(warm=5)
    for count, value in enumerate(values):
        assert 0 <= cusum.update(residuals.update(value)) <= count + 1
        assert cusum.up >= 0 and cusum.down >= 0


def test_residuals_of_an_autocorrelated_series_are_about_standard_normal() -> None:
    rng = np.random.default_rng(4)
    residuals, x, found = Residuals(memory=200.0), 0.0, []
    for _ in range(4000):
        x = 0.7 * x + rng.normal()
        found.append(residuals.update(100.0 + 5.0 * x))
    known = np.array(found[200:])
    assert abs(known.mean()) < 0.08 and known.std() == pytest.approx(1.0, abs=0.08)
    assert abs(np.corrcoef(known[1:], known[:-1])[0, 1]) < 0.12
    assert all(math.isnan(value) for value in found[:20])


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ((0.0, 5.0), (0.5, 0.0)):
        with pytest.raises(UsageError):
            Cusum(*wrong)
