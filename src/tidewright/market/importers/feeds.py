"""Feeds: the rows of one kind of file in time order, put into packets and merged with the other kinds by venue time.

A feed is sorted by receipt where that was recorded: its rows keep that order, for each builds on the ones before. Feeds
are merged by venue time: messages of two streams overtake each other on their way, and the venue matches by its own.
A feed is read twice, once to measure it and once to write it, so nothing needs to fit into memory at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import DAY, SECOND, iso
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    INFERRED,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.errors import DataError
from tidewright.market.tape import F64, I64, U8, Columns, columns

DISORDER_NS: Final = (
    SECOND  # times may fall by this much: messages overtake each other by ms; files out of order do not
)

_PRICED: Final = np.zeros(256, np.bool_)
_PRICED[[BID, ASK, TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN, BEST_BID, BEST_ASK]] = True


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of a feed.

    Attributes
    ----------
    order
        What the feed is sorted by, int64 ns: receipt where it was recorded, else venue time. Never falls.
    ts, ts_local
        int64 ns; ``ts_local`` 0: not recorded.
    kind, flags
        Codes as on a tape.
    price, qty
        float64, as the file has them.
    line
        int64, each row's place in its file.
    path, unit
        The file, and what ``line`` counts, for messages.
    """

    order: I64
    ts: I64
    ts_local: I64
    kind: U8
    flags: U8
    price: F64
    qty: F64
    line: I64
    path: object
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def priced(self) -> npt.NDArray[np.bool_]:
        """Which rows have a price and a quantity: not resets and gaps."""
        return _PRICED[self.kind]

    def where(self, row: int) -> str:
        """File and line of a row."""
        return f"{self.path}, {self.unit} {self.line[row]}"

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns, in order."""
        return self.order, self.ts, self.ts_local, self.kind, self.flags, self.price, self.qty, self.line

    def with_arrays(self, arrays: Sequence[npt.NDArray[Any]]) -> "Batch":
        """The same file with other rows."""
        order, ts, ts_local, kind, flags, price, qty, line = arrays
        return Batch(order, ts, ts_local, kind, flags, price, qty, line, self.path, self.unit)

    def pick(self, index: slice | I64) -> "Batch":
        """Some of the rows."""
        return self.with_arrays([a[index] for a in self.arrays()])


Batches = Iterator[Batch]


class Feed(NamedTuple):
    """One kind of file.

    Attributes
    ----------
    name
        What it holds, as the tape's ``detail`` says it.
    read
        Starts reading from the beginning; is told a function to report the share done to.
    """

    name: str
    read: Callable[[Callable[[float], None] | None], Batches]


def join(batches: Sequence[Batch]) -> Batch:
    """One batch from several of one file."""
    if len(batches) == 1:
        return batches[0]
    return batches[0].with_arrays([np.concatenate(parts) for parts in zip(*(b.arrays() for b in batches), strict=True)])


def rows(
    path: object,
    line: I64,
    unit: str,
    ts: I64,
    ts_local: I64 | None,
    kind: U8,
    price: F64,
    qty: F64,
    flags: U8 | None = None,
) -> Batch:
    """A batch sorted by receipt, or by venue time where there is none; without flags each row is a packet."""
    known = flags if flags is not None else np.full(len(ts), PACKET_END, np.uint8)
    local = np.zeros(len(ts), np.int64) if ts_local is None else ts_local
    order = ts if ts_local is None else ts_local
    return Batch(order, ts, local, kind, known, price, qty, line, path, unit)


def in_order(batches: Batches) -> Batches:
    """Refuse times that fall by more than a second; smaller falls take the time before them in the order.

    Raises
    ------
    DataError
        Names file and line.
    """
    last = 0
    for batch in batches:
        if not len(batch):
            continue
        highest = np.maximum.accumulate(np.maximum(batch.order, last))
        fallen = highest - batch.order > DISORDER_NS
        if fallen.any():
            row = int(np.argmax(fallen))
            raise DataError(
                f"{batch.where(row)}: time falls from {iso(int(highest[row]))} to {iso(int(batch.order[row]))}: the "
                f"rows are not in order of time, or two files overlap (--sort puts trades and quotes in order)"
            )
        last = int(highest[-1])
        yield replace(batch, order=highest)


def sorted_by_time(batches: Batches) -> Batches:
    """All rows in one batch, in order of time; for feeds of single rows. Takes the memory of all of them."""
    parts = [batch for batch in batches if len(batch)]
    if not parts:
        return
    whole = replace(join(parts), path=parts[0].path if len(parts) == 1 else "the sorted rows")
    yield whole.pick(np.argsort(whole.order, kind="stable"))


def packets_by_time(batches: Batches) -> Batches:
    """Make rows of equal order, venue time and snapshot flag one packet; whole packets come out."""
    tail: Batch | None = None
    for batch in batches:
        if not len(batch):
            continue
        if tail is not None and tail.path == batch.path:
            batch, tail = join([tail, batch]), None
        elif tail is not None:
            yield _ended(tail)
            tail = None
        borders = np.flatnonzero(
            (np.diff(batch.order) != 0) | (np.diff(batch.ts) != 0) | (np.diff(batch.flags & SNAPSHOT) != 0)
        )
        cut = int(borders[-1]) + 1 if len(borders) else 0
        flags = batch.flags.copy()
        flags[borders] |= PACKET_END
        tail = batch.pick(slice(cut, None))
        if cut:
            yield replace(batch, flags=flags).pick(slice(0, cut))
    if tail is not None:
        yield _ended(tail)


def _ended(batch: Batch) -> Batch:
    flags = batch.flags.copy()
    flags[-1] |= PACKET_END
    return replace(batch, flags=flags)


def reset_at_snapshots(batches: Batches, counts: dict[str, int]) -> Batches:
    """Put a reset before every run of snapshot rows, and drop what comes before the first one.

    A snapshot after the first is a new connection: what was missed before it is unknown, so a gap begins with the last
    row. Not so within the first second of a day (UTC), where daily files begin with a snapshot and nothing was missed.

    Parameters
    ----------
    counts
        ``snapshots``, ``reconnections`` and ``rows_before_a_snapshot`` are counted in it.
    """
    last: Batch | None = None  # the newest row
    inside = False
    for batch in batches:
        if not len(batch):
            continue
        snapshot = batch.flags & SNAPSHOT != 0
        if last is None:
            first = int(np.argmax(snapshot)) if snapshot.any() else len(batch)
            counts["rows_before_a_snapshot"] += first
            if first == len(batch):
                continue
            batch, snapshot = batch.pick(slice(first, None)), snapshot[first:]
        starts = np.flatnonzero(snapshot & ~np.concatenate(([inside], snapshot[:-1])))
        inside = bool(snapshot[-1])
        counts["snapshots"] += len(starts)
        before = join([replace(batch.pick(slice(0, 1)) if last is None else last, path=batch.path), batch])
        newest = batch.pick(slice(-1, None))
        batch = insert(batch, starts, RESET, 0)
        again = starts[
            (batch.order[starts + np.arange(len(starts))] % DAY > SECOND) & ((starts > 0) | (last is not None))
        ]
        if len(again):
            counts["reconnections"] += len(again)
            at = again + np.searchsorted(starts, again)
            batch = insert(batch, at, GAP, PACKET_END, before.pick(again))
        last = newest
        yield batch


def insert(batch: Batch, at: I64, kind: int, flags: int, times: Batch | None = None) -> Batch:
    """Rows without price put before the rows ``at``, with their times, or with those of as many rows of ``times``."""
    if not len(at):
        return batch
    source = batch.pick(at) if times is None else times
    arrays = [np.insert(a, at, b) for a, b in zip(batch.arrays(), source.arrays(), strict=True)]
    where = at + np.arange(len(at))
    arrays[3][where], arrays[4][where] = kind, flags
    arrays[5][where] = arrays[6][where] = 0.0
    return batch.with_arrays(arrays)


def begin_book(batches: Batches, counts: dict[str, int]) -> Batches:
    """Start the book of a feed that has no snapshots: its first packet is taken for one, flagged inferred."""
    begun = False
    for batch in batches:
        if not begun and len(batch):
            begun = True
            counts["snapshots_inferred"] += 1
            end = int(np.argmax(batch.flags & PACKET_END != 0)) + 1
            flags = batch.flags.copy()
            flags[:end] |= SNAPSHOT | INFERRED
            batch = insert(replace(batch, flags=flags), np.zeros(1, np.int64), RESET, 0)
        yield batch


class Ordered(NamedTuple):
    """Tape rows with what they are merged by."""

    order: I64
    data: Columns


def _columns(arrays: Sequence[npt.NDArray[Any]]) -> Columns:
    ts, ts_local, kind, flags, price, qty = arrays
    return Columns(ts, ts_local, kind, flags, price, qty)


def merged(feeds: Sequence[Iterator[Ordered]]) -> Iterator[Columns]:
    """Rows of all feeds by their order; where it is equal the earlier feed's come first.

    All rows of a packet must have one order: then packets stay whole.
    """
    waiting: list[list[Ordered]] = [[] for _ in feeds]
    live = [True] * len(feeds)
    while any(live):
        for i, feed in enumerate(feeds):
            if live[i] and not waiting[i]:
                _refill(feed, waiting[i], live, i)
        ends = [int(waiting[i][-1].order[-1]) for i in range(len(feeds)) if live[i]]
        horizon = min(ends) if ends else np.iinfo(np.int64).max
        taken = [_take(parts, horizon) for parts in waiting]
        if any(len(t.order) for t in taken):
            yield _sorted(taken)
            continue
        for i, feed in enumerate(feeds):  # all that waits ends at the horizon: only more rows can move it
            if live[i] and int(waiting[i][-1].order[-1]) == horizon:
                _refill(feed, waiting[i], live, i)
    rest = [_take(parts, np.iinfo(np.int64).max) for parts in waiting]
    if any(len(t.order) for t in rest):
        yield _sorted(rest)


def _refill(feed: Iterator[Ordered], parts: list[Ordered], live: list[bool], i: int) -> None:
    for part in feed:
        if len(part.order):
            parts.append(part)
            return
    live[i] = False


_NOTHING: Final = Ordered(np.empty(0, np.int64), columns([]))


def _take(parts: list[Ordered], horizon: int) -> Ordered:
    """Remove and return the rows before the horizon."""
    if not parts:
        return _NOTHING
    order = np.concatenate([p.order for p in parts])
    whole = [np.concatenate(c) for c in zip(*(p.data for p in parts), strict=True)]
    cut = int(np.searchsorted(order, horizon, "left"))
    parts[:] = [Ordered(order[cut:], _columns([c[cut:] for c in whole]))] if cut < len(order) else []
    return Ordered(order[:cut], _columns([c[:cut] for c in whole]))


def _sorted(parts: list[Ordered]) -> Columns:
    filled = [p for p in parts if len(p.order)]
    if len(filled) == 1:
        return filled[0].data
    index = np.argsort(np.concatenate([p.order for p in filled]), kind="stable")
    return _columns([np.concatenate(c)[index] for c in zip(*(p.data for p in filled), strict=True)])
