import asyncio
import gc
import logging

import pytest

from tests.venues.scripted_binance import ScriptedBinance, report
from tidewright.market.codes import BUY, GTC, LIMIT, SELL
from tidewright.market.errors import ConfigError, DataError, TimedOutError, VenueError
from tidewright.venues.binance.client import BinanceConfig, FencedBinance, HostRefusedError
from tidewright.venues.binance.trading import BinanceTrading
from tidewright.venues.interface import (
    Balances,
    FillUpdate,
    OrderRequest,
    OrderUpdate,
    Outcome,
    StreamLost,
    VenueStatus,
)

KEY, SECRET = "k" * 64, "s" * 64


def run(scenario, *, load=True, timeout_s=2.0, symbol="BTCUSDT"):
    async def with_server():
        async with ScriptedBinance() as server:
            config = BinanceConfig(symbol, server.url, server.ws_url, "", KEY, SECRET, None, timeout_s)
            venue = BinanceTrading(config)
            try:
                if load:
                    await venue.load()
                await scenario(server, venue)
            finally:
                await venue.close()

    asyncio.run(with_server())


def order(name: str, side: int = BUY, price: int = 10_000, qty: int = 100, **changes) -> OrderRequest:
    return OrderRequest(name, side, price, qty, **changes)


async def eventually(condition):
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen within 2 s")


def test_loading_tells_the_instrument_its_filters_and_our_fees():
    async def scenario(server, venue):
        instrument = await venue.load()
        assert (instrument.base, instrument.quote) == ("BTC", "USDT")
        assert (instrument.tick_size, instrument.lot_size) == ("0.01", "0.00001")
        assert (instrument.maker_fee, instrument.taker_fee) == (100_000, 200_000)
        assert instrument.filters.min_notional == 500_000_000
        assert instrument.filters.max_num_orders == 200

    run(scenario, load=False)


def test_cancels_go_out_first_then_orders_in_the_order_given():
    async def scenario(server, venue):
        names = [f"n{i}" for i in range(8)]
        answers = await venue.submit(["c1", "c2"], [order(name) for name in names])
        assert [answer.client_order_id for answer in answers] == ["c1", "c2", *names]
        assert all(answer.outcome is Outcome.ACCEPTED for answer in answers)
        sent = [
            params.get("origClientOrderId") or params["newClientOrderId"]
            for method, params in server.requests
            if method.startswith("order.")
        ]
        assert sent == ["c1", "c2", *names]

    run(scenario)


def test_prices_and_quantities_arrive_as_exact_text_and_post_only():
    async def scenario(server, venue):
        await venue.submit([], [order("a", SELL, 6_000_001, 123), order("b", tif=GTC, kind=LIMIT)])
        places = [params for method, params in server.requests if method == "order.place"]
        assert (places[0]["price"], places[0]["quantity"], places[0]["type"]) == ("60000.01", "0.00123", "LIMIT_MAKER")
        assert (places[1]["type"], places[1]["timeInForce"]) == ("LIMIT", "GTC")
        signed = {"apiKey", "recvWindow", "returnRateLimits", "signature", "timestamp"}
        order_fields = {"newClientOrderId", "newOrderRespType", "price", "quantity", "side", "symbol", "type"}
        assert set(places[0]) == signed | order_fields  # the venue refuses what it does not know

    run(scenario)


def test_a_refusal_is_rejected_and_a_server_error_or_silence_is_unknown():
    def answer(method, params):
        name = params.get("newClientOrderId") or params["origClientOrderId"]
        return {
            "taken": (400, {"code": -2010, "msg": "Order would immediately match and take."}),
            "server": (503, {"code": -1001, "msg": "Internal error"}),
            "timeout": (400, {"code": -1007, "msg": "Timeout waiting for response from backend server."}),
            "silent": None,
            "gone": (400, {"code": -2011, "msg": "Unknown order sent."}),
            "fine": (200, {"orderId": 5, "status": "NEW"}),
        }[name]

    async def scenario(server, venue):
        server.on_order = answer
        names = ("taken", "server", "timeout", "silent", "fine")
        answers = {a.client_order_id: a for a in await venue.submit(["gone"], [order(name) for name in names])}
        assert answers["taken"].outcome is Outcome.REJECTED
        assert answers["taken"].code == -2010
        assert answers["gone"].outcome is Outcome.REJECTED
        for name in ("server", "timeout", "silent"):
            assert answers[name].outcome is Outcome.UNKNOWN, name
        assert answers["fine"].order_id == 5
        assert answers["fine"].status is VenueStatus.NEW

    run(scenario, timeout_s=0.3)


def test_a_connection_lost_after_sending_leaves_the_outcome_unknown():
    async def scenario(server, venue):
        server.on_order = lambda method, params: None
        submitting = asyncio.create_task(venue.submit([], [order("a")]))
        await eventually(lambda: any(method == "order.place" for method, _ in server.requests))
        await server.user_sockets[-1].close()
        answers = await submitting
        assert answers[0].outcome is Outcome.UNKNOWN
        await eventually(lambda: len(server.user_sockets) == 2)
        assert any(isinstance(event, StreamLost) for event in venue.drain())

    run(scenario)


def test_a_venue_that_has_gone_is_not_told_as_forgotten_errors(caplog):
    async def scenario(server, venue):
        await server.__aexit__()
        await eventually(lambda: any(isinstance(event, StreamLost) for event in venue.drain()))
        with pytest.raises(TimedOutError):
            await venue.open_orders()
        await asyncio.sleep(0.3)  # time for another dial

    run(scenario)
    gc.collect()  # forgotten errors are told when the futures that hold them go
    assert "never retrieved" not in caplog.text


