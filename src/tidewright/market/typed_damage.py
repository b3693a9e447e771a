"""What can be said of a parquet or feather file that cannot be read: how far it is sound, and in which column."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from tidewright.market.errors import DataError

_ALL: Final = 1 << 31  # more rows than there are, and as many as polars counts
Frame = Callable[[], pl.LazyFrame]


def typed_damage(path: Path, error: Exception) -> DataError:
    """The error for a file that polars refused with another.

    A file that was cut off lacks the directory at its end, without which nothing of it can be found. Of one that has
    it, the columns are looked at one by one, and how many rows of the bad one can be read: those of the row groups
    (feather: record batches) before the damaged one.
    """
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    with open(path, "rb") as raw:
        kind = {b"PAR1": "parquet", b"ARRO": "feather"}.get(raw.read(4), "")
    if not kind:
        return DataError(f"{path} is cut off or no parquet or feather file ({text})")

    def scan() -> pl.LazyFrame:
        return pl.scan_parquet(path) if kind == "parquet" else pl.scan_ipc(path)

    try:
        names = scan().collect_schema().names()
    except (pl.exceptions.PolarsError, OSError):
        return DataError(
            f"{path} is cut off or damaged: the directory at the end of the {kind} file is missing or unreadable, "
            f"without which no row can be found ({text}); write or fetch it again"
        )
    for name in names:
        sound = _sound(scan, name)
        if sound < _ALL:
            part = "row group" if kind == "parquet" else "record batch"
            place = f"after row {sound}: the {part} there" if sound else f"the first {part}, or the head of one,"
            return DataError(f"{path}, column {name}, {place} is damaged ({text}); write or fetch it again")
    return DataError(f"{path} is cut off or damaged ({text}); write or fetch it again")


def _sound(scan: Frame, name: str) -> int:
    """How many rows of a column can be read, found by halving; ``_ALL``: whatever there are."""
    low, high = 0, 2 * _ALL
    while high - low > 1:
        middle = (low + high) // 2  # all of them first
        try:
            scan().select(name).head(middle).collect()
            low = middle
        except (pl.exceptions.PolarsError, OSError):
            high = middle
        if low == _ALL:
            break
    return low
