"""Splits on times: nothing of a test stretch is seen, or looked ahead into, by its training."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.measure.splits import combinatorial, folds, paths, walk_forward

TIMES = np.arange(100, dtype=np.int64) * 10


def test_rolling_training_keeps_its_length_and_expanding_keeps_its_start() -> None:
    rolling = walk_forward(TIMES, 300, 100, embargo_ns=20)
    assert [(s.train[0], s.train[-1], s.test[0], s.test[-1]) for s in rolling[:2]] == [
        (0, 29, 32, 41),
        (10, 39, 42, 51),
    ]
    assert {len(s.train) for s in rolling} == {30}
    growing = walk_forward(TIMES, 300, 100, expanding=True, embargo_ns=20)
    assert [len(s.train) for s in growing] == [30, 40, 50, 60, 70, 80]
    assert [s.test.tolist() for s in growing] == [s.test.tolist() for s in rolling]
    for before, after in pairwise(rolling):
        assert before.test[-1] + 1 == after.test[0]


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 50), min_size=30, max_size=120),
    st.integers(0, 100),
    st.integers(0, 100),
    st.booleans(),
)
def test_no_training_observation_reaches_into_the_test(gaps: list[int], horizon: int, embargo: int, wide: bool) -> None:
    times = np.cumsum(np.array(gaps, np.int64))
    span = int(times[-1] - times[0])
    try:
        found = walk_forward(
            times, span // 3 + 1, span // 5 + 1, expanding=wide, horizon_ns=horizon, embargo_ns=embargo
        )
    except UsageError:
        return  # no room
    for split in found:
        assert (times[split.train] + horizon < times[split.test[0]]).all()
        assert (times[split.train] < times[split.test[0]] - embargo + 1).all()


def test_combinatorial_splits_make_whole_paths_and_are_purged_on_both_sides() -> None:
    found = combinatorial(TIMES, 6, 2, horizon_ns=15, embargo_ns=20)
    assert len(found) == 15  # C(6, 2): papers on CPCV give 15 splits and 5 paths
    whole = paths(6, 2)
    assert len(whole) == 5 == math.comb(6, 2) * 2 // 6
    used = [(split, group) for path in whole for group, split in enumerate(path)]
    assert len(set(used)) == len(used) == 30
    assert all(group in found[split].groups for split, group in used)
    for split in found:
        assert len(split.test) == sum(split.sizes)
        for first in split.test[np.diff(split.test, prepend=-9) > 1]:
            before = split.train[split.train < first]
            assert not len(before) or TIMES[before[-1]] + 15 + 20 < TIMES[first]
        for last in split.test[np.diff(split.test, append=10**6) > 1]:
            after = split.train[split.train > last]
            assert not len(after) or TIMES[after[0]] > TIMES[last] + 15 + 20


def test_folds_cover_all_but_the_first_part() -> None:
    found = folds(TIMES, 4, embargo_ns=10)
    assert np.concatenate([s.test for s in found]).tolist() == list(range(20, 100))
    assert all(s.train[-1] + 2 == s.test[0] for s in found)


def test_too_little_market_says_what_would_be_enough() -> None:
    seconds = TIMES * 1_000_000_000
    with pytest.raises(UsageError, match=r"needs 1200 s .* there are 990 s"):
        walk_forward(seconds, 800 * 10**9, 400 * 10**9)
    with pytest.raises(UsageError, match="10 observations"):
        folds(TIMES[:9], 4)
    with pytest.raises(UsageError, match="rising"):
        walk_forward(np.array([1, 1], np.int64), 1, 1)
    with pytest.raises(UsageError, match="no training"):
        combinatorial(TIMES, 3, 2, embargo_ns=1_000)
    with pytest.raises(UsageError, match="test groups"):
        combinatorial(TIMES, 3, 3)
