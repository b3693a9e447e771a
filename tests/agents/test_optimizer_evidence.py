"""Confidence is a probability, says 1/2 where there is nothing to see, and is held against what came true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.evidence import (
    BOUND,
    Evidence,
    Pair,
    block_deviation,
    block_sums,
    effective_choices,
    moments,
)
from tidewright.agents.optimizer.evidence import paired as weigh
from tidewright.market.errors import UsageError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def paired(values: np.ndarray, horizon: int, choices: float, draw: np.random.Generator, draws: int = 400) -> Evidence:
    return weigh(Pair(values, np.zeros_like(values)), horizon, choices, draw, draws=draws)


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
    short, long = (paired(np.tile([-2.0, 2.4], n), 10, 1, rng()) for n in (5, 500))
    assert 0.5 < short.confidence < long.confidence < 1.0 - BOUND


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


def test_the_drift_of_the_inventory_decides_little_of_the_forecast() -> None:
    earned = rng(6).normal(0.1, 0.5, 300)
    drift = rng(7).normal(0.0, 3.0, 300) - 0.3  # an inventory that stood on the wrong side by chance
    known = weigh(Pair(earned + drift, drift), 60, 1, rng())
    unknown = weigh(Pair(earned + drift, np.zeros(300)), 60, 1, rng())
    assert unknown.confidence < 0.4 < known.confidence < 0.6
    assert known.mean == unknown.mean and known.probability == unknown.probability


def test_why_nothing_is_proposed_says_what_was_counted() -> None:
    earned, lucky = np.full(40, -0.1), np.full(40, 0.3)
    assert Pair(earned, np.zeros(40)).no_better() == (
        "out of sample the incumbent earned more than the best of the candidates"
    )
    told = Pair(earned + lucky, lucky).no_better()
    assert "earned 0.2 a cycle more" in told and "counted at a quarter -0.025" in told
    assert Pair(earned + 2 * lucky, lucky).no_better() == ""


def test_both_windows_are_heard() -> None:
    flat, good = Pair(rng(8).normal(0.0, 1.0, 100), np.zeros(100)), Pair(rng(9).normal(0.5, 1.0, 200), np.zeros(200))
    alone, both = weigh(flat, 50, 1, rng()), weigh(flat, 50, 1, rng(), good)
    assert both.confidence > alone.confidence + 0.1
    assert both.cycles == alone.cycles == 100 and both.mean == alone.mean


def test_the_long_run_deviation_counts_what_neighbours_share() -> None:
    noise = rng(10).normal(0.0, 1.0, 20_000)
    assert block_deviation(noise) == pytest.approx(1.0, abs=0.05)
    moving = np.convolve(noise, np.ones(4), "valid")  # sums of n of them deviate by about 4 sqrt(n)
    assert block_deviation(moving) == pytest.approx(4.0, abs=0.3)


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
