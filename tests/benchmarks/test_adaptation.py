"""Minutes until a policy has followed the market."""

from benchmarks.adaptation import POLICIES, _minutes, _regained, table
from tidewright.market.clock import MINUTE

SWITCH = 1_000 * MINUTE


def test_minutes_run_from_the_switch_until_nine_tenths_are_regained() -> None:
    course = [(0, {}), (SWITCH - 30 * MINUTE, {}), (SWITCH + 25 * MINUTE, {}), (SWITCH + 55 * MINUTE, {})]
    assert _minutes(course, [1.0, 0.2, 0.5, 0.95], SWITCH) == 55.0
    assert _minutes(course, [1.0, 0.95, 0.5, 0.5], SWITCH) == 0.0  # it was right already
    assert _minutes(course, [1.0, 0.2, 0.5, 0.5], SWITCH) is None  # the first was given up before the switch


def test_what_is_regained_lies_between_the_old_and_the_best() -> None:
    assert _regained(-0.3, -0.5, -0.1) == 0.5
    assert _regained(-0.7, -0.5, -0.1) < 0.0  # worse than before
    assert _regained(0.2, 0.2, 0.2) == 1.0


def test_never_counts_as_more_than_all() -> None:
    row = dict.fromkeys(POLICIES, 60.0) | {f"{name}: regained": 0.95 for name in POLICIES}
    never = {**row, "fixed": None, "fixed: regained": 0.3}
    rows = [{**item, "attainable": 1.0, "fixed_worth": 0.3, "noticed_after": 23} for item in (never, never, row)]
    text = table([*rows, {**row, "fixed_worth": 0.3, "attainable": 0.3, "noticed_after": -1}])
    assert "3 of 4 markets" in text
    fixed = next(line for line in text.splitlines() if line.startswith("fixed"))
    assert "1/3" in fixed and "never" in fixed
