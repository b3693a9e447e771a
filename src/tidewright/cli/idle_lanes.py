"""Why lanes of a backtest did not trade: a table of zeros does not say."""

import numpy as np

from tidewright.engine.backtest import BacktestResult
from tidewright.market.instrument import units_text

_MOST = 0.5


def idle_lanes(result: BacktestResult) -> list[str]:
    """What kept lanes from trading, a sentence each; none if nothing did.

    Returns
    -------
    list[str]
        Lanes that sent no order (and whether their quantity is under one lot), and lanes of whose orders more than
        half were rejected.
    """
    orders, rejects = result.statistics["n_orders"], result.statistics["n_rejects"]
    instrument, told = result.instrument, []
    lots = np.full(result.lanes, np.inf)
    if "base_quantity" in result.params:
        lots = np.floor(result.params["base_quantity"] / float(instrument.lot_size) + 1e-9)
    under = (orders == 0) & (lots < 1)
    if under.any():
        least = f"base_quantity must be at least one lot, {instrument.lot_size} {instrument.base}"
        told.append(f"{_count(under)} quoted nothing: {least}, was {result.params['base_quantity'][under].max():g}")
    idle = (orders == 0) & (lots >= 1)
    if idle.any():
        told.append(f"{_count(idle)} sent no order: nothing was quoted while the book was whole, or limits forbade it")
    refused = rejects > _MOST * np.maximum(orders, 1)
    if refused.any():
        share = rejects[refused].sum() / orders[refused].sum()
        least = f"{float(units_text(instrument.filters.min_notional)):g} {instrument.quote}"
        told.append(
            f"{_count(refused)} had {share:.0%} of the orders rejected: an order must be worth at least {least} and, "
            "post-only, not cross the market"
        )
    return told


def _count(lanes: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> str:
    count = int(np.count_nonzero(lanes))
    return f"{count} of {len(lanes)} lanes" if len(lanes) > 1 else "the lane"
