"""Intervals for the next epoch hold what they say, also where the past is no sample of the future."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.conformal import LEVEL, STEP, Conformal, learned
from tidewright.agents.optimizer.memory import Forecast, Memory


def misses(errors: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Share of errors below and above the interval that was told before each came."""
    learner, below, above = Conformal(level), 0, 0
    for error in errors:
        told = learner.range(0.0, 1.0)
        below += error < told.lower
        above += error > told.upper
        learner.tell(float(error))
    return below / len(errors), above / len(errors)


def test_before_any_epoch_the_errors_are_taken_for_normal() -> None:
    told = Conformal().range(10.0, 2.0)
    assert (told.lower + told.upper) / 2.0 == pytest.approx(10.0)
    assert (told.upper - told.lower) / 4.0 == pytest.approx(1.645, abs=0.15)
    assert told.count == 0 and math.isnan(told.covered)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_heavy_tails_are_covered_as_often_as_told(level: float) -> None:
    below, above = misses(np.random.default_rng(3).standard_t(2.5, 3000), level)
    assert below == pytest.approx((1.0 - level) / 2.0, abs=0.01)
    assert above == pytest.approx((1.0 - level) / 2.0, abs=0.01)


def test_a_drifting_and_widening_stream_is_covered_as_often_as_told() -> None:
    draw = np.random.default_rng(4)
    time = np.arange(3000)
    errors = draw.normal(np.sin(time / 200.0), 1.0 + time / 1000.0)
    below, above = misses(errors)
    normal = float(np.mean(np.abs(errors) > 1.645))
    assert below + above == pytest.approx(0.1, abs=0.015)
    assert normal > 0.3  # what an interval that does not learn would have missed


@given(st.lists(st.floats(-1e6, 1e6), min_size=50, max_size=120))
def test_no_stream_whatever_breaks_the_bound_of_long_run_coverage(errors: list[float]) -> None:
    aim = (1.0 - LEVEL) / 2.0
    bound = (1.0 - aim + STEP) / (STEP * len(errors))  # Gibbs and Candes (2021), proposition 4.1
    for share in misses(np.array(errors)):
        assert abs(share - aim) <= bound


def test_an_end_that_is_always_missed_becomes_infinite_and_says_so() -> None:
    told = [learned([2.0**power for power in range(count)]).range(0.0, 1.0).to_json() for count in range(30)]
    assert told[0]["upper"] is not None and any(one["upper"] is None for one in told)
    assert all(one["lower"] is not None for one in told)


def test_the_memory_learns_from_settled_epochs_and_not_from_forecasts_of_earlier_versions() -> None:
    memory = Memory()
    for number in range(200):
        forecast = Forecast(f"p-{number}", 1, 2, "grid", {}, {}, 0.6, 0.6, True, 5.0, 2.0)
        memory.settle(forecast, 5.0 + 20.0 * (-1.0) ** number)  # ten deviations off, each time
    told = memory.interval(0.0, 1.0)
    assert told.lower == pytest.approx(-10.0) and told.upper == pytest.approx(10.0)
    assert 0.9 < told.covered < 1.0
    memory.settle(Forecast("old", 1, 2, "grid", {}, {}, 0.6, 0.6, True), 3.0)
    assert len(memory.errors) == 200 and len(memory.settled) == 201
