"""Import of Tardis CSV files: incremental_book_L2, book_snapshot_5 and _25, trades, quotes and book_ticker.

The formats are those of Tardis' page "Downloadable CSV files: data types": comma-separated, a header line, times in µs.
Files are sorted by ``local_timestamp``, and the book's rows of one message share it: they become one packet. A file
keeps its order, so ``timestamp`` is raised where it falls; files of different types are merged by it, trades before the
book at equal times (the book's change holds what the trade took).

Of incremental_book_L2 the rows before the first snapshot are dropped, and every snapshot empties the book first; one
that does not begin a day is a new connection, and a gap begins with the last row before it. Of book_snapshot_N one
packet holds all differences to the snapshot before; a level beyond the worst visible one is out of sight, not gone.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.clock import MILLISECOND
from tidewright.market.codes import ASK, BID, SNAPSHOT, TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN
from tidewright.market.errors import DataError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.contracts import InstrumentMaker, is_coin_margined, parse_kind
from tidewright.market.importers.csv_table import Header, Table, first_fields, read_csv
from tidewright.market.importers.feeds import Batch, Batches, Feed, packets_by_time, reset_at_snapshots, rows
from tidewright.market.importers.quotes import Quotes, best_quotes
from tidewright.market.importers.report import ImportReport, Progress, existing_files, part_of
from tidewright.market.importers.snapshot_feed import SnapshotLevels, snapshot_differences
from tidewright.market.importers.writing import Recording, write_recording
from tidewright.market.instrument import Kind

_HEAD: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
_L2: Final = ("is_snapshot", "side", "price", "amount")
_TRADE: Final = ("side", "price", "amount")
_QUOTE: Final = ("ask_amount", "ask_price", "bid_price", "bid_amount")
_LEVEL: Final = re.compile(r"^(asks|bids)\[(\d+)\]\.(price|amount)$")

_SIDES: Final = {"bid": BID, "ask": ASK, "buy": BID, "sell": ASK}
_AGGRESSORS: Final = {"buy": TRADE_BUY, "sell": TRADE_SELL, "unknown": TRADE_UNKNOWN, "": TRADE_UNKNOWN}
_TRUTH: Final = {"true": 1, "false": 0}
_INVERSE_IN_USD: Final = frozenset(
    {"bitmex", "bybit", "deribit", "okex-swap", "okex-futures", "huobi-dm", "huobi-dm-swap", "cryptofacilities"}
)
_LINEAR: Final = frozenset({"binance-futures", "ftx", "dydx", "dydx-v4", "hyperliquid", "huobi-dm-linear-swap"})

TRADES, LEVELS, SNAPSHOTS, QUOTES = "trades", "L2", "book snapshots", "best bid/ask"


def import_tardis(
    files: list[str | Path],
    out: str | Path,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    kind: str | None = None,
    contract_size: str | None = None,
    base_latency_ns: int = MILLISECOND,
    quote_ticks: int = 0,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from the Tardis files of one instrument.

    Parameters
    ----------
    files
        ``.csv`` or ``.csv.gz``, days and data types in any order; told apart by their headers.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the quantities fit.
    venue
        Name; else Tardis' id of the exchange.
    symbol
        Which one to take, where a file holds several.
    kind, contract_size
        ``spot``, ``linear`` or ``inverse`` and the size of a contract; else concluded from exchange and symbol.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.
    quote_ticks
        Trades only: assume best quotes this many ticks apart around every print.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another form or holds several symbols and none was chosen. Nothing is written.
    UsageError
        If ``out`` exists or a choice does not exist.
    """
    wanted_kind = parse_kind(kind)
    kinds: dict[str, list[Path]] = {}
    for path in existing_files(files):
        kinds.setdefault(_data_type(path, first_fields(path)), []).append(path)
    _compatible(kinds)
    chosen = symbol is not None
    exchange, symbol = _names([path for paths in kinds.values() for path in paths], symbol)
    concluded = wanted_kind or _kind(exchange, symbol)
    counts: dict[str, int] = {}
    order = (TRADES, QUOTES, LEVELS, SNAPSHOTS)
    feeds = [_feed(name, kinds[name], symbol, chosen, counts) for name in order if name in kinds]

    instrument = InstrumentMaker(
        venue or exchange, symbol, tick_size, lot_size, concluded, contract_size, exchange_info
    )
    notes: dict[str, Any] = {"instrument_kind": concluded + ("" if wanted_kind else " (concluded from the names)")}
    if TRADES in kinds and set(kinds) != {TRADES}:
        quote_ticks = 0
    detail = "+".join(name for name in (LEVELS, SNAPSHOTS, QUOTES, TRADES) if name in kinds)
    source = f"tardis: {', '.join(path.name for path in existing_files(files))}"
    recording = Recording(source, detail, feeds, instrument, counts, notes)
    return write_recording(recording, out, base_latency_ns=base_latency_ns, quote_ticks=quote_ticks, progress=progress)


def _data_type(path: Path, names: list[str]) -> str:
    """What a file holds, by its header."""
    if tuple(names[: len(_HEAD)]) == _HEAD:
        if set(_L2) <= set(names):
            return LEVELS
        if "asks[0].price" in names and "bids[0].price" in names:
            return SNAPSHOTS
        if set(_QUOTE) <= set(names):
            return QUOTES
        if set(_TRADE) <= set(names):
            return TRADES
    raise DataError(
        f"{path}, line 1: no header of Tardis' incremental_book_L2, book_snapshot, trades, quotes or book_ticker: "
        f"{', '.join(names)[:200]}"
    )


