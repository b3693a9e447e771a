"""Gueant, Lehalle and Fernandez-Tapia (2013): published closed form, and what the strategy makes of it."""

import pytest

from tests.strategies.test_grid import quoted, view
from tidewright.strategies.glft import half_spread_and_skew

# gamma, sigma, A, k, inventory -> distances of bid and ask from the mid; from (4.6) and (4.7) with xi = gamma, D = 1.
VECTORS = [
    (0.01, 0.3, 0.9, 0.3, 0, 3.312915, 3.312915),
    (0.01, 0.3, 0.9, 0.3, 5, 3.652244, 2.973586),
    (0.1, 2.0, 140.0, 1.5, 0, 0.671244, 0.671244),
    (0.1, 2.0, 140.0, 1.5, 3, 0.826395, 0.516092),
]


@pytest.mark.parametrize(("gamma", "sigma", "intensity", "kappa", "inventory", "bid", "ask"), VECTORS)
def test_distances_of_the_closed_form(
    gamma: float, sigma: float, intensity: float, kappa: float, inventory: int, bid: float, ask: float
) -> None:
    half, skew = half_spread_and_skew(gamma, sigma, kappa, intensity)
    assert half + inventory * skew == pytest.approx(bid, abs=1e-6)
    assert half - inventory * skew == pytest.approx(ask, abs=1e-6)


def test_without_risk_aversion_the_half_spread_is_the_inverse_of_the_decay() -> None:
    half, skew = half_spread_and_skew(1e-7, 0.5, 0.25, 1.0)
    assert half == pytest.approx(4.0, rel=1e-3)
    assert skew == pytest.approx(0.0, abs=1e-3)


SETTING = {"gamma": 0.01, "kappa": 0.3, "intensity": 0.9, "sigma_bps": 0.3, "base_quantity": 0.001, "max_position": 1.0}


def test_quotes_stand_at_the_closed_forms_distances_in_basis_points() -> None:
    """Inventory of 5 order sizes of 100 lots; mid 60000.50, tick 0.01."""
    bids, asks = quoted("glft", view(position=500), **SETTING, levels=1)
    mid = 6_000_050.0
    assert bids == [(int(mid * (1 - 3.652244e-4)), 100)]
    assert asks == [(int(mid * (1 + 2.973586e-4)) + 1, 100)]


def test_measured_volatility_stands_in_for_sigma() -> None:
    """1 bp a 30 s cycle is 1 / sqrt(30) bp over the root of a second."""
    given = quoted("glft", view(volatility=1e-4, position=500), **{**SETTING, "sigma_bps": 30**-0.5})
    measured = quoted("glft", view(volatility=1e-4, position=500), **{**SETTING, "sigma_bps": 0.0})
    assert given == measured


def test_the_hour_does_not_matter() -> None:
    assert quoted("glft", view(elapsed_ns=0), **SETTING) == quoted("glft", view(elapsed_ns=10**15), **SETTING)


def test_nothing_is_quoted_under_one_lot_and_no_side_beyond_its_limit() -> None:
    assert quoted("glft", view(), **{**SETTING, "base_quantity": 0.0}) == ([], [])
    bids, asks = quoted("glft", view(position=1000), **{**SETTING, "max_position": 0.01}, levels=3)
    assert (len(bids), len(asks)) == (0, 3)
