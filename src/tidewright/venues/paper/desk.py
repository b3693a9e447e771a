"""Where orders meet the engine: the tape is fed up to each arrival, and reports become orders' states and user events.

The engine runs ahead of what is public by the entry latency: an order sent at T is matched at T + entry. Its events
wait in a heap until market time reaches the instant at which they are known.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from tidewright.market import codes
from tidewright.market.tape import Columns
from tidewright.venues.paper.account import Account
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.orders import (
    CANCELED,
    EXPIRED,
    EXPIRED_IN_MATCH,
    NEW,
    REJECTED,
    Draft,
    Event,
    ExecutionEvent,
    Fill,
    Order,
    PositionEvent,
)

_FEED_PACKETS = 20_000

Latencies = Callable[[int], tuple[int, int]]
"""Entry latency of what is sent at an instant and response latency of what happens then, ns of market time."""

_EXPIRY = {
    codes.NO_LIQUIDITY: "INSUFFICIENT_LIQUIDITY",
    codes.FOK_UNFILLED: "UNFILLED_FOK_ORDER_EXPIRED",
    codes.SELF_TRADE: "NONE",
}


class Engine(Protocol):
    """What the exchange needs of :class:`tidewright.engine.replay.Replay`."""

    def feed(self, columns: Columns) -> None:
        """Take the next whole packets."""
        ...

    def advance(self, until_ns: int) -> None:
        """Let everything due until an instant happen."""
        ...

    def submit(
        self,
        lane: int,
        side: int,
        kind: int,
        tif: int,
        price_ticks: int,
        qty_lots: int,
        arrival_ns: int,
        tag: int,
        stop_ticks: int = 0,
        stop_way: int = codes.NO_STOP,
    ) -> int:
        """Send an order; returns the engine's number."""
        ...

    def amend(self, lane: int, number: int, qty_lots: int, arrival_ns: int) -> None:
        """Send an amendment of an order's quantity."""
        ...

    def cancel(self, lane: int, number: int, arrival_ns: int) -> None:
        """Send a cancel."""
        ...

    def reports(self) -> npt.NDArray[Any]:
        """What happened since the last call."""
        ...


class Report(NamedTuple):
    """One row of the engine's reports, as plain values; fields as in the engine's REPORT."""

    seq: int
    lane: int
    what: int
    number: int
    tag: int
    ts: int
    known_ns: int
    side: int
    price: int
    qty: int
    leaves: int
    maker: int
    fee: int
    fee_asset: int
    reason: int


