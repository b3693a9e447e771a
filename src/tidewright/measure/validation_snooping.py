"""Data snooping: is the best of many candidates better than the benchmark, although it is the best of many.

White, "A Reality Check for Data Snooping" (2000), and Hansen, "A Test for Superior Predictive Ability" (2005), both
with the stationary bootstrap of Politis and Romano, by the library ``arch`` (extra ``evidence``).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Snooping:
    """p-values of the null hypothesis "no candidate is better than the benchmark".

    Attributes
    ----------
    reality_check
        White's: not studentised, every candidate taken to be as good as the benchmark (least favourable).
    spa, spa_lower, spa_upper
        Hansen's, studentised: the consistent p-value and its lower and upper bound.
    candidates, observations, draws
        What it rests on.
    """

    reality_check: float
    spa: float
    spa_lower: float
    spa_upper: float
    candidates: int
    observations: int
    draws: int


def available() -> bool:
    """Whether the library is there."""
    from importlib.util import find_spec

    return find_spec("arch") is not None


def snooping(differences: F64, block: int, seed: int, draws: int = 1000) -> Snooping:
    """White's reality check and Hansen's SPA test.

    Parameters
    ----------
    differences
        Each candidate's less the benchmark's result of every observation, shape (T, N); higher is better.
    block
        Mean length of a block of the bootstrap, observations.

    Raises
    ------
    UsageError
        If ``arch`` is not installed, or there are fewer than 2 observations or no candidate that differs.
    """
    if not available():
        raise UsageError(
            "White's reality check and Hansen's SPA test need the library arch: pip install 'tidewright[evidence]'"
        )
    matrix = np.asarray(differences, np.float64)
    if matrix.ndim != 2 or len(matrix) < 2:
        raise UsageError(f"differences must be a matrix of at least 2 observations, had shape {matrix.shape}")
    matrix = matrix[:, matrix.std(axis=0) > 0.0]  # one equal to the benchmark says nothing and has no deviation
    if matrix.shape[1] == 0:
        raise UsageError("no candidate differs from the benchmark: there is nothing to test")
    from arch.bootstrap import SPA

    found = {}
    for studentize in (False, True):
        # The library speaks of losses: a benchmark that never loses, candidates that lose what they do not gain.
        test = SPA(
            np.zeros(len(matrix)),
            -matrix,
            block_size=max(1, min(block, len(matrix) - 1)),
            reps=draws,
            bootstrap="stationary",
            studentize=studentize,
            seed=np.random.default_rng(seed),
        )
        test.compute()
        found[studentize] = test.pvalues
    lower, consistent, upper = (_counted(found[True][name], draws) for name in ("lower", "consistent", "upper"))
    return Snooping(
        _counted(found[False]["upper"], draws), consistent, lower, upper, matrix.shape[1], len(matrix), draws
    )


def _counted(share: float, draws: int) -> float:
    """p-value of a share of draws that were as extreme: the sample itself is one of them, so it is never 0."""
    return (float(share) * draws + 1.0) / (draws + 1.0)
