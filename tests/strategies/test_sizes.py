"""Sizes that a venue's filters let pass, where nobody stated any: the same rule for every command."""

from dataclasses import replace

import pytest

from tidewright.market.codes import UNIT
from tidewright.market.instrument import Filters, Instrument
from tidewright.strategies.declaration import MAX_POSITION, Parameter
from tidewright.strategies.registry import strategy
from tidewright.strategies.sizes import Sizes

CHEAP = Instrument(
    "venue", "ABCUSDT", "ABC", "USDT", "0.001", "0.01", filters=Filters(min_qty_lots=1, min_notional=5 * UNIT)
)
DEFAULTS = {"spread_percentage": 0.2, "levels": 4.0, "base_quantity": 0.001, "max_position": 0.01}


def test_the_refusal_names_the_rule_the_value_and_what_would_be_enough() -> None:
    sizes = Sizes(CHEAP, 1.25)
    assert sizes.least == 4.0 and sizes.refusal(4.0) == ""
    for quantity, words in (
        (0.001, "base_quantity 0.001 ABC is under the least quantity of 0.01 ABC (min_qty)"),
        (2.0, "is worth 2.5 USDT at 1.25, an order must be worth at least 5 USDT (min_notional)"),
    ):
        assert words in sizes.refusal(quantity) and sizes.refusal(quantity).endswith(
            "base_quantity of 5 would be enough"
        )
    assert sizes.refusal(5.0) == ""


def test_sizes_that_nobody_gave_can_be_traded_and_those_given_stay() -> None:
    sizes = Sizes(CHEAP, 1.25)
    params, told = sizes.tradable(DEFAULTS, (), 10_000.0)
    assert (params["base_quantity"], params["max_position"]) == (20.0, 160.0)  # a four-hundredth of the capital
    assert "base_quantity 20" in told and "max_position 160" in told
    poor, _ = sizes.tradable(DEFAULTS, (), 100.0)
    assert poor["base_quantity"] == 5.0  # what the filters ask for, with some room
    kept, told = sizes.tradable({**DEFAULTS, "base_quantity": 2.0}, ("base_quantity",), 10_000.0)
    assert kept["base_quantity"] == 2.0 and kept["max_position"] == 16.0
    dear = Sizes(replace(CHEAP, lot_size="0.00001"), 60_000.0)
    assert dear.tradable(DEFAULTS, (), 10_000.0) == (DEFAULTS, "")


@pytest.mark.parametrize(
    ("given", "raised"),
    [
        ((), {"base_quantity": 20.0, "max_position": 160.0}),
        (("max_position",), {"base_quantity": 20.0}),
        (("base_quantity",), {}),
    ],
)
def test_only_defaults_are_raised_and_only_with_a_quantity_nobody_stated(
    given: tuple[str, ...], raised: dict[str, float]
) -> None:
    found, told = Sizes(CHEAP, 1.25).defaults(strategy("grid"), given, 10_000.0)
    assert found == raised
    assert bool(told) == bool(raised)


def test_a_strategy_that_cannot_quote_as_much_keeps_its_own_size() -> None:
    small = Parameter("base_quantity", 0.001, 0.0, 0.5)
    grid = strategy("grid")
    others = [one for one in grid.parameters if one.name not in ("base_quantity", "max_position")]
    own = replace(grid, parameters=(*others, small, MAX_POSITION))
    assert Sizes(CHEAP, 1.25).defaults(own, (), 10_000.0) == ({}, "")
