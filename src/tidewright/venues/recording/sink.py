"""Where one instrument's rows go: a growing tape, or one tape a period, each of which can be read alone."""

import fcntl
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from tidewright.market.clock import DAY, SECOND
from tidewright.market.codes import GAP, PACKET_END, TRADE_BUY, TRADE_UNKNOWN
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape, columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.venues.recording.book import RowBook

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


def folder_name(instrument: Instrument) -> str:
    """Name of an instrument's folder, e.g. ``kraken_BTC-USD``."""
    return f"{instrument.venue}_{_UNSAFE.sub('-', instrument.symbol)}"


def period_name(period: int, rotate_ns: int) -> str:
    """Name of a period's tape: its UTC start, a date for whole days, else with the time of day."""
    start = datetime.fromtimestamp(period * rotate_ns / SECOND, UTC)
    return start.strftime("%Y-%m-%d" if rotate_ns % DAY == 0 else "%Y-%m-%dT%H%M%S")


class TapeSink:
    """Appends rows to the recording of one instrument; one process at a time.

    A recording that is already there is continued: rows that were never published are cut off, and a gap row says that
    something was missed. With rotation every period (UTC, by venue time) has a tape of its own that begins with the
    book as it stood, so it needs no earlier one.

    Parameters
    ----------
    out
        Folder of all recordings; this one is ``out/<venue>_<symbol>``, with rotation a folder of tapes.
    instrument
        What is recorded; it must be the instrument of what is already there.
    detail, source
        For the tape's ``meta.json``.
    rotate_ns
        Length of a period, ns; 0: everything on one tape.

    Attributes
    ----------
    book
        The book after the rows written so far.
    gaps, rows, trades
        Written in this run: gap rows, rows, prints.
    raised
        Packets whose venue time lay before the tape's end and was raised to it.
    tapes
        The tapes written to in this run, oldest first.

    Raises
    ------
    UsageError
        If another process records into the folder, or what is there cannot be continued.
    """

    def __init__(self, out: Path, instrument: Instrument, *, detail: str, source: str, rotate_ns: int = 0) -> None:
        self.instrument = instrument
        self.path = out / folder_name(instrument)
        self.book = RowBook()
        self.gaps = self.rows = self.trades = self.raised = 0
        self.tapes: list[Path] = []
        self._detail, self._source, self._rotate = detail, source, rotate_ns
        self._writer: TapeWriter | None = None
        self._period = -1
        self._broken = False  # a write failed: columns may differ in length, nothing more may be appended
        self._counters: Mapping[str, int] = {}
        self._at_open: dict[str, int] = {}
        self._notes: dict[str, Any] = {}
        self._lock = _lock(out, self.path)
        try:
            newest = self._find()
        except BaseException:
            self._lock.close()
            raise
        self._last_ts = newest.end_ns if newest is not None else 0
        self._to_resume = newest.path if newest is not None else None
        self._known_trade = int(newest.meta["notes"].get("last_trade_id", 0)) if newest is not None else 0

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade that an earlier run had recorded; 0 if there was none."""
        return self._known_trade

    def _find(self) -> Tape | None:
        """The tape to continue, after checking that it may be continued."""
        if not self.path.exists():
            return None
        is_tape = (self.path / "meta.json").is_file()
        if is_tape and self._rotate:
            raise UsageError(
                f"{self.path} is one tape without rotation; record into another folder or without --rotate"
            )
        tapes = [self.path] if is_tape else sorted(p.parent for p in self.path.glob("*/meta.json"))
        if not is_tape and tapes and not self._rotate:
            raise UsageError(f"{self.path} holds a tape a period; give --rotate or record into another folder")
        if not tapes:
            return None
        tape = Tape.open(tapes[-1])
        for name in ("venue", "symbol", "tick_size", "lot_size"):
            there, now = getattr(tape.instrument, name), getattr(self.instrument, name)
            if there != now:
                raise UsageError(
                    f"{tape.path} was recorded with {name} {there}, now it is {now}: record into another folder"
                )
        return tape

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, data: Columns) -> None:
        """Append whole packets in order of receipt; readers see them after :meth:`publish`.

        Raises
        ------
        OSError
            If they cannot be written. What was published stays readable; nothing more is written.
        """
        if not len(data.ts) or self._broken:
            return
        try:
            self._write(data)
        except OSError:
            self._broken = True
            raise

    def _write(self, data: Columns) -> None:
        early = data.ts < self._last_ts
        if early.any():
            self.raised += int(np.count_nonzero(data.flags[early] & PACKET_END))
            data = data._replace(ts=np.maximum(data.ts, self._last_ts))
        if self._to_resume is not None:
            self._resume(self._to_resume, int(data.ts_local[0]))
        if not self._rotate:
            self._append(data)
            return
        periods = data.ts // self._rotate
        starts = [0, *(np.flatnonzero(np.diff(periods)) + 1).tolist(), len(periods)]
        for start, stop in pairwise(starts):
            part = data.rows(start, stop)
            if int(periods[start]) != self._period:
                self._turn(int(periods[start]), part)
            self._append(part)

    def publish(self, counters: Mapping[str, int], last_trade_id: int) -> None:
        """Make what was written visible, with the run's counters in the notes.

        Parameters
        ----------
        counters
            Counted since the run began, by the note's name.
        last_trade_id
            Newest trade on the tape.
        """
        self._counters, self._known_trade = counters, max(last_trade_id, self._known_trade)
        if self._writer is None or self._broken:
            return
        self._writer.notes = self._current_notes()
        try:
            self._writer.publish()
        except OSError:
            self._broken = True
            raise

    def close(self) -> None:
        """Publish, close, and let others record here."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None and self._broken:
                with suppress(OSError):  # what is still buffered cannot be written either, and was never published
                    writer.abandon()
            elif writer is not None:
                writer.notes = self._current_notes()
                writer.close()
        finally:
            self._lock.close()

    def _current_notes(self) -> dict[str, Any]:
        notes = dict(self._notes)
        for name, value in self._counters.items():
            notes[name] = notes.get(name, 0) + value - self._at_open.get(name, 0)
        if self._known_trade:
            notes["last_trade_id"] = self._known_trade
        return notes

    def _append(self, data: Columns) -> None:
        if self._writer is None:
            self._open(self.path, resume=False)
        assert self._writer is not None
        self._writer.append(data)
        self.book.apply(data)
        self.rows += len(data.ts)
        self.gaps += int(np.count_nonzero(data.kind == GAP))
        self.trades += int(np.count_nonzero((data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN)))
        self._last_ts = int(data.ts[-1])

    def _open(self, path: Path, *, resume: bool) -> None:
        _remove_unpublished(path)
        self._writer = TapeWriter(
            path, self.instrument, detail=self._detail, source=self._source, growing=True, resume=resume
        )
        self._notes = dict(self._writer.notes)
        self._at_open = dict(self._counters)
        self.tapes.append(path)

    def _resume(self, path: Path, ts_local: int) -> None:
        """Continue the tape of an earlier run: what happened between is missing."""
        self._to_resume = None
        self._period = self._last_ts // self._rotate if self._rotate else -1
        self._open(path, resume=True)
        self._notes["restarts"] = self._notes.get("restarts", 0) + 1
        self._append(columns([(self._last_ts, ts_local, GAP, PACKET_END, 0, 0)]))

    def _turn(self, period: int, first: Columns) -> None:
        """Begin the tape of a new period with the book as it stands."""
        if self._writer is not None:
            self._writer.notes = self._current_notes()
            self._writer.close()
        self._period = period
        self._open(self.path / period_name(period, self._rotate), resume=False)
        if not self.book.in_gap:
            self._append(self.book.snapshot(int(first.ts[0]), int(first.ts_local[0])))


def _remove_unpublished(path: Path) -> None:
    """Remove a tape that was begun and never published: its process was killed within the first second."""
    if not path.is_dir() or (path / "meta.json").exists():
        return
    files = list(path.iterdir())
    if all(file.name in (*COLUMN_TYPES, "meta.json.new") for file in files):
        for file in files:
            file.unlink()
        path.rmdir()


def _lock(out: Path, path: Path) -> IO[bytes]:
    """Hold the recording's lock until the file is closed or the process ends, however it ends."""
    out.mkdir(parents=True, exist_ok=True)
    lock = open(out / f".{path.name}.lock", "ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise UsageError(f"another process is recording into {path}") from None
    return lock
