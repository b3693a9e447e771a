"""Recorded best quotes as tape rows: a row only where a side changed, the first pair as the book's beginning."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from tidewright.market.codes import BEST_ASK, BEST_BID, PACKET_END
from tidewright.market.importers.csv_table import HIGHEST, Table
from tidewright.market.importers.feeds import Batch, Batches, begin_book, rows
from tidewright.market.tape import F64, I64

COLUMNS: Final = ("bid_price", "bid_qty", "ask_price", "ask_qty")


class Quotes(NamedTuple):
    """Best quotes of some messages.

    Attributes
    ----------
    table
        Where they stand.
    ts, ts_local
        int64 ns; ``ts_local`` None: not recorded.
    values
        float64[n, 4]: bid price, bid quantity, ask price, ask quantity. NaN or 0: that side says nothing.
    """

    table: Table
    ts: I64
    ts_local: I64 | None
    values: F64

    @classmethod
    def of(
        cls,
        table: Table,
        names: tuple[str, str, str, str],
        ts: I64,
        ts_local: I64 | None,
        *,
        may_be_empty: bool = True,
    ) -> "Quotes":
        """Quotes from the four columns, in the order bid price, bid quantity, ask price, ask quantity.

        Parameters
        ----------
        may_be_empty
            Whether a value that is not there means that its side is empty. A price of 0 with a quantity of 0 always
            does.

        Raises
        ------
        DataError
            If a value is neither empty nor a number >= 0 and under 1e15, or only one of a side's two is there; names
            file and line.
        """
        read = table.optional if may_be_empty else table.numbers
        values = np.column_stack([read(name) for name in names])
        for i, name in enumerate(names):
            table.require(~((values[:, i] < 0) | (values[:, i] >= HIGHEST)), name, ">= 0 and under 1e15")
        for i in (0, 2):
            table.require((values[:, i] > 0) | ~(values[:, i + 1] > 0), names[i], "> 0 where there is a quantity")
        return cls(table, ts, ts_local, values)


def best_quotes(parts: Iterator[Quotes], counts: dict[str, int]) -> Batches:
    """Rows of best quotes, a packet a message that changed something.

    Parameters
    ----------
    counts
        ``snapshots_inferred`` and ``quotes_without_change`` are counted in it.
    """
    return begin_book(_changes(parts, counts), counts)


def sorted_quotes(parts: Iterator[Quotes]) -> Iterator[Quotes]:
    """All quotes in one part, in order of time. Takes the memory of all of them."""
    listed = [part for part in parts if len(part.ts)]
    if not listed:
        return
    recorded = [part.ts_local for part in listed if part.ts_local is not None]
    ts, values = np.concatenate([part.ts for part in listed]), np.concatenate([part.values for part in listed])
    local = np.concatenate(recorded) if recorded else None
    index = np.argsort(ts if local is None else local, kind="stable")
    table = listed[0].table
    if len(listed) > 1:
        line = np.concatenate([part.table.line for part in listed])
        table = replace(table, path=Path("the sorted rows"), line=line)
    table = replace(table, frame=table.frame.clear(), line=table.line[index])
    yield Quotes(table, ts[index], None if local is None else local[index], values[index])


def _changes(parts: Iterator[Quotes], counts: dict[str, int]) -> Batches:
    last = np.full((1, 4), np.nan)
    for part in parts:
        if not len(part.ts):
            continue
        values = _carried(np.concatenate([last, part.values]))
        changed = np.stack([(values[1:, i : i + 2] != values[:-1, i : i + 2]).any(axis=1) for i in (0, 2)], axis=1)
        known = values[1:, [0, 2]] > 0
        last = values[-1:]
        batch = _interleaved(part, values[1:], changed & known)
        counts["quotes_without_change"] += len(part.ts) - len(np.unique(batch.line))
        if len(batch):
            yield batch


def _carried(values: F64) -> F64:
    """Values in which an empty side repeats the one before."""
    values = values.copy()
    for i in (0, 2):
        empty = ~((values[:, i] > 0) & (values[:, i + 1] > 0))
        at = np.maximum.accumulate(np.where(empty, 0, np.arange(len(values))))
        values[:, i : i + 2] = values[at, i : i + 2]
    return values


def _interleaved(part: Quotes, values: F64, keep: "np.typing.NDArray[np.bool_]") -> Batch:
    count = len(part.ts)
    flat = keep.reshape(-1)  # bid, ask, bid, ask, ...
    flags = np.zeros((count, 2), np.uint8)
    flags[:, 1] = PACKET_END
    flags[:, 0] = np.where(keep[:, 1], 0, PACKET_END)
    kind = np.tile(np.array([BEST_BID, BEST_ASK], np.uint8), count)
    return rows(
        part.table.path,
        np.repeat(part.table.line, 2)[flat],
        part.table.unit,
        np.repeat(part.ts, 2)[flat],
        None if part.ts_local is None else np.repeat(part.ts_local, 2)[flat],
        kind[flat],
        values[:, [0, 2]].reshape(-1)[flat],
        values[:, [1, 3]].reshape(-1)[flat],
        flags.reshape(-1)[flat],
    )
