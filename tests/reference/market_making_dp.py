"""Exact dynamic programming of the closed-form market: the best any policy can do, and what a given one does.

Nothing is simulated. Distances are searched on a grid; bid and ask are chosen together, because both may be filled in
one step.
"""

from collections.abc import Callable

import numpy as np

from tidewright.agents.executor.environment_closed_form import ClosedFormMarket
from tidewright.market.tape import F64

GRID = 0.02


def inventories(market: ClosedFormMarket) -> F64:
    """All inventories, ascending."""
    return np.arange(-market.max_inventory, market.max_inventory + 1, dtype=np.float64)


def _expected(market: ClosedFormMarket, after: F64, bid: F64, ask: F64) -> F64:
    """Expected reward and value after it, for every inventory (the first axis of all arguments)."""
    held = inventories(market).reshape(-1, *[1] * (np.broadcast(bid, ask).ndim - 1))
    chance = market.intensity * market.dt
    buys = np.where(held < market.max_inventory, chance * np.exp(-market.kappa * bid), 0.0)
    sells = np.where(held > -market.max_inventory, chance * np.exp(-market.kappa * ask), 0.0)
    stay = after.reshape(held.shape)
    up, down = np.roll(stay, -1, axis=0), np.roll(stay, 1, axis=0)
    earned = buys * bid + sells * ask - market.running_penalty * market.dt * held * held
    stays = buys * sells + (1.0 - buys) * (1.0 - sells)
    return earned + buys * (1.0 - sells) * up + sells * (1.0 - buys) * down + stays * stay


def _end(market: ClosedFormMarket) -> F64:
    return -market.terminal_penalty * inventories(market) ** 2


def optimum(market: ClosedFormMarket, furthest: float = 3.0) -> float:
    """Value of the best policy on the grid, flat at the start."""
    distance = np.arange(0.0, furthest + 1e-9, GRID)
    bid, ask = distance[None, :, None], distance[None, None, :]
    value = _end(market)
    for _ in range(market.steps):
        value = _expected(market, value, bid, ask).max(axis=(1, 2))
    return float(value[market.max_inventory])


def value_of(market: ClosedFormMarket, quotes: Callable[[F64, int], F64]) -> float:
    """Exact value of a policy, flat at the start.

    Parameters
    ----------
    quotes
        Distances (n, 2) of bid and ask for inventories (n,) at a step.
    """
    held, value = inventories(market), _end(market)
    for step in reversed(range(market.steps)):
        bid, ask = quotes(held, step).T
        value = _expected(market, value, bid, ask)
    return float(value[market.max_inventory])


def best_constant(market: ClosedFormMarket) -> tuple[float, float]:
    """The best distance on the grid that is the same always and on both sides, and its value."""
    shape = (2 * market.max_inventory + 1, 2)
    found = [
        (value_of(market, lambda held, step, d=distance: np.full(shape, d)), float(distance))
        for distance in np.arange(GRID, 2.0, GRID)
    ]
    value, distance = max(found)
    return distance, value
