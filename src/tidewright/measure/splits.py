"""Training and test stretches of a time series that do not leak into each other: walk-forward and combinatorial.

An observation made at a time may look ahead: a label, an order that is still working, a position that is still open.
*Purging* drops training observations whose look ahead reaches into a test stretch; the *embargo* leaves out market time
on both sides of a test stretch besides (López de Prado, "Advances in Financial Machine Learning" 2018, chapters 7, 12).
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """One training and one test stretch.

    Attributes
    ----------
    train, test
        Indices of observations, int64, rising.
    groups, sizes
        Combinatorial splits: which groups of time the test stretch is made of, and how many observations each has.
    """

    train: I64
    test: I64
    groups: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


def walk_forward(
    times: I64,
    train_ns: int,
    test_ns: int,
    *,
    expanding: bool = False,
    step_ns: int | None = None,
    horizon_ns: int = 0,
    embargo_ns: int = 0,
) -> list[TimeSplit]:
    """Test stretches one after another, each after the market it is trained on.

    The first test stretch begins ``train_ns + embargo_ns`` after the first time, each further one ``step_ns`` later;
    a stretch that the times do not fill is left out.

    Parameters
    ----------
    times
        Of the observations, int64 nanoseconds, rising, shape (n,).
    train_ns, test_ns
        Length of a training stretch (with ``expanding`` of the first) and of a test stretch.
    expanding
        Whether training always begins at the first time, instead of rolling along.
    step_ns
        From one test stretch to the next; ``None``: ``test_ns``, so that they touch and do not overlap.
    horizon_ns
        How far an observation looks ahead: one whose look ahead reaches the test stretch is purged.
    embargo_ns
        Market time left out between training and test.

    Raises
    ------
    UsageError
        If a length is not > 0, times do not rise, or there is no room for one split.
    """
    times = _checked(times, horizon_ns, embargo_ns)
    step = test_ns if step_ns is None else step_ns
    for name, value in (("train", train_ns), ("test", test_ns), ("step", step)):
        if value <= 0:
            raise UsageError(f"the {name} length of a walk-forward must be > 0 ns, was {value}")
    first, last = int(times[0]), int(times[-1])
    found = []
    begin = first + train_ns + embargo_ns
    while begin + test_ns <= last + _step_of(times):
        until = begin - embargo_ns
        since = first if expanding else until - train_ns
        train = np.flatnonzero((times >= since) & (times < until) & (times + horizon_ns < begin))
        test = np.flatnonzero((times >= begin) & (times < begin + test_ns))
        if len(train) and len(test):
            found.append(TimeSplit(train, test))
        begin += step
    if not found:
        needed, there = train_ns + embargo_ns + test_ns, last - first
        raise UsageError(
            f"a walk-forward needs {needed / 1e9:g} s of observations (train {train_ns / 1e9:g} s, embargo "
            f"{embargo_ns / 1e9:g} s, test {test_ns / 1e9:g} s), there are {there / 1e9:g} s"
        )
    return found


def folds(
    times: I64, count: int, *, expanding: bool = True, horizon_ns: int = 0, embargo_ns: int = 0
) -> list[TimeSplit]:
    """Walk-forward with a number of folds: ``count + 1`` equal stretches of time, all but the first of them tested.

    Raises
    ------
    UsageError
        If the count is not >= 1 or there are not enough observations.
    """
    times = _checked(times, horizon_ns, embargo_ns)
    if count < 1 or len(times) < 2 * (count + 1):
        raise UsageError(f"{max(1, count)} folds need {2 * (max(1, count) + 1)} observations, had {len(times)}")
    length = (int(times[-1]) - int(times[0]) + _step_of(times)) // (count + 1)
    return walk_forward(
        times,
        length - embargo_ns,
        length,
        expanding=expanding,
        horizon_ns=horizon_ns,
        embargo_ns=embargo_ns,
    )


def combinatorial(
    times: I64, groups: int = 6, test_groups: int = 2, *, horizon_ns: int = 0, embargo_ns: int = 0
) -> list[TimeSplit]:
    """Combinatorial purged cross-validation (CPCV): every choice of ``test_groups`` of ``groups`` stretches is a test.

    ``C(N, k)`` splits make ``C(N, k)·k/N`` whole test paths, see :func:`paths`. Training lies on both sides of a test
    stretch, so observations that look ahead into it are purged before it, and the embargo is kept after it too.

    Raises
    ------
    UsageError
        If there are fewer than 2 groups, fewer observations than groups, or no training would be left.
    """
    times = _checked(times, horizon_ns, embargo_ns)
    if not 1 <= test_groups < groups:
        raise UsageError(f"test groups must be 1 to {groups - 1} of {groups} groups, was {test_groups}")
    if len(times) < groups:
        raise UsageError(f"{groups} groups need at least as many observations, had {len(times)}")
    parts = np.array_split(np.arange(len(times), dtype=np.int64), groups)
    found = []
    for chosen in combinations(range(groups), test_groups):
        keep = np.ones(len(times), np.bool_)
        for group in chosen:
            first, last = int(times[parts[group][0]]), int(times[parts[group][-1]])
            # Out: what is tested, what looks ahead into it, what its own look ahead covers, and the embargo around it.
            keep &= (times + horizon_ns + embargo_ns < first) | (times > last + horizon_ns + embargo_ns)
        train = np.flatnonzero(keep)
        if not len(train):
            raise UsageError("horizon and embargo leave no training observation: fewer groups or a shorter embargo")
        tested = [parts[group] for group in chosen]
        found.append(TimeSplit(train, np.concatenate(tested), chosen, tuple(len(part) for part in tested)))
    return found


def paths(groups: int, test_groups: int) -> list[tuple[int, ...]]:
    """Whole test paths of combinatorial splits: for each path, the split that each group's test is taken from.

    Returns
    -------
    list of tuple
        ``C(N, k)·k/N`` paths of ``groups`` indices into :func:`combinatorial`'s splits; each (split, group) is used
        once.
    """
    choices = list(combinations(range(groups), test_groups))
    of_group = [[number for number, chosen in enumerate(choices) if group in chosen] for group in range(groups)]
    return [
        tuple(splits[path] for splits in of_group) for path in range(comb(groups, test_groups) * test_groups // groups)
    ]


def _checked(times: I64, horizon_ns: int, embargo_ns: int) -> I64:
    found = np.asarray(times, np.int64)
    if len(found) < 2 or not (np.diff(found) > 0).all():
        raise UsageError(f"splits need at least 2 rising times, had {len(found)}")
    if horizon_ns < 0 or embargo_ns < 0:
        raise UsageError(f"horizon and embargo must be >= 0 ns, were {horizon_ns} and {embargo_ns}")
    return found


def _step_of(times: I64) -> int:
    """Usual distance of two observations: the last one covers this much time too."""
    return int(np.median(np.diff(times)))
