import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.fake_venue import INSTRUMENT, FakeVenue
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import DataError
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.order_table import State
from tidewright.trading.orders import OrderManager, Quote
from tidewright.venues.interface import Answer, Outcome

BTC = 100_000_000
BID, ASK = 6_000_000, 6_010_000


class Desk:
    """Manager and fake venue, driven as the session drives them."""

    def __init__(self, base: int = BTC, quote: int = 100_000 * BTC) -> None:
        self.venue = FakeVenue(base, quote)
        self.manager = OrderManager("s", Ledger(INSTRUMENT, LedgerState(base, quote)))
        self.now = 0

    def want(self, *quotes: Quote):
        self.now += 30
        plan = self.manager.plan(quotes)
        self.manager.intend(plan, self.now)
        answers = asyncio.run(self.venue.submit(plan.cancels, plan.orders))
        self.manager.on_answers(plan, answers, self.now)
        return plan

    def hear(self):
        for event in self.venue.drain():
            self.manager.on_event(event, self.now)

    def resolve(self):
        for name in self.manager.unresolved(self.now + 1):
            self.manager.resolve(name, asyncio.run(self.venue.order(name)), self.now)
        for fill in asyncio.run(self.venue.fills(-1)):
            self.manager.on_fill(fill, self.now)

    def states(self):
        return {name: str(order.state) for name, order in self.manager.orders.items()}


def test_an_order_at_a_wanted_price_with_the_wanted_quantity_stays():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100), Quote(SELL, ASK, 100))
    desk.hear()
    plan = desk.want(Quote(BUY, BID, 100), Quote(SELL, ASK + 1, 100))
    assert plan.kept == 1
    assert plan.cancels == ["tw-s-2"]
    assert [(order.side, order.price_ticks) for order in plan.orders] == [(SELL, ASK + 1)]


def test_a_partial_fill_is_not_topped_up_and_a_changed_quantity_is_replaced():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    desk.venue.fill("tw-s-1", 40)
    desk.hear()
    assert desk.want(Quote(BUY, BID, 100)).orders == []
    plan = desk.want(Quote(BUY, BID, 60))
    assert (len(plan.cancels), len(plan.orders)) == (1, 1)


def test_quotes_on_one_tick_are_one_order():
    desk = Desk()
    plan = desk.want(Quote(BUY, BID, 100), Quote(BUY, BID, 50))
    assert [order.qty_lots for order in plan.orders] == [150]


def test_new_orders_go_out_bids_then_asks_nearest_first():
    desk = Desk()
    plan = desk.want(Quote(SELL, ASK + 5, 9), Quote(BUY, BID - 5, 9), Quote(SELL, ASK, 9), Quote(BUY, BID, 9))
    assert [order.price_ticks for order in plan.orders] == [BID, BID - 5, ASK, ASK + 5]


def test_nothing_is_sold_that_is_not_held_and_nothing_bought_that_cannot_be_paid():
    desk = Desk(base=150 * 1_000, quote=100 * BTC)
    plan = desk.want(Quote(BUY, BID, 100), Quote(BUY, BID - 1, 100), Quote(SELL, ASK, 100), Quote(SELL, ASK + 1, 100))
    assert [(order.side, order.price_ticks) for order in plan.orders] == [(BUY, BID), (SELL, ASK)]
    assert plan.why == ("not enough USDT to buy", "not enough BTC to sell")


def test_a_quote_under_the_minimum_notional_is_not_sent():
    desk = Desk()
    plan = desk.want(Quote(BUY, BID, 8))
    assert plan.orders == []
    assert plan.why == ("under the minimum notional",)


def test_a_rejected_quote_is_counted_with_the_venues_words():
    desk = Desk()
    desk.venue.refuse.add("tw-s-1")
    desk.want(Quote(BUY, BID, 100))
    order = desk.manager.orders["tw-s-1"]
    assert (order.state, desk.manager.rejected) == (State.REJECTED, 1)
    assert order.reason.startswith("-2010")


def test_a_lost_answer_is_unknown_until_the_venue_is_asked():
    desk = Desk()
    desk.venue.lose_answers.add("tw-s-1")
    desk.venue.swallow.add("tw-s-2")
    desk.want(Quote(BUY, BID, 100), Quote(SELL, ASK, 100))
    assert desk.states() == {"tw-s-1": "UNKNOWN", "tw-s-2": "UNKNOWN"}
    desk.resolve()
    assert desk.states() == {"tw-s-1": "NEW", "tw-s-2": "REJECTED"}


def test_an_order_whose_cancel_was_lost_is_cancelled_again_once_it_is_known_to_live():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    desk.hear()
    plan = desk.manager.plan([])
    desk.manager.intend(plan, desk.now)
    desk.manager.on_answers(plan, [Answer("tw-s-1", Outcome.UNKNOWN, reason="time-out")], desk.now)
    assert desk.want().cancels == []  # nobody knows: it is asked about, not cancelled twice
    desk.venue.fill("tw-s-1", 10)
    desk.hear()
    assert desk.want().cancels == ["tw-s-1"]
    desk.hear()
    assert desk.states() == {"tw-s-1": "CANCELED"}


