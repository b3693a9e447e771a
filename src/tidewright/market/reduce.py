"""A tape with less on it: best quotes and trades, trades alone, or bars, so that one can see what coarse data costs.

Each way keeps the times and receipts of what it keeps, and gives rows as an import of such a recording would:

* best quotes: a best-bid and a best-ask row where a side of the touch changed, at the end of that packet;
* trades: the prints alone, with the touch assumed around them;
* bars: four inferred prints a bar, known at its end, with the touch assumed around them.
"""

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import iso, parse_duration
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    FUNDING,
    GAP,
    INFERRED,
    MARK,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_UNKNOWN,
)
from tidewright.market.detail import L2, QUOTES, SNAPSHOTS, detail_of
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.assumed_quotes import AssumedQuotes
from tidewright.market.importers.bars import bar_path, bar_times, shared_lots, timeframe_text
from tidewright.market.importers.report import ImportReport, Progress
from tidewright.market.importers.writing import RowSink
from tidewright.market.tape import I64, Columns, Tape, concatenate, effective_receipt
from tidewright.market.tape_writer import TapeWriter
from tidewright.market.touch import IN_GAP, LOCKED, WHOLE, Touches, touches

BEST_QUOTES: Final = "best-quotes"
TRADES: Final = "trades"
CHOICES: Final = "best-quotes, trades, or bars:LENGTH such as bars:1m"
_WRITTEN_AT_ONCE: Final = 1 << 20  # rows

Mask = npt.NDArray[np.bool_]


class _Reduced(NamedTuple):
    """What a reduction gives: its rows, how the tape calls them, and what was assumed."""

    data: Columns
    detail: str
    notes: dict[str, Any]


def reduce_tape(
    tape: Tape, level: str, out: str | Path, *, quote_ticks: int = 0, progress: Progress | None = None
) -> ImportReport:
    """Write a tape of a lower detail level from one with a book.

    Takes the memory of the tape's rows, about three times.

    Parameters
    ----------
    tape
        Of L2 detail (book snapshots count); for trades and bars best quotes with trades will do.
    level
        "best-quotes", "trades" or "bars:LENGTH", e.g. "bars:1m".
    out
        The tape folder, which must not exist; it appears when it is complete.
    quote_ticks
        For trades and bars: ticks between the assumed quotes; 0: the tape's median spread.
    progress
        Told the share done.

    Raises
    ------
    UsageError
        If there is no such level, the tape's own is no higher, or ``out`` exists.
    DataError
        If nothing is left: a tape without trades, or shorter than a bar.
    """
    begun = time.monotonic()
    source = detail_of(tape.meta)
    if source.level not in (L2, SNAPSHOTS, QUOTES) or (level == BEST_QUOTES and source.level == QUOTES):
        raise UsageError(f"{tape.path} holds {source.text or 'nothing known'}: it cannot be reduced to {level}")
    length_ns = _bar_length(level)
    if Path(out).exists():
        raise UsageError(f"{out} already exists; choose another name or delete it")
    book = touches(tape.data)
    if progress is not None:
        progress(0.4)
    if level == BEST_QUOTES:
        reduced = _best_quotes(tape, book, "trades" in source.text)
    else:
        reduced = _prints(tape, length_ns, quote_ticks or _median_spread(book))
    if not len(reduced.data.ts):
        raise DataError(f"nothing of {tape.path} is left at {level}")
    words = f"reduced to {level} from {tape.path.name} ({source.text}; {tape.meta['source']})"
    with TapeWriter(out, tape.instrument, detail=reduced.detail, source=words) as writer:
        sink = RowSink(writer)
        for part in _packets(reduced.data):
            sink.write(part)
            if progress is not None:
                progress(0.5 + 0.5 * writer.rows / len(reduced.data.ts))
        kept = {name: note for name, note in tape.meta["notes"].items() if name == "filters"}  # the instrument's
        return sink.finish({"reduced_from_rows": len(tape), **kept, **reduced.notes}, begun)


