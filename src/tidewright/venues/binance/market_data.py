"""Binance spot's public market data: what a combined stream carries, and everything that recording it needs.

The sequence rule and the rows are :class:`tidewright.market.binance_stream.BinanceStream`'s; here are the streams to
ask for, the REST snapshots that start and heal each book, and the venue time of ``bookTicker`` rows.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
import numpy as np
import orjson

from tidewright.market import exchange_info
from tidewright.market.binance_stream import BinanceStream, venue_ns
from tidewright.market.clock import MINUTE, SECOND, Clock
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import DataError, NotFoundError, VenueError
from tidewright.market.importers.binance_raw import place_untimed
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, columns, concatenate
from tidewright.venues.recording.connection import ReconnectError
from tidewright.venues.recording.grid import PriceGrid
from tidewright.venues.recording.limits import Backoff, Limits, RateLimiter
from tidewright.venues.recording.rest import PublicRest

logger = logging.getLogger(__name__)

REST: Final = "https://api.binance.com"
WS: Final = "wss://stream.binance.com:9443"

# The venue allows 300 connection attempts in 5 minutes and 1,024 streams a connection, and pings every 20 s.
LIMITS: Final = Limits(attempts=100, window_s=300.0, silence_s=60.0, symbols_per_socket=50, snapshot_s=60.0)

DEPTH: Final = 5_000
_MOST_LEVELS: Final = 5_000
_WEIGHT_A_MINUTE: Final = 3_000  # for snapshots: half of what the venue allows an address
_UNKNOWN_SYMBOL: Final = -1121
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
_FEES: Final = {"maker": "0.001", "taker": "0.001"}  # base rates, for want of an account
_HOLD_NS: Final = SECOND  # a row without a venue time waits so long for one that has


def payload_of(text: str) -> dict[str, Any] | None:
    """The raw event in a message of a combined or raw stream; ``None`` for answers to requests.

    Raises
    ------
    DataError
        If it is not a JSON object.
    ReconnectError
        If the venue announces that it will close the connection.
    """
    try:
        wrapped = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"a message was not JSON: {error}") from None
    payload = wrapped.get("data", wrapped) if isinstance(wrapped, dict) else None
    if not isinstance(payload, dict):
        raise DataError(f"a message must be a JSON object, was {text:.100}")
    if payload.get("e") == "serverShutdown":
        raise ReconnectError("the venue announced a shutdown")
    return payload if "e" in payload or "u" in payload else None


def snapshot_weight(levels: int) -> int:
    """Request weight of a depth snapshot (rest-api.md, "Order book")."""
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if levels <= most), 250)


class PlacedStream:
    """A :class:`BinanceStream` without levels off the tick, whose ``bookTicker`` rows get a venue time.

    They carry none. As in the importer of captures they are placed at their receipt less the shortest latency, but
    never before the venue time received before them nor after the one received after them. For that they wait for
    the next row with a venue time, at most a second. The shortest latency is the smallest ``receipt - venue time`` of
    the last minutes, so a receiver's clock that runs ahead or behind does no harm.
    """

    def __init__(self, stream: BinanceStream, grid: PriceGrid) -> None:
        self.stream, self._grid = stream, grid
        self._held = columns([])
        self._last_ts = 0
        self._shortest = [np.iinfo(np.int64).max] * 2  # of the minute before and of this one
        self._minute = 0

    @property
    def needs_snapshot(self) -> bool:
        """Whether there is no book."""
        return self.stream.needs_snapshot

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade; 0 before the first."""
        return self.stream.last_trade_id

    def counters(self) -> dict[str, int]:
        """What was counted since the start, by the name of a tape's note."""
        stream = self.stream
        return {
            "sequence_gaps": stream.gaps,
            "stale_messages_dropped": stream.stale,
            "duplicate_trades_dropped": stream.duplicates,
            "missing_trade_ids": stream.missing_trades,
            "venue_times_raised": stream.clamped,
            "quantities_rounded_up_to_a_lot": stream.off_grid,
            "levels_off_the_tick_dropped": self._grid.dropped,
        }

    def on_message(self, payload: dict[str, Any], received_ns: int) -> None:
        """Decode one raw message; of a depth update the levels on the tick."""
        if payload.get("e") == "depthUpdate":
            bids, asks = (self._on_tick(payload, side, snapshot=False) for side in ("b", "a"))
            if bids is not payload["b"] or asks is not payload["a"]:
                payload = {**payload, "b": bids, "a": asks}
        self.stream.on_message(payload, received_ns)

    def on_snapshot(self, body: dict[str, Any], ts_ns: int, received_ns: int) -> bool:
        """A depth snapshot's levels on the tick; whether they were used."""
        bids, asks = (self._on_tick(body, side, snapshot=True) for side in ("bids", "asks"))
        return self.stream.on_snapshot(int(body["lastUpdateId"]), bids, asks, ts_ns, received_ns)

    def _on_tick(self, payload: dict[str, Any], side: str, *, snapshot: bool) -> list[list[str]]:
        try:
            levels: list[list[str]] = payload[side]
            return self._grid.keep(levels, [price for price, _ in levels], snapshot=snapshot)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"malformed Binance message ({type(error).__name__}: {error}): {payload!r:.300}") from None

    def take(self, *, final: bool) -> Columns:
        """Whole packets whose venue times are settled; ``final``: all."""
        data = concatenate([self._held, self.stream.take()])
        untimed = (data.kind == BEST_BID) | (data.kind == BEST_ASK)
        self._learn(data.rows(len(self._held.ts), len(data.ts)))
        timed = np.flatnonzero(~untimed)
        cut = int(timed[-1]) + 1 if len(timed) else 0
        if cut < len(data.ts) and (final or int(data.ts_local[-1] - data.ts_local[cut]) > _HOLD_NS):
            cut = len(data.ts)
        self._held = data.rows(cut, len(data.ts))
        ready = data.rows(0, cut)
        if cut:
            if min(self._shortest) < np.iinfo(np.int64).max:
                ready = place_untimed(ready, min(self._shortest), self._last_ts)
            self._last_ts = int(ready.ts[-1])
        return ready

    def _learn(self, new: Columns) -> None:
        sent = ((new.kind <= ASK) | (new.kind == TRADE_BUY) | (new.kind == TRADE_SELL)) & (new.flags & SNAPSHOT == 0)
        delays = (new.ts_local - new.ts)[sent]
        if not len(delays):
            return
        minute = int(new.ts_local[-1]) // MINUTE
        if minute != self._minute:
            self._minute, self._shortest = minute, [self._shortest[1], np.iinfo(np.int64).max]
        self._shortest[1] = min(self._shortest[1], int(delays.min()))


