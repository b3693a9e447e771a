"""Open WebSocket connections: writing frames straight to the transport, keeping slow readers from filling memory."""

import asyncio
import time
from typing import Final

from aiohttp import WSMsgType, web

from tidewright.venues.paper.frames import text_frame

PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 60.0
_HIGH_WATER: Final = 4 << 20
_STALLED_S: Final = 30.0


class Connection:
    """One WebSocket of a client.

    Parameters
    ----------
    request
        The request that opened it.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._socket = web.WebSocketResponse(autoping=False, autoclose=True, compress=False, max_msg_size=1 << 20)
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._heard = time.monotonic()

    async def open(self) -> web.WebSocketResponse:
        """Complete the handshake."""
        await self._socket.prepare(self._request)
        transport = self._request.transport
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        return self._socket

    async def texts(self) -> "list[str] | None":
        """The next text message as a list of one, an empty list for anything else, ``None`` once it is closed."""
        message = await self._socket.receive()
        self._heard = time.monotonic()
        if message.type is WSMsgType.TEXT:
            return [message.data]
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
            return []
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return None
        return []

    def write(self, frames: bytes) -> None:
        """Send ready frames, with everything else that is written before the loop turns, in one call of the system."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(frames)

    def flush(self) -> None:
        """Hand what waits to the transport; to a connection that is going down nothing is sent."""
        transport, frames = self._transport, b"".join(self._waiting)
        self._waiting.clear()
        if frames and transport is not None and not transport.is_closing():
            transport.write(frames)

    def send(self, payload: bytes) -> None:
        """Send one text message."""
        self.write(text_frame(payload))

    def is_full(self) -> bool:
        """Whether the client reads more slowly than it is sent to."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() > _HIGH_WATER

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent; one that does not read for 30 s is cut off."""
        deadline = time.monotonic() + _STALLED_S
        while self.is_full():
            if time.monotonic() > deadline:
                self.abort()
                return
            await asyncio.sleep(0.001)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def ping(self) -> None:
        """Ping the client, or cut it off if nothing has been heard of it for too long."""
        if time.monotonic() - self._heard > PONG_WITHIN_S:
            self.abort()
        elif not self._socket.closed:
            try:
                await self._socket.ping()
            except ConnectionError:
                self.abort()

    async def close(self) -> None:
        """Close in an orderly way, waiting only briefly for the client's answer."""
        self.flush()
        try:
            await asyncio.wait_for(self._socket.close(), 1.0)
        except (TimeoutError, ConnectionError):
            self.abort()
