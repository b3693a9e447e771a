"""A small scripted server that speaks just enough of Binance's protocol to misbehave on command."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "baseCommissionPrecision": 8,
    "quoteCommissionPrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
    "icebergAllowed": False,
    "ocoAllowed": False,
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "maxNotional": "9000000"},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ],
    "permissions": [],
    "permissionSets": [["SPOT"]],
}


class ScriptedBinance:
    """Answers as told; tests change its attributes and push messages.

    ``on_order(method, params)`` returns ``(status, body)`` for a WebSocket API request, or ``None`` for silence.
    """

    def __init__(self) -> None:
        self.url = self.ws_url = ""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.depth: dict[str, Any] = {
            "lastUpdateId": 10,
            "bids": [["100.00", "1.00000"]],
            "asks": [["101.00", "2.00000"]],
        }
        self.trades: list[dict[str, Any]] = []
        self.rest: dict[str, Callable[[dict[str, str]], tuple[int, Any]]] = {}
        self.on_order: Callable[[str, dict[str, Any]], tuple[int, Any] | None] = lambda method, params: (200, {})
        self.market_sockets: list[web.WebSocketResponse] = []
        self.user_sockets: list[web.WebSocketResponse] = []
        self.subscribed = asyncio.Event()

    async def __aenter__(self) -> "ScriptedBinance":
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/ws-api/v3", self._ws_api)
        app.router.add_route("*", "/api/v3/{name:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in (*self.market_sockets, *self.user_sockets):
            await socket.close()
        await self._runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        name, query = request.match_info["name"], dict(request.query)
        self.requests.append((name, query))
        answers: dict[str, Any] = {
            "depth": self.depth,
            "trades": self.trades,
            "exchangeInfo": {"timezone": "UTC", "rateLimits": [], "exchangeFilters": [], "symbols": [SYMBOL]},
            "account": {"commissionRates": {"maker": "0.00100000", "taker": "0.00200000"}, "balances": []},
        }
        status, body = self.rest[name](query) if name in self.rest else (200, answers[name])
        return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.market_sockets.append(socket)
        self.subscribed.set()
        async for _ in socket:
            pass
        return socket

    async def market(self, payload: dict[str, Any]) -> None:
        await self.market_sockets[-1].send_str(orjson.dumps({"stream": "x", "data": payload}).decode())

    async def _ws_api(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.user_sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = orjson.loads(message.data)
            method, params = asked["method"], asked["params"]
            self.requests.append((method, params))
            if method == "userDataStream.subscribe.signature":
                found: tuple[int, Any] | None = (200, {"subscriptionId": 0})
            else:
                found = self.on_order(method, params)
            if found is None:
                continue
            status, body = found
            answer = {"id": asked["id"], "status": status, ("result" if status == 200 else "error"): body}
            await socket.send_str(orjson.dumps(answer).decode())
        return socket

    async def user(self, event: dict[str, Any]) -> None:
        await self.user_sockets[-1].send_str(orjson.dumps({"subscriptionId": 0, "event": event}).decode())


def depth(first: int, last: int, bids=(), asks=(), ts: int = 1_700_000_000_000) -> dict[str, Any]:
    return {"e": "depthUpdate", "E": ts, "s": "BTCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}


def trade(number: int, price: str = "100.50", qty: str = "0.00100", ts: int = 1_700_000_000_000) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": ts,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": qty,
        "T": ts,
        "m": False,
        "M": True,
    }


def report(client_id: str, kind: str, status: str, execution: int, **changes: Any) -> dict[str, Any]:
    event = {
        "e": "executionReport",
        "E": 1,
        "s": "BTCUSDT",
        "c": client_id,
        "C": "",
        "S": "BUY",
        "o": "LIMIT_MAKER",
        "f": "GTC",
        "q": "0.00100000",
        "p": "100.00000000",
        "x": kind,
        "X": status,
        "r": "NONE",
        "i": 7,
        "l": "0.00000000",
        "z": "0.00000000",
        "L": "0.00000000",
        "n": "0",
        "N": None,
        "T": 1_700_000_000_000,
        "t": -1,
        "I": execution,
        "m": False,
    }
    return {**event, **changes}
