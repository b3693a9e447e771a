"""A paper exchange on a real port and clients for it, inside one event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.venues.paper.markets import make_tape
from tests.venues.paper.model_engine import model_engine
from tidewright.market.clock import SECOND
from tidewright.venues.paper.server import ExchangeOptions, Server, serve

BALANCE = {"BTC": "1", "USDT": "10000"}


@asynccontextmanager
async def running(folder: Path, *, seconds: int = 60, **options: Any) -> AsyncIterator[Server]:
    tape = make_tape(folder / "tape", seconds=seconds)
    options.setdefault("balances", (BALANCE,))
    server = await serve(tape, ExchangeOptions(**options), engine=model_engine)
    try:
        yield server
    finally:
        await server.close()


class Socket:
    """A WebSocket client that reads JSON."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = socket

    async def send(self, message: Any) -> None:
        await self.raw.send_str(message if isinstance(message, str) else json.dumps(message))

    async def read(self, timeout: float = 5.0) -> Any:
        message = await asyncio.wait_for(self.raw.receive(), timeout)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def ask(self, message: Any) -> Any:
        await self.send(message)
        return await self.read()

    async def read_until(self, stop: Callable[[Any], bool], timeout: float = 5.0) -> list[Any]:
        """Messages up to and with the first that fits."""
        found = []
        while True:
            found.append(await self.read(timeout))
            if stop(found[-1]):
                return found

    async def silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a while."""
        try:
            message = await asyncio.wait_for(self.raw.receive(), seconds)
        except TimeoutError:
            return True
        assert message.type is aiohttp.WSMsgType.TEXT
        return False


class Client:
    """Opens sockets and asks over HTTP."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def open(self, path: str) -> Socket:
        return Socket(await self.http.ws_connect(self.server.ws_url + path, compress=0))

    async def get(self, path: str, **params: str) -> Any:
        async with self.http.get(self.server.rest_url + path, params=params) as response:
            return await response.json()

    async def control(self, cycle_ns: int = SECOND, **fields: Any) -> "Control":
        control = Control(await self.open("/control"))
        message = {"op": "register", "name": "test", "cycle_ns": cycle_ns, "start_ns": None, **fields}
        control.registered = await control.socket.ask(message)
        return control


class Control:
    """A registered session."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.registered: dict[str, Any] = {}
        self.barrier: dict[str, Any] = {}

    async def reach(self) -> dict[str, Any]:
        self.barrier = await self.socket.read()
        assert self.barrier["op"] == "barrier", self.barrier
        return self.barrier

    async def release(self, **fields: Any) -> None:
        await self.socket.send({"op": "release", "ts": self.barrier["ts"], **fields})

    async def step(self, **fields: Any) -> dict[str, Any]:
        await self.release(**fields)
        return await self.reach()


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(server, http)


def run(folder: Path, work: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    """Run a test's coroutine against an exchange of its own."""

    async def inside() -> None:
        async with running(folder, **options) as server, client(server) as found:
            await work(found)

    asyncio.run(asyncio.wait_for(inside(), 60))