def _bar_length(level: str) -> int:
    """Length of the bars, ns; 0 for the other levels."""
    if level in (BEST_QUOTES, TRADES):
        return 0
    found = re.fullmatch(r"bars:(.+)", level)
    if not found:
        raise UsageError(f"detail must be {CHOICES}, was {level!r}")
    length_ns = parse_duration(found[1])
    if length_ns <= 0:
        raise UsageError(f"bars must be longer than 0, were {found[1]}")
    return length_ns


def _packets(data: Columns) -> list[Columns]:
    """The rows in pieces of whole packets."""
    ends = np.flatnonzero(data.flags & PACKET_END) + 1
    cuts = np.unique(ends[np.searchsorted(ends, np.arange(_WRITTEN_AT_ONCE, len(data.ts), _WRITTEN_AT_ONCE))])
    bounds = [0, *cuts.tolist(), len(data.ts)]
    return [data.rows(a, b) for a, b in pairwise(bounds) if b > a]


def _is_print(kind: npt.NDArray[np.uint8]) -> Mask:
    return (kind >= TRADE_BUY) & (kind <= TRADE_UNKNOWN)


# -- best quotes ------------------------------------------------------------------------------------------------------


def _best_quotes(tape: Tape, book: Touches, trades: bool) -> _Reduced:
    data = tape.data
    kept = np.isin(data.kind, (RESET, GAP, MARK, FUNDING)) | _is_print(data.kind)
    quotes = [_side(data, book, side) for side in range(2)]
    place = np.concatenate([np.flatnonzero(kept) * 4, *(row * 4 + 1 + side for side, (row, _) in enumerate(quotes))])
    order = np.argsort(place, kind="stable")
    rows = _picked(concatenate([_picked(data, np.flatnonzero(kept)), *(rows for _, rows in quotes)]), order)
    packet = np.searchsorted(book.row, place[order] // 4)
    ends = np.diff(packet, append=-1) != 0
    flags = np.where(ends, rows.flags | PACKET_END, rows.flags & ~np.uint8(PACKET_END)).astype(np.uint8)
    return _Reduced(
        rows._replace(flags=flags),
        "best bid/ask+trades" if trades else "best bid/ask",
        {"book": "best quotes only, reduced from a deeper book"},
    )


def _side(data: Columns, book: Touches, side: int) -> tuple[I64, Columns]:
    """Best-quote rows of a side, and the rows after which they come: the ends of packets that changed its touch."""
    best = book.bid if side == 0 else book.ask
    lots = _best_quantity(data, book, side)
    first = np.concatenate(([0], book.row[:-1] + 1))
    told = book.state != IN_GAP
    anew = np.add.reduceat(np.isin(data.kind, (RESET, GAP)), first) > 0  # the book is told anew, as a snapshot
    anew |= np.concatenate(([True], ~told[:-1]))
    emptied = np.cumsum(np.add.reduceat(data.kind == RESET, first))
    open_ = np.flatnonzero(told)
    price_before, lots_before = (np.concatenate(([0], column[open_][:-1])) for column in (best, lots))
    price_before[np.diff(emptied[open_], prepend=0) > 0] = 0
    differs = (best[open_] != price_before) | (lots[open_] != lots_before) | anew[open_]
    packets = open_[differs & ((best[open_] > 0) | (price_before > 0))]
    # a side that has gone: nothing stands at the farthest price that was ever best, nor at better ones
    if side == 0:
        farthest = np.minimum.accumulate(np.where(best > 0, best, np.iinfo(np.int64).max))
    else:
        farthest = np.maximum.accumulate(best)
    row = book.row[packets]
    return row, Columns(
        data.ts[row],
        effective_receipt(data)[row] if data.ts_local.any() else np.zeros(len(row), np.int64),
        np.full(len(row), BEST_BID if side == 0 else BEST_ASK, np.uint8),
        np.where(anew[packets], SNAPSHOT, 0).astype(np.uint8),
        np.where(best[packets] > 0, best[packets], farthest[packets]),
        lots[packets],
    )


def _best_quantity(data: Columns, book: Touches, side: int) -> I64:
    """Lots at the best price of a side after every packet; 0 where the side is empty."""
    kinds = (BID, BEST_BID) if side == 0 else (ASK, BEST_ASK)
    row = np.flatnonzero((data.kind == kinds[0]) | (data.kind == kinds[1]))
    best = book.bid if side == 0 else book.ask
    quantity = np.zeros(len(best), np.int64)
    if not len(row):
        return quantity
    prices = np.unique(data.price[row])
    size = len(data.ts) + 1
    keys = np.searchsorted(prices, data.price[row]) * size + row  # the rows of a level in their order, level by level
    keys.sort()
    there = np.flatnonzero(best > 0)
    wanted = np.searchsorted(prices, best[there]) * size + book.row[there]
    newest = keys[np.searchsorted(keys, wanted, side="right") - 1]
    quantity[there] = data.qty[newest % size]
    return quantity


# -- prints alone -----------------------------------------------------------------------------------------------------


def _median_spread(book: Touches) -> int:
    good = (book.state == WHOLE) | (book.state == LOCKED)
    return max(1, int(np.median((book.ask - book.bid)[good]))) if good.any() else 1


def _prints(tape: Tape, length_ns: int, quote_ticks: int) -> _Reduced:
    data = tape.data
    quotes = AssumedQuotes(quote_ticks)
    rows = np.flatnonzero(_is_print(data.kind))
    if not len(rows):
        raise DataError(f"{tape.path} holds no trades")
    notes: dict[str, Any] = {}
    if length_ns:
        prints, notes = _bars(tape, rows, length_ns)
        detail = f"bars {timeframe_text(length_ns)} (inferred prints, assumed quotes)"
    else:
        prints = _picked(data, np.flatnonzero(_is_print(data.kind) | (data.kind == GAP)))
        prints = prints._replace(flags=prints.flags | np.uint8(PACKET_END))
        detail = "trades (assumed quotes)"
    return _Reduced(quotes.around(prints), detail, {**notes, **quotes.notes()})


def _picked(data: Columns, rows: I64) -> Columns:
    """The rows at some places, in that order."""
    return Columns(
        data.ts[rows], data.ts_local[rows], data.kind[rows], data.flags[rows], data.price[rows], data.qty[rows]
    )


def _bars(tape: Tape, rows: I64, length_ns: int) -> tuple[Columns, dict[str, Any]]:
    """Four prints of each whole bar in which something was traded, and the tape's gaps between them."""
    data = tape.data
    bar = data.ts[rows] // length_ns
    whole = (bar * length_ns >= tape.start_ns) & ((bar + 1) * length_ns <= tape.end_ns + 1)
    rows, bar = rows[whole], bar[whole]
    if not len(rows):
        span = f"{iso(tape.start_ns)} and {iso(tape.end_ns)}"
        raise DataError(f"no whole bar of {timeframe_text(length_ns)} with trades between {span}")
    first = np.flatnonzero(np.diff(bar, prepend=-1) != 0)
    last = np.append(first[1:], len(bar)) - 1
    price, lots = data.price[rows], data.qty[rows]
    prices = np.stack(
        [price[first], np.maximum.reduceat(price, first), np.minimum.reduceat(price, first), price[last]], 1
    )
    start = bar[first] * length_ns
    quantity = shared_lots(np.add.reduceat(lots, first)).reshape(-1)
    traded = quantity > 0
    ts = bar_times(start, length_ns).reshape(-1)[traded]
    known = np.repeat(start + length_ns, 4)[traded]
    gaps = data.ts[data.kind == GAP]
    at = np.concatenate([ts, gaps])
    order = np.argsort(at, kind="stable")
    count, holes = len(ts), len(gaps)
    prints = Columns(
        at,
        np.concatenate([known, gaps]),
        np.repeat(np.array([TRADE_UNKNOWN, GAP], np.uint8), (count, holes)),
        np.repeat(np.array([PACKET_END | INFERRED, PACKET_END], np.uint8), (count, holes)),
        np.concatenate([bar_path(prices).reshape(-1)[traded], np.zeros(holes, np.int64)]),
        np.concatenate([quantity[traded], np.zeros(holes, np.int64)]),
    )
    notes = {
        "bars": len(start),
        "trades_outside_whole_bars": int(np.sum(~whole)),
        "receipts": "a bar is known at its end",
    }
    return _picked(prints, order), notes
