"""The end of every import: rows on the tape in time order, counted, checked as ``data check`` does, and reported."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from tidewright.market.check import check_tape
from tidewright.market.clock import MILLISECOND
from tidewright.market.codes import GAP, PACKET_END, TRADE_BUY, TRADE_UNKNOWN
from tidewright.market.errors import DataError
from tidewright.market.importers.assumed_quotes import AssumedQuotes
from tidewright.market.importers.feeds import Batches, Feed, Ordered, in_order, merged
from tidewright.market.importers.receipt_clock import ReceiptClock, estimate
from tidewright.market.importers.report import ImportReport, Progress, raise_receipts
from tidewright.market.importers.steps import StepSurvey, Where, to_lots, to_ticks
from tidewright.market.instrument import Instrument
from tidewright.market.tape import I64, Columns, Tape
from tidewright.market.tape_writer import TapeWriter

_MOST_SAMPLES: Final = 2_000_000  # messages the receiver's clock is estimated from; more are thinned out
_SURVEY_SHARE: Final = 0.45  # of the time, for the progress
_CHECK_FROM: Final = 0.95


class MakeInstrument(Protocol):
    """Makes the instrument of the tick and lot that were inferred from the data, and says of what."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Where tick, lot and filters come from, once it was made."""
        ...

    def __call__(self, tick: str, lot: str) -> Instrument:
        """The instrument."""
        ...


class RowSink:
    """Hands rows to a writer: venue time is kept from falling, receipts from lying before it, and all is counted.

    Attributes
    ----------
    packets, trades, gaps, raised_receipts, raised_times
        Counts of what was written and corrected; ``highest_raise_ns`` is the most a venue time was raised by.
    """

    def __init__(self, writer: TapeWriter) -> None:
        self.writer = writer
        self.packets = self.trades = self.gaps = self.raised_receipts = self.raised_times = 0
        self.highest_raise_ns = 0
        self._last_ts = 0

    def write(self, data: Columns) -> None:
        """Write whole packets."""
        if not len(data.ts):
            return
        ts = np.maximum.accumulate(np.maximum(data.ts, self._last_ts))
        raised = ts - data.ts
        self.raised_times += int(np.sum(raised > 0))
        self.highest_raise_ns = max(self.highest_raise_ns, int(raised.max()))
        self._last_ts = int(ts[-1])
        data, early = raise_receipts(data._replace(ts=ts))
        self.raised_receipts += early
        self.packets += int(np.sum(data.flags & PACKET_END != 0))
        self.trades += int(np.sum((data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN)))
        self.gaps += int(np.sum(data.kind == GAP))
        self.writer.append(data)

    def notes(self) -> dict[str, Any]:
        """What was corrected."""
        return {
            "venue_times_raised": self.raised_times,
            "venue_time_highest_raise_ms": round(self.highest_raise_ns / MILLISECOND, 3),
            "receipts_raised_to_venue_time": self.raised_receipts,
        }

    def finish(self, notes: dict[str, Any], begun: float) -> ImportReport:
        """Check what was written, before it gets its name.

        Parameters
        ----------
        notes
            What was inferred or corrected; goes to the tape.
        begun
            ``time.monotonic()`` at the start of the import.

        Raises
        ------
        DataError
            If the tape could not be used.
        """
        self.writer.notes = notes
        self.writer.publish()
        tape = Tape.open(self.writer.folder)
        check = check_tape(tape)
        if not check.usable:
            raise DataError(f"{tape.meta['source']}: nothing usable came out: {'; '.join(check.problems)}")
        return ImportReport(
            str(self.writer.path),
            tape.instrument.symbol,
            self.writer.rows,
            self.packets,
            self.trades,
            self.gaps,
            notes,
            round(time.monotonic() - begun, 2),
            str(tape.meta["detail"]),
            {"usable": check.usable, "findings": check.findings},
        )


class Recording(NamedTuple):
    """What an importer found out about its files.

    Attributes
    ----------
    source
        For people: format and files.
    detail
        What the recording holds, e.g. ``"L2+trades"``.
    feeds
        Its feeds; at equal times the earlier one's rows come first.
    make_instrument
        Instrument of the tick and lot that were inferred from the data; given steps are the importer's business.
    counts
        Filled while the feeds are read; put into the notes.
    notes
        More notes.
    """

    source: str
    detail: str
    feeds: Sequence[Feed]
    make_instrument: MakeInstrument
    counts: dict[str, int]
    notes: dict[str, Any]


