"""Trading a position back to what it was at the start, at the market: the last step of an emergency stop."""

import asyncio
from collections.abc import Callable
from typing import Final

from tidewright.market.codes import BUY, IOC, MARKET, SELL, UNIT
from tidewright.market.errors import TimedOutError
from tidewright.market.instrument import units_text
from tidewright.trading.intake import Intake
from tidewright.trading.orders import OrderManager, Plan
from tidewright.venues.interface import OrderRequest, Outcome, TradingVenue

_ROUNDS: Final = 5
_LOOKS: Final = 25
_LOOK_S: Final = 0.2


async def flatten(
    venue: TradingVenue, manager: OrderManager, ears: Intake, store: Callable[[], None], now_ns: int, mid2: int
) -> str:
    """Send market orders until no whole lot that the venue would take is left.

    Every order is in the store before it is sent. No order may be open any more.

    Parameters
    ----------
    store
        Writes what has changed in the manager down, before anything is sent.
    now_ns
        Market time, nanoseconds.
    mid2
        Best bid plus best ask, ticks; 0 if there has never been a mid.

    Returns
    -------
    str
        What is left of the position and why, or that it is flat.

    Raises
    ------
    TimedOutError
        If the fate of an order stays unknown.
    """
    instrument = manager.ledger.instrument
    for _ in range(_ROUNDS):
        ledger = manager.ledger
        off = ledger.base_units - ledger.start_base
        if abs(off) < instrument.lot_units:
            return "the position is flat"
        # A buy pays its commission in what it brings: a little more is bought.
        lots = _ceil(-off * UNIT, (UNIT - max(0, instrument.taker_fee)) * instrument.lot_units)
        if off > 0:
            lots = off // instrument.lot_units
        worth = lots * mid2 * instrument.quote_units / 2
        if lots < instrument.filters.min_qty_lots or worth < instrument.filters.min_notional:
            return f"{_amount(manager)} is left: too little for an order"
        name = f"tw-{manager.session}-{manager.next_number}"
        plan = Plan([], [OrderRequest(name, SELL if off > 0 else BUY, 0, lots, MARKET, IOC)], 0)
        manager.intend(plan, now_ns)
        store()
        answers = await venue.submit([], plan.orders)
        manager.on_answers(plan, answers, now_ns)
        if answers[0].outcome is Outcome.REJECTED:
            return f"{_amount(manager)} is left: the venue refused the order ({answers[0].reason})"
        await _settle(venue, manager, ears, name, now_ns)
        store()
        if ledger.base_units - ledger.start_base == off:
            return f"{_amount(manager)} is left: the book is empty on the other side"
    return f"{_amount(manager)} is left after {_ROUNDS} market orders"


async def _settle(venue: TradingVenue, manager: OrderManager, ears: Intake, name: str, now_ns: int) -> None:
    for _ in range(_LOOKS):
        for event in ears.drain():
            manager.on_event(event, now_ns)
        order = manager.orders[name]
        if order.state.final and not order.missing_lots:
            return
        found = await venue.order(name)
        if found is None:
            manager.resolve(name, None, now_ns)
        else:
            manager.on_event(found, now_ns)
        await ears.fetch_fills(now_ns)
        if order.state.final and not order.missing_lots:
            return
        await asyncio.sleep(_LOOK_S)
    raise TimedOutError(f"what became of order {name}, which flattens the position, is not known")


def _amount(manager: OrderManager) -> str:
    ledger = manager.ledger
    return f"{units_text(ledger.base_units - ledger.start_base)} {ledger.instrument.base}"


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
