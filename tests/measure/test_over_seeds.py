"""Scores over training seeds, as rliable defines them."""

import numpy as np
import pytest
from scipy.stats import trim_mean

from tidewright.market.errors import UsageError
from tidewright.measure.over_seeds import interquartile_mean, over_seeds


@pytest.mark.parametrize("shape", [(5, 4), (7, 3), (10, 10), (1, 1)])
def test_the_interquartile_mean_is_the_trimmed_mean_of_all_scores(shape):
    """rliable: ``scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)``."""
    scores = np.random.default_rng(4).standard_normal(shape)
    expected = trim_mean(scores, 0.25, axis=None)
    assert over_seeds(scores, 10).value == pytest.approx(expected)


def test_outliers_do_not_move_it():
    assert interquartile_mean(np.array([1.0, 2, 3, 4, 5, 6, 7, 1e9])) == 4.5


def test_the_interval_covers_what_more_seeds_would_show_and_narrows_with_them():
    random = np.random.default_rng(5)
    covered, widths = 0, {5: 0.0, 20: 0.0}
    for _ in range(60):
        for runs in widths:
            found = over_seeds(1.0 + random.standard_normal((runs, 6)), 300)
            widths[runs] += found.high - found.low
            covered += (runs == 20) * (found.low <= 1.0 <= found.high)
    assert covered >= 50
    assert widths[20] < 0.65 * widths[5]


def test_runs_are_resampled_within_their_task():
    tasks = np.tile(np.array([0.0, 10.0, 20.0, 30.0]), (5, 1))  # seeds agree: only tasks differ
    found = over_seeds(tasks, 200)
    assert (found.low, found.value, found.high, found.runs, found.tasks) == (15.0, 15.0, 15.0, 5, 4)
    elsewhere = over_seeds(tasks, 200, sampled_tasks=True)
    assert elsewhere.value == 15.0 and elsewhere.low < 10.0 and elsewhere.high > 20.0, "other tasks, other scores"
    with pytest.raises(UsageError, match="at least one run"):
        over_seeds(np.zeros((0, 3)))
