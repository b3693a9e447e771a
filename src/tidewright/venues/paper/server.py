"""The paper exchange on a port of its own: sockets around :class:`tidewright.venues.paper.exchange.Exchange`."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from tidewright.market.clock import MILLISECOND
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument, text_units, units_text
from tidewright.market.tape import Tape
from tidewright.venues.paper.connections import PING_EVERY_S, Connection
from tidewright.venues.paper.credentials import ApiKey
from tidewright.venues.paper.desk import Engine
from tidewright.venues.paper.engine import make_engine
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.limits import LOCKSTEP, Limits, WeightMeter
from tidewright.venues.paper.market_data import MOST_UNITS, TapeMarket
from tidewright.venues.paper.options import ExchangeOptions
from tidewright.venues.paper.pacing import MarketTime
from tidewright.venues.paper.protocol import TimeUnit, time_unit
from tidewright.venues.paper.publication import Publication
from tidewright.venues.paper.rest import KeyRing, RestFace, split_path
from tidewright.venues.paper.streams import StreamSession, names_in_path
from tidewright.venues.paper.timekeeper import Timekeeper
from tidewright.venues.paper.ws_api import WsFace, WsSession

__all__ = ["ExchangeOptions", "Server", "build", "serve"]

logger = logging.getLogger(__name__)


class Server:
    """A running paper exchange.

    Attributes
    ----------
    exchange
        Its inside, for tests and figures.
    rest_url, ws_url, control_url
        Roots without path for REST and streams, and the control channel's full URL.
    api_key, api_secret
        Of the first account.
    """

    def __init__(self, exchange: Exchange, clock: MarketTime, options: ExchangeOptions, keys: list[ApiKey]) -> None:
        self.exchange = exchange
        self._clock = clock
        self._options = options
        self._keys = keys
        self.api_key, self.api_secret = keys[0].key, keys[0].secret
        self.rest_url = self.ws_url = self.control_url = ""
        ring, weights = KeyRing(keys, exchange.accounts), WeightMeter(exchange.limits.weight_minute)
        self._rest = RestFace(exchange, ring, weights, time.time_ns)
        self._ws_api = WsFace(exchange, ring, weights, time.time_ns)
        self._publication = Publication(exchange, clock)
        self._time = Timekeeper(exchange, clock, self._publication, options, len(keys))
        self._tasks: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._runner: web.ServerRunner | None = None

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """Keys of all accounts."""
        return tuple(self._keys)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen and let market time run.

        Raises
        ------
        UsageError
            If the port is in use or may not be used.
        """
        options = self._options
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, options.host, options.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror or error}"
            raise UsageError(f"port {options.port} on {options.host} {why}") from None
        port = self._runner.addresses[0][1]
        self.rest_url, self.ws_url = f"http://{options.host}:{port}", f"ws://{options.host}:{port}"
        self.control_url = f"{self.ws_url}/control"
        self._clock.restart()
        self._driver = asyncio.create_task(self._time.run())
        self._driver.add_done_callback(_log_failure)
        self._spawn(self._ping())

    async def close(self) -> None:
        """Tell the clients, close every connection and stop."""
        self._cancel_tasks()
        self._publication.say_goodbye(time.time_ns() // MILLISECOND)
        await asyncio.gather(*(connection.close() for connection in self._connections()))
        if self._runner is not None:
            await self._runner.cleanup()
        if self._driver is not None:
            await asyncio.gather(self._driver, return_exceptions=True)

    async def failed(self) -> None:
        """Wait until market time can run no further because of an error, and raise it; else wait for ever."""
        assert self._driver is not None
        await self._driver
        await asyncio.Event().wait()

    def ready(self) -> dict[str, Any]:
        """The ready line: where to reach the exchange, and the first account's key."""
        return {
            "rest": self.rest_url,
            "ws": self.ws_url,
            "control": self.control_url,
            "api_key": self.api_key,
            "api_secret": self.api_secret,
            "symbols": [self.exchange.market.instrument.symbol],
        }

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_tasks(self) -> None:
        for task in (*self._tasks, *([self._driver] if self._driver is not None else [])):
            task.cancel()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            for connection in self._connections():
                await connection.ping()

    def _connections(self) -> list[Connection]:
        return [*self._publication.streams, *self._publication.users, *self._time.controls]

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = split_path(request.raw_path)
        if path.startswith("/api/"):
            return await self._handle_rest(request, path, query)
        params = dict(parse_qsl(query.decode("utf-8", "replace")))
        if path.rstrip("/") == "/ws-api/v3":
            return await self._handle_ws_api(request, params)
        if path.split("/")[1] in ("ws", "stream"):
            return await self._handle_stream(request, path, params)
        if path == "/control":
            return await self._handle_control(request)
        return await self._handle_rest(request, path, query)

    async def _handle_rest(self, request: web.BaseRequest, path: str, query: bytes) -> web.StreamResponse:
        body = await request.read() if request.can_read_body else b""
        answer = self._rest.answer(request.method, path, query, body, request.headers)
        await self._wait_until(answer.known_ns)
        return web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, content_type="application/json"
        )

    async def _wait_until(self, known_ns: int) -> None:
        wait = self._clock.wall_seconds_to(known_ns) if known_ns else 0.0
        if wait > 0:
            await asyncio.sleep(wait)

    async def _handle_ws_api(self, request: web.BaseRequest, params: dict[str, str]) -> web.StreamResponse:
        connection = Connection(request)
        session = WsSession(time.time_ns(), _unit(params), params.get("returnRateLimits", "true") != "false")
        socket = await connection.open()
        self._publication.users[connection] = session
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    answer = self._ws_api.answer(session, text)
                    if answer.known_ns and self._clock.wall_seconds_to(answer.known_ns) > 0:
                        self._spawn(self._answer_later(connection, answer.payload, answer.known_ns))
                    else:
                        connection.send(answer.payload)
        finally:
            del self._publication.users[connection]
        return socket

    async def _answer_later(self, connection: Connection, payload: bytes, known_ns: int) -> None:
        await self._wait_until(known_ns)
        connection.send(payload)

    async def _handle_stream(self, request: web.BaseRequest, path: str, params: dict[str, str]) -> web.StreamResponse:
        connection = Connection(request)
        session = StreamSession(self.exchange.market.instrument.symbol, path.startswith("/stream"), _unit(params))
        for name in names_in_path(path, params.get("streams")):
            session.add(name)
        socket = await connection.open()
        self._publication.streams[connection] = session
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    connection.send(session.control(text))
        finally:
            del self._publication.streams[connection]
        return socket

    async def _handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = Connection(request)
        socket = await connection.open()
        self._time.connected(connection)
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    self._time.message(connection, text)
        finally:
            self._time.disconnected(connection)
        return socket


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("market time stands: the exchange failed", exc_info=task.exception())


