"""Who moves market time: registered sessions in lockstep, or the wall."""

import asyncio
from typing import Any, Final

import orjson

from tidewright.market.errors import UsageError
from tidewright.venues.paper import control
from tidewright.venues.paper.connections import Connection
from tidewright.venues.paper.control import Barriers, ControlSession
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.options import ExchangeOptions
from tidewright.venues.paper.pacing import MarketTime, Pacer
from tidewright.venues.paper.publication import Publication

_CHUNK_PACKETS: Final = 2_000


class Timekeeper:
    """Moves market time and speaks with the sessions of the control channel.

    Parameters
    ----------
    exchange, clock, publication
        What is moved.
    options
        Latencies, for the sessions to know.
    accounts
        Number of accounts.

    Attributes
    ----------
    controls
        Open control connections and their sessions, at most one each.
    """

    def __init__(
        self, exchange: Exchange, clock: MarketTime, publication: Publication, options: ExchangeOptions, accounts: int
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._publication = publication
        self._options = options
        self._barriers = Barriers(clock.end_ns, accounts)
        self._moved = asyncio.Event()
        self.controls: dict[Connection, list[ControlSession]] = {}

    # -- time ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Move market time for as long as there is something to move it."""
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
        market, packets = self._exchange.market, self._exchange.publisher.packets
        times = [self._barriers.next_due()]
        if packets < len(market.packet_receipt):
            times.append(int(market.packet_receipt[packets]))
        known = self._exchange.desk.next_known_ns()
        return min(times if known is None else [*times, known])

    async def _run_to(self, target_ns: int) -> None:
        """Let market time reach an instant: engine, public market, user events, then barriers, in this order."""
        clock, market, publisher = self._clock, self._exchange.market, self._exchange.publisher
        target_ns = min(max(target_ns, clock.now_ns), clock.end_ns)
        while True:
            chunk_end = publisher.packets + _CHUNK_PACKETS
            at = target_ns
            if chunk_end < len(market.packet_receipt):
                at = min(at, max(int(market.packet_receipt[chunk_end]), clock.now_ns))
            self._publication.publish(at)
            if at == target_ns:
                break
            await self._publication.drain()
        if target_ns >= clock.end_ns:
            self._exchange.closed = True
            self._publication.send_user_events(None)
        await self._publication.drain()
        self._announce()

    def _announce(self) -> None:
        now = self._clock.now_ns
        reached = self._barriers.reached(now)
        for connection, sessions in self.controls.items():
            for session in sessions:
                if session in reached:
                    connection.send(orjson.dumps({"op": "barrier", "ts": now, **self._cursor(session)}))
        if self._clock.pace is not None and not self._exchange.closed:
            for session in reached:
                control.skip_to_grid(session, now)

    def _cursor(self, session: ControlSession) -> dict[str, Any]:
        publisher = self._exchange.publisher
        cursor = {"u": publisher.depth_id, "t": publisher.prints, "b": publisher.update_id}
        return {
            "cursor": {self._exchange.market.instrument.symbol: cursor},
            "execution": self._publication.last_execution(self._exchange.accounts[session.account]),
            "done": self._exchange.closed,
        }

    # -- control channel ----------------------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """A control connection has been opened."""
        self.controls[connection] = []

    def disconnected(self, connection: Connection) -> None:
        """A control connection is gone: its session is not waited for."""
        for session in self.controls.pop(connection):
            self._barriers.leave(session)
        self._moved.set()

    def message(self, connection: Connection, text: str) -> None:
        """Act on a control message; a wrong one is answered with what is wrong."""
        try:
            self._act(connection, self.controls[connection], control.parse(text))
        except UsageError as error:
            connection.send(orjson.dumps({"op": "error", "msg": str(error)}))

    def _act(self, connection: Connection, sessions: list[ControlSession], message: dict[str, Any]) -> None:
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
        session = self._barriers.register(message, now)
        registered = {
            "op": "registered",
            "market_ns": now,
            "start_ns": session.start_ns,
            "end_ns": self._clock.end_ns,
            "pace": "lockstep" if self._clock.pace is None else self._clock.pace,
            "entry_ns": options.entry_ns,
            "response_ns": options.response_ns,
            "feed_ns": options.feed_ns,
            "detail": str(self._exchange.market.tape.meta.get("detail", "")),
            **self._cursor(session),
        }
        connection.send(orjson.dumps(registered))
        return session
