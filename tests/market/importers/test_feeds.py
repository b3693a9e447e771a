"""Feeds, their merging, and what is put around prints: the same for any slicing of the input."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.assumed_quotes import AssumedQuotes
from tidewright.market.importers.csv_table import to_ns
from tidewright.market.importers.feeds import (
    Batch,
    Ordered,
    in_order,
    merged,
    packets_by_time,
    reset_at_snapshots,
    rows,
)
from tidewright.market.importers.steps import StepSurvey, Where, decimal_counts, to_lots, to_ticks
from tidewright.market.tape import Columns, columns, concatenate

NS = 1_700_000_000 * 10**9


def pieces(total: int, cuts: list[int]) -> Iterator[slice]:
    edges = sorted({0, total, *(cut % (total + 1) for cut in cuts)})
    return (slice(a, b) for a, b in pairwise(edges))


def feed_of(times: list[int], mark: int) -> Columns:
    """Two-row packets; ``ts_local`` tells feed and number."""
    packed = [
        (t, 1_000 * mark + i, codes.BID, flag, i, 1) for i, t in enumerate(times) for flag in (0, codes.PACKET_END)
    ]
    return columns(packed)


TIMES = st.lists(st.integers(1, 12), max_size=12).map(sorted)


@given(st.lists(TIMES, min_size=1, max_size=3), st.lists(st.integers(0, 60), max_size=6))
def test_merging_is_a_stable_sort_by_time_for_any_slicing(feeds, cuts):
    parts = [feed_of(times, mark) for mark, times in enumerate(feeds, 1)]

    def sliced(data: Columns) -> Iterator[Ordered]:
        for piece in pieces(len(data.ts) // 2, cuts):
            part = data.rows(2 * piece.start, 2 * piece.stop)
            yield Ordered(part.ts, part)

    got = concatenate(merged([sliced(data) for data in parts]))
    whole = concatenate(parts)
    index = np.argsort(whole.ts, kind="stable")
    assert got.ts_local.tolist() == whole.ts_local[index].tolist()
    assert got.flags.tolist() == [0, codes.PACKET_END] * (len(index) // 2)


def level_batch(lines: list[tuple[int, bool]]) -> Batch:
    times = np.array([t for t, _ in lines], np.int64) + NS
    flags = np.array([codes.SNAPSHOT if s else 0 for _, s in lines], np.uint8)
    count = len(lines)
    kind, ones = np.zeros(count, np.uint8), np.ones(count)
    return rows("file", np.arange(count), "line", times, times + 5, kind, ones, ones, flags)


LINES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=15).map(
    lambda lines: sorted(lines, key=lambda line: line[0])
)


@given(LINES, st.lists(st.integers(0, 20), max_size=5))
def test_packets_and_resets_do_not_depend_on_the_slicing(lines, cuts):
    def run(cuts: list[int]) -> tuple[list, dict]:
        counts = {"snapshots": 0, "reconnections": 0, "rows_before_a_snapshot": 0}
        batch = level_batch(lines)
        parts = (batch.pick(piece) for piece in pieces(len(lines), cuts))
        out = [list(map(tuple, zip(*(a.tolist() for a in b.arrays()), strict=True))) for b in _book(parts, counts)]
        return [row for part in out for row in part], counts

    def _book(parts, counts):
        return reset_at_snapshots(packets_by_time(parts), counts)

    assert run(cuts) == run([])
    got, counts = run([])
    assert sum(row[3] == codes.RESET for row in got) == counts["snapshots"]
    assert sum(row[3] == codes.GAP for row in got) == counts["reconnections"] == max(0, counts["snapshots"] - 1)
    assert len(got) == len(lines) - counts["rows_before_a_snapshot"] + counts["snapshots"] + counts["reconnections"]
    times = [row[0] for row in got]
    assert times == sorted(times)


PRINTS = st.lists(st.tuples(st.sampled_from([2, 3, 4, codes.GAP]), st.integers(1, 30), st.integers(0, 5)), max_size=12)


@given(PRINTS, st.lists(st.integers(0, 20), max_size=4), st.integers(1, 5))
def test_assumed_quotes_are_a_whole_book_of_the_last_print_for_any_slicing(prints, cuts, ticks):
    data = columns([(i, 0, kind, 1, price, qty) for i, (kind, price, qty) in enumerate(prints)])

    def run(cuts: list[int]) -> Columns:
        quotes = AssumedQuotes(ticks)
        return concatenate(quotes.around(data.rows(p.start, p.stop)) for p in pieces(len(prints), cuts))

    got = run(cuts)
    assert [c.tolist() for c in got] == [c.tolist() for c in run([])]
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    last = None
    for kind, flags, price, qty in zip(got.kind, got.flags, got.price.tolist(), got.qty.tolist(), strict=True):
        if kind == codes.RESET:
            bids, asks = {}, {}
        elif kind == codes.BEST_BID:
            bids = {price: qty}
        elif kind == codes.BEST_ASK:
            asks = {price: qty}
        elif kind != codes.GAP:
            last = (kind, price)
        if flags & codes.PACKET_END and kind != codes.GAP:
            assert len(bids) == len(asks) == 1 and min(asks) - max(bids) == ticks
            assert last is not None
            edge = {codes.TRADE_BUY: min(asks), codes.TRADE_SELL: max(bids)}.get(last[0], last[1])
            assert edge == last[1] or last[1] <= ticks, "a print is at its aggressor's quote, or under the first tick"


def test_quotes_of_no_spread_are_refused():
    with pytest.raises(UsageError, match="at least 1 tick"):
        AssumedQuotes(0)


def test_small_falls_of_time_are_put_up_with_and_large_ones_refused():
    def batch(*seconds: float) -> Batch:
        ts = np.array([NS + int(s * 1e9) for s in seconds])
        count = len(ts)
        return rows(
            "a.csv",
            np.arange(2, 2 + count),
            "line",
            ts,
            None,
            np.zeros(count, np.uint8),
            np.ones(count),
            np.ones(count),
        )

    orders = [b.order - NS for b in in_order(iter([batch(1, 0.5), batch(0.25, 2)]))]
    assert np.concatenate(orders).tolist() == [10**9, 10**9, 10**9, 2 * 10**9]
    with pytest.raises(DataError, match=r"a\.csv, line 3: time falls from 2023-11-14T22:13:23"):
        list(in_order(iter([batch(3, 0.5)])))


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_unit_of_a_time_is_told_by_its_size(scale):
    assert to_ns(np.array([1_700_000_000 * scale]))[0] == NS


def test_times_beyond_all_sense_do_not_wrap_around():
    latest = 4_102_444_800 * 10**9
    assert (to_ns(np.array([10**10, 10**13 * 9, 9 * 10**18])) == latest).all()


ANYWHERE = Where("x", np.array([7]))


@given(st.integers(0, 8), st.integers(1, 10**7))
def test_decimals_and_ticks_of_floats_are_exact(decimals, count):
    step = f"0.{'0' * (decimals - 1)}1" if decimals else "1"
    value = np.array([float(f"{count}e-{decimals}")])
    need = decimals - min(decimals, len(str(count)) - len(str(count).rstrip("0")))
    assert decimal_counts(value, 12)[need] == 1
    assert to_ticks(value, step, ANYWHERE).tolist() == [count] and to_lots(value, step, ANYWHERE)[0].tolist() == [count]


@pytest.mark.parametrize(("convert", "what"), [(to_ticks, "price"), (to_lots, "quantity")])
def test_value_with_too_many_steps_for_a_tape_is_named(convert, what):
    problem = rf"x, line 7: {what} must be under [\d,]+ steps of 0\.00000001, was 500000000000000"
    with pytest.raises(DataError, match=problem):
        convert(np.array([5e14]), "0.00000001", ANYWHERE)


def test_lot_leaves_out_what_few_quantities_need_and_removals():
    survey = StepSurvey()
    survey.add(np.array([1.5, 2.25]), np.array([0.001] * 2_000 + [0.00000001] + [0.0] * 9_000))
    assert (survey.tick_size, survey.lot_size) == ("0.01", "0.001")
    assert to_lots(np.array([0.0012]), "0.001", ANYWHERE)[0].tolist() == [2]
