"""Local venues: they hold a market, play its events to whoever has subscribed, and misbehave on command.

What is played while nobody listens is lost to the listener, as it is at a real venue; a new subscription gets the
book as it stands then.
"""

import asyncio
import heapq
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from tests.venues.recording.markets import Book, Event, Market, apply


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


class LocalVenue:
    """What the three have in common.

    Faults, each for one message and then over: ``drop`` and ``corrupt`` (Kraken's checksum). While ``refusing`` no new
    connection is accepted.
    """

    def __init__(self, market: Market) -> None:
        self.market, self.books, self.position = market, deepcopy(market.books), 0
        self.sockets: list[web.WebSocketResponse] = []  # open and subscribed to books
        self.trade_sockets: list[web.WebSocketResponse] = []  # open and subscribed to trades
        self.connections = 0
        self.drop = self.corrupt = self.refusing = False
        self.received: list[Any] = []
        self.pongs: list[bytes] = []
        self.url = self.ws_url = ""

    async def __aenter__(self) -> "LocalVenue":
        app = web.Application()
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/stream", self._socket)
        app.router.add_get("/{path:api.*|0/public.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self.url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}{self.ws_path}"
        return self

    ws_path = "/ws"

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await self._runner.cleanup()

    async def disconnect(self) -> None:
        closing = set(self.sockets) | set(self.trade_sockets)
        self.sockets.clear()
        self.trade_sockets.clear()
        for socket in closing:
            await socket.close()

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """All connections are lost, and new ones are refused for a while."""
        self.refusing = True
        await self.disconnect()
        yield
        self.refusing = False

    async def _rest(self, request: web.Request) -> web.Response:
        status, body = self.answer(request.path, dict(request.query))
        headers = {"Retry-After": "0"} if status == 429 else {}
        return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.connections += 1
        await self.on_connect(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = orjson.loads(message.data)
                self.received.append(asked)
                await self.on_request(socket, asked)
            elif message.type is WSMsgType.PONG:
                self.pongs.append(bytes(message.data))
        for subscribers in (self.sockets, self.trade_sockets):
            if socket in subscribers:
                subscribers.remove(socket)
        return socket

    async def subscribed(self, connections: int = 1, timeout_s: float = 5.0) -> None:
        """Wait until somebody listens on the given connection or a later one."""
        async with asyncio.timeout(timeout_s):
            while self.connections < connections or not self.sockets:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def play(self, count: int | None = None, pause_s: float = 0.0) -> None:
        """Let the next events happen; all that are left by default."""
        stop = len(self.market.events) if count is None else self.position + count
        for event in self.market.events[self.position : stop]:
            self.position += 1
            checked = self.checked(event.symbol) if self.drop else None
            text = self.message(event)
            apply(self.books[event.symbol], event.levels)
            dropped = self.drop and checked != self.checked(event.symbol)
            self.drop = self.drop and not dropped
            for socket in list(self.trade_sockets if event.trade is not None else self.sockets):
                await self.send(socket, event, text, dropped)
            await asyncio.sleep(pause_s)

    async def raw(self, text: str) -> None:
        for socket in self.sockets:
            await socket.send_str(text)

    def checked(self, symbol: str) -> Any:
        """The part of the book whose loss shows at once; ``drop`` waits for a message that changes it."""
        return {side: dict(levels) for side, levels in self.books[symbol].items()}

    # -- what differs --------------------------------------------------------------------------------------------------

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        raise NotImplementedError

    async def on_connect(self, socket: web.WebSocketResponse) -> None: ...

    async def on_request(self, socket: web.WebSocketResponse, asked: Any) -> None: ...

    def message(self, event: Event) -> Any:
        """The event in the venue's words, made before the book changes."""
        raise NotImplementedError

    async def send(self, socket: web.WebSocketResponse, event: Event, message: Any, dropped: bool) -> None:
        if not dropped:
            await socket.send_str(orjson.dumps(message).decode())


class LocalBinance(LocalVenue):
    """``stale_snapshots``: so many depth requests are answered with the book of the beginning."""

    ws_path = ""

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.ids = dict(market.update_ids)
        self.stale_snapshots = self.snapshots = 0
        self.refusals: list[int] = []  # HTTP statuses of the next depth requests

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        symbol = query.get("symbol", "")
        entries = [entry for entry in self.market.info["symbols"] if entry["symbol"] == symbol]
        if not entries:
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        if path.endswith("exchangeInfo"):
            return 200, {"symbols": entries}
        if self.refusals:
            return self.refusals.pop(0), {"code": -1003, "msg": "Too much request weight used."}
        self.snapshots += 1
        book, number = self.books[symbol], self.ids[symbol]
        if self.stale_snapshots:
            self.stale_snapshots -= 1
            book, number = self.market.books[symbol], self.market.update_ids[symbol]
        bids = [[f"{p:f}", f"{q:f}"] for p, q in sorted(book["bid"].items(), reverse=True)]
        asks = [[f"{p:f}", f"{q:f}"] for p, q in sorted(book["ask"].items())]
        return 200, {"lastUpdateId": number, "bids": bids, "asks": asks}

    async def on_connect(self, socket: web.WebSocketResponse) -> None:
        self.sockets.append(socket)
        self.trade_sockets.append(socket)

    def message(self, event: Event) -> Any:
        if event.levels or event.ids[1]:
            self.ids[event.symbol] = event.ids[1]
        return {"stream": "any", "data": event.raw or self._data(event)}

    def _data(self, event: Event) -> dict[str, Any]:
        ms = event.ts_ns // 1_000_000
        if event.trade is not None:
            number, price, qty, taker = event.trade
            maker = taker == "sell"
            return {
                "e": "trade", "E": ms, "T": ms, "s": event.symbol, "t": number, "p": price, "q": qty, "m": maker
            }  # fmt: skip
        sides = {side: [[p, q] for s, p, q in event.levels if s == side] for side in ("bid", "ask")}
        first, last = event.ids
        return {
            "e": "depthUpdate", "E": ms, "s": event.symbol, "U": first, "u": last, "b": sides["bid"], "a": sides["ask"]
        }  # fmt: skip


class LocalCoinbase(LocalVenue):
    """Numbers each connection's messages; subscribing to level2 brings the book, to market_trades the past."""

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.numbers: dict[web.WebSocketResponse, int] = {}
        self.past = {symbol: list(events) for symbol, events in market.past_trades.items()}
        self.now_ns = 0

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        for product in self.market.info["products"]:
            if path.endswith("/" + product["product_id"]):
                return 200, product
        return 404, {"error": "NOT_FOUND", "error_details": "valid product_id is required"}

    async def on_connect(self, socket: web.WebSocketResponse) -> None:
        self.numbers[socket] = 0

    async def on_request(self, socket: web.WebSocketResponse, asked: Any) -> None:
        channel, symbols = asked["channel"], asked["product_ids"]
        if channel == "level2":
            self.sockets.append(socket)
            for symbol in symbols:
                levels = [(side, p, q) for side, book in self.books[symbol].items() for p, q in book.items()]
                await self._number(socket, self._levels(symbol, "snapshot", levels))
        elif channel == "market_trades":
            self.trade_sockets.append(socket)
            for symbol in symbols:
                trades = [self._trade(event) for event in reversed(self.past.get(symbol, [])[-100:])]
                if trades:
                    await self._number(socket, self._wrap("market_trades", [{"type": "snapshot", "trades": trades}]))

    def _wrap(self, channel: str, events: list[Any]) -> dict[str, Any]:
        return {"channel": channel, "timestamp": iso(self.now_ns or 10**18), "sequence_num": 0, "events": events}

    def _levels(self, symbol: str, kind: str, levels: Any) -> dict[str, Any]:
        updates = [
            {
                "side": "bid" if side == "bid" else "offer",
                "event_time": iso(self.now_ns),
                "price_level": f"{Decimal(price):f}",
                "new_quantity": f"{Decimal(qty):f}",
            }
            for side, price, qty in levels
        ]
        return self._wrap("l2_data", [{"type": kind, "product_id": symbol, "updates": updates}])

    def _trade(self, event: Event) -> dict[str, Any]:
        if event.raw is not None:
            return event.raw["events"][0]["trades"][0]
        number, price, qty, taker = event.trade
        return {
            "product_id": event.symbol,
            "trade_id": str(number),
            "price": price,
            "size": qty,
            "time": iso(event.ts_ns),
            "side": "SELL" if taker == "buy" else "BUY",
        }

    async def _number(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        number = self.numbers[socket]
        self.numbers[socket] += 1
        await socket.send_str(orjson.dumps({**message, "sequence_num": number}).decode())

    def message(self, event: Event) -> Any:
        self.now_ns = event.ts_ns
        if event.trade is not None:
            self.past.setdefault(event.symbol, []).append(event)
            return event.raw or self._wrap("market_trades", [{"type": "update", "trades": [self._trade(event)]}])
        return event.raw or self._levels(event.symbol, "update", event.levels)

    async def send(self, socket: web.WebSocketResponse, event: Event, message: Any, dropped: bool) -> None:
        if dropped:
            self.numbers[socket] += 1
        else:
            await self._number(socket, message)


class LocalKraken(LocalVenue):
    """Shows the best ``depth`` levels and their checksum, computed here from the decimal texts."""

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self.depth = 1000
        self.past = {symbol: list(events) for symbol, events in market.past_trades.items()}
        pairs = {self._common(p["wsname"]): p for p in market.info["result"].values() if p.get("wsname")}
        self.decimals = {symbol: (pairs[symbol]["pair_decimals"], 8) for symbol in market.books}

    @staticmethod
    def _common(name: str) -> str:
        return "/".join({"XBT": "BTC"}.get(part, part) for part in name.split("/"))

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        return 200, self.market.info

    def checked(self, symbol: str) -> Any:
        return _best(self.books[symbol], 10)

    def view(self, symbol: str) -> Book:
        """What a subscriber holds."""
        book = self.books[symbol]
        if self.depth >= max(len(book["bid"]), len(book["ask"])):
            return {side: dict(levels) for side, levels in book.items()}
        return _best(book, self.depth)

    async def on_connect(self, socket: web.WebSocketResponse) -> None:
        await socket.send_str('{"channel":"status","type":"update","data":[{"system":"online"}]}')

    async def on_request(self, socket: web.WebSocketResponse, asked: Any) -> None:
        params = asked["params"]
        unknown = [symbol for symbol in params["symbol"] if symbol not in self.books]
        answer = {"method": asked["method"], "req_id": asked["req_id"], "success": not unknown}
        if unknown:
            answer["error"] = f"Currency pair not supported {unknown[0]}"
        await socket.send_str(orjson.dumps(answer).decode())
        if unknown or asked["method"] == "unsubscribe":
            return
        subscribers = self.sockets if params["channel"] == "book" else self.trade_sockets
        if socket not in subscribers:
            subscribers.append(socket)
        for symbol in params["symbol"]:
            if params["channel"] == "book":
                self.depth = params["depth"]
                view = self.view(symbol)
                levels = [(side, p, q) for side in view for p, q in view[side].items()]
                await socket.send_str(self._book(symbol, "snapshot", levels, 0))
            elif self.past.get(symbol):
                await socket.send_str(self._trades(self.past[symbol][-50:], "snapshot"))

    def _book(self, symbol: str, kind: str, levels: Any, ts_ns: int) -> str:
        price_decimals, qty_decimals = self.decimals[symbol]
        rows: dict[str, list[str]] = {"bid": [], "ask": []}
        for side, price, qty in levels:
            rows[side].append(f'{{"price":{Decimal(price):.{price_decimals}f},"qty":{Decimal(qty):.{qty_decimals}f}}}')
        checksum = self._checksum(symbol) ^ self.corrupt
        if kind == "update":
            self.corrupt = False
        stamp = f',"timestamp":"{iso(ts_ns)[:-4]}Z"' if ts_ns else ""
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{",".join(rows["bid"])}],'
            f'"asks":[{",".join(rows["ask"])}],"checksum":{checksum}{stamp}}}]}}'
        )

    def _checksum(self, symbol: str) -> int:
        price_decimals, qty_decimals = self.decimals[symbol]
        best, text = _best(self.books[symbol], 10), ""
        for side in ("ask", "bid"):
            for price, qty in best[side].items():
                text += f"{price:.{price_decimals}f}".replace(".", "").lstrip("0")
                text += f"{qty:.{qty_decimals}f}".replace(".", "").lstrip("0")
        return zlib.crc32(text.encode())

    def _trades(self, events: list[Event], kind: str) -> str:
        rows = []
        for event in events:
            number, price, qty, taker = event.trade
            rows.append(
                f'{{"symbol":"{event.symbol}","side":"{taker}","price":{price},"qty":{qty},"ord_type":"limit",'
                f'"trade_id":{number},"timestamp":"{iso(event.ts_ns)[:-4]}Z"}}'
            )
        return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'

    def message(self, event: Event) -> Any:
        if event.trade is not None:
            self.past.setdefault(event.symbol, []).append(event)
            return self._trades([event], "update")
        book = self.books[event.symbol]
        if self.depth > max(len(book["bid"]), len(book["ask"])) + len(event.levels):  # nothing is out of sight
            apply(book, event.levels)
            return self._book(event.symbol, "update", event.levels, event.ts_ns)
        before = self.view(event.symbol)
        apply(self.books[event.symbol], event.levels)
        after = self.view(event.symbol)
        levels = []
        for side in ("bid", "ask"):
            gone = [p for p in before[side] if p not in self.books[event.symbol][side]]  # not: pushed out of sight
            levels += [(side, p, Decimal(0)) for p in gone]
            levels += [(side, p, q) for p, q in after[side].items() if before[side].get(p) != q]
        return self._book(event.symbol, "update", levels, event.ts_ns) if levels else None

    async def send(self, socket: web.WebSocketResponse, event: Event, message: Any, dropped: bool) -> None:
        if not dropped and message is not None:
            await socket.send_str(message)


def _best(book: Book, depth: int) -> Book:
    return {
        "bid": {p: book["bid"][p] for p in heapq.nlargest(depth, book["bid"])},
        "ask": {p: book["ask"][p] for p in heapq.nsmallest(depth, book["ask"])},
    }