def test_user_events_come_complete_and_in_order():
    async def scenario(server, venue):
        await server.user(report("a", "NEW", "NEW", 1))
        fill = {"l": "0.00040000", "L": "100.00", "n": "0.00000040", "N": "BTC", "t": 3, "m": True}
        await server.user(report("a", "TRADE", "PARTIALLY_FILLED", 2, z="0.00040000", **fill))
        await server.user(report("cancel-id", "CANCELED", "CANCELED", 3, z="0.00040000", C="a"))
        position = {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [{"a": "BTC", "f": "1.5", "l": "0"}]}
        await server.user(position)
        await venue.reached(3, 2.0)
        events = venue.drain()
        while len(events) < 5:
            await asyncio.sleep(0.01)
            events += venue.drain()
        new, trade, partial, cancelled, balances = events
        assert isinstance(new, OrderUpdate)
        assert new.status is VenueStatus.NEW
        assert trade == FillUpdate(3, "a", 7, BUY, 10_000, 40, 40, "BTC", True, 1_700_000_000_000_000_000, 2)
        assert isinstance(partial, OrderUpdate)
        assert partial.filled_lots == 40
        assert isinstance(cancelled, OrderUpdate)
        assert (cancelled.client_order_id, cancelled.status) == ("a", VenueStatus.CANCELED)
        assert balances == Balances({"BTC": 150_000_000}, {"BTC": 0})

    run(scenario)


def test_a_malformed_user_event_is_an_error_not_a_silent_loss():
    async def scenario(server, venue):
        await server.user(report("a", "NEW", "NEW", 1, q="much"))
        await venue.reached(1, 2.0)
        with pytest.raises(DataError, match="quantity"):
            venue.drain()

    run(scenario)


def test_an_order_that_does_not_exist_is_told_apart_from_no_answer():
    async def scenario(server, venue):
        server.rest["order"] = lambda query: (400, {"code": -2013, "msg": "Order does not exist."})
        assert await venue.order("a") is None
        server.rest["order"] = lambda query: (500, {"code": -1007, "msg": "Timeout waiting for response"})
        with pytest.raises(TimedOutError):
            await venue.order("a")
        server.rest["order"] = lambda query: (401, {"code": -2015, "msg": "Invalid API-key"})
        with pytest.raises(VenueError) as caught:
            await venue.order("a")
        assert caught.value.code == -2015

    run(scenario)


def test_all_fills_are_read_page_by_page():
    def page(query):
        first = int(query["fromId"])
        row = {
            "symbol": "BTCUSDT",
            "orderId": 1,
            "price": "100.00",
            "qty": "0.001",
            "commission": "0",
            "commissionAsset": "BTC",
            "time": 1,
            "isBuyer": True,
            "isMaker": True,
        }
        return 200, [{**row, "id": number} for number in range(first, min(first + 1000, 2500))]

    async def scenario(server, venue):
        server.rest["myTrades"] = page
        assert [fill.trade_id for fill in await venue.fills(99)] == list(range(100, 2500))

    run(scenario)


def test_an_unknown_symbol_and_a_refused_key_are_clear_errors():
    async def scenario(server, venue):
        with pytest.raises(ConfigError, match="does not trade 'XYZ'"):
            await venue.load()

    run(scenario, load=False, symbol="XYZ")

    async def refused(server, venue):
        server.rest["account"] = lambda query: (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions."})
        with pytest.raises(VenueError, match="-2015"):
            await venue.load()

    run(refused, load=False)


def test_any_other_host_is_refused_before_a_byte_leaves():
    async def scenario(server, venue):
        fenced = FencedBinance(venue.config)
        with pytest.raises(HostRefusedError, match=r"api\.binance\.com"):
            await fenced.fetch("https://api.binance.com/api/v3/time")
        with pytest.raises(HostRefusedError, match=r"stream\.binance\.com"):
            fenced.client("wss://stream.binance.com:9443/ws")
        text = str(fenced.urls["api"])
        assert "binance.com" not in text
        await fenced.close()

    run(scenario, load=False)


def test_keys_are_in_no_repr_no_error_and_no_log(caplog):
    async def scenario(server, venue):
        caplog.set_level(logging.DEBUG)
        server.rest["openOrders"] = lambda query: (500, {"code": -1000, "msg": "An unknown error occurred"})
        with pytest.raises(TimedOutError) as caught:
            await venue.open_orders()
        texts = [repr(venue), repr(venue.config), repr(venue._ccxt), str(caught.value), caplog.text]
        assert caught.value.__cause__ is None
        for text in texts:
            assert KEY not in text
            assert SECRET not in text

    run(scenario)


def test_the_throttle_follows_market_time():
    async def scenario(server, venue):
        live = FencedBinance(BinanceConfig("BTCUSDT", server.url, server.ws_url))
        fast = FencedBinance(BinanceConfig("BTCUSDT", server.url, server.ws_url, time_scale=60.0))
        still = FencedBinance(venue.config)
        assert (live.enableRateLimit, still.enableRateLimit) == (True, False)
        assert fast.throttler.config["refillRate"] == pytest.approx(60 * live.throttler.config["refillRate"])
        for exchange in (live, fast, still):
            await exchange.close()

    run(scenario, load=False)
