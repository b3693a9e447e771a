"""A venue in memory that keeps the promises of TradingVenue, and loses answers on command."""

from collections.abc import Sequence
from dataclasses import replace

from tidewright.market.codes import BUY, SELL
from tidewright.market.instrument import Filters, Instrument
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

INSTRUMENT = Instrument("fake", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001", filters=Filters(min_notional=500_000_000))


class FakeVenue:
    """Orders rest until :meth:`fill` fills them.

    ``lose_answers``: client ids whose answers are lost although the venue acts. ``swallow``: requests that never
    arrive. ``refuse``: client ids the venue says no to.
    """

    def __init__(self, base: int = 100_000_000, quote: int = 10**13, instrument: Instrument = INSTRUMENT) -> None:
        self.instrument = instrument
        self.base, self.quote = base, quote
        self.book: dict[str, OrderUpdate] = {}
        self.trades: list[FillUpdate] = []
        self.events: list[UserEvent] = []
        self.lose_answers: set[str] = set()
        self.swallow: set[str] = set()
        self.refuse: set[str] = set()
        self.sent: list[str] = []
        self.market_ns = 1_000
        self._execution = 0

    async def load(self) -> Instrument:
        return self.instrument

    async def submit(self, cancels: Sequence[str], orders: Sequence[OrderRequest]) -> list[Answer]:
        answers = []
        for name in cancels:
            self.sent.append(f"cancel {name}")
            answers.append(self._lossy(name, self._cancel(name)))
        for request in orders:
            name = request.client_order_id
            self.sent.append(f"place {name}")
            if name in self.swallow:
                answers.append(Answer(name, Outcome.UNKNOWN, reason="time-out"))
                continue
            answers.append(self._lossy(name, self._place(request)))
        return answers

    def _lossy(self, name: str, answer: Answer) -> Answer:
        return Answer(name, Outcome.UNKNOWN, reason="time-out") if name in self.lose_answers else answer

    def _place(self, request: OrderRequest) -> Answer:
        name = request.client_order_id
        if name in self.refuse:
            return Answer(name, Outcome.REJECTED, -2010, "Order would immediately match and take.")
        number = len(self.book) + 1
        update = OrderUpdate(
            name,
            number,
            request.side,
            request.price_ticks,
            request.qty_lots,
            0,
            VenueStatus.NEW,
            self.market_ns,
        )
        self._report(update)
        return Answer(name, Outcome.ACCEPTED, order_id=number, status=VenueStatus.NEW)

    def _cancel(self, name: str) -> Answer:
        order = self.book.get(name)
        if order is None or not order.status.live:
            return Answer(name, Outcome.REJECTED, -2011, "Unknown order sent.")
        self._report(replace(order, status=VenueStatus.CANCELED))
        return Answer(name, Outcome.ACCEPTED, order_id=order.order_id, status=VenueStatus.CANCELED)

    def fill(self, name: str, lots: int, fee: int = 100) -> FillUpdate:
        """The market takes part of an order."""
        order = self.book[name]
        assert order.status.live
        trade = FillUpdate(
            len(self.trades) + 1,
            name,
            order.order_id,
            order.side,
            order.price_ticks,
            lots,
            fee,
            self.instrument.base if order.side == BUY else self.instrument.quote,
            True,
            self.market_ns,
            self._next(),
        )
        sign = 1 if order.side == BUY else -1
        self.base += sign * lots * self.instrument.lot_units - (fee if order.side == BUY else 0)
        value = lots * order.price_ticks * self.instrument.quote_units
        self.quote -= sign * int(value) + (fee if order.side == SELL else 0)
        self.trades.append(trade)
        self.events.append(trade)
        filled = order.filled_lots + lots
        status = VenueStatus.FILLED if filled == order.qty_lots else VenueStatus.PARTIALLY_FILLED
        self._report(replace(order, filled_lots=filled, status=status))
        return trade

    def _next(self) -> int:
        self._execution += 1
        return self._execution

    def _report(self, order: OrderUpdate) -> None:
        order = replace(order, execution_id=self._next())
        self.book[order.client_order_id] = order
        self.events.append(order)

    async def open_orders(self) -> list[OrderUpdate]:
        return [order for order in self.book.values() if order.status.live]

    async def order(self, client_order_id: str) -> OrderUpdate | None:
        return self.book.get(client_order_id)

    async def fills(self, after_trade_id: int) -> list[FillUpdate]:
        return [replace(trade, client_order_id="") for trade in self.trades if trade.trade_id > after_trade_id]

    async def newest_trade_id(self) -> int:
        return self.trades[-1].trade_id if self.trades else -1

    async def balances(self) -> Balances:
        return Balances({self.instrument.base: self.base, self.instrument.quote: self.quote}, {})

    def drain(self) -> list[UserEvent]:
        events, self.events = self.events, []
        return events

    async def reached(self, execution_id: int, timeout_s: float) -> None:
        assert self._execution >= execution_id

    async def close(self) -> None:
        pass
