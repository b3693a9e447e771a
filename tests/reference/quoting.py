"""Target quotes of the strategies and the four limits, written from ENGINE.md without the project's code.

`avellaneda_stoikov` alone goes through the project's function in its plain Python form.
"""

import math
from fractions import Fraction
from typing import NamedTuple

from tidewright.strategies.avellaneda_stoikov import avellaneda_stoikov
from tidewright.strategies.registry import STRATEGIES
from tidewright.strategies.view import View, new_quotes

Quote = tuple[int, int]  # price in ticks, lots


class LimitSet(NamedTuple):
    """Values of the limits; infinity: none."""

    max_position_share: float = math.inf
    stop_loss: float = math.inf
    daily_loss: float = math.inf
    volatility_cutoff: float = math.inf


def grid_quotes(view: View, params: dict[str, float]) -> tuple[list[Quote], list[Quote]]:
    """ "Prices from percentages: floor (bids) or ceil (asks) of mid2/2*(1 -/+ s/100/2*k) in ticks, float64, no epsilon;
    lots = floor(quantity/lot + 1e-9); nothing quoted at 0 lots or price <= 0."
    """
    lots = math.floor(params["base_quantity"] / view.lot + 1e-9)
    bids: list[Quote] = []
    asks: list[Quote] = []
    if lots <= 0:
        return bids, asks
    half_mid = float(view.mid2) / 2.0
    for k in range(1, int(params["levels"]) + 1):
        below = math.floor(half_mid * (1.0 - params["spread_percentage"] / 100.0 / 2.0 * k))
        above = math.ceil(half_mid * (1.0 + params["spread_percentage"] / 100.0 / 2.0 * k))
        if below > 0:
            bids.append((below, lots))
        if above > 0:
            asks.append((above, lots))
    most = params["max_position"] / view.lot
    # "bids left out at known position >= max_position and asks at position <= -max_position"
    if view.position >= most - 1e-9:
        bids = []
    if view.position <= -most + 1e-9:
        asks = []
    return bids, asks


def strategy_quotes(name: str, view: View, params: dict[str, float]) -> tuple[list[Quote], list[Quote]]:
    """Target bids and asks of a strategy, in the order it writes them."""
    if name == "grid":
        return grid_quotes(view, params)
    assert name == "avellaneda_stoikov", name
    quotes = new_quotes()
    row = [params[p] for p in STRATEGIES[name].names]
    bids, asks = getattr(avellaneda_stoikov, "py_func", avellaneda_stoikov)(view, row, quotes)
    return (
        [(int(quotes.bid_price[i]), int(quotes.bid_qty[i])) for i in range(bids)],
        [(int(quotes.ask_price[i]), int(quotes.ask_qty[i])) for i in range(asks)],
    )


def merged(quotes: list[Quote]) -> list[Quote]:
    """ "Several quotes of a lane on one tick are one, their quantities added." The first keeps its place."""
    total: dict[int, int] = {}
    for price, lots in quotes:
        total[price] = total.get(price, 0) + lots
    return list(total.items())


class Known(NamedTuple):
    """What the limits are measured against: the lane's known state at a decision."""

    position: int  # lots, commission counted
    mid: float
    lot: float
    equity: float
    day_equity: float
    entry_price: Fraction | None  # average entry price of the position in quote, None when flat
    volatility: float


def limited(known: Known, limits: LimitSet, bids: list[Quote], asks: list[Quote]) -> tuple[list[Quote], list[Quote]]:
    """The quotes that the limits leave ("Limits (risk): what they are measured against")."""
    # "daily loss: equity against equity at the day's start"
    if known.equity < known.day_equity * (1.0 - limits.daily_loss):
        return [], []
    # "volatility cut-off: EWMA volatility a cycle"
    if known.volatility > limits.volatility_cutoff:
        return [], []
    # "stop loss: unrealised loss over the position's entry value": nothing that adds to the position
    if known.entry_price is not None and known.position != 0:
        gain = known.mid / float(known.entry_price) - 1.0
        if known.position > 0 and -gain > limits.stop_loss:
            bids = []
        if known.position < 0 and gain > limits.stop_loss:
            asks = []
    # "max_position_share: inventory deviation plus open orders of that side, notional over equity"
    return _fit(known, limits, bids, 1), _fit(known, limits, asks, -1)


def _fit(known: Known, limits: LimitSet, quotes: list[Quote], sign: int) -> list[Quote]:
    for count in range(len(quotes), 0, -1):
        lots = known.position * sign + sum(qty for _, qty in quotes[:count])
        if float(lots) * known.lot * known.mid <= limits.max_position_share * known.equity:
            return quotes[:count]
    return []
