"""A test that may be looked at after every block: false alarms on null data, delay on planted harm."""

import math

import numpy as np
import pytest

from tidewright.market.errors import UsageError
from tidewright.measure.sequential import HarmTest, block_sums, confidence_sequence

RUNS, LONG = 120, 96  # two days of half-hour epochs, looked at after each block


def alarms(draw, runs: int = RUNS, scale: float = 0.0) -> tuple[float, list[int]]:
    """Share of runs with an alarm, and the block of each."""
    found = []
    for run in range(runs):
        test = HarmTest(0.05, scale)
        for count, value in enumerate(draw(np.random.default_rng([3, run])), 1):
            test.observe([value])
            if test.harmful:
                found.append(count)
                break
    return len(found) / runs, found


def drifting(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=LONG) * np.exp(np.cumsum(rng.normal(size=LONG) * 0.1))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=LONG),
        lambda rng: rng.standard_t(3, size=LONG),
        drifting,  # a volatility that wanders
        lambda rng: 1.0 - rng.exponential(size=LONG),  # rare large losses, mean 0
        lambda rng: rng.exponential(size=LONG) - 1.0,  # rare large gains, mean 0
        lambda rng: rng.normal(0.1, 1.0, size=LONG),  # truly better
    ],
)
def test_looking_after_every_block_raises_few_false_alarms(draw) -> None:
    rate, _ = alarms(draw)
    assert rate <= 0.05 + 1.64 * math.sqrt(0.05 * 0.95 / RUNS)


def test_a_fixed_test_read_as_often_would_cry_wolf() -> None:
    cried = 0
    for run in range(RUNS):
        x = np.random.default_rng([3, run]).normal(size=LONG)
        n = np.arange(1, LONG + 1)
        cried += bool((np.cumsum(x)[5:] / np.sqrt(n[5:]) < -1.645).any())
    assert cried / RUNS > 0.2


@pytest.mark.parametrize(("harm", "within"), [(0.5, 80), (1.0, 36), (2.0, 18)])
def test_planted_harm_is_found_within_the_stated_delay(harm: float, within: int) -> None:
    rate, found = alarms(lambda rng: rng.normal(-harm, 1.0, size=LONG), 60, scale=1.0)
    assert rate == 1.0 or harm < 1.0
    assert np.median(found) <= within


def test_harm_that_begins_late_is_found_though_much_was_gained_before() -> None:
    rate, found = alarms(lambda rng: np.r_[rng.normal(0.5, 1.0, size=48), rng.normal(-1.5, 1.0, size=48)], 40)
    assert rate > 0.9 and min(found) > 40 and np.median(found) < 48 + 40


def test_one_crash_alone_does_not_decide_and_a_gain_does_not_blind() -> None:
    test = HarmTest(0.05, 1.0)
    test.observe([-1000.0])
    assert not test.harmful and test.mean == -1000.0
    test = HarmTest(0.05, 1.0)
    test.observe([1000.0, *[-2.0] * 40])
    assert test.harmful


def test_the_same_differences_give_the_same_state_however_they_are_told() -> None:
    values = np.random.default_rng(0).normal(size=40)
    one, many = HarmTest(), HarmTest()
    one.observe(values)
    for value in values:
        many.observe([value])
    assert (one.evalue, one.peak, one.count) == (many.evalue, many.peak, many.count)


def test_equal_lanes_are_no_evidence() -> None:
    test = HarmTest()
    test.observe([0.0] * 50)
    assert test.evalue == pytest.approx(1.0) and not test.harmful


def test_the_confidence_sequence_covers_at_all_times() -> None:
    missed = 0
    for run in range(RUNS):
        x = np.random.default_rng([5, run]).normal(size=LONG)
        missed += any(not lo <= 0.0 <= hi for lo, hi in (confidence_sequence(x[:k]) for k in range(10, LONG, 4)))
    assert missed / RUNS <= 0.10
    assert confidence_sequence([1.0]) == (-math.inf, math.inf)


def test_blocks() -> None:
    assert block_sums(np.arange(7.0), 3).tolist() == [3.0, 12.0]
    assert block_sums(np.arange(8.0), 3).tolist() == [3.0, 12.0, 13.0]
    assert block_sums(np.ones(1), 3).tolist() == [1.0]
    assert block_sums(np.zeros(0), 3).tolist() == []


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        HarmTest().observe([math.nan])
    with pytest.raises(UsageError, match="error rate"):
        HarmTest(1.0)
    with pytest.raises(UsageError, match="scale"):
        HarmTest(0.05, -1.0)
    with pytest.raises(UsageError, match="confidence sequence"):
        confidence_sequence([1.0, 2.0], 0.0)
