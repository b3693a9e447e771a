"""Conformance: the unmodified ccxt and ccxt.pro clients of Binance work against the paper exchange."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import pytest
from aiohttp.abc import AbstractResolver

from tests.venues.paper.markets import START
from tests.venues.paper.sockets import Client, Control, run
from tidewright.market.clock import MILLISECOND
from tidewright.venues.paper.server import Server

SYMBOL = "BTC/USDT"


class NoNames(AbstractResolver):
    """Every host but a loopback address is out of reach."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        raise OSError(f"the client wanted to reach {host}")

    async def close(self) -> None:
        return


def settings(server: Server, **changes: Any) -> dict[str, Any]:
    """Every URL of ccxt rewritten; nothing else is tuned."""
    original = ccxt.binance().urls["api"]
    api: dict[str, Any] = {
        name: f"{server.rest_url}/{url.split('/', 3)[3]}" for name, url in original.items() if isinstance(url, str)
    }
    streams = f"{server.ws_url}/stream"
    api["ws"] = {"spot": streams, "margin": streams, "ws-api": {"spot": f"{server.ws_url}/ws-api/v3"}}
    return {"apiKey": server.api_key, "secret": server.api_secret, "urls": {"api": api}, **changes}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    else:
        yield value


@asynccontextmanager
async def pro(server: Server, **changes: Any) -> AsyncIterator[Any]:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames()))
    exchange = ccxt.pro.binance(settings(server, session=session, **changes))
    exchange.enableRateLimit = False
    try:
        yield exchange
    finally:
        await exchange.close()
        await session.close()


def with_pro(folder: Path, work: Callable[[Client, Any], Awaitable[None]], **options: Any) -> None:
    async def inside(client: Client) -> None:
        async with pro(client.server) as exchange:
            await exchange.load_markets()
            await work(client, exchange)

    run(folder, inside, **options)


@asynccontextmanager
async def moving(client: Client) -> AsyncIterator[Control]:
    """Market time goes on, a second at a time, while the body waits for something."""
    control = await client.control()
    await control.reach()

    async def go() -> None:
        done = False
        while not done:
            await asyncio.sleep(0.002)  # leaves the client time to follow
            done = (await control.step())["done"]

    task = asyncio.create_task(go())
    try:
        yield control
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await control.socket.raw.close()


