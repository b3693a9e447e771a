"""The paper exchange on a port of its own: sockets around :class:`tidewright.venues.paper.exchange.Exchange`."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from tidewright.market.clock import MILLISECOND
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units, units_text
from tidewright.market.tape import Tape
from tidewright.venues.paper import control
from tidewright.venues.paper.connections import PING_EVERY_S, Connection
from tidewright.venues.paper.control import Barriers, ControlSession
from tidewright.venues.paper.credentials import ApiKey
from tidewright.venues.paper.desk import Engine
from tidewright.venues.paper.engine import make_engine
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.limits import LOCKSTEP, Limits, WeightMeter
from tidewright.venues.paper.market_data import MOST_UNITS, TapeMarket
from tidewright.venues.paper.orders import ExecutionEvent
from tidewright.venues.paper.pacing import MarketTime, Pacer
from tidewright.venues.paper.protocol import TimeUnit, time_unit
from tidewright.venues.paper.rest import KeyRing, RestFace, split_path
from tidewright.venues.paper.streams import StreamSession, names_in_path, wanted
from tidewright.venues.paper.ws_api import WsFace, WsSession

logger = logging.getLogger(__name__)

_CHUNK_PACKETS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How a paper exchange is run.

    Parameters
    ----------
    port
        0 picks a free one.
    pace
        Market seconds a wall second, 1 to 60; ``None`` is lockstep.
    balances
        What each account starts with, decimal text by asset; one account an element.
    entry_ns, response_ns, feed_ns
        Latencies of orders, of answers, and of market data that came without receipts, ns.
    queue, queue_power
        Queue model of the engine.
    start_ns
        Market time at which the exchange opens; ``None``: with the tape's first snapshot.
    keys
        API keys, one an account; ``None`` generates them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    pace: float | None = None
    balances: tuple[Mapping[str, str], ...] = ({},)
    entry_ns: int = 50 * MILLISECOND
    response_ns: int = 50 * MILLISECOND
    feed_ns: int = 0
    queue: str = "risk_averse"
    queue_power: float = 3.0
    start_ns: int | None = None
    keys: tuple[ApiKey, ...] | None = field(default=None, repr=False)


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
        self._barriers = Barriers(clock.end_ns, len(keys))
        self._streams: dict[Connection, StreamSession] = {}
        self._users: dict[Connection, WsSession] = {}
        self._controls: dict[Connection, list[ControlSession]] = {}
        self._moved = asyncio.Event()
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
        self._driver = asyncio.create_task(self._drive())
        self._driver.add_done_callback(_log_failure)
        self._spawn(self._ping())

    async def close(self) -> None:
        """Tell the clients, close every connection and stop."""
        self._cancel_tasks()
        now = time.time_ns() // MILLISECOND
        event = b'{"e":"serverShutdown","E":%d}' % now
        for connection, stream in self._streams.items():
            wrapped = b'{"stream":"!serverShutdown","data":%b}' % event
            connection.send(wrapped if stream.combined else event)
        for connection in self._users:
            connection.send(b'{"event":%b}' % event)
        await asyncio.gather(*(c.close() for c in (*self._streams, *self._users, *self._controls)))
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
            for connection in (*self._streams, *self._users, *self._controls):
                await connection.ping()

    # -- market time --------------------------------------------------------------------------------------------------

    async def _drive(self) -> None:
        if self._clock.pace is not None:
            await Pacer(self._clock, self._paced_step, self._next_event_ns).run()
            return
        while True:
            await self._moved.wait()
            self._moved.clear()
            self._announce()  # a session may begin at an instant at which another one stands
            target = self._barriers.target()
            if target is not None:
                await self._run_to(target)
                self._moved.set()

    async def _paced_step(self, until_ns: int) -> None:
        while self._clock.now_ns < until_ns:
            await self._run_to(min(until_ns, max(self._barriers.next_due(), self._clock.now_ns + 1)))

    def _next_event_ns(self) -> int:
        market, packets = self.exchange.market, self.exchange.publisher.packets
        times = [self._barriers.next_due()]
        if packets < len(market.packet_receipt):
            times.append(int(market.packet_receipt[packets]))
        known = self.exchange.desk.next_known_ns()
        return min(times if known is None else [*times, known])

    async def _run_to(self, target_ns: int) -> None:
        """Let market time reach an instant: engine, public market, user events, then barriers, in this order."""
        clock, market, publisher = self._clock, self.exchange.market, self.exchange.publisher
        target_ns = min(max(target_ns, clock.now_ns), clock.end_ns)
        while True:
            chunk_end = publisher.packets + _CHUNK_PACKETS
            at = target_ns
            if chunk_end < len(market.packet_receipt):
                at = min(at, max(int(market.packet_receipt[chunk_end]), clock.now_ns))
            self._publish(at)
            if at == target_ns:
                break
            await self._drain()
        if target_ns >= clock.end_ns:
            self.exchange.closed = True
            self._send_user_events(None)
        await self._drain()
        self._announce()

    def _publish(self, at_ns: int) -> None:
        exchange, sessions = self.exchange, [s for s in self._streams.values() if s.names]
        exchange.desk.run_to(at_ns)
        messages = exchange.publisher.publish(exchange.market.packets_known(at_ns), at_ns, wanted(sessions))
        self._clock.now_ns = at_ns
        blocks: dict[tuple[Any, ...], bytes] = {}
        for connection, session in self._streams.items():
            if session.names:
                alike = session.alike
                if alike not in blocks:
                    blocks[alike] = session.frames(messages)
                if blocks[alike]:
                    connection.write(blocks[alike])
        self._send_user_events(at_ns)

    def _send_user_events(self, at_ns: int | None) -> None:
        """Deliver events known at an instant, at the end of the tape (``None``) all of them."""
        for account, event in self.exchange.desk.due(at_ns):
            if isinstance(event, ExecutionEvent):
                account.execution_id += 1
            rendered: dict[int, bytes] = {}
            for connection, session in self._users.items():
                for number, owner in session.subscriptions.items():
                    if owner is account:
                        divisor = session.unit.divisor
                        if divisor not in rendered:
                            rendered[divisor] = self._render(event, account.execution_id, divisor)
                        connection.send(b'{"subscriptionId":%d,"event":%b}' % (number, rendered[divisor]))
                        session.last_execution = account.execution_id

    def _render(self, event: Any, execution_id: int, divisor: int) -> bytes:
        messages = self.exchange.messages
        if isinstance(event, ExecutionEvent):
            return orjson.dumps(messages.execution_report(event, execution_id, divisor))
        return orjson.dumps(messages.account_position(event, divisor))

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # what was written goes to the transports
        for connection in [c for c in (*self._streams, *self._users) if c.is_full()]:
            await connection.drain()

    def _announce(self) -> None:
        now = self._clock.now_ns
        reached = self._barriers.reached(now)
        for connection, sessions in self._controls.items():
            for session in sessions:
                if session in reached:
                    connection.send(orjson.dumps({"op": "barrier", "ts": now, **self._cursor(session)}))
        if self._clock.pace is not None and not self.exchange.closed:
            for session in reached:
                control.skip_to_grid(session, now)

    def _cursor(self, session: ControlSession) -> dict[str, Any]:
        exchange = self.exchange
        publisher, account = exchange.publisher, exchange.accounts[session.account]
        # what was sent before a connection began never reaches it: nobody may be told to wait for that
        followers = [s for s in self._users.values() if account in s.subscriptions.values()]
        return {
            "cursor": {
                exchange.market.instrument.symbol: {
                    "u": publisher.depth_id,
                    "t": publisher.prints,
                    "b": publisher.update_id,
                }
            },
            "execution": min((s.last_execution for s in followers), default=0),
            "done": exchange.closed,
        }

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
        self._users[connection] = session
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    answer = self._ws_api.answer(session, text)
                    if answer.known_ns and self._clock.wall_seconds_to(answer.known_ns) > 0:
                        self._spawn(self._answer_later(connection, answer.payload, answer.known_ns))
                    else:
                        connection.send(answer.payload)
        finally:
            del self._users[connection]
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
        self._streams[connection] = session
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    connection.send(session.control(text))
        finally:
            del self._streams[connection]
        return socket

    # -- control channel ----------------------------------------------------------------------------------------------

    async def _handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = Connection(request)
        socket = await connection.open()
        sessions: list[ControlSession] = []
        self._controls[connection] = sessions
        try:
            while (texts := await connection.texts()) is not None:
                for text in texts:
                    try:
                        self._control(connection, sessions, control.parse(text))
                    except UsageError as error:
                        connection.send(orjson.dumps({"op": "error", "msg": str(error)}))
        finally:
            del self._controls[connection]
            for session in sessions:
                self._barriers.leave(session)
            self._moved.set()
        return socket

    def _control(self, connection: Connection, sessions: list[ControlSession], message: dict[str, Any]) -> None:
        operation = message["op"]
        if operation == "register":
            if sessions:
                raise UsageError("this control connection has registered a session already")
            sessions.append(self._register(connection, message))
        elif not sessions:
            raise UsageError(f"{operation!r} before a session was registered")
        elif operation == "release":
            if self._clock.pace is None:
                self._barriers.release(sessions[0], message)
        elif operation == "leave":
            self._barriers.leave(sessions.pop())
        else:
            raise UsageError(f"op must be register, release or leave, was {operation!r}")
        self._moved.set()

    def _register(self, connection: Connection, message: dict[str, Any]) -> ControlSession:
        now, options = self._clock.market_ns(), self._options
        session = self._barriers.register(message, self._clock.now_ns if self._clock.pace is None else now)
        registered = {
            "op": "registered",
            "market_ns": now,
            "start_ns": session.start_ns,
            "end_ns": self._clock.end_ns,
            "pace": "lockstep" if self._clock.pace is None else self._clock.pace,
            "entry_ns": options.entry_ns,
            "response_ns": options.response_ns,
            "feed_ns": options.feed_ns,
            **self._cursor(session),
        }
        connection.send(orjson.dumps(registered))
        return session


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
        If an option is out of range.
    DataError
        If the tape holds no market that could be published.
    """
    options = options or ExchangeOptions()
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
    exchange = Exchange(
        market, engine(market, options, balances), balances, clock, options.entry_ns, options.response_ns, limits
    )
    if options.start_ns is not None and options.start_ns > market.start_ns:
        exchange.open_at(min(options.start_ns, market.end_ns))
        clock.now_ns = exchange.desk.at_ns
    return Server(exchange, clock, options, keys)


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
