"""The way out that takes: when it begins, how much at once, at what price."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import UsageError
from tidewright.risk.escape import Escape, taking


def test_it_waits_and_then_leaves_in_slices_that_come_out_even():
    escape, position, sent = Escape(patience=3, slices=4, collar=0.01), 1_000, []
    for waited in range(4):
        assert taking(escape, waited, position, 20_000) is None
    for waited in range(4, 8):
        order = taking(escape, waited, position, 20_000)
        assert order is not None and (order.side, order.price_ticks) == (SELL, 9_900)
        sent.append(order.qty_lots)
        position -= order.qty_lots
    assert sent == [250] * 4 and position == 0
    assert taking(escape, 9, -10, 20_001) == (BUY, 10_100, 10)


@given(
    st.integers(-(10**9), 10**9), st.integers(0, 20), st.integers(1, 10**9), st.integers(0, 10**9),
    st.integers(1, 10**6), st.none() | st.floats(1e-4, 0.5), st.integers(0, 5), st.integers(1, 9),
    st.floats(1e-4, 0.9),
)  # fmt: skip
def test_it_never_turns_the_position_over_nor_leaves_the_collar(
    position, waited, mid2, standing, least, collar, patience, slices, own
):
    other = {"standing_lots": standing, "least_lots": least, "price_collar": collar}
    order = taking(Escape(patience, slices, own), waited, position, mid2, **other)
    if order is None:
        return
    assert waited > patience and order.qty_lots + standing <= abs(position)
    assert order.side == (SELL if position > 0 else BUY)
    worst = min(own, math.inf if collar is None else collar)
    reach = worst * mid2 / 2 if collar is not None and collar * mid2 < 1 else max(worst * mid2 / 2, 0.5)
    rounded = 0.5 if reach < 0.5 else 0.0  # away from the opposite side: it does not fill
    least_price = 1.0 if mid2 < 4 else 0.0  # a price of no ticks is no price
    assert abs(order.price_ticks - mid2 / 2) <= reach + rounded + least_price + 1e-6 * mid2


def test_a_collar_narrower_than_half_a_tick_still_reaches_the_nearest_price():
    coarse = Escape(patience=0, slices=1, collar=0.01)
    assert taking(coarse, 1, 5, 21) == (SELL, 10, 5)  # bid 10, ask 11
    assert taking(coarse, 1, -5, 21) == (BUY, 11, 5)
    assert taking(coarse, 1, 5, 21, price_collar=0.01) == (SELL, 11, 5)  # a limit is a limit: it waits


def test_slices_and_collar_must_make_sense():
    for wrong in ({"patience": -1}, {"slices": 0}, {"collar": 0.0}, {"collar": 1.0}):
        with pytest.raises(UsageError):
            Escape(**wrong)
