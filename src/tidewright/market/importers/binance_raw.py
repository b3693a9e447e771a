"""Import of Binance captures, spot and futures: depth, trades, bookTicker, mark price and REST snapshots as raw lines.

The capture is read twice: first everything is checked and measured (symbol, steps, clock:
:mod:`tidewright.market.importers.binance_survey`), then rows are written. What is damaged is found in the first pass,
before anything is on the disk.

Futures are told by their messages (``pu`` of a depth update, ``X`` of a trade) and COIN-M by its symbols; how their
streams differ is said in :mod:`tidewright.market.importers.futures_stream`. ``aggTrade`` stands in where a capture
holds no ``trade``.

Spot's ``bookTicker`` carries no venue time. Such a row is placed at its corrected receipt less the shortest latency
(the latest it can have been sent), but never before the venue time of the message received before it nor after that of
the message received after it, so order of receipt is kept.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.binance_stream import BinanceStream, venue_ns
from tidewright.market.clock import MILLISECOND
from tidewright.market.codes import BEST_ASK, BEST_BID
from tidewright.market.errors import DataError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.binance_survey import Survey
from tidewright.market.importers.contracts import InstrumentMaker, parse_kind
from tidewright.market.importers.futures_stream import FuturesStream
from tidewright.market.importers.raw_lines import read_lines
from tidewright.market.importers.receipt_clock import ReceiptClock, estimate
from tidewright.market.importers.report import ImportReport, Progress, existing_files, part_of, step_text
from tidewright.market.importers.writing import RowSink
from tidewright.market.tape import Columns, concatenate
from tidewright.market.tape_writer import TapeWriter

_CHUNK: Final = 20_000  # lines between two writes
_VENUES: Final = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}


def import_binance_raw(
    files: list[str | Path],
    out: str | Path,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    kind: str | None = None,
    contract_size: str | None = None,
    base_latency_ns: int = MILLISECOND,
    exchange_info: ExchangeInfo | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Write a tape from the capture of one symbol.

    Parameters
    ----------
    files
        The files of one stream, in any order; they are put in order of their first receipt.
    out
        The tape folder, which must not exist.
    tick_size, lot_size
        Decimal texts; else the finest decimal of the prices, and the decimals that 99.9 % of the quantities fit.
    symbol
        Whose messages to take where a capture holds several.
    venue
        Name; else ``binance``, ``binanceusdm`` or ``binancecoinm``.
    kind, contract_size
        ``spot``, ``linear`` or ``inverse``, else told by symbol and messages; and the size of a contract.
    exchange_info
        What Binance states of its instruments: tick, lot, filters, kind and contract size are taken from it.
    base_latency_ns
        Shortest latency assumed where the receiver's clock has to be corrected, ns.
    progress
        Told the share done.

    Raises
    ------
    DataError
        If a file is missing, cut off or malformed, or holds several symbols and none was chosen. Nothing is written.
    UsageError
        If ``out`` exists.
    """
    begun = time.monotonic()
    wanted = parse_kind(kind)
    paths = sorted(existing_files(files), key=_first_receipt)
    tick = tick_size
    if exchange_info is not None and tick is None:
        tick = exchange_info.instrument(symbol or _first_symbol(paths)).tick_size
    survey = Survey(symbol, tick)
    survey.read(paths, progress)
    symbol = symbol or next(iter(survey.symbols))
    concluded = wanted or survey.concluded_kind(symbol)
    clock = estimate(np.array(survey.receipts, np.int64), np.array(survey.times, np.int64), base_latency_ns)
    survey.receipts, survey.times = [], []
    venue = venue or _VENUES[concluded]
    make = InstrumentMaker(venue, symbol, tick_size, lot_size, concluded, contract_size, exchange_info)
    instrument = make(step_text(survey.price_decimals), step_text(survey.lot_decimals()))
    survey.require(concluded, instrument.tick_size, instrument.lot_size)
    stream = BinanceStream(instrument) if concluded == "spot" else FuturesStream(instrument)
    source = f"binance-raw: {', '.join(path.name for path in paths)}"
    counts: Counter[str] = Counter()
    with TapeWriter(out, instrument, detail=_detail(survey), source=source) as writer:
        sink = RowSink(writer)
        parts = _decode(paths, stream, survey, symbol, counts, progress)
        for data in _timed(parts, clock, untimed_tickers=concluded == "spot"):
            sink.write(data)
        if not writer.rows:
            raise DataError(f"{source} holds no usable message of {symbol}")
        counts["raised"] = sink.raised_receipts
        notes = {"instrument_kind": concluded, **make.notes, **_notes(stream, survey, clock, counts)}
        return sink.finish(notes, begun)


def _first_receipt(path: Path) -> int:
    for line in read_lines(path):
        return line.ts_local
    raise DataError(f"{path} is empty")


def _first_symbol(paths: list[Path]) -> str:
    for path in paths:
        for line in read_lines(path):
            if "s" in line.payload:
                return str(line.payload["s"])
    raise DataError(f"no message of a symbol in {', '.join(map(str, paths))}")


