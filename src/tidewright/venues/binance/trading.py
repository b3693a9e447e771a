"""Orders and account at Binance through ccxt: one ordered socket for orders and user stream, REST for questions."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import ccxt

from tidewright.market import exchange_info
from tidewright.market.codes import BUY, FOK, IOC, MARKET, POST_ONLY
from tidewright.market.errors import ConfigError, DataError, TimedOutError, VenueError
from tidewright.market.instrument import Instrument
from tidewright.venues.binance import reports
from tidewright.venues.binance.client import BinanceConfig, FencedBinance, Refusal
from tidewright.venues.interface import (
    Answer,
    Balances,
    FillUpdate,
    OrderRequest,
    OrderUpdate,
    Outcome,
    StreamLost,
    UserEvent,
)

_TRADES_A_PAGE: Final = 1_000
_ORDER_DOES_NOT_EXIST: Final = -2013


class BinanceTrading:
    """Keeps the promises of :class:`tidewright.venues.interface.TradingVenue`.

    New orders and cancels go over the WebSocket API: one socket keeps them in order without waiting for answers, which
    over REST would need one round trip each.

    Parameters
    ----------
    config
        Where the venue is, and the keys.
    """

    def __init__(self, config: BinanceConfig) -> None:
        self.config = config
        self._ccxt: FencedBinance | None = None
        self._reports: reports.Reports | None = None
        self._instrument: Instrument | None = None
        self._events: list[UserEvent] = []
        self._early: list[Mapping[str, Any]] = []
        self._execution_id = 0
        self._goal: tuple[int, asyncio.Future[None]] | None = None
        self._broken: DataError | None = None
        self._closing = False
        self._symbol = ""
        self._resubscribing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"BinanceTrading({self.config.symbol} at {self.config.rest_url})"

    async def load(self) -> Instrument:
        """Connect, learn the instrument and its fees, start the user stream."""
        if self._ccxt is not None:
            self._ccxt.on_stream_lost = lambda _: None
            await self._ccxt.close()
        exchange = FencedBinance(self.config)
        exchange.on_report = self._on_report
        exchange.on_stream_lost = self._on_stream_lost
        self._ccxt = exchange
        try:
            await self._ask(exchange.load_markets(), "exchangeInfo")
            found = exchange.markets_by_id.get(self.config.symbol)
            if not found:
                raise ConfigError(f"{self.config.rest_url} does not trade {self.config.symbol!r}")
            self._symbol = found[0]["symbol"]
            account = await self._ask(exchange.privateGetAccount({"omitZeroBalances": "true"}), "account")
            self._instrument = exchange_info.instrument(found[0]["info"], account["commissionRates"])
            self._reports = reports.Reports(self._instrument)
            await self._ask(exchange.ensure_user_data_stream_ws_subscribe_signature("spot"), "user stream")
        except BaseException:
            await self.close()
            raise
        for event in self._early:
            self._on_report(event)
        self._early.clear()
        return self._instrument

    async def close(self) -> None:
        """Close all connections; orders stay as they are."""
        self._closing = True
        if self._resubscribing is not None:
            self._resubscribing.cancel()
        if self._ccxt is not None:
            await self._ccxt.close()

    # -- orders --------------------------------------------------------------------------------------------------------

    async def submit(self, cancels: Sequence[str], orders: Sequence[OrderRequest]) -> list[Answer]:
        """Send cancels, then new orders, in the order given, without waiting between them."""
        names = [*cancels, *(order.client_order_id for order in orders)]
        if not names:
            return []
        exchange = self._exchange
        # Tasks start in the order they are made, and nothing before the socket's queue lets one overtake another.
        tasks = [
            asyncio.ensure_future(exchange.cancel_order_ws("", self._symbol, {"origClientOrderId": name}))
            for name in cancels
        ]
        tasks += [asyncio.ensure_future(self._place(order)) for order in orders]
        _, late = await asyncio.wait(tasks, timeout=self.config.timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return [self._answer(name, task) for name, task in zip(names, tasks, strict=True)]

    def _place(self, order: OrderRequest) -> Awaitable[Any]:
        assert self._instrument is not None
        # ccxt would pass its own `postOnly` on to the venue, which refuses what it does not know (-1104).
        params: dict[str, Any] = {"newClientOrderId": order.client_order_id}
        kind = "MARKET" if order.kind == MARKET else "LIMIT_MAKER" if order.tif == POST_ONLY else "LIMIT"
        if kind == "LIMIT" and order.tif in (IOC, FOK):
            params["timeInForce"] = "IOC" if order.tif == IOC else "FOK"
        price = None if kind == "MARKET" else self._instrument.price_text(order.price_ticks)
        side = "buy" if order.side == BUY else "sell"
        amount = self._instrument.qty_text(order.qty_lots)
        found: Awaitable[Any] = self._exchange.create_order_ws(self._symbol, kind, side, amount, price, params)
        return found

    def _answer(self, name: str, task: "asyncio.Future[Any]") -> Answer:
        if task.cancelled():
            return Answer(name, Outcome.UNKNOWN, reason=f"no answer within {self.config.timeout_s:g} s")
        error = task.exception()
        if error is None:
            result = task.result()
            word = result.get("status")
            return Answer(
                name,
                Outcome.ACCEPTED,
                order_id=int(result.get("orderId") or 0),
                status=reports.status(word) if word else None,
                filled_lots=self._decoder.filled(result),
            )
        if isinstance(error, Refusal):
            outcome = Outcome.REJECTED if error.settled else Outcome.UNKNOWN
            return Answer(name, outcome, error.code, error.words)
        if isinstance(error, ccxt.NetworkError):
            return Answer(name, Outcome.UNKNOWN, reason=f"connection lost: {type(error).__name__}")
        if isinstance(error, ccxt.BaseError):  # ccxt itself refused to send it
            return Answer(name, Outcome.REJECTED, reason=f"{type(error).__name__}: not sent")
        raise error

    # -- questions -----------------------------------------------------------------------------------------------------

    async def open_orders(self) -> list[OrderUpdate]:
        """All orders of the instrument that can still fill, ours or not."""
        rows = await self._ask(self._exchange.privateGetOpenOrders({"symbol": self.config.symbol}), "openOrders")
        return [self._decoder.order(row) for row in rows]

    async def order(self, client_order_id: str) -> OrderUpdate | None:
        """State of one order; ``None`` if the venue states that it does not exist."""
        request = {"symbol": self.config.symbol, "origClientOrderId": client_order_id}
        try:
            return self._decoder.order(await self._ask(self._exchange.privateGetOrder(request), "order"))
        except VenueError as error:
            if error.code == _ORDER_DOES_NOT_EXIST:
                return None
            raise

    async def fills(self, after_trade_id: int) -> list[FillUpdate]:
        """All our trades with a greater number, in rising order; ``-1``: all of them."""
        found: list[FillUpdate] = []
        next_id = after_trade_id + 1
        while True:
            request = {"symbol": self.config.symbol, "fromId": next_id, "limit": _TRADES_A_PAGE}
            rows = await self._ask(self._exchange.privateGetMyTrades(request), "myTrades")
            page = sorted((self._decoder.fill(row) for row in rows), key=lambda fill: fill.trade_id)
            found += [fill for fill in page if fill.trade_id >= next_id]
            if len(page) < _TRADES_A_PAGE:
                return found
            next_id = page[-1].trade_id + 1

    async def newest_trade_id(self) -> int:
        """Number of our newest trade of the instrument; ``-1`` if there has never been one."""
        rows = await self._ask(
            self._exchange.privateGetMyTrades({"symbol": self.config.symbol, "limit": 1}), "myTrades"
        )
        return max((int(row["id"]) for row in rows), default=-1)

    async def balances(self) -> Balances:
        """Balances of all assets the account holds."""
        account = await self._ask(self._exchange.privateGetAccount({"omitZeroBalances": "true"}), "account")
        return self._decoder.balances(account["balances"])

    async def _ask(self, request: Awaitable[Any], what: str) -> Any:
        # Nothing of the request may end up in an error: it is signed, and its headers carry the key.
        try:
            return await asyncio.wait_for(request, self.config.timeout_s + 5.0)
        except Refusal as error:
            if error.settled:
                raise VenueError(error.code, error.words) from None
            raise TimedOutError(f"{what}: the venue could not answer ({error.code}: {error.words})") from None
        except (TimeoutError, ccxt.NetworkError) as error:
            raise TimedOutError(f"{what}: no answer from {self.config.rest_url} ({type(error).__name__})") from None
        except ccxt.BaseError as error:
            raise VenueError(0, f"{what}: {type(error).__name__}") from None

    # -- the user stream -----------------------------------------------------------------------------------------------

    def drain(self) -> list[UserEvent]:
        """What the user stream has brought since the last call, in the venue's order, nothing left out.

        Raises
        ------
        DataError
            If an event was malformed: what it said is lost, so nothing after it can be trusted.
        """
        if self._broken is not None:
            raise self._broken
        events, self._events = self._events, []
        return events

    async def reached(self, execution_id: int, timeout_s: float) -> None:
        """Wait until the user stream has brought the report of this number."""
        if self._execution_id >= execution_id or self._broken is not None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._goal = (execution_id, future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise TimedOutError(
                f"the user stream stopped at execution {self._execution_id}, the venue is at {execution_id}; "
                f"waited {timeout_s:g} s"
            ) from None
        finally:
            self._goal = None

    def _on_report(self, event: Mapping[str, Any]) -> None:
        if self._reports is None:
            self._early.append(event)
            return
        try:
            self._events += self._reports.user_event(event)
        except DataError as error:
            self._broken = error
        if event.get("e") == "executionReport":
            self._execution_id = max(self._execution_id, int(event.get("I", 0)))
        if self._goal is not None and not self._goal[1].done():
            if self._broken is not None or self._execution_id >= self._goal[0]:
                self._goal[1].set_result(None)

    def _on_stream_lost(self, why: str) -> None:
        if self._closing or self._reports is None:
            return
        self._events.append(StreamLost(why))
        if self._goal is not None and not self._goal[1].done():
            self._goal[1].set_result(None)  # what is waited for may never come: the event says so
        if self._resubscribing is None or self._resubscribing.done():
            self._resubscribing = asyncio.create_task(self._resubscribe())

    async def _resubscribe(self) -> None:
        # ccxt itself waits longer and longer between dials to a dead endpoint.
        while not self._closing:
            try:
                await self._exchange.ensure_user_data_stream_ws_subscribe_signature("spot")
            except ccxt.BaseError:
                await asyncio.sleep(0.1)
            else:
                return

    @property
    def _exchange(self) -> FencedBinance:
        if self._ccxt is None:
            raise RuntimeError("the venue has not been loaded")
        return self._ccxt

    @property
    def _decoder(self) -> reports.Reports:
        if self._reports is None:
            raise RuntimeError("the venue has not been loaded")
        return self._reports