class BinanceSocket:
    """The messages of one connection (see :class:`tidewright.venues.recording.connection.MarketSocket`)."""

    def __init__(
        self,
        url: str,
        instruments: Sequence[Instrument],
        depth: int,
        limits: Limits,
        clock: Clock,
        first_update_s: float,
    ) -> None:
        names = [item.symbol.lower() for item in instruments]
        kinds = ("depth@100ms", "trade", "bookTicker")
        self.url = f"{url}/stream?streams=" + "/".join(f"{name}@{kind}" for name in names for kind in kinds)
        self.streams = {item.symbol: PlacedStream(BinanceStream(item), PriceGrid(item)) for item in instruments}
        self.healthy = False
        self._depth, self._limits, self._clock, self._first_update = depth, limits, clock, first_update_s
        self._sent: dict[str, int] = {}  # newest venue time of each symbol on this connection
        self._open = asyncio.Event()
        self._opened_at = 0.0

    def on_open(self) -> list[str]:
        """Nothing to send: the URL names the streams."""
        self._sent.clear()
        self._opened_at = asyncio.get_running_loop().time()
        self._open.set()
        return []

    def on_lost(self, received_ns: int) -> None:
        """All books of the connection are gaps."""
        self._open.clear()
        for placed in self.streams.values():
            placed.stream.on_disconnect(received_ns)

    def outgoing(self) -> list[str]:
        """Nothing."""
        return []

    def overdue(self, open_s: float) -> str | None:
        """Snapshots are fetched here, not awaited."""
        return None

    def on_text(self, text: str, received_ns: int) -> None:
        """Decode one message."""
        payload = payload_of(text)
        if payload is None:
            return
        placed = self.streams.get(payload.get("s", ""))
        if placed is None:
            raise DataError(f"a message of no subscribed symbol: {text:.200}")
        placed.on_message(payload, received_ns)
        if "E" in payload:
            self._sent[payload["s"]] = venue_ns(payload["E"])

    async def heal(self, rest: PublicRest) -> None:
        """Fetch a snapshot for every book that needs one, for ever, within the venue's request weight."""
        budget = RateLimiter(max(1, _WEIGHT_A_MINUTE // snapshot_weight(self._depth)), 60.0)
        backoffs = {
            symbol: Backoff(self._limits.first_backoff_s, self._limits.longest_backoff_s) for symbol in self.streams
        }
        not_before = dict.fromkeys(self.streams, 0.0)
        now = asyncio.get_running_loop().time
        while True:
            await self._open.wait()
            for symbol, placed in self.streams.items():
                waited = now() - self._opened_at
                ready = symbol in self._sent or waited > self._first_update
                if not placed.needs_snapshot or not ready or not self._open.is_set() or now() < not_before[symbol]:
                    continue
                await budget.acquire()
                if await self._fetch(rest, symbol):
                    backoffs[symbol].reset()
                    self.healthy = True
                else:
                    not_before[symbol] = now() + backoffs[symbol].next()
            await asyncio.sleep(0.02)

    async def _fetch(self, rest: PublicRest, symbol: str) -> bool:
        """Whether a snapshot came that fits the updates."""
        try:
            body = await rest.get("/api/v3/depth", {"symbol": symbol, "limit": str(self._depth)})
            ts = self._sent.get(symbol, 0) or self._clock.market_ns()
            return self.streams[symbol].on_snapshot(body, ts, self._clock.wall_ns())
        except VenueError as error:
            if not self.healthy:
                raise
            logger.warning("no depth snapshot of %s: %s", symbol, error)
            return False
        except (aiohttp.ClientError, TimeoutError, OSError, DataError, KeyError, TypeError, ValueError) as error:
            logger.warning("no depth snapshot of %s: %s", symbol, str(error) or type(error).__name__)
            return False


class Binance:
    """Binance spot's public market data, for recording.

    Parameters
    ----------
    rest_url, ws_url
        Other places to get it from, without path.
    depth
        Levels a side of the REST snapshots, 1 to 5,000; deeper ones are unknown until they change.
    limits
        Manners, for a local server.
    first_update_s
        The first snapshot of a connection waits so long for an update, whose venue time it takes: it has none itself.
    """

    name = "binance"
    detail = "L2+trades+best bid/ask"

    def __init__(
        self,
        rest_url: str = "",
        ws_url: str = "",
        depth: int = DEPTH,
        limits: Limits = LIMITS,
        first_update_s: float = 2.0,
    ) -> None:
        if not 1 <= depth <= _MOST_LEVELS:
            raise DataError(f"binance's depth must be between 1 and {_MOST_LEVELS}, was {depth}")
        self.rest_url, self.ws_url = rest_url or REST, (ws_url or WS).rstrip("/")
        self.depth, self.limits, self._first_update = depth, limits, first_update_s

    def symbol(self, text: str) -> str:
        """``btc-usdt`` as ``BTCUSDT``."""
        return text.upper().replace("-", "").replace("/", "")

    async def instrument(self, rest: PublicRest, symbol: str, tick: str | None, lot: str | None) -> Instrument:
        """The symbol, from ``exchangeInfo``."""
        if tick and lot:
            base, quote = _assets(symbol)
            return Instrument("binance", symbol, base, quote, tick, lot)
        try:
            found = await rest.get_surely("/api/v3/exchangeInfo", {"symbol": symbol})
        except VenueError as error:
            if error.code == _UNKNOWN_SYMBOL:
                raise NotFoundError(f"binance has no symbol {symbol!r}") from None
            raise
        entries = [entry for entry in found.get("symbols", []) if entry.get("symbol") == symbol]
        if not entries:
            raise NotFoundError(f"binance has no symbol {symbol!r}")
        return exchange_info.instrument(entries[0], _FEES, tick_size=tick, lot_size=lot)

    def socket(self, instruments: Sequence[Instrument], last_trades: Mapping[str, int], clock: Clock) -> BinanceSocket:
        """Decoders for a new socket."""
        return BinanceSocket(self.ws_url, instruments, self.depth, self.limits, clock, self._first_update)


def _assets(symbol: str) -> tuple[str, str]:
    """Base and quote by the usual endings; the venue was not asked."""
    quote = next((name for name in _QUOTES if symbol.endswith(name) and symbol != name), "")
    return symbol.removesuffix(quote), quote
