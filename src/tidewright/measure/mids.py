"""The mid of a tape through time: one pass over its rows that keeps both sides of the book."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.errors import UsageError
from tidewright.market.tape import Columns

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MidSeries:
    """A price that stands until the next one.

    Attributes
    ----------
    ts
        When each mid began to hold, int64 ns, not falling.
    mid
        Quote per base, float64.
    until_ns
        How long the series is known; later the mid is unknown.
    """

    ts: I64
    mid: F64
    until_ns: int

    def __post_init__(self) -> None:
        if len(self.ts) != len(self.mid):
            raise UsageError("a mid series needs as many times as values")
        if bool(np.any(np.diff(self.ts) < 0)):
            raise UsageError("times of a mid series may not fall")

    def at(self, when: I64) -> F64:
        """Mid at each time: the last one at or before it; NaN before the first and after ``until_ns``."""
        index = np.searchsorted(self.ts, when, side="right") - 1
        known = (index >= 0) & (when <= self.until_ns)
        if len(self.ts) == 0:
            return np.full(len(when), np.nan)
        return np.where(known, self.mid[np.maximum(index, 0)], np.nan)


def tape_mids(data: Columns, tick: float) -> MidSeries:
    """Mids of a tape at the ends of packets where the book is whole, one entry a change.

    Parameters
    ----------
    data
        Rows of a tape.
    tick
        Price step, quote.

    Returns
    -------
    The series; known until the last row. While the book is not whole (a gap, one side empty, crossed) the last mid
    stands.
    """
    book_rows = (data.kind == BID) | (data.kind == ASK) | (data.kind == BEST_BID) | (data.kind == BEST_ASK)
    prices = np.unique(data.price[book_rows])
    ranks = np.searchsorted(prices, data.price).astype(np.int64)
    ts, mid2 = _mids(data.ts, data.kind, data.flags, ranks, data.qty, prices)
    return MidSeries(ts, mid2 * (tick / 2.0), int(data.ts[-1]) if len(data.ts) else 0)


@njit(cache=True)
def _mids(  # type: ignore[no-untyped-def]  # numba: types come from the arrays
    ts, kind, flags, rank, qty, prices
):
    levels = prices.size
    bids = np.zeros(levels, np.int64)
    asks = np.zeros(levels, np.int64)
    best_bid, best_ask = np.int64(-1), np.int64(levels)
    out_ts = np.empty(ts.size, np.int64)
    out_mid2 = np.empty(ts.size, np.int64)
    count = 0
    gap, snapshot, last = True, False, np.int64(-1)
    for row in range(ts.size):
        what, at, size = kind[row], rank[row], qty[row]
        if what == BID or what == BEST_BID:
            if what == BEST_BID:
                while best_bid > at:
                    bids[best_bid] = 0
                    best_bid -= 1
            bids[at] = size
            if size > 0:
                best_bid = max(best_bid, at)
            while best_bid >= 0 and bids[best_bid] == 0:
                best_bid -= 1
        elif what == ASK or what == BEST_ASK:
            if what == BEST_ASK:
                while best_ask < at:
                    asks[best_ask] = 0
                    best_ask += 1
            asks[at] = size
            if size > 0:
                best_ask = min(best_ask, at)
            while best_ask < levels and asks[best_ask] == 0:
                best_ask += 1
        elif what == RESET:
            bids[:] = 0
            asks[:] = 0
            best_bid, best_ask = np.int64(-1), np.int64(levels)
            gap, snapshot = True, False
        elif what == GAP:
            gap, snapshot = True, False
        snapshot = snapshot or (flags[row] & SNAPSHOT) != 0
        if (flags[row] & PACKET_END) == 0:
            continue
        if gap and snapshot:
            gap = False
        snapshot = False
        if gap or best_bid < 0 or best_ask >= levels or best_bid > best_ask:
            continue
        mid2 = prices[best_bid] + prices[best_ask]
        if mid2 != last:
            out_ts[count], out_mid2[count] = ts[row], mid2
            count += 1
            last = mid2
    return out_ts[:count].copy(), out_mid2[:count].copy()
