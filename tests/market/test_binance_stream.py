import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market import codes
from tidewright.market.binance_stream import BinanceStream, venue_ns
from tidewright.market.errors import DataError
from tidewright.market.fixed_point import FixedPoint
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns

MS = 1_000_000
INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
Row = tuple[str, int, int]


def depth(first, last, bids=(), asks=(), time=1_700_000_000_000):
    as_lists = lambda levels: [list(level) for level in levels]  # noqa: E731
    return {
        "e": "depthUpdate",
        "E": time,
        "s": "BTCUSDT",
        "U": first,
        "u": last,
        "b": as_lists(bids),
        "a": as_lists(asks),
    }


def ticker(update_id, bid, bid_qty, ask, ask_qty, **more):
    return {"u": update_id, "s": "BTCUSDT", "b": bid, "B": bid_qty, "a": ask, "A": ask_qty, **more}


def trade(trade_id, price="100.00", qty="0.5", maker_buys=False, time=1_700_000_000_000):
    return {"e": "trade", "E": time, "s": "BTCUSDT", "t": trade_id, "p": price, "q": qty, "T": time, "m": maker_buys}


def rows(data: Columns) -> list[Row]:
    return [(codes.KIND_NAMES[k], int(p), int(q)) for k, p, q in zip(data.kind, data.price, data.qty, strict=True)]


def started(last_update_id=10, bids=(("100.00", "1"),), asks=(("101.00", "2"),)) -> BinanceStream:
    stream = BinanceStream(INSTRUMENT)
    assert stream.on_snapshot(last_update_id, list(bids), list(asks), 1_700_000_000_000 * MS, 5)
    stream.take()
    return stream


def test_snapshot_resets_the_book_and_is_one_packet():
    stream = BinanceStream(INSTRUMENT)
    assert stream.needs_snapshot
    assert stream.on_snapshot(10, [["100.00", "1.00000000"], ["99.00", "0"]], [["101", "2"]], 7, 8)
    data = stream.take()
    assert rows(data) == [("reset", 0, 0), ("bid", 10_000, 100_000), ("ask", 10_100, 200_000)]
    assert data.flags.tolist() == [0, codes.SNAPSHOT, codes.SNAPSHOT | codes.PACKET_END]
    assert data.ts.tolist() == [7, 7, 7] and data.ts_local.tolist() == [8, 8, 8]
    assert not stream.needs_snapshot and stream.last_update_id == 10
    assert len(stream.take().ts) == 0


def test_updates_wait_for_the_snapshot_and_those_it_holds_are_dropped():
    stream = BinanceStream(INSTRUMENT)
    stream.on_message(depth(5, 8, bids=[("98.00", "9")]), 1)
    stream.on_message(depth(9, 12, bids=[("99.00", "3")]), 2)
    stream.on_message(depth(13, 13, asks=[("102.00", "4")]), 3)
    assert len(stream.take().ts) == 0
    assert stream.on_snapshot(10, [["100.00", "1"]], [["101.00", "2"]], 0, 9)
    data = stream.take()
    assert rows(data)[3:] == [("bid", 9_900, 300_000), ("ask", 10_200, 400_000)]
    assert data.ts_local.tolist()[3:] == [9, 9], "what waited was usable only once the snapshot was there"
    assert stream.last_update_id == 13 and stream.stale == 1


def test_snapshot_older_than_the_waiting_updates_is_refused():
    stream = BinanceStream(INSTRUMENT)
    stream.on_message(depth(20, 21, bids=[("98.00", "9")]), 1)
    assert not stream.on_snapshot(10, [["100.00", "1"]], [["101.00", "2"]], 0, 9)
    assert stream.needs_snapshot and len(stream.take().ts) == 0
    assert stream.on_snapshot(19, [["100.00", "1"]], [["101.00", "2"]], 0, 9)
    assert stream.last_update_id == 21


