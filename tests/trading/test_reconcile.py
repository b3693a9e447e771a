import asyncio

import pytest

from tests.trading.fake_venue import INSTRUMENT, FakeVenue
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import TimedOutError
from tidewright.store.database import Database
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager, Quote
from tidewright.trading.reconcile import DoesNotBalanceError, OtherAccountError, begin, reconcile, restore, write
from tidewright.venues.interface import OrderRequest

BID, ASK = 6_000_000, 6_010_000
START = LedgerState(100_000_000, 10**13)


@pytest.fixture
def database(tmp_path):
    base = Database(tmp_path / "s.db")
    yield base
    base.close()


@pytest.fixture
def venue():
    return FakeVenue()


def trade(venue: FakeVenue, database: Database, *quotes: Quote, send: bool = True) -> OrderManager:
    """One cycle of a session that dies before it hears anything."""
    manager = restore(database, "s", Ledger(INSTRUMENT, START))
    plan = manager.plan(quotes)
    manager.intend(plan, 1)
    write(database, manager)
    database.commit()
    if send:
        asyncio.run(venue.submit(plan.cancels, plan.orders))
    venue.drain()
    return manager


def restart(venue: FakeVenue, database: Database, **options):
    manager = restore(database, "s", Ledger(INSTRUMENT, START))
    return manager, asyncio.run(reconcile(venue, database, manager, 2, -1, **{"on_its_way_s": 0.0, **options}))


def test_orders_sent_before_a_crash_are_adopted_and_their_fills_booked(venue, database):
    trade(venue, database, Quote(BUY, BID, 100), Quote(SELL, ASK, 100))
    venue.fill("tw-s-1", 30)
    venue.fill("tw-s-2", 100)
    manager, result = restart(venue, database)
    assert result.adopted == ["tw-s-1"]
    assert result.missing_fills == [1, 2]
    assert str(manager.orders["tw-s-1"].state) == "PARTIALLY_FILLED"
    assert manager.ledger.position_lots == -70
    again, second = restart(venue, database)
    assert second.missing_fills == []
    assert again.ledger.state == manager.ledger.state


class SlowWay(FakeVenue):
    """What the process before sent in its last moment arrives while the next one asks."""

    def __init__(self, seconds: float, late: OrderRequest) -> None:
        super().__init__()
        self._seconds, self._late = seconds, late

    async def order(self, client_order_id):
        if self._late is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._place, self._late)
            self._late = None
        return await super().order(client_order_id)


def test_an_order_still_on_its_way_when_the_process_died_is_found_and_adopted(database):
    venue = SlowWay(0.05, OrderRequest("tw-s-1", BUY, BID, 100))
    trade(venue, database, Quote(BUY, BID, 100), send=False)
    manager, result = restart(venue, database, on_its_way_s=0.2)
    assert (result.adopted, result.never_sent) == (["tw-s-1"], [])
    assert str(manager.orders["tw-s-1"].state) == "NEW"


def test_orders_written_but_never_sent_are_closed_and_numbers_go_on(venue, database):
    trade(venue, database, Quote(BUY, BID, 100), send=False)
    manager, result = restart(venue, database)
    assert result.never_sent == ["tw-s-1"]
    assert manager.live() == []
    assert manager.plan([Quote(BUY, BID, 100)]).orders[0].client_order_id == "tw-s-2"


def test_another_exchange_than_the_one_that_was_traded_on_is_told_as_such(venue, database):
    trade(venue, database, Quote(BUY, BID, 100))
    restart(venue, database)  # it rests, and the store knows it
    with pytest.raises(OtherAccountError, match=r"does not know order tw-s-1, .* a new session directory"):
        restart(FakeVenue(), database)


def test_open_orders_can_be_cancelled_instead(venue, database):
    trade(venue, database, Quote(BUY, BID, 100))
    _, result = restart(venue, database, adopt=False)
    assert (result.adopted, result.cancelled) == ([], ["tw-s-1"])
    assert asyncio.run(venue.open_orders()) == []


def test_a_fill_of_an_order_that_had_ended_in_the_store_is_booked(venue, database):
    trade(venue, database, Quote(BUY, BID, 100))
    venue.fill("tw-s-1", 40)
    manager = restore(database, "s", Ledger(INSTRUMENT, START))
    plan = manager.plan([])
    manager.intend(plan, 2)
    manager.on_answers(plan, asyncio.run(venue.submit(plan.cancels, [])), 2)
    write(database, manager)  # cancelled by the answer; the fill's report was never heard
    database.commit()
    manager, result = restart(venue, database)
    assert result.missing_fills == [1]
    assert manager.ledger.position_lots == 40


def test_it_refuses_to_start_when_the_account_differs_by_one_unit(venue, database):
    trade(venue, database, Quote(BUY, BID, 100))
    venue.quote -= 1
    with pytest.raises(DoesNotBalanceError, match=r"USDT: venue 99999\.99999999, .* difference -0\.00000001"):
        restart(venue, database)


def test_orders_of_somebody_else_are_named_and_left_alone(venue, database):
    asyncio.run(venue.submit([], [OrderRequest("other-1", BUY, BID, 100)]))
    _, result = restart(venue, database)
    assert result.foreign == ["other-1"]
    assert len(asyncio.run(venue.open_orders())) == 1


def test_no_answer_means_no_start(venue, database):
    trade(venue, database, Quote(BUY, BID, 100))

    async def silence(client_order_id):
        raise TimedOutError("no answer")

    venue.order = silence
    with pytest.raises(TimedOutError):
        restart(venue, database)


def test_a_new_session_begins_with_the_accounts_balances_and_last_trade(venue):
    asyncio.run(venue.submit([], [OrderRequest("other-1", BUY, BID, 100)]))
    venue.fill("other-1", 100)
    state, newest = asyncio.run(begin(venue, "BTC", "USDT"))
    assert (state.start_base, state.start_quote, newest) == (venue.base, venue.quote, 1)
