"""The mid of a tape through time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
)
from tidewright.market.errors import UsageError
from tidewright.market.tape import columns
from tidewright.measure.mids import MidSeries, tape_mids

END = PACKET_END
SNAP_END = PACKET_END | SNAPSHOT


def mids(rows: list[tuple[int, int, int, int, int]]) -> list[tuple[int, float]]:
    got = tape_mids(columns((ts, ts, kind, flags, price, qty) for ts, kind, flags, price, qty in rows), 0.5)
    return list(zip(got.ts.tolist(), got.mid.tolist(), strict=True))


OPEN = [(0, BID, SNAPSHOT, 100, 5), (0, BID, SNAPSHOT, 99, 5), (0, ASK, SNAPSHOT, 103, 5), (0, ASK, SNAP_END, 102, 5)]


def test_mid_changes_only_at_the_end_of_a_packet() -> None:
    assert mids([*OPEN, (1, BID, 0, 100, 0), (1, ASK, END, 101, 1)]) == [(0, 50.5), (1, 50.0)]


def test_no_mid_before_a_snapshot_and_after_a_gap_until_the_next() -> None:
    rows = [(0, BID, 0, 100, 1), (0, ASK, END, 102, 1)]
    assert mids(rows) == []
    later = [(5, GAP, END, 0, 0), (6, BID, END, 101, 1), (7, ASK, SNAP_END, 102, 3)]
    assert mids([*OPEN, *later]) == [(0, 50.5), (7, 50.75)]


def test_reset_empties_both_sides() -> None:
    rows = [*OPEN, (2, RESET, 0, 0, 0), (2, BID, SNAPSHOT, 90, 1), (2, ASK, SNAP_END, 92, 1)]
    assert mids(rows) == [(0, 50.5), (2, 45.5)]


def test_best_rows_empty_the_better_levels_of_their_side() -> None:
    rows = [*OPEN, (1, BEST_BID, END, 99, 2), (2, BEST_ASK, END, 103, 1), (3, BEST_ASK, END, 101, 1)]
    assert mids(rows) == [(0, 50.5), (1, 50.25), (2, 50.5), (3, 50.0)]


def test_crossed_and_one_sided_books_have_no_mid_but_locked_ones_do() -> None:
    rows = [
        *OPEN,
        (1, BID, END, 103, 1),  # crossed
        (2, BID, END, 103, 0),
        (3, BID, END, 102, 1),  # locked
        (4, ASK, 0, 102, 0),
        (4, ASK, END, 103, 0),  # one-sided
        (5, TRADE_BUY, END, 500, 1),
    ]
    assert mids(rows) == [(0, 50.5), (3, 51.0)]


def slow_mids(rows: list[tuple[int, int, int, int, int]]) -> list[tuple[int, float]]:
    """The obvious model: two dictionaries, looked through at every packet end."""
    books: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
    out: list[tuple[int, float]] = []
    gap, snapshot = True, False
    for ts, kind, flags, price, qty in rows:
        if kind in (GAP, RESET):
            gap, snapshot = True, False
            if kind == RESET:
                books = {BID: {}, ASK: {}}
        if kind == BEST_BID:
            books[BID] = {p: q for p, q in books[BID].items() if p <= price}
        if kind == BEST_ASK:
            books[ASK] = {p: q for p, q in books[ASK].items() if p >= price}
        if kind in (BID, BEST_BID):
            books[BID][price] = qty
        if kind in (ASK, BEST_ASK):
            books[ASK][price] = qty
        snapshot = snapshot or bool(flags & SNAPSHOT)
        if flags & PACKET_END:
            gap = gap and not snapshot
            snapshot = False
            bids = [p for p, q in books[BID].items() if q]
            asks = [p for p, q in books[ASK].items() if q]
            if not gap and bids and asks and max(bids) <= min(asks):
                mid = (max(bids) + min(asks)) * 0.25
                if not out or out[-1][1] != mid:
                    out.append((ts, mid))
    return out


row: Any = st.tuples(
    st.sampled_from([BID, BID, BID, ASK, ASK, ASK, BEST_BID, BEST_ASK, TRADE_BUY, RESET, GAP]),
    st.sampled_from([0, END, END, SNAPSHOT, SNAP_END]),
    st.integers(95, 105),
    st.integers(0, 2),
)


@given(st.lists(row, max_size=60))
def test_agrees_with_the_slow_model(raw: list[tuple[int, int, int, int]]) -> None:
    rows = [(i, *r) for i, r in enumerate(raw)]
    assert mids([*OPEN, *rows]) == slow_mids([*OPEN, *rows])


def test_looking_up_times() -> None:
    series = MidSeries(np.array([10, 20], np.int64), np.array([1.0, 2.0]), 25)
    got = series.at(np.array([9, 10, 19, 20, 25, 26], np.int64))
    np.testing.assert_array_equal(got, [np.nan, 1.0, 1.0, 2.0, 2.0, np.nan])
    empty = MidSeries(np.empty(0, np.int64), np.empty(0), 0)
    assert np.isnan(empty.at(np.array([0], np.int64))).all()
    with pytest.raises(UsageError, match="may not fall"):
        MidSeries(np.array([2, 1], np.int64), np.array([1.0, 2.0]), 3)
