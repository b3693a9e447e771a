"""Bars (open, high, low, close, volume) as tape rows.

A tape has no rows for bars, so a bar becomes four prints of unknown side, flagged inferred:

* the open at the bar's start, the first extreme after a third of it, the second after two thirds, the close in its last
  nanosecond; a bar that rose touches its low first, one that fell its high;
* each of a quarter of the volume, in whole lots, the rest with the close; prints of no lots are left out, and a bar
  without volume has none;
* all with the bar's end as receipt: nobody knew its prices before, so no decision inside a bar may see them.

Missing bars are a gap from the end of the last one. What happened inside a bar, and all of the book, stays unknown.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import DAY, HOUR, MINUTE, SECOND
from tidewright.market.codes import GAP, INFERRED, PACKET_END, TRADE_UNKNOWN
from tidewright.market.errors import DataError
from tidewright.market.importers.csv_table import Table
from tidewright.market.importers.feeds import Batch, Batches, Feed
from tidewright.market.importers.report import ImportReport, Progress
from tidewright.market.importers.steps import StepSurvey
from tidewright.market.importers.writing import MakeInstrument, Recording, write_recording
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64, I64

_UNITS: Final = (("w", 7 * DAY), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND))
_SHARE: Final = 4  # prints a bar


BAR_NOTES: Final = {
    "prints": "inferred: four a bar, at its open, low, high and close (high before low in a bar that fell)",
    "receipts": "assumed: a bar is known at its end",
}


class Bars(NamedTuple):
    """Some bars.

    Attributes
    ----------
    table
        Where they stand.
    start
        int64 ns.
    prices
        float64[n, 4]: open, high, low, close.
    volume
        float64, in units of the quantity.
    """

    table: Table
    start: I64
    prices: F64
    volume: F64

    @classmethod
    def of(cls, table: Table, start: I64, names: tuple[str, str, str, str], volume: str) -> "Bars":
        """Bars from the columns of open, high, low, close and volume.

        Raises
        ------
        DataError
            If a price is not > 0, the volume is negative, or the high is under, the low over another price.
        """
        prices = np.column_stack([table.prices(name) for name in names])
        highest, lowest = prices.max(axis=1), prices.min(axis=1)
        table.require(prices[:, 1] == highest, names[1], "the highest of open, high, low and close")
        table.require(prices[:, 2] == lowest, names[2], "the lowest of open, high, low and close")
        return cls(table, start, prices, table.quantities(volume))


def timeframe(starts: I64) -> int:
    """Length of the bars, ns: the most frequent distance of their starts; 0 if there are fewer than two."""
    if len(starts) < 2:
        return 0
    values, counts = np.unique(np.diff(starts), return_counts=True)
    return int(values[np.argmax(counts)])


def timeframe_text(length_ns: int) -> str:
    """``1m``, ``4h``, ``1d``, ..."""
    for unit, size in _UNITS:
        if length_ns >= size and length_ns % size == 0:
            return f"{length_ns // size}{unit}"
    return f"{length_ns / SECOND:g}s"


def bar_prints(parts: Iterator[Bars], length_ns: int, lot: float, counts: dict[str, int]) -> Batches:
    """The prints of bars in order of time, and gaps where bars are missing.

    Parameters
    ----------
    length_ns
        Length of a bar, ns.
    lot
        Smallest quantity: the volume is shared out in whole lots.
    counts
        ``bars``, ``bars_without_volume`` and ``bars_missing`` are counted in it.
    """
    last_end = 0
    for part in parts:
        count = len(part.start)
        if not count:
            continue
        part.table.require(part.start >= last_end, part.table.frame.columns[0], "after the end of the bar before")
        ends_before = np.concatenate(([last_end or part.start[0]], part.start[:-1] + length_ns))
        missing = (part.start - ends_before) // length_ns
        counts["bars"] += count
        counts["bars_without_volume"] += int(np.sum(part.volume == 0))
        counts["bars_missing"] += int(missing.sum())
        last_end = int(part.start[-1]) + length_ns
        yield _prints(part, length_ns, lot, ends_before, missing > 0)


def _prints(part: Bars, length_ns: int, lot: float, gap_at: I64, gap: npt.NDArray[np.bool_]) -> Batch:
    count = len(part.start)
    path = bar_path(part.prices)
    quantity = np.zeros((count, 1 + _SHARE))
    quantity[:, 1:] = shared_lots(np.rint(part.volume / lot)) * lot
    ts = np.concatenate([gap_at[:, None], bar_times(part.start, length_ns)], axis=1)
    keep = quantity > 0
    keep[:, 0] = gap
    local = np.repeat((part.start + length_ns)[:, None], 1 + _SHARE, 1)
    local[:, 0] = gap_at
    kind = np.full((count, 1 + _SHARE), TRADE_UNKNOWN, np.uint8)
    kind[:, 0] = GAP
    flags = np.full((count, 1 + _SHARE), PACKET_END | INFERRED, np.uint8)
    flags[:, 0] = PACKET_END
    price = np.concatenate([np.zeros((count, 1)), path], axis=1)
    line = np.repeat(part.table.line[:, None], 1 + _SHARE, 1)
    return Batch(
        ts[keep],
        ts[keep],
        local[keep],
        kind[keep],
        flags[keep],
        price[keep],
        quantity[keep],
        line[keep],
        part.table.path,
        part.table.unit,
    )


def bar_path(prices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The four prices of each bar in the order they are taken to have been traded; in and out (n, 4)."""
    opened, high, low, closed = prices.T
    rose = (closed >= opened)[:, None]
    return np.where(rose, np.stack([opened, low, high, closed], 1), np.stack([opened, high, low, closed], 1))


