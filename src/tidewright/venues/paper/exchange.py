"""The exchange itself, without sockets: accounts, orders and queries at an instant of market time.

REST and WebSocket API are two faces of the operations here. Every operation that reaches the matching engine does so at
``arrival``: the market time of the request plus the entry latency.
"""

from typing import Any, NamedTuple, Protocol

from tidewright.market import codes
from tidewright.market.clock import DAY, MILLISECOND
from tidewright.market.codes import BEST_ASK, BEST_BID, BUY
from tidewright.market.instrument import units_text
from tidewright.venues.paper import errors
from tidewright.venues.paper.account import Account
from tidewright.venues.paper.desk import Desk, Engine, Latencies
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.filters import MAX_AMENDS, OrderRules, most_stop_orders, reference_minutes
from tidewright.venues.paper.limits import Limits
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.market_publisher import MarketPublisher
from tidewright.venues.paper.messages import OrderMessages
from tidewright.venues.paper.orders import REJECTED, Draft, Order
from tidewright.venues.paper.protocol import Params


class MarketClock(Protocol):
    """Market time of a request that comes now."""

    def market_ns(self) -> int:
        """Market time, ns."""
        ...


class Answer(NamedTuple):
    """Outcome of an operation on orders.

    Attributes
    ----------
    body
        JSON-able.
    known_ns
        Market time at which the client may have it.
    status
        HTTP status.
    """

    body: Any
    known_ns: int
    status: int = 200