def test_missed_update_is_a_gap_until_the_next_snapshot():
    stream = started()
    stream.on_message(depth(11, 12, bids=[("99.00", "1")]), 6)
    stream.on_message(depth(14, 15, bids=[("98.00", "1")]), 7)
    assert rows(stream.take()) == [("bid", 9_900, 100_000), ("gap", 0, 0)]
    assert stream.needs_snapshot and stream.gaps == 1
    assert stream.on_snapshot(14, [["100.00", "1"]], [["101.00", "2"]], 0, 9)
    assert rows(stream.take())[-1] == ("bid", 9_800, 100_000), "the update that showed the gap is applied afterwards"


def test_snapshot_that_came_before_the_gap_was_noticed_is_used():
    stream = started()
    assert not stream.on_snapshot(19, [["90.00", "1"]], [["91.00", "2"]], 0, 6)
    stream.on_message(depth(20, 21, bids=[("89.00", "1")]), 7)
    assert [k for k, _, _ in rows(stream.take())] == ["gap", "reset", "bid", "ask", "bid"]
    assert not stream.needs_snapshot and stream.last_update_id == 21


def test_old_depth_updates_are_dropped_and_overlapping_ones_applied():
    stream = started(10)
    stream.on_message(depth(9, 10, bids=[("99.00", "1")]), 6)
    assert stream.stale == 1 and len(stream.take().ts) == 0
    stream.on_message(depth(9, 11, bids=[("99.00", "1")]), 6)
    assert rows(stream.take()) == [("bid", 9_900, 100_000)]


def test_ticker_sets_the_best_levels_once():
    stream = started()
    stream.on_message(ticker(11, "100.50", "1", "101.00", "2"), 6)
    assert rows(stream.take()) == [("best_bid", 10_050, 100_000), ("best_ask", 10_100, 200_000)]
    stream.on_message(ticker(12, "100.50", "1", "101.00", "3"), 6)
    assert rows(stream.take()) == [("best_ask", 10_100, 300_000)]
    stream.on_message(depth(11, 12, bids=[("100.50", "1")]), 7)
    stream.on_message(ticker(13, "100.50", "1", "101.00", "3"), 8)
    assert rows(stream.take())[1:] == [("best_bid", 10_050, 100_000), ("best_ask", 10_100, 300_000)]


def test_ticker_older_than_the_depth_is_dropped():
    stream = started()
    stream.on_message(depth(11, 20, bids=[("100.50", "1")]), 6)
    stream.take()
    stream.on_message(ticker(15, "100.00", "1", "101.00", "2"), 7)
    assert len(stream.take().ts) == 0 and stream.stale == 1


def test_depth_older_than_the_ticker_leaves_the_touch_alone():
    stream = started()
    stream.on_message(ticker(15, "100.50", "1", "101.00", "2"), 6)
    stream.take()
    stream.on_message(
        depth(11, 13, bids=[("100.70", "5"), ("100.50", "9"), ("99.00", "4")], asks=[("100.90", "1"), ("102", "3")]), 7
    )
    assert rows(stream.take()) == [("bid", 9_900, 400_000), ("ask", 10_200, 300_000)]
    stream.on_message(depth(14, 15, bids=[("100.50", "1")]), 8)
    assert rows(stream.take()) == [("bid", 10_050, 100_000)]


def test_trades_carry_the_aggressor_and_come_once():
    stream = BinanceStream(INSTRUMENT)
    stream.on_message(trade(1, maker_buys=True), 1)
    stream.on_message(trade(2), 2)
    stream.on_message(trade(2), 3)
    stream.on_message(trade(5), 4)
    assert [k for k, _, _ in rows(stream.take())] == ["trade_sell", "trade_buy", "trade_buy"]
    assert stream.duplicates == 1 and stream.missing_trades == 2 and stream.last_trade_id == 5


