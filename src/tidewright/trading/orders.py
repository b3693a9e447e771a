"""The order manager: what we want against what is there, every order followed from intent to end.

It does no I/O. What it changes it marks, and the session writes the marked rows before anything is sent.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Table

from tidewright.market.codes import BUY, IOC, LIMIT, POST_ONLY, SELL
from tidewright.market.errors import DataError
from tidewright.trading.ledger import Ledger
from tidewright.trading.order_table import Event, State, step
from tidewright.venues.interface import (
    Answer,
    Balances,
    FillUpdate,
    OrderRequest,
    OrderUpdate,
    Outcome,
    UserEvent,
    VenueStatus,
)


class Quote(NamedTuple):
    """A wanted order: side code, integer ticks, integer lots."""

    side: int
    price_ticks: int
    qty_lots: int


@dataclass(slots=True)
class TrackedOrder:
    """One of our orders and what we know about it.

    Attributes
    ----------
    cancel_sent
        Whether a cancel has ever been sent: such an order no longer counts as a wanted one.
    unknown_since, unknown_since_s
        When its outcome became unknown: market time, and seconds by the wall.
    missing_lots
        Quantity that the venue says is filled and whose fills have not come yet.
    """

    client_order_id: str
    side: int
    price_ticks: int
    qty_lots: int
    created_ns: int
    updated_ns: int
    kind: int = LIMIT
    tif: int = POST_ONLY
    state: State = State.PENDING_NEW
    order_id: int = 0
    filled_lots: int = 0
    reported_lots: int = 0
    reason: str = ""
    cancel_sent: bool = False
    unknown_since: int = 0
    unknown_since_s: float = -math.inf

    @property
    def leaves_lots(self) -> int:
        """Quantity that can still fill; 0 for an order that has ended."""
        return 0 if self.state.final else self.qty_lots - self.filled_lots

    @property
    def missing_lots(self) -> int:
        """Filled quantity we have been told of without having its fills."""
        return max(0, self.reported_lots - self.filled_lots)


class Plan(NamedTuple):
    """The fewest messages that turn what is there into what is wanted.

    Attributes
    ----------
    kept
        Orders that stay as they are.
    why
        Why wanted quotes were left out, one text a reason.
    """

    cancels: list[str]
    orders: list[OrderRequest]
    kept: int
    why: tuple[str, ...] = ()


class Owners(Protocol):
    """Whose an order is, where several strategies trade on one account; see :mod:`tidewright.trading.several`."""

    def stands(self, order: TrackedOrder) -> bool:
        """Whether an order at a wanted price still belongs to those who want it."""
        ...

    def sent(self, order: TrackedOrder) -> None:
        """A new order is about to be sent."""
        ...

    def filled(self, order: TrackedOrder, fill: FillUpdate, now_ns: int) -> None:
        """A fill has been booked; the order does not count it yet."""
        ...

    def take_rows(self) -> list[tuple[Table, list[dict[str, Any]]]]:
        """Rows for the store since the last call, by table."""
        ...


class OrderManager:
    """All orders of one session.

    Parameters
    ----------
    session
        Middle part of the client ids: ``tw-<session>-<n>``.
    ledger
        Where fills are booked.
    next_number
        Number of the next order.
    elapsed_s
        Seconds by the wall, counted from anywhere.

    Attributes
    ----------
    owners
        Whose the orders are; ``None``: the session's own.
    told
        Balances as the user stream stated them last, free and locked together, 1e-8 units by asset.
    """

    def __init__(
        self, session: str, ledger: Ledger, next_number: int = 1, elapsed_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.session = session
        self.ledger = ledger
        self.next_number = next_number
        self._elapsed_s = elapsed_s
        self.orders: dict[str, TrackedOrder] = {}
        self.placed = self.cancels_sent = self.rejected = 0
        self.new_fills: list[FillUpdate] = []  # booked since the last take_rows
        self.foreign: list[UserEvent] = []  # events of orders that are not ours
        self.recent_fills: list[FillUpdate] = []  # the last few, for display
        self.newest_trade_id = -1
        self.owners: Owners | None = None
        self.told: dict[str, int] = {}
        self._booked: set[int] = set()
        self._changed: dict[str, None] = {}
        self._live: dict[str, TrackedOrder] = {}
        self._ended: deque[tuple[int, str]] = deque()  # when, oldest first
        self._lacking: dict[str, TrackedOrder] = {}  # said to be filled further than their fills go
        self._numbers: dict[int, TrackedOrder] = {}

    # -- planning ------------------------------------------------------------------------------------------------------

    def live(self) -> list[TrackedOrder]:
        """Orders not known to have ended, oldest first."""
        return list(self._live.values())

    def standing(self) -> list[TrackedOrder]:
        """What can still change the position as we know it: live orders, and fills of ended ones that we were told of
        without having them, as orders that are being cancelled.
        """
        told = [
            replace(order, qty_lots=order.missing_lots, filled_lots=0, state=State.UNKNOWN, cancel_sent=True)
            for order in self._lacking.values()
            if order.state.final and order.missing_lots
        ]
        return [*self._live.values(), *told]

    def plan(self, quotes: Iterable[Quote]) -> Plan:
        """Compare wanted quotes with what is neither known dead nor already sent a cancel.

        An order at a wanted price whose original quantity equals the target stays, a partial fill is not topped up. The
        rest is cancelled, what is missing is sent. Quotes on one tick are one, their quantities added.

        Nothing is sold that is not held, nothing bought that cannot be paid, and nothing sent that a filter of the
        venue would refuse. Orders cancelled by the same plan count as freed: the venue handles the cancels first.
        """
        wanted: dict[tuple[int, int], int] = {}
        for quote in quotes:
            if quote.qty_lots > 0:
                key = (quote.side, quote.price_ticks)
                wanted[key] = wanted.get(key, 0) + quote.qty_lots
        cancels: list[str] = []
        kept: list[TrackedOrder] = []
        for order in self._live.values():
            if order.cancel_sent:
                if order.state in (State.NEW, State.PARTIALLY_FILLED):  # that cancel was lost: it is known to live on
                    cancels.append(order.client_order_id)
                continue
            key = (order.side, order.price_ticks)
            if wanted.get(key) == order.qty_lots and (self.owners is None or self.owners.stands(order)):
                del wanted[key]
                kept.append(order)
            else:
                cancels.append(order.client_order_id)
        missing = [Quote(*key, wanted[key]) for key in sorted(wanted, key=_nearest_first)]
        allowed, why = _allowed(missing, kept, self.ledger)
        requests = [
            OrderRequest(f"tw-{self.session}-{self.next_number + index}", *quote) for index, quote in enumerate(allowed)
        ]
        return Plan(cancels, requests, len(kept), why)

    def take(self, plan: Plan, side: int, price_ticks: int, lots: int) -> Plan:
        """The plan with one immediate-or-cancel order behind its orders, if the filters allow it.

        It is no larger than what is held pays for.
        """
        lots = min(lots, _affordable(side, price_ticks, self.ledger))
        allowed, why = _allowed([Quote(side, price_ticks, lots)], (), self.ledger)
        number = self.next_number + len(plan.orders)
        orders = [OrderRequest(f"tw-{self.session}-{number}", *quote, tif=IOC) for quote in allowed]
        return Plan(plan.cancels, [*plan.orders, *orders], plan.kept, (*plan.why, *why))

    def intend(self, plan: Plan, now_ns: int) -> None:
        """Note what is about to be sent; it must be in the store before it is."""
        for name in plan.cancels:
            order = self.orders[name]
            self._step(order, Event.CANCEL_SENT, now_ns)
            order.cancel_sent = True
        for request in plan.orders:
            order = TrackedOrder(
                request.client_order_id,
                request.side,
                request.price_ticks,
                request.qty_lots,
                now_ns,
                now_ns,
                request.kind,
                request.tif,
            )
            self.adopt(order)
            self._changed[order.client_order_id] = None
            if self.owners is not None:
                self.owners.sent(order)
        self.next_number += len(plan.orders)
        self.placed += len(plan.orders)
        self.cancels_sent += len(plan.cancels)

    # -- what the venue says -------------------------------------------------------------------------------------------

    def on_answers(self, plan: Plan, answers: Sequence[Answer], now_ns: int) -> None:
        """Take in the answers to a plan, cancels first, as :meth:`TradingVenue.submit` gives them."""
        for index, answer in enumerate(answers):
            order = self.orders.get(answer.client_order_id)
            if order is None:
                continue
            is_cancel = index < len(plan.cancels)
            if answer.order_id:
                self._number(order, answer.order_id)
            order.reported_lots = max(order.reported_lots, answer.filled_lots)
            if order.missing_lots:
                self._lacking[order.client_order_id] = order
            if answer.outcome is Outcome.UNKNOWN:
                self._step(order, Event.ANSWER_LOST, now_ns, answer.reason)
            elif is_cancel:
                accepted = answer.outcome is Outcome.ACCEPTED
                self._step(order, Event.CANCELED if accepted else Event.CANCEL_REFUSED, now_ns, answer.reason)
            elif answer.outcome is Outcome.ACCEPTED:
                self._step(order, Event.ACCEPTED, now_ns)
            else:
                self.rejected += 1
                self._step(order, Event.REJECTED, now_ns, f"{answer.code} {answer.reason}".strip())

    def on_event(self, event: UserEvent, now_ns: int) -> None:
        """Take in one event of the user stream."""
        if isinstance(event, FillUpdate):
            self.on_fill(event, now_ns)
        elif isinstance(event, OrderUpdate):
            self._on_update(event, now_ns)
        elif isinstance(event, Balances):
            self.told.update({asset: event.total(asset) for asset in event.free})

    def on_fill(self, fill: FillUpdate, now_ns: int) -> bool:
        """Book a fill once, whichever way and however often it is heard of; whether it was new.

        Raises
        ------
        DataError
            If more was filled than was ordered.
        """
        order = self.orders.get(fill.client_order_id) or self.by_number(fill.order_id)
        if order is None:
            self.foreign.append(fill)
            return False
        if fill.trade_id in self._booked:
            return False
        if order.filled_lots + fill.qty_lots > order.qty_lots:
            raise DataError(
                f"order {order.client_order_id} of {order.qty_lots} lots was filled "
                f"{order.filled_lots + fill.qty_lots} lots by trade {fill.trade_id}"
            )
        self._booked.add(fill.trade_id)
        if self.owners is not None:
            self.owners.filled(order, fill, now_ns)
        self._number(order, order.order_id or fill.order_id)
        order.filled_lots += fill.qty_lots
        if not order.missing_lots:
            self._lacking.pop(order.client_order_id, None)
        self.ledger.book(fill.side, fill.price_ticks, fill.qty_lots, fill.fee_units, fill.fee_asset)
        self.newest_trade_id = max(self.newest_trade_id, fill.trade_id)
        named = replace(fill, client_order_id=order.client_order_id)
        self.new_fills.append(named)
        self.recent_fills = [*self.recent_fills[-9:], named]
        whole = order.filled_lots == order.qty_lots
        self._step(order, Event.FILLED_WHOLLY if whole else Event.FILLED_PARTLY, now_ns)
        return True

    def _on_update(self, update: OrderUpdate, now_ns: int) -> None:
        order = self.orders.get(update.client_order_id)
        if order is None:
            self.foreign.append(update)
            return
        self._number(order, update.order_id)
        order.reported_lots = max(order.reported_lots, update.filled_lots)
        if order.missing_lots:
            self._lacking[order.client_order_id] = order
        if update.status is VenueStatus.NEW:
            self._step(order, Event.ACCEPTED, now_ns)
        elif update.status is VenueStatus.CANCELED:
            self._step(order, Event.CANCELED, now_ns)
        elif update.status is VenueStatus.EXPIRED:
            self._step(order, Event.EXPIRED, now_ns, update.reason)
        elif update.status is VenueStatus.REJECTED:
            self._step(order, Event.REJECTED, now_ns, update.reason)

    def resolve(self, client_order_id: str, found: OrderUpdate | None, now_ns: int) -> None:
        """Settle an unknown outcome by the venue's answer to a question; fills are booked apart.

        A filled order settles only by its fills: until they are in, its state stays unknown.
        """
        order = self.orders[client_order_id]
        if found is None:
            if order.filled_lots:
                raise DataError(f"order {client_order_id} has fills, but the venue says it does not exist")
            self._step(order, Event.NOT_FOUND, now_ns, "the venue has no such order")
            return
        self._on_update(found, now_ns)
        if found.status is VenueStatus.PARTIALLY_FILLED:
            self._step(order, Event.ACCEPTED, now_ns)
            if order.filled_lots:
                self._step(order, Event.FILLED_PARTLY, now_ns)
        if found.status.live:
            order.cancel_sent = False

    def lose(self, client_order_id: str, now_ns: int) -> None:
        """Note that the answer to what was sent will never come."""
        self._step(self.orders[client_order_id], Event.ANSWER_LOST, now_ns, "the answer was lost")

    @property
    def lacking(self) -> bool:
        """Whether an order is said to be filled further than its fills go."""
        return bool(self._lacking)

    @property
    def certain(self) -> bool:
        """Whether no order's fate and no fill is being asked about."""
        return not self._lacking and all(order.state is not State.UNKNOWN for order in self._live.values())

    def unresolved(self, before_ns: int) -> list[str]:
        """Orders whose state has been unknown since before a time, and those that lack fills they are said to have."""
        unknown = [
            name
            for name, order in self._live.items()
            if order.state is State.UNKNOWN and order.unknown_since < before_ns
        ]
        return unknown + [
            name for name, order in self._lacking.items() if order.updated_ns < before_ns and name not in unknown
        ]

    def unknown_s(self, client_order_id: str) -> float:
        """Wall seconds since an order's outcome became unknown."""
        return self._elapsed_s() - self.orders[client_order_id].unknown_since_s

    # -- the store -----------------------------------------------------------------------------------------------------

    def take_rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of orders changed and fills booked since the last call, for the store."""
        orders = [self._row(self.orders[name]) for name in self._changed]
        self._changed.clear()
        fills = [_fill_row(self.session, fill) for fill in self.new_fills]
        self.new_fills.clear()
        return orders, fills

    def forget_ended(self, before_ns: int) -> None:
        """Drop orders that ended before a time; the store keeps them."""
        while self._ended and self._ended[0][0] < before_ns:
            name = self._ended[0][1]
            if name in self._lacking or name in self._changed:
                return
            self._ended.popleft()
            order = self.orders.pop(name)
            self._numbers.pop(order.order_id, None)

    def adopt(self, order: TrackedOrder) -> None:
        """Follow an order: a new one, or one read from the store."""
        self.orders[order.client_order_id] = order
        if order.order_id:
            self._numbers[order.order_id] = order
        if not order.state.final:
            self._live[order.client_order_id] = order

    def remember_booked(self, trade_ids: Iterable[int]) -> None:
        """Trades that are in the ledger already."""
        self._booked.update(trade_ids)
        self.newest_trade_id = max(self._booked, default=-1)

    def is_booked(self, trade_id: int) -> bool:
        """Whether a trade is in the ledger."""
        return trade_id in self._booked

    def by_number(self, order_id: int) -> TrackedOrder | None:
        """The followed order of the venue's number."""
        return self._numbers.get(order_id)

    def _number(self, order: TrackedOrder, order_id: int) -> None:
        if order.order_id != order_id:
            order.order_id = order_id
            self._numbers[order_id] = order

    # -- inside --------------------------------------------------------------------------------------------------------

    def _step(self, order: TrackedOrder, event: Event, now_ns: int, reason: str = "") -> None:
        before = order.state
        order.state = step(before, event, order.client_order_id)
        if order.state is not before:
            if order.state is State.UNKNOWN:
                order.unknown_since, order.unknown_since_s = now_ns, self._elapsed_s()
            elif order.state.final:
                self._live.pop(order.client_order_id, None)
                self._ended.append((now_ns, order.client_order_id))
        if reason:
            order.reason = reason
        order.updated_ns = now_ns
        self._changed[order.client_order_id] = None

    def _row(self, order: TrackedOrder) -> dict[str, Any]:
        return {
            "client_order_id": order.client_order_id,
            "session": self.session,
            "order_id": order.order_id,
            "side": order.side,
            "kind": order.kind,
            "tif": order.tif,
            "price_ticks": order.price_ticks,
            "qty_lots": order.qty_lots,
            "filled_lots": order.filled_lots,
            "state": str(order.state),
            "reason": order.reason,
            "created_ns": order.created_ns,
            "updated_ns": order.updated_ns,
        }


