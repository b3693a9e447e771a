"""Leaving a position: the book, the square-root law, and the size that can still be left."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import DAY
from tidewright.market.errors import UsageError
from tidewright.risk import liquidity as q

BIDS = q.Levels(np.array([99.0, 98.0, 97.0]), np.array([1.0, 2.0, 3.0]))
ASKS = q.Levels(np.array([101.0, 103.0]), np.array([2.0, 2.0]))


def market(**changes) -> q.Liquidity:
    told = {"daily_volume": 1000.0, "daily_deviation": 0.03, "mid": 100.0, "bids": BIDS, "asks": ASKS}
    return q.Liquidity(**{**told, **changes})


def test_the_square_root_law() -> None:
    """3 % a day and 1 % of the volume: 30 bp at exponent 1/2, 31.6 bp at 0.489 (Sato & Kanazawa, arXiv 2411.13965)."""
    assert q.square_root_impact(0.01, 0.03) == pytest.approx(30e-4)
    assert q.square_root_impact(0.01, 0.03, exponent=0.489) == pytest.approx(31.6e-4, abs=5e-6)


def test_a_walk_takes_the_best_first_and_says_what_is_not_there() -> None:
    assert q.walk(BIDS, 2.0, 100.0) == pytest.approx((2.0, 98.5, 0.015))
    assert q.walk(BIDS, 100.0, 100.0).filled == 6.0
    assert math.isnan(q.walk(BIDS, 0.0, 100.0).average)


def test_a_long_position_is_sold_into_the_bids_and_a_short_one_bought_from_the_asks() -> None:
    free = market(daily_deviation=0.0)
    assert q.unwind(2.0, free).cost == pytest.approx(0.015) and q.unwind(2.0, free).time_ns == 0
    assert q.unwind(-2.0, free).cost == pytest.approx(0.01)
    assert q.unwind(0.0, free) == (0.0, 0.0, 0, 1.0)


def test_what_the_book_does_not_hold_takes_time_at_the_participation() -> None:
    found = q.unwind(16.0, market(daily_deviation=0.0))  # 6 at once, 10 at 10 % of 1,000 a day
    assert found.time_ns == DAY // 10 and found.book_share == pytest.approx(6 / 16)
    assert found.cost > q.unwind(6.0, market(daily_deviation=0.0)).cost


def test_where_nothing_trades_the_rest_cannot_be_left() -> None:
    found = q.unwind(7.0, market(daily_volume=0.0))
    assert found.cost == 1.0 and found.time_ns == q.NEVER


def test_the_fee_is_part_of_the_cost() -> None:
    assert q.unwind(1.0, market(taker_fee=0.001)).cost == pytest.approx(0.011)


@given(st.floats(0.01, 1e3), st.floats(1.0, 3.0))
def test_cost_and_time_never_fall_with_the_size(size: float, times: float) -> None:
    small, large = q.unwind(size, market()), q.unwind(size * times, market())
    assert large.cost >= small.cost * (1 - 1e-9) and large.time_ns >= small.time_ns


def test_wrong_use_is_told() -> None:
    with pytest.raises(UsageError, match="participation must be in"):
        market(participation=0.0)
    with pytest.raises(UsageError, match="mid > 0"):
        market(mid=0.0)
