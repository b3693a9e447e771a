"""Recording: sockets feed decoders, a loop moves their rows to the tapes until it is told to stop."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from tidewright.market.clock import MILLISECOND, Clock
from tidewright.market.codes import TRADE_BUY, TRADE_UNKNOWN
from tidewright.market.errors import TidewrightError, TimedOutError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns
from tidewright.venues.recording.connection import SocketHealth, listen
from tidewright.venues.recording.limits import RateLimiter
from tidewright.venues.recording.rest import PublicRest
from tidewright.venues.recording.sink import TapeSink
from tidewright.venues.recording.venue import RecordedStream, RecordedVenue, VenueSocket

logger = logging.getLogger(__name__)

_WRITE_S: Final = 0.1


@dataclass(slots=True)
class SymbolStatus:
    """How the recording of one symbol stands.

    Parameters
    ----------
    rows, trades, gaps
        Written in this run.
    rate
        Rows a second, over the last seconds.
    last_price
        Of the newest trade, or the mid of the book before the first; decimal text, empty if unknown.
    lag_ms
        Receipt less venue time of the newest row, milliseconds; ``None`` before the first.
    state
        ``live`` with a whole book, ``waiting`` for a snapshot, or ``offline``.
    """

    symbol: str
    rows: int = 0
    trades: int = 0
    gaps: int = 0
    rate: float = 0.0
    last_price: str = ""
    lag_ms: float | None = None
    state: str = "offline"


@dataclass(slots=True)
class Summary:
    """What a finished recording holds.

    Parameters
    ----------
    seconds
        Wall time of the run.
    connects, malformed
        Of all sockets: connections opened and messages that broke the format.
    symbols
        By symbol: ``tapes`` (paths), ``rows``, ``trades``, ``gaps``, and the decoder's counters.
    problem
        Why a connection was last lost, in words; empty if none was.
    """

    venue: str
    seconds: float
    connects: int
    malformed: int
    symbols: dict[str, dict[str, Any]]
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(slots=True)
class _Recorded:
    """One symbol: from where its rows come, where they go."""

    stream: RecordedStream
    health: SocketHealth
    sink: TapeSink
    status: SymbolStatus
    marks: list[tuple[float, int]] = field(default_factory=list)  # (time, rows) of the last seconds


class Recorder:
    """Records symbols of one venue.

    Parameters
    ----------
    symbols
        In any common spelling.
    out
        Folder of the recordings.
    rotate_ns
        A new tape every so many nanoseconds of venue time; 0: one tape.
    ticks, lots
        Steps by symbol that replace the venue's; the key ``""`` is for all.
    clock
        Stamps receipts.
    publish_s
        Seconds between two moments at which readers beside the recorder see new rows.

    Raises
    ------
    UsageError
        If there is no symbol, or one is named twice.
    """

    def __init__(
        self,
        venue: RecordedVenue,
        symbols: Sequence[str],
        out: Path,
        clock: Clock,
        *,
        rotate_ns: int = 0,
        ticks: Mapping[str, str] | None = None,
        lots: Mapping[str, str] | None = None,
        publish_s: float = 1.0,
    ) -> None:
        self.symbols = [venue.symbol(text) for text in symbols]
        if not self.symbols:
            raise UsageError("there must be at least one symbol to record")
        doubled = sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1})
        if doubled:
            raise UsageError(f"each symbol may be named once, {', '.join(doubled)} is twice")
        self._venue, self._out, self._clock = venue, out, clock
        self._rotate, self._publish_s = rotate_ns, publish_s
        self._ticks = _by_symbol(venue, ticks or {}, self.symbols)
        self._lots = _by_symbol(venue, lots or {}, self.symbols)
        self._recorded: dict[str, _Recorded] = {}
        self._healths: list[SocketHealth] = []

    async def run(
        self,
        stop: asyncio.Event,
        seconds: float | None = None,
        on_status: Callable[[list[SymbolStatus]], None] = lambda _: None,
    ) -> Summary:
        """Record until ``stop`` is set or ``seconds`` have passed.

        Parameters
        ----------
        on_status
            Called whenever rows were published.

        Raises
        ------
        NotFoundError, VenueError, DataError
            If the venue does not have a symbol, refuses, or was never understood. What was recorded stays.
        TimedOutError
            If not one row came in the whole time.
        UsageError
            If a recording that is there cannot be continued.
        """
        begun = time.monotonic()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            rest = PublicRest(http, self._venue.rest_url)
            tasks: list[asyncio.Task[None]] = []
            try:
                instruments = await self._instruments(rest, stop)
                if stop.is_set() and not instruments:
                    return self._summary(begun)
                tasks = self._start(http, rest, instruments)
                await self._keep_writing(stop, begun, seconds, tasks, on_status)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._finish()
        summary = self._summary(begun)
        if not any(item["rows"] for item in summary.symbols.values()) and not stop.is_set():
            why = f": {summary.problem}" if summary.problem else ""
            raise TimedOutError(f"no market data from {self._venue.ws_url} in {summary.seconds:.0f} s{why}")
        return summary

    async def _instruments(self, rest: PublicRest, stop: asyncio.Event) -> list[Instrument]:
        found = []
        for symbol in self.symbols:
            asking = asyncio.ensure_future(
                self._venue.instrument(rest, symbol, self._ticks.get(symbol), self._lots.get(symbol))
            )
            stopping = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    return []
                found.append(asking.result())
            finally:
                for task in (asking, stopping):
                    task.cancel()
                await asyncio.gather(asking, stopping, return_exceptions=True)
        return found

    def _start(
        self, http: aiohttp.ClientSession, rest: PublicRest, instruments: list[Instrument]
    ) -> list[asyncio.Task[None]]:
        venue, limits = self._venue, self._venue.limits
        sinks: dict[str, TapeSink] = {}
        try:
            for item in instruments:
                source = f"recorded from {venue.name} ({venue.ws_url})"
                sinks[item.symbol] = TapeSink(
                    self._out, item, detail=venue.detail, source=source, rotate_ns=self._rotate
                )
        except BaseException:
            for sink in sinks.values():
                sink.close()
            raise
        attempts = RateLimiter(limits.attempts, limits.window_s)
        tasks: list[asyncio.Task[None]] = []
        for start in range(0, len(instruments), limits.symbols_per_socket):
            chunk = instruments[start : start + limits.symbols_per_socket]
            socket = venue.socket(chunk, {item.symbol: sinks[item.symbol].last_trade_id for item in chunk}, self._clock)
            health = SocketHealth()
            self._healths.append(health)
            for symbol, stream in socket.streams.items():
                self._recorded[symbol] = _Recorded(stream, health, sinks[symbol], SymbolStatus(symbol))
            tasks.append(asyncio.create_task(_listen(http, socket, venue, attempts, self._clock, health)))
            tasks.append(asyncio.create_task(socket.heal(rest)))
        return tasks

    async def _keep_writing(
        self,
        stop: asyncio.Event,
        begun: float,
        seconds: float | None,
        tasks: list[asyncio.Task[None]],
        on_status: Callable[[list[SymbolStatus]], None],
    ) -> None:
        end = begun + seconds if seconds is not None else float("inf")
        published = time.monotonic()
        while not stop.is_set() and time.monotonic() < end:
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, min(_WRITE_S, self._publish_s, end - time.monotonic())))
            except TimeoutError:
                pass
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()  # raises what ended it
            self._write(final=False)
            moment = time.monotonic()
            if moment - published >= self._publish_s:
                published = moment
                self._publish()
                on_status([self._measure(item, moment) for item in self._recorded.values()])

    def _write(self, *, final: bool) -> None:
        for item in self._recorded.values():
            data = item.stream.take(final=final)
            if not len(data.ts):
                continue
            try:
                item.sink.write(data)
            except OSError as error:
                raise TidewrightError(f"cannot write {item.sink.path}: {error}") from None
            self._note(item, data)

    def _note(self, item: _Recorded, data: Columns) -> None:
        item.status.lag_ms = round(int(data.ts_local[-1] - data.ts[-1]) / MILLISECOND, 1)
        trades = np.flatnonzero((data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN))
        if len(trades):
            item.status.last_price = item.sink.instrument.price_text(int(data.price[trades[-1]]))

    def _publish(self) -> None:
        for item in self._recorded.values():
            counters = {**item.stream.counters(), "venue_times_raised_to_the_tape": item.sink.raised}
            try:
                item.sink.publish(counters, item.stream.last_trade_id)
            except OSError as error:
                raise TidewrightError(f"cannot write {item.sink.path}: {error}") from None

    def _measure(self, item: _Recorded, moment: float) -> SymbolStatus:
        sink, status = item.sink, item.status
        status.rows, status.trades, status.gaps = sink.rows, sink.trades, sink.gaps
        item.marks = [*item.marks[-5:], (moment, sink.rows)]
        (first, before), (last, after) = item.marks[0], item.marks[-1]
        status.rate = round((after - before) / (last - first), 1) if last > first else 0.0
        book = sink.book
        if not status.last_price and not book.in_gap and len(book.bids) and len(book.asks):
            status.last_price = sink.instrument.price_text((book.bids.prices[-1] + book.asks.prices[0]) // 2)
        offline = item.health.connects == 0
        status.state = "offline" if offline else "waiting" if item.stream.needs_snapshot else "live"
        return status

    def _finish(self) -> None:
        """Write and publish what is left, close every tape, whatever happens with one of them."""
        try:
            self._write(final=True)
            self._publish()
        finally:
            with ExitStack() as closing:
                for item in self._recorded.values():
                    closing.callback(_close, item.sink)

    def _summary(self, begun: float) -> Summary:
        symbols = {}
        for symbol, item in self._recorded.items():
            sink = item.sink
            symbols[symbol] = {
                "tapes": [str(path) for path in sink.tapes],
                "rows": sink.rows,
                "trades": sink.trades,
                "gaps": sink.gaps,
                **item.stream.counters(),
            }
        return Summary(
            self._venue.name,
            round(time.monotonic() - begun, 3),
            sum(health.connects for health in self._healths),
            sum(health.malformed for health in self._healths),
            symbols,
            next((health.problem for health in self._healths if health.problem), ""),
        )


async def _listen(
    http: aiohttp.ClientSession,
    socket: VenueSocket,
    venue: RecordedVenue,
    attempts: RateLimiter,
    clock: Clock,
    health: SocketHealth,
) -> None:
    await listen(http, socket, venue.limits, attempts, clock, health)


def _close(sink: TapeSink) -> None:
    try:
        sink.close()
    except OSError as error:
        raise TidewrightError(f"cannot write {sink.path}: {error}") from None


def _by_symbol(venue: RecordedVenue, steps: Mapping[str, str], symbols: Sequence[str]) -> dict[str, str]:
    """Steps by the venue's symbols.

    Raises
    ------
    UsageError
        If a step is given for a symbol that is not recorded.
    """
    named = {venue.symbol(name): step for name, step in steps.items() if name}
    unknown = sorted(set(named) - set(symbols))
    if unknown:
        raise UsageError(f"a step is given for {', '.join(unknown)}, which is not among the symbols")
    return {**(dict.fromkeys(symbols, steps[""]) if "" in steps else {}), **named}
