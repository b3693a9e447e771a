import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import DAY, ManualClock, WallClock, iso, parse_duration
from tidewright.market.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("30s", 30 * 10**9),
        ("50ms", 50 * 10**6),
        ("7us", 7_000),
        ("9ns", 9),
        ("1.5h", 5_400 * 10**9),
        ("2m", 120 * 10**9),
        ("1d", DAY),
        ("2", 2 * 10**9),
        (0.25, 250 * 10**6),
        ("0", 0),
    ],
)
def test_durations(text, ns):
    assert parse_duration(text) == ns


@given(st.integers(0, 10**6), st.sampled_from(["ns", "us", "ms", "s", "m", "h", "d"]))
def test_whole_numbers_are_exact_in_every_unit(number, unit):
    one = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": DAY}[unit]
    assert parse_duration(f"{number}{unit}") == number * one


@pytest.mark.parametrize("text", ["", "s", "abc", "-1s", "nan", "inf", "1w", "1 minute"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="duration"):
        parse_duration(text)


def test_manual_clock_stands_where_it_was_put_and_never_goes_back():
    clock = ManualClock(5)
    clock.set(9)
    clock.set(9)
    assert clock.market_ns() == 9
    with pytest.raises(UsageError, match="may not fall"):
        clock.set(8)
    assert clock.market_ns() == 9


def test_wall_time_is_the_systems_also_on_a_manual_clock():
    before = time.time_ns()
    walls = [ManualClock(5).wall_ns(), WallClock().wall_ns(), WallClock().market_ns()]
    assert all(before <= wall <= time.time_ns() for wall in walls)


def test_iso_is_utc_with_milliseconds():
    assert iso(1_767_653_687_210_999_999) == "2026-01-05T22:54:47.210Z"
    assert iso(0) == "1970-01-01T00:00:00.000Z"
