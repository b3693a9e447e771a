"""Recorded latencies from a file: a table over time."""

import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.errors import DataError, NotFoundError, UsageError
from tidewright.market.tape import I64

OURS: Final = ("ts", "entry", "response")
THREE_TIMES: Final = ("req_ts", "exch_ts", "resp_ts")


def read_latencies(path: Path) -> I64:
    """Rows (time, entry latency, response latency), ns, of a parquet, CSV or npz file.

    Columns ``ts, entry, response``; or ``req_ts, exch_ts, resp_ts`` as hftbacktest writes them (in an npz: the array
    ``data``): sent, at the venue, answered. Times are ns since 1970, all whole numbers; other columns are ignored.

    Raises
    ------
    NotFoundError
        If there is no such file.
    UsageError
        If the name's end is none of .parquet, .csv, .npz.
    DataError
        If the file is no such table.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    try:
        columns = _columns(path)
    except (UsageError, DataError):
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a table of latencies: {error}") from None
    names = OURS if all(name in columns for name in OURS) else THREE_TIMES
    if not all(name in columns for name in names):
        there = ", ".join(columns) or "none"
        raise DataError(f"{path} must have the columns {', '.join(OURS)} (or {', '.join(THREE_TIMES)}), has {there}")
    parts = []
    for name in names:
        part = np.asarray(columns[name])
        if part.dtype.kind not in "iu":
            raise DataError(f"column {name} of {path} must hold whole numbers of ns, is {part.dtype}")
        parts.append(part.astype(np.int64))
    rows = np.stack(parts, axis=1)
    if names == THREE_TIMES:
        sent, arrived, answered = rows.T
        rows = np.stack([sent, arrived - sent, answered - arrived], axis=1)
    return np.ascontiguousarray(rows)


def _arrays(path: Path) -> dict[str, Any]:
    """Of an npz file; an array that cannot be unpacked is named."""
    name = ""
    try:
        with open(path, "rb") as raw, np.load(raw) as file:
            found = {}
            for name in file.files:
                found[name] = file[name]
            return found
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        what = f"array {name} is damaged" if name else "cut off, the directory at its end is missing"
        raise DataError(f"{path}: {what} ({error}); write or fetch it again") from None


def _columns(path: Path) -> dict[str, Any]:
    end = path.suffix.lower()
    if end == ".npz":
        arrays = _arrays(path)
        record = arrays.get("data")
        if record is not None and record.dtype.names:
            return {name: record[name] for name in record.dtype.names}
        return arrays
    if end not in (".parquet", ".csv"):
        raise UsageError(f"a table of latencies is a .parquet, .csv or .npz file, was {path.name}")
    import polars as pl

    from tidewright.market.typed_damage import typed_damage

    try:
        frame = pl.read_parquet(path) if end == ".parquet" else pl.read_csv(path)
    except pl.exceptions.PolarsError as error:
        if end == ".parquet":
            raise typed_damage(path, error) from None
        raise DataError(f"{path} cannot be read as a table of latencies: {error}") from None
    if frame.null_count().sum_horizontal().sum() > 0:
        raise DataError(f"{path} has rows with missing values")
    return {name: frame[name].to_numpy() for name in frame.columns}
