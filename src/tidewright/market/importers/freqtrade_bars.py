"""Import of freqtrade's candles: ``<PAIR>-<timeframe>.feather`` (or .parquet, .json, .json.gz).

Feather and parquet files have the columns date, open, high, low, close, volume; JSON files are one array of
``[ms, open, high, low, close, volume]``. What bars become on a tape: :mod:`tidewright.market.importers.bars`.
"""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from tidewright.market.errors import DataError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.bars import Bars, write_bars
from tidewright.market.importers.contracts import UNKNOWN, InstrumentMaker, parse_kind, stated_kind
from tidewright.market.importers.csv_table import Table, is_typed, read_typed
from tidewright.market.importers.files import DAMAGED, damage, unpacked
from tidewright.market.importers.report import ImportReport, Progress, existing_files, part_of

_COLUMNS: Final = ("date", "open", "high", "low", "close", "volume")
_NAME: Final = re.compile(r"^([A-Z0-9]+(?:_[A-Z0-9]+){0,2}?)[-_](\d+)([smhdw])(?:[-_.].*)?$", re.IGNORECASE)
_FUTURES: Final = re.compile(r"-(futures|mark|index|premiumIndex|funding_rate)\.", re.IGNORECASE)


def import_freqtrade(
    files: list[str | Path],
    out: str | Path,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    kind: str | None = None,
    quote_ticks: int = 0,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from candles of one pair and timeframe.

    Parameters
    ----------
    files
        In any order; they may not overlap.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the volumes fit.
    symbol
        The pair; else taken from the file's name.
    kind
        ``spot``, ``linear`` or ``inverse``; else linear for files of futures, spot for all others.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    quote_ticks
        Assume best quotes this many ticks apart around every print; 0: none.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another form, or holds an impossible bar. Nothing is written.
    UsageError
        If ``out`` exists or the pair cannot be told.
    """
    paths = existing_files(files)
    symbol = symbol or _pair(paths)
    futures = _FUTURES.search(paths[0].name) is not None
    wanted = parse_kind(kind) or ("linear" if futures else stated_kind(exchange_info, symbol))
    bars: list[Bars] = []
    for i, path in enumerate(paths):
        bars += [_bars(table) for table in _tables(path, part_of(progress, i, 2 * len(paths)))]
    bars = sorted((part for part in bars if len(part.start)), key=lambda part: int(part.start[0]))

    instrument = InstrumentMaker(venue or UNKNOWN, symbol, tick_size, lot_size, wanted, None, exchange_info)
    source = f"freqtrade: {', '.join(path.name for path in paths)}"
    told = None if progress is None else lambda done: progress(0.5 + done / 2)
    return write_bars(bars, out, source, instrument, quote_ticks=quote_ticks, progress=told)


def _pair(paths: list[Path]) -> str:
    names = {match[1].upper() for path in paths if (match := _NAME.match(path.name))}
    if len(names) != 1:
        raise UsageError(
            f"the files' names tell {'several pairs (' + ', '.join(sorted(names)) + ')' if names else 'no pair'}: "
            f"give a symbol, e.g. BTC/USDT"
        )
    base, _, rest = names.pop().partition("_")
    return f"{base}/{rest.partition('_')[0]}" if rest else base


def _tables(path: Path, progress: Progress | None) -> list[Table]:
    return list(read_typed(path, _COLUMNS, progress=progress)) if is_typed(path) else [_json(path)]


def _json(path: Path) -> Table:
    try:
        with unpacked(path) as read:
            candles: Any = orjson.loads(b"".join(iter(lambda: read(1 << 24), b"")))
    except DAMAGED as error:
        raise damage(path, error) from None
    except orjson.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{place}: neither feather, parquet nor JSON, or cut off ({error.msg})") from None
    if not isinstance(candles, list):
        raise DataError(f"{path} must be a JSON array of candles")
    for row, candle in enumerate(candles, 1):
        if not (isinstance(candle, list) and len(candle) >= len(_COLUMNS) and all(map(_is_number, candle))):
            raise DataError(
                f"{path}, row {row}: a candle is numbers [ms, open, high, low, close, volume], was {candle!r:.80}"
            )
    columns: dict[str, list[Any]] = {name: [c[i] for c in candles] for i, name in enumerate(_COLUMNS)}
    try:
        frame = pl.DataFrame(columns, strict=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: candles must hold numbers ({str(error).splitlines()[0]})") from None
    return Table(path, frame, np.arange(1, len(frame) + 1, dtype=np.int64), "row")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bars(table: Table) -> Bars:
    return Bars.of(table, table.times("date"), ("open", "high", "low", "close"), "volume")
