"""A market and a beat in memory, for sessions without sockets or processes."""

import asyncio
from pathlib import Path

import numpy as np

from tests.trading.fake_venue import FakeVenue
from tidewright.market.clock import ManualClock
from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, columns, concatenate
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import OFF
from tidewright.store.database import Database
from tidewright.trading.chair import Chair
from tidewright.trading.cycles import Beat, Registration
from tidewright.trading.session import Parts, Session
from tidewright.trading.settings import SessionSettings

CYCLE = 30_000_000_000
START = 1_700_000_000 * 10**9 // CYCLE * CYCLE
GRID = {"spread_percentage": 0.2, "levels": 2, "base_quantity": 0.001, "max_position": 0.01}


class FakeFeed:
    """A snapshot, then whatever the test puts in."""

    def __init__(self) -> None:
        self.coming: list[Columns] = []
        self.waits = 0
        self.begins = START

    async def start(self, instrument: Instrument) -> None:
        self.quote(self.begins, 5_999_000, 6_001_000, snapshot=True)

    def quote(self, ts: int, bid: int, ask: int, *, snapshot: bool = False) -> None:
        flag = SNAPSHOT if snapshot else 0
        reset = [(ts, ts, RESET, 0, 0, 0)] if snapshot else []
        self.coming.append(
            columns([*reset, (ts, ts, BID, flag, bid, 1000), (ts, ts, ASK, flag | PACKET_END, ask, 1000)])
        )

    def trade(self, ts: int) -> None:
        self.coming.append(columns([(ts, ts, TRADE_BUY, PACKET_END, 6_001_000, 10)]))

    async def reached(self, update_id: int, trade_id: int, timeout_s: float) -> None:
        self.waits += 1

    def drain(self) -> Columns:
        found = concatenate(self.coming)
        self.coming = []
        return found

    async def close(self) -> None:
        pass


class FakeCycles:
    """A beat of a given length, in lockstep or as fast as it goes; ``on_release(k)`` is what happens in cycle k."""

    def __init__(self, cycles: int, on_release=lambda number: None, pace: float | None = None) -> None:
        self._pace = pace
        self.clock = ManualClock(START)
        self.released: list[int] = []
        self._cycles, self._on_release = cycles, on_release
        self._at = 0

    async def register(self, cycle_ns: int, start_ns: int | None) -> Registration:
        return Registration(START, START + self._cycles * CYCLE, self._pace, 50_000_000, 50_000_000, 0)

    async def next(self) -> Beat:
        ts = START + self._at * CYCLE
        self.clock.set(ts)
        return Beat(ts, 0, 0, 0, self._at >= self._cycles)

    async def release(self, beat: Beat) -> None:
        self.released.append(beat.ts)
        self._at += 1
        self._on_release(self._at)

    async def close(self) -> None:
        pass


class Stage:
    """A session with its fakes."""

    def __init__(self, folder: Path, cycles: int = 10, on_release=lambda stage, number: None, **settings) -> None:
        self.venue, self.feed = settings.pop("venue", None) or FakeVenue(), FakeFeed()
        self.cycles = FakeCycles(cycles, lambda number: on_release(self, number), settings.pop("pace", None))
        self.database = Database(folder / "session.db")
        self.seen: list[tuple[str, int, int]] = []
        options = {
            "strategy": "grid",
            "params": GRID,
            "limits": OFF,
            "warmup_ns": 0,
            "advice": None,
            "on_its_way_s": 0.1,
        }
        line = settings.pop("line", None)
        chosen = SessionSettings(**{**options, **settings})
        parts = Parts(
            "s",
            chosen,
            self.venue,
            self.feed,
            self.cycles,
            self.database,
            lambda instrument: published(TapeWriter(folder / "tape", instrument, growing=True, resume=True)),
            line,
            (lambda now: self.seen.append((now.stage, now.cycle, len(now.quotes))),),
            chair=Chair(folder, chosen) if chosen.seat.used else None,
        )
        self.session = Session(parts)

    def run(self) -> Session:
        async def whole():
            try:
                await self.session.run()
            finally:
                await self.session.close()

        asyncio.run(whole())
        return self.session

    def at(self, number: int) -> int:
        return START + number * CYCLE


def published(tape: TapeWriter) -> TapeWriter:
    """The tape, readable from the beginning: as bootstrap hands it out."""
    tape.publish()
    return tape


def rows_of(path: Path) -> int:
    return len(np.fromfile(path / "ts", "<i8"))
