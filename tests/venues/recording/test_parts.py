"""The recorder's parts, each alone."""

import asyncio
import resource
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.recording.harness import book_of
from tests.venues.recording.markets import CAPTURES, capture
from tidewright.market.binance_stream import BinanceStream
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, GAP, PACKET_END, RESET, SNAPSHOT, TRADE_BUY
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape, columns
from tidewright.venues.binance.market_data import PlacedStream, payload_of, snapshot_weight
from tidewright.venues.coinbase.market_data import CoinbaseSocket
from tidewright.venues.kraken.market_data import Kraken, KrakenStream
from tidewright.venues.recording.book import BookSide, RowBook
from tidewright.venues.recording.connection import ReconnectError
from tidewright.venues.recording.grid import PriceGrid
from tidewright.venues.recording.limits import Backoff, RateLimiter
from tidewright.venues.recording.rows import PacketBuffer
from tidewright.venues.recording.sink import TapeSink, period_name
from tidewright.venues.recording.times import text_ns

INSTRUMENT = Instrument("kraken", "BTC/USD", "BTC", "USD", "0.1", "0.00000001")
SECOND = 1_000_000_000


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-09T21:05:48.228568804Z", 1_786_309_548_228_568_804),
        ("2023-10-06T17:35:55.44Z", 1_696_613_755_440_000_000),
        ("2023-10-06T17:35:55+00:00", 1_696_613_755_000_000_000),
    ],
)
def test_venue_times_are_exact_to_the_nanosecond(text, ns):
    assert text_ns(text) == ns


@pytest.mark.parametrize(
    "text", ["", "now", "2023-10-06 17:35:55Z", "2023-13-06T17:35:55Z", "2023-10-06T17:35:55+02:00"]
)
def test_a_text_that_is_no_utc_time_is_refused(text):
    with pytest.raises(DataError, match="time"):
        text_ns(text)


# -- books -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3), st.booleans())))
def test_a_side_is_ordered_whenever_it_is_asked(changes):
    side, plain = BookSide(), {}
    for price, qty, asked in changes:
        side.set(price, qty)
        plain[price] = qty
        plain = {p: q for p, q in plain.items() if q}
        if asked:
            assert side.prices == sorted(plain)
            assert side.above(15) == sorted(p for p in plain if p > 15)
            assert side.below(15) == sorted(p for p in plain if p < 15)
    assert side.levels == plain


row = st.tuples(st.sampled_from((BID, ASK, BEST_BID, BEST_ASK, RESET)), st.integers(1, 20), st.integers(0, 4))


@given(st.lists(row, min_size=1))
def test_a_snapshot_of_the_book_makes_the_same_book(rows):
    book, copy = RowBook(), RowBook()
    book.apply(columns([(1, 1, kind, PACKET_END, price, qty) for kind, price, qty in rows]))
    snapshot = book.snapshot(5, 6)
    copy.apply(snapshot)
    assert (copy.bids.levels, copy.asks.levels) == (book.bids.levels, book.asks.levels)
    assert copy.in_gap == (len(snapshot.ts) == 1)
    assert list(np.flatnonzero(snapshot.flags & PACKET_END)) == [len(snapshot.ts) - 1]


def test_a_gap_lasts_until_a_packet_with_snapshot_rows_ends():
    book = RowBook()
    snapshot = [(1, 1, RESET, 0, 0, 0), (1, 1, BID, SNAPSHOT, 5, 1), (1, 1, ASK, SNAPSHOT | PACKET_END, 6, 1)]
    book.apply(columns(snapshot))
    assert not book.in_gap
    book.apply(columns([(1, 1, GAP, PACKET_END, 0, 0), (1, 1, BID, PACKET_END, 5, 2)]))
    assert book.in_gap
    book.apply(columns(snapshot))
    assert not book.in_gap


# -- prices off the tick -----------------------------------------------------------------------------------------------


def test_levels_of_a_former_finer_tick_are_left_out_and_counted():
    grid = PriceGrid(INSTRUMENT)
    levels = [[f"{100 + i}.{i % 10}", "1"] for i in range(30)] + [["55.25", "1"]]
    assert grid.keep(levels, [p for p, _ in levels], snapshot=True) == levels[:-1]
    assert grid.dropped == 1


def test_many_levels_off_the_tick_mean_that_the_tick_is_wrong():
    grid = PriceGrid(INSTRUMENT)
    with pytest.raises(DataError, match=r"2 of the 3 levels of BTC/USD are no multiple of the tick size 0\.1"):
        grid.keep([1, 2, 3], ["1.1", "1.25", "1.35"], snapshot=True)
    with pytest.raises(DataError, match="plain decimal"):
        grid.keep([1], ["1.2x"])


