"""Revaluation of a book in past crises and a user's own scenarios."""

import math

import numpy as np
import pytest

from tidewright.market.errors import UsageError
from tidewright.risk import stress as s
from tidewright.risk.limits import Limits
from tidewright.risk.liquidity import NEVER, Levels, Liquidity

DEEP = Liquidity(
    1e6, 0.03, 100.0, Levels(np.array([99.99, 99.9]), np.array([50.0, 1e5])),
    Levels(np.array([100.01, 100.1]), np.array([50.0, 1e5])), taker_fee=0.001,
)  # fmt: skip


def long(quantity: float = 10.0, **more) -> s.Position:
    return s.Position("BTC", quantity, DEEP, **more)


@pytest.mark.parametrize(
    ("name", "move"),
    [("2020-03-12", -0.514), ("2021-05-19", -0.30), ("2022-11", -0.26), ("2024-08-05", -0.17), ("2025-10-10", -0.15)],
)
def test_a_crisis_revalues_by_what_bitcoin_did_then(name: str, move: float) -> None:
    found = s.revalue(s.CRISES[name], [long()], 10_000.0)
    assert found.revaluation == pytest.approx(-move * 1_000)
    assert found.loss >= found.revaluation and found.loss_share == pytest.approx(found.loss / 10_000)


def test_other_assets_fall_by_what_they_did_and_a_short_gains() -> None:
    crisis = s.CRISES["2025-10-10"]
    assert crisis.move("SOL") == -0.31 and crisis.move("PEPE") == -0.47
    assert s.CRISES["2020-03-12"].move("ETH") == pytest.approx(-0.694, abs=1e-3)
    assert s.revalue(crisis, [long(-10.0)], 10_000.0).revaluation == pytest.approx(-150.0)


def test_one_sided_flow_fills_the_open_orders_on_the_losing_side() -> None:
    shock = s.Shock("x", "", {"BTC": -0.1}, one_sided=True)
    found = s.revalue(shock, [long(0.0, open_bids=10.0, open_asks=10.0)], 10_000.0)
    assert found.revaluation == pytest.approx(10 * 100 * 0.1 / 2)
    assert s.revalue(s.Shock("y", "", {"BTC": -0.1}), [long(0.0, open_bids=10.0)], 10_000.0).loss == 0


def test_leaving_costs_more_where_the_spread_is_wide_and_the_book_is_empty() -> None:
    costs = [
        s.revalue(shock, [long(100.0)], 10_000.0).unwind
        for shock in (s.Shock("calm", ""), s.GENERIC["spread-x10"], s.GENERIC["spread-x50"], s.GENERIC["depth-90"])
    ]
    assert costs[0] < costs[1] < costs[2] and costs[3] > costs[0]


def test_an_outage_lets_the_price_wander_and_delays_the_exit() -> None:
    found = s.revalue(s.GENERIC["outage"], [long()], 10_000.0)
    assert found.outage == pytest.approx(1_000 * 2.326348 * 0.03 * math.sqrt(1 / 24))
    assert found.flatten_ns == 3_600_000_000_000 and found.unseen == found.outage
    assert s.revalue(s.GENERIC["outage"], [], 10_000.0).flatten_ns == 0


def test_a_stale_mark_hides_the_loss_and_where_nothing_trades_there_is_no_exit() -> None:
    found = s.revalue(s.GENERIC["stale-mark"], [long()], 10_000.0)
    assert found.unseen == pytest.approx(found.revaluation) and found.unseen > 0
    dead = s.Position("BTC", 1.0, Liquidity(0.0, 0.03, 100.0))
    assert s.revalue(s.CRISES["2022-11"], [dead], 1_000.0).flatten_ns == NEVER


def test_the_limits_that_a_crisis_breaches_are_named() -> None:
    limits = Limits(max_position_share=0.2, drawdown=0.3)
    mild = s.revalue(s.CRISES["2025-10-10"], [long(entry_price=100.0)], 10_000.0, limits)
    assert mild.fired == ("stop_loss",)
    bad = s.revalue(s.CRISES["2020-03-12"], [long(80.0, entry_price=100.0)], 10_000.0, limits)
    assert bad.fired == ("max_position_share", "stop_loss", "daily_loss", "drawdown")


def test_a_users_scenarios_are_read_and_mistakes_are_told() -> None:
    told = {
        "scenario": [
            {"name": "mine", "move": {"BTC": -0.2, "others": -0.4}, "spread": 30, "outage": "10m"},
            {"move": 0.1},
        ]
    }
    first, second = s.read_scenarios(told)
    assert (first.move("BTC"), first.move("X"), first.outage_ns) == (-0.2, -0.4, 600_000_000_000)
    assert second.name == "scenario-2" and second.move("BTC") == 0.1
    for wrong, words in (
        ({"scenario": [{"mvoe": 1}]}, "unknown mvoe"),
        ({"scenario": [{"move": -1.0}]}, "must be over -1"),
        ({"scenario": [{"depth": 0}]}, "depth must be over 0"),
        ({"scenario": [{"spread": "x"}]}, "spread must be a number"),
        ({"scenario": [{"one_sided": 1}]}, "one_sided must be true or false"),
        ({"scenarios": []}, "holds \\[\\[scenario\\]\\] tables"),
    ):
        with pytest.raises(UsageError, match=words):
            s.read_scenarios(wrong)
    with pytest.raises(UsageError, match="equity > 0"):
        s.revalue(first, [], 0.0)
