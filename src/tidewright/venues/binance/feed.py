"""Binance market data as tape rows: one socket for book and trades, checked for gaps, healed from REST snapshots."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from tidewright.market.binance_stream import BinanceStream
from tidewright.market.clock import Clock
from tidewright.market.errors import DataError, TimedOutError, VenueError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, columns
from tidewright.market.tasks import end
from tidewright.venues.binance.market_data import DEPTH, payload_of
from tidewright.venues.recording.connection import SocketHealth, listen
from tidewright.venues.recording.limits import Backoff, Limits, RateLimiter
from tidewright.venues.recording.rest import PublicRest

logger = logging.getLogger(__name__)

# A paper venue's market may stand still, so silence means nothing: we ping, and a socket that does not answer is dead.
_LIMITS: Final = Limits(attempts=100, window_s=300.0, silence_s=None, ping_after_s=30.0, first_backoff_s=0.1)


@dataclass(slots=True)
class FeedHealth(SocketHealth):
    """What went wrong and was healed.

    Attributes
    ----------
    snapshots
        REST snapshots that started or healed the book.
    """

    snapshots: int = 0


class BinanceFeed:
    """Market data of one instrument; keeps the promises of :class:`tidewright.venues.interface.MarketFeed`.

    Parameters
    ----------
    rest_url, ws_url
        Roots of the venue: ``http://host:port`` and ``ws://host:port``, without path.
    clock
        Stamps receipts: with wall time on a live venue, see ``receipt``.
    receipt
        Receipt of a row from its venue time, for a paper venue whose feed latency is a rule and not a measurement.
        ``None``: wall time at arrival.
    """

    def __init__(
        self, rest_url: str, ws_url: str, clock: Clock, *, receipt: Callable[[Columns], Columns] | None = None
    ) -> None:
        self._rest_url, self._ws = rest_url, ws_url.rstrip("/")
        self._clock, self._receipt = clock, receipt
        self.health = FeedHealth()
        self._stream: BinanceStream | None = None
        self._http: aiohttp.ClientSession | None = None
        self._rest: PublicRest | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._first_trade = 0  # newest trade that was over before this connection
        self._trades_asked = 0  # the connection for which that was asked
        self._whole = asyncio.Event()
        self._resync = asyncio.Event()
        self._goal: tuple[int, int, asyncio.Future[None]] | None = None
        self._subscribed = asyncio.Event()

    async def start(self, instrument: Instrument) -> None:
        """Subscribe, take the first snapshot, and note which trades were before us.

        Raises
        ------
        TimedOutError
            If there is no whole start after 15 seconds.
        """
        self._stream = BinanceStream(instrument)
        self._http = aiohttp.ClientSession()
        self._rest = PublicRest(self._http, self._rest_url)
        self._tasks = [asyncio.create_task(self._listen(self._http)), asyncio.create_task(self._heal())]
        try:
            await asyncio.wait_for(self._whole.wait(), 15.0)
        except TimeoutError:
            await self.close()
            raise TimedOutError(f"no market data from {self._ws} within 15 s") from None

    async def close(self) -> None:
        """Close the connection."""
        await end(*self._tasks)
        self._tasks = []
        if self._http is not None:
            await self._http.close()

    # -- what has come -------------------------------------------------------------------------------------------------

    @property
    def stream(self) -> BinanceStream:
        """The decoder, with its counters of gaps, duplicates and missing trades."""
        if self._stream is None:
            raise RuntimeError("the feed has not been started")
        return self._stream

    @property
    def last_update_id(self) -> int:
        """Newest book update in the rows, or in the snapshot they started from."""
        return self.stream.last_update_id

    @property
    def last_trade_id(self) -> int:
        """Newest trade in the rows, or before the feed began."""
        return max(self.stream.last_trade_id, self._first_trade)

    def drain(self) -> Columns:
        """Whole packets since the last call."""
        if self._stream is None:
            return columns([])
        data = self._stream.take()
        return self._receipt(data) if self._receipt is not None else data

    async def reached(self, update_id: int, trade_id: int, timeout_s: float) -> None:
        """Wait until the book update and the trade of these numbers are in.

        Raises
        ------
        TimedOutError
            If they are not after ``timeout_s`` seconds of wall time.
        """
        if self._is_at(update_id, trade_id):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._goal = (update_id, trade_id, future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise TimedOutError(
                f"market data stopped at update {self.last_update_id} and trade {self.last_trade_id}, the venue is at "
                f"{update_id} and {trade_id}; waited {timeout_s:g} s"
            ) from None
        finally:
            self._goal = None

    def _is_at(self, update_id: int, trade_id: int) -> bool:
        return (
            not self.stream.needs_snapshot
            and self.stream.last_update_id >= update_id
            and self.last_trade_id >= trade_id
        )

    def _check_goal(self) -> None:
        if self._goal is not None and not self._goal[2].done() and self._is_at(self._goal[0], self._goal[1]):
            self._goal[2].set_result(None)

    # -- the socket ----------------------------------------------------------------------------------------------------

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        attempts = RateLimiter(_LIMITS.attempts, _LIMITS.window_s)
        await listen(http, self, _LIMITS, attempts, self._clock, self.health)

    @property
    def url(self) -> str:
        """The combined stream of depth updates and trades."""
        name = self.stream.instrument.symbol.lower()
        return f"{self._ws}/stream?streams={name}@depth@100ms/{name}@trade"

    @property
    def healthy(self) -> bool:
        """Always: a session's market data is reconnected for as long as the session lives."""
        return True

    def on_open(self) -> list[str]:
        """The URL names the streams; the book needs a snapshot."""
        self._subscribed.set()
        self._resync.set()
        return []

    def on_lost(self, received_ns: int) -> None:
        """Messages may have been missed: the book is void until the next connection's snapshot."""
        self._subscribed.clear()
        self._whole.clear()
        self.stream.on_disconnect(received_ns)

    def outgoing(self) -> list[str]:
        """Nothing."""
        return []

    def overdue(self, open_s: float) -> str | None:
        """Nothing: snapshots are fetched, not awaited."""
        return None

    def on_text(self, text: str, received_ns: int) -> None:
        """Decode one message."""
        payload = payload_of(text)
        if payload is None:
            return
        self.stream.on_message(payload, received_ns)
        if self.stream.needs_snapshot:
            self._resync.set()
        elif self._goal is not None:
            self._check_goal()

    async def _heal(self) -> None:
        backoff = Backoff(_LIMITS.first_backoff_s, _LIMITS.longest_backoff_s)
        while True:
            await self._resync.wait()
            await self._subscribed.wait()
            pause = backoff.next()
            try:
                if not self.stream.needs_snapshot or await self._take_snapshot():
                    await self._note_first_trade()
                    self._resync.clear()
                    backoff.reset()
                    self._whole.set()
                    self._check_goal()
                    continue
            except (aiohttp.ClientError, TimeoutError, OSError, DataError, VenueError, KeyError) as error:
                logger.warning("no depth snapshot (%s); trying again in %.1f s", error, pause)
            await asyncio.sleep(pause)

    async def _take_snapshot(self) -> bool:
        assert self._rest is not None  # set by start
        symbol = self.stream.instrument.symbol
        body = await self._rest.get("/api/v3/depth", {"symbol": symbol, "limit": str(DEPTH)})
        first = 0 if self.stream.last_ts else self._clock.market_ns()
        used = self.stream.on_snapshot(
            int(body["lastUpdateId"]), body["bids"], body["asks"], first, self._clock.wall_ns()
        )
        self.health.snapshots += used
        return used

    async def _note_first_trade(self) -> None:
        # Trades from before the connection will never come: nobody may wait for them.
        if self._trades_asked == self.health.connects:
            return
        assert self._rest is not None  # set by start
        newest = await self._rest.get("/api/v3/trades", {"symbol": self.stream.instrument.symbol, "limit": "1"})
        self._first_trade = max((int(trade["id"]) for trade in newest), default=0)
        self._trades_asked = self.health.connects