def tracked(row: Any) -> TrackedOrder:
    """Order from its row in the store."""
    return TrackedOrder(
        row["client_order_id"],
        row["side"],
        row["price_ticks"],
        row["qty_lots"],
        row["created_ns"],
        row["updated_ns"],
        row["kind"],
        row["tif"],
        State(row["state"]),
        row["order_id"],
        row["filled_lots"],
        row["filled_lots"],
        row["reason"],
        State(row["state"]) is State.PENDING_CANCEL,
    )


def _nearest_first(key: tuple[int, int]) -> tuple[int, int]:
    side, price = key
    return side, -price if side == BUY else price


def _fill_row(session: str, fill: FillUpdate) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "session": session,
        "client_order_id": fill.client_order_id,
        "order_id": fill.order_id,
        "ts": fill.ts_ns,
        "side": fill.side,
        "price_ticks": fill.price_ticks,
        "qty_lots": fill.qty_lots,
        "fee_units": fill.fee_units,
        "fee_asset": fill.fee_asset,
        "maker": int(fill.maker),
    }


def _allowed(
    quotes: Sequence[Quote], kept: Iterable[TrackedOrder], ledger: Ledger
) -> tuple[list[Quote], tuple[str, ...]]:
    instrument, filters = ledger.instrument, ledger.instrument.filters
    base, quote_units = ledger.base_units, ledger.quote_units
    for order in kept:
        if order.side == SELL:
            base -= order.leaves_lots * instrument.lot_units
        else:
            quote_units -= _cost(order.leaves_lots * order.price_ticks, ledger)
    taken: list[Quote] = []
    why: dict[str, None] = {}
    for quote in quotes:
        value = _cost(quote.qty_lots * quote.price_ticks, ledger)
        if value < filters.min_notional:
            why["under the minimum notional"] = None
        elif quote.qty_lots < filters.min_qty_lots:
            why["under the minimum quantity"] = None
        elif quote.side == SELL and quote.qty_lots * instrument.lot_units > base:
            why[f"not enough {instrument.base} to sell"] = None
        elif quote.side == BUY and value > quote_units:
            why[f"not enough {instrument.quote} to buy"] = None
        else:
            taken.append(quote)
            if quote.side == SELL:
                base -= quote.qty_lots * instrument.lot_units
            else:
                quote_units -= value
    return taken, tuple(why)


def _affordable(side: int, price_ticks: int, ledger: Ledger) -> int:
    """Lots that can be sold or paid; at least one, so that what forbids it is named."""
    if side == SELL:
        lots = ledger.base_units // ledger.instrument.lot_units
    else:
        lots = ledger.quote_units * ledger.quote_ratio[1] // (max(1, price_ticks) * ledger.quote_ratio[0])
    return max(1, lots)


def _cost(tick_lots: int, ledger: Ledger) -> int:
    return -(-tick_lots * ledger.quote_ratio[0] // ledger.quote_ratio[1])
