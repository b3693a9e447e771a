"""Target quotes of the strategies and what limits leave of them, written from ENGINE.md without the project's code.

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
    orders_per_minute: float = math.inf
    flatten: bool = False
    flatten_patience: float = 1
    flatten_slices: int = 2
    flatten_collar: float = 0.01


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
    best_bid: int = 0
    best_ask: int = 0
    sent: int = 0  # new orders in the last 60 s
    least: int = 1  # lots: a smaller position is none


class Verdict(NamedTuple):
    """What limits leave of the quotes."""

    bids: list[Quote]
    asks: list[Quote]
    cut: bool  # whether a limit cut something
    leaving: bool  # whether the position has to go
    new: int  # how many of the quotes are no orders yet, before those on one tick are made one


def limited(
    known: Known,
    limits: LimitSet,
    bids: list[Quote],
    asks: list[Quote],
    standing: tuple[list[Quote], list[Quote]] = ([], []),
) -> Verdict:
    """The quotes that the limits leave ("Limits (risk): what they are measured against")."""
    wanted = len(bids) + len(asks)
    # "daily loss: equity against equity at the day's start"
    lost = limits.daily_loss < math.inf and known.equity < known.day_equity * (1.0 - limits.daily_loss)
    # "volatility cut-off: EWMA volatility a cycle"
    if lost or known.volatility > limits.volatility_cutoff:
        bids, asks = [], []
    # "stop loss: unrealised loss over the position's entry value": nothing that adds to the position
    stopped = False
    held = abs(known.position) >= known.least  # "a position that no order could leave counts as none"
    if known.entry_price is not None and held:
        gain = known.mid / float(known.entry_price) - 1.0
        stopped = (-gain if known.position > 0 else gain) > limits.stop_loss
    if stopped and known.position > 0:
        bids = []
    if stopped and known.position < 0:
        asks = []
    # "flatten: one order of the whole position, one tick inside the opposite best"; not while volatility alone halts
    leaving = limits.flatten and held
    leaving = leaving and (lost or (stopped and known.volatility <= limits.volatility_cutoff))
    if leaving and known.position > 0:
        asks = [(known.best_bid + 1, known.position)]
    elif leaving and known.best_ask > 1:
        bids = [(known.best_ask - 1, -known.position)]
    elif leaving:
        bids = []
    # "max_position_share: inventory deviation plus open orders of that side, notional over equity"
    fitting, sent = _fit(known, limits, bids, 1, standing[0], known.sent)
    others, sent = _fit(known, limits, asks, -1, standing[1], sent)
    return Verdict(fitting, others, leaving or len(fitting) + len(others) < wanted, leaving, sent - known.sent)


def _fit(
    known: Known, limits: LimitSet, quotes: list[Quote], sign: int, standing: list[Quote], sent: int
) -> tuple[list[Quote], int]:
    """Quotes of a side that fit, and how many orders are new with them."""
    there = list(standing)
    fitting: list[Quote] = []
    for quote in quotes:
        lots = known.position * sign + sum(qty for _, qty in [*fitting, quote])
        heavy = float(lots) * known.lot * known.mid > limits.max_position_share * max(0.0, known.equity)
        if lots > 0 and limits.max_position_share < math.inf and heavy:
            break
        if quote in there:
            there.remove(quote)
        elif sent >= limits.orders_per_minute:  # "Most new orders in any 60 seconds"
            continue
        else:
            sent += 1
        fitting.append(quote)
    return fitting, sent


def smallest_position(limits: LimitSet, mid2: int, min_qty: int, min_notional: int) -> int:
    """ "under the smallest order at the lower end of the collar": no order could leave less."""
    price = max(1, math.floor(mid2 * 0.5 * (1.0 - limits.flatten_collar)))
    return max(1, min_qty, math.ceil(Fraction(min_notional, price)))


def taken(
    known: Known, limits: LimitSet, waited: int, mid2: int, min_qty: int, min_notional: int
) -> tuple[int, int, int] | None:
    """The order that leaves by taking: sign, price, lots. "in so many immediate-or-cancel orders, one a decision; none
    of them further from the mid than this", nor less than the venue takes.
    """
    sign = -1 if known.position > 0 else 1
    reach = max(limits.flatten_collar * (mid2 * 0.5), 0.5)
    price = math.ceil(mid2 * 0.5 - reach) if sign < 0 else math.floor(mid2 * 0.5 + reach)
    price = max(1, price)
    least = max(min_qty, math.ceil(Fraction(min_notional, price)))
    whole = abs(known.position)
    slices_left = max(1, limits.flatten_slices - (waited - int(limits.flatten_patience) - 1))
    lots = min(whole, max(math.ceil(Fraction(whole, slices_left)), least))
    if whole - lots < least:
        lots = whole
    return (sign, price, lots) if 0 < lots >= least else None
