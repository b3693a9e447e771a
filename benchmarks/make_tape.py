"""The benchmark's market: a seeded BTCUSDT-like book of 2,000,000 events in 10 hours, tick 0.1, lot 0.001.

What matters for speed is kept close to a busy perpetual: 11 % trades, a quarter of the rows removes a level, 56 % of
the rows share their time with the row before (packets), a spread of one tick, jumps of some 11 ticks that sweep a side.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

T0: Final = 1_770_000_000_000_000_000
SPAN_NS: Final = 36_000 * 1_000_000_000
DEPTH: Final = 0
TRADE: Final = 1
HALF: Final = 60_000  # ticks of room on either side of the first price
FIRST_BID: Final = 600_000
SNAPSHOT_DEPTH: Final = 1_500


class Raw(NamedTuple):
    """Events in the neutral form both engines are fed from.

    ``ts`` int64 ns, ``kind`` 0 depth and 1 trade, ``side`` +1 bid or buyer and -1 ask or seller, ``px`` int64 ticks,
    ``qty`` float64 base units (a level's new quantity or a trade's size); the first ``nsnap`` rows are a snapshot.
    """

    ts: np.ndarray
    kind: np.ndarray
    side: np.ndarray
    px: np.ndarray
    qty: np.ndarray
    nsnap: int


class _Out(NamedTuple):
    at: np.ndarray
    kind: np.ndarray
    side: np.ndarray
    px: np.ndarray
    lots: np.ndarray


@njit(cache=True)
def _exponential_lots(rng: Any, floor: Any, mean: Any) -> Any:
    return np.int64(floor + rng.exponential(mean))


@njit(cache=True)
def _put(out: Any, n: Any, at: Any, kind: Any, side: Any, px: Any, lots: Any) -> Any:
    out.at[n] = at
    out.kind[n] = kind
    out.side[n] = side
    out.px[n] = px
    out.lots[n] = lots
    return n + 1


@njit(cache=True)
def _jump(rng: Any, books: Any, best: Any, out: Any, n: Any, at: Any, side: Any) -> Any:
    """The price moves through several levels of ``side`` (0 bids, 1 asks); new quotes follow behind it."""
    away = 1 if side == 1 else -1
    sign = 1 - 2 * side
    ticks = 1 + np.int64(rng.exponential(11.0))
    n = _put(out, n, at, TRADE, -sign, best[side], books[side, best[side]])
    for step in range(ticks):
        level = best[side] + away * step
        if books[side, level] > 0:
            books[side, level] = 0
            n = _put(out, n, at, DEPTH, sign, level, 0)
    best[side] += away * ticks
    best[1 - side] = best[side] - away
    for which in (side, 1 - side):
        lots = _exponential_lots(rng, 1_000, 3_000.0)
        books[which, best[which]] = lots
        n = _put(out, n, at, DEPTH, 1 - 2 * which, best[which], lots)
    for step in range(1, ticks):
        if rng.random() < 0.35:
            level = best[1 - side] - away * step
            lots = _exponential_lots(rng, 1, 350.0)
            books[1 - side, level] = lots
            n = _put(out, n, at, DEPTH, -sign, level, lots)
    return n


@njit(cache=True)
def _trade(rng: Any, books: Any, best: Any, out: Any, n: Any, at: Any, side: Any) -> Any:
    """A print against the touch and the depth row it causes; the touch is never emptied."""
    there = books[side, best[side]]
    lots = min(_exponential_lots(rng, 1, 120.0), there - 1 if there <= 240 else there // 2)
    if lots < 1:
        return n
    books[side, best[side]] = there - lots
    n = _put(out, n, at, TRADE, 2 * side - 1, best[side], lots)
    return _put(out, n, at, DEPTH, 1 - 2 * side, best[side], there - lots)


@njit(cache=True)
def _updates(rng: Any, books: Any, best: Any, out: Any, n: Any, at: Any) -> Any:
    """One to three level changes: at the touch, near it, far from it."""
    for _ in range(1 + np.int64(rng.random() * 2.2)):
        side = np.int64(rng.random() < 0.5)
        where = rng.random()
        offset = np.int64(0)
        if where >= 0.88:
            offset = min(20 + np.int64(rng.exponential(300.0)), np.int64(5_000))
        elif where >= 0.35:
            offset = 1 + np.int64(rng.exponential(15.0))
        level = best[side] + (offset if side == 1 else -offset)
        if offset == 0:
            lots = _exponential_lots(rng, 500, 4_000.0)
        elif books[side, level] > 0 and rng.random() < 0.45:
            lots = np.int64(0)
        else:
            lots = _exponential_lots(rng, 1, 350.0)
        books[side, level] = lots
        n = _put(out, n, at, DEPTH, 1 - 2 * side, level, lots)
    return n


@njit(cache=True)
def _snapshot(rng: Any, books: Any, best: Any, out: Any) -> Any:
    n = 0
    for step in range(SNAPSHOT_DEPTH):
        for side in range(2):
            if step == 0 or rng.random() < 0.4:
                level = best[side] + (step if side == 1 else -step)
                lots = _exponential_lots(rng, 1, 350.0) + (4_000 if step == 0 else 0)
                books[side, level] = lots
                n = _put(out, n, 0.0, DEPTH, 1 - 2 * side, level, lots)
    return n


@njit(cache=True)
def _market(rng: Any, rows: Any, books: Any, best: Any, out: Any) -> Any:
    snapshot = _snapshot(rng, books, best, out)
    n, at, log_intensity = snapshot, 0.0, 0.0
    while n < rows:
        log_intensity += 0.02 * rng.normal() - 0.0005 * log_intensity
        at += rng.exponential(1.0) / np.exp(log_intensity)
        draw = rng.random()
        if draw < 0.045:
            side = np.int64(rng.random() < 0.5)
            drift = best[0] - HALF
            if abs(drift) > 0.8 * HALF:
                side = np.int64(drift < 0)
            n = _jump(rng, books, best, out, n, at, side)
        elif draw < 0.25:
            n = _trade(rng, books, best, out, n, at, np.int64(rng.random() < 0.5))
        else:
            n = _updates(rng, books, best, out, n, at)
    return n, snapshot


def make(rows: int = 2_000_000, seed: int = 7) -> Raw:
    """Generate a market; the same rows and seed give the same market."""
    room = rows + 10_000
    out = _Out(
        np.empty(room),
        np.empty(room, np.int8),
        np.empty(room, np.int8),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
    )
    books = np.zeros((2, 2 * HALF), np.int64)
    best = np.array([HALF, HALF + 1], np.int64)
    n, snapshot = _market(np.random.default_rng(seed), rows, books, best, out)
    ts = T0 + (out.at[:n] * (SPAN_NS / out.at[n - 1])).astype(np.int64)
    price = out.px[:n] - HALF + FIRST_BID
    return Raw(ts, out.kind[:n], out.side[:n], price, out.lots[:n] * 0.001, int(snapshot))


def load(path: Path) -> Raw:
    """Events of a ``raw.npz`` file with the arrays of :class:`Raw`."""
    with np.load(path) as file:
        ts, kind, side, px, qty = (file[name] for name in Raw._fields[:-1])
        return Raw(ts, kind, side, px, qty, int(file["nsnap"]))


def describe(raw: Raw) -> dict[str, float]:
    """The statistics that decide how long a replay takes."""
    rows = slice(raw.nsnap, None)
    trades = raw.kind[rows] == TRADE
    removed = ~trades & (raw.qty[rows] == 0)
    shared = np.diff(raw.ts[rows]) == 0
    return {
        "events": len(raw.ts) - raw.nsnap,
        "snapshot_rows": raw.nsnap,
        "trades": int(trades.sum()),
        "levels_removed": int(removed.sum()),
        "share_of_shared_times": round(float(shared.mean()), 3),
        "hours": round(float(raw.ts[-1] - raw.ts[0]) / 3.6e12, 3),
        "price_low": float(raw.px[rows].min()) / 10,
        "price_high": float(raw.px[rows].max()) / 10,
    }