class Desk:
    """Runs the engine along the tape and keeps the accounts' orders.

    Parameters
    ----------
    market
        The tape.
    engine
        One lane an account.
    accounts
        By lane.
    latencies
        As the engine's, for what it does not report itself.
    """

    def __init__(self, market: TapeMarket, engine: Engine, accounts: list[Account], latencies: Latencies) -> None:
        self._market = market
        self._engine = engine
        self._accounts = accounts
        self._latencies = latencies
        self._fed = 0
        self.at_ns = 0
        self._next_order = self._next_client = self._sequence = 0
        self._next_trade = len(market.prints.ts)
        self._heap: list[tuple[int, int, Account, Event]] = []
        self._held: list[tuple[int, Account, Event]] | None = None  # events of a composite order that is under way
        self.run_to(market.start_ns)

    # -- time ---------------------------------------------------------------------------------------------------------

    def run_to(self, at_ns: int) -> None:
        """Let the engine reach an instant; an earlier one than it has reached does nothing."""
        if at_ns <= self.at_ns:
            return
        stop = self._market.packets_happened(at_ns)
        while self._fed < stop:
            last = min(stop, self._fed + _FEED_PACKETS)
            start_row, stop_row = self._market.rows_of(self._fed, last)
            self._engine.feed(self._market.data.rows(start_row, stop_row))
            self._fed = last
            if last < stop:
                self._collect()
        self._engine.advance(at_ns)
        self.at_ns = at_ns
        self._collect()

    def due(self, until_ns: int | None) -> list[tuple[Account, Event]]:
        """Take the events that are known at an instant (``None``: all), in order."""
        found = []
        while self._heap and (until_ns is None or self._heap[0][0] <= until_ns):
            _, _, account, event = heapq.heappop(self._heap)
            found.append((account, event))
        return found

    def next_known_ns(self) -> int | None:
        """When the next waiting event becomes known."""
        return self._heap[0][0] if self._heap else None

    def known(self, at_ns: int) -> int:
        """When a client hears of what happens at an instant."""
        return at_ns + self._latencies(at_ns)[1]

    # -- orders -------------------------------------------------------------------------------------------------------

    def place(self, account: Account, draft: Draft, arrival_ns: int) -> Order:
        """Send an order by quantity; the engine has dealt with its arrival when this returns."""
        order = self._new_order(draft, draft.qty, arrival_ns)
        order.sleeping = draft.stop_way != codes.NO_STOP
        account.add(order)
        self._submit(account, order, draft.kind, draft.tif, draft.price, draft.qty, arrival_ns)
        order.answered = True
        return order

    def place_by_quote(self, account: Account, draft: Draft, levels: Iterable[int], arrival_ns: int) -> Order:
        """Send a market order by quote amount: level by level, whole lots that the rest of the amount pays for.

        The engine knows quantities only. Each step is an immediate-or-cancel order at one level's price, so what the
        account has taken before is respected, and no step can cost more than is left.

        Parameters
        ----------
        levels
            Prices of the opposite side in ticks, best first, as they stand at the arrival.
        """
        order = self._new_order(draft, 0, arrival_ns)
        order.composite = True
        self._held = []
        account.add(order)
        scales = self._market.scales
        starved = True
        for price in levels:
            spent = scales.notional_units(order.cash)
            lots = (draft.quote_units - spent) * codes.UNIT // (price * scales.tick_units * scales.lot_units)
            if lots <= 0:
                starved = False
                break
            order.qty = order.executed + lots
            self._submit(account, order, codes.LIMIT, codes.IOC, price, lots, arrival_ns)
            if order.status == REJECTED:
                break
        order.composite = False
        if order.status != REJECTED or order.executed:
            self._end_by_quote(account, order, starved or order.status == REJECTED, arrival_ns)
        self._release_held(order)
        order.answered = True
        return order

    def _release_held(self, order: Order) -> None:
        """Push what was held back: the steps' events as those of one order, with one position after them."""
        held, self._held = self._held or [], None
        positions = [entry for entry in held if isinstance(entry[2], PositionEvent)]
        executions = [(known, account, e) for known, account, e in held if isinstance(e, ExecutionEvent)]
        for i, (known, account, event) in enumerate(executions):
            last = i == len(executions) - 1
            self._push(known, account, event._replace(status=order.status) if last else event)
        if positions:
            known, account, position = positions[-1]
            self._push(known, account, PositionEvent(account.balances(), position.ts))

    def _end_by_quote(self, account: Account, order: Order, starved: bool, arrival_ns: int) -> None:
        order.qty = order.executed
        if starved or order.executed == 0:
            order.status = NEW
            self._finish(account, order, EXPIRED, "INSUFFICIENT_LIQUIDITY", arrival_ns, self.known(arrival_ns))
        else:
            order.status = "FILLED"
            account.open.pop(order.order_id, None)

    def cancel(self, account: Account, order: Order, cancel_id: str, arrival_ns: int) -> bool:
        """Send a cancel; whether the order was cancelled (it may have filled before)."""
        if not order.is_open:
            return False
        order.cancel_id = cancel_id
        for number in order.numbers:
            self._engine.cancel(account.lane, number, arrival_ns)
        self._engine.advance(arrival_ns)
        self._collect()
        if order.status == CANCELED:
            return True
        order.cancel_id = ""
        return False

    def amend(self, account: Account, order: Order, qty: int, client_id: str, arrival_ns: int) -> bool:
        """Send an amendment; whether the order's quantity fell (it may have filled before)."""
        if not order.is_open or order.composite:
            return False
        before = order.amendments
        order.amend_id = client_id
        for number in order.numbers:
            self._engine.amend(account.lane, number, qty, arrival_ns)
        self._engine.advance(arrival_ns)
        self._collect()
        order.amend_id = None
        return order.amendments > before

    @property
    def sequence(self) -> int:
        """Number of the event pushed last."""
        return self._sequence

    def new_client_id(self) -> str:
        """An id for an order or cancel that brought none."""
        self._next_client += 1
        return f"paper-{self._next_client}"

    def _new_order(self, draft: Draft, qty: int, arrival_ns: int) -> Order:
        self._next_order += 1
        order = Order(self._next_order, draft.client_id or self.new_client_id(), draft, arrival_ns, qty)
        order.update_ns = arrival_ns
        order.status = NEW
        return order

    def _submit(
        self, account: Account, order: Order, kind: int, tif: int, price: int, qty: int, arrival_ns: int
    ) -> None:
        stop = order.draft.stop_price, order.draft.stop_way
        number = self._engine.submit(
            account.lane, order.draft.side, kind, tif, price, qty, arrival_ns, order.order_id, *stop
        )
        order.numbers.append(int(number))
        self._engine.advance(arrival_ns)
        self._collect()

    # -- reports ------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        rows = self._engine.reports()
        if not len(rows):
            return
        touched: dict[int, tuple[int, int]] = {}
        for row in rows.tolist():
            report = Report(*row)
            account = self._accounts[report.lane]
            order = account.orders.get(report.tag)
            if order is None:
                continue
            seen = touched.get(report.lane)
            if seen is not None and seen[0] != report.known_ns:
                self._push(seen[0], account, PositionEvent(account.balances(), seen[1]))
            if self._apply(account, order, report):
                touched[report.lane] = (report.known_ns, report.ts)
            elif seen is not None and seen[0] != report.known_ns:
                del touched[report.lane]
        for lane, (known_ns, ts) in touched.items():
            account = self._accounts[lane]
            account.updated_ns = ts
            self._push(known_ns, account, PositionEvent(account.balances(), ts))

    def _apply(self, account: Account, order: Order, report: Report) -> bool:
        """Change an order by a report; whether the account's balances may have changed and events are due."""
        what = report.what
        if what in (codes.CANCEL_REJECTED, codes.AMEND_REJECTED):
            return False
        if what == codes.REJECTED:
            order.reason = report.reason
            account.end(order, REJECTED)
            order.update_ns = report.ts
            if order.answered:  # it waited for a gap to end, so its answer has long been given
                self._push(report.known_ns, account, self._event(order, REJECTED, report.ts, expiry="REJECTED"))
            return order.answered
        if what == codes.TRIGGERED:
            account.wake(order)
        if what == codes.ACCEPTED and order.sleeping:
            self._push(report.known_ns, account, self._event(order, NEW, report.ts, status=NEW))
        elif order.working_ns < 0 and not order.sleeping:
            order.working_ns = report.ts
            self._push(report.known_ns, account, self._event(order, NEW, report.ts, status=NEW))
        order.update_ns = report.ts
        if what == codes.FILL:
            self._fill(account, order, report)
        elif what == codes.AMENDED:
            before_id = order.client_id
            account.amend(order, report.qty)
            event = self._event(order, "REPLACED", report.ts)
            self._push(report.known_ns, account, event._replace(before_id=before_id))
        elif what == codes.CANCELLED:
            self._finish(account, order, CANCELED, "", report.ts, report.known_ns)
        elif what == codes.EXPIRED:
            if order.composite:
                return False
            status = EXPIRED_IN_MATCH if report.reason == codes.SELF_TRADE else EXPIRED
            self._finish(account, order, status, self._expiry(order, report.reason), report.ts, report.known_ns)
        return True

    def _fill(self, account: Account, order: Order, report: Report) -> None:
        self._next_trade += 1
        fill = Fill(
            self._next_trade,
            order.order_id,
            report.ts,
            report.price,
            report.qty,
            report.fee,
            account.fee_asset(report.fee_asset),
            bool(report.maker),
            report.side,
        )
        account.fill(order, fill)
        self._push(report.known_ns, account, self._event(order, "TRADE", report.ts, fill=fill))

    def _finish(self, account: Account, order: Order, status: str, expiry: str, ts: int, known_ns: int) -> None:
        account.end(order, status, expiry)
        order.update_ns = ts
        execution = "TRADE_PREVENTION" if status == EXPIRED_IN_MATCH else status
        event = self._event(
            order, execution, ts, expiry=expiry, cancel_id=order.cancel_id if status == CANCELED else ""
        )
        self._push(known_ns, account, event)

    @staticmethod
    def _expiry(order: Order, reason: int) -> str:
        if reason == codes.NO_LIQUIDITY and order.draft.kind == codes.LIMIT:
            return "UNFILLED_IOC_QUANTITY_EXPIRED"
        return _EXPIRY.get(reason, "NONE")

    @staticmethod
    def _event(
        order: Order,
        execution: str,
        ts: int,
        *,
        status: str = "",
        fill: Fill | None = None,
        expiry: str = "",
        cancel_id: str = "",
    ) -> ExecutionEvent:
        return ExecutionEvent(
            order,
            execution,
            status or order.status,
            order.executed,
            order.cash,
            ts,
            fill,
            cancel_id,
            expiry,
            order.client_id,
            "",
            order.qty,
            not order.sleeping,
        )

    def _push(self, known_ns: int, account: Account, event: Event) -> None:
        if self._held is not None:
            self._held.append((known_ns, account, event))
            return
        self._sequence += 1
        known_ns = account.heard_ns = max(known_ns, account.heard_ns)  # events of a stream keep their order
        heapq.heappush(self._heap, (known_ns, self._sequence, account, event))
