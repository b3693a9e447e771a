"""Every operation once, with its security and weight, and the two tables that name them: REST paths and WS methods."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

from tidewright.venues.paper import market_endpoints as market
from tidewright.venues.paper.market_endpoints import Call


class Security(Enum):
    """What a request must bear."""

    NONE = 0
    KEY = 1
    SIGNED = 2


class Endpoint(NamedTuple):
    """One operation.

    Attributes
    ----------
    weight
        Request weight, or a function of the call.
    run
        The operation; it returns JSON-able data or an :class:`tidewright.venues.paper.exchange.Answer`.
    is_order
        Whether it places or cancels orders: its weight is forgiven if it succeeds, and the answer bears order counts.
    """

    security: Security
    weight: int
    run: Callable[[Call], Any]
    is_order: bool = False


def _public(weight: int, run: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(Security.NONE, weight, run)


def _signed(weight: int, run: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(Security.SIGNED, weight, run)


def _order(run: Callable[[Call], Any]) -> Endpoint:
    return Endpoint(Security.SIGNED, 1, run, True)


PING: Final = _public(1, market.ping)
TIME: Final = _public(1, market.server_time)
EXCHANGE_INFO: Final = _public(20, market.exchange_info)
DEPTH: Final = _public(5, market.depth)
TRADES: Final = _public(25, market.trades)
AGG_TRADES: Final = _public(4, market.aggregate_trades)
KLINES: Final = _public(2, market.klines)
AVG_PRICE: Final = _public(2, market.average_price)
TICKER_24HR: Final = _public(2, market.ticker_24hr)
TICKER_PRICE: Final = _public(2, market.ticker_price)
TICKER_BOOK: Final = _public(2, market.ticker_book)

PLACE: Final = _order(lambda c: c.exchange.place(c.owner, c.params, c.divisor))
CANCEL: Final = _order(lambda c: c.exchange.cancel(c.owner, c.params, c.divisor))
CANCEL_ALL: Final = _order(lambda c: c.exchange.cancel_all(c.owner, c.params, c.divisor))
AMEND: Final = Endpoint(Security.SIGNED, 4, lambda c: c.exchange.amend(c.owner, c.params, c.divisor))
CANCEL_REPLACE: Final = _order(lambda c: c.exchange.cancel_replace(c.owner, c.params, c.divisor))
TEST: Final = _signed(1, lambda c: c.exchange.test_order(c.params))
ORDER: Final = _signed(4, lambda c: c.exchange.order(c.owner, c.params, c.divisor))
OPEN_ORDERS: Final = _signed(6, lambda c: c.exchange.open_orders(c.owner, c.params, c.divisor))
ALL_ORDERS: Final = _signed(20, lambda c: c.exchange.all_orders(c.owner, c.params, c.divisor))
MY_TRADES: Final = _signed(20, lambda c: c.exchange.my_trades(c.owner, c.params, c.divisor))
ACCOUNT: Final = _signed(20, lambda c: c.exchange.account_status(c.owner, c.params, c.divisor))
COMMISSION: Final = _signed(20, lambda c: c.exchange.commission(c.params))
ORDER_COUNTS: Final = _signed(40, lambda c: c.owner.meter.describe(c.exchange.clock.market_ns()))
NOTHING: Final = _signed(1, market.nothing)
NOTHING_PUBLIC: Final = _public(1, market.nothing)
NO_SYMBOLS: Final = _public(1, market.no_symbols)

REST: Final[dict[tuple[str, str], Endpoint]] = {
    ("GET", "/api/v3/ping"): PING,
    ("GET", "/api/v3/time"): TIME,
    ("GET", "/api/v3/exchangeInfo"): EXCHANGE_INFO,
    ("GET", "/api/v3/depth"): DEPTH,
    ("GET", "/api/v3/trades"): TRADES,
    ("GET", "/api/v3/historicalTrades"): TRADES,
    ("GET", "/api/v3/aggTrades"): AGG_TRADES,
    ("GET", "/api/v3/klines"): KLINES,
    ("GET", "/api/v3/uiKlines"): KLINES,
    ("GET", "/api/v3/avgPrice"): AVG_PRICE,
    ("GET", "/api/v3/ticker/24hr"): TICKER_24HR,
    ("GET", "/api/v3/ticker/price"): TICKER_PRICE,
    ("GET", "/api/v3/ticker/bookTicker"): TICKER_BOOK,
    ("POST", "/api/v3/order"): PLACE,
    ("GET", "/api/v3/order"): ORDER,
    ("DELETE", "/api/v3/order"): CANCEL,
    ("POST", "/api/v3/order/test"): TEST,
    ("POST", "/api/v3/order/cancelReplace"): CANCEL_REPLACE,
    ("PUT", "/api/v3/order/amend/keepPriority"): AMEND,
    ("GET", "/api/v3/openOrders"): OPEN_ORDERS,
    ("DELETE", "/api/v3/openOrders"): CANCEL_ALL,
    ("GET", "/api/v3/allOrders"): ALL_ORDERS,
    ("GET", "/api/v3/myTrades"): MY_TRADES,
    ("GET", "/api/v3/account"): ACCOUNT,
    ("GET", "/api/v3/account/commission"): COMMISSION,
    ("GET", "/api/v3/rateLimit/order"): ORDER_COUNTS,
    ("GET", "/sapi/v1/capital/config/getall"): NOTHING,
    ("GET", "/sapi/v1/margin/allPairs"): NOTHING_PUBLIC,
    ("GET", "/sapi/v1/margin/isolated/allPairs"): NOTHING_PUBLIC,
    ("GET", "/sapi/v1/asset/tradeFee"): _signed(1, market.trade_fee),
    ("GET", "/sapi/v1/spot/delist-schedule"): NOTHING_PUBLIC,
    ("GET", "/fapi/v1/exchangeInfo"): NO_SYMBOLS,
    ("GET", "/dapi/v1/exchangeInfo"): NO_SYMBOLS,
    ("GET", "/eapi/v1/exchangeInfo"): NO_SYMBOLS,
}

WEBSOCKET: Final[dict[str, Endpoint]] = {
    "ping": PING,
    "time": TIME,
    "exchangeInfo": EXCHANGE_INFO,
    "depth": DEPTH,
    "trades.recent": TRADES,
    "trades.historical": TRADES,
    "trades.aggregate": AGG_TRADES,
    "klines": KLINES,
    "uiKlines": KLINES,
    "avgPrice": AVG_PRICE,
    "ticker.24hr": TICKER_24HR,
    "ticker.price": TICKER_PRICE,
    "ticker.book": TICKER_BOOK,
    "order.place": PLACE,
    "order.status": ORDER,
    "order.cancel": CANCEL,
    "order.test": TEST,
    "order.cancelReplace": CANCEL_REPLACE,
    "order.amend.keepPriority": AMEND,
    "openOrders.status": OPEN_ORDERS,
    "openOrders.cancelAll": CANCEL_ALL,
    "allOrders": ALL_ORDERS,
    "myTrades": MY_TRADES,
    "account.status": ACCOUNT,
    "account.commission": COMMISSION,
    "account.rateLimits.orders": ORDER_COUNTS,
}
