"""Numbers of papers.md F, and what no small group may do."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination.patterns.combining import (
    cap_weights,
    log_pool,
    pool_beliefs,
    quorum,
    tolerated,
    trimmed_mean,
    weighted_median,
)
from tidewright.market.errors import UsageError


def test_published_vectors():
    assert log_pool([0.7, 0.6, 0.9]) == pytest.approx(0.759510, abs=5e-7)
    assert weighted_median([1, 1.1, 0.9, 1.05, 1e6], [1] * 5) == 1.05
    assert trimmed_mean([1, 1.1, 0.9, 1.05, 1e6], 1) == pytest.approx(1.05)
    assert [tolerated(n) for n in (1, 3, 4, 6, 7, 10)] == [0, 0, 1, 1, 2, 3]
    assert [quorum(n) for n in (1, 2, 3, 4, 7, 10)] == [1, 2, 2, 3, 5, 7]


def test_a_pool_of_beliefs_about_two_things_is_the_pool_of_the_odds():
    found = pool_beliefs([[p, 1 - p] for p in (0.7, 0.6, 0.9)])
    assert found[0] == pytest.approx(log_pool([0.7, 0.6, 0.9]))


def test_certainty_stays_and_contradiction_is_told():
    assert log_pool([1.0, 0.2]) == 1.0
    with pytest.raises(UsageError, match="certain yes"):
        log_pool([1.0, 0.0])


weights = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=3, max_size=13)


@given(weights)
def test_no_tolerated_group_ever_holds_a_majority(raw):
    shares = cap_weights({str(index): weight for index, weight in enumerate(raw)})
    few = max(1, tolerated(len(raw)))
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    assert math.fsum(sorted(shares.values(), reverse=True)[:few]) < 0.5
    order = sorted(range(len(raw)), key=lambda index: raw[index])
    ranked = [shares[str(index)] for index in order]
    assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(ranked))  # more earned is never less weight


def test_fair_weights_are_left_alone():
    assert cap_weights({"a": 1.0, "b": 1.0, "c": 2.0, "d": 1.0}) == {"a": 0.2, "b": 0.2, "c": 0.4, "d": 0.2}


honest = st.lists(st.floats(-100, 100), min_size=5, max_size=9)


@given(honest, st.data())
def test_liars_cannot_move_a_trimmed_mean_or_a_capped_median_out_of_the_honest_range(values, data):
    liars = (len(values) - 1) // 2 if len(values) < 7 else (len(values) - 1) // 3
    liars = min(liars, tolerated(len(values) + liars))
    wild = data.draw(st.lists(st.floats(-1e9, 1e9), min_size=liars, max_size=liars))
    together = values + wild
    assert min(values) - 1e-9 <= trimmed_mean(together, liars) <= max(values) + 1e-9
    earned = data.draw(st.lists(st.floats(0.05, 1), min_size=len(together), max_size=len(together)))
    shares = cap_weights({str(index): weight for index, weight in enumerate(earned)})
    assert min(values) <= weighted_median(together, list(shares.values())) <= max(values)