def test_an_order_that_takes_is_cut_to_what_can_be_paid():
    desk = Desk(base=BTC // 100, quote=30 * BTC)
    plan = desk.manager.take(desk.manager.plan([]), BUY, BID, 1000)
    assert [(order.side, order.qty_lots) for order in plan.orders] == [(BUY, 50)]  # 30 USDT at 60,000 a BTC
    plan = desk.manager.take(desk.manager.plan([]), SELL, BID, 5000)
    assert [(order.side, order.qty_lots) for order in plan.orders] == [(SELL, 1000)]
    broke = Desk(base=0, quote=0)
    assert broke.manager.take(broke.manager.plan([]), BUY, BID, 1000).orders == []


def test_an_unknown_order_that_was_filled_settles_by_its_fills():
    desk = Desk()
    desk.venue.lose_answers.add("tw-s-1")
    desk.want(Quote(BUY, BID, 100))
    desk.venue.fill("tw-s-1", 100)
    desk.resolve()
    assert desk.states() == {"tw-s-1": "FILLED"}
    assert desk.manager.ledger.position_lots == 100


def test_a_fill_that_overtakes_the_cancel_is_booked():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    desk.venue.fill("tw-s-1", 100)
    desk.want()  # the fill is not known yet: the cancel is refused
    assert desk.states() == {"tw-s-1": "UNKNOWN"}
    desk.hear()
    assert desk.states() == {"tw-s-1": "FILLED"}
    assert desk.manager.ledger.position_lots == 100


def test_a_fill_is_booked_once_however_often_it_is_heard_of():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    fill = desk.venue.fill("tw-s-1", 40)
    desk.hear()
    assert desk.manager.on_fill(fill, 1) is False
    assert desk.manager.ledger.position_lots == 40


def test_more_filled_than_ordered_is_an_error():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    fill = desk.venue.fill("tw-s-1", 100)
    desk.hear()
    with pytest.raises(DataError, match="100 lots was filled 200"):
        desk.manager.on_fill(type(fill)(**{**_fields(fill), "trade_id": 99}), 1)


def _fields(item):
    return {name: getattr(item, name) for name in item.__slots__}


def test_events_of_somebody_elses_orders_are_kept_apart():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    other = OrderManager("t", Ledger(INSTRUMENT, LedgerState(0, 0)))
    for event in desk.venue.drain():
        other.on_event(event, 1)
    assert len(other.foreign) == 1
    assert other.orders == {}


def test_rows_for_the_store_come_once_per_change():
    desk = Desk()
    desk.want(Quote(BUY, BID, 100))
    orders, fills = desk.manager.take_rows()
    assert (len(orders), len(fills)) == (1, 0)
    assert desk.manager.take_rows() == ([], [])
    desk.venue.fill("tw-s-1", 100)
    desk.hear()
    orders, fills = desk.manager.take_rows()
    assert (orders[0]["state"], fills[0]["client_order_id"]) == ("FILLED", "tw-s-1")
    desk.manager.forget_ended(desk.now + 1)
    assert desk.manager.orders == {}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(0, 3)), max_size=4)),
        st.tuples(st.just("fill"), st.tuples(st.integers(0, 20), st.integers(1, 100))),
        st.tuples(st.just("lose"), st.integers(1, 5)),
        st.tuples(st.just("swallow"), st.integers(1, 5)),
        st.tuples(st.just("refuse"), st.integers(1, 5)),
        st.tuples(st.just("hear"), st.none()),
        st.tuples(st.just("resolve"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_lost_the_books_end_equal_to_the_venue(steps):
    desk = Desk()
    for what, value in steps:
        if what == "want":
            prices = {BUY: BID, SELL: ASK}
            desk.want(*{Quote(side, prices[side] + (away if side else -away), 100) for side, away in value})
        elif what == "fill":
            live = [order for order in desk.venue.book.values() if order.status.live]
            if live:
                order = live[value[0] % len(live)]
                desk.venue.fill(order.client_order_id, min(value[1], order.qty_lots - order.filled_lots))
        elif what in ("lose", "swallow", "refuse"):
            name = f"tw-s-{desk.manager.next_number + value - 1}"
            {"lose": desk.venue.lose_answers, "swallow": desk.venue.swallow, "refuse": desk.venue.refuse}[what].add(
                name
            )
        elif what == "hear":
            desk.hear()
        else:
            desk.resolve()
    desk.hear()
    desk.resolve()
    assert desk.manager.ledger.difference(desk.venue.base, desk.venue.quote) == ""
    for name, order in desk.manager.orders.items():
        there = desk.venue.book.get(name)
        assert order.state.settled
        assert order.state.final == (there is None or not there.status.live)
        assert order.filled_lots == (there.filled_lots if there else 0)
