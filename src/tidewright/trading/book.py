"""The order book of a live session: what is known of both sides, and whether it can be trusted.

The rules of wholeness are the engine's: a reset, a gap or the start begin a gap, which ends at the first packet end
with snapshot rows after it; the book is whole when, outside a gap, both sides are there and uncrossed.
"""

import heapq

import numpy as np

from tidewright.agents.executor.executor import MarketNow
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_UNKNOWN,
)
from tidewright.market.tape import Columns


class Book:
    """Levels by price in ticks, quantities in lots; fed whole packets."""

    def __init__(self) -> None:
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._in_gap, self._snapshot_seen = True, False
        self.gaps = 0
        self.last_price = 0  # of the newest trade, ticks
        self.last_mid2 = 0  # when it was last seen whole, ticks
        self.last_ns = 0  # venue time of the newest row
        self.traded_lots = 0  # by the market, so far

    def apply(self, data: Columns) -> None:
        """Take in rows of whole packets."""
        if len(data.ts) == 0:
            return
        self.last_ns = int(data.ts[-1])
        trades = np.flatnonzero((data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN))
        if len(trades):
            self.last_price = int(data.price[trades[-1]])
            self.traded_lots += int(data.qty[trades].sum())
        plain = not self._in_gap and int(data.kind.max()) < BEST_BID
        rows = np.flatnonzero(data.kind <= ASK) if plain else np.arange(len(data.ts))
        bids, asks = self._bids, self._asks
        kinds, prices, quantities = data.kind[rows].tolist(), data.price[rows].tolist(), data.qty[rows].tolist()
        if not plain:
            self._apply_slowly(kinds, data.flags[rows].tolist(), prices, quantities)
            return
        for kind, price, qty in zip(kinds, prices, quantities, strict=True):
            levels = bids if kind == BID else asks
            if qty:
                levels[price] = qty
            else:
                levels.pop(price, None)

    def _apply_slowly(self, kinds: list[int], flags: list[int], prices: list[int], quantities: list[int]) -> None:
        for kind, flag, price, qty in zip(kinds, flags, prices, quantities, strict=True):
            if kind in (RESET, GAP):
                self.gaps += not self._in_gap
                self._in_gap, self._snapshot_seen = True, False
                if kind == RESET:
                    self._bids.clear()
                    self._asks.clear()
            elif kind in (BID, ASK, BEST_BID, BEST_ASK):
                bid_side = kind in (BID, BEST_BID)
                levels = self._bids if bid_side else self._asks
                if kind in (BEST_BID, BEST_ASK):
                    for better in [p for p in levels if (p > price if bid_side else p < price)]:
                        del levels[better]
                if qty:
                    levels[price] = qty
                else:
                    levels.pop(price, None)
            if flag & SNAPSHOT:
                self._snapshot_seen = True
            if flag & PACKET_END and self._snapshot_seen:
                self._in_gap = False

    def levels(self, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best bids and asks, (ticks, lots), at most ``count`` each."""
        bids = [(price, self._bids[price]) for price in heapq.nlargest(count, self._bids)]
        return bids, [(price, self._asks[price]) for price in heapq.nsmallest(count, self._asks)]

    def now(self) -> MarketNow:
        """The best levels, and whether the book is whole."""
        if not self._bids or not self._asks:
            return MarketNow(False, 0, 0, 0, 0)
        bid, ask = max(self._bids), min(self._asks)
        whole = not self._in_gap and bid <= ask
        if whole:
            self.last_mid2 = bid + ask
        return MarketNow(whole, bid, ask, self._bids[bid], self._asks[ask])
