"""The published market: it decodes back into the tape, has no gaps, and its snapshots continue its stream."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.paper.markets import INSTRUMENT, START, make_tape
from tidewright.market.binance_stream import BinanceStream
from tidewright.market.clock import MILLISECOND, SECOND
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
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import Columns, Tape, columns
from tidewright.venues.paper import topics
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.market_publisher import MarketPublisher

US = 1_000
MS = 1_000_000
EVERYTHING = frozenset({topics.DEPTH, topics.TRADE, topics.BOOK_TICKER})


def tape_of(rows: list[tuple[int, int, int, int, int, int]]) -> Tape:
    return Tape(Path(), INSTRUMENT, {"rows": len(rows)}, columns(rows))


def published(market: TapeMarket, kinds: frozenset[str], divisor: int = US, step: int = 7) -> list[tuple[str, Any]]:
    publisher, found = MarketPublisher(market), []
    total = len(market.packet_ts)
    for stop in [*range(publisher.packets, total, step), total]:
        now = int(market.packet_receipt[stop - 1])
        found += publisher.publish(stop, now, {divisor: kinds})[divisor]
    return [(topic, orjson.loads(payload)) for topic, payload in found]


def decoded(market: TapeMarket, kinds: frozenset[str]) -> Columns:
    stream, opening = BinanceStream(INSTRUMENT), MarketPublisher(market)
    snapshot = opening.depth(5_000)
    assert stream.on_snapshot(
        snapshot["lastUpdateId"],
        [list(level) for level in snapshot["bids"]],
        [list(level) for level in snapshot["asks"]],
        market.start_ns,
        market.start_ns,
    )
    stream.take()
    for _, payload in published(market, kinds):
        stream.on_message(payload, 0)
    assert (stream.gaps, stream.missing_trades, stream.duplicates, stream.clamped) == (0, 0, 0, 0)
    return stream.take()


def assert_same_rows(found: Columns, expected: Columns) -> None:
    for name in ("ts", "kind", "flags", "price", "qty"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.fixture
def market(tmp_path: Path) -> TapeMarket:
    return TapeMarket(make_tape(tmp_path / "tape"))


def by_side(data: Columns) -> Columns:
    """Rows with the bids of each packet first, as a depth update lists them."""
    ends = np.flatnonzero(data.flags & PACKET_END)
    packet = np.searchsorted(ends, np.arange(len(data.ts)))
    order = np.lexsort((data.kind, packet))
    sorted_rows = Columns(*(column[order] for column in data))
    return sorted_rows._replace(flags=data.flags)


def test_the_stream_of_a_tape_decodes_into_the_same_rows(market: TapeMarket) -> None:
    rest = market.data.rows(int(market.ends[market.opening_packets - 1]), len(market.data.ts))
    assert_same_rows(decoded(market, EVERYTHING), by_side(rest))


def test_depth_updates_have_no_gaps_and_one_id_a_row(market: TapeMarket) -> None:
    last = MarketPublisher(market).depth_id
    for topic, payload in published(market, EVERYTHING):
        if topic == topics.DEPTH:
            assert payload["U"] == last + 1
            last = payload["u"]
            assert last - payload["U"] + 1 == len(payload["b"]) + len(payload["a"])


def test_messages_do_not_depend_on_the_steps_of_publication(market: TapeMarket) -> None:
    every = EVERYTHING | {topics.AGGREGATE, "depth5"}
    assert published(market, every, step=1) == published(market, every, step=10_000)


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_a_snapshot_and_the_updates_after_it_make_the_final_book(stop: int) -> None:
    tape = tape_of(_random_rows(np.random.default_rng(3)))
    market = TapeMarket(tape)
    publisher = MarketPublisher(market)
    stop = min(max(stop, publisher.packets), len(market.packet_ts))
    publisher.publish(stop, market.start_ns, {})
    snapshot = publisher.depth(5_000)
    book = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
    last = snapshot["lastUpdateId"]
    rest = publisher.publish(len(market.packet_ts), market.end_ns, {MS: frozenset({topics.DEPTH})})
    for _, raw in rest[MS]:
        payload = orjson.loads(raw)
        assert payload["U"] == last + 1
        last = payload["u"]
        for side in ("b", "a"):
            for price, qty in payload[side]:
                book[side].pop(price, None)
                if float(qty):
                    book[side][price] = qty
    final = publisher.depth(5_000)
    assert book == {"b": dict(final["bids"]), "a": dict(final["asks"])}
    assert last == final["lastUpdateId"]


def _random_rows(rng: np.random.Generator) -> list[tuple[int, int, int, int, int, int]]:
    """Levels, prints, gaps and new snapshots in any order."""
    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 5)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 5))
    for step in range(1, 200):
        ts = START + step * MILLISECOND
        choice = int(rng.integers(0, 20))
        if choice == 0:
            rows.append((ts, ts, GAP, PACKET_END, 0, 0))
        elif choice == 1:
            rows.append((ts, ts, RESET, PACKET_END if rng.random() < 0.5 else 0, 0, 0))
            rows.append((ts, ts, BID, SNAPSHOT, 9_990 + int(rng.integers(0, 9)), 7))
            rows.append((ts, ts, ASK, SNAPSHOT | PACKET_END, 10_001 + int(rng.integers(0, 9)), 7))
        elif choice < 6:
            rows.append((ts, ts, TRADE_BUY, PACKET_END, 10_001, 1))
        else:
            kind = BID if rng.random() < 0.5 else ASK
            level = int(rng.integers(0, 9))
            price = 9_999 - level if kind == BID else 10_001 + level
            rows.append((ts, ts, kind, PACKET_END, price, int(rng.integers(0, 4))))
    return rows


def test_best_rows_become_tickers_that_decode_back_and_leave_the_depth_stream_alone() -> None:
    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 5)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 5))
    rows.append((START + 1000, 0, BEST_BID, 0, 10_000, 3))
    rows.append((START + 1000, 0, BEST_ASK, PACKET_END, 10_001, 4))
    rows.append((START + 2000, 0, BEST_BID, PACKET_END, 9_999, 5))
    rows.append((START + 3000, 0, BID, PACKET_END, 9_998, 9))
    market = TapeMarket(tape_of(rows))
    assert_same_rows(decoded(market, EVERYTHING), market.data.rows(3, len(rows)))
    depth = [payload for topic, payload in published(market, EVERYTHING) if topic == topics.DEPTH]
    assert [(d["U"], d["u"]) for d in depth] == [(3, 6)]


def test_derived_tickers_follow_the_best_prices_and_a_decoder_drops_them(market: TapeMarket) -> None:
    tickers = [payload for topic, payload in published(market, EVERYTHING) if topic == topics.BOOK_TICKER]
    assert len(tickers) > 10
    assert all(a != b for a, b in pairwise(tickers))
    depth_only = decoded(market, EVERYTHING - {topics.BOOK_TICKER})
    assert_same_rows(decoded(market, EVERYTHING), depth_only)


def test_prints_of_unknown_side_are_marked_and_follow_the_price() -> None:
    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 5)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 5))
    rows += [(START + i, 0, TRADE_UNKNOWN, PACKET_END, price, 1) for i, price in enumerate((10_000, 9_999, 10_001))]
    payloads = [payload for _, payload in published(TapeMarket(tape_of(rows)), frozenset({topics.TRADE}))]
    assert [(p["m"], p["M"]) for p in payloads] == [(False, False), (True, False), (False, False)]


def test_aggregate_trades_join_prints_of_one_instant_price_and_side() -> None:
    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 5)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 5))
    rows += [(START + MS, 0, TRADE_BUY, PACKET_END, 10_001, qty) for qty in (1, 2)]
    rows += [(START + MS, 0, TRADE_SELL, PACKET_END, 9_999, 4), (START + 2 * MS, 0, TRADE_SELL, PACKET_END, 9_999, 8)]
    found = [payload for _, payload in published(TapeMarket(tape_of(rows)), frozenset({topics.AGGREGATE}), step=1)]
    assert [(p["a"], p["f"], p["l"], p["q"]) for p in found] == [
        (1, 1, 2, "0.00003000"),
        (2, 3, 3, "0.00004000"),
        (3, 4, 4, "0.00008000"),
    ]


def test_candles_and_tickers_come_by_the_second_and_agree_with_the_queries(market: TapeMarket) -> None:
    found = published(market, frozenset({topics.TICKER, topics.MINI_TICKER, "kline_1m"}), divisor=MS)
    assert {topic for topic, _ in found} == {topics.TICKER, topics.MINI_TICKER, "kline_1m"}
    assert all(payload["E"] % 1_000 == 0 for _, payload in found)
    closed = [payload["k"] for topic, payload in found if topic == "kline_1m" and payload["k"]["x"]]
    first = market.klines(len(market.prints.ts), "1m", None, None, 10, MS)[0]
    assert len(closed) == 1
    assert (closed[0]["t"], closed[0]["o"], closed[0]["h"], closed[0]["v"]) == (first[0], first[1], first[2], first[5])


def test_klines_sum_up_to_all_prints(market: TapeMarket) -> None:
    count = len(market.prints.ts)
    for interval in ("1s", "1m", "1h"):
        candles = market.klines(count, interval, None, None, 1_000, MS)
        assert sum(candle[8] for candle in candles) == count
        assert round(sum(float(candle[5]) for candle in candles) * 1e5) == int(market.prints.qty.sum())


def test_the_average_price_is_that_of_the_last_minutes() -> None:
    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 5)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 5))
    rows.append((START, 0, TRADE_BUY, PACKET_END, 20_000, 1))
    rows.append((START + 400 * SECOND, 0, TRADE_BUY, PACKET_END, 10_000, 1))
    rows.append((START + 400 * SECOND, 0, TRADE_BUY, PACKET_END, 10_003, 2))
    market = TapeMarket(tape_of(rows))
    assert market.average_price(0, START, 5) == 0
    assert market.average_price(3, START + 400 * SECOND, 5) == 10_002_000_000
    assert market.average_price(1, START + 400 * SECOND, 5) == 20_000_000_000


def test_tapes_that_cannot_be_published_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        TapeMarket(tape_of([]))
    with pytest.raises(DataError, match="no snapshot"):
        TapeMarket(tape_of([(START, 0, BID, PACKET_END, 9_999, 5)]))
    fine = INSTRUMENT.to_json() | {"tick_size": "0.000000001"}
    tape = Tape(Path(), type(INSTRUMENT).from_json(fine), {}, columns([(START, 0, BID, PACKET_END, 9_999, 5)]))
    with pytest.raises(UsageError, match="tick"):
        TapeMarket(tape)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("btcusdt@depth", topics.DEPTH),
        ("btcusdt@depth@100ms", topics.DEPTH),
        ("btcusdt@depth5@100ms", "depth5"),
        ("btcusdt@kline_1m", "kline_1m"),
        ("btcusdt@trade@100ms", None),
        ("ethusdt@trade", None),
        ("btcusdt@unheard", None),
        ("!miniTicker@arr", topics.MINI_TICKERS),
    ],
)
def test_stream_names(name: str, topic: str | None) -> None:
    assert topics.is_well_formed(name)
    assert topics.topic_of(name, "BTCUSDT") == topic


@pytest.mark.parametrize("name", ["0", "BTCUSDT@trade", "btcusdt", "btc usdt@trade", "", "@trade"])
def test_malformed_stream_names(name: str) -> None:
    assert not topics.is_well_formed(name)