class Exchange:
    """Accounts that trade against one tape.

    Parameters
    ----------
    market
        The prepared tape.
    engine
        A replay with one lane an account.
    balances
        Starting balances, one an account, 1e-8 units by asset.
    clock
        Market time.
    latencies
        Of orders and of answers.
    limits
        Order and weight limits.
    """

    def __init__(
        self,
        market: TapeMarket,
        engine: Engine,
        balances: list[dict[str, int]],
        clock: MarketClock,
        latencies: Latencies,
        limits: Limits,
    ) -> None:
        instrument = market.instrument
        self.market = market
        self.clock = clock
        self.limits = limits
        self._latencies = latencies
        self.publisher = MarketPublisher(market)
        self.messages = OrderMessages(instrument.symbol, market.scales, instrument.base, instrument.quote)
        self.rules = OrderRules(instrument, market.scales)
        self.accounts = [
            Account(
                lane,
                market.scales,
                instrument.base,
                instrument.quote,
                balance.get(instrument.base, 0),
                balance.get(instrument.quote, 0),
                limits,
                {a: u for a, u in balance.items() if a not in (instrument.base, instrument.quote)},
            )
            for lane, balance in enumerate(balances)
        ]
        self.desk = Desk(market, engine, self.accounts, latencies)
        self.closed = False

    # -- time ---------------------------------------------------------------------------------------------------------

    def open_at(self, at_ns: int) -> None:
        """Let what lies before an instant be history: matched and public, but seen by nobody."""
        self.desk.run_to(at_ns)
        self.publisher.publish(self.market.packets_known(at_ns), at_ns, {})

    def arrive(self) -> int:
        """Bring the engine to the instant at which a request sent now arrives; returns that instant."""
        at = self._arrival()
        self.desk.run_to(at)
        return at

    def _arrival(self) -> int:
        """When a request sent now arrives."""
        now = self.clock.market_ns()
        return max(now + self._latencies(now)[0], self.desk.at_ns)  # nothing overtakes what was sent before

    def reference_units(self) -> int:
        """Price that filters are relative to for what is sent now, as it is at the arrival, in 1e-8 units."""
        minutes = reference_minutes(self.market.instrument.filters)
        at = self._arrival()
        return self.market.average_price(self.market.prints_happened(at), at, minutes)

    # -- orders -------------------------------------------------------------------------------------------------------

    def draft(self, params: Params) -> Draft:
        """Check a new order's form and filters without sending it."""
        return self.rules.draft(params, self.reference_units())

    def place(self, account: Account, params: Params, divisor: int) -> Answer:
        """``POST order``."""
        draft = self.draft(params)
        order = self._send(account, draft)
        return Answer(self.messages.placed(order, divisor), self.desk.known(order.time_ns))

    def _send(self, account: Account, draft: Draft) -> Order:
        if self.closed:
            raise errors.rejected(errors.MARKET_CLOSED)
        account.meter.charge(self.clock.market_ns())
        arrival = self.arrive()
        if draft.client_id and account.is_open_id(draft.client_id):
            raise errors.rejected(errors.DUPLICATE)
        filters = self.market.instrument.filters
        if len(account.open) >= filters.max_num_orders > 0:
            raise errors.filter_failure("MAX_NUM_ORDERS")
        if draft.stop_way != codes.NO_STOP and account.stops() >= most_stop_orders(filters):
            raise errors.filter_failure("MAX_NUM_ALGO_ORDERS")
        if draft.quote_units:
            order = self.desk.place_by_quote(account, draft, self._levels(draft.side, arrival), arrival)
        else:
            order = self.desk.place(account, draft, arrival)
        if order.status == REJECTED:
            account.forget(order)
            raise errors.engine_rejection(order.reason)
        return order

    def _levels(self, side: int, at_ns: int) -> list[int]:
        """Prices of the opposite side as they stand at an instant that may lie after what is public, best first."""
        public, market = self.publisher.book, self.market
        own = public.asks if side == BUY else public.bids
        level, best = (codes.ASK, BEST_ASK) if side == BUY else (codes.BID, BEST_BID)
        quantities = dict(own.quantities)
        start, stop = market.rows_of(self.publisher.packets, market.packets_happened(at_ns))
        data = market.data
        for row in range(start, stop):
            kind, price, qty = int(data.kind[row]), int(data.price[row]), int(data.qty[row])
            if kind == level or kind == best:
                quantities[price] = qty
            if kind == best:
                better = [p for p in quantities if (p < price if side == BUY else p > price)]
                quantities.update(dict.fromkeys(better, 0))
            elif kind == codes.RESET:
                quantities.clear()
        return sorted((price for price, qty in quantities.items() if qty > 0), reverse=side != BUY)

    def find(self, account: Account, params: Params, order_id: str, client_id: str) -> Order | None:
        """The order that a pair of id parameters means; -1102 if neither is there."""
        number, name = params.integer(order_id), params.client_id(client_id)
        if number is None and name is None:
            raise errors.either(client_id, order_id)
        return account.find(number, name)

    def cancel(self, account: Account, params: Params, divisor: int) -> Answer:
        """``DELETE order``."""
        params.symbol(self.market.instrument.symbol)
        arrival = self.arrive()
        order = self.find(account, params, "orderId", "origClientOrderId")
        cancel_id = params.client_id("newClientOrderId") or self.desk.new_client_id()
        self._cancel(account, order, cancel_id, params.optional("cancelRestrictions"), arrival)
        assert order is not None
        return Answer(self.messages.cancelled(order, divisor), self.desk.known(arrival))

    def _cancel(
        self, account: Account, order: Order | None, cancel_id: str, restriction: str | None, arrival: int
    ) -> None:
        if restriction is not None and restriction not in ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"):
            raise ApiError(-1145, "Invalid cancelRestrictions")
        if order is None or not order.is_open:
            raise errors.cancel_rejected()
        if restriction is not None and order.status != restriction.removeprefix("ONLY_"):
            raise errors.cancel_rejected("Order was not canceled due to cancel restrictions.")
        if not self.desk.cancel(account, order, cancel_id, arrival):
            raise errors.cancel_rejected()

    def amend(self, account: Account, params: Params, divisor: int) -> Answer:
        """``PUT order/amend/keepPriority``: the quantity falls, the place in the queue stays."""
        params.symbol(self.market.instrument.symbol)
        arrival = self.arrive()
        order = self.find(account, params, "orderId", "origClientOrderId")
        client_id = params.client_id("newClientOrderId") or self.desk.new_client_id()
        if order is None or not order.is_open:
            raise errors.amend_rejected(errors.UNKNOWN)
        lots = self.rules.amended_lots(params, order.draft.price, self.reference_units())
        if lots > order.qty:
            raise errors.amend_rejected(errors.QUANTITY_INCREASE)
        if lots == order.qty or lots <= order.executed:
            raise errors.amend_rejected(errors.NO_CHANGE)
        if order.amendments >= MAX_AMENDS:
            raise errors.amend_rejected("Filter failure: MAX_NUM_ORDER_AMENDS")
        if client_id != order.client_id and account.is_open_id(client_id):
            raise errors.amend_rejected(errors.DUPLICATE)
        before_id = order.client_id
        if not self.desk.amend(account, order, lots, client_id, arrival):
            raise errors.amend_rejected(errors.UNKNOWN)
        body = self.messages.amended(order, before_id, arrival, self.desk.sequence, divisor)
        return Answer(body, self.desk.known(arrival))

    def cancel_all(self, account: Account, params: Params, divisor: int) -> Answer:
        """``DELETE openOrders``."""
        params.symbol(self.market.instrument.symbol)
        arrival = self.arrive()
        bodies = [
            self.messages.cancelled(order, divisor)
            for order in list(account.open.values())
            if self.desk.cancel(account, order, self.desk.new_client_id(), arrival)
        ]
        if not bodies:
            raise errors.cancel_rejected()
        return Answer(bodies, self.desk.known(arrival))

    def cancel_replace(self, account: Account, params: Params, divisor: int) -> Answer:
        """``POST order/cancelReplace``: filters are judged before anything is done."""
        mode = params.text("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise ApiError(-1130, "Data sent for parameter 'cancelReplaceMode' is not valid.")
        draft = self.draft(params)
        arrival = self.arrive()
        order = self.find(account, params, "cancelOrderId", "cancelOrigClientOrderId")
        cancel_id = params.client_id("cancelNewClientOrderId") or self.desk.new_client_id()
        cancelled: Any
        placed: Any = None
        try:
            self._cancel(account, order, cancel_id, params.optional("cancelRestrictions"), arrival)
            assert order is not None
            cancelled, cancel_result = self.messages.cancelled(order, divisor), "SUCCESS"
        except ApiError as error:
            cancelled, cancel_result = error.body(), "FAILURE"
        new_result = "NOT_ATTEMPTED"
        if cancel_result == "SUCCESS" or mode == "ALLOW_FAILURE":
            try:
                placed, new_result = self.messages.placed(self._send(account, draft), divisor), "SUCCESS"
            except ApiError as error:
                placed, new_result = error.body(), "FAILURE"
        else:
            account.meter.charge(self.clock.market_ns())
        body = {
            "cancelResult": cancel_result,
            "newOrderResult": new_result,
            "cancelResponse": cancelled,
            "newOrderResponse": placed,
        }
        known = self.desk.known(arrival)
        if cancel_result == new_result == "SUCCESS":
            return Answer(body, known)
        if "SUCCESS" in (cancel_result, new_result):
            failed = {"code": -2021, "msg": "Order cancel-replace partially failed.", "data": body}
            return Answer(failed, known, 409)
        return Answer({"code": -2022, "msg": "Order cancel-replace failed.", "data": body}, known, 400)

    # -- queries ------------------------------------------------------------------------------------------------------

    def order(self, account: Account, params: Params, divisor: int) -> dict[str, Any]:
        """``GET order``."""
        params.symbol(self.market.instrument.symbol)
        order = self.find(account, params, "orderId", "origClientOrderId")
        if order is None:
            raise errors.unknown_order()
        return self.messages.queried(order, divisor)

    def open_orders(self, account: Account, params: Params, divisor: int) -> list[dict[str, Any]]:
        """``GET openOrders``."""
        if "symbol" in params:
            params.symbol(self.market.instrument.symbol)
        return [self.messages.queried(order, divisor) for order in account.open.values()]

    def all_orders(self, account: Account, params: Params, divisor: int) -> list[dict[str, Any]]:
        """``GET allOrders``: from an order id on, or of a stretch of time, or the newest."""
        params.symbol(self.market.instrument.symbol)
        limit, first = params.limit(500, 1_000), params.integer("orderId")
        start, end = self._stretch(params)
        orders = [
            order
            for order in account.orders.values()
            if (first is None or order.order_id >= first)
            and (start is None or order.time_ns >= start)
            and (end is None or order.time_ns <= end)
        ]
        chosen = orders[-limit:] if first is None and start is None else orders[:limit]
        return [self.messages.queried(order, divisor) for order in chosen]

    def my_trades(self, account: Account, params: Params, divisor: int) -> list[dict[str, Any]]:
        """``GET myTrades``: of an order, from a trade id on, of a stretch of time, or the newest."""
        params.symbol(self.market.instrument.symbol)
        limit, order_id, first = params.limit(500, 1_000), params.integer("orderId"), params.integer("fromId")
        start, end = self._stretch(params)
        fills = [
            fill
            for fill in account.trades
            if (order_id is None or fill.order_id == order_id)
            and (first is None or fill.trade_id >= first)
            and (start is None or fill.ts >= start)
            and (end is None or fill.ts <= end)
        ]
        chosen = fills[-limit:] if first is None and start is None else fills[:limit]
        return [self.messages.trade(fill, divisor) for fill in chosen]

    def _stretch(self, params: Params) -> tuple[int | None, int | None]:
        start, end = params.time_ns("startTime"), params.time_ns("endTime")
        if end is not None:
            end += MILLISECOND - 1  # a time in ms means all of that millisecond
        if start is not None and end is not None and end - start > DAY + MILLISECOND:
            raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
        return start, end

    def account_status(self, account: Account, params: Params, divisor: int) -> dict[str, Any]:
        """``GET account``."""
        instrument = self.market.instrument
        rows = list(self.messages.balances(account.balances()))
        rows += [(asset, units, 0) for asset, units in account.others.items()]
        if params.flag("omitZeroBalances", False):
            rows = [row for row in rows if row[1] or row[2]]
        maker, taker = units_text(instrument.maker_fee), units_text(instrument.taker_fee)
        zero = units_text(0)
        return {
            "makerCommission": instrument.maker_fee // 10_000,
            "takerCommission": instrument.taker_fee // 10_000,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": maker, "taker": taker, "buyer": zero, "seller": zero},
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": max(account.updated_ns, self.market.start_ns) // divisor,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": units_text(free), "locked": units_text(locked)} for asset, free, locked in rows
            ],
            "permissions": ["SPOT"],
            "uid": account.lane + 1,
        }

    def commission(self, params: Params) -> dict[str, Any]:
        """``GET account/commission``."""
        instrument = self.market.instrument
        params.symbol(instrument.symbol)
        zero = dict.fromkeys(("maker", "taker", "buyer", "seller"), units_text(0))
        return {
            "symbol": instrument.symbol,
            "standardCommission": zero
            | {"maker": units_text(instrument.maker_fee), "taker": units_text(instrument.taker_fee)},
            "specialCommission": zero,
            "taxCommission": zero,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": units_text(0),
            },
        }

    def test_order(self, params: Params) -> dict[str, Any]:
        """``POST order/test``: all checks of form and filters, nothing is sent."""
        self.draft(params)
        if not params.flag("computeCommissionRates", False):
            return {}
        instrument = self.market.instrument
        zero = {"maker": units_text(0), "taker": units_text(0)}
        return {
            "standardCommissionForOrder": {
                "maker": units_text(instrument.maker_fee),
                "taker": units_text(instrument.taker_fee),
            },
            "specialCommissionForOrder": zero,
            "taxCommissionForOrder": zero,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": units_text(0),
            },
        }
