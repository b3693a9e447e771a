"""A feed of full book snapshots, one a row of a file: the differences of consecutive ones become level rows."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from tidewright.market.errors import DataError
from tidewright.market.importers.csv_table import HIGHEST, Table
from tidewright.market.importers.feeds import Batch, Batches
from tidewright.market.importers.snapshot_kernel import KNOWN, Books, Trades, merge, new_merge
from tidewright.market.tape import F64, I64

_UNITS: Final = 1e8  # whole numbers of 1e-8: the kernel compares prices exactly
_NEVER: Final = np.iinfo(np.int64).max


class SnapshotLevels(NamedTuple):
    """Some snapshots.

    Attributes
    ----------
    table
        Where they stand.
    ts, ts_local
        int64 ns; ``ts_local`` 0: not recorded.
    prices, quantities
        Of bids and asks, each float64[n, depth], best first; NaN where the book has no more levels.
    """

    table: Table
    ts: I64
    ts_local: I64
    prices: tuple[F64, F64]
    quantities: tuple[F64, F64]

    @classmethod
    def of(
        cls, table: Table, ts: I64, ts_local: I64, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]
    ) -> "SnapshotLevels":
        """Snapshots from the columns (price, quantity) of each level, best first.

        Raises
        ------
        DataError
            If a side is not in order, a price is not > 0 or a quantity negative; names file and line.
        """
        prices, quantities = [], []
        for names, sign in ((bids, -1.0), (asks, 1.0)):
            price = np.column_stack([table.optional(name) for name, _ in names])
            quantity = np.column_stack([table.optional(name) for _, name in names])
            there = ~np.isnan(price)
            for i, (named, counted) in enumerate(names):
                table.require(~(price[:, i] >= HIGHEST), named, "under 1e15")
                table.require(~(quantity[:, i] >= HIGHEST), counted, "under 1e15")
            table.require(~((price <= 0) | (quantity < 0)).any(axis=1), names[0][0], "> 0, with a quantity >= 0")
            table.require(~(there & np.isnan(quantity)).any(axis=1), names[0][1], "there where the price is")
            rising = np.diff(price * sign, axis=1) > 0
            good = np.where(there[:, 1:], rising & there[:, :-1], True)
            table.require(good.all(axis=1), names[0][0], "the best of levels in order, best first, each price once")
            prices.append(price)
            quantities.append(quantity)
        return cls(table, ts, ts_local, (prices[0], prices[1]), (quantities[0], quantities[1]))


def snapshot_differences(parts: Iterator[SnapshotLevels], depth: int, counts: dict[str, int]) -> Batches:
    """Level rows that turn each snapshot into the next, a packet a snapshot that changed something.

    Parameters
    ----------
    depth
        Levels a side of a full snapshot; a side that shows fewer is complete.
    counts
        ``snapshots`` are counted in it.
    """
    state = new_merge()
    none = np.empty(0, np.int64)
    no_trades = Trades(none, none, none, none)
    for part in parts:
        count = len(part.ts)
        counts["snapshots"] += count
        books = _books(part)
        room = 2 * (len(books.bid_prices) + len(books.ask_prices)) + 2 * KNOWN + 3 * count
        out = np.empty((6, room), np.int64)
        written = merge(state, books, no_trades, depth, _NEVER, 0, False, out)
        if written:
            yield _batch(part, out[:, :written])


def _books(part: SnapshotLevels) -> Books:
    """The kernel's form; times are row numbers, so that every row finds its snapshot again."""
    count = len(part.ts)
    starts, levels = np.zeros((2, count + 1), np.int64), []
    for side in (0, 1):
        there = ~np.isnan(part.prices[side])
        starts[side, 1:] = np.cumsum(there.sum(axis=1))
        for values in (part.prices[side], part.quantities[side]):
            levels.append(_units(part.table, values, there))
    index = np.arange(count, dtype=np.int64)
    return Books(index, index.copy(), starts, *levels)


def _units(table: Table, values: F64, there: "np.typing.NDArray[np.bool_]") -> I64:
    scaled = np.where(there, values, 0.0) * _UNITS
    units = np.rint(scaled)
    good = (np.abs(scaled - units) <= 1e-2 + np.abs(scaled) * 4e-16) & (units < 9e18)
    if not good.all():
        row, level = np.argwhere(~good)[0]
        raise DataError(
            f"{table.path}, {table.unit} {table.line[row]}: prices and quantities of snapshots must have at most 8 "
            f"decimals and be under 9e10, was {float(values[row, level])!r}"
        )
    return units.astype(np.int64)[there]


def _batch(part: SnapshotLevels, out: I64) -> Batch:
    at = out[0]
    local = part.ts_local[at]
    order = local if part.ts_local.any() else part.ts[at]
    return Batch(
        order,
        part.ts[at],
        local,
        out[2].astype(np.uint8),
        out[3].astype(np.uint8),
        out[4] / _UNITS,
        out[5] / _UNITS,
        part.table.line[at],
        part.table.path,
        part.table.unit,
    )
