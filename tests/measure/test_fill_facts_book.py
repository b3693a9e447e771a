"""The book at any time, against a book kept in dictionaries."""

import numpy as np
import pytest

from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    BUY,
    GAP,
    PACKET_END,
    RESET,
    SELL,
    SNAPSHOT,
    TRADE_BUY,
)
from tidewright.market.tape import Columns, columns
from tidewright.measure.fill_facts_book import BookHistory


def random_tape(seed: int, packets: int = 150) -> Columns:
    random = np.random.default_rng(seed)
    rows, ts = [], 1_000
    for number in range(packets):
        ts += int(random.integers(0, 3))
        size = int(random.integers(1, 4))
        for k in range(size):
            kind = int(random.choice([BID, ASK, BID, ASK, BEST_BID, BEST_ASK, TRADE_BUY]))
            if random.random() < 0.02:
                kind = int(random.choice([GAP, RESET]))
            price = int(random.integers(95, 101) if kind in (BID, BEST_BID) else random.integers(100, 106))
            qty = int(random.integers(0, 4)) if kind in (BID, ASK) else int(random.integers(1, 4))
            flags = PACKET_END * (k == size - 1) | SNAPSHOT * (number % 10 == 0)
            rows.append((ts, ts, kind, flags, price, qty))
    return columns(rows)


def slow(data: Columns, when: int, side: int, price: int) -> tuple[int, ...]:
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    gap, snapshot, gaps, mid2, whole = True, False, 0, 0, False
    for ts, _, kind, flags, at, qty in zip(*(column.tolist() for column in data), strict=True):
        if ts > when:
            break
        if kind in (BID, ASK, BEST_BID, BEST_ASK):
            low = kind in (BID, BEST_BID)
            book = books[0 if low else 1]
            if kind in (BEST_BID, BEST_ASK):
                for better in [p for p in book if (p > at if low else p < at)]:
                    del book[better]
            book[at] = qty
            if qty == 0:
                del book[at]
        elif kind in (GAP, RESET):
            gap, snapshot, gaps, mid2 = True, False, gaps + 1, 0
            if kind == RESET:
                books[0].clear()
                books[1].clear()
        snapshot = snapshot or bool(flags & SNAPSHOT)
        if flags & PACKET_END:
            gap = gap and not snapshot
            snapshot = False
            whole = not gap and bool(books[0]) and bool(books[1]) and max(books[0]) <= min(books[1])
            if whole:
                mid2 = max(books[0]) + min(books[1])
    bid, ask = max(books[0], default=-1), min(books[1], default=-1)
    level = books[side].get(price, 0)
    return bid, ask, books[0].get(bid, 0), books[1].get(ask, 0), level, 0 if gap else mid2, int(whole), gaps


@pytest.mark.parametrize("seed", range(12))
def test_the_book_at_any_time_is_that_of_a_slow_model(seed: int) -> None:
    data = random_tape(seed)
    random = np.random.default_rng(100 + seed)
    when = random.integers(995, int(data.ts[-1]) + 5, 60)
    side, price = random.integers(BUY, SELL + 1, 60), random.integers(93, 108, 60)
    views = BookHistory(data).at(when, side, price)
    for k in range(60):
        told = tuple(int(column[k]) for column in views)
        assert told == slow(data, int(when[k]), int(side[k]), int(price[k])), (seed, k)


def test_a_mid_is_unknown_before_the_book_in_gaps_and_after_the_end() -> None:
    end = PACKET_END | SNAPSHOT
    data = columns(
        [
            (10, 10, BID, 0, 99, 1),
            (10, 10, ASK, end, 101, 1),
            (20, 20, GAP, PACKET_END, 0, 0),
            (30, 30, ASK, end, 103, 2),
            (40, 40, TRADE_BUY, PACKET_END, 103, 1),
        ]
    )
    mid = BookHistory(data).mid(np.array([9, 10, 19, 20, 29, 30, 40, 41]))
    np.testing.assert_array_equal(mid, [np.nan, 100, 100, np.nan, np.nan, 100, 100, np.nan])
    assert BookHistory(data).gaps_ns().tolist() == [20]
