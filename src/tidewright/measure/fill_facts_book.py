"""The book of a tape at any times: what an order found on arrival, and what the market did afterwards.

It knows nothing of the engine: facts about the engine's fills are measured against the tape itself.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.tape import Columns

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_FIELDS = 8


class BookViews(NamedTuple):
    """The book after all packets at or before each asked time; arrays (n,).

    Attributes
    ----------
    bid, ask
        Best prices, int64 ticks; -1 where the side is empty.
    bid_qty, ask_qty
        Quantities there, int64 lots.
    level_qty
        Quantity of the asked level, int64 lots.
    mid2
        Best bid + best ask of the last whole book, int64 ticks; 0 before the first and in a gap: not known.
    whole
        Outside a gap, both sides there, not crossed.
    gaps
        How many gaps had begun, int64.
    """

    bid: I64
    ask: I64
    bid_qty: I64
    ask_qty: I64
    level_qty: I64
    mid2: I64
    whole: Bools
    gaps: I64


class BookHistory:
    """A tape's book at any time; one pass over the rows for each question.

    Parameters
    ----------
    data
        Rows of a tape.
    """

    def __init__(self, data: Columns) -> None:
        self._data = data
        levels = (data.kind == BID) | (data.kind == ASK) | (data.kind == BEST_BID) | (data.kind == BEST_ASK)
        self._prices = np.unique(data.price[levels]).astype(np.int64)
        self._ranks = np.searchsorted(self._prices, data.price).astype(np.int64)
        self.start_ns = int(data.ts[0]) if len(data.ts) else 0
        self.end_ns = int(data.ts[-1]) if len(data.ts) else 0

    def at(self, when: I64, side: I64 | None = None, price: I64 | None = None) -> BookViews:
        """The book at times in any order, and at each of them one level.

        Parameters
        ----------
        when
            Times, int64 ns.
        side, price
            The asked level: BUY or SELL, and ticks; ``None``: none.
        """
        order = np.argsort(when, kind="stable")
        if side is None or price is None:
            rank, low = np.full(len(when), -1), np.zeros(len(when), np.int64)
        else:
            rank = np.searchsorted(self._prices, price)
            known = rank < len(self._prices)
            known[known] = self._prices[rank[known]] == price[known]
            rank, low = np.where(known, rank, -1), side
        data = self._data
        out = np.zeros((len(when), _FIELDS), np.int64)
        _play(
            *(np.require(column, requirements="W") for column in (data.ts, data.kind, data.flags)),
            self._ranks,
            np.require(data.qty, requirements="W"),
            self._prices,
            np.ascontiguousarray(when[order], np.int64),
            np.ascontiguousarray(low[order], np.int64),
            np.ascontiguousarray(rank[order], np.int64),
            out,
        )
        back = np.empty_like(out)
        back[order] = out
        bid, ask, bid_qty, ask_qty, level_qty, mid2, whole, gaps = back.T.copy()
        return BookViews(bid, ask, bid_qty, ask_qty, level_qty, mid2, whole == 1, gaps)

    def gaps_ns(self) -> I64:
        """When the gaps after the start began, int64 ns; a reset that ends a gap begins none."""
        data = self._data
        begun = data.ts[data.kind == (GAP if bool(np.any(data.kind == GAP)) else RESET)]
        return np.unique(begun[begun > self.start_ns])

    def mid(self, when: I64) -> F64:
        """Mid at each time, ticks, float64; NaN before the first, in gaps and after the last row: not known."""
        views = self.at(when)
        known = (views.mid2 > 0) & (when <= self.end_ns)
        return np.where(known, views.mid2 / 2.0, np.nan)


@njit(cache=True)
def _play(  # type: ignore[no-untyped-def]  # numba: types come from the arrays
    ts, kind, flags, rank, qty, prices, when, side, level, out
):
    levels = prices.size
    lots = np.zeros((2, levels), np.int64)
    best_bid, best_ask = np.int64(-1), np.int64(levels)
    gap, snapshot, gaps, mid2 = True, False, np.int64(0), np.int64(0)
    whole = False
    asked = 0
    packet = True  # at the start of a packet
    for row in range(ts.size + 1):
        if packet:
            now = ts[row] if row < ts.size else np.int64(2**62)
            while asked < when.size and when[asked] < now:
                out[asked, 0] = prices[best_bid] if best_bid >= 0 else np.int64(-1)
                out[asked, 1] = prices[best_ask] if best_ask < levels else np.int64(-1)
                out[asked, 2] = lots[0, best_bid] if best_bid >= 0 else np.int64(0)
                out[asked, 3] = lots[1, best_ask] if best_ask < levels else np.int64(0)
                out[asked, 4] = lots[side[asked], level[asked]] if level[asked] >= 0 else np.int64(0)
                out[asked, 5] = np.int64(0) if gap else mid2
                out[asked, 6] = np.int64(1) if whole else np.int64(0)
                out[asked, 7] = gaps
                asked += 1
        if row == ts.size or asked == when.size:
            break
        what, at, size = kind[row], rank[row], qty[row]
        if what == BID or what == BEST_BID:
            if what == BEST_BID:
                while best_bid > at:
                    lots[0, best_bid] = 0
                    best_bid -= 1
            lots[0, at] = size
            if size > 0:
                best_bid = max(best_bid, at)
            while best_bid >= 0 and lots[0, best_bid] == 0:
                best_bid -= 1
        elif what == ASK or what == BEST_ASK:
            if what == BEST_ASK:
                while best_ask < at:
                    lots[1, best_ask] = 0
                    best_ask += 1
            lots[1, at] = size
            if size > 0:
                best_ask = min(best_ask, at)
            while best_ask < levels and lots[1, best_ask] == 0:
                best_ask += 1
        elif what == RESET or what == GAP:
            if what == RESET:
                lots[:] = 0
                best_bid, best_ask = np.int64(-1), np.int64(levels)
            gap, snapshot, mid2 = True, False, np.int64(0)
            gaps += 1
        snapshot = snapshot or (flags[row] & SNAPSHOT) != 0
        packet = (flags[row] & PACKET_END) != 0
        if packet:
            if snapshot:
                gap = False
            snapshot = False
            whole = bool(not gap and best_bid >= 0 and best_ask < levels and best_bid <= best_ask)
            if whole:
                mid2 = prices[best_bid] + prices[best_ask]
