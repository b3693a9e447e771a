"""Import of book snapshots with trades (parquet): level differences become depth events.

Files are told apart by their columns: ``timestamp, received_at, bid_prices, bid_quantities, ask_prices,
ask_quantities`` (lists, best level first) is a book file, ``timestamp, received_at, price, quantity`` a trade file.

What such a recording cannot say is decided here, and the tape is labelled as degraded:

* between two snapshots nothing is known: one packet holds all differences, at the later one's time;
* a level beyond the worst visible one is out of sight, not gone: it keeps its last quantity until it is in sight again;
* a trade at the time of a snapshot comes before it, since the snapshot shows its effect;
* the aggressor is the side whose quote, in the book before, the price had reached; locked books and prices inside the
  spread leave it unknown;
* a longer time without a snapshot is a gap, which begins when the last snapshot's usual time is over.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.codes import TRADE_UNKNOWN
from tidewright.market.errors import DataError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.contracts import UNKNOWN, InstrumentMaker, stated_kind
from tidewright.market.importers.csv_table import HIGHEST
from tidewright.market.importers.receipt_clock import ReceiptClock, estimate
from tidewright.market.importers.report import EARLIEST, LATEST, ImportReport, Progress, existing_files
from tidewright.market.importers.snapshot_kernel import KNOWN, TRADE, Books, Trades, merge, new_merge
from tidewright.market.importers.steps import StepSurvey, Where, to_lots, to_ticks
from tidewright.market.importers.writing import RowSink
from tidewright.market.instrument import Instrument
from tidewright.market.tape import COLUMN_TYPES, F64, I64, Columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.market.typed_damage import typed_damage

_TIMES: Final = ("timestamp", "received_at")
_BOOK: Final = ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities")
_PRINT: Final = ("price", "quantity")
_ROW: Final = "row"
_CHUNK: Final = 10_000  # snapshots at a time
_SAMPLE: Final = 5_000  # snapshots of each file that tick and lot are inferred from


@dataclass
class _Recording:
    """The opened files; ``row`` is each row's number in its file."""

    books: list[tuple[Path, pl.DataFrame]] = field(default_factory=list)
    trades: list[tuple[Path, pl.DataFrame]] = field(default_factory=list)
    unsorted: int = 0


