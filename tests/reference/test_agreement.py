"""Engine and slow model agree report by report on random tapes, orders and lanes.

A failure shows the smallest case that still fails. ``TIDEWRIGHT_FUZZ_CASES`` and ``TIDEWRIGHT_FUZZ_SEED`` say how many
cases the slow run takes, and from where.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.reference.compare import differences
from tests.reference.driver import Case
from tests.reference.reduce import reduced
from tests.reference.tapes import (
    Chooser,
    Rolled,
    outside_case,
    outside_cases,
    queue_case,
    queue_cases,
    quotes_case,
    quotes_cases,
    strategy_case,
    strategy_cases,
    window_case,
    window_cases,
)

everyday = settings(
    max_examples=20,
    derandomize=True,  # the same cases on every machine
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
MAKERS = [queue_case, outside_case, window_case, quotes_case, strategy_case]


def agree(case: Case) -> None:
    found = differences(case)
    assert not found, "\n".join([*found, repr(case)])


@everyday
@given(queue_cases())
def test_queues_shorten_alike(case: Case) -> None:
    agree(case)


@everyday
@given(outside_cases())
def test_orders_from_outside_meet_the_same_fate(case: Case) -> None:
    agree(case)


@everyday
@given(window_cases())
def test_a_moving_window_forgets_the_same_levels(case: Case) -> None:
    agree(case)


@everyday
@given(quotes_cases())
def test_levels_behind_best_quotes_are_unknown_to_both(case: Case) -> None:
    agree(case)


@everyday
@given(strategy_cases())
def test_strategy_lanes_live_the_same_life(case: Case) -> None:
    agree(case)


def agree_on(make: Callable[[Chooser], Case], first: int, count: int) -> None:
    for seed in range(first, first + count):
        case = make(Rolled(seed))
        if differences(case):
            small = reduced(case, lambda each: bool(differences(each)))
            pytest.fail("\n".join([f"case {seed}:", *differences(small), repr(small)]))


@pytest.mark.parametrize("make", MAKERS)
def test_many_seeded_cases_agree(make: Callable[[Chooser], Case]) -> None:
    agree_on(make, 0, 100)


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_thousands_of_seeded_cases_agree(make: Callable[[Chooser], Case]) -> None:
    agree_on(
        make, int(os.environ.get("TIDEWRIGHT_FUZZ_SEED", "1000")), int(os.environ.get("TIDEWRIGHT_FUZZ_CASES", "5000"))
    )
