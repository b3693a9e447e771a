"""The grid's arithmetic: where its quotes stand and when a side is left out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.strategies import dispatch, registry
from tidewright.strategies.view import View, new_quotes

SECOND = 1_000_000_000


def view(mid2: int = 12_000_100, position: int = 0, lot: float = 1e-5, **changes: float) -> View:
    base = View(
        now_ns=30 * SECOND,
        elapsed_ns=30 * SECOND,
        cycle_ns=30 * SECOND,
        best_bid=mid2 // 2,
        best_ask=mid2 - mid2 // 2,
        bid_qty=5,
        ask_qty=5,
        mid2=mid2,
        tick=0.01,
        lot=lot,
        price_change=0.0,
        volatility=1e-4,
        imbalance=0.0,
        position=position,
    )
    return base._replace(**changes)  # type: ignore[arg-type]


def quoted(strategy: str, seen: View, **params: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    row = registry.rows(strategy, params)[0]
    quotes = new_quotes()
    bids, asks = dispatch.quote(registry.strategy(strategy).number, seen, row, quotes)
    return (
        list(zip(quotes.bid_price[:bids].tolist(), quotes.bid_qty[:bids].tolist(), strict=True)),
        list(zip(quotes.ask_price[:asks].tolist(), quotes.ask_qty[:asks].tolist(), strict=True)),
    )


def test_quotes_stand_at_multiples_of_half_the_spread_rounded_outward() -> None:
    bids, asks = quoted("grid", view(), spread_percentage=0.18, levels=3, base_quantity=0.001, max_position=1)
    mid = 6_000_050.0
    assert bids == [(math.floor(mid * (1 - 0.0009 * k)), 100) for k in (1, 2, 3)]
    assert asks == [(math.ceil(mid * (1 + 0.0009 * k)), 100) for k in (1, 2, 3)]


@given(mid2=st.integers(2, 10**10), spread=st.floats(1e-4, 150.0), levels=st.integers(1, 8))
def test_bids_lie_at_or_under_and_asks_at_or_over_the_exact_price(mid2: int, spread: float, levels: int) -> None:
    spread = min(spread, 100.0)
    bids, asks = quoted("grid", view(mid2), spread_percentage=spread, levels=levels, base_quantity=1, max_position=9)
    for k, (price, _) in enumerate(asks, 1):
        assert price >= mid2 / 2 * (1 + spread / 200 * k) * (1 - 1e-12)
    assert all(price > 0 for price, _ in bids)
    assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
    assert len(asks) == levels


@pytest.mark.parametrize(
    ("position", "sides"), [(0, (2, 2)), (999, (2, 2)), (1000, (0, 2)), (1500, (0, 2)), (-1000, (2, 0))]
)
def test_a_side_is_left_out_at_the_position_limit(position: int, sides: tuple[int, int]) -> None:
    bids, asks = quoted("grid", view(position=position), levels=2, base_quantity=0.001, max_position=0.01)
    assert (len(bids), len(asks)) == sides


def test_nothing_is_quoted_under_one_lot() -> None:
    assert quoted("grid", view(), base_quantity=0.000009) == ([], [])


def test_a_quantity_on_the_lot_grid_is_not_lost_to_floating_point() -> None:
    bids, _ = quoted("grid", view(lot=0.01), base_quantity=0.07, max_position=1, levels=1)
    assert bids[0][1] == 7
