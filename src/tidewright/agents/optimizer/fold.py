"""The book at a moment of a tape as one snapshot packet, so that a judgement need not replay the day before it.

Works forward only and looks at every row once: the windows of later epochs begin later.
"""

import numpy as np
import numpy.typing as npt

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.errors import UsageError
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape, columns, concatenate

I64 = npt.NDArray[np.int64]
_EMPTY = np.empty(0, np.int64)


class BookFold:
    """Folds the rows of one tape into the levels they leave.

    Attributes
    ----------
    row
        How many rows are folded; replay goes on with this row.
    """

    def __init__(self) -> None:
        self.row = 0
        self._ask = np.empty(0, np.bool_)
        self._price: I64 = _EMPTY
        self._qty: I64 = _EMPTY
        self._ts = 0
        self._receipt = 0

    def advance(self, data: Columns, until_ns: int) -> None:
        """Fold the packets at or before a time, but not beyond a gap that is open then.

        Parameters
        ----------
        data
            All rows so far of the tape whose first ``row`` rows are folded.
        until_ns
            Nanoseconds of venue time.

        Raises
        ------
        UsageError
            If the time lies before what is folded.
        """
        stop = int(np.searchsorted(data.ts, until_ns, side="right"))
        ends = np.flatnonzero(data.flags[self.row : stop] & PACKET_END)
        stop = self.row + int(ends[-1]) + 1 if len(ends) else self.row
        if self.row > 0 and until_ns < self._ts:
            raise UsageError(f"the book was folded until {self._ts}, it cannot go back to {until_ns}")
        part = data.rows(self.row, stop)
        stop = self.row + _closed(part, opened=self.row > 0)
        if stop == self.row:
            return
        part = data.rows(self.row, stop)
        self._ts = int(part.ts[-1])
        self._receipt = max(self._receipt, int(part.ts.max()), int(part.ts_local.max()))
        self._fold(part)
        self.row = stop

    def mid2(self) -> int:
        """Twice the mid of the levels, ticks; 0 where a side is missing or they cross."""
        bids, asks = self._price[~self._ask], self._price[self._ask]
        if len(bids) == 0 or len(asks) == 0 or bids.max() > asks.min():
            return 0
        return int(bids.max() + asks.min())

    def snapshot(self) -> Columns:
        """The levels as one snapshot packet with the time of the last folded row; empty if nothing was folded."""
        count = len(self._price)
        if count == 0:
            return columns([])
        values = (
            np.full(count, self._ts),
            np.full(count, self._receipt),
            np.where(self._ask, ASK, BID),
            np.where(np.arange(count) == count - 1, SNAPSHOT | PACKET_END, SNAPSHOT),
            self._price,
            self._qty,
        )
        return Columns(*(np.asarray(v, t) for v, t in zip(values, COLUMN_TYPES.values(), strict=True)))

    def _fold(self, part: Columns) -> None:
        resets = np.flatnonzero(part.kind == RESET)
        if len(resets):
            part = part.rows(int(resets[-1]) + 1, len(part.ts))
            self._ask, self._price, self._qty = np.empty(0, np.bool_), _EMPTY, _EMPTY
        kind = part.kind
        levels = (kind == BID) | (kind == ASK) | (kind == BEST_BID) | (kind == BEST_ASK)
        held = len(self._price)
        kind, price, qty = kind[levels], part.price[levels], part.qty[levels]
        ask = np.concatenate([self._ask, (kind == ASK) | (kind == BEST_ASK)])
        price, qty = np.concatenate([self._price, price]), np.concatenate([self._qty, qty])
        _, first = np.unique((price * 2 + ask)[::-1], return_index=True)
        last = len(price) - 1 - first  # the last row that set each level
        stays = qty[last] > 0
        for side, code in ((False, BEST_BID), (True, BEST_ASK)):
            tickers = held + np.flatnonzero(kind == code)
            stays &= (ask[last] != side) | ~_emptied(last, price[last], tickers, price[tickers], side)
        last = last[stays]
        self._ask, self._price, self._qty = ask[last], price[last], qty[last]


def stretch(tape: Tape, rows: int, from_ns: int, until_ns: int) -> Tape:
    """Whole packets of a stretch of a tape's first rows, after a snapshot of the book at its beginning."""
    data = tape.data.rows(0, rows)
    stop = int(np.searchsorted(data.ts, until_ns, side="right"))
    while stop > 0 and not data.flags[stop - 1] & PACKET_END:
        stop -= 1
    fold = BookFold()
    fold.advance(data, from_ns)
    return Tape(tape.path, tape.instrument, tape.meta, concatenate([fold.snapshot(), data.rows(fold.row, stop)]))


def _closed(part: Columns, opened: bool) -> int:
    """Rows up to which the book is outside a gap; ``opened``: it was so before the first of them."""
    broken = (part.kind == GAP) | (part.kind == RESET)
    breaks = np.flatnonzero(broken)
    snapshots = np.flatnonzero(~broken & ((part.flags & SNAPSHOT) != 0))
    stop = len(part.ts)
    if len(breaks) == 0:
        return stop if opened or len(snapshots) else 0
    if len(snapshots) and snapshots[-1] > breaks[-1]:
        return stop
    # The last break is still open. Stop before the packet of the first break after the last snapshot.
    whole_until = snapshots[-1] if len(snapshots) else -1
    if whole_until < 0 and not opened:
        return 0
    first_open = int(breaks[breaks > whole_until][0])
    ends = np.flatnonzero(part.flags[:first_open] & PACKET_END)
    return int(ends[-1]) + 1 if len(ends) else 0


def _emptied(last: I64, price: I64, at: I64, best: I64, ask: bool) -> npt.NDArray[np.bool_]:
    """Whether a later best-price row lies behind a level and so emptied it."""
    if len(at) == 0:
        return np.zeros(len(last), np.bool_)
    sign = -1 if ask else 1
    worst = np.minimum.accumulate((sign * best)[::-1])[::-1]
    later = np.searchsorted(at, last, side="right")
    found = later < len(at)
    return np.asarray(found & (worst[np.minimum(later, len(at) - 1)] < sign * price))
