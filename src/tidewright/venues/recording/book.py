"""The book that a tape's rows make: kept beside a recording to begin the next file and to verify checksums."""

from bisect import bisect_left, bisect_right, insort

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.tape import Columns, columns


class BookSide:
    """Levels of one side, price (ticks) to quantity (lots), ordered when somebody asks for the order.

    After :meth:`clear` levels go into a dictionary only; the first question sorts them once, and from then on the
    order is kept level by level. So a snapshot of 50,000 levels costs one sort.
    """

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self._order: list[int] | None = None

    def __len__(self) -> int:
        return len(self.levels)

    def clear(self) -> None:
        """Remove all levels."""
        self.levels.clear()
        self._order = None

    def set(self, price: int, qty: int) -> None:
        """Give a level its new quantity; 0 removes it."""
        if qty == 0:
            if self.levels.pop(price, None) is not None and self._order is not None:
                del self._order[bisect_left(self._order, price)]
            return
        if self._order is not None and price not in self.levels:
            insort(self._order, price)
        self.levels[price] = qty

    @property
    def prices(self) -> list[int]:
        """Prices in ascending order; not to be changed."""
        if self._order is None:
            self._order = sorted(self.levels)
        return self._order

    def above(self, price: int) -> list[int]:
        """Prices over ``price``, ascending."""
        return self.prices[bisect_right(self.prices, price) :]

    def below(self, price: int) -> list[int]:
        """Prices under ``price``, ascending."""
        return self.prices[: bisect_left(self.prices, price)]


class RowBook:
    """The book after the rows given so far.

    Attributes
    ----------
    in_gap
        Whether the book is void: at the start, and after a reset or gap row until a packet with snapshot rows ends.
    """

    def __init__(self) -> None:
        self.bids, self.asks = BookSide(), BookSide()
        self.in_gap = True
        self._restored = False  # the packet being read holds snapshot rows

    def apply(self, data: Columns) -> None:
        """Apply whole packets."""
        bids, asks = self.bids, self.asks
        rows = zip(data.kind.tolist(), data.flags.tolist(), data.price.tolist(), data.qty.tolist(), strict=True)
        for kind, flags, price, qty in rows:
            if kind == BID:
                bids.set(price, qty)
            elif kind == ASK:
                asks.set(price, qty)
            elif kind == BEST_BID:
                for better in bids.above(price):
                    bids.set(better, 0)
                bids.set(price, qty)
            elif kind == BEST_ASK:
                for better in asks.below(price):
                    asks.set(better, 0)
                asks.set(price, qty)
            elif kind in (RESET, GAP):
                self.in_gap, self._restored = True, False
                if kind == RESET:
                    bids.clear()
                    asks.clear()
            if flags & SNAPSHOT:
                self._restored = True
            if flags & PACKET_END:
                self.in_gap = self.in_gap and not self._restored
                self._restored = False

    def snapshot(self, ts_ns: int, ts_local_ns: int) -> Columns:
        """The book as one packet that stands alone: a reset, then every level, best first.

        Parameters
        ----------
        ts_ns, ts_local_ns
            The packet's venue time and receipt, nanoseconds.
        """
        levels = [(BID, price, self.bids.levels[price]) for price in reversed(self.bids.prices)]
        levels += [(ASK, price, self.asks.levels[price]) for price in self.asks.prices]
        rows = [(ts_ns, ts_local_ns, RESET, 0, 0, 0)]
        rows += [(ts_ns, ts_local_ns, kind, SNAPSHOT, price, qty) for kind, price, qty in levels]
        ts, ts_local, kind, flags, price, qty = rows[-1]
        rows[-1] = (ts, ts_local, kind, flags | PACKET_END, price, qty)
        return columns(rows)
