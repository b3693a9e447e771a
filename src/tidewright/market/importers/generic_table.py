"""Import of any CSV, parquet or feather table whose columns a user names: ``ts=time,price=px,qty=size,side=side``.

What the rows are follows from the names given, or is said: **trades** (ts, price, qty, and side or buyer_maker),
**levels** (ts, side, price, qty, and snapshot), **quotes** (ts, bid_price, bid_qty, ask_price, ask_qty) or **bars**
(ts, open, high, low, close, volume). ``local`` names the receipt where there is one. Times are whole numbers of s, ms,
µs or ns, ISO 8601 texts or typed times; without a zone they are UTC.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.clock import MILLISECOND
from tidewright.market.codes import ASK, BID, PACKET_END, SNAPSHOT, TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN
from tidewright.market.errors import UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.bars import Bars, write_bars
from tidewright.market.importers.column_map import OPTIONAL, ROWS, table_form
from tidewright.market.importers.contracts import UNKNOWN, InstrumentMaker, parse_kind, stated_kind
from tidewright.market.importers.csv_table import Header, Table, first_fields, is_typed, read_csv, read_typed
from tidewright.market.importers.feeds import (
    Batch,
    Batches,
    Feed,
    begin_book,
    packets_by_time,
    reset_at_snapshots,
    rows,
    sorted_by_time,
)
from tidewright.market.importers.quotes import Quotes, best_quotes, sorted_quotes
from tidewright.market.importers.report import ImportReport, Progress, existing_files, part_of
from tidewright.market.importers.writing import Recording, write_recording

_AGGRESSORS: Final = {
    **dict.fromkeys(("buy", "b", "bid", "buyer", "1"), TRADE_BUY),
    **dict.fromkeys(("sell", "s", "ask", "a", "seller", "-1"), TRADE_SELL),
    **dict.fromkeys(("", "unknown", "none", "0"), TRADE_UNKNOWN),
}
_SIDES: Final = {
    **dict.fromkeys(("buy", "b", "bid", "bids", "1"), BID),
    **dict.fromkeys(("sell", "s", "ask", "asks", "a", "offer", "-1"), ASK),
}
_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")
_TRUTH: Final = {**dict.fromkeys(_TRUE, 1), **dict.fromkeys((*_FALSE, ""), 0)}
_MAKER: Final = {**dict.fromkeys(_TRUE, TRADE_SELL), **dict.fromkeys(_FALSE, TRADE_BUY)}


def import_table(
    files: list[str | Path],
    out: str | Path,
    *,
    symbol: str,
    columns: Mapping[str, str],
    rows: str | None = None,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    kind: str | None = None,
    contract_size: str | None = None,
    base_latency_ns: int = MILLISECOND,
    quote_ticks: int = 0,
    sort: bool = False,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from tables of one form and instrument.

    Parameters
    ----------
    files
        CSV with a header (plain, gzip or zip), parquet or feather, in any order; not overlapping in time.
    symbol
        The instrument's name.
    columns
        Our name of each column to the file's, as :func:`tidewright.market.importers.column_map.parse_columns` gives it.
    rows
        ``trades``, ``levels``, ``quotes`` or ``bars``; else what the names given suggest (price and qty: trades,
        with ``snapshot``: levels).
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the quantities fit.
    kind, contract_size
        ``spot`` (default), ``linear`` or ``inverse``, and the size of a contract.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.
    quote_ticks
        Trades and bars: assume best quotes this many ticks apart around every print; 0: none.
    sort
        Put trades and quotes in order of time first; takes the memory of all rows.

    Raises
    ------
    DataError
        If a file is missing, damaged, lacks a column, holds an impossible value, or is out of order in time.
    UsageError
        If ``out`` exists, or the map names too few columns.
    """
    form = table_form(columns, rows)
    if not symbol:
        raise UsageError("a table does not name its symbol: give one, e.g. BTC-USD")
    wanted = parse_kind(kind) or stated_kind(exchange_info, symbol)
    ordered = sorted(existing_files(files), key=lambda path: _first_time(path, columns))

    instrument = InstrumentMaker(venue or UNKNOWN, symbol, tick_size, lot_size, wanted, contract_size, exchange_info)
    source = f"table of {form}: {', '.join(path.name for path in ordered)}"
    notes: dict[str, Any] = {"columns": dict(columns), "instrument_kind": wanted}
    used = tuple(dict.fromkeys(columns[name] for name in (*ROWS[form], *OPTIONAL[form]) if name in columns))

    def tables(told: Progress | None) -> Iterator[Table]:
        for i, path in enumerate(ordered):
            yield from _tables(path, used, part_of(told, i, len(ordered)))

    if form == "bars":
        half = None if progress is None else lambda done: progress(done / 2)
        told = None if progress is None else lambda done: progress(0.5 + done / 2)
        bars = [_bars(table, columns) for table in tables(half)]
        return write_bars(bars, out, source, instrument, notes=notes, quote_ticks=quote_ticks, progress=told)
    counts: dict[str, int] = {}
    feed = _feed(form, columns, tables, sort, counts)
    recording = Recording(source, feed.name, [feed], instrument, counts, notes)
    return write_recording(
        recording,
        out,
        base_latency_ns=base_latency_ns,
        quote_ticks=quote_ticks if form == "trades" else 0,
        progress=progress,
    )