def test_venue_time_never_falls_and_untimed_tickers_take_the_time_before():
    stream = started()
    stream.on_message(depth(11, 11, bids=[("99.00", "1")], time=1_700_000_000_500), 6)
    stream.on_message(ticker(12, "100.50", "1", "101.00", "2"), 7)
    stream.on_message(trade(1, time=1_700_000_000_400), 8)
    stream.on_message(ticker(13, "100.60", "1", "101.00", "2", E=1_700_000_000_600), 9)
    data = stream.take()
    assert (data.ts // MS - 1_700_000_000_000).tolist() == [500, 500, 500, 500, 600]
    assert stream.clamped == 1


def test_lost_connection_is_a_gap():
    stream = started()
    stream.on_disconnect(9)
    assert rows(stream.take()) == [("gap", 0, 0)] and stream.needs_snapshot
    stream.on_disconnect(10)
    assert len(stream.take().ts) == 0 and stream.gaps == 1


def test_book_can_be_inferred_from_a_ticker_and_what_waited():
    stream = BinanceStream(INSTRUMENT)
    stream.on_message(depth(5, 8, bids=[("98.00", "9"), ("100.20", "1")], asks=[("103.00", "1")]), 1)
    assert not stream.infer_snapshot(1, with_ticker=True)
    stream.on_message(ticker(9, "100.00", "1", "101.00", "2"), 2)
    assert stream.infer_snapshot(2, with_ticker=True)
    data = stream.take()
    assert rows(data) == [
        ("reset", 0, 0),
        ("bid", 10_000, 100_000),
        ("bid", 9_800, 900_000),
        ("ask", 10_100, 200_000),
        ("ask", 10_300, 100_000),
    ]
    assert set(data.flags[1:-1].tolist()) == {codes.SNAPSHOT | codes.INFERRED}
    stream.on_message(depth(9, 9, bids=[("100.00", "1")]), 3)
    assert stream.gaps == 0


@pytest.mark.parametrize(
    "payload",
    [
        depth(11, 12, bids=[("99.005", "1")]),
        depth(11, 12, bids=[("-99.00", "1")]),
        depth(11, 12, bids=[("1e2", "1")]),
        depth(11, 12, bids=[("99.00", "1")], asks=[("", "1")]),
        depth(11, 12, bids=[("99.00",)]),
        {"e": "depthUpdate", "s": "BTCUSDT"},
        {**trade(1), "s": "ETHUSDT"},
        {**trade(1), "p": None},
    ],
)
def test_bad_numbers_and_missing_fields_are_refused_and_leave_nothing(payload):
    stream = started()
    with pytest.raises(DataError):
        stream.on_message(payload, 6)
    assert len(stream.take().ts) == 0 and stream.last_update_id == 10


def test_off_grid_error_names_the_text():
    with pytest.raises(DataError, match=r"price must be a multiple of the tick size 0\.01, was 99\.005"):
        started().on_message(depth(11, 12, bids=[("99.005", "1")]), 6)


def test_quantity_between_two_lots_is_rounded_up_and_counted():
    stream = started()
    for update_id in (11, 12):
        stream.on_message(depth(update_id, update_id, bids=[("99.00", "25.42618900")]), 6)
    assert rows(stream.take()) == [("bid", 9_900, 2_542_619)] * 2 and stream.off_grid == 2


@given(st.integers(0, 10**15), st.sampled_from(["1", "0.01", "0.05", "0.00001", "10", "2.5", "0.00000001"]), st.data())
def test_fixed_point_agrees_with_exact_arithmetic(count, step, data):
    from decimal import Decimal

    text = format(Decimal(step) * count, "f")
    if data.draw(st.booleans()) and "." in text:
        text += "000"
    assert FixedPoint(step, "price", "tick size")[text] == count


def test_venue_time_units_are_told_by_their_digits():
    assert venue_ns(1_700_000_000_123) == venue_ns(1_700_000_000_123_000) == venue_ns(1_700_000_000_123_000_000)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(90, 110), st.integers(0, 3)), max_size=40))
def test_any_slicing_of_take_gives_the_same_rows(messages):
    def play(take_each: bool) -> list[Row]:
        stream, out, update_id = started(), [], 10
        for number, (is_trade, step, price, qty) in enumerate(messages):
            if is_trade:
                stream.on_message(trade(number + 1, str(price), str(qty)), number)
            else:
                stream.on_message(depth(update_id + 1, update_id + step, bids=[(str(price), str(qty))]), number)
                update_id += step
            if take_each:
                part = stream.take()
                assert not len(part.flags) or part.flags[-1] & codes.PACKET_END
                out += rows(part)
        return out + rows(stream.take())

    assert play(True) == play(False)
