"""What goes out without being asked for: the public market to stream connections, events to user streams."""

import asyncio
from typing import Any

import orjson

from tidewright.venues.paper.account import Account
from tidewright.venues.paper.connections import Connection
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.orders import Event, ExecutionEvent
from tidewright.venues.paper.pacing import MarketTime
from tidewright.venues.paper.streams import StreamSession, wanted
from tidewright.venues.paper.ws_api import WsSession


class Publication:
    """Brings the exchange to an instant and sends what has become known.

    Parameters
    ----------
    exchange
        The exchange.
    clock
        Market time, moved by :meth:`publish`.

    Attributes
    ----------
    streams, users
        Open connections of market streams and of the WebSocket API.
    """

    def __init__(self, exchange: Exchange, clock: MarketTime) -> None:
        self._exchange = exchange
        self._clock = clock
        self.streams: dict[Connection, StreamSession] = {}
        self.users: dict[Connection, WsSession] = {}

    def publish(self, at_ns: int) -> None:
        """Let the engine reach an instant, then send market data and user events that are known at it."""
        exchange, sessions = self._exchange, [s for s in self.streams.values() if s.names]
        exchange.desk.run_to(at_ns)
        messages = exchange.publisher.publish(exchange.market.packets_known(at_ns), at_ns, wanted(sessions))
        self._clock.now_ns = at_ns
        blocks: dict[tuple[Any, ...], bytes] = {}
        for connection, session in self.streams.items():
            if session.names:
                alike = session.alike
                if alike not in blocks:
                    blocks[alike] = session.frames(messages)
                if blocks[alike]:
                    connection.write(blocks[alike])
        self.send_user_events(at_ns)

    def send_user_events(self, at_ns: int | None) -> None:
        """Deliver events known at an instant, at the end of the tape (``None``) all of them."""
        for account, event in self._exchange.desk.due(at_ns):
            if isinstance(event, ExecutionEvent):
                account.execution_id += 1
            rendered: dict[int, bytes] = {}
            for connection, session in self.users.items():
                for number, owner in session.subscriptions.items():
                    if owner is account:
                        divisor = session.unit.divisor
                        if divisor not in rendered:
                            rendered[divisor] = self._render(event, account.execution_id, divisor)
                        connection.send(b'{"subscriptionId":%d,"event":%b}' % (number, rendered[divisor]))
                        session.last_execution = account.execution_id

    def _render(self, event: Event, execution_id: int, divisor: int) -> bytes:
        messages = self._exchange.messages
        if isinstance(event, ExecutionEvent):
            return orjson.dumps(messages.execution_report(event, execution_id, divisor))
        return orjson.dumps(messages.account_position(event, divisor))

    def last_execution(self, account: Account) -> int:
        """Newest execution id that every connected user stream of an account has been sent; 0 where there is none.

        What was sent before a connection began never reaches it: nobody may be told to wait for that.
        """
        followers = [s for s in self.users.values() if account in s.subscriptions.values()]
        return min((s.last_execution for s in followers), default=0)

    async def drain(self) -> None:
        """Let what was written go out, and wait for clients that read too slowly."""
        await asyncio.sleep(0)  # what was written goes to the transports
        for connection in [c for c in (*self.streams, *self.users) if c.is_full()]:
            await connection.drain()

    def say_goodbye(self, time_ms: int) -> None:
        """Tell every connection that the server is about to close."""
        event = b'{"e":"serverShutdown","E":%d}' % time_ms
        for connection, stream in self.streams.items():
            wrapped = b'{"stream":"!serverShutdown","data":%b}' % event
            connection.send(wrapped if stream.combined else event)
        for connection in self.users:
            connection.send(b'{"event":%b}' % event)