def test_a_message_without_a_time_gets_its_receipt_on_the_venues_clock():
    rows = PacketBuffer()
    assert rows.venue_time(1_000) == 1_000
    for ts, received in ((100, 1_030), (200, 1_120), (300, 1_260)):  # this clock is ahead; the shortest way is 920
        rows.add(ts, received, [BID], [1], [1])
    assert rows.venue_time(2_000) == 1_080
    assert rows.venue_time(1_000) == 300


def test_a_snapshot_after_a_gap_is_not_put_before_it():
    stream = KrakenStream(INSTRUMENT, 10, (1, 8))
    book = {"bids": kraken_levels(BIDS), "asks": kraken_levels(ASKS), "checksum": 3310070434}
    stream.on_book(book, snapshot=True, received_ns=START)
    stream.gap(START + 60 * SECOND)
    stream.on_book(book, snapshot=True, received_ns=START + 60 * SECOND)
    data = stream.take(final=True)
    (gap,) = np.flatnonzero(data.kind == GAP)
    assert (data.ts[gap], data.ts[gap + 1]) == (START, START + 60 * SECOND)


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_pauses_double_to_a_limit_within_their_jitter_and_begin_anew():
    for share in (0.0, 1.0):
        pauses = Backoff(1.0, 8.0, lambda low, high, share=share: low + share * (high - low))
        found = [pauses.next() for _ in range(5)]
        assert found == [step * (0.5 + share / 2) for step in (1, 2, 4, 8, 8)]
        pauses.reset()
        assert pauses.next() == 0.5 + share / 2


def test_no_window_holds_more_attempts_than_allowed():
    now, passed = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def scenario() -> None:
        limiter = RateLimiter(3, 10.0, now=lambda: now, sleep=sleep)
        for _ in range(9):
            await limiter.acquire()
            passed.append(now)

    asyncio.run(scenario())
    assert passed == [0, 0, 0, 10, 10, 10, 20, 20, 20]


# -- sinks -------------------------------------------------------------------------------------------------------------

START = 1_700_000_000 * SECOND // (86_400 * SECOND) * 86_400 * SECOND  # a midnight


def snapshot_rows(ts: int) -> list[tuple[int, int, int, int, int, int]]:
    return [
        (ts, ts, RESET, 0, 0, 0),
        (ts, ts, BID, SNAPSHOT, 100, 5),
        (ts, ts, ASK, SNAPSHOT | PACKET_END, 101, 6),
    ]


def sink(folder, **options) -> TapeSink:
    return TapeSink(folder, INSTRUMENT, detail="L2+trades", source="test", **options)


def test_a_day_is_a_tape_that_begins_with_the_book(tmp_path):
    day = 86_400 * SECOND
    writing = sink(tmp_path, rotate_ns=day)
    writing.write(columns(snapshot_rows(START + day - 5)))
    late = [(START + day - 1, 0, BID, PACKET_END, 99, 7), (START + day, 3, BID, PACKET_END, 98, 8)]
    writing.write(columns(late))
    writing.close()
    first, second = (Tape.open(path) for path in writing.tapes)
    assert [tape.path.name for tape in (first, second)] == ["2023-11-14", "2023-11-15"]
    assert second.data.kind.tolist() == [RESET, BID, BID, ASK, BID]
    assert set(second.data.ts.tolist()) == {START + day}
    assert book_of(first)["bid"].items() < book_of(second)["bid"].items()
    assert book_of(first)["ask"] == book_of(second)["ask"]


def test_a_period_that_begins_in_a_gap_waits_for_its_snapshot(tmp_path):
    writing = sink(tmp_path, rotate_ns=3_600 * SECOND)
    writing.write(columns([*snapshot_rows(START), (START + 1, 1, GAP, PACKET_END, 0, 0)]))
    hour = START + 3_600 * SECOND
    writing.write(columns([(hour, hour, TRADE_BUY, PACKET_END, 101, 1), *snapshot_rows(hour + 1)]))
    writing.close()
    second = Tape.open(writing.tapes[1])
    assert second.path.name == "2023-11-14T010000"
    assert second.data.kind.tolist() == [TRADE_BUY, RESET, BID, ASK]


