"""Scores of several training seeds put together: interquartile mean with a stratified bootstrap interval.

As R. Agarwal et al. define them in "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS
2021 (rliable): the mean of the middle half of all runs' scores on all tasks, and resampling of the runs within each
task, independently. The interval says how much another draw of seeds would change; it says nothing about another
market. Where tasks are a sample too, windows of a market, they are resampled as well, each draw all runs on the same
ones: then it says what other windows would change besides.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

DRAWS: Final = 4_000
CUT: Final = 0.25


class OverSeeds(NamedTuple):
    """Interquartile mean, its central 95 % interval, and how many runs and tasks it rests on."""

    value: float
    low: float
    high: float
    runs: int
    tasks: int


def interquartile_mean(scores: F64) -> F64:
    """Mean of the middle half over the last axis: of n values ``floor(n/4)`` are left out at each end."""
    count = scores.shape[-1]
    cut = int(CUT * count)
    kept = np.sort(scores, axis=-1)[..., cut : count - cut]
    return np.asarray(kept.mean(axis=-1), np.float64)


def over_seeds(scores: F64, draws: int = DRAWS, seed: int = 0, *, sampled_tasks: bool = False) -> OverSeeds:
    """Interquartile mean of scores (runs, tasks).

    Parameters
    ----------
    sampled_tasks
        Whether the tasks are a sample, to be resampled too.

    Raises
    ------
    UsageError
        If there is no run or no task.
    """
    runs, tasks = scores.shape
    if runs < 1 or tasks < 1:
        raise UsageError(f"scores of seeds need at least one run and one task, had {runs} and {tasks}")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, runs, (draws, runs, tasks))
    on = rng.integers(0, tasks, (draws, 1, tasks)) if sampled_tasks else np.arange(tasks)
    drawn = scores[chosen, on].reshape(draws, -1)
    low, high = np.quantile(interquartile_mean(drawn), (0.025, 0.975)).tolist()
    return OverSeeds(float(interquartile_mean(scores.ravel())), low, high, runs, tasks)
