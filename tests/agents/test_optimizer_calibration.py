"""What came true corrects what is said next."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.calibration import Calibration, Recalibrator, calibrate
from tidewright.measure.reliability import assess


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_experience_a_forecast_stands() -> None:
    assert calibrate(np.empty(0), np.empty(0)) == Calibration()
    assert Calibration().apply(0.7) == pytest.approx(0.7)


def test_a_boaster_is_corrected_towards_what_came_true() -> None:
    draw = rng(5)
    boasts = np.where(draw.random(800) < 0.5, 0.9, 0.1)
    came = (draw.random(800) < np.where(boasts > 0.5, 0.6, 0.4)).astype(float)
    correction = calibrate(boasts, came)
    assert correction.apply(0.9) == pytest.approx(0.6, abs=0.08)
    assert correction.apply(0.1) == pytest.approx(0.4, abs=0.08)


def test_one_side_can_be_wrong_alone() -> None:
    draw = rng(6)
    said = np.where(draw.random(1500) < 0.5, 0.85, 0.15)
    came = (draw.random(1500) < np.where(said > 0.5, 0.85, 0.4)).astype(float)
    correction = calibrate(said, came)
    assert correction.apply(0.85) == pytest.approx(0.85, abs=0.06)
    assert correction.apply(0.15) == pytest.approx(0.4, abs=0.1)


def test_a_few_outcomes_change_little_and_never_turn_forecasts_around() -> None:
    assert 0.6 < calibrate(np.array([0.8]), np.array([0.0])).apply(0.8) < 0.8
    wrong = calibrate(np.repeat([0.1, 0.9], 200), np.repeat([1.0, 0.0], 200))
    assert min(wrong.rise, wrong.fall) >= 0.0
    assert wrong.apply(0.9) >= wrong.apply(0.1)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 1.0])), max_size=40), st.floats(0.0, 1.0))
def test_any_experience_gives_a_monotone_map_to_probabilities(past: list[tuple[float, float]], p: float) -> None:
    learner = Recalibrator()
    for forecast, outcome in past:
        learner.tell(forecast, outcome)
    found = learner.calibration()
    assert 0.0 <= found.apply(p * 0.5) <= found.apply(p) + 1e-12 <= 1.0 + 1e-12


def test_what_no_smooth_curve_follows_is_learned_with_enough_outcomes() -> None:
    draw = rng(9)
    said = draw.random(4000)
    came = (draw.random(4000) < np.where(said > 0.6, 0.8, 0.3)).astype(float)  # a step, not a curve
    many, few = calibrate(said, came), calibrate(said[:40], came[:40])
    assert many.apply(0.55) == pytest.approx(0.3, abs=0.05)
    assert many.apply(0.65) == pytest.approx(0.8, abs=0.07)
    smooth = Calibration(few.shift, few.rise, few.fall)
    assert max(abs(few.apply(p) - smooth.apply(p)) for p in np.linspace(0.02, 0.98, 25)) < 0.06


def stream(count: int, slope: float, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = rng(seed)
    x = draw.normal(0.0, 1.2, count)
    truth = 1.0 / (1.0 + np.exp(-(shift + slope * x)))
    return 1.0 / (1.0 + np.exp(-x)), (draw.random(count) < truth).astype(float)


def run(learner: Recalibrator, said: np.ndarray, came: np.ndarray) -> np.ndarray:
    told = []
    for forecast, outcome in zip(said, came, strict=True):
        told.append(learner.calibration().apply(float(forecast)))
        learner.tell(float(forecast), float(outcome))
    return np.array(told)


def test_it_recovers_after_the_map_has_changed() -> None:
    learner = Recalibrator()
    run(learner, *stream(600, 1.0, 0.0, 1))
    assert learner.calibration().changed == 0
    said, came = stream(400, 0.6, -1.5, 2)  # from now on forecasts are far too high
    told = run(learner, said, came)
    assert 300 < learner.calibration().changed < 450
    assert abs(learner.calibration().apply(0.5) - 1.0 / (1.0 + np.exp(1.5))) < 0.1
    late = slice(100, None)
    before, after = (assess(values[late], came[late]) for values in (said, told))
    assert before is not None and after is not None
    assert after.calibration_error < 0.5 * before.calibration_error
    assert after.brier < before.brier - 0.03


def test_a_steady_map_is_left_alone_and_learned() -> None:
    told, learner = 0, Recalibrator()
    said, came = stream(1000, 0.5, 0.3, 3)
    corrected = run(learner, said, came)
    told += learner.calibration().changed > 0
    found, plain = assess(corrected[300:], came[300:]), assess(said[300:], came[300:])
    assert found is not None and plain is not None and found.brier < plain.brier
    assert told == 0