def test_what_was_never_published_is_cut_off_at_the_restart(tmp_path):
    killed = sink(tmp_path)
    killed.write(columns(snapshot_rows(START)))
    killed.publish({"sequence_gaps": 2}, 77)
    killed.write(columns([(START + 1, 1, BID, PACKET_END, 1, 1)]))
    killed._writer.abandon()  # the process is gone: files stay as they are, the lock does not
    killed._lock.close()
    writing = sink(tmp_path)
    assert writing.last_trade_id == 77
    writing.write(columns(snapshot_rows(START + 9)))
    writing.publish({"sequence_gaps": 1}, 80)
    writing.close()
    tape = Tape.open(writing.tapes[0])
    assert tape.data.kind.tolist() == [RESET, BID, ASK, GAP, RESET, BID, ASK]
    assert tape.meta["notes"] == {"sequence_gaps": 3, "restarts": 1, "last_trade_id": 80}


def test_a_tape_that_was_begun_and_never_published_is_begun_again(tmp_path):
    killed = sink(tmp_path)
    killed.write(columns(snapshot_rows(START)))
    killed._writer.abandon()
    killed._lock.close()
    writing = sink(tmp_path)
    writing.write(columns(snapshot_rows(START + 9)))
    writing.close()
    assert Tape.open(writing.tapes[0]).data.kind.tolist() == [RESET, BID, ASK]