def _first_time(path: Path, columns: Mapping[str, str]) -> int:
    name = columns.get("local", columns["ts"])
    for table in _tables(path, (name,), None):
        return int(table.times(name)[0])
    return 0


def _tables(path: Path, used: tuple[str, ...], progress: Progress | None) -> Iterator[Table]:
    if is_typed(path):
        return read_typed(path, used, progress=progress)
    return read_csv(path, Header(first_fields(path), True), used, progress)


def _times(table: Table, columns: Mapping[str, str]) -> tuple[Any, Any]:
    return table.times(columns["ts"]), table.times(columns["local"]) if "local" in columns else None


def _feed(
    form: str,
    columns: Mapping[str, str],
    tables: Callable[[Progress | None], Iterator[Table]],
    sort: bool,
    counts: dict[str, int],
) -> Feed:
    if form == "trades":
        arrange: Callable[[Batches], Batches] = sorted_by_time if sort else iter
        return Feed("trades", lambda told: arrange(_trades(table, columns) for table in tables(told)))
    if form == "quotes":
        counts.update(snapshots_inferred=0, quotes_without_change=0)
        in_time: Callable[[Iterator[Quotes]], Iterator[Quotes]] = sorted_quotes if sort else iter
        return Feed(
            "best bid/ask",
            lambda told: best_quotes(in_time(_quotes(table, columns) for table in tables(told)), counts),
        )
    if "snapshot" in columns:
        counts.update(snapshots=0, reconnections=0, rows_before_a_snapshot=0)
        return Feed("L2", lambda told: reset_at_snapshots(_levels(tables(told), columns), counts))
    counts["snapshots_inferred"] = 0
    return Feed("L2", lambda told: begin_book(_levels(tables(told), columns), counts))


def _trades(table: Table, columns: Mapping[str, str]) -> Batch:
    ts, local = _times(table, columns)
    if "side" in columns:
        kinds = table.codes(columns["side"], _AGGRESSORS, "buy or sell")
    elif "buyer_maker" in columns:
        kinds = table.codes(columns["buyer_maker"], _MAKER, "true or false")
    else:
        kinds = np.full(len(table), TRADE_UNKNOWN, np.uint8)
    price, qty = table.prices(columns["price"]), table.quantities(columns["qty"])
    return rows(table.path, table.line, table.unit, ts, local, kinds, price, qty)


def _levels(tables: Iterator[Table], columns: Mapping[str, str]) -> Batches:
    return packets_by_time(_level_batch(table, columns) for table in tables)


def _level_batch(table: Table, columns: Mapping[str, str]) -> Batch:
    ts, local = _times(table, columns)
    flags = np.zeros(len(table), np.uint8)
    if "snapshot" in columns:
        flags = table.codes(columns["snapshot"], _TRUTH, "true or false") * np.uint8(SNAPSHOT)
    sides = table.codes(columns["side"], _SIDES, "bid or ask")
    price, qty = table.prices(columns["price"]), table.quantities(columns["qty"])
    return rows(table.path, table.line, table.unit, ts, local, sides, price, qty, flags & ~np.uint8(PACKET_END))


def _quotes(table: Table, columns: Mapping[str, str]) -> Quotes:
    names = (columns["bid_price"], columns["bid_qty"], columns["ask_price"], columns["ask_qty"])
    return Quotes.of(table, names, *_times(table, columns))


def _bars(table: Table, columns: Mapping[str, str]) -> Bars:
    names = (columns["open"], columns["high"], columns["low"], columns["close"])
    return Bars.of(table, table.times(columns["ts"]), names, columns["volume"])
