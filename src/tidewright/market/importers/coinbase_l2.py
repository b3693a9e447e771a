"""Import of Coinbase full-depth L2 CSV files: a snapshot of the book and every later change of a level.

Files are told apart by their columns: ``side, price, size`` is a snapshot (both sides, or one file a side),
``side, price, size, time`` the changes, in order of time, several files one after the other. Coinbase's newer names are
understood too: ``price_level``, ``new_quantity``, ``event_time``. A snapshot file carries no time: it is put at the
first change's. Without a snapshot the book begins with the first change, flagged inferred. No trades are recorded, and
no receipts: a backtest on such a tape fills by the book alone and has to assume a feed latency (``--feed``).
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT
from tidewright.market.errors import DataError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.contracts import InstrumentMaker, parse_kind, stated_kind
from tidewright.market.importers.csv_table import Header, Table, first_fields, read_csv
from tidewright.market.importers.feeds import Batch, Batches, Feed, begin_book, insert, join, rows
from tidewright.market.importers.report import ImportReport, Progress, existing_files, part_of
from tidewright.market.importers.writing import Recording, write_recording

_SIDES: Final = {"buy": BID, "bid": BID, "sell": ASK, "ask": ASK, "offer": ASK}
_NAMES: Final = {"price_level": "price", "new_quantity": "size", "event_time": "time"}
_LEVEL: Final = ("side", "price", "size")


def import_coinbase_l2(
    files: list[str | Path],
    out: str | Path,
    *,
    symbol: str,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str = "coinbase",
    kind: str | None = None,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from the snapshot and changes of one product.

    Parameters
    ----------
    files
        ``.csv``, plain or gzip, in any order.
    symbol
        Its name, e.g. ``BTC-USD``: the files do not say.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the sizes fit.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another form, or there are no changes. Nothing is written.
    UsageError
        If ``out`` exists or there is no symbol.
    """
    if not symbol:
        raise UsageError("Coinbase's files do not name their product: give a symbol, e.g. BTC-USD")
    snapshots: list[Path] = []
    changes: list[tuple[int, Path]] = []
    for path in existing_files(files):
        names = _header(path).names
        if not set(_LEVEL) <= set(names):
            raise DataError(
                f"{path}, line 1: must have the columns side, price, size (and time), has {', '.join(names)}"
            )
        if "time" not in names:
            snapshots.append(path)
            continue
        for table in read_csv(path, _header(path), ("time",)):
            changes.append((int(table.times("time")[0]), path))
            break
    if not changes:
        raise DataError("no change of a level (columns side, price, size, time) in the files")
    changes.sort()
    counts = {"snapshots": 0, "snapshot_levels": 0, "snapshots_inferred": 0}
    wanted = parse_kind(kind) or stated_kind(exchange_info, symbol)

    instrument = InstrumentMaker(venue, symbol, tick_size, lot_size, wanted, None, exchange_info)
    feed = Feed("L2", partial(_book, snapshots, changes[0][0], [path for _, path in changes], counts))
    source = f"coinbase-l2: {', '.join(path.name for path in (*snapshots, *(path for _, path in changes)))}"
    notes = {"snapshot_time": "inferred: that of the first change"} if snapshots else {}
    return write_recording(Recording(source, "L2", [feed], instrument, counts, notes), out, progress=progress)


def _header(path: Path) -> Header:
    return Header([_NAMES.get(name.lower(), name.lower()) for name in first_fields(path)], True)


def _book(
    snapshots: list[Path], start: int, changes: list[Path], counts: dict[str, int], progress: Progress | None
) -> Batches:
    parts = _changes(changes, progress)
    if not snapshots:
        yield from begin_book(parts, counts)
        return
    counts["snapshots"] += 1
    yield _snapshot(snapshots, start, counts)
    yield from parts


def _snapshot(paths: list[Path], ts: int, counts: dict[str, int]) -> Batch:
    """All levels as one packet; each price may come once."""
    levels: list[Batch] = []
    for path in paths:
        for table in read_csv(path, _header(path), _LEVEL):
            count = len(table)
            flags = np.full(count, SNAPSHOT, np.uint8)
            batch = _levels(table, np.full(count, ts), flags)
            levels.append(batch.pick(np.flatnonzero(batch.qty > 0)))
    book = join(levels)
    if not len(book):
        raise DataError(f"no level in {', '.join(map(str, paths))}")
    counts["snapshot_levels"] += len(book)
    keys = np.stack([book.kind.astype(np.float64), book.price], axis=1)
    if len(np.unique(keys, axis=0)) < len(book):
        raise DataError(f"a price comes twice on one side in {', '.join(map(str, paths))}: give one snapshot")
    book.flags[-1] |= PACKET_END
    return insert(book, np.zeros(1, np.int64), RESET, 0)


def _changes(paths: list[Path], progress: Progress | None) -> Iterator[Batch]:
    for i, path in enumerate(paths):
        for table in read_csv(path, _header(path), (*_LEVEL, "time"), part_of(progress, i, len(paths))):
            yield _levels(table, table.times("time"), None)


def _levels(table: Table, ts: "np.typing.NDArray[np.int64]", flags: "np.typing.NDArray[np.uint8] | None") -> Batch:
    sides = table.codes("side", _SIDES, "buy or sell")
    price, size = table.prices("price"), table.quantities("size")
    return rows(table.path, table.line, table.unit, ts, None, sides, price, size, flags)
