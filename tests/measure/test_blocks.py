"""Means of dependent series."""

import numpy as np
import pytest

from tidewright.market.errors import UsageError
from tidewright.measure.blocks import mean_of, resampled_means


def test_independent_values_have_the_deviation_of_the_textbook():
    values = 0.3 + np.random.default_rng(0).standard_normal(4000)
    found = mean_of(values)
    assert found.value == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std() / np.sqrt(4000), rel=0.15)
    assert found.low < found.value < found.high
    assert (found.p_above < 0.001, found.p_below > 0.999, found.size) == (True, True, 4000)


def autoregressive(random, count, rho):
    noise = random.standard_normal(count)
    values = np.zeros(count)
    for t in range(1, count):
        values[t] = rho * values[t - 1] + noise[t]
    return values


def test_a_profit_is_seen_by_chance_about_as_often_as_the_level_says_also_in_dependent_series():
    random = np.random.default_rng(1)
    independent = [mean_of(random.standard_normal(300), 400, k).p_above for k in range(200)]
    dependent = [mean_of(autoregressive(random, 300, 0.3), 400, k).p_above for k in range(200)]
    assert 0.02 <= np.mean(np.array(independent) <= 0.05) <= 0.10
    assert 0.02 <= np.mean(np.array(dependent) <= 0.05) <= 0.14


def test_blocks_keep_what_hangs_together():
    values = autoregressive(np.random.default_rng(2), 4000, 0.5)
    alone = np.random.default_rng(3).permutation(values)
    # the deviation of the mean of AR(1) is sqrt((1 + rho) / (1 - rho)) that of independent values: 1.73
    assert 1.4 < resampled_means(values).std() / resampled_means(alone).std() < 1.9


def test_who_does_nothing_shows_nothing():
    found = mean_of(np.zeros(50))
    assert (found.value, found.p_above, found.p_below) == (0.0, 1.0, 1.0)
    assert mean_of(np.ones(50)).p_above < 0.001
    with pytest.raises(UsageError, match="at least 2"):
        resampled_means(np.ones(1))
