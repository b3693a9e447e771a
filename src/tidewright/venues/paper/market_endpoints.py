"""Public market data of the REST and WebSocket APIs, from what has been published so far."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from tidewright.market.instrument import units_text
from tidewright.venues.paper import ticker_messages
from tidewright.venues.paper.account import Account
from tidewright.venues.paper.errors import ApiError, bad_symbol
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.filters import reference_minutes, symbol_info
from tidewright.venues.paper.market_data import INTERVALS
from tidewright.venues.paper.protocol import Params, check_symbol

MAX_DEPTH: Final = 5_000


class Call(NamedTuple):
    """One request, authenticated where it had to be.

    Attributes
    ----------
    account
        The key's account; ``None`` for a public request.
    divisor
        From nanoseconds to the time unit of the answer.
    wall_ns
        Wall time of the request.
    """

    exchange: Exchange
    account: Account | None
    params: Params
    divisor: int
    wall_ns: int

    @property
    def owner(self) -> Account:
        """The account of a signed request."""
        assert self.account is not None
        return self.account


def ping(call: Call) -> dict[str, Any]:
    """Nothing."""
    return {}


def server_time(call: Call) -> dict[str, Any]:
    """Wall time: it is what time stamps are tested against."""
    return {"serverTime": call.wall_ns // call.divisor}


def exchange_info(call: Call) -> dict[str, Any]:
    """Symbols, filters and limits."""
    market, symbol = call.exchange.market, call.exchange.market.instrument.symbol
    asked = _symbols(call.params, symbol)
    if "permissions" in call.params and "SPOT" not in call.params["permissions"]:
        asked = []
    return {
        "timezone": "UTC",
        "serverTime": call.wall_ns // call.divisor,
        "rateLimits": call.exchange.limits.describe(),
        "exchangeFilters": [],
        "symbols": [symbol_info(market.instrument, market.scales)] if asked is None or asked else [],
    }


def _symbols(params: Params, known: str) -> list[str] | None:
    """Symbols of ``symbol`` or ``symbols``, ``None`` where neither is sent; all must be known."""
    if "symbol" in params:
        return [params.symbol(known)]
    text = params.optional("symbols")
    if text is None:
        return None
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError(-1100, "Illegal characters found in parameter 'symbols'; legal range is '^\\[\"...\"\\]$'.")
    if len(set(names)) != len(names):
        raise ApiError(-1151, "Symbol is present multiple times in the list.")
    for name in names:
        check_symbol(name, known)
    if not names:
        raise bad_symbol()
    return names


def _one_or_all(call: Call, body: Callable[[], dict[str, Any]]) -> Any:
    _symbols(call.params, call.exchange.market.instrument.symbol)
    return body() if "symbol" in call.params else [body()]


def depth(call: Call) -> dict[str, Any]:
    """The public book between two depth events."""
    call.params.symbol(call.exchange.market.instrument.symbol)
    return call.exchange.publisher.depth(call.params.limit(100, MAX_DEPTH))


def trades(call: Call) -> list[dict[str, Any]]:
    """The newest prints, or those from an id on."""
    call.params.symbol(call.exchange.market.instrument.symbol)
    count, limit = call.exchange.publisher.prints, call.params.limit(500, 1_000)
    first_id = call.params.integer("fromId")
    first = max(0, count - limit) if first_id is None else min(max(0, first_id - 1), count)
    return [call.exchange.market.trade(i, call.divisor) for i in range(first, min(count, first + limit))]


def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """Aggregate trades: the newest, from an id on, or of a stretch of time."""
    market, count = call.exchange.market, call.exchange.publisher.prints
    call.params.symbol(market.instrument.symbol)
    limit, from_id = call.params.limit(500, 1_000), call.params.integer("fromId")
    start, end = call.params.time_ns("startTime"), call.params.time_ns("endTime")
    ts = market.prints.ts[:count]
    first = int(ts.searchsorted(start, "left")) if start is not None else 0
    stop = int(ts.searchsorted(end, "right")) if end is not None else count
    lowest, highest = market.aggregates(first, stop)
    if from_id is not None:
        lowest, highest = max(from_id, 1), market.aggregates(0, count)[1]
    if from_id is None and start is None:
        lowest = max(lowest, highest - limit)
    return [market.aggregate(number, call.divisor) for number in range(lowest, min(highest, lowest + limit))]


def klines(call: Call) -> list[list[Any]]:
    """Candles made of the public prints."""
    params = call.params
    params.symbol(call.exchange.market.instrument.symbol)
    interval = params.text("interval")
    if interval not in INTERVALS:
        raise ApiError(-1120, "Invalid interval.")
    return call.exchange.market.klines(
        call.exchange.publisher.prints,
        interval,
        params.time_ns("startTime"),
        params.time_ns("endTime"),
        params.limit(500, 1_000),
        call.divisor,
    )


def average_price(call: Call) -> dict[str, Any]:
    """Volume-weighted average of the last minutes."""
    market, count = call.exchange.market, call.exchange.publisher.prints
    minutes = reference_minutes(market.instrument.filters)
    call.params.symbol(market.instrument.symbol)
    return {
        "mins": minutes,
        "price": units_text(market.average_price(count, call.exchange.clock.market_ns(), minutes)),
        "closeTime": int(market.prints.ts[count - 1]) // call.divisor if count else 0,
    }


def ticker_24hr(call: Call) -> Any:
    """24-hour ticker."""
    exchange = call.exchange
    kind = call.params.optional("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise ApiError(-1139, "Invalid ticker type.")
    publisher = exchange.publisher
    full = ticker_messages.day_ticker(
        exchange.market, publisher.prints, publisher.quote, exchange.clock.market_ns(), call.divisor
    )
    if kind == "MINI":
        names = ("symbol openPrice highPrice lowPrice lastPrice volume quoteVolume openTime closeTime firstId lastId "
                 "count").split()  # fmt: skip
        full = {name: full[name] for name in names}
    return _one_or_all(call, lambda: full)


def ticker_price(call: Call) -> Any:
    """Last price."""
    market, count = call.exchange.market, call.exchange.publisher.prints
    last = int(market.prints.price[count - 1]) if count else 0
    return _one_or_all(call, lambda: {"symbol": market.instrument.symbol, "price": market.scales.price(last)})


def ticker_book(call: Call) -> Any:
    """Best bid and ask."""
    market = call.exchange.market
    bid, bid_qty, ask, ask_qty = call.exchange.publisher.quote
    body = {
        "symbol": market.instrument.symbol,
        "bidPrice": market.scales.price(bid),
        "bidQty": market.scales.qty(bid_qty),
        "askPrice": market.scales.price(ask),
        "askQty": market.scales.qty(ask_qty),
    }
    return _one_or_all(call, lambda: body)


def trade_fee(call: Call) -> list[dict[str, Any]]:
    """The wallet API's fees, which ccxt asks for."""
    instrument = call.exchange.market.instrument
    return [
        {
            "symbol": instrument.symbol,
            "makerCommission": units_text(instrument.maker_fee),
            "takerCommission": units_text(instrument.taker_fee),
        }
    ]


def nothing(call: Call) -> list[Any]:
    """An empty list."""
    return []


def no_symbols(call: Call) -> dict[str, Any]:
    """An exchange of derivatives that lists none."""
    return {
        "timezone": "UTC",
        "serverTime": call.wall_ns // call.divisor,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }
