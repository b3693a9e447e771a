"""A small made-up market as a tape: ten levels a side around 100.00, level changes and prints for a minute."""

from pathlib import Path

import numpy as np

from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.instrument import Filters, Instrument
from tidewright.market.tape import Tape, columns
from tidewright.market.tape_writer import TapeWriter

START = 1_767_225_600 * SECOND
INSTRUMENT = Instrument(
    "binance",
    "BTCUSDT",
    "BTC",
    "USDT",
    "0.01",
    "0.00001",
    filters=Filters(min_price_ticks=1, max_price_ticks=100_000_000, max_qty_lots=900_000_000, min_notional=500_000_000),
)
BEST_BID, BEST_ASK = 9_999, 10_001


def make_tape(path: Path, seconds: int = 60, seed: int = 1, instrument: Instrument = INSTRUMENT) -> Tape:
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int, int, int]] = [(START, START, RESET, 0, 0, 0)]
    for level in range(10):
        rows.append((START, START, BID, SNAPSHOT, BEST_BID - level, 100_000 + 1_000 * level))
        rows.append((START, START, ASK, SNAPSHOT, BEST_ASK + level, 100_000 + 1_000 * level))
    rows[-1] = (*rows[-1][:3], SNAPSHOT | PACKET_END, *rows[-1][4:])
    for step in range(1, seconds * 4 + 1):
        ts = START + step * 250 * MILLISECOND
        receipt = ts + 10 * MILLISECOND
        if rng.random() < 0.3:
            buy = rng.random() < 0.5
            price = BEST_ASK if buy else BEST_BID
            rows.append(
                (ts, receipt, TRADE_BUY if buy else TRADE_SELL, PACKET_END, price, int(rng.integers(1, 50_000)))
            )
        count = int(rng.integers(1, 4))
        for i in range(count):
            bid = rng.random() < 0.5
            level = int(rng.integers(0, 10))
            qty = int(rng.integers(50_000, 200_000))
            price = BEST_BID - level if bid else BEST_ASK + level
            rows.append((ts, receipt, BID if bid else ASK, PACKET_END if i == count - 1 else 0, price, qty))
    with TapeWriter(path, instrument, source="made up") as writer:
        writer.append(columns(rows))
    return Tape.open(path)
