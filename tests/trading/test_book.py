from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT, TRADE_BUY
from tidewright.market.tape import columns
from tidewright.trading.book import Book

END = PACKET_END


def rows(*items):
    return columns((1, 1, kind, flags, price, qty) for kind, flags, price, qty in items)


SNAPSHOT_ROWS = ((RESET, 0, 0, 0), (BID, SNAPSHOT, 100, 5), (ASK, SNAPSHOT | END, 102, 7))


def whole_book() -> Book:
    book = Book()
    book.apply(rows(*SNAPSHOT_ROWS))
    return book


def test_a_snapshot_makes_the_book_whole():
    assert Book().now().whole is False
    now = whole_book().now()
    assert (now.whole, now.best_bid, now.best_ask, now.bid_qty, now.ask_qty, now.mid2) == (True, 100, 102, 5, 7, 202)


def test_updates_set_and_remove_levels():
    book = whole_book()
    book.apply(rows((BID, 0, 101, 3), (ASK, 0, 102, 0), (ASK, END, 103, 9), (TRADE_BUY, END, 103, 1)))
    now = book.now()
    assert (now.best_bid, now.best_ask, now.ask_qty, book.last_price) == (101, 103, 9, 103)


def test_a_gap_lasts_until_a_snapshot_and_keeps_the_last_mid():
    book = whole_book()
    book.now()
    book.apply(rows((GAP, END, 0, 0), (BID, END, 101, 3)))
    assert book.now().whole is False
    assert (book.last_mid2, book.gaps) == (202, 1)
    book.apply(rows(*SNAPSHOT_ROWS))
    assert book.now().whole is True


def test_a_one_sided_or_crossed_book_is_not_whole_a_locked_one_is():
    book = whole_book()
    book.apply(rows((ASK, END, 102, 0)))
    assert book.now().whole is False
    book.apply(rows((ASK, END, 99, 1)))
    assert book.now().whole is False
    book.apply(rows((ASK, 0, 99, 0), (ASK, END, 100, 1)))
    assert (book.now().whole, book.now().mid2) == (True, 200)


def test_a_best_price_row_empties_what_is_better():
    book = whole_book()
    book.apply(rows((BID, 0, 101, 1), (BEST_BID, 0, 99, 4), (BEST_ASK, END, 103, 2)))
    now = book.now()
    assert (now.best_bid, now.bid_qty, now.best_ask) == (99, 4, 103)


LEVELS = st.lists(st.tuples(st.sampled_from([BID, ASK]), st.integers(90, 110), st.integers(0, 3)), max_size=30)


@given(LEVELS, st.integers(1, 30))
def test_slices_of_packets_do_not_matter(levels, size):
    packets = [(kind, END, price, qty) for kind, price, qty in levels]
    once, sliced = whole_book(), whole_book()
    once.apply(rows(*packets))
    for start in range(0, len(packets), size):
        sliced.apply(rows(*packets[start : start + size]))
    assert once.now() == sliced.now()
