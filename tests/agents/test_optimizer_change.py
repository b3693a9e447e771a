"""The optimizer notices that its market has changed, and judges on what came since."""

import numpy as np
import pytest

from tidewright.agents.optimizer.change import LEAST_CYCLES, SERIES, Change, Pulse, last_change, pulse, shortened
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import concatenate

START = 1_000 * MINUTE


def series(values: np.ndarray) -> Pulse:
    return Pulse(START + MINUTE * np.arange(1, len(values) + 1), values)


def steady(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = np.zeros((count, len(SERIES)))
    for index in range(1, count):
        found[index] = 0.5 * found[index - 1] + rng.normal(0.0, 0.2, len(SERIES))
    return found + 2.0


@pytest.mark.parametrize("column", range(len(SERIES)))
def test_a_switch_is_noticed_within_minutes_and_placed(column: int) -> None:
    for seed in range(5):
        values = steady(240, seed)
        values[180:, column] += 1.2
        change = last_change(series(values), MINUTE)
        assert change is not None and change.series == SERIES[column]
        switch = START + 180 * MINUTE
        assert switch < change.noticed_ns <= switch + 15 * MINUTE
        assert abs(change.began_ns - switch) <= 12 * MINUTE


def test_a_steady_market_is_left_alone() -> None:
    told = sum(last_change(series(steady(240, seed)), MINUTE) is not None for seed in range(100, 140))
    assert told <= 8  # a window of four hours in five, with three series


def test_the_newest_of_several_changes_counts_and_holes_are_passed_over() -> None:
    values = steady(300, 1)
    values[100:, 0] += 2.0
    values[200:, 2] += 2.0
    values[150:160] = np.nan
    change = last_change(series(values), MINUTE)
    assert change is not None and change.series == "spread"
    assert abs(change.began_ns - (START + 200 * MINUTE)) <= 5 * MINUTE
    assert last_change(series(np.full((50, 3), np.nan)), MINUTE) is None


def test_a_stretch_begins_at_the_change_but_never_gets_too_short() -> None:
    cycle, until = 30 * SECOND, START + 480 * MINUTE
    assert shortened(START, until, cycle, None) == START
    early = Change(START + 100 * MINUTE, START + 110 * MINUTE, "spread")
    assert shortened(START, until, cycle, early) == early.began_ns
    late = Change(until - 5 * MINUTE, until, "spread")
    assert shortened(START, until, cycle, late) == until - LEAST_CYCLES * cycle
    assert shortened(until - 40 * MINUTE, until, cycle, late) == until - 40 * MINUTE


def test_the_pulse_of_a_tape_is_counted_by_hand() -> None:
    tape = synthesize(None, hours=0.2, seed=4)
    data = concatenate([tape.data])
    found = pulse(data, tape.start_ns, tape.start_ns + 10 * MINUTE, MINUTE)
    assert found.values.shape == (10, 3) and np.isfinite(found.values).all()
    inside = (data.ts > tape.start_ns + 3 * MINUTE) & (data.ts <= tape.start_ns + 4 * MINUTE)
    prints = int((np.isin(data.kind, (2, 3, 4)) & inside).sum())
    assert found.values[3, 1] == pytest.approx(np.log1p(prints))
    empty = pulse(data.rows(0, 0), 0, 5 * MINUTE, MINUTE)
    assert np.isnan(empty.values).all()
