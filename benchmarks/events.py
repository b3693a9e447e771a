"""The same events for both engines: our tape, and hftbacktest's event records."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.make_tape import TRADE, Raw
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, Tape, effective_receipt
from tidewright.market.tape_writer import TapeWriter

FEED_NS: Final = 2_000_000  # both engines know a row 2 ms after it happened
INSTRUMENT: Final = Instrument(
    "benchmark", "BTCUSDT", "BTC", "USDT", "0.1", "0.001", maker_fee=20_000, taker_fee=50_000
)

# hftbacktest's record and flags, as its documentation gives them.
RECORD: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
_BOTH: Final = (1 << 31) | (1 << 30)  # processed at the exchange and locally
_BUY: Final = 1 << 29
_SELL: Final = 1 << 28
_EVENT: Final = {
    BID: 1 | _BUY,
    ASK: 1 | _SELL,
    TRADE_BUY: 2 | _BUY,
    TRADE_SELL: 2 | _SELL,
    TRADE_UNKNOWN: 2,
    BEST_BID: 5 | _BUY,
    BEST_ASK: 5 | _SELL,
    RESET: 3,
}
_SNAPSHOT_EVENT: Final = 4


def columns_of(raw: Raw) -> Columns:
    """Rows of a tape: a packet is a run of rows of one time."""
    book = np.where(raw.side > 0, BID, ASK)
    trade = np.where(raw.side > 0, TRADE_BUY, TRADE_SELL)
    kind = np.where(raw.kind == TRADE, trade, book).astype(np.uint8)
    flags = np.zeros(len(raw.ts), np.uint8)
    flags[np.append(np.diff(raw.ts) != 0, True)] = PACKET_END
    flags[: raw.nsnap] = SNAPSHOT
    flags[raw.nsnap - 1] = SNAPSHOT | PACKET_END
    lots = np.rint(raw.qty * 1_000).astype(np.int64)
    return Columns(raw.ts, raw.ts + FEED_NS, kind, flags, raw.px.astype(np.int64), lots)


def write_tape(raw: Raw, folder: Path) -> Tape:
    """The events as a tape, written anew."""
    shutil.rmtree(folder, ignore_errors=True)
    with TapeWriter(folder, INSTRUMENT, source="benchmark") as tape:
        tape.append(columns_of(raw))
    return Tape.open(folder)


def records(data: Columns, instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """hftbacktest's opening snapshot and events of a tape's rows; gaps, marks and funding have no counterpart there."""
    event = np.zeros(16, np.uint64)
    for kind, code in _EVENT.items():
        event[kind] = code | _BOTH
    kept = event[data.kind] != 0
    kind, flags = data.kind[kept], data.flags[kept]
    rows = np.zeros(int(kept.sum()), RECORD)
    rows["ev"] = event[kind]
    in_snapshot = ((flags & SNAPSHOT) != 0) & ((kind == BID) | (kind == ASK))
    side = np.where(kind == BID, _BUY, _SELL).astype(np.uint64)
    rows["ev"][in_snapshot] = (_BOTH | _SNAPSHOT_EVENT) | side[in_snapshot]
    rows["exch_ts"] = data.ts[kept]
    rows["local_ts"] = effective_receipt(data)[kept]
    tick, lot = Fraction(instrument.tick_size), Fraction(instrument.lot_size)
    decimals = len(instrument.tick_size.partition(".")[2])
    rows["px"] = np.round(data.price[kept] * float(tick), decimals)
    rows["qty"] = np.round(data.qty[kept] * float(lot), 8)
    opening = int(np.argmin(in_snapshot)) if not in_snapshot.all() else len(rows)
    return rows[:opening].copy(), rows[opening:].copy()