def bar_times(start: I64, length_ns: int) -> I64:
    """When the four prints of each bar are taken to have happened; int64 ns, (n, 4)."""
    return start[:, None] + np.array([0, length_ns // 3, 2 * length_ns // 3, length_ns - 1])


def shared_lots(lots: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The whole lots of each of the four prints, the rest with the last one; (n, 4)."""
    quarter = lots // _SHARE
    shares = np.repeat(quarter[:, None], _SHARE, 1)
    shares[:, -1] = lots - (_SHARE - 1) * quarter
    return shares


class _Made(NamedTuple):
    """The instrument that was made of the bars; their prints would suggest other steps."""

    instrument: Instrument
    notes: Mapping[str, Any]

    def __call__(self, tick: str, lot: str) -> Instrument:
        return self.instrument


def write_bars(
    bars: Sequence[Bars],
    out: str | Path,
    source: str,
    make_instrument: MakeInstrument,
    *,
    length_ns: int = 0,
    notes: dict[str, Any] | None = None,
    quote_ticks: int = 0,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from bars, which fit into memory.

    Parameters
    ----------
    bars
        In order of time.
    length_ns
        Length of a bar, ns; 0: the most frequent distance of their starts.
    notes
        More notes for the tape.
    quote_ticks
        Over 0: assumed best quotes this many ticks apart are put around every print.

    Raises
    ------
    DataError
        If there is none, or its length cannot be told.
    """
    last = 0
    for part in bars:
        rising = np.diff(part.start, prepend=last) > 0
        part.table.require(rising, part.table.frame.columns[0], "later than that of the bar before")
        last = int(part.start[-1]) if len(part.start) else last
    length_ns = length_ns or timeframe(np.concatenate([part.start for part in bars] or [np.empty(0, np.int64)]))
    if length_ns <= 0:
        raise DataError(f"{source}: at least two bars in order of time are needed to tell their length")
    steps = StepSurvey()
    for part in bars:
        steps.add(part.prices.reshape(-1), part.volume)
    instrument = make_instrument(steps.tick_size, steps.lot_size)
    counts = {"bars": 0, "bars_without_volume": 0, "bars_missing": 0}

    def read(told: Progress | None) -> Batches:
        done = 0
        for batch in bar_prints(iter(bars), length_ns, float(instrument.lot_size), counts):
            yield batch
            done += 1
            if told is not None:
                told(done / len(bars))

    detail = f"bars {timeframe_text(length_ns)} (inferred prints)"
    made = _Made(instrument, make_instrument.notes)
    recording = Recording(source, detail, [Feed("bars", read)], made, counts, {**BAR_NOTES, **(notes or {})})
    return write_recording(recording, out, quote_ticks=quote_ticks, progress=progress)