def import_book_snapshots(
    files: list[str | Path],
    out: str | Path,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    hole_ns: int = 2 * SECOND,
    base_latency_ns: int = MILLISECOND,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from book snapshots and trades.

    Parameters
    ----------
    files
        Parquet files of one instrument, book and trade files in any order.
    out
        The tape folder, which must not exist.
    tick_size, lot_size
        Decimal texts; else, of a sample of the books and all trades, the finest decimal of the prices and the decimals
        that 99.9 % of the quantities fit.
    venue, symbol
        Names; else taken from the files' folder, if it is named ``<venue>_<symbol>``.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    hole_ns
        A longer time without a snapshot is a gap, ns.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.
    progress
        Told the share done.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another form, or a price lies off the tick. Nothing is written then.
    UsageError
        If ``out`` exists, a parameter is out of range, or the symbol cannot be told.
    """
    begun = time.monotonic()
    if hole_ns <= 0:
        raise UsageError(f"the time without a snapshot that makes a gap must be > 0, was {hole_ns} ns")
    paths = existing_files(files)
    venue, symbol = _names(paths, venue, symbol)
    recording = _open(paths)
    kind = stated_kind(exchange_info, symbol)
    make = InstrumentMaker(venue, symbol, tick_size, lot_size, kind, None, exchange_info)
    instrument = _instrument(recording, make)
    source = f"book-snapshots: {', '.join(path.name for path in paths)}"
    counts = dict.fromkeys(("unknown", "raised", "rounded", "snapshots"), 0)
    times, receipts = _book_times(recording)
    clock = estimate(receipts, times, base_latency_ns)
    interval = int(np.median(np.diff(times))) if len(times) > 1 else 0
    depth = max(len(levels) for _, frame in recording.books for name in _BOOK[::2] for levels in _longest(frame[name]))
    detail = f"{depth} levels every {interval / MILLISECOND:.0f} ms + trades (degraded)"
    with TapeWriter(out, instrument, detail=detail, source=source) as writer:
        sink = RowSink(writer)
        for data in _rows(recording, instrument, clock, depth, hole_ns, min(interval, hole_ns), counts, progress):
            counts["unknown"] += int(np.sum(data.kind == TRADE_UNKNOWN))
            sink.write(data)
        counts["raised"] = sink.raised_receipts
        return sink.finish({**_notes(counts, recording, clock, hole_ns), **make.notes}, begun)


def _names(paths: list[Path], venue: str | None, symbol: str | None) -> tuple[str, str]:
    folder_venue, _, folder_symbol = paths[0].resolve().parent.name.partition("_")
    if symbol is None:
        if not folder_symbol.isalnum():
            raise UsageError("the files do not name their symbol: give one, e.g. BTC-USD")
        return venue or folder_venue, folder_symbol.upper()
    return venue or UNKNOWN, symbol


def _open(paths: list[Path]) -> _Recording:
    recording = _Recording()
    for path in paths:
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise typed_damage(path, error) from None
        if set(_TIMES + _BOOK) <= set(frame.columns):
            recording.books.append((path, _times(path, frame, _BOOK)))
        elif set(_TIMES + _PRINT) <= set(frame.columns):
            recording.trades.append((path, _times(path, frame, _PRINT)))
        else:
            raise DataError(
                f"{path} must have the columns {', '.join(_TIMES + _BOOK)} or {', '.join(_TIMES + _PRINT)}, "
                f"has {', '.join(frame.columns)}"
            )
    if not recording.books or not any(len(frame) for _, frame in recording.books):
        raise DataError("no book snapshot in the files")
    recording.unsorted = sum(not frame["timestamp"].is_sorted() for _, frame in recording.books)
    recording.books = [(path, frame.sort("timestamp", maintain_order=True)) for path, frame in recording.books]
    recording.books = [(path, frame) for path, frame in recording.books if len(frame)]
    recording.books.sort(key=lambda book: int(book[1]["timestamp"][0]))
    ends = [(int(frame["timestamp"][0]), int(frame["timestamp"][-1])) for _, frame in recording.books]
    for i in range(1, len(ends)):
        if ends[i][0] < ends[i - 1][1]:
            raise DataError(f"{recording.books[i - 1][0]} and {recording.books[i][0]} overlap in time")
    return recording


def _times(path: Path, frame: pl.DataFrame, values: tuple[str, ...]) -> pl.DataFrame:
    """The needed columns, times as int64 ns, and the rows' numbers."""
    frame = frame.select(*_TIMES, *values).with_row_index(_ROW, 1)
    for name in (*_TIMES, *values):
        empty = frame[name].is_null()
        if empty.any():
            raise DataError(f"{path}, row {1 + (empty.arg_max() or 0)}: {name} is empty")
        held = frame.schema[name]
        if name in _TIMES and not isinstance(held, pl.Datetime):
            raise DataError(f"{path}: column {name} must hold times, holds {held}")
        if name in _PRINT and not held.is_numeric():
            raise DataError(f"{path}: column {name} must hold numbers, holds {held}")
        if name in _BOOK and not (isinstance(held, pl.List) and held.inner.is_numeric()):  # type: ignore[union-attr]
            raise DataError(f"{path}: column {name} must hold lists of numbers, holds {held}")
    frame = frame.with_columns(pl.col(name).dt.epoch("ns") for name in _TIMES)
    for name in _TIMES:
        sane = frame[name].is_between(EARLIEST, LATEST, closed="left")
        if not sane.all():
            raise DataError(f"{path}, row {1 + (sane.arg_min() or 0)}: {name} must be a time between 2009 and 2100")
    return frame


def _book_times(recording: _Recording) -> tuple[I64, I64]:
    ts, local = ([frame[name].to_numpy() for _, frame in recording.books] for name in _TIMES)
    return np.concatenate(ts), np.concatenate(local)


def _instrument(recording: _Recording, make: InstrumentMaker) -> Instrument:
    steps = StepSurvey()
    for frame in (frame.head(_SAMPLE) for _, frame in recording.books):
        steps.add(
            _finite(np.concatenate([_flat(frame[name]) for name in _BOOK[::2]])),
            _finite(np.concatenate([_flat(frame[name]) for name in _BOOK[1::2]])),
        )
    for _, frame in recording.trades:
        steps.add(*(_finite(frame[name].cast(pl.Float64).to_numpy()) for name in _PRINT))
    return make(steps.tick_size, steps.lot_size)


def _longest(lists: pl.Series) -> pl.Series:
    """The longest of the lists, as a series of one."""
    return lists.gather([lists.list.len().arg_max() or 0])


def _flat(lists: pl.Series) -> F64:
    return lists.explode().drop_nulls().cast(pl.Float64).to_numpy()


def _finite(values: F64) -> F64:
    return values[np.isfinite(values)]


def _ticks(values: F64, step: str, where: Where) -> I64:
    good = values < HIGHEST
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"{where(row)}: price must be under 1e15, was {float(values[row])!r}")
    return to_ticks(values, step, where)


def _lots(values: F64, step: str, where: Where, counts: dict[str, int]) -> I64:
    """Lots of quantities; what lies between two is rounded up and counted."""
    good = (values >= 0) & (values < HIGHEST)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"{where(row)}: quantity must be >= 0 and under 1e15, was {float(values[row])!r}")
    lots, rounded = to_lots(values, step, where)
    counts["rounded"] += rounded
    return lots