def test_a_full_disk_leaves_what_was_published(tmp_path):
    writing = sink(tmp_path)
    writing.write(columns(snapshot_rows(START)))
    writing.publish({}, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            writing.write(columns([(START + 1, 1, BID, PACKET_END, 1, 1)] * 5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writing.write(columns([(START + 1, 1, BID, PACKET_END, 1, 1)]))
    writing.publish({}, 0)
    writing.close()
    assert len(Tape.open(writing.tapes[0])) == 3
    again = sink(tmp_path)
    again.write(columns(snapshot_rows(START + 2)))
    again.close()
    assert Tape.open(again.tapes[0]).data.kind.tolist() == [RESET, BID, ASK, GAP, RESET, BID, ASK]


def test_venue_time_never_falls_at_a_restart(tmp_path):
    first = sink(tmp_path)
    first.write(columns(snapshot_rows(START + 10)))
    first.close()
    second = sink(tmp_path)
    second.write(columns(snapshot_rows(START)))
    second.close()
    assert second.raised == 1
    assert np.all(np.diff(Tape.open(second.tapes[0]).data.ts) >= 0)


def test_counters_of_a_tape_are_its_own(tmp_path):
    writing = sink(tmp_path, rotate_ns=3_600 * SECOND)
    writing.write(columns(snapshot_rows(START)))
    writing.publish({"sequence_gaps": 4}, 0)
    writing.write(columns(snapshot_rows(START + 3_600 * SECOND)))
    writing.publish({"sequence_gaps": 5}, 0)
    writing.close()
    assert [Tape.open(path).meta["notes"]["sequence_gaps"] for path in writing.tapes] == [4, 1]


def test_a_rotated_recording_is_not_continued_without_rotation(tmp_path):
    writing = sink(tmp_path, rotate_ns=3_600 * SECOND)
    writing.write(columns(snapshot_rows(START)))
    writing.close()
    with pytest.raises(UsageError, match="--rotate"):
        sink(tmp_path)
    sink(tmp_path, rotate_ns=3_600 * SECOND).close()  # the refusal gave the lock back


def test_names_of_periods_sort_by_time():
    names = [period_name(period, 3_600 * SECOND) for period in range(460_000, 460_100)]
    assert names == sorted(names)
    assert len(set(names)) == 100


# -- Binance -----------------------------------------------------------------------------------------------------------


def test_best_prices_are_placed_between_the_timed_messages_around_them():
    instrument = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
    placed = PlacedStream(BinanceStream(instrument), PriceGrid(instrument))
    ms = 1_000_000
    base = 1_700_000_000_000
    assert placed.on_snapshot({"lastUpdateId": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}, base * ms, base * ms)

    def depth(first: int, last: int, at: int) -> None:
        rows = {
            "e": "depthUpdate",
            "E": base + at,
            "s": "BTCUSDT",
            "U": first,
            "u": last,
            "b": [["0.5", "1"]],
            "a": [],
        }
        placed.on_message(rows, (base + at + 7) * ms)  # 7 ms of way

    def ticker(number: int, received: int, bid: str) -> None:
        rows = {"u": number, "s": "BTCUSDT", "b": bid, "B": "1", "a": "2", "A": "1"}
        placed.on_message(rows, (base + received) * ms)

    depth(2, 2, 100)
    ticker(3, 140, "1.01")
    ticker(4, 900, "1.02")  # received late: not after the update that was received next
    assert BEST_BID not in placed.take(final=False).kind  # they wait for it
    depth(3, 5, 200)
    rows = placed.take(final=False)
    best = rows.kind == BEST_BID
    found = dict(zip(rows.price[best].tolist(), (rows.ts[best] // ms - base).tolist(), strict=True))
    assert found == {101: 133, 102: 200}
    ticker(6, 1_000, "1.03")
    assert not len(placed.take(final=False).ts)
    assert list(placed.take(final=True).kind) == [BEST_BID, BEST_ASK]


def test_a_message_is_unwrapped_and_an_announced_shutdown_ends_the_connection():
    assert payload_of('{"stream":"a","data":{"u":5,"s":"X"}}') == {"u": 5, "s": "X"}
    assert payload_of('{"result":null,"id":1}') is None
    with pytest.raises(ReconnectError, match="shutdown"):
        payload_of('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
    with pytest.raises(DataError, match="JSON object"):
        payload_of("[]")


def test_snapshots_weigh_what_the_venue_charges():
    assert [snapshot_weight(levels) for levels in (5, 100, 101, 500, 1000, 1001, 5000)] == [5, 5, 25, 25, 50, 250, 250]


# -- Coinbase ----------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded venues are not here")
def test_the_recorded_prints_show_that_coinbase_names_the_makers_side():
    instruments = [Instrument("coinbase", s, s[:3], "USD", "0.01", "0.00000001") for s in ("BTC-USD", "ETH-USD")]
    socket = CoinbaseSocket("ws://nowhere", instruments, {})
    socket.on_open()
    for line in capture("COINBASE"):
        if line["t"] == "recv":
            socket.on_text(line["data"], int(line["ts"] * 1e9))
    right = wrong = 0
    for stream in socket.streams.values():
        book, data = RowBook(), stream.take(final=True)
        starts = [0, *(np.flatnonzero(data.flags & PACKET_END) + 1).tolist()]
        for start, stop in pairwise(starts):
            if data.kind[start] == TRADE_BUY and not book.in_gap:
                right += int(data.price[start]) >= book.asks.prices[0]
                wrong += int(data.price[start]) <= book.bids.prices[-1]
            book.apply(data.rows(start, stop))
        assert stream.counters()["sequence_gaps"] == 0
    assert right > 40
    assert wrong == 0


# -- Kraken ------------------------------------------------------------------------------------------------------------

ASKS = (
    "45285.2 0.00100000  45286.4 1.54571953  45286.6 1.54571109  45289.6 1.54560911  45290.2 0.15890660 "
    "45291.8 1.54553491  45294.7 0.04454749  45296.1 0.35380000  45297.5 0.09945542  45299.5 0.18772827"
).split()
BIDS = (
    "45283.5 0.10000000  45283.4 1.54582015  45282.1 0.10000000  45281.0 0.10000000  45280.3 1.54592586 "
    "45279.0 0.07990000  45277.6 0.03310103  45277.5 0.30000000  45277.3 1.54602737  45276.6 0.15445238"
).split()


def kraken_levels(flat: list[str]) -> list[dict[str, str]]:
    return [{"price": price, "qty": qty} for price, qty in zip(flat[::2], flat[1::2], strict=True)]


def test_the_checksum_is_that_of_the_venues_worked_example():
    """docs.kraken.com, "Book checksum (WebSocket v2)"."""
    stream = KrakenStream(INSTRUMENT, 10, (1, 8))
    book = {"bids": kraken_levels(BIDS), "asks": kraken_levels(ASKS), "checksum": 3310070434}
    assert stream.on_book(book, snapshot=True, received_ns=1)
    assert stream.checksum() == 3310070434
    assert not stream.on_book({**book, "checksum": 3310070435}, snapshot=True, received_ns=2)
    assert stream.needs_snapshot


def test_numbers_with_an_exponent_are_read_exactly():
    stream = KrakenStream(INSTRUMENT, 10, (1, 8))
    stream.trade(1, "45285.2", "1", buyer_took=True, ts_ns=1, ts_local_ns=1, past=False)
    from tidewright.venues.kraken.market_data import _digits

    assert _digits("5e-05") == "0.00005"
    assert _digits("1.5E+3") == "1500"
    assert _digits(7) == "7"


def test_common_spellings_of_symbols_are_understood():
    assert [Kraken().symbol(text) for text in ("xbt-usd", "BTC/USD", "xdg/eur")] == ["BTC/USD", "BTC/USD", "DOGE/EUR"]


def test_a_depth_the_venue_does_not_offer_is_refused():
    with pytest.raises(UsageError, match="one of 10, 25, 100, 500, 1000, was 20"):
        Kraken(depth=20)
