"""Trading a position back to what it was at the start, at the market: the last step of an emergency stop."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from tidewright.market.codes import BUY, IOC, MARKET, SELL, UNIT
from tidewright.market.errors import TimedOutError
from tidewright.market.instrument import units_text
from tidewright.trading.intake import Intake
from tidewright.trading.order_table import State
from tidewright.trading.orders import OrderManager, Plan
from tidewright.venues.interface import OrderRequest, Outcome, TradingVenue

_ROUNDS: Final = 5
_LOOK_S: Final = 0.2


async def flatten(
    venue: TradingVenue,
    manager: OrderManager,
    ears: Intake,
    store: Callable[[], None],
    now_ns: int,
    mid2: int,
    on_its_way_s: float,
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
    on_its_way_s
        As of :class:`tidewright.trading.settings.SessionSettings`.

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
        await _settle(venue, manager, ears, name, now_ns, on_its_way_s)
        store()
        if manager.orders[name].state is State.REJECTED:  # it was lost on its way
            continue
        if ledger.base_units - ledger.start_base == off:
            return f"{_amount(manager)} is left: the book is empty on the other side"
    return f"{_amount(manager)} is left after {_ROUNDS} market orders"


async def _settle(
    venue: TradingVenue, manager: OrderManager, ears: Intake, name: str, now_ns: int, on_its_way_s: float
) -> None:
    order = manager.orders[name]
    for _ in range(max(1, math.ceil(on_its_way_s / _LOOK_S))):
        await ears.catch_up(now_ns)
        if order.state.final and not order.missing_lots:
            return
        found = await venue.order(name)
        if found is not None:
            manager.on_event(found, now_ns)
            await ears.catch_up(now_ns)
            if order.state.final and not order.missing_lots:
                return
        await asyncio.sleep(_LOOK_S)
    if await venue.order(name) is None:  # it may have been on its way until now: a second one would have sold twice
        manager.resolve(name, None, now_ns)
        return
    raise TimedOutError(f"what became of order {name}, which flattens the position, is not known")


def _amount(manager: OrderManager) -> str:
    ledger = manager.ledger
    return f"{units_text(ledger.base_units - ledger.start_base)} {ledger.instrument.base}"


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
