import asyncio

import numpy as np
import pytest

from tests.venues.scripted_binance import ScriptedBinance, depth, trade
from tidewright.market.clock import ManualClock
from tidewright.market.codes import ASK, BID, GAP, RESET, TRADE_BUY
from tidewright.market.errors import TimedOutError
from tidewright.market.instrument import Instrument
from tidewright.venues.binance.feed import BinanceFeed

INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
START = 1_600_000_000_000_000_000


def feed_of(server: ScriptedBinance, **options) -> BinanceFeed:
    return BinanceFeed(server.url, server.ws_url, ManualClock(START), **options)


def five_later(data):
    return data._replace(ts_local=data.ts + 5)


def run(scenario):
    async def with_server():
        async with ScriptedBinance() as server:
            feed = feed_of(server, receipt=five_later)
            try:
                await scenario(server, feed)
            finally:
                await feed.close()

    asyncio.run(with_server())


def test_the_first_rows_are_the_snapshot_at_the_clock_and_updates_follow_in_order():
    async def scenario(server, feed):
        await feed.start(INSTRUMENT)
        first = feed.drain()
        assert list(first.kind) == [RESET, BID, ASK]
        assert set(first.ts) == {START}
        await server.market(depth(11, 12, [["100.00", "0"]], [["101.00", "3"]]))
        await server.market(trade(5))
        await feed.reached(12, 5, 2.0)
        rows = feed.drain()
        assert list(rows.kind) == [BID, ASK, TRADE_BUY]
        assert list(rows.qty) == [0, 300_000, 100]
        assert np.array_equal(rows.ts_local, rows.ts + 5)
        assert (feed.last_update_id, feed.last_trade_id) == (12, 5)

    run(scenario)


def test_trades_from_before_the_connection_are_not_waited_for():
    async def scenario(server, feed):
        server.trades = [{"id": 77}]
        await feed.start(INSTRUMENT)
        await feed.reached(10, 77, 0.5)

    run(scenario)


def test_a_missed_update_is_a_gap_and_is_healed_from_a_new_snapshot():
    async def scenario(server, feed):
        await feed.start(INSTRUMENT)
        feed.drain()
        server.depth = {"lastUpdateId": 20, "bids": [["99.00", "1"]], "asks": [["102.00", "1"]]}
        await server.market(depth(15, 16, [["100.00", "5"]]))
        await feed.reached(20, 0, 2.0)
        rows = feed.drain()
        assert list(rows.kind) == [GAP, RESET, BID, ASK]
        assert feed.stream.gaps == 1
        assert feed.health.snapshots == 2

    run(scenario)


def test_a_lost_connection_is_a_gap_then_a_new_subscription_and_snapshot():
    async def scenario(server, feed):
        await feed.start(INSTRUMENT)
        server.subscribed.clear()
        server.depth = {"lastUpdateId": 30, "bids": [["99.00", "1"]], "asks": [["102.00", "1"]]}
        server.trades = [{"id": 9}]
        await server.market_sockets[-1].close()
        await asyncio.wait_for(server.subscribed.wait(), 3)
        await feed.reached(30, 9, 3.0)
        assert GAP in feed.drain().kind
        assert feed.health.connects == 2

    run(scenario)


def test_a_malformed_message_costs_a_reconnect_not_the_session():
    async def scenario(server, feed):
        await feed.start(INSTRUMENT)
        server.subscribed.clear()
        await server.market({"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 11, "u": 11, "b": [["x", "1"]], "a": []})
        await asyncio.wait_for(server.subscribed.wait(), 3)
        await feed.reached(10, 0, 3.0)
        assert feed.health.malformed == 1

    run(scenario)


def test_waiting_for_what_does_not_come_says_where_it_stopped():
    async def scenario(server, feed):
        await feed.start(INSTRUMENT)
        with pytest.raises(TimedOutError, match="stopped at update 10"):
            await feed.reached(11, 0, 0.05)

    run(scenario)


def test_a_dead_venue_keeps_the_start_waiting():
    async def scenario():
        feed = BinanceFeed("http://127.0.0.1:9", "ws://127.0.0.1:9", ManualClock(START))
        starting = asyncio.create_task(feed.start(INSTRUMENT))
        await asyncio.sleep(0.3)
        assert not starting.done()
        starting.cancel()
        await feed.close()

    asyncio.run(scenario())
