"""A maker of your own: a grid whose centre leans to the heavier side of the touch, and away from the inventory.

tidewright backtest --tape TAPE --strategy examples/imbalance_maker.py --set lean=0,0.5,1
tidewright optimize --tape TAPE --strategy examples/imbalance_maker.py
tidewright demo --strategy examples/imbalance_maker.py
"""

import math

from numba import njit

import tidewright as tw


@njit
def centre(view, lean, skew, lots):
    """Where the quotes stand around, in ticks: half a spread of lean at most, and skew basis points a quote held."""
    half_spread = (view.best_ask - view.best_bid) / 2.0
    mid = view.mid2 / 2.0
    return mid + lean * view.imbalance * half_spread - skew * 1e-4 * mid * view.position / lots


@tw.strategy(
    parameters=[
        tw.Parameter("spread_percentage", 0.2, 0.001, 10.0, 0.02, 1.0, "first bid to first ask, percent", log=True),
        tw.Parameter("lean", 0.5, 0.0, 10.0, 0.0, 2.0, "towards the heavier side, half spreads"),
        tw.Parameter("skew", 0.5, 0.0, 100.0, 0.0, 5.0, "away from the inventory, basis points a quote held"),
        tw.LEVELS,
        tw.BASE_QUANTITY,
        tw.MAX_POSITION,
    ]
)
def imbalance_maker(view, params, quotes):
    """A grid that leans with the order book and against its inventory."""
    lots = math.floor(params.base_quantity / view.lot + 1e-9)
    limit = params.max_position / view.lot
    middle = centre(view, params.lean, params.skew, lots)
    step = params.spread_percentage / 200.0
    bids = asks = 0
    for k in range(1, int(params.levels) + 1):
        bid = min(math.floor(middle * (1.0 - step * k)), view.best_ask - k)
        ask = max(math.ceil(middle * (1.0 + step * k)), view.best_bid + k)
        if view.position < limit - 1e-9 and bid > 0:
            quotes.bid_price[bids] = bid
            quotes.bid_qty[bids] = lots
            bids += 1
        if view.position > -limit + 1e-9:
            quotes.ask_price[asks] = ask
            quotes.ask_qty[asks] = lots
            asks += 1
    return bids, asks