def write_recording(
    recording: Recording,
    out: str | Path,
    *,
    base_latency_ns: int = MILLISECOND,
    quote_ticks: int = 0,
    progress: Progress | None = None,
) -> ImportReport:
    """Measure the feeds, then write them to a tape.

    Parameters
    ----------
    out
        The tape folder, which must not exist.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.
    quote_ticks
        Over 0: assumed best quotes this many ticks apart are put around every print.
    progress
        Told the share done.

    Raises
    ------
    DataError
        If the files are damaged or hold nothing usable. Nothing is written then.
    UsageError
        If ``out`` exists.
    """
    begun = time.monotonic()
    steps, skew = _survey(recording, base_latency_ns, progress)
    for name in recording.counts:  # what the first reading counted is counted again by the second
        recording.counts[name] = 0
    instrument = recording.make_instrument(steps.tick_size, steps.lot_size)
    quotes = AssumedQuotes(quote_ticks) if quote_ticks else None
    detail = recording.detail
    if quotes:  # "bars 1m (inferred prints, assumed quotes)"
        detail = f"{detail[:-1]}, assumed quotes)" if detail.endswith(")") else f"{detail} (assumed quotes)"
    rounded = [0]
    clock = (
        skew.notes() if skew else {"receipts": "not recorded: a feed latency has to be assumed (backtest --feed 30ms)"}
    )
    with TapeWriter(out, instrument, detail=detail, source=recording.source) as writer:
        sink = RowSink(writer)
        readers = [feed.read(_part(progress, i, recording.feeds, 1)) for i, feed in enumerate(recording.feeds)]
        for data in merged([_whole_steps(reader, instrument, skew, rounded) for reader in readers]):
            sink.write(quotes.around(data) if quotes else data)
        if not writer.rows:
            raise DataError(f"{recording.source} holds no usable row")
        notes = {
            **recording.counts,
            "quantities_rounded_up_to_a_lot": rounded[0],
            **sink.notes(),
            **clock,
            **(quotes.notes() if quotes else {}),
            **recording.make_instrument.notes,
            **recording.notes,
        }
        report = sink.finish(notes, begun)
    if progress is not None:
        progress(1.0)
    return report


def _part(progress: Progress | None, feed: int, feeds: Sequence[Feed], reading: int) -> Progress | None:
    """Progress of one feed's first or second reading."""
    if progress is None:
        return None
    low, high = ((0.0, _SURVEY_SHARE), (_SURVEY_SHARE, _CHECK_FROM))[reading]
    if reading == 1:  # feeds are read side by side: the first one stands for all
        return (lambda done: progress(low + (high - low) * done)) if feed == 0 else None
    return lambda done: progress(low + (high - low) * (feed + done) / len(feeds))


def _survey(
    recording: Recording, base_latency_ns: int, progress: Progress | None
) -> tuple[StepSurvey, ReceiptClock | None]:
    """Decimals of prices and quantities, and the receiver's clock if there are receipts."""
    steps = StepSurvey()
    times: list[I64] = []
    receipts: list[I64] = []
    for i, feed in enumerate(recording.feeds):
        for batch in in_order(feed.read(_part(progress, i, recording.feeds, 0))):
            priced = batch.priced
            steps.add(batch.price[priced], batch.qty[priced])
            timed = (batch.flags & PACKET_END != 0) & (batch.ts_local != 0)
            times.append(batch.ts[timed])
            receipts.append(batch.ts_local[timed])
    if not times:
        raise DataError(f"{recording.source} holds no usable row")
    ts, local = np.concatenate(times), np.concatenate(receipts)
    if not len(ts):
        return steps, None
    thin = max(1, len(ts) // _MOST_SAMPLES)
    return steps, estimate(local[::thin], ts[::thin], base_latency_ns)


def _whole_steps(
    batches: Batches, instrument: Instrument, clock: ReceiptClock | None, rounded: list[int]
) -> Iterator[Ordered]:
    """Ticks and lots of a feed's rows, and receipts on the venue's clock.

    A feed keeps its order, so where its venue time falls it is merged by the highest before.
    """
    last = 0
    for batch in in_order(batches):
        priced = batch.priced
        ticks = np.zeros(len(batch), np.int64)
        lots = np.zeros(len(batch), np.int64)
        where = Where(batch.path, batch.line[priced], batch.unit)
        ticks[priced] = to_ticks(batch.price[priced], instrument.tick_size, where)
        lots[priced], off = to_lots(batch.qty[priced], instrument.lot_size, where)
        rounded[0] += off
        local = batch.ts_local
        if clock is not None and len(clock.times):
            local = np.where(local == 0, 0, clock.correct(local))
        order = np.maximum.accumulate(np.maximum(batch.ts, last))
        last = int(order[-1])
        yield Ordered(order, Columns(batch.ts, local, batch.kind, batch.flags, ticks, lots))
