"""What limits remember, and that writing it down and reading it back changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import DAY, HOUR, MINUTE, SECOND
from tidewright.market.errors import DataError, UsageError
from tidewright.risk import gate
from tidewright.risk.limit_state import LimitState
from tidewright.risk.limits import Limits

STRICT = Limits(drawdown=0.1, strict=True)


def test_a_day_begins_with_its_first_equity_and_ends_the_daily_halt_but_not_the_drawdown() -> None:
    state = LimitState()
    state.observe(DAY, 100.0, STRICT)
    state.observe(DAY + HOUR, 110.0, STRICT)
    assert (state.day_equity, state.peak_equity) == (100.0, 110.0)
    assert state.latch(gate.DAILY_LOSS | gate.DRAWDOWN | gate.VOLATILITY_CUTOFF, STRICT) == 20
    assert state.latch(gate.DRAWDOWN, STRICT) == 0, "it is there already"
    state.observe(2 * DAY, 95.0, STRICT)
    assert (state.day_equity, state.peak_equity, state.halts) == (95.0, 110.0, gate.DRAWDOWN)
    assert state.day_loss(90.0) == pytest.approx(1 - 90 / 95) and state.fall(99.0) == pytest.approx(0.1)


def test_the_day_is_that_of_the_stated_offset() -> None:
    state, tokyo = LimitState(), Limits(day_offset_hours=9)
    state.observe(DAY + 14 * HOUR, 100.0, tokyo)
    state.observe(DAY + 15 * HOUR, 90.0, tokyo)
    assert state.day_equity == 90.0


def test_a_release_begins_anew_from_the_equity_then() -> None:
    state = LimitState(1, 100.0, 110.0, gate.DRAWDOWN)
    state.release("drawdown", 90.0)
    assert state.halts == 0 and state.peak_equity == 90.0
    with pytest.raises(UsageError, match="does not halt"):
        state.release("drawdown", 90.0)
    with pytest.raises(UsageError, match="one of daily_loss, drawdown"):
        state.release("stop_loss", 90.0)


@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.floats(1.0, 1e6), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_state_that_was_written_down_goes_on_as_if_it_had_not_been(steps: list[tuple[int, float, int]]) -> None:
    straight, now = LimitState(), 0
    broken = LimitState()
    for gap, equity, mask in steps:
        now += gap
        broken = LimitState.from_json(broken.to_json())
        for state in (straight, broken):
            state.observe(now, equity, STRICT)
            state.latch(mask, STRICT)
            state.count(1)
        assert broken == straight and straight.peak_equity >= equity
        assert straight.sent >= 1 and all(now - MINUTE < at <= now for at, _ in straight.recent)


@given(st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(0, 5)), min_size=1, max_size=40))
def test_no_sixty_seconds_have_more_orders_than_are_counted(steps: list[tuple[int, int]]) -> None:
    state, now, sent = LimitState(), 0, []
    for gap, wanted in steps:
        now += gap
        state.observe(now, 100.0, STRICT)
        allowed = min(wanted, max(0, 6 - state.sent))
        state.count(allowed)
        sent += [now] * allowed
        assert state.sent == sum(at > now - MINUTE for at in sent)
    assert all(sum(begin <= at < begin + MINUTE for at in sent) <= 6 for begin in sent)


def test_a_state_of_the_fixed_minute_counts_to_its_end() -> None:
    old = {"day": 1, "day_equity": 1.0, "peak_equity": 1.0, "halts": 0, "minute": 10, "sent": 4}
    state = LimitState.from_json(old)
    state.observe(11 * MINUTE + 59 * SECOND - 1, 1.0, STRICT)
    assert state.sent == 4
    state.observe(12 * MINUTE, 1.0, STRICT)
    assert state.sent == 0


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(DataError, match="damaged"):
        LimitState.from_json({"day": 1})
