"""Import of Binance's public data files: trades, aggTrades, klines and bookTicker of spot, USDⓈ-M and COIN-M.

The files of data.binance.vision are CSV in a zip, ``<SYMBOL>-trades-<date>.zip`` and so on. Those of spot have no
header, those of futures have one since 2022; without a header the columns are told by their number and content, as the
data set's own README lists them. Times are ms, since 2025 µs in spot's files: told by their size, value by value.

Nothing says when a row could be known, so receipts are not recorded. Trades and aggTrades are prints with their
aggressor; klines are bars (:mod:`tidewright.market.importers.bars`); bookTicker is best quotes at their time of
matching, and the book behind them is what was best before.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.codes import TRADE_BUY, TRADE_SELL
from tidewright.market.errors import DataError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.bars import Bars, write_bars
from tidewright.market.importers.contracts import InstrumentMaker, is_coin_margined, parse_kind
from tidewright.market.importers.csv_table import Header, Table, first_fields, read_csv, to_ns
from tidewright.market.importers.feeds import Batch, Batches, Feed, rows, sorted_by_time
from tidewright.market.importers.quotes import Quotes, best_quotes, sorted_quotes
from tidewright.market.importers.report import EARLIEST, LATEST, ImportReport, Progress, existing_files, part_of
from tidewright.market.importers.writing import Recording, write_recording
from tidewright.market.instrument import Kind

TRADES, AGGREGATED, KLINES, TICKER = "trades", "aggregated trades", "klines", "best bid/ask"

# Names of the columns we use; the same ones are given to files without a header.
_TRADE_NAMES: Final = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
_AGGREGATED_NAMES: Final = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
    "is_best_match",
)
_KLINE_NAMES: Final = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count")
_KLINE_REST: Final = ("taker_buy_volume", "taker_buy_quote_volume", "ignore")
_TICKER_NAMES: Final = (
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
)
_ALIASES: Final = {"agg_tradeId": "agg_trade_id", "first_tradeId": "first_trade_id", "last_tradeId": "last_trade_id"}
_KLINES_USED: Final = ("open_time", "open", "high", "low", "close", "volume", "close_time")
_MAKER: Final = {"true": TRADE_SELL, "false": TRADE_BUY}  # the buyer was the maker: the aggressor sold
_MOST_DIGITS: Final = 19  # of a time that fits into 64 bits
_SYMBOL: Final = re.compile(r"^([A-Z0-9]+(?:_(?:PERP|\d{6}))?)-")


def import_binance_dumps(
    files: list[str | Path],
    out: str | Path,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    kind: str | None = None,
    contract_size: str | None = None,
    quote_ticks: int = 0,
    sort: bool = False,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from the public files of one symbol.

    Parameters
    ----------
    files
        ``.zip``, ``.csv`` or ``.csv.gz``, days and months in any order: trades or aggTrades, with or without
        bookTicker; or klines of one interval.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the quantities fit.
    symbol
        Else taken from the files' names.
    kind, contract_size
        ``spot``, ``linear`` or ``inverse`` and the size of a contract; else told by the symbol and the columns, which
        differ between spot and futures (not those of klines: they are taken for spot).
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    quote_ticks
        Without bookTicker: assume best quotes this many ticks apart around every print.
    sort
        Put rows in order of time first; takes the memory of all rows.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another form, or out of order in time. Nothing is written.
    UsageError
        If ``out`` exists or a choice does not exist.
    """
    paths = existing_files(files)
    symbol = symbol or _symbol(paths)
    found: dict[str, list[tuple[Path, Header]]] = {}
    for path in paths:
        name, header = data_type(path)
        found.setdefault(name, []).append((path, header))
    if AGGREGATED in found and TRADES in found:
        raise DataError("the files hold trades and aggTrades: give one of them, they are the same prints")
    if KLINES in found and len(found) > 1:
        raise DataError(f"klines cannot be put on one tape with {' and '.join(sorted(set(found) - {KLINES}))}")
    stated = exchange_info.instrument(symbol).kind if exchange_info is not None and KLINES in found else None
    wanted = parse_kind(kind) or stated or _kind(symbol, found)
    venue = venue or {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}[wanted]

    instrument = InstrumentMaker(venue, symbol, tick_size, lot_size, wanted, contract_size, exchange_info)
    source = f"binance-dumps: {', '.join(path.name for path in paths)}"
    notes: dict[str, Any] = {"instrument_kind": wanted + ("" if kind else " (concluded from names and columns)")}
    if KLINES in found:
        bars = _bars(_by_time(found[KLINES], "open_time"), progress)
        told = None if progress is None else lambda done: progress(0.5 + done / 2)
        return write_bars(bars, out, source, instrument, notes=notes, quote_ticks=quote_ticks, progress=told)
    counts: dict[str, int] = {}
    feeds = [_feed(name, found[name], sort, counts) for name in (TRADES, AGGREGATED, TICKER) if name in found]
    detail = "+".join(feed.name for feed in reversed(feeds))
    if TICKER in found:
        quote_ticks = 0
        notes["book"] = "best quotes only: what lies behind them is what was best before"
    recording = Recording(source, detail, feeds, instrument, counts, notes)
    return write_recording(recording, out, quote_ticks=quote_ticks, progress=progress)


