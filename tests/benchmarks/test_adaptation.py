"""Minutes until a policy has followed the market."""

import pytest

from benchmarks.adaptation import AFTER, POLICIES, _regained, table, told
from tidewright.market.clock import MINUTE

SWITCH = 1_000 * MINUTE


def test_minutes_run_from_the_switch_until_nine_tenths_are_regained() -> None:
    course = [(0, {}), (SWITCH - 30 * MINUTE, {}), (SWITCH + 60 * MINUTE, {}), (SWITCH + 180 * MINUTE, {})]
    assert told(course, [1.0, 0.2, 0.5, 0.95], SWITCH)["minutes"] == 180.0
    assert told(course, [1.0, 0.95, 0.5, 0.5], SWITCH)["minutes"] == 0.0  # it was right already
    assert told(course, [1.0, 0.2, 0.5, 0.5], SWITCH)["minutes"] is None  # the first was given up before the switch
    assert AFTER == 240 * MINUTE
    assert told(course, [1.0, 0.2, 0.5, 0.95], SWITCH)["held"] == pytest.approx(0.25)
    assert told(course, [1.0, 0.3, 0.6, -0.2], SWITCH)["share"] == pytest.approx((0.3 + 2 * 0.6 - 0.2) / 4.0)


def test_what_is_regained_lies_between_the_old_and_the_best() -> None:
    assert _regained(-0.3, -0.5, -0.1) == pytest.approx(0.5)
    assert _regained(-0.7, -0.5, -0.1) < 0.0  # worse than before
    assert _regained(0.2, 0.2, 0.2) == 1.0


def test_never_counts_as_more_than_all() -> None:
    well, ill = {"minutes": 60.0, "held": 0.8, "share": 0.7}, {"minutes": None, "held": 0.0, "share": 0.1}
    row = dict.fromkeys(POLICIES, well) | {"said": {"ours": {"noticed": 23}}, "old": 0.3, "switch": "wilder"}
    never = {**row, "fixed": ill}
    rows = [{**item, "attainable": 1.0} for item in (never, never, row)]
    text = table([*rows, {**row, "attainable": 0.3}])
    assert "3 of 4 switches" in text
    fixed = next(line for line in text.splitlines() if line.startswith("fixed"))
    assert "1/3" in fixed and "never" in fixed
