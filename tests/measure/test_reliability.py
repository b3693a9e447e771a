"""Reliability of confidence scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.measure.reliability import assess, of_plain, perfect_band, plain, skill_interval


def test_published_vector() -> None:
    forecasts = [0.1] * 10 + [0.5] * 10 + [0.9] * 10
    outcomes = [1] + [0] * 9 + [1] * 6 + [0] * 4 + [1] * 8 + [0] * 2
    got = assess(forecasts, outcomes)
    assert got is not None and got.count == 30
    assert got.brier == pytest.approx(0.17)
    assert got.reliability == pytest.approx(0.006667, abs=5e-7)
    assert got.resolution == pytest.approx(0.086667, abs=5e-7)
    assert got.uncertainty == pytest.approx(0.25)
    assert got.calibration_error == pytest.approx(0.066667, abs=5e-7)
    assert [(b.forecast, b.outcome, b.count) for b in got.bins] == [
        (pytest.approx(0.1), 0.1, 10),
        (0.5, 0.6, 10),
        (pytest.approx(0.9), 0.8, 10),
    ]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.77, 1.0]), st.booleans()), min_size=1, max_size=50))
def test_the_parts_make_up_the_score(pairs: list[tuple[float, bool]]) -> None:
    got = assess([p for p, _ in pairs], [y for _, y in pairs])
    assert got is not None
    assert got.brier == pytest.approx(got.reliability - got.resolution + got.uncertainty)
    assert sum(b.count for b in got.bins) == got.count == len(pairs)


def test_many_different_forecasts_fall_into_tenths() -> None:
    p = np.linspace(0.0, 1.0, 101)
    got = assess(p, p > 0.5)
    assert got is not None and len(got.bins) == 10


def test_nothing_to_assess_and_wrong_input() -> None:
    assert assess([], []) is None
    with pytest.raises(UsageError, match="probability"):
        assess([1.2], [1])
    with pytest.raises(UsageError, match="as many outcomes"):
        assess([0.5], [])


def test_a_coin_has_no_skill_with_ties_either() -> None:
    got = assess([0.5] * 4, [1, 0, 0.5, 0.5])
    assert got is not None
    assert got.brier == pytest.approx(0.25) and got.skill == pytest.approx(0.0)
    assert got.skill_over_base == pytest.approx(0.0)
    with pytest.raises(UsageError, match="outcome"):
        assess([0.5], [2.0])


def test_the_calibration_error_of_perfect_forecasts_is_not_nothing() -> None:
    rng = np.random.default_rng(0)
    band = perfect_band(rng.random(300), rng)
    assert band.mean == pytest.approx(0.058, abs=0.004)  # 300 even forecasts, ten bins
    assert band.mean < band.upper < 0.1
    assert perfect_band(rng.random(3000), rng).mean == pytest.approx(band.mean / 10**0.5, rel=0.1)
    with pytest.raises(UsageError):
        perfect_band([], rng)


def test_skill_shows_where_there_is_some_and_not_in_shuffled_outcomes() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(1.5, 1.0, 1500)
    y = (rng.random(1500) < p).astype(float)
    y[:100] = 0.5
    blocks = np.arange(1500) // 5
    for over_base in (False, True):
        low, high = skill_interval(p, y, blocks, rng, over_base=over_base)
        found = assess(p, y)
        assert found is not None and 0.0 < low < (found.skill_over_base if over_base else found.skill) < high
    low, high = skill_interval(p, rng.permutation(y), blocks, rng, over_base=True)
    assert high < 0.02
    with pytest.raises(UsageError, match="two blocks"):
        skill_interval(p, y, np.zeros(1500), rng)
    assert all(np.isnan(skill_interval([0.9, 0.8], [1, 1], [0, 1], rng, over_base=True)))


def test_plain_values_for_a_message() -> None:
    assert plain(None)["n"] == 0 and plain(None)["brier"] is None
    told = plain(assess([0.1] * 10 + [0.9] * 10, [1] + [0] * 9 + [1] * 8 + [0] * 2))
    assert told["n"] == 20 and told["bins"][1] == {"forecast": 0.9, "frequency": 0.8, "n": 10}
    assert told["skill"] == pytest.approx(1 - told["brier"] / 0.25, abs=1e-6)


def test_what_a_message_says_is_read_back_as_it_was() -> None:
    rng = np.random.default_rng(2)
    said = rng.random(200)
    found = assess(said, (rng.random(200) < said).astype(float))
    assert found is not None
    back = of_plain(plain(found))
    assert back is not None and back.count == 200 and len(back.bins) == len(found.bins)
    for name in ("brier", "base_rate", "reliability", "resolution", "uncertainty", "calibration_error", "skill"):
        assert getattr(back, name) == pytest.approx(getattr(found, name), abs=1e-5)


@pytest.mark.parametrize("told", [None, 3, {}, {"n": 0, "brier": None}, {"n": 5}, {"n": "many", "brier": 0.2}])
def test_a_score_without_outcomes_or_malformed_is_none(told: object) -> None:
    assert of_plain(told) is None
    assert of_plain(plain(None)) is None
