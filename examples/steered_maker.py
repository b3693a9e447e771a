"""A maker of your own that a learned policy can steer: as wide as the market moves, shaped at every decision.

tidewright evolve --synthetic --strategy examples/steered_maker.py --out maker.tw
tidewright evaluate --examine --tape TAPE --policy maker.tw
tidewright demo --policy maker.tw
"""

import math

import tidewright as tw


@tw.strategy(
    parameters=[
        *tw.SHAPE,
        tw.Parameter("calm_bps", 1.0, 0.01, 100.0, 0.1, 10.0, "half spread in a still market, bps", log=True),
        tw.Parameter("per_volatility", 0.5, 0.0, 50.0, 0.0, 3.0, "half spread added per volatility of a cycle"),
        tw.BASE_QUANTITY,
        tw.MAX_POSITION,
    ]
)
def steered_maker(view, params, quotes):
    """Quotes around the mid, wider the more it moves; spread, skew, spacing, levels and stance are a policy's."""
    lots = math.floor(params.base_quantity / view.lot + 1e-9)
    limit = params.max_position / view.lot
    mid = view.mid2 / 2.0
    half = mid * (params.calm_bps * 1e-4 + params.per_volatility * view.volatility) * params.spread
    held = view.position - 0.5 * params.stance * limit  # what is held beyond what the policy leans to
    middle = mid + params.skew * half - half * min(1.0, max(-1.0, held / max(1.0, limit)))
    bids = asks = 0
    for k in range(int(params.levels)):
        away = half * (1.0 + params.level_spacing * k)
        bid = min(math.floor(middle - away), view.best_ask - 1)
        ask = max(math.ceil(middle + away), view.best_bid + 1)
        if view.position < limit and params.stance > -2.0 and bid > 0:
            quotes.bid_price[bids] = bid
            quotes.bid_qty[bids] = lots
            bids += 1
        if view.position > -limit and params.stance < 2.0:
            quotes.ask_price[asks] = ask
            quotes.ask_qty[asks] = lots
            asks += 1
    return bids, asks
