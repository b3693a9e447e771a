"""The book that the depth stream describes: price levels of both sides in ticks and lots."""

from bisect import bisect_left, insort
from typing import Self

Levels = list[tuple[int, int]]


class BookSide:
    """Levels of one side: a quantity by price, and the prices in ascending order."""

    __slots__ = ("prices", "quantities")

    def __init__(self) -> None:
        self.quantities: dict[int, int] = {}
        self.prices: list[int] = []

    def set(self, price: int, qty: int) -> None:
        """Set a level's quantity in lots; 0 removes it."""
        quantities = self.quantities
        if qty > 0:
            if price not in quantities:
                insort(self.prices, price)
            quantities[price] = qty
        elif price in quantities:
            del quantities[price]
            del self.prices[bisect_left(self.prices, price)]

    def highest(self, count: int) -> Levels:
        """Up to ``count`` levels from the highest price down, as ``(ticks, lots)``."""
        quantities = self.quantities
        return [(price, quantities[price]) for price in reversed(self.prices[-count:])]

    def lowest(self, count: int) -> Levels:
        """Up to ``count`` levels from the lowest price up, as ``(ticks, lots)``."""
        quantities = self.quantities
        return [(price, quantities[price]) for price in self.prices[:count]]


class PublicBook:
    """Both sides of the published book."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide()
        self.asks = BookSide()

    def best(self) -> tuple[int, int, int, int]:
        """``(bid ticks, bid lots, ask ticks, ask lots)``; 0 for a side that is empty."""
        bids, asks = self.bids, self.asks
        bid = bids.prices[-1] if bids.prices else 0
        ask = asks.prices[0] if asks.prices else 0
        return bid, bids.quantities.get(bid, 0), ask, asks.quantities.get(ask, 0)

    def difference(self, newer: Self) -> tuple[Levels, Levels]:
        """Level changes that lead from this book to a newer one: ``(bids, asks)``, quantity 0 where a level is gone."""
        return _changes(self.bids, newer.bids), _changes(self.asks, newer.asks)


def _changes(old: BookSide, new: BookSide) -> Levels:
    gone = [(price, 0) for price in old.prices if price not in new.quantities]
    return gone + [
        (price, new.quantities[price]) for price in new.prices if old.quantities.get(price) != new.quantities[price]
    ]
