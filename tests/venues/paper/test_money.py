"""Balances are exact: free + locked is the start plus the flows of the trades, and what the engine itself counts."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.venues.paper.faces import Venue, market_order, order
from tests.venues.paper.markets import INSTRUMENT, make_tape
from tidewright.market.clock import MILLISECOND
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.orders import PositionEvent

COARSE = Instrument.from_json(INSTRUMENT.to_json() | {"maker_fee": 123_457, "taker_fee": 98_765})

prices = st.integers(9_985, 10_015).map(lambda ticks: f"{ticks / 100:.2f}")
quantities = st.integers(6_000, 60_000).map(lambda lots: f"{lots / 100_000:.5f}")
sides = st.sampled_from(["BUY", "SELL"])
limits = st.tuples(st.just("limit"), sides, quantities, prices, st.sampled_from(["GTC", "IOC", "FOK"]))
markets = st.tuples(st.just("market"), sides, quantities)
quotes = st.tuples(st.just("quote"), sides, st.integers(5_00, 200_00).map(lambda cents: f"{cents / 100:.2f}"))
cancels = st.tuples(st.just("cancel"), st.integers(0, 20))
waits = st.tuples(st.just("wait"), st.integers(0, 8_000))
steps = st.lists(st.one_of(limits, markets, quotes, cancels, waits), max_size=25)


def perform(venue: Venue, step: tuple[object, ...]) -> None:
    kind, *rest = step
    if kind == "limit":
        side, quantity, price, tif = (str(value) for value in rest)
        venue.send("POST", "order", order(side, quantity, price, timeInForce=tif))
    elif kind == "market":
        venue.send("POST", "order", market_order(str(rest[0]), quantity=rest[1]))
    elif kind == "quote":
        venue.send("POST", "order", market_order(str(rest[0]), quoteOrderQty=rest[1]))
    elif kind == "cancel":
        venue.send("DELETE", "order", {"symbol": "BTCUSDT", "orderId": rest[0]})
    else:
        at = venue.clock.now_ns + int(str(rest[0])) * MILLISECOND
        venue.run_to(min(at, venue.market.end_ns))


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    found = make_tape(tmp_path_factory.mktemp("money") / "tape", seconds=40, instrument=COARSE)
    assert len(TapeMarket(found).prints.ts) > 20
    return found


@given(steps)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_balances_equal_start_plus_flows_and_the_engine(tape: Tape, actions: list[tuple[object, ...]]) -> None:
    venue = Venue(tape, balance={"BTC": "0.7", "USDT": "60"})
    for action in actions:
        perform(venue, action)
        check(venue)
    positions = [event for event in venue.events() if isinstance(event, PositionEvent)]
    if positions:
        assert positions[-1].balances == venue.account.balances()


def check(venue: Venue) -> None:
    balances = venue.account.balances()
    assert min(balances) >= 0
    lane = venue.engine.model.lanes[0]
    base, quote, base_locked, quote_locked = lane.balances()
    assert (balances.base_free + balances.base_locked, balances.base_locked) == (base, base_locked)
    assert balances.quote_free + balances.quote_locked == quote.__floor__()
    assert balances.quote_locked == quote_locked
    total = {"BTC": Decimal("0.7"), "USDT": Decimal(60)}
    for trade in venue.ask("GET", "myTrades", symbol="BTCUSDT", limit=1_000):
        sign = 1 if trade["isBuyer"] else -1
        total["BTC"] += sign * Decimal(trade["qty"])
        total["USDT"] -= sign * Decimal(trade["quoteQty"])
        total[trade["commissionAsset"]] -= Decimal(trade["commission"])
        received = Decimal(trade["qty"] if trade["isBuyer"] else trade["quoteQty"])
        rate = Decimal("0.00123457") if trade["isMaker"] else Decimal("0.00098765")
        assert Decimal(trade["commission"]) == (received * rate).quantize(Decimal("1e-8"), "ROUND_DOWN")
    rows = venue.ask("GET", "account")["balances"]
    assert {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in rows} == total
    locked = Decimal(0)
    for found in venue.ask("GET", "openOrders"):
        if found["side"] == "BUY":
            locked += Decimal(found["price"]) * (Decimal(found["origQty"]) - Decimal(found["executedQty"]))
    assert balances.quote_locked == locked * 100_000_000