async def eventually(happened: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 10 seconds")


def test_an_untuned_client_loads_markets_and_reaches_no_other_host(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        async with pro(client.server) as exchange:
            markets = await exchange.load_markets()
            roots = (client.server.rest_url, client.server.ws_url)
            spot = {k: v for k, v in exchange.urls["api"].items() if k != "ws"}
            assert all(url.startswith(roots) for url in texts(spot))
            assert list(markets) == [SYMBOL]
            market = markets[SYMBOL]
            assert market["precision"]["price"] == 0.01 and market["precision"]["amount"] == 1e-5
            assert market["limits"]["cost"]["min"] == 5.0 and market["active"] and market["spot"]
            fee = await exchange.fetch_trading_fee(SYMBOL)
            assert (fee["maker"], fee["taker"]) == (0.001, 0.001)
            exchange.urls["api"]["public"] = "https://api.binance.com/api/v3"
            with pytest.raises(ccxt.NetworkError):
                await exchange.fetch_time()

    run(tmp_path, work)


def test_market_data_over_rest(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        async with moving(client):
            await eventually(lambda: client.server.exchange.publisher.prints >= 10)
        market = client.server.exchange.market
        book = await exchange.fetch_order_book(SYMBOL, 5)
        best = client.server.exchange.publisher.book.best()
        assert book["bids"][0] == [best[0] / 100, best[1] / 1e5]
        trades = await exchange.fetch_trades(SYMBOL)
        assert len(trades) == client.server.exchange.publisher.prints
        assert trades[0]["price"] == market.prints.price[0] / 100
        candles = await exchange.fetch_ohlcv(SYMBOL, "1m")
        assert candles[0][0] == START // MILLISECOND
        ticker = await exchange.fetch_ticker(SYMBOL)
        assert ticker["last"] == trades[-1]["price"]
        assert (await exchange.fetch_tickers([SYMBOL]))[SYMBOL]["last"] == ticker["last"]
        assert (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]["bid"] == book["bids"][0][0]
        assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 5_000

    with_pro(tmp_path, work)


def test_orders_over_rest(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        assert (await exchange.fetch_balance())["free"] == {"BTC": 1.0, "USDT": 10000.0}
        placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 99.5)
        assert placed["status"] == "open"
        balance = await exchange.fetch_balance()
        assert balance["USDT"] == {"free": 9950.25, "used": 49.75, "total": 10000.0}
        assert (await exchange.fetch_order(placed["id"], SYMBOL))["remaining"] == 0.5
        assert [o["id"] for o in await exchange.fetch_open_orders(SYMBOL)] == [placed["id"]]
        edited = await exchange.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.25, 99.0)
        assert (edited["status"], edited["amount"]) == ("open", 0.25)
        cancelled = await exchange.cancel_order(edited["id"], SYMBOL)
        assert cancelled["status"] == "canceled"
        bought = await exchange.create_order(SYMBOL, "market", "buy", 0.2)
        assert (bought["status"], bought["average"]) == ("closed", 100.01)
        assert bought["fee"] == {"currency": "BTC", "cost": 0.0002}
        spent = await exchange.create_market_buy_order_with_cost(SYMBOL, 50)
        assert spent["status"] == "closed" and 49.99 < spent["cost"] <= 50
        maker = await exchange.create_order(SYMBOL, "limit", "sell", 0.1, 100.5, {"postOnly": True})
        assert maker["postOnly"] and maker["status"] == "open"
        await exchange.cancel_all_orders(SYMBOL)
        assert {o["status"] for o in await exchange.fetch_orders(SYMBOL)} == {"canceled", "closed"}
        trades = await exchange.fetch_my_trades(SYMBOL)
        assert [t["takerOrMaker"] for t in trades] == ["taker", "taker"]

    with_pro(tmp_path, work)


def test_stop_orders_and_amendments(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        stop = await exchange.create_order(SYMBOL, "market", "sell", 0.2, None, {"stopLossPrice": 95.0})
        assert (await exchange.fetch_order(stop["id"], SYMBOL))["triggerPrice"] == 95.0
        limit = await exchange.create_order(SYMBOL, "limit", "buy", 0.2, 104.5, {"triggerPrice": 105.0})
        found = await exchange.fetch_order(limit["id"], SYMBOL)
        assert (found["status"], found["type"], found["triggerPrice"]) == ("open", "limit", 105.0)
        placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.5, 99.5)
        params = {"symbol": "BTCUSDT", "orderId": placed["id"], "newQty": "0.3"}
        answer = await exchange.request("order/amend/keepPriority", ["private"], "PUT", params)
        assert answer["amendedOrder"]["qty"] == "0.30000000"
        assert (await exchange.fetch_order(placed["id"], SYMBOL))["amount"] == 0.3
        assert len(await exchange.cancel_all_orders(SYMBOL)) == 3

    with_pro(tmp_path, work)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("limit", "buy", 0.01, 99.0), ccxt.BadRequest, '"code":-1013,"msg":"Filter failure: NOTIONAL"'),
        # ccxt names the class by the words, and then shows the words only
        (("limit", "buy", 200.0, 99.0), ccxt.InsufficientFunds, "insufficient balance for requested action"),
        (("limit", "sell", 0.1, 99.0, {"postOnly": True}), ccxt.OrderImmediatelyFillable, "immediately match and take"),
    ],
)
def test_refused_orders(tmp_path: Path, arguments: tuple[Any, ...], kind: type[Exception], words: str) -> None:
    async def work(client: Client, exchange: Any) -> None:
        with pytest.raises(kind, match=words):
            await exchange.create_order(SYMBOL, *arguments)
        with pytest.raises(kind, match=words):
            await exchange.create_order_ws(SYMBOL, *arguments)
        with pytest.raises(ccxt.OrderNotFound, match='"code":-2011'):
            await exchange.cancel_order("99", SYMBOL)
        with pytest.raises(ccxt.OrderNotFound, match='"code":-2013'):
            await exchange.fetch_order("99", SYMBOL)

    with_pro(tmp_path, work)


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"apiKey": "k" * 64}, ccxt.AuthenticationError, -2015),
        ({"apiKey": "short"}, ccxt.AuthenticationError, -2014),
        ({"secret": "wrong"}, ccxt.AuthenticationError, -1022),
        ({"nonce": lambda: 1_600_000_000_000}, ccxt.InvalidNonce, -1021),
    ],
)
def test_refused_requests(tmp_path: Path, changes: dict[str, Any], kind: type[Exception], code: int) -> None:
    async def work(client: Client) -> None:
        server = client.server
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
        async with pro(server, options=options, **changes) as exchange:
            await exchange.load_markets()
            with pytest.raises(kind, match=f'"code":{code}') as caught:
                await exchange.fetch_balance()
            assert server.api_secret not in str(caught.value)

    run(tmp_path, work)


