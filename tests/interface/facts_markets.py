"""Markets whose truth about fills is known, as tapes in memory."""

from pathlib import Path

import numpy as np

from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape, columns

SECOND = 1_000_000_000
START = 1_767_225_600 * SECOND
MID = 100_000  # ticks: 1,000.00
HALF = 10  # ticks: the half spread is 1 bp
DEPTH = 10  # lots at each level
LEVELS = 3

Row = tuple[int, int, int, int, int, int]


def independent(minutes: int = 20, seed: int = 1) -> Tape:
    """Prints and moves of the price know nothing of each other, and no move reaches a resting order.

    A fill is worth the half spread: the mark-out is about +1 bp, the drift 0, and a symmetric maker earns money.
    """
    random = np.random.default_rng(seed)
    rows, mid = _opened(), MID
    for number in range(1, minutes * 60 * 5):
        ts = START + number * SECOND // 5
        if random.random() < 0.6:
            sell = random.random() < 0.5
            price = mid - HALF if sell else mid + HALF
            rows.append((ts, ts, TRADE_SELL if sell else TRADE_BUY, PACKET_END, price, 3))
            rows.append((ts, ts, BID if sell else ASK, PACKET_END, price, DEPTH))
        elif random.random() < 0.2:
            step = 1 if random.random() < 0.5 else -1
            rows += _moved(ts, mid, mid + step)
            mid += step
    return _tape(rows)


def sweeping(minutes: int = 30, seed: int = 1) -> Tape:
    """Every five seconds a print goes through the whole touch, and the price follows by a whole spread for good.

    Whoever was filled has lost the half spread twice: the mark-out is -1 bp, two half spreads are given back.
    """
    random = np.random.default_rng(seed)
    rows, mid = _opened(), MID
    for number in range(1, minutes * 12):
        ts = START + number * 5 * SECOND
        sell = random.random() < 0.5
        kind, away = (TRADE_SELL, -1) if sell else (TRADE_BUY, 1)
        rows.append((ts, ts, kind, 0, mid + away * HALF, DEPTH))
        rows.append((ts, ts, kind, PACKET_END, mid + away * (HALF + 1), 1))
        rows += _moved(ts, mid, mid + away * 2 * HALF)
        mid += away * 2 * HALF
    return _tape(rows)


def _opened() -> list[Row]:
    book = [(kind, price, qty) for kind, price, qty in _book(MID)]
    rows = [(START, START, RESET, 0, 0, 0)]
    rows += [(START, START, kind, SNAPSHOT, price, qty) for kind, price, qty in book]
    last = rows.pop()
    return [*rows, (*last[:3], SNAPSHOT | PACKET_END, *last[4:])]


def _book(mid: int) -> list[tuple[int, int, int]]:
    bids = [(BID, mid - HALF - k, DEPTH) for k in range(LEVELS)]
    return bids + [(ASK, mid + HALF + k, DEPTH) for k in range(LEVELS)]


def _moved(ts: int, old: int, new: int) -> list[Row]:
    fresh = _book(new)
    kept = {(kind, price) for kind, price, _ in fresh}
    gone = [(kind, price, 0) for kind, price, _ in _book(old) if (kind, price) not in kept]
    changes = gone + fresh
    return [(ts, ts, k, PACKET_END * (i == len(changes) - 1), p, q) for i, (k, p, q) in enumerate(changes)]


def _tape(rows: list[Row]) -> Tape:
    instrument = Instrument("test", "AB", "A", "B", "0.01", "0.001")
    meta = {"rows": len(rows), "detail": "made", "source": "test", "notes": {}}
    return Tape(Path(), instrument, meta, columns(rows))
