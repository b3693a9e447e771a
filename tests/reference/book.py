"""The market by price as ENGINE.md, "Book", tells it: two dicts, a gap flag, and the last mid. Nothing clever."""

from typing import NamedTuple

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, BUY, GAP, PACKET_END, RESET, SELL, SNAPSHOT


class Row(NamedTuple):
    """One row of a tape."""

    ts: int
    ts_local: int
    kind: int
    flags: int
    price: int
    qty: int


class Change(NamedTuple):
    """A level's quantity before and after a row."""

    side: int
    price: int
    old: int
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
    """Levels of both sides; ``levels[side][price] = lots``, only what is > 0."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.gap = True  # "Start, reset and gap rows begin a gap"
        self.snapshot_seen = False
        self.whole = False
        self.last_mid2: int | None = None  # twice the mid when the book was last whole

    def qty(self, side: int, price: int) -> int:
        return self.levels[side].get(price, 0)

    def best_bid(self) -> int | None:
        return max(self.levels[BUY], default=None)

    def best_ask(self) -> int | None:
        return min(self.levels[SELL], default=None)

    def two_sided(self) -> bool:
        return bool(self.levels[BUY]) and bool(self.levels[SELL])

    def _set(self, side: int, price: int, qty: int) -> Change:
        old = self.qty(side, price)
        if qty > 0:
            self.levels[side][price] = qty
        else:
            self.levels[side].pop(price, None)  # "0 removes"
        return Change(side, price, old, qty)

    def apply(self, row: Row) -> list[Change]:
        """Apply one row; what it did to levels, except for a reset, after which nothing is known of any level."""
        if row.kind in (RESET, GAP):
            if row.kind == RESET:
                self.levels[BUY].clear()  # "A reset empties it."
                self.levels[SELL].clear()
            self.gap = True
            self.snapshot_seen = False
            return []
        if row.flags & SNAPSHOT:
            self.snapshot_seen = True
        if row.kind == BID:
            return [self._set(BUY, row.price, row.qty)]
        if row.kind == ASK:
            return [self._set(SELL, row.price, row.qty)]
        if row.kind == BEST_BID:  # "A best-bid/ask row sets its level and empties the better levels of its side."
            better = sorted((p for p in self.levels[BUY] if p > row.price), reverse=True)
            return [self._set(BUY, p, 0) for p in better] + [self._set(BUY, row.price, row.qty)]
        if row.kind == BEST_ASK:
            better = sorted(p for p in self.levels[SELL] if p < row.price)
            return [self._set(SELL, p, 0) for p in better] + [self._set(SELL, row.price, row.qty)]
        return []  # prints "do not change levels; their depth rows do"; mark and funding are not of the book

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

    @property
    def locked(self) -> bool:
        return self.two_sided() and self.best_bid() == self.best_ask()
