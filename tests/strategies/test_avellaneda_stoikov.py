"""Avellaneda and Stoikov (2008): published formulas, and what the strategy makes of them."""

import numpy as np
import pytest

from tests.strategies.test_grid import quoted, view
from tidewright.strategies.avellaneda_stoikov import reservation_and_spread

# gamma, sigma, k, time left, inventory -> reservation price, spread; mid 100. Computed from (3.17) and (3.18).
VECTORS = [
    (0.1, 2.0, 1.5, 1.0, 0, 100.0, 1.690770),
    (0.1, 2.0, 1.5, 1.0, 3, 98.8, 1.690770),
    (0.1, 2.0, 1.5, 0.5, -2, 100.4, 1.490770),
    (0.01, 2.0, 1.5, 1.0, 0, 100.0, 1.368909),
    (0.5, 2.0, 1.5, 1.0, 1, 98.0, 3.150728),
]


@pytest.mark.parametrize(("gamma", "sigma", "kappa", "left", "inventory", "reservation", "spread"), VECTORS)
def test_reservation_price_and_spread_of_the_paper(
    gamma: float, sigma: float, kappa: float, left: float, inventory: int, reservation: float, spread: float
) -> None:
    r, s = reservation_and_spread(100.0, float(inventory), gamma, sigma, kappa, left)
    assert (r, s) == (pytest.approx(reservation, abs=1e-6), pytest.approx(spread, abs=1e-6))


def test_mean_spread_over_the_horizon_is_that_of_the_papers_tables() -> None:
    """Tables 1 and 2 print 1.49 (gamma 0.1) and 1.35 (gamma 0.01) for sigma 2, k 1.5."""
    left = (np.arange(200) + 0.5) / 200
    for gamma, printed in ((0.1, 1.49), (0.01, 1.35)):
        spreads = [reservation_and_spread(100.0, 0.0, gamma, 2.0, 1.5, float(t))[1] for t in left]
        assert round(float(np.mean(spreads)), 2) == printed


SETTING = {"gamma": 0.01, "kappa": 0.5, "sigma_bps": 20.0, "levels": 1, "base_quantity": 0.001, "max_position": 1.0}


def test_quotes_lean_against_the_inventory() -> None:
    flat_bids, flat_asks = quoted("avellaneda_stoikov", view(), **SETTING)
    long_bids, long_asks = quoted("avellaneda_stoikov", view(position=300), **SETTING)
    assert long_bids[0][0] < flat_bids[0][0]
    assert long_asks[0][0] < flat_asks[0][0]


def test_quotes_never_cross_the_touch() -> None:
    seen = view(position=-5000)
    bids, asks = quoted("avellaneda_stoikov", seen, **{**SETTING, "gamma": 1.0, "levels": 4})
    assert all(price < seen.best_ask for price, _ in bids)
    assert all(price > seen.best_bid for price, _ in asks)
    assert len({price for price, _ in bids}) == 4


def test_measured_volatility_stands_in_for_sigma() -> None:
    """1 bp a 30 s cycle over an hour of 120 cycles is sqrt(120) bp: the same quotes as with that sigma given."""
    given = quoted("avellaneda_stoikov", view(volatility=1e-4), **{**SETTING, "sigma_bps": 120**0.5})
    measured = quoted("avellaneda_stoikov", view(volatility=1e-4), **{**SETTING, "sigma_bps": 0.0})
    assert given == measured


def test_the_lean_fades_towards_the_end_of_the_horizon() -> None:
    hour = 3600 * 10**9
    early, _ = quoted("avellaneda_stoikov", view(position=300, elapsed_ns=0), **SETTING)
    late, _ = quoted("avellaneda_stoikov", view(position=300, elapsed_ns=hour - 1), **SETTING)
    assert late[0][0] > early[0][0]
