"""The tape: the recorded market of one instrument in time order, a folder of plain column files.

``meta.json`` holds the format version, the instrument, the row count and where the rows came from; each column is a
headerless little-endian file. A writer appends to the columns first and then publishes the new row count by an atomic
rename of ``meta.json``: a reader may open a tape while it grows and never sees half a packet.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.market.errors import DataError, NotFoundError
from tidewright.market.instrument import Instrument

FORMAT_VERSION: Final = 1

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]


class Columns(NamedTuple):
    """Rows of a tape, one array a column, all of one length.

    Attributes
    ----------
    ts
        Venue time, int64 ns; never falls.
    ts_local
        Receipt time, int64 ns; 0 where it was not recorded.
    kind, flags
        Codes of :mod:`tidewright.market.codes`, uint8.
    price
        int64 ticks.
    qty
        int64 lots: the level's new quantity, or the size of the print.
    """

    ts: I64
    ts_local: I64
    kind: U8
    flags: U8
    price: I64
    qty: I64

    def rows(self, start: int, stop: int) -> "Columns":
        """Views of the rows ``start:stop``."""
        return _columns(column[start:stop] for column in self)


COLUMN_TYPES: Final = {"ts": "<i8", "ts_local": "<i8", "kind": "u1", "flags": "u1", "price": "<i8", "qty": "<i8"}


def _columns(arrays: Iterable[npt.NDArray[Any]]) -> Columns:
    ts, ts_local, kind, flags, price, qty = arrays
    return Columns(ts, ts_local, kind, flags, price, qty)


def columns(rows: Iterable[tuple[int, int, int, int, int, int]]) -> Columns:
    """Columns from tuples ``(ts, ts_local, kind, flags, price, qty)``."""
    listed = list(rows)
    parts = zip(*listed, strict=True) if listed else ([] for _ in COLUMN_TYPES)
    return _columns(np.array(part, dtype) for part, dtype in zip(parts, COLUMN_TYPES.values(), strict=True))


def of_packets(
    packets: Sequence[tuple[int, int, int]], kind: bytearray, flags: bytearray, price: Sequence[int], qty: Sequence[int]
) -> Columns:
    """Columns of rows gathered one by one, whose times are those of their packets: ``(ts, ts_local, rows)`` each."""
    times = np.array(packets, np.int64).reshape(-1, 3)
    return Columns(
        np.repeat(times[:, 0], times[:, 2]),
        np.repeat(times[:, 1], times[:, 2]),
        np.frombuffer(bytes(kind), COLUMN_TYPES["kind"]),
        np.frombuffer(bytes(flags), COLUMN_TYPES["flags"]),
        np.array(price, np.int64),
        np.array(qty, np.int64),
    )


def concatenate(parts: Iterable[Columns]) -> Columns:
    """One Columns from many, in order."""
    listed = list(parts)
    if not listed:
        return columns([])
    return _columns(np.concatenate(column) for column in zip(*listed, strict=True))


def effective_receipt(data: Columns) -> I64:
    """When each row could be known: the running maximum of ``max(ts_local, ts)``, int64 ns."""
    return np.maximum.accumulate(np.maximum(data.ts_local, data.ts))


class Tape:
    """A recorded market, memory-mapped.

    Attributes
    ----------
    path
        The folder.
    instrument
        What was recorded.
    meta
        Everything else in ``meta.json``: ``rows``, ``detail`` (what the source held), ``source``, ``notes`` (what was
        inferred or corrected, by name).
    """

    def __init__(self, path: Path, instrument: Instrument, meta: dict[str, Any], data: Columns) -> None:
        self.path = path
        self.instrument = instrument
        self.meta = meta
        self._data = data

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a tape folder for reading.

        Raises
        ------
        NotFoundError
            If there is no tape at the path.
        DataError
            If ``meta.json`` or a column is missing, damaged or too short.
        """
        folder = Path(path)
        if not (folder / "meta.json").is_file():
            raise NotFoundError(f"no tape at {folder}: there is no meta.json")
        try:
            meta = orjson.loads((folder / "meta.json").read_bytes())
            version, rows = int(meta["format_version"]), int(meta["rows"])
            instrument = Instrument.from_json(meta["instrument"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{folder / 'meta.json'} is damaged: {error}") from None
        if version != FORMAT_VERSION:
            raise DataError(f"{folder} has tape format {version}, this version reads {FORMAT_VERSION}")
        arrays = []
        for name, dtype in COLUMN_TYPES.items():
            file = folder / name
            if not file.is_file():
                raise DataError(f"tape {folder} lacks the column file {name!r}")
            need = rows * np.dtype(dtype).itemsize
            if file.stat().st_size < need:
                raise DataError(f"tape column {file} must have {need} bytes for {rows} rows, has {file.stat().st_size}")
            arrays.append(np.memmap(file, dtype, "r", shape=(rows,)) if rows else np.empty(0, dtype))
        return cls(folder, instrument, meta, _columns(np.asarray(a) for a in arrays))

    @property
    def data(self) -> Columns:
        """All rows, read-only views of the files."""
        return self._data

    def __len__(self) -> int:
        return len(self._data.ts)

    @property
    def start_ns(self) -> int:
        """Venue time of the first row, nanoseconds; 0 for an empty tape."""
        return int(self._data.ts[0]) if len(self) else 0

    @property
    def end_ns(self) -> int:
        """Venue time of the last row, nanoseconds; 0 for an empty tape."""
        return int(self._data.ts[-1]) if len(self) else 0

    def __repr__(self) -> str:
        return f"Tape({str(self.path)!r}, {self.instrument.symbol}, {len(self)} rows)"