def _unit(params: Mapping[str, str]) -> TimeUnit:
    try:
        return time_unit(params.get("timeUnit"))
    except ApiError as error:
        raise web.HTTPBadRequest(text=orjson.dumps(error.body()).decode(), content_type="application/json") from None


EngineMaker = Callable[[TapeMarket, ExchangeOptions, list[dict[str, int]]], Engine]


def build(tape: Tape, options: ExchangeOptions | None = None, *, engine: EngineMaker = make_engine) -> Server:
    """Make a paper exchange that does not listen yet; the engine is compiled when this returns.

    Parameters
    ----------
    tape
        The market it replays.
    options
        How it is run; lockstep on a free port unless given.
    engine
        Makes the matching engine.

    Raises
    ------
    UsageError
        If an option is out of range, or a balance is of an asset that the tape's symbol does not trade.
    DataError
        If the tape holds no market that could be published.
    """
    options = options or ExchangeOptions()
    _require_traded({asset for balance in options.balances for asset in balance}, tape.instrument)
    market = TapeMarket(tape, options.feed_ns)
    balances = [{asset: text_units(amount, asset) for asset, amount in b.items()} for b in options.balances]
    for asset, units in (item for balance in balances for item in balance.items()):
        if not 0 <= units <= MOST_UNITS:
            raise UsageError(f"the balance of {asset} must be >= 0 and at most {units_text(MOST_UNITS)}")
    keys = list(options.keys) if options.keys is not None else [ApiKey.generate() for _ in balances]
    if not balances or len(keys) != len(balances):
        raise UsageError(f"there must be one key an account, was {len(keys)} for {len(balances)}")
    clock = MarketTime(market.start_ns, market.end_ns, options.pace)
    limits = LOCKSTEP if options.pace is None else Limits(int(6_000 * options.pace))
    exchange = Exchange(market, engine(market, options, balances), balances, clock, options.latencies, limits)
    if options.start_ns is not None and options.start_ns > market.start_ns:
        exchange.open_at(min(options.start_ns, market.end_ns))
        clock.now_ns = exchange.desk.at_ns
    return Server(exchange, clock, options, keys)


def _require_traded(assets: set[str], instrument: Instrument) -> None:
    traded = (instrument.base, instrument.quote)
    for asset in sorted(assets.difference(traded)):
        there = f"{' or '.join(traded)} of {instrument.symbol}"
        raise UsageError(f"a balance must be of an asset that is traded here ({there}), was {asset}")


async def serve(tape: Tape, options: ExchangeOptions | None = None, *, engine: EngineMaker = make_engine) -> Server:
    """Start a paper exchange on this event loop; ``await server.close()`` ends it.

    Parameters
    ----------
    tape, options, engine
        As for :func:`build`.

    Raises
    ------
    UsageError
        If an option is out of range or the port cannot be used.
    DataError
        If the tape holds no market that could be published.
    """
    server = build(tape, options, engine=engine)
    await server.start()
    return server
