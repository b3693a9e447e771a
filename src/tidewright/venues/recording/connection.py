"""One socket of market data, kept alive: pings answered, silence noticed, reconnected with growing, jittered pauses."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import aiohttp

from tidewright.market.clock import Clock
from tidewright.market.errors import DataError
from tidewright.venues.recording.limits import Backoff, Limits, RateLimiter

logger = logging.getLogger(__name__)

_CONNECT_S: Final = 15.0
_STEADY_MESSAGES: Final = 100  # a socket that brought so many was a good one: the next pause is the shortest again
_GIVE_UP: Final = 5  # sockets in a row that spoke nonsense, if none ever made sense
_LARGEST: Final = 1 << 27  # bytes of a message: a full-depth snapshot takes some 10 MB


class ReconnectError(Exception):
    """A socket that cannot go on where a new one can: a sequence gap, a shutdown announced by the venue."""


class MarketSocket(Protocol):
    """What is said on one socket, without any I/O."""

    @property
    def url(self) -> str:
        """Where to connect."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether this socket has ever given a whole book."""
        ...

    def on_open(self) -> list[str]:
        """A new connection: what to send first."""
        ...

    def on_text(self, text: str, received_ns: int) -> None:
        """A message came.

        Raises
        ------
        DataError
            If it breaks the format; costs a reconnect.
        ReconnectError
            If the connection cannot be used any more.
        VenueError
            If the venue refuses for good; ends the recording.
        """
        ...

    def on_lost(self, received_ns: int) -> None:
        """The connection is gone: messages may have been missed."""
        ...

    def outgoing(self) -> list[str]:
        """What is to be sent now; each is handed out once."""
        ...

    def overdue(self, open_s: float) -> str | None:
        """What has not come although the socket has been open for ``open_s`` seconds; costs a reconnect."""
        ...


@dataclass(slots=True)
class SocketHealth:
    """What went wrong and was healed.

    Attributes
    ----------
    messages
        Messages received.
    connects
        Connections opened; more than one means that many reconnects.
    malformed
        Messages that broke the format; each costs a reconnect.
    problem
        Why the last connection was lost, in words.
    """

    messages: int = 0
    connects: int = 0
    malformed: int = 0
    problem: str = ""


async def listen(
    http: aiohttp.ClientSession,
    socket: MarketSocket,
    limits: Limits,
    attempts: RateLimiter,
    clock: Clock,
    health: SocketHealth,
    backoff: Backoff | None = None,
) -> NoReturn:
    """Keep a socket open for ever; cancel the task to end it.

    Raises
    ------
    VenueError
        If the venue refuses for good.
    DataError
        If nothing the venue sent was ever understood.
    """
    backoff = backoff or Backoff(limits.first_backoff_s, limits.longest_backoff_s)
    nonsense = 0
    while True:
        await attempts.acquire()
        before = health.messages
        try:
            health.problem = await _listen_once(http, socket, limits, clock, health)
        except ReconnectError as error:
            health.problem = str(error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            health.problem = str(error) or type(error).__name__
        except DataError as error:
            health.malformed += 1
            health.problem = str(error)
            nonsense += 1
            if nonsense >= _GIVE_UP and not socket.healthy:
                raise
        socket.on_lost(clock.wall_ns())  # not when the task is cancelled: the recording's end is no gap
        if health.messages > before + _STEADY_MESSAGES:
            backoff.reset()
            nonsense = 0
        pause = backoff.next()
        logger.warning("market data connection lost (%s); reconnecting in %.1f s", health.problem, pause)
        await asyncio.sleep(pause)


async def _listen_once(
    http: aiohttp.ClientSession, market: MarketSocket, limits: Limits, clock: Clock, health: SocketHealth
) -> str:
    """Until the connection ends; why it did, in words."""
    async with asyncio.timeout(_CONNECT_S):
        socket = await http.ws_connect(
            market.url,
            autoping=False,
            max_msg_size=_LARGEST,
            compress=0,
            heartbeat=limits.ping_after_s,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )
    try:
        health.connects += 1
        return await _receive(socket, market, limits, clock, health)
    finally:
        await socket.close()


async def _receive(
    socket: aiohttp.ClientWebSocketResponse, market: MarketSocket, limits: Limits, clock: Clock, health: SocketHealth
) -> str:
    now, silence = asyncio.get_running_loop().time, limits.silence_s
    opened = checked = now()
    await _send(socket, market.on_open(), limits)
    try:
        async with asyncio.timeout(silence) as deadline:
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    health.messages += 1
                    market.on_text(message.data, clock.wall_ns())
                elif message.type is aiohttp.WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is not aiohttp.WSMsgType.PONG:
                    return f"the venue closed the connection, code {socket.close_code}"
                waiting = market.outgoing()
                if waiting:
                    await _send(socket, waiting, limits)
                moment = now()
                if moment - checked > min(0.2, 0.1 * (silence or 1.0)):  # seldom: moving a deadline costs
                    checked = moment
                    if silence is not None:
                        deadline.reschedule(moment + silence)
                    late = market.overdue(moment - opened)
                    if late is not None:
                        return late
    except TimeoutError:
        return f"no message for {silence:g} s"


async def _send(socket: aiohttp.ClientWebSocketResponse, texts: list[str], limits: Limits) -> None:
    for number, text in enumerate(texts):
        if number:
            await asyncio.sleep(1 / limits.messages_per_s)
        await socket.send_str(text)
