"""Mean reversion and momentum: which way they lean, by numbers worked out by hand."""

import pytest

from tidewright.strategies import registry
from tidewright.strategies.mean_reversion import mean_reversion
from tidewright.strategies.momentum import momentum
from tidewright.strategies.view import View, new_quotes


def view(**changes):
    data = {
        "now_ns": 0, "elapsed_ns": 0, "cycle_ns": 30 * 10**9, "best_bid": 99_999, "best_ask": 100_001, "bid_qty": 10,
        "ask_qty": 10, "mid2": 200_000, "tick": 0.01, "lot": 0.001, "price_change": 0.0, "volatility": 0.001,
        "imbalance": 0.0, "position": 0,
    }  # fmt: skip
    return View(**{**data, **changes})


def quotes(rule, name, seen, **params):
    given = {"spread_percentage": 0.2, "levels": 1, "base_quantity": 0.01, "max_position": 0.05, **params}
    out = new_quotes()
    bids, asks = rule.py_func(seen, registry.rows(name, given)[0], out)
    return (
        list(zip(out.bid_price[:bids].tolist(), out.bid_qty[:bids].tolist(), strict=True)),
        list(zip(out.ask_price[:asks].tolist(), out.ask_qty[:asks].tolist(), strict=True)),
    )


RULES = [(mean_reversion, "mean_reversion"), (momentum, "momentum")]


@pytest.mark.parametrize(("rule", "name"), RULES)
def test_without_a_move_both_sides_stand_half_the_spread_from_the_mid(rule, name):
    assert quotes(rule, name, view()) == ([(99_900, 10)], [(100_100, 10)])


def test_after_a_rise_one_leans_down_and_the_other_up():
    risen = view(price_change=0.0008)  # 8 basis points, half of it expected back or again
    assert quotes(mean_reversion, "mean_reversion", risen) == ([(99_860, 10)], [(100_060, 10)])
    assert quotes(momentum, "momentum", risen) == ([(99_940, 10)], [(100_140, 10)])


def test_a_strong_move_is_not_traded_against():
    for rule, name in RULES:
        up, down = view(price_change=0.0035), view(price_change=-0.0035)
        assert quotes(rule, name, up)[1] == []
        assert quotes(rule, name, up)[0] != []
        assert quotes(rule, name, down)[0] == []


@pytest.mark.parametrize(("rule", "name"), RULES)
def test_inventory_moves_both_quotes_against_it_and_the_limit_leaves_a_side_out(rule, name):
    assert quotes(rule, name, view(position=20)) == ([(99_880, 10)], [(100_080, 10)])  # two sizes: two basis points
    assert quotes(rule, name, view(position=50))[0] == []
    assert quotes(rule, name, view(position=-50))[1] == []


def test_pressure_of_the_book_moves_momentum():
    assert quotes(momentum, "momentum", view(imbalance=1.0), pressure_bps=3.0)[0] == [(99_930, 10)]
