"""Why lanes of a backtest did not trade: a table of zeros does not say."""

import math
from decimal import Decimal
from typing import Any, Final

import numpy as np

from tidewright.engine.backtest import BacktestResult
from tidewright.engine.refused import refused_lanes
from tidewright.market.instrument import Instrument, units_text
from tidewright.market.order_size import least_lots
from tidewright.strategies.sizes import AS_GIVEN, BY_CAPITAL

_MARGIN: Final = 1.01  # sizes of a policy are in proportion to the capital but for whole lots
_WORDS: Final = {
    "price": "the price must be within the venue's limits",
    "quantity": "the quantity must be within the venue's limits",
    "open_orders": "too many were open at once",
    "balance": "the balance did not cover them",
    "would_take": "post-only, they would have traded at once on arrival",
    "outside_window": "the price must be within the book's window",
    "far_from_market": "the price must be nearer to the market",
    "stop_orders": "too many stop orders slept at once",
}


def notes(result: BacktestResult) -> list[str]:
    """Default sizes that were raised, and what kept lanes from trading; a sentence each."""
    sizes = result.assumptions["sizes"]
    return [*([] if sizes in (AS_GIVEN, BY_CAPITAL) else [sizes]), *idle_lanes(result)]


def idle_lanes(result: BacktestResult) -> list[str]:
    """What kept lanes from trading, a sentence each; none if nothing did.

    Returns
    -------
    list[str]
        Lanes that sent no order (and whether their quantity is under one lot), and lanes of whose orders more than
        half were rejected, for which reasons, and what quantity would be large enough.
    """
    orders, instrument = result.statistics["n_orders"], result.instrument
    told = []
    lots = np.full(result.lanes, np.inf)
    if "base_quantity" in result.params:
        lots = np.floor(result.params["base_quantity"] / float(instrument.lot_size) + 1e-9)
    under = (orders == 0) & (lots < 1)
    if under.any():
        most = result.params["base_quantity"][under].max()
        told.append(
            f"{_count(under)} quoted nothing: base_quantity must be at least one lot, {instrument.lot_size} "
            f"{instrument.base}, was {most:g}, so the strategy was not called; {_enough(result)}"
        )
    idle = (orders == 0) & (lots >= 1)
    if idle.any() and not result.shares["whole"]:
        told.append(
            f"{_count(idle)} sent no order: the book was never whole, so nothing was decided; trades and bars need "
            "assumed quotes (data import --quotes 1)"
        )
    elif idle.any():
        told.append(f"{_count(idle)} sent no order: nothing was quoted while the book was whole, or limits forbade it")
    refused = refused_lanes(result.statistics)
    if refused.any():
        share = result.statistics["n_rejects"][refused].sum() / orders[refused].sum()
        told.append(f"{_count(refused)} had {share:.0%} of the orders rejected: {_why(result)}")
    return told


def rejected(result: BacktestResult) -> dict[str, Any] | None:
    """Plain values of :attr:`BacktestResult.refused`."""
    found = result.refused
    return None if found is None else {"lane": found.lane, "looked_at": found.orders, "reasons": found.reasons}


def least_quantity(result: BacktestResult) -> str:
    """The smallest quantity of an order, decimal text, that is enough at the newest price and at those refused."""
    prices = [result.last_ticks, *([] if result.refused is None else [result.refused.lowest_ticks])]
    return result.instrument.qty_text(least_lots(result.instrument, max(1, min(prices))))


def _why(result: BacktestResult) -> str:
    found, instrument = result.refused, result.instrument
    least = f"an order must be worth at least {_worth(instrument)} {instrument.quote}"
    if found is None:
        return f"{least} and, post-only, not cross the market"
    words = {**_WORDS, "worth": least}
    parts = [f"{words.get(name, name)} ({count} of {found.orders} looked at)" for name, count in found.reasons.items()]
    too_small = {"worth", "quantity"} & set(found.reasons)
    return "; ".join([*parts, *([_enough(result)] if too_small else [])])


def _enough(result: BacktestResult) -> str:
    least = Decimal(least_quantity(result))
    quoted = float(result.params["base_quantity"].max()) if "base_quantity" in result.params else 0.0
    if result.assumptions["sizes"] == BY_CAPITAL and quoted > 0.0:
        capital = math.ceil(float(result.assumptions["capital"]) * float(least) / quoted * _MARGIN)
        return f"a capital of {capital} {result.instrument.quote} is enough"
    return f"base_quantity {least.normalize():f} is enough"


def _worth(instrument: Instrument) -> str:
    return f"{float(units_text(instrument.filters.min_notional)):g}"


def _count(lanes: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> str:
    count = int(np.count_nonzero(lanes))
    return f"{count} of {len(lanes)} lanes" if len(lanes) > 1 else "the lane"
