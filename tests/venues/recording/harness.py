"""A recording in progress against a local venue, and what its tape holds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.venues.recording.markets import Book, held
from tests.venues.recording.servers import LocalBinance, LocalCoinbase, LocalKraken, LocalVenue
from tidewright.market.clock import WallClock
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, RESET
from tidewright.market.errors import NotFoundError
from tidewright.market.tape import Tape
from tidewright.venues.binance.market_data import Binance
from tidewright.venues.coinbase.market_data import Coinbase
from tidewright.venues.kraken.market_data import Kraken
from tidewright.venues.recording.limits import Limits
from tidewright.venues.recording.recorder import Recorder, Summary
from tidewright.venues.recording.sink import folder_name

QUICK = Limits(
    attempts=100, window_s=1.0, silence_s=5.0, messages_per_s=1000.0, first_backoff_s=0.02, longest_backoff_s=0.1
)


def venue_for(server: LocalVenue, limits: Limits = QUICK, **options: Any) -> Any:
    kinds: dict[type, Any] = {LocalBinance: Binance, LocalCoinbase: Coinbase, LocalKraken: Kraken}
    if isinstance(server, LocalBinance):
        options = {"first_update_s": 0.05, **options}
    return kinds[type(server)](server.url, server.ws_url, limits=limits, **options)


class ShiftedClock(WallClock):
    """Runs at the wall's speed from the time of the market's first event on."""

    def __init__(self, server: LocalVenue) -> None:
        first = next((event.ts_ns for event in server.market.events if event.ts_ns), time.time_ns())
        self._shift = first - time.time_ns()

    def market_ns(self) -> int:
        return super().market_ns() + self._shift

    def wall_ns(self) -> int:
        return super().wall_ns() + self._shift


class Running:
    """``stop`` ends it and gives the summary."""

    def __init__(self, recorder: Recorder, out: Path) -> None:
        self.recorder, self.out, self.statuses = recorder, out, []
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(recorder.run(self._stop, on_status=self.statuses.append))

    async def stop(self) -> Summary:
        self._stop.set()
        return await asyncio.wait_for(self.task, 5.0)


@asynccontextmanager
async def recording(server: LocalVenue, out: Path, venue: Any = None, **options: Any) -> AsyncIterator[Running]:
    venue = venue or venue_for(server)
    recorder = Recorder(venue, list(server.market.books), out, ShiftedClock(server), publish_s=0.03, **options)
    running = Running(recorder, out)
    try:
        yield running
    finally:
        if not running.task.done():
            await running.stop()


async def until(reached: Callable[[], bool], what: str, timeout_s: float = 8.0) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while not reached():  # noqa: ASYNC110 - what is awaited lies in files
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"did not happen in {timeout_s} s: {what}") from None


def tapes(out: Path, venue: str, symbol: str) -> list[Tape]:
    """The tapes of a symbol, oldest first."""
    folder = out / f"{venue}_{symbol.replace('/', '-')}"
    if (folder / "meta.json").is_file():
        return [Tape.open(folder)]
    found = [Tape.open(path.parent) for path in sorted(folder.glob("*/meta.json"))]
    if not found:
        raise NotFoundError(f"no tape in {folder}")
    assert all(folder_name(tape.instrument) == folder.name for tape in found)
    return found


def book_of(tape: Tape) -> Book:
    """The book at a tape's end, read in the plainest way."""
    book: Book = {"bid": {}, "ask": {}}
    tick, lot, data = Decimal(tape.instrument.tick_size), Decimal(tape.instrument.lot_size), tape.data
    for kind, price, qty in zip(data.kind.tolist(), data.price.tolist(), data.qty.tolist(), strict=True):
        if kind == RESET:
            book = {"bid": {}, "ask": {}}
        if kind not in (BID, ASK, BEST_BID, BEST_ASK):
            continue
        side = "bid" if kind in (BID, BEST_BID) else "ask"
        where = price * tick
        if kind == BEST_BID:
            book[side] = {p: q for p, q in book[side].items() if p <= where}
        if kind == BEST_ASK:
            book[side] = {p: q for p, q in book[side].items() if p >= where}
        if qty:
            book[side][where] = qty * lot
        else:
            book[side].pop(where, None)
    return book


def same(book: Book, other: Book) -> bool:
    return all(book[side] == other[side] for side in ("bid", "ask"))


def shown(server: LocalVenue, tape: Tape) -> Book:
    """The venue's book as far as it shows it and a tape holds it."""
    symbol = tape.instrument.symbol
    book = server.view(symbol) if isinstance(server, LocalKraken) else server.books[symbol]
    return {side: held(levels, tape.instrument.tick_size, tape.instrument.lot_size) for side, levels in book.items()}


async def caught_up(server: LocalVenue, out: Path) -> None:
    """Wait until every symbol's tape ends with the venue's book."""
    name = type(server).__name__.removeprefix("Local").lower()
    rows: dict[str, int] = {}

    def is_there() -> bool:
        try:
            for symbol in server.market.books:
                tape = tapes(out, name, symbol)[-1]
                before, rows[symbol] = rows.get(symbol), len(tape)
                if before != len(tape) or not same(book_of(tape), shown(server, tape)):
                    return False
        except NotFoundError:
            return False
        return True

    await until(is_there, "the tapes end with the venue's books")
