"""Confidence is a probability, says 1/2 where there is nothing to see, and is held against what came true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.evidence import BOUND, block_sums, effective_choices, moments, paired
from tidewright.agents.optimizer.reliability import Calibration, calibrate, score
from tidewright.market.errors import UsageError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_identical_lanes_give_one_half_exactly() -> None:
    evidence = paired(np.zeros(200), 60, 5, rng())
    assert evidence.confidence == evidence.probability == 0.5
    assert evidence.lower == evidence.upper == evidence.mean == 0.0


def test_a_clear_advantage_gives_high_confidence_and_a_clear_loss_low() -> None:
    noise = rng(1).normal(0.0, 1.0, 1000)
    better, worse = paired(noise + 0.5, 100, 5, rng()), paired(noise - 0.5, 100, 5, rng())
    assert better.confidence > 0.8 and better.lower > 0
    assert worse.confidence < 0.2 and worse.upper < 0


def test_choosing_among_many_lowers_confidence() -> None:
    differences = rng(1).normal(0.05, 1.0, 500)
    alone, chosen = paired(differences, 100, 1, rng()), paired(differences, 100, 8, rng())
    assert chosen.confidence < alone.confidence
    assert chosen.probability == alone.probability


def test_finalists_that_do_the_same_are_one_choice() -> None:
    one = rng(2).normal(size=(5000, 1))
    assert effective_choices(np.hstack([one, one * 2.0, one + 1.0])) == pytest.approx(1.0, abs=1e-6)
    assert effective_choices(rng(3).normal(size=(5000, 4))) == pytest.approx(4.0, abs=0.05)
    assert effective_choices(np.zeros((50, 3))) == 1.0


def test_a_small_sample_is_believed_less() -> None:
    short, long = (paired(np.tile([0.9, 1.1], n), 10, 1, rng()) for n in (5, 500))
    assert 0.5 < short.confidence < long.confidence == pytest.approx(1.0 - BOUND, abs=0.12)


def test_confidence_is_near_one_half_on_average_when_there_is_no_edge() -> None:
    found = [paired(rng(seed).normal(0.0, 1.0, 240), 60, 1, rng(seed), draws=400).confidence for seed in range(100)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        evidence = paired(rng(seed).normal(0.3, 1.0, 300), 10, 1, rng(seed), draws=400)
        hits += evidence.lower <= 0.3 <= evidence.upper
    assert 0.88 <= hits / 200 <= 0.99


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.integers(1, 100), st.integers(1, 10))
def test_confidence_is_always_a_probability(values: list[float], horizon: int, choices: int) -> None:
    evidence = paired(np.array(values), horizon, choices, rng(), draws=50)
    assert 0.0 <= evidence.probability <= 1.0
    assert BOUND <= evidence.confidence <= 1.0 - BOUND
    assert evidence.lower <= evidence.upper


def test_too_little_is_refused() -> None:
    with pytest.raises(UsageError):
        paired(np.zeros(1), 1, 1, rng())


def test_block_sums_add_neighbours_around_the_circle() -> None:
    series = np.array([1.0, 10.0, 100.0, 1000.0])
    sums = block_sums(series, 2, 2, 500, rng())
    assert set(sums) == {11.0, 110.0, 1100.0, 1001.0}
    assert block_sums(series, 5, 2, 2000, rng()).mean() == pytest.approx(5 * series.mean(), rel=0.1)


def test_moments_of_a_known_sample() -> None:
    sharpe, skew, kurtosis = moments(np.array([1.0, 2.0, 3.0, 4.0]))
    assert sharpe == pytest.approx(2.5 / np.sqrt(5 / 3))
    assert skew == pytest.approx(0.0)
    assert kurtosis == pytest.approx(1.64)
    assert moments(np.zeros(5)) == (0.0, 0.0, 3.0)


# 10 forecasts each of .1, .5 and .9 with 1, 6 and 8 hits: Brier .1700, reliability .006667, resolution .086667,
# uncertainty .2500, expected calibration error .066667 (computed by hand).
FORECASTS = np.repeat([0.1, 0.5, 0.9], 10)
OUTCOMES = np.concatenate([np.arange(10) < hits for hits in (1, 6, 8)]).astype(float)


def test_the_brier_score_decomposes_as_computed_by_hand() -> None:
    result = score(FORECASTS, OUTCOMES)
    assert result.n == 30
    assert result.brier == pytest.approx(0.17)
    assert result.reliability == pytest.approx(0.006667, abs=1e-6)
    assert result.resolution == pytest.approx(0.086667, abs=1e-6)
    assert result.uncertainty == pytest.approx(0.25)
    assert result.ece == pytest.approx(0.066667, abs=1e-6)
    assert result.skill == pytest.approx(0.32)
    assert [(round(f, 9), round(o, 9), n) for f, o, n in result.bins] == [
        (0.1, 0.1, 10),
        (0.5, 0.6, 10),
        (0.9, 0.8, 10),
    ]
    assert result.to_json()["bins"][1] == {"forecast": 0.5, "frequency": 0.6, "n": 10}


def test_no_forecast_has_no_score() -> None:
    empty = score(np.empty(0), np.empty(0))
    assert empty.n == 0 and empty.to_json()["brier"] is None
    with pytest.raises(UsageError):
        score(np.array([1.5]), np.array([1.0]))


def test_without_experience_a_forecast_stands() -> None:
    assert calibrate(np.empty(0), np.empty(0)) == Calibration(0.0, 1.0)
    assert Calibration().apply(0.7) == pytest.approx(0.7)


def test_a_boaster_is_corrected_towards_what_came_true() -> None:
    draw = rng(5)
    boasts = np.where(draw.random(400) < 0.5, 0.9, 0.1)
    came = (draw.random(400) < np.where(boasts > 0.5, 0.6, 0.4)).astype(float)
    correction = calibrate(boasts, came)
    assert correction.apply(0.9) == pytest.approx(0.6, abs=0.06)
    assert correction.apply(0.1) == pytest.approx(0.4, abs=0.06)


def test_a_few_outcomes_change_little_and_never_turn_forecasts_around() -> None:
    assert 0.6 < calibrate(np.array([0.8]), np.array([0.0])).apply(0.8) < 0.8
    wrong = calibrate(np.repeat([0.1, 0.9], 200), np.repeat([1.0, 0.0], 200))
    assert wrong.slope == 0.0
    assert wrong.apply(0.9) == pytest.approx(wrong.apply(0.1))
