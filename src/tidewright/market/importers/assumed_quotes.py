"""Quotes that were not recorded, put around prints, so that recordings of prints alone can be traded on at all.

Every print carries a best bid and a best ask a fixed number of ticks apart: a buyer's print was at the ask, a
seller's at the bid, one of unknown side in the middle. Their quantity is the print's. All of it is an assumption: the
rows are flagged as inferred and the tape's ``detail`` says so. They are best-bid/ask rows: what lies behind them is
unknown.
"""

from typing import Any, Final

import numpy as np

from tidewright.market.codes import (
    BEST_ASK,
    BEST_BID,
    GAP,
    INFERRED,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.errors import UsageError
from tidewright.market.tape import I64, Columns

_PER_PRINT: Final = 4  # the print, a reset, best bid, best ask


class AssumedQuotes:
    """Adds the quotes; remembers between calls whether a book has begun.

    Parameters
    ----------
    ticks
        Spread, >= 1.
    """

    def __init__(self, ticks: int) -> None:
        if ticks < 1:
            raise UsageError(f"assumed quotes must be at least 1 tick apart, was {ticks}")
        self._ticks = ticks
        self._fresh = True  # the next print starts a book

    def notes(self) -> dict[str, Any]:
        """What was assumed."""
        return {"quotes": f"assumed: {self._ticks} ticks apart around every print, of the print's quantity"}

    def around(self, data: Columns) -> Columns:
        """The rows with quotes after every print; each print is a packet of its own, other rows stay as they are."""
        count = len(data.ts)
        if not count:
            return data
        prints = (data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN)
        bid, ask = self._quotes(data)
        at = np.flatnonzero(prints)
        before = np.maximum.accumulate(np.where(prints, np.arange(count), -1))  # the newest print up to each row
        previous = np.concatenate(([-1], before[:-1]))
        gap = data.kind == GAP
        last_gap = np.maximum.accumulate(np.where(gap, np.arange(count), -1))
        fresh = prints & ((last_gap > previous) | ((previous < 0) & self._fresh))

        kind = np.zeros((count, _PER_PRINT), np.uint8)
        price, qty = np.zeros((count, _PER_PRINT), np.int64), np.zeros((count, _PER_PRINT), np.int64)
        keep = np.zeros((count, _PER_PRINT), np.bool_)
        kind[:, 0], price[:, 0], qty[:, 0], keep[:, 0] = data.kind, data.price, data.qty, True
        kind[:, 1], keep[:, 1] = RESET, fresh
        kind[:, 2], price[:, 2], qty[:, 2], keep[:, 2] = BEST_BID, bid, np.maximum(data.qty, 1), prints
        kind[:, 3], price[:, 3], qty[:, 3], keep[:, 3] = BEST_ASK, ask, np.maximum(data.qty, 1), prints
        flags = np.full((count, _PER_PRINT), INFERRED, np.uint8)
        flags[:, 0] = np.where(prints, data.flags & ~np.uint8(PACKET_END), data.flags)
        flags[:, 2:] |= np.where(fresh, SNAPSHOT, 0).astype(np.uint8)[:, None]
        flags[at, 3] |= PACKET_END

        if len(at):
            self._fresh = bool(last_gap[-1] > at[-1])
        elif gap.any():
            self._fresh = True
        lines = np.repeat(np.arange(count), keep.sum(1))
        return Columns(data.ts[lines], data.ts_local[lines], kind[keep], flags[keep], price[keep], qty[keep])

    def _quotes(self, data: Columns) -> tuple[I64, I64]:
        below = np.select(
            [data.kind == TRADE_BUY, data.kind == TRADE_SELL], [self._ticks, 0], default=self._ticks // 2
        ).astype(np.int64)
        bid = np.maximum(data.price - below, 1)
        return bid, bid + self._ticks