def test_the_market_can_be_watched(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        watches = {
            "book": asyncio.create_task(exchange.watch_order_book(SYMBOL)),
            "trades": asyncio.create_task(exchange.watch_trades(SYMBOL)),
            "ticker": asyncio.create_task(exchange.watch_ticker(SYMBOL)),
            "quotes": asyncio.create_task(exchange.watch_bids_asks([SYMBOL])),
            "candles": asyncio.create_task(exchange.watch_ohlcv(SYMBOL, "1m")),
        }
        await eventually(
            lambda: len([s for s in client.server._publication.streams.values() if s.names]) == len(watches)
        )
        async with moving(client):
            found = {name: await asyncio.wait_for(task, 10) for name, task in watches.items()}
        assert found["trades"][0]["price"] in (99.99, 100.01)
        assert found["ticker"]["last"] in (99.99, 100.01)
        assert found["quotes"][SYMBOL]["bid"] < found["quotes"][SYMBOL]["ask"]
        assert found["candles"][-1][0] == START // MILLISECOND
        assert found["book"]["bids"][0][0] < found["book"]["asks"][0][0]
        await asyncio.sleep(0.1)
        publisher, book = client.server.exchange.publisher, exchange.orderbooks[SYMBOL]
        assert book["nonce"] == publisher.depth_id
        assert [list(level)[:2] for level in book["bids"]] == [
            [price / 100, qty / 1e5] for price, qty in publisher.book.bids.highest(1_000)
        ]

    with_pro(tmp_path, work)


def test_the_account_can_be_watched_while_orders_go_over_the_websocket(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        orders = asyncio.create_task(exchange.watch_orders(SYMBOL))
        balance = asyncio.create_task(exchange.watch_balance())
        trades = asyncio.create_task(exchange.watch_my_trades(SYMBOL))
        await eventually(lambda: any(s.subscriptions for s in client.server._publication.users.values()))
        await asyncio.sleep(0.05)
        placed = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.06, 99.99)
        far = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.06, 95.0)
        assert (placed["status"], far["status"]) == ("open", "open")
        # ccxt 4.5.90 parses a spot account.status to nothing: what the exchange said is in info
        status = (await exchange.fetch_balance_ws())["info"]
        assert status["balances"][1] == {"asset": "USDT", "free": "9988.30060000", "locked": "11.69940000"}
        assert (await exchange.cancel_order_ws(far["id"], SYMBOL))["status"] == "canceled"
        async with moving(client):
            assert (await asyncio.wait_for(orders, 10))[0]["symbol"] == SYMBOL
            assert (await asyncio.wait_for(balance, 10))["USDT"]["total"] == 10_000
            trade = (await asyncio.wait_for(trades, 10))[0]
            assert (trade["order"], trade["price"], trade["takerOrMaker"]) == (placed["id"], 99.99, "maker")
            states = {o["id"]: o["status"] for o in exchange.orders}
            while states.get(placed["id"]) != "closed":
                states |= {o["id"]: o["status"] for o in await asyncio.wait_for(exchange.watch_orders(SYMBOL), 10)}
        assert states == {placed["id"]: "closed", far["id"]: "canceled"}

    with_pro(tmp_path, work)


def test_a_client_that_knows_nothing_of_barriers_trades_on_a_paced_exchange(tmp_path: Path) -> None:
    async def work(client: Client, exchange: Any) -> None:
        book = await asyncio.wait_for(exchange.watch_order_book(SYMBOL), 10)
        placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.06, book["bids"][0][0])
        state = "open"
        while state == "open":
            found = await asyncio.wait_for(exchange.watch_orders(SYMBOL), 15)
            state = next((o["status"] for o in found if o["id"] == placed["id"]), state)
        assert state == "closed"
        assert (await exchange.fetch_balance())["BTC"]["total"] == pytest.approx(1.05994)

    with_pro(tmp_path, work, pace=30.0, seconds=300)


def test_the_synchronous_client(tmp_path: Path) -> None:
    def use(server: Server) -> None:
        exchange = ccxt.binance(settings(server))
        exchange.enableRateLimit = False
        exchange.load_markets()
        assert exchange.fetch_balance()["BTC"]["free"] == 1.0
        sold = exchange.create_order(SYMBOL, "market", "sell", 0.3)
        assert (sold["status"], sold["average"]) == ("closed", 99.99)
        placed = exchange.create_order(SYMBOL, "limit", "sell", 0.3, 101)
        assert exchange.cancel_order(placed["id"], SYMBOL)["status"] == "canceled"
        assert len(exchange.fetch_my_trades(SYMBOL)) == 1
        exchange.close()

    async def work(client: Client) -> None:
        await asyncio.to_thread(use, client.server)

    run(tmp_path, work)