def _compatible(kinds: Mapping[str, list[Path]]) -> None:
    books = [name for name in (LEVELS, SNAPSHOTS, QUOTES) if name in kinds]
    if len(books) > 1:
        raise DataError(f"the files hold {' and '.join(books)}: give one of them, they describe the same book")


def _names(paths: list[Path], symbol: str | None) -> tuple[str, str]:
    """Exchange and symbol: the one asked for, or the one of all files' first rows."""
    found: dict[str, str] = {}
    for path in paths:
        header = Header(first_fields(path), True)
        for table in read_csv(path, header, ("exchange", "symbol")):
            found[str(table.frame["symbol"][0])] = str(table.frame["exchange"][0])
            if symbol is not None:
                found.update(zip(table.frame["symbol"], table.frame["exchange"], strict=True))
            if symbol is None or symbol in found:
                break
    if not found:
        raise DataError(f"no row in {', '.join(map(str, paths))}")
    if symbol is None and len(found) > 1:
        raise DataError(f"the files hold several symbols ({', '.join(sorted(found))}): choose one")
    symbol = symbol or next(iter(found))
    if symbol not in found:
        raise DataError(f"the files hold no row of {symbol}, only of {', '.join(sorted(found)[:20])}")
    return found[symbol], symbol


def _kind(exchange: str, symbol: str) -> Kind:
    if exchange == "binance-delivery" or is_coin_margined(symbol):
        return "inverse"
    if exchange in _LINEAR:
        return "linear"
    if exchange in _INVERSE_IN_USD:
        return "linear" if "USDT" in symbol or "USDC" in symbol else "inverse"
    return "spot"


def _feed(name: str, paths: list[Path], symbol: str, chosen: bool, counts: dict[str, int]) -> Feed:
    read = partial(_tables, sorted(paths, key=_first_receipt), symbol, chosen)
    if name == TRADES:
        return Feed(name, lambda told: map(_trades, read((*_HEAD, *_TRADE), told)))
    if name == QUOTES:
        counts.update(snapshots_inferred=0, quotes_without_change=0)
        return Feed(name, lambda told: best_quotes(map(_quotes, read((*_HEAD, *_QUOTE), told)), counts))
    if name == LEVELS:
        counts.update(snapshots=0, reconnections=0, rows_before_a_snapshot=0)
        return Feed(name, lambda told: _book(map(_levels, read((*_HEAD, *_L2), told)), counts))
    counts["snapshots"] = 0
    depth = min(_depth(path) for path in paths)
    bids, asks = ([(f"{side}[{i}].price", f"{side}[{i}].amount") for i in range(depth)] for side in ("bids", "asks"))
    wanted = (*_HEAD, *(column for level in (*bids, *asks) for column in level))

    def snapshots(table: Table) -> SnapshotLevels:
        return SnapshotLevels.of(table, table.times("timestamp"), table.times("local_timestamp"), bids, asks)

    return Feed(name, lambda told: snapshot_differences(map(snapshots, read(wanted, told)), depth, counts))


def _book(batches: Batches, counts: dict[str, int]) -> Batches:
    return reset_at_snapshots(packets_by_time(batches), counts)


def _first_receipt(path: Path) -> int:
    for table in read_csv(path, Header(first_fields(path), True), _HEAD):
        return int(table.times("local_timestamp")[0])
    return 0


def _tables(
    paths: list[Path],
    symbol: str,
    chosen: bool,
    wanted: tuple[str, ...],
    progress: Progress | None,
) -> Iterator[Table]:
    """Rows of the symbol, file after file.

    Raises
    ------
    DataError
        If there are others, and the symbol was not chosen but taken from the first row.
    """
    for i, path in enumerate(paths):
        for table in read_csv(path, Header(first_fields(path), True), wanted, part_of(progress, i, len(paths))):
            mine = (table.frame["symbol"] == symbol).fill_null(False)
            if not chosen:
                table.require(mine.to_numpy(), "symbol", f"{symbol} in all rows, or one has to be chosen; it")
            if mine.all():
                yield table
            elif mine.any():
                yield Table(table.path, table.frame.filter(mine), table.line[mine.to_numpy()])


def _trades(table: Table) -> Batch:
    return rows(
        table.path,
        table.line,
        table.unit,
        table.times("timestamp"),
        table.times("local_timestamp"),
        table.codes("side", _AGGRESSORS, "buy, sell or unknown"),
        table.prices("price"),
        table.quantities("amount"),
    )


def _levels(table: Table) -> Batch:
    snapshot = table.codes("is_snapshot", _TRUTH, "true or false")
    batch = rows(
        table.path,
        table.line,
        table.unit,
        table.times("timestamp"),
        table.times("local_timestamp"),
        table.codes("side", _SIDES, "bid or ask"),
        table.prices("price"),
        table.quantities("amount"),
        snapshot * np.uint8(SNAPSHOT),
    )
    absent = (snapshot == 1) & (batch.qty == 0)  # a snapshot may name levels that are not there
    return batch.pick(np.flatnonzero(~absent)) if absent.any() else batch


def _quotes(table: Table) -> Quotes:
    names = ("bid_price", "bid_amount", "ask_price", "ask_amount")
    return Quotes.of(table, names, table.times("timestamp"), table.times("local_timestamp"))


def _depth(path: Path) -> int:
    """Levels a side of a book_snapshot file."""
    return 1 + max(int(match[2]) for name in first_fields(path) if (match := _LEVEL.match(name)))
