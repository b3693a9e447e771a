"""Which importer reads which format, and which options it takes."""

import importlib
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tidewright.market.errors import TidewrightError, UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.report import ImportReport


class Format(StrEnum):
    """Recordings that can be imported."""

    BINANCE_RAW = "binance-raw"
    BINANCE_DUMPS = "binance-dumps"
    TARDIS = "tardis"
    HFTBACKTEST = "hftbacktest"
    COINBASE_L2 = "coinbase-l2"
    FREQTRADE = "freqtrade"
    BOOK_SNAPSHOTS = "book-snapshots"
    TABLE = "table"


# Imported when they are used: some bring polars, which takes a moment.
_IMPORTERS: Final = {
    Format.BINANCE_RAW: "binance_raw:import_binance_raw",
    Format.BINANCE_DUMPS: "binance_dumps:import_binance_dumps",
    Format.TARDIS: "tardis:import_tardis",
    Format.HFTBACKTEST: "hftbacktest_npz:import_hftbacktest",
    Format.COINBASE_L2: "coinbase_l2:import_coinbase_l2",
    Format.FREQTRADE: "freqtrade_bars:import_freqtrade",
    Format.BOOK_SNAPSHOTS: "book_snapshots:import_book_snapshots",
    Format.TABLE: "generic_table:import_table",
}

# Options whose parameter has another name.
_OPTION_NAMES: Final = {
    "tick_size": "tick",
    "lot_size": "lot",
    "hole_ns": "hole",
    "base_latency_ns": "base-latency",
    "quote_ticks": "quotes",
    "contract_size": "contract-size",
}


def import_files(
    format_: Format, files: list[Path], out: Path, options: dict[str, Any], progress: Callable[[float], None]
) -> ImportReport:
    """Run a format's importer.

    Parameters
    ----------
    options
        The importer's keyword arguments, ``exchange_info`` as the path of its file; None: not given.

    Raises
    ------
    UsageError
        If the format has no use for an option that was given, or needs one that was not.
    TidewrightError
        If a file cannot be read or the tape not be written.
    """
    module, _, name = _IMPORTERS[format_].partition(":")
    importer = getattr(importlib.import_module(f"tidewright.market.importers.{module}"), name)
    parameters = inspect.signature(importer).parameters
    given = {key: value for key, value in options.items() if value is not None}
    if "exchange_info" in given:
        info = given["exchange_info"] = ExchangeInfo.read(given["exchange_info"])
        names_itself = parameters["symbol"].default is None  # the files do, or may
        if not names_itself and "symbol" not in given and info.only_symbol is not None:
            given["symbol"] = info.only_symbol
    surplus = sorted(_OPTION_NAMES.get(key, key) for key in given if key not in parameters)
    if surplus:
        raise UsageError(f"the format {format_} has no use for {', '.join(f'--{key}' for key in surplus)}")
    missing = [
        _OPTION_NAMES.get(key, key)
        for key, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is parameter.empty
        and key not in given
    ]
    if missing:
        raise UsageError(f"the format {format_} needs {' and '.join(f'--{key}' for key in missing)}")
    try:
        report: ImportReport = importer(list(files), out, **given, progress=progress)
    except OSError as error:  # no right to read or write, a full disk: nothing is left behind
        raise TidewrightError(f"{error.filename or out}: {error.strerror or error}") from None
    return report