def _load_trades(recording: _Recording, instrument: Instrument, clock: ReceiptClock, counts: dict[str, int]) -> Trades:
    parts = [np.empty((4, 0), np.int64)]
    for path, frame in recording.trades:
        where = Where(path, frame[_ROW].to_numpy(), _ROW)
        price, quantity = (frame[name].cast(pl.Float64).to_numpy() for name in _PRINT)
        ticks = _ticks(price, instrument.tick_size, where)
        lots = _lots(quantity, instrument.lot_size, where, counts)
        receipts = clock.correct(frame["received_at"].to_numpy())
        parts.append(np.stack([frame["timestamp"].to_numpy(), receipts, ticks, lots]))
    whole = np.concatenate(parts, axis=1)
    return Trades(*np.ascontiguousarray(whole[:, np.argsort(whole[0], kind="stable")]))


def _load_books(
    path: Path, frame: pl.DataFrame, instrument: Instrument, clock: ReceiptClock, counts: dict[str, int]
) -> Books:
    starts, values = np.zeros((2, len(frame) + 1), np.int64), []
    for side, (prices, quantities) in enumerate((_BOOK[:2], _BOOK[2:])):
        lengths = frame[prices].list.len().to_numpy()
        known = (frame[name].list.drop_nulls().list.len().to_numpy() for name in (prices, quantities))
        whole = np.logical_and.reduce(
            [lengths == frame[quantities].list.len().to_numpy(), *(lengths == k for k in known)]
        )
        if not whole.all():
            place = Where(path, frame[_ROW].to_numpy(), _ROW)(int(np.argmin(whole)))
            raise DataError(f"{place}: {prices} and {quantities} must have the same lengths, and no empty value")
        starts[side, 1:] = np.cumsum(lengths)
        where = Where(path, np.repeat(frame[_ROW].to_numpy(), lengths), _ROW)
        ticks = _ticks(_flat(frame[prices]), instrument.tick_size, where)
        rising = np.diff(ticks) * (-1 if side == 0 else 1) > 0
        rising[starts[side, 1:-1][(lengths[1:] > 0) & (starts[side, 1:-1] > 0)] - 1] = True  # between two snapshots
        if not rising.all():
            place = where(int(np.argmin(rising)))
            raise DataError(f"{place}: {prices} must be in order, best first, each price once")
        values += [ticks, _lots(_flat(frame[quantities]), instrument.lot_size, where, counts)]
    counts["snapshots"] += len(frame)
    return Books(
        frame["timestamp"].to_numpy(writable=True),
        clock.correct(frame["received_at"].to_numpy(writable=True)),
        starts,
        *values,
    )


def _rows(
    recording: _Recording,
    instrument: Instrument,
    clock: ReceiptClock,
    depth: int,
    hole_ns: int,
    interval_ns: int,
    counts: dict[str, int],
    progress: Progress | None,
) -> Iterator[Columns]:
    trades = _load_trades(recording, instrument, clock, counts)
    state, out = new_merge(), np.empty((6, 0), np.int64)
    total, done = sum(len(frame) for _, frame in recording.books), 0
    for path, frame in recording.books:
        for part in frame.iter_slices(_CHUNK):
            books = _load_books(path, part, instrument, clock, counts)
            levels = len(books.bid_prices) + len(books.ask_prices)
            done += len(part)
            last = done == total
            waiting = len(trades.ts) if last else int(np.searchsorted(trades.ts, books.ts[-1], "right"))
            room = 2 * levels + 2 * KNOWN + 3 * len(part) + waiting - int(state.state[TRADE])
            if out.shape[1] < room:
                out = np.empty((6, room), np.int64)
            yield _as_columns(out, merge(state, books, trades, depth, hole_ns, interval_ns, last, out))
            if progress is not None:
                progress(done / total)


def _as_columns(out: I64, rows: int) -> Columns:
    ts, ts_local, kind, flags, price, qty = (
        out[i, :rows].astype(dtype) for i, dtype in enumerate(COLUMN_TYPES.values())
    )
    return Columns(ts, ts_local, kind, flags, price, qty)


def _notes(counts: dict[str, int], recording: _Recording, clock: ReceiptClock, hole_ns: int) -> dict[str, Any]:
    return {
        "snapshots": counts["snapshots"],
        "depth_rows": "inferred: differences of consecutive snapshots; levels out of sight keep their last quantity",
        "aggressor": "inferred from the quote before, unknown inside the spread and in locked books",
        "trades_of_unknown_side": counts["unknown"],
        "gap_after_s": hole_ns / SECOND,
        "quantities_rounded_up_to_a_lot": counts["rounded"],
        "files_not_in_time_order": recording.unsorted,
        "receipts_raised_to_venue_time": counts["raised"],
        "funding": "not on the tape",
        **clock.notes(),
    }
