"""The market by price as ENGINE.md, "Book", tells it: two dicts, a gap flag, a window of prices, and the last mid."""

from typing import NamedTuple

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, BUY, GAP, PACKET_END, RESET, SELL, SNAPSHOT

SIDE_OF_KIND = {BID: BUY, BEST_BID: BUY, ASK: SELL, BEST_ASK: SELL}


class Row(NamedTuple):
    """One row of a tape."""

    ts: int
    ts_local: int
    kind: int
    flags: int
    price: int
    qty: int


class Change(NamedTuple):
    """A level's quantity before and after a row; ``old`` None: it was unknown."""

    side: int
    price: int
    old: int | None
    new: int


class Packet(NamedTuple):
    """Rows of one venue message, and when it could be known."""

    ts: int
    receipt: int
    rows: tuple[Row, ...]


def packets(rows: list[Row], feed_ns: int) -> list[Packet]:
    """Whole packets of a tape with their effective receipts.

    "Effective receipt = running maximum of max(ts_local, ts), so what is known is always a prefix of the tape";
    "a tape without receipts gets a stated feed latency".
    """
    result: list[Packet] = []
    held: list[Row] = []
    latest = -(2**62)
    for row in rows:
        received = row.ts_local if row.ts_local > 0 else row.ts + feed_ns
        latest = max(latest, received, row.ts)
        held.append(row)
        if row.flags & PACKET_END:  # "a packet is atomic"
            result.append(Packet(row.ts, latest, tuple(held)))
            held = []
    assert not held, "a tape ends with a packet end"
    return result