def data_type(path: Path) -> tuple[str, Header]:
    """What a file holds and what its columns are called, by its header, or by the number and content of its fields.

    Raises
    ------
    DataError
        If it is none of them.
    """
    fields = first_fields(path)
    names = [_ALIASES.get(name, name) for name in fields]
    kinds = {TRADES: _TRADE_NAMES[:6], AGGREGATED: _AGGREGATED_NAMES[:7], KLINES: _KLINES_USED, TICKER: _TICKER_NAMES}
    used = {TRADES: ("id", "price", "qty", "time", "is_buyer_maker"), AGGREGATED: _AGGREGATED_NAMES[:7]}
    for name in kinds:
        if set(used.get(name, kinds[name])) <= set(names):
            return name, Header(names, True)
    times = {i for i, field in enumerate(fields) if _is_time(field)}
    numbers = [_is_number(field) for field in fields]
    if len(fields) == 12 and all(numbers) and {0, 6} <= times:
        return KLINES, Header([*_KLINE_NAMES, *_KLINE_REST], False)
    if len(fields) in (7, 8) and all(numbers[:6]) and 5 in times and not numbers[6]:
        return AGGREGATED, Header(list(_AGGREGATED_NAMES[: len(fields)]), False)
    if len(fields) in (6, 7) and all(numbers[:5]) and 4 in times and not any(numbers[5:]):
        return TRADES, Header(list(_TRADE_NAMES[: len(fields)]), False)
    if len(fields) == 7 and all(numbers) and {5, 6} <= times:
        return TICKER, Header(list(_TICKER_NAMES), False)
    raise DataError(
        f"{path}, line 1: neither trades, aggTrades, klines nor bookTicker of Binance: {','.join(fields)[:120]}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    return text.isdigit() and len(text) < _MOST_DIGITS and EARLIEST <= int(to_ns(np.array([int(text)]))[0]) < LATEST


def _symbol(paths: list[Path]) -> str:
    names = {match[1] for path in paths if (match := _SYMBOL.match(path.name))}
    if len(names) != 1:
        raise UsageError(
            f"the files' names tell {'several symbols: ' + ', '.join(sorted(names)) if names else 'no symbol'}; "
            f"give one, e.g. BTCUSDT"
        )
    return names.pop()


def _kind(symbol: str, found: dict[str, list[tuple[Path, Header]]]) -> Kind:
    if is_coin_margined(symbol):
        return "inverse"
    if "_" in symbol or TICKER in found:  # spot has neither delivery dates nor files of best quotes
        return "linear"
    for name in (TRADES, AGGREGATED):
        for _, header in found.get(name, []):
            return "spot" if "is_best_match" in header.names or "isBestMatch" in header.names else "linear"
    return "spot"


def _by_time(files: list[tuple[Path, Header]], column: str) -> list[tuple[Path, Header]]:
    def first(entry: tuple[Path, Header]) -> int:
        for table in read_csv(entry[0], entry[1], (column,)):
            return int(table.times(column)[0])
        return 0

    return sorted(files, key=first)


def _tables(files: list[tuple[Path, Header]], wanted: tuple[str, ...], progress: Progress | None) -> Iterator[Table]:
    for i, (path, header) in enumerate(files):
        yield from read_csv(path, header, wanted, part_of(progress, i, len(files)))


def _feed(name: str, files: list[tuple[Path, Header]], sort: bool, counts: dict[str, int]) -> Feed:
    order: Callable[[Batches], Batches] = sorted_by_time if sort else iter
    if name == TICKER:
        ordered = _by_time(files, "transaction_time")
        counts.update(snapshots_inferred=0, quotes_without_change=0)
        arrange: Callable[[Iterator[Quotes]], Iterator[Quotes]] = sorted_quotes if sort else iter
        return Feed(
            name, lambda told: best_quotes(arrange(map(_quotes, _tables(ordered, _TICKER_NAMES, told))), counts)
        )
    time, quantity, number = ("time", "qty", "id") if name == TRADES else ("transact_time", "quantity", "agg_trade_id")
    ordered = _by_time(files, time)
    counts["missing_trade_ids"] = 0
    wanted = (number, "price", quantity, time, "is_buyer_maker")
    last = [0]
    decode = partial(_trades, time=time, quantity=quantity, number=number, counts=counts, last=last)

    def read(told: Progress | None) -> Batches:
        last[0] = 0
        return order(map(decode, _tables(ordered, wanted, told)))

    return Feed(name, read)


def _trades(table: Table, *, time: str, quantity: str, number: str, counts: dict[str, int], last: list[int]) -> Batch:
    ids = table.integers(number)
    steps = np.diff(ids, prepend=last[0] or ids[0] - 1)
    counts["missing_trade_ids"] += int(np.sum(steps[steps > 1] - 1))
    last[0] = int(ids[-1])
    return rows(
        table.path,
        table.line,
        table.unit,
        table.times(time),
        None,
        table.codes("is_buyer_maker", _MAKER, "true or false"),
        table.prices("price"),
        table.quantities(quantity),
    )


def _quotes(table: Table) -> Quotes:
    names = ("best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty")
    return Quotes.of(table, names, table.times("transaction_time"), None, may_be_empty=False)


def _bars(files: list[tuple[Path, Header]], progress: Progress | None) -> list[Bars]:
    half = None if progress is None else lambda done: progress(done / 2)
    return [
        Bars.of(table, table.times("open_time"), ("open", "high", "low", "close"), "volume")
        for table in _tables(files, _KLINES_USED, half)
    ]