def _decode(
    paths: list[Path],
    stream: BinanceStream,
    survey: Survey,
    symbol: str,
    counts: Counter[str],
    progress: Progress | None,
) -> Iterator[Columns]:
    several, tickers, lines, tries = len(survey.symbols) > 1, survey.kinds["bookTicker"] > 0, 0, 0
    aggregated = not survey.kinds["trade"]
    for i, path in enumerate(paths):
        for line in read_lines(path, part_of(progress, len(paths) + i, 2 * len(paths))):
            lines += 1
            payload = line.payload
            if line.is_snapshot:
                counts["snapshots"] += 1
                ts = venue_ns(payload["T"]) if "T" in payload else 0 if stream.last_ts else survey.first_ts
                stream.on_snapshot(payload["lastUpdateId"], payload["bids"], payload["asks"], ts, line.ts_local)
            elif not several or payload.get("s") == symbol:
                stream.on_message(_as_trade(payload) if aggregated else payload, line.ts_local)
            if stream.needs_snapshot and counts["snapshots"] == survey.snapshots:
                # no snapshot is left in the capture: start from what there is
                tries += 1
                worth = "B" in payload if tickers else tries & (tries - 1) == 0  # without tickers: ever more rarely
                if worth and stream.infer_snapshot(line.ts_local, with_ticker=tickers):
                    counts["inferred"] += 1
                    tries = 0
            if lines % _CHUNK == 0:
                yield stream.take()
    yield stream.take()


def _as_trade(payload: dict[str, Any]) -> dict[str, Any]:
    """An aggregated trade as one print, told apart by its own id."""
    return {**payload, "e": "trade", "t": payload["a"]} if payload.get("e") == "aggTrade" else payload


def _timed(parts: Iterator[Columns], clock: ReceiptClock, *, untimed_tickers: bool) -> Iterator[Columns]:
    """Correct receipts and place the rows without a venue time, which are spot's tickers.

    What follows the last timed row waits for the next part.
    """
    tail, last_ts = None, 0
    for part in parts:
        data = part._replace(ts_local=clock.correct(part.ts_local))
        if not untimed_tickers:
            yield data
            continue
        data = data if tail is None else concatenate([tail, data])
        timed = np.flatnonzero((data.kind != BEST_BID) & (data.kind != BEST_ASK))
        if not len(timed):
            tail = data
            continue
        cut = int(timed[-1]) + 1
        tail = data.rows(cut, len(data.ts))
        placed = place_untimed(data.rows(0, cut), clock.base_latency_ns, last_ts)
        last_ts = int(placed.ts[-1])
        yield placed
    if tail is not None and len(tail.ts):
        yield place_untimed(tail, clock.base_latency_ns, last_ts)


def place_untimed(data: Columns, latency_ns: int, last_ts: int) -> Columns:
    """Give best-bid/ask rows a venue time between their neighbours (see the module's text).

    Parameters
    ----------
    data
        Rows in order of receipt; ``ts`` of timed rows never falls.
    latency_ns
        Shortest latency, ns.
    last_ts
        Venue time before the first row, ns.
    """
    untimed = (data.kind == BEST_BID) | (data.kind == BEST_ASK)
    if not untimed.any():
        return data
    guess = data.ts_local - latency_ns
    low = np.maximum.accumulate(np.where(untimed, last_ts, data.ts))
    high = np.minimum.accumulate(np.where(untimed, np.iinfo(np.int64).max, data.ts)[::-1])[::-1]
    placed = np.where(untimed, np.minimum(np.maximum(guess, low), high), data.ts)
    return data._replace(ts=np.maximum.accumulate(placed))


def _detail(survey: Survey) -> str:
    trades = ("trade", "trades") if survey.kinds["trade"] else ("aggTrade", "aggregated trades")
    parts = (("depthUpdate", "L2"), trades, ("bookTicker", "best bid/ask"), ("markPriceUpdate", "mark price"))
    return "+".join(word for kind, word in parts if survey.kinds[kind])


def _notes(stream: BinanceStream, survey: Survey, clock: ReceiptClock, counts: Counter[str]) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "messages": {**survey.kinds, "snapshot": survey.snapshots},
        "sequence_gaps": stream.gaps,
        "stale_messages_dropped": stream.stale,
        "duplicate_trades_dropped": stream.duplicates,
        "missing_trade_ids": stream.missing_trades,
        "venue_times_raised": stream.clamped,
        "quantities_rounded_up_to_a_lot": stream.off_grid,
        "snapshots_inferred": counts["inferred"],
        "receipts_raised_to_venue_time": counts["raised"],
        **clock.notes(),
    }
    if isinstance(stream, FuturesStream):
        notes["prints_of_insurance_fund_and_deleveraging_dropped"] = stream.other_trades
    elif survey.kinds["bookTicker"]:
        notes["book_ticker_time"] = "inferred: receipt less the shortest latency, kept between its neighbours"
    if stream.needs_snapshot:
        notes["ends_in_a_gap"] = True
    return notes
