"""Before a session trades: what the venue says against what the store says, until both agree to the last unit.

The venue is right about what happened, the store about what we meant. Orders the store knows are adopted or cancelled,
fills it missed are booked, and then the books must balance with the account. If they do not, somebody else trades on it
or something was lost: the session refuses to start and says by how much.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tidewright.market.errors import TidewrightError
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.order_table import State
from tidewright.trading.orders import OrderManager, Plan, tracked
from tidewright.venues.interface import Balances, Outcome, TradingVenue

_TRIES = 5
_PAUSE_S = 0.2


class OtherAccountError(TidewrightError):
    """The venue does not know an order that it had confirmed."""


class DoesNotBalanceError(TidewrightError):
    """The ledger and the account differ after everything known has been booked."""


@dataclass(slots=True)
class Reconciliation:
    """What was found at the start.

    Attributes
    ----------
    adopted, cancelled
        Client ids of orders that were open and are followed again, or were cancelled.
    missing_fills
        Trade numbers that the store had missed.
    never_sent
        Client ids written down before a crash that never reached the venue.
    foreign
        Client ids of open orders on the account that are not ours; they are left alone.
    """

    adopted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    missing_fills: list[int] = field(default_factory=list)
    never_sent: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def text(self) -> str:
        """One line for people."""
        parts = [
            f"{len(found)} {what}"
            for what, found in (
                ("open orders adopted", self.adopted),
                ("open orders cancelled", self.cancelled),
                ("missed fills booked", self.missing_fills),
                ("orders that were never sent", self.never_sent),
                ("orders of somebody else left alone", self.foreign),
            )
            if found
        ]
        return ", ".join(parts) or "nothing was open"


async def begin(venue: TradingVenue, base: str, quote: str) -> tuple[LedgerState, int]:
    """Starting balances of a new session and the number of the last trade before it.

    Raises
    ------
    TimedOutError
        If the venue does not answer.
    """
    for _ in range(_TRIES):
        before = await venue.newest_trade_id()
        balances = await venue.balances()
        if await venue.newest_trade_id() == before:
            break
        await asyncio.sleep(_PAUSE_S)
    return LedgerState(balances.total(base), balances.total(quote)), before


def restore(database: Database, session: str, ledger: Ledger) -> OrderManager:
    """Order manager and books of a session as the store knows them: every fill booked, every open order followed."""
    manager = OrderManager(session, ledger, database.order_numbers(session) + 1)
    fills = database.rows(schema.fills, session)
    for row in fills:
        ledger.book(row["side"], row["price_ticks"], row["qty_lots"], row["fee_units"], row["fee_asset"])
    manager.remember_booked(row["trade_id"] for row in fills)
    for row in database.open_orders(session):
        manager.adopt(tracked(row))
    return manager


async def reconcile(
    venue: TradingVenue,
    database: Database,
    manager: OrderManager,
    now_ns: int,
    start_trade_id: int,
    *,
    adopt: bool = True,
    on_its_way_s: float,
) -> Reconciliation:
    """Bring store, books and venue together.

    Parameters
    ----------
    manager
        As :func:`restore` made it.
    start_trade_id
        The account's last trade before the session began.
    adopt
        Follow orders that are still open; ``False``: cancel them.
    on_its_way_s
        As of :class:`tidewright.trading.settings.SessionSettings`: an order that the venue does not know may have been
        sent just before the process before died, so that it is asked about once more after so many seconds.

    Raises
    ------
    OtherAccountError
        If the venue has never heard of an order that it had confirmed: it is not the venue or account of this session.
    DoesNotBalanceError
        If books and account still differ.
    TimedOutError
        If the venue does not answer: nothing is known, so nothing is started.
    """
    result, absent = Reconciliation(), list[str]()
    for order in manager.live():
        found = await venue.order(order.client_order_id)
        if found is None and order.state in (State.NEW, State.PARTIALLY_FILLED):
            raise OtherAccountError(
                f"the venue does not know order {order.client_order_id}, which it had in its book: this is another "
                "account, or an exchange that was started anew; start with a new session directory"
            )
        if found is None:
            absent.append(order.client_order_id)
        else:
            _settle(manager, order.client_order_id, found, now_ns)
    if absent:
        await asyncio.sleep(on_its_way_s)
    for name in absent:
        found = await venue.order(name)
        if found is None:
            result.never_sent.append(name)
        _settle(manager, name, found, now_ns)
    await _book_missing(venue, database, manager, start_trade_id, now_ns, result)
    ours = {order.client_order_id: order for order in manager.live()}
    for update in await venue.open_orders():
        if update.client_order_id in ours:
            result.adopted.append(update.client_order_id)
        else:
            result.foreign.append(update.client_order_id)
    if not adopt and result.adopted:
        await _cancel(venue, manager, result.adopted, now_ns)
        result.cancelled, result.adopted = result.adopted, []
        await _book_missing(venue, database, manager, start_trade_id, now_ns, result)
    await _balance(venue, database, manager, start_trade_id, now_ns, result)
    write(database, manager)
    database.commit()
    return result


def write(database: Database, manager: OrderManager) -> int:
    """Hand the store what the manager changed; the number of new fills."""
    orders, fills = manager.take_rows()
    database.add(schema.orders, orders)
    database.add(schema.fills, fills)
    if manager.owners is not None:
        for table, rows in manager.owners.take_rows():
            database.add(table, rows)
    return len(fills)


def _settle(manager: OrderManager, name: str, found: Any, now_ns: int) -> None:
    order = manager.orders[name]
    if order.state in (State.PENDING_NEW, State.PENDING_CANCEL):
        manager.lose(name, now_ns)  # whatever was on its way when the last process died
    if order.state is not State.UNKNOWN and found is not None:
        manager.on_event(found, now_ns)
        return
    manager.resolve(name, found, now_ns)


async def _book_missing(
    venue: TradingVenue,
    database: Database,
    manager: OrderManager,
    start_trade_id: int,
    now_ns: int,
    result: Reconciliation,
) -> None:
    for fill in await venue.fills(start_trade_id):
        if manager.is_booked(fill.trade_id):
            continue
        if manager.by_number(fill.order_id) is None and (name := database.client_id_of(fill.order_id)):
            ended = database.order(name)
            if ended is not None:
                manager.adopt(tracked(ended))
        if manager.on_fill(fill, now_ns):
            result.missing_fills.append(fill.trade_id)


async def _cancel(venue: TradingVenue, manager: OrderManager, names: list[str], now_ns: int) -> None:
    plan = Plan(list(names), [], 0)
    manager.intend(plan, now_ns)
    answers = await venue.submit(plan.cancels, [])
    manager.on_answers(plan, answers, now_ns)
    for answer in answers:
        if answer.outcome is not Outcome.ACCEPTED:
            manager.resolve(answer.client_order_id, await venue.order(answer.client_order_id), now_ns)


async def _balance(
    venue: TradingVenue,
    database: Database,
    manager: OrderManager,
    start_trade_id: int,
    now_ns: int,
    result: Reconciliation,
) -> None:
    ledger = manager.ledger
    base, quote = ledger.instrument.base, ledger.instrument.quote
    difference, balances = "", Balances()
    for attempt in range(_TRIES):
        # A fill between the two questions makes them differ for a moment: ask again before believing it.
        if attempt:
            await asyncio.sleep(_PAUSE_S)
            await _book_missing(venue, database, manager, start_trade_id, now_ns, result)
        balances = await venue.balances()
        difference = ledger.difference(balances.total(base), balances.total(quote))
        if not difference:
            return
    raise DoesNotBalanceError(
        f"the ledger of session {manager.session} does not balance with the account: {difference}. "
        "Somebody else trades on this account, or money was moved; start with a new session directory to accept it."
    )
