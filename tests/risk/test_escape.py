"""The way out that takes: when it begins, how much at once, at what price."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import UsageError
from tidewright.risk import escape
from tidewright.risk.limits import Limits


def limits(patience=1, slices=2, collar=0.01, **more):
    return Limits(flatten_patience=patience, flatten_slices=slices, flatten_collar=collar, **more)


def taking(chosen, waited, position, mid2, standing=0, min_qty=1, min_notional=0):
    """Side, ticks and lots; nothing where it sends nothing. A tick is 1, a lot 0.1."""
    found = escape.taking(chosen.values(), waited, position, mid2, 1.0, 0.1, standing, min_qty, min_notional)
    return tuple(map(int, found)) if found[2] else None


def test_it_waits_and_then_leaves_in_slices_that_come_out_even():
    chosen, position, sent = limits(patience=3, slices=4), 1_000, []
    for waited in range(4):
        assert taking(chosen, waited, position, 20_000) is None
    for waited in range(4, 8):
        side, price, lots = taking(chosen, waited, position, 20_000)
        assert (side, price) == (SELL, 9_900)
        sent.append(lots)
        position -= lots
    assert sent == [250] * 4 and position == 0
    assert taking(chosen, 9, -10, 20_001) == (BUY, 10_100, 10)


def test_without_patience_it_never_takes():
    assert taking(limits(patience=None), 10_000, 5, 20_000) is None


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(-(10**9), 10**9), st.integers(0, 20), st.integers(1, 10**9), st.integers(0, 10**9),
    st.integers(1, 10**6), st.integers(0, 10**12), st.none() | st.floats(1e-4, 0.5), st.none() | st.floats(1.0, 1e12),
    st.integers(0, 5), st.integers(1, 9), st.floats(1e-4, 0.9),
)  # fmt: skip
def test_it_never_turns_the_position_over_nor_leaves_the_collar_nor_sends_what_no_venue_takes(
    position, waited, mid2, standing, min_qty, min_notional, collar, notional, patience, slices, own
):
    chosen = limits(patience, slices, own, price_collar=collar, order_notional=notional)
    order = taking(chosen, waited, position, mid2, standing, min_qty, min_notional)
    if order is None:
        return
    side, price, lots = order
    assert waited > patience and lots + standing <= abs(position)
    assert side == (SELL if position > 0 else BUY)
    assert lots >= min_qty and lots * price >= min_notional
    assert notional is None or lots * 0.1 * price <= notional * (1 + 1e-12)
    worst = min(own, math.inf if collar is None else collar)
    reach = worst * mid2 / 2 if collar is not None and collar * mid2 < 1 else max(worst * mid2 / 2, 0.5)
    rounded = 0.5 if reach < 0.5 else 0.0  # away from the opposite side: it does not fill
    least_price = 1.0 if mid2 < 4 else 0.0  # a price of no ticks is no price
    assert abs(price - mid2 / 2) <= reach + rounded + least_price + 1e-6 * mid2


def test_a_collar_narrower_than_half_a_tick_still_reaches_the_nearest_price():
    coarse = limits(patience=0, slices=1)
    assert taking(coarse, 1, 5, 21) == (SELL, 10, 5)  # bid 10, ask 11
    assert taking(coarse, 1, -5, 21) == (BUY, 11, 5)
    tight = limits(patience=0, slices=1, price_collar=0.01)
    assert taking(tight, 1, 5, 21) == (SELL, 11, 5)  # a limit is a limit: it waits


def test_a_rest_that_no_venue_takes_goes_with_the_slice_before_it():
    halves = limits(patience=0, slices=2)
    assert taking(halves, 1, 15, 200, min_qty=10) == (SELL, 99, 15)
    assert taking(halves, 1, 40, 200, min_notional=990) == (SELL, 99, 20)
    assert taking(halves, 1, 9, 200, min_qty=10) is None


def test_a_slice_that_the_largest_order_makes_small_leaves_a_rest_that_can_be_left():
    one = limits(patience=0, slices=1, order_notional=1_000.0)  # 100 lots of 0.1 at 100
    assert taking(one, 1, 105, 200, min_qty=10) == (SELL, 99, 95)
    assert taking(one, 1, 110, 200, min_qty=10) == (SELL, 99, 100)
    assert taking(limits(patience=0, slices=1, order_notional=150.0), 1, 18, 200, min_qty=10) == (SELL, 99, 15)


def test_slices_and_collar_must_make_sense():
    for wrong in ({"patience": -1}, {"patience": 0.5}, {"slices": 0}, {"slices": True}, {"collar": 0.0}, {"collar": 1}):
        with pytest.raises(UsageError):
            limits(**wrong)
