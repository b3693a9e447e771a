"""The folded book is the book that a replay of every row would have left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.fold import BookFold
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT, TRADE_BUY
from tidewright.market.errors import UsageError
from tidewright.market.tape import Columns, columns

Book = dict[tuple[bool, int], int]


def slow_book(data: Columns, stop: int) -> tuple[Book, bool, int]:
    """Row by row: the levels, whether the book is outside a gap, and the last row count at which it was."""
    book: Book = {}
    gap, seen, good = True, False, 0
    for row in range(stop):
        kind, price, qty = int(data.kind[row]), int(data.price[row]), int(data.qty[row])
        if kind in (RESET, GAP):
            gap, seen = True, False
            if kind == RESET:
                book.clear()
        elif kind in (BID, ASK, BEST_BID, BEST_ASK):
            ask = kind in (ASK, BEST_ASK)
            if kind in (BEST_BID, BEST_ASK):
                better = [key for key in book if key[0] == ask and (key[1] < price if ask else key[1] > price)]
                for key in better:
                    del book[key]
            book[ask, price] = qty
            if qty == 0:
                del book[ask, price]
        seen = seen or (kind not in (RESET, GAP) and bool(data.flags[row] & SNAPSHOT))
        if data.flags[row] & PACKET_END:
            gap = gap and not seen
            if not gap:
                good = row + 1
    return book, not gap, good


level = st.tuples(
    st.sampled_from([BID, ASK, BID, ASK, BEST_BID, BEST_ASK, TRADE_BUY]), st.integers(1, 6), st.integers(0, 3)
)
other = st.tuples(st.sampled_from([RESET, GAP]), st.just(0), st.just(0))
packet = st.tuples(st.booleans(), st.lists(level, min_size=1, max_size=4) | st.lists(other, min_size=1, max_size=1))


@st.composite
def tapes(draw: st.DrawFn) -> Columns:
    rows = []
    for number, (snapshot, parts) in enumerate(draw(st.lists(packet, min_size=1, max_size=15)), 1):
        ts = number * 10
        for index, (kind, price, qty) in enumerate(parts):
            flags = (SNAPSHOT if snapshot and kind not in (RESET, GAP) else 0) | (
                PACKET_END if index == len(parts) - 1 else 0
            )
            rows.append((ts, ts + 1, kind, flags, price, qty))
    return columns(rows)


def levels(data: Columns) -> Book:
    rows = zip(data.kind, data.price, data.qty, strict=True)
    return {(int(kind) == ASK, int(price)): int(qty) for kind, price, qty in rows}


@given(tapes(), st.lists(st.integers(0, 160), min_size=1, max_size=4))
def test_folding_in_steps_equals_replaying_every_row(data: Columns, times: list[int]) -> None:
    fold = BookFold()
    for until in sorted(times):
        fold.advance(data, until)
        stop = int(np.searchsorted(data.ts, until, side="right"))
        _, whole, good = slow_book(data, stop)
        assert fold.row <= stop
        if whole:
            assert fold.row == stop
        elif good:
            assert fold.row <= good or not slow_book(data, fold.row)[0]
        book, outside_gap, _ = slow_book(data, fold.row)
        assert outside_gap or fold.row == 0
        snapshot = fold.snapshot()
        assert levels(snapshot) == book
        if len(snapshot.ts):
            assert (snapshot.ts == data.ts[fold.row - 1]).all()
            assert snapshot.flags[-1] == SNAPSHOT | PACKET_END and (snapshot.flags[:-1] == SNAPSHOT).all()


def test_time_does_not_go_back() -> None:
    data = columns([(10, 0, BID, SNAPSHOT | PACKET_END, 5, 1), (20, 0, BID, PACKET_END, 4, 1)])
    fold = BookFold()
    fold.advance(data, 25)
    assert levels(fold.snapshot()) == {(False, 5): 1, (False, 4): 1}
    with pytest.raises(UsageError):
        fold.advance(data, 15)