class Book:
    """Levels of both sides; ``levels[side][price] = lots``, only what is > 0.

    Parameters
    ----------
    window
        How many prices the book covers, ticks.
    parity
        A row that crosses the other side empties the levels it crosses, and there are no gaps.
    touch_only
        Levels behind a best-bid/ask row are unknown.
    """

    def __init__(self, window: int, parity: bool = False, touch_only: bool = False) -> None:
        self.parity = parity
        self.touch_only = touch_only
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.gap = not parity  # "Start, reset and gap rows begin a gap"
        self.snapshot_seen = False
        self.whole = False
        self.last_mid2: int | None = None  # twice the mid when the book was last whole
        self.window = window
        self.low: int | None = None
        self.unknown: set[tuple[int, int]] = set()  # "a level that left the window is unknown when it returns"
        self.missed: tuple[list[int], list[int]] = ([], [])  # prices of this packet's rows outside the window

    def qty(self, side: int, price: int) -> int:
        return self.levels[side].get(price, 0)

    def best_bid(self) -> int | None:
        return max(self.levels[BUY], default=None)

    def best_ask(self) -> int | None:
        return min(self.levels[SELL], default=None)

    def two_sided(self) -> bool:
        return bool(self.levels[BUY]) and bool(self.levels[SELL])

    def inside(self, price: int) -> bool:
        """Whether the window covers a price."""
        return self.low is not None and self.low <= price < self.low + self.window

    # -- the window: "moves by a rule of the tape alone" -----------------------------------------------------------

    def begin_packet(self, rows: tuple[Row, ...]) -> bool:
        """Before a packet's rows; whether the window moved."""
        self.missed[BUY].clear()
        self.missed[SELL].clear()
        return self.place(rows) if not self.levels[BUY] and not self.levels[SELL] else False

    def place(self, rows: tuple[Row, ...]) -> bool:
        """An empty book looks at the levels to come, up to the next reset, for the place of its window."""
        bids: list[int] = []
        asks: list[int] = []
        for row in rows:
            if row.kind == RESET:
                break
            if row.kind in SIDE_OF_KIND and row.qty > 0:
                (bids if SIDE_OF_KIND[row.kind] == BUY else asks).append(row.price)
        if bids and asks:
            return self.centre((max(bids) + min(asks)) // 2)
        if bids or asks:
            return self.centre(max(bids) if bids else min(asks))
        return False

    def centre(self, price: int, always: bool = False) -> bool:
        """Move the window when a price is outside its middle half; whether it moved."""
        if self.low is not None and not always:
            if self.low + self.window // 4 <= price < self.low + 3 * self.window // 4:
                return False
        old, self.low = self.low, price - self.window // 2
        for side in (BUY, SELL):
            for level in list(self.levels[side]):
                if not self.inside(level):
                    del self.levels[side][level]
            if old is not None:
                entered = [p for p in range(self.low, self.low + self.window) if not old <= p < old + self.window]
                self.unknown.update((side, p) for p in entered)
        self.unknown = {(side, p) for side, p in self.unknown if self.inside(p)}
        return True

    # -- rows ------------------------------------------------------------------------------------------------------

    def _set(self, side: int, price: int, qty: int) -> list[Change]:
        if not self.inside(price):
            if qty > 0:
                self.missed[side].append(price)
            return []
        old = None if (side, price) in self.unknown else self.qty(side, price)
        self.unknown.discard((side, price))
        if qty > 0:
            self.levels[side][price] = qty
        else:
            self.levels[side].pop(price, None)  # "0 removes"
        return [Change(side, price, old, qty)]

    def apply(self, row: Row) -> list[Change]:
        """Apply one row; what it did to levels, except for a reset, which empties them all."""
        if row.kind in (RESET, GAP):
            if row.kind == RESET:  # "A reset empties it."
                self.levels[BUY].clear()
                self.levels[SELL].clear()
                self.unknown.clear()
            self.gap = not self.parity
            self.snapshot_seen = False
            return []
        if row.flags & SNAPSHOT:
            self.snapshot_seen = True
        if row.kind not in SIDE_OF_KIND:
            return []  # prints "do not change levels; their depth rows do"; mark and funding are not of the book
        side = SIDE_OF_KIND[row.kind]
        changes: list[Change] = []
        if row.kind in (BEST_BID, BEST_ASK):
            # "A best-bid/ask row sets its level and empties the better levels of its side."
            known = set(self.levels[side]) | {p for s, p in self.unknown if s == side}
            for price in sorted(known):
                if price > row.price if side == BUY else price < row.price:
                    changes += self._set(side, price, 0)
            if self.touch_only and self.low is not None:
                self.hide_behind(side, row.price)
        changes += self._set(side, row.price, row.qty)
        if self.parity and row.qty > 0 and self.inside(row.price):
            self.uncross(side, row.price)
        return changes

    def hide_behind(self, side: int, best: int) -> None:
        """touch_only: the levels behind a best-bid/ask row are unknown. No queue hears of it."""
        assert self.low is not None
        for price in range(self.low, self.low + self.window):
            if price < best if side == BUY else price > best:
                self.levels[side].pop(price, None)
                self.unknown.add((side, price))

    def uncross(self, side: int, price: int) -> None:
        """parity: the newest row is believed. No queue hears of the levels that go."""
        other = self.levels[SELL if side == BUY else BUY]
        for level in [p for p in other if (p <= price if side == BUY else p >= price)]:
            del other[level]

    def end_packet(self) -> bool:
        """Close a packet; whether a gap ended here.

        A gap "ends at the first packet end with snapshot rows after the last of them, even if one side is missing".
        """
        ended = self.gap and self.snapshot_seen
        if ended:
            self.gap = False
        bid, ask = self.best_bid(), self.best_ask()
        # "The book is whole when, outside a gap, both sides are there and uncrossed at a packet end."
        self.whole = not self.gap and bid is not None and ask is not None and bid <= ask
        if self.whole and bid is not None and ask is not None:
            self.last_mid2 = bid + ask
        return ended

    def follow(self) -> bool:
        """Let the window follow the prices, the last thing at a packet end; whether it moved."""
        moved = False
        bid, ask = self.best_bid(), self.best_ask()
        if bid is not None and ask is not None and bid <= ask:
            moved = self.centre((bid + ask) // 2)
        for side in (BUY, SELL):
            if not self.levels[side] and self.missed[side]:
                best = max(self.missed[side]) if side == BUY else min(self.missed[side])
                moved = self.centre(best, always=True) or moved
        return moved

    def read(self, rows: tuple[Row, ...]) -> None:
        """A whole packet, for who needs only the book."""
        self.begin_packet(rows)
        for place, row in enumerate(rows):
            self.apply(row)
            if row.kind == RESET:
                self.place(rows[place + 1 :])
        self.end_packet()
        self.follow()

    @property
    def locked(self) -> bool:
        return self.two_sided() and self.best_bid() == self.best_ask()
