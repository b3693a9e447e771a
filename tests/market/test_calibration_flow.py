import numpy as np

from tidewright.market import calibration_flow as flow
from tidewright.market.codes import ASK, BID, GAP, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN
from tidewright.market.tape import columns

MS = 1_000_000
OPEN = [
    (0, 0, RESET, 0, 0, 0),
    (0, 0, BID, SNAPSHOT, 99, 10),
    (0, 0, BID, SNAPSHOT, 100, 10),
    (0, 0, ASK, SNAPSHOT, 103, 10),
    (0, 0, ASK, SNAPSHOT | PACKET_END, 104, 10),
]


def kinds(*rows, **options):
    found = flow.order_flow(columns([*OPEN, *rows]), **options)
    o = found.orders
    names = [flow.KIND_NAMES[k] for k in o[flow.KIND]]
    return list(zip(names, o[flow.SIDE].tolist(), o[flow.SIZE].tolist(), strict=True)), found


def row(ms, kind, price, qty, end=True):
    return (ms * MS, 0, kind, PACKET_END if end else 0, price, qty)


def test_each_change_of_a_level_is_one_order():
    found, _ = kinds(
        row(1, BID, 101, 5),  # better than the best
        row(2, BID, 101, 8),
        row(3, BID, 99, 14),
        row(4, BID, 97, 3),
        row(5, BID, 101, 6),
        row(6, BID, 101, 0),
        row(7, BID, 99, 12),
        row(8, BID, 97, 0),
    )
    assert found == [
        ("improve", 0, 5), ("join", 0, 3), ("add", 0, 4), ("new", 0, 3),
        ("trim", 0, 2), ("clear", 0, 6), ("cut", 0, 2), ("drop", 0, 3),
    ]  # fmt: skip


def test_a_print_before_its_level_row_is_a_market_order_and_no_cancellation():
    found, _ = kinds(row(1, TRADE_BUY, 103, 4), row(80, ASK, 103, 6))
    assert found == [("take", 1, 4)]


def test_a_print_soon_after_its_level_row_explains_the_fall_and_the_rest_is_cancelled():
    found, _ = kinds(row(1, BID, 100, 5), row(20, TRADE_SELL, 100, 3), row(40, BID, 100, 5))
    assert found == [("take", 0, 3), ("trim", 0, 2)]


def test_prints_of_one_instant_are_one_market_order():
    _, found = kinds(row(1, TRADE_BUY, 103, 10), row(1, TRADE_BUY, 104, 2), row(9, TRADE_BUY, 104, 1))
    takes = found.orders[:, found.orders[flow.KIND] == flow.TAKE]
    assert takes[flow.GROUP].tolist() == [0, 1, 0]


def test_a_print_of_unknown_side_is_classed_by_the_mid():
    found, _ = kinds(row(1, TRADE_UNKNOWN, 103, 1), row(2, TRADE_UNKNOWN, 100, 1))
    assert [side for _, side, _ in found] == [1, 0]


def test_a_crossing_level_removes_what_it_crosses():
    _, found = kinds(row(1, BID, 103, 2))
    assert (found.books[flow.B_BID, -1], found.books[flow.B_ASK, -1]) == (103, 104)


def test_nothing_is_noted_within_a_gap_and_time_does_not_run_over_it():
    _, found = kinds(
        row(1, BID, 100, 11),
        row(2, GAP, 0, 0),
        row(3, BID, 100, 50),
        (9000 * MS, 0, BID, SNAPSHOT | PACKET_END, 100, 20),
        row(9001, BID, 100, 21),
    )
    assert found.orders[flow.SIZE].tolist() == [1, 1]
    assert len(set(found.orders[flow.SEGMENT].tolist())) == 2


def test_orders_of_a_packet_are_spread_over_the_feeds_interval():
    _, found = kinds(row(500, BID, 100, 11, end=False), row(500, ASK, 103, 11), batch_ns=100 * MS)
    assert found.orders[flow.T].tolist() == [450 * MS, 500 * MS]


def test_books_tell_touch_and_volume():
    _, found = kinds(row(1, BID, 98, 7))
    assert found.books[:, -1].tolist()[1:7] == [100, 103, 10, 10, 27, 20]
    assert found.last_book[0].tolist() == [[100, 99, 98], [10, 10, 7]]
    assert np.array_equal(found.last_book[1], [[103, 104], [10, 10]])
