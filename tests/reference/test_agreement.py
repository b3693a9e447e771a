"""Engine and slow model agree report by report on random tapes, orders and lanes.

A failure shows the smallest case that still fails. ``TIDEWRIGHT_FUZZ_CASES`` and ``TIDEWRIGHT_FUZZ_SEED`` say how many
cases the slow run takes, and from where.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.reference.compare import differences, numbered
from tests.reference.driver import Case, run_engine
from tests.reference.engine_driver import drive
from tests.reference.reduce import reduced
from tests.reference.tapes import (
    Chooser,
    Rolled,
    filters_case,
    filters_cases,
    futures_case,
    futures_cases,
    leaving_case,
    leaving_cases,
    outside_case,
    outside_cases,
    queue_case,
    queue_cases,
    quotes_case,
    quotes_cases,
    random_filters,
    strategy_case,
    strategy_cases,
    window_case,
    window_cases,
)
from tidewright.market.codes import FILL, FILTER_PERCENT_PRICE

everyday = settings(
    max_examples=20,
    derandomize=True,  # the same cases on every machine
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
MAKERS = [queue_case, outside_case, filters_case, window_case, quotes_case, strategy_case, futures_case, leaving_case]


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
@given(filters_cases())
def test_filters_refuse_the_same_orders(case: Case) -> None:
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


@everyday
@given(futures_cases())
def test_positions_pay_and_receive_the_same_funding(case: Case) -> None:
    agree(case)


@everyday
@given(leaving_cases())
def test_lanes_that_have_to_leave_do_so_alike(case: Case) -> None:
    agree(case)


def test_what_is_recorded_changes_nothing_of_how_lanes_leave() -> None:
    """Where all reports are recorded lanes act when they decide, else when their orders arrive."""
    takers = 0
    for seed in range(40):
        case = leaving_case(Rolled(seed))
        told, quiet = run_engine(case), drive(case, record_fills=1)
        for one, other in zip(told, quiet, strict=True):
            fills = [report for report in one.reports if report.what == FILL]
            takers += sum(not fill.maker for fill in fills)
            assert numbered(fills) == numbered(other.reports) and one.equity == other.equity
    assert takers > 5


def test_what_is_recorded_changes_nothing_of_what_filters_refuse() -> None:
    rejects = 0
    for seed in range(60):
        choose = Rolled(seed)
        case = replace(strategy_case(choose), filters=random_filters(choose, always=True))
        for one, other in zip(run_engine(case), drive(case, record_fills=1), strict=True):
            fills = [report for report in one.reports if report.what == FILL]
            assert numbered(fills) == numbered(other.reports) and one.equity == other.equity
            assert one.statistics["n_rejects"] == other.statistics["n_rejects"]
            rejects += sum(report.reason == FILTER_PERCENT_PRICE for report in one.reports)
    assert rejects > 100


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
