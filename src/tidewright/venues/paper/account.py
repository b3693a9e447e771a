"""One account: its orders, its executions and its balances, exact integers derived from the engine's reports.

Totals are the starting balances plus flows. Open buys lock quote at their own price, open sells lock base. The engine
keeps the same sums for its balance check; that both agree to the last unit is a test.
"""

from tidewright.market.codes import BUY, FEE_BASE, LIMIT
from tidewright.venues.paper.limits import Limits, OrderMeter
from tidewright.venues.paper.market_data import Scales
from tidewright.venues.paper.orders import Balances, Fill, Order


class Account:
    """An account of the paper exchange: one lane of the engine.

    Parameters
    ----------
    lane
        Its lane.
    base_units, quote_units
        Starting balances, 1e-8 units.
    others
        Balances of assets that are not traded here, 1e-8 units by name.
    base, quote
        Names of the traded assets.
    """

    def __init__(
        self,
        lane: int,
        scales: Scales,
        base: str,
        quote: str,
        base_units: int,
        quote_units: int,
        limits: Limits,
        others: dict[str, int] | None = None,
    ) -> None:
        self.lane = lane
        self.base, self.quote = base, quote
        self.others = dict(others or {})
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        self.trades: list[Fill] = []
        self.meter = OrderMeter(limits)
        self.execution_id = 0
        self.heard_ns = 0  # when its newest event is known: a stream keeps its order
        self.updated_ns = 0
        self._newest: dict[str, int] = {}
        self._scales = scales
        self._base_units, self._quote_units = base_units, quote_units
        self._position = self._cash = self._fee_base = self._fee_quote = 0
        self._sell_lots = self._buy_cash = 0

    # -- orders -------------------------------------------------------------------------------------------------------

    def add(self, order: Order) -> None:
        """Take up an order that has been sent to the engine."""
        self.orders[order.order_id] = order
        self.open[order.order_id] = order
        self._newest[order.client_id] = order.order_id
        self._lock(order, order.qty)

    def forget(self, order: Order) -> None:
        """Drop an order that the engine rejected in the answer: to the account it never existed."""
        del self.orders[order.order_id]
        if self._newest.get(order.client_id) == order.order_id:
            del self._newest[order.client_id]

    def find(self, order_id: int | None, client_id: str | None) -> Order | None:
        """The order with an id, or the newest with a client id; both given must mean the same order."""
        if order_id is not None:
            order = self.orders.get(order_id)
            return order if order is None or client_id is None or order.client_id == client_id else None
        newest = self._newest.get(client_id or "")
        return None if newest is None else self.orders.get(newest)

    def is_open_id(self, client_id: str) -> bool:
        """Whether an open order bears a client id."""
        newest = self._newest.get(client_id)
        return newest is not None and newest in self.open

    def end(self, order: Order, status: str, expiry: str = "") -> None:
        """An open order ends otherwise than by filling; what it locked is free."""
        self._lock(order, -order.leaves)
        order.status, order.expiry = status, expiry
        self.open.pop(order.order_id, None)

    def wake(self, order: Order) -> None:
        """A stop order is set off; a market order locks nothing from then on."""
        if order.draft.kind != LIMIT:
            self._lock(order, -order.leaves)
        order.sleeping = False

    def amend(self, order: Order, qty: int) -> None:
        """An order's quantity falls, and it takes the client id that its amendment brought."""
        self._lock(order, qty - order.qty)
        order.qty = qty
        order.amendments += 1
        if order.amend_id is not None:
            if self._newest.get(order.client_id) == order.order_id:
                del self._newest[order.client_id]
            order.client_id = order.amend_id
            self._newest[order.client_id] = order.order_id

    def stops(self) -> int:
        """How many stop orders wait."""
        return sum(order.sleeping for order in self.open.values())

    def fill(self, order: Order, fill: Fill) -> None:
        """Book one execution."""
        self._lock(order, -fill.qty)
        order.executed += fill.qty
        order.cash += fill.price * fill.qty
        order.fills.append(fill)
        self.trades.append(fill)
        sign = 1 if order.is_buy else -1
        self._position += sign * fill.qty
        self._cash -= sign * fill.price * fill.qty
        if fill.fee_asset == self.base:
            self._fee_base += fill.fee
        else:
            self._fee_quote += fill.fee
        self._credit(order, fill)
        if order.executed >= order.qty and not order.composite:
            order.status = "FILLED"
            self.open.pop(order.order_id, None)
        else:
            order.status = "PARTIALLY_FILLED"

    def _credit(self, order: Order, fill: Fill) -> None:
        if fill.maker and not order.maker_filled:
            order.maker_filled = True
            self.meter.credit(5)
        elif not fill.maker and not order.taker_filled:
            order.taker_filled = True
            self.meter.credit(1)

    # -- balances -----------------------------------------------------------------------------------------------------

    def _lock(self, order: Order, lots: int) -> None:
        if order.draft.kind != LIMIT and not (order.sleeping and order.draft.side != BUY):
            return
        if order.draft.side == BUY:
            self._buy_cash += order.draft.price * lots
        else:
            self._sell_lots += lots

    def fee_asset(self, code: int) -> str:
        """Name of the asset a fee is taken in."""
        return self.base if code == FEE_BASE else self.quote

    def balances(self) -> Balances:
        """Free and locked amounts of the traded assets."""
        scales = self._scales
        base = self._base_units + self._position * scales.lot_units - self._fee_base
        quote = self._quote_units + scales.notional_units(self._cash) - self._fee_quote
        base_locked = self._sell_lots * scales.lot_units
        quote_locked = -scales.notional_units(-self._buy_cash)
        return Balances(base - base_locked, base_locked, quote - quote_locked, quote_locked)
