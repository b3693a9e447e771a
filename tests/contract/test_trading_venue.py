"""Every venue keeps the same promises: the in-memory fake of the tests and ccxt against the paper exchange."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.trading.fake_venue import FakeVenue
from tidewright import bootstrap
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import TimedOutError
from tidewright.market.synthetic import synthesize
from tidewright.venues.binance.client import BinanceConfig
from tidewright.venues.binance.trading import BinanceTrading
from tidewright.venues.interface import OrderRequest, OrderUpdate, Outcome, TradingVenue, VenueStatus
from tidewright.venues.paper.server import ExchangeOptions, serve

Scenario = Callable[[TradingVenue], Awaitable[None]]


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("contract") / "tape", hours=0.05, seed=3)


@asynccontextmanager
async def paper(tape):
    options = ExchangeOptions(balances=({"BTC": "1", "USDT": "100000"},))
    server = await serve(tape, options)
    address = bootstrap.VenueAddress.from_ready(server.ready())
    venue = BinanceTrading(
        BinanceConfig(address.symbol, address.rest, address.ws, "", address.api_key, address.api_secret, None)
    )
    try:
        yield venue
    finally:
        await venue.close()
        await server.close()


@asynccontextmanager
async def fake(_tape):
    yield FakeVenue()


@pytest.fixture(params=[fake, paper], ids=["fake", "paper exchange through ccxt"])
def run(request, tape):
    def with_venue(scenario: Scenario) -> None:
        async def whole():
            async with request.param(tape) as venue:
                await venue.load()
                await scenario(venue)

        asyncio.run(whole())

    return with_venue


def bid(name: str, price: int = 5_500_000, qty: int = 100) -> OrderRequest:
    return OrderRequest(name, BUY, price, qty)


def test_load_tells_what_is_traded(run):
    async def scenario(venue):
        instrument = await venue.load()
        assert (instrument.symbol, instrument.tick_size, instrument.lot_size) == ("BTCUSDT", "0.01", "0.00001")

    run(scenario)


def test_placed_orders_are_open_and_cancelled_ones_are_not(run):
    async def scenario(venue):
        ask = OrderRequest("b", SELL, 6_500_000, 200)
        answers = await venue.submit([], [bid("a"), ask])
        assert [answer.outcome for answer in answers] == [Outcome.ACCEPTED] * 2
        assert all(answer.order_id for answer in answers)
        there = {order.client_order_id: order for order in await venue.open_orders()}
        assert (there["a"].side, there["a"].price_ticks, there["a"].qty_lots) == (BUY, 5_500_000, 100)
        assert (there["b"].side, there["b"].price_ticks, there["b"].qty_lots) == (SELL, 6_500_000, 200)
        cancelled = await venue.submit(["a"], [])
        assert cancelled[0].outcome is Outcome.ACCEPTED
        assert [order.client_order_id for order in await venue.open_orders()] == ["b"]
        found = await venue.order("a")
        assert found is not None
        assert found.status is VenueStatus.CANCELED

    run(scenario)


def test_answers_come_in_the_order_of_requests_cancels_first(run):
    async def scenario(venue):
        await venue.submit([], [bid("a"), bid("b", 5_490_000)])
        answers = await venue.submit(["b", "a"], [bid("c"), bid("d", 5_480_000)])
        assert [answer.client_order_id for answer in answers] == ["b", "a", "c", "d"]
        assert {order.client_order_id for order in await venue.open_orders()} == {"c", "d"}

    run(scenario)


def test_a_cancel_of_what_is_not_there_is_rejected_not_unknown(run):
    async def scenario(venue):
        answers = await venue.submit(["nobody"], [])
        assert answers[0].outcome is Outcome.REJECTED
        assert answers[0].code == -2011

    run(scenario)


def test_an_order_nobody_sent_does_not_exist(run):
    async def scenario(venue):
        assert await venue.order("nobody") is None

    run(scenario)


def test_balances_count_what_orders_lock(run):
    async def scenario(venue):
        before = await venue.balances()
        await venue.submit([], [bid("a")])
        after = await venue.balances()
        for asset in ("BTC", "USDT"):
            assert after.total(asset) == before.total(asset) > 0

    run(scenario)


def test_without_trades_there_are_no_fills(run):
    async def scenario(venue):
        assert await venue.fills(-1) == []
        assert await venue.newest_trade_id() == -1

    run(scenario)


def test_waiting_for_a_report_that_does_not_come_is_a_time_out(tape):
    async def whole():
        async with paper(tape) as venue:
            await venue.load()
            with pytest.raises(TimedOutError, match="user stream stopped"):
                await venue.reached(10**6, 0.05)

    asyncio.run(whole())


def test_the_paper_exchange_refuses_as_the_real_one_does(tape):
    async def whole():
        async with paper(tape) as venue:
            await venue.load()
            crossing = OrderRequest("x", BUY, 6_500_000, 100)
            small = OrderRequest("y", BUY, 5_500_000, 1)
            poor = OrderRequest("z", BUY, 5_500_000, 1_000_000)
            answers = {answer.client_order_id: answer for answer in await venue.submit([], [crossing, small, poor])}
            assert (answers["x"].outcome, answers["x"].code) == (Outcome.REJECTED, -2010)
            assert "immediately match" in answers["x"].reason
            assert (answers["y"].outcome, answers["y"].code) == (Outcome.REJECTED, -1013)
            assert (answers["z"].outcome, answers["z"].code) == (Outcome.REJECTED, -2010)

    asyncio.run(whole())


def test_the_fake_reports_on_its_user_stream_what_it_did():
    async def whole():
        async with fake(None) as venue:
            await venue.submit([], [bid("a")])
            await venue.submit(["a"], [])
            statuses = [event.status for event in venue.drain() if isinstance(event, OrderUpdate)]
            assert statuses == [VenueStatus.NEW, VenueStatus.CANCELED]
            assert venue.drain() == []

    asyncio.run(whole())
