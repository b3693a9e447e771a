"""Filters that need more than the order itself, by hand, for model and engine alike."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.compare import differences
from tests.reference.driver import Case, Cut, Result, Send, ask, bid, bought, packet, run, snapshot, sold, tape
from tests.reference.impact import MINUTE_NS
from tests.reference.model import Settings
from tidewright.engine.config import integers
from tidewright.engine.replay import ReplayConfig
from tidewright.market.codes import (
    ACCEPTED,
    AMEND_REJECTED,
    BUY,
    FALLS,
    FILTER_LOT,
    FILTER_MAX_STOPS,
    FILTER_NOTIONAL,
    FILTER_PERCENT_PRICE,
    FILTER_PRICE,
    IOC,
    MARK,
    MARKET,
    NO_REASON,
    REJECTED,
    RISES,
    SELL,
)
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Filters

PLENTY = snapshot(10, bid(100, 500), ask(102, 500))
FIVE = Filters(
    max_num_orders=0,
    bid_multiplier_down="0.9",
    bid_multiplier_up="1.1",
    ask_multiplier_down="0.8",
    ask_multiplier_up="1.2",
    reference_minutes=5,
)
Play = Callable[[Case], Result]


@pytest.fixture(params=["model", "engine"])
def play(request: pytest.FixtureRequest) -> Play:
    """Run a case of one lane."""
    return lambda case: run(request.param, case)[0]


def case(*packets: list[Row], actions: tuple[Any, ...] = (), **more: Any) -> Case:
    return Case(tape(PLENTY, *packets), actions, **{"filters": FIVE, **more})


def answers(result: Result) -> list[int]:
    """Why each order was refused, NO_REASON where it was not."""
    return [r.reason for r in result.reports if r.what in (ACCEPTED, REJECTED)]


def at_market(at: int, qty: int, side: int = BUY) -> Send:
    return Send(at, side, 0, qty, IOC, MARKET)


def test_prices_are_bounded_by_side_around_the_volume_weighted_average(play: Play) -> None:
    # (3 * 100 + 1 * 108) / 4 = 102: bids 91.8 to 112.2, asks 81.6 to 122.4
    prints = packet(20, sold(100, 3)), packet(30, bought(108, 1))
    prices = ((BUY, 91), (BUY, 92), (BUY, 112), (BUY, 113), (SELL, 81), (SELL, 82), (SELL, 122), (SELL, 123))
    sent = tuple(Send(40, side, price, 1) for side, price in prices)
    far, near = FILTER_PERCENT_PRICE, NO_REASON
    expected = [far, near, near, far, far, near, near, far]
    assert answers(play(case(*prints, actions=sent))) == expected
    assert answers(play(case(*prints, actions=sent, filters=replace(FIVE, reference_minutes=None)))) == [near] * 8


def test_before_the_first_print_nothing_is_far(play: Play) -> None:
    sent = Send(15, BUY, 5, 1), Send(25, BUY, 5, 1)
    assert answers(play(case(packet(20, sold(100, 1)), actions=sent))) == [NO_REASON, FILTER_PERCENT_PRICE]


def test_the_average_forgets_what_is_older_than_its_minutes_but_never_the_last_price(play: Play) -> None:
    start, five = 20, 5 * MINUTE_NS
    prints = packet(start, sold(100, 3)), packet(start + five, bought(120, 1)), packet(start + 3 * five, ask(103, 1))
    bids = tuple(Send(at, BUY, 125, 1) for at in (start + five, start + five + 1, start + 3 * five))
    # (300 + 120) / 4 = 105 allows 115.5; then 120 alone allows 132, and goes on to do so
    found = answers(play(case(*prints, actions=bids, settings=Settings(10**15))))
    assert found == [FILTER_PERCENT_PRICE, NO_REASON, NO_REASON]


def test_no_minutes_mean_the_last_price(play: Play) -> None:
    last = replace(FIVE, reference_minutes=0)
    sent = Send(25, BUY, 111, 1), Send(35, BUY, 111, 1)
    prints = packet(20, sold(100, 900)), packet(30, bought(102, 1))
    assert answers(play(case(*prints, actions=sent, filters=last))) == [FILTER_PERCENT_PRICE, NO_REASON]


def test_a_future_is_judged_by_its_mark_price(play: Play) -> None:
    rows = packet(20, sold(60, 9)), packet(30, (MARK, 100, 0)), packet(40, (MARK, 120, 0))
    sent = Send(25, BUY, 89, 1), Send(35, BUY, 89, 1), Send(35, BUY, 90, 1), Send(45, BUY, 90, 1)
    filters = replace(FIVE, reference_minutes=0)
    assert answers(play(case(*rows, actions=sent, filters=filters, kind="linear"))) == [
        NO_REASON,
        FILTER_PERCENT_PRICE,
        NO_REASON,
        FILTER_PERCENT_PRICE,
    ]


def test_market_orders_are_worth_their_quantity_at_the_average_where_the_venue_says_so(play: Play) -> None:
    # at 100 ticks of 0.01 a lot of 0.001 is worth 100,000 units: at least 3 lots, at most 8
    bounds = Filters(max_num_orders=0, min_notional=250_000, max_notional=899_999, reference_minutes=5)
    sent = (at_market(15, 1), *(at_market(25, lots) for lots in (2, 3, 8, 9)))
    rows = packet(20, sold(100, 1)), packet(30, ask(103, 1))
    both = replace(bounds, min_notional_to_market=True, max_notional_to_market=True)
    small = large = FILTER_NOTIONAL
    assert answers(play(case(*rows, actions=sent, filters=both))) == [0, small, 0, 0, large]
    least = replace(bounds, min_notional_to_market=True)
    assert answers(play(case(*rows, actions=sent, filters=least))) == [0, small, 0, 0, 0]
    assert answers(play(case(*rows, actions=sent, filters=bounds))) == [0] * 5


def test_market_orders_have_a_least_quantity_and_a_step(play: Play) -> None:
    filters = Filters(max_num_orders=0, market_min_qty_lots=4, market_step_lots=3)
    sent = tuple(at_market(15, lots) for lots in (3, 4, 6, 9, 10))
    found = answers(play(case(packet(20, ask(103, 1)), actions=(*sent, Send(15, BUY, 90, 1)), filters=filters)))
    assert found == [FILTER_LOT, FILTER_LOT, NO_REASON, NO_REASON, FILTER_LOT, NO_REASON]


def test_sleeping_stop_orders_are_counted_and_their_prices_bounded(play: Play) -> None:
    filters = Filters(max_num_orders=0, max_price_ticks=150, min_price_ticks=50, max_num_stop_orders=2)
    sent = (
        Send(15, BUY, 101, 1, stop=151, way=RISES),
        Send(15, BUY, 101, 1, stop=49, way=FALLS),
        Send(15, BUY, 101, 1, stop=103, way=RISES),
        Send(15, BUY, 101, 1, stop=150, way=RISES),
        Send(15, BUY, 101, 1, stop=104, way=RISES),
        Send(25, BUY, 101, 1, stop=106, way=RISES),  # one has gone off
    )
    found = answers(play(case(packet(20, bought(103, 1)), packet(30, ask(103, 1)), actions=sent, filters=filters)))
    assert found == [FILTER_PRICE, FILTER_PRICE, 0, 0, FILTER_MAX_STOPS, 0]


def test_an_amended_stop_at_market_is_judged_anew(play: Play) -> None:
    filters = Filters(max_num_orders=0, min_notional=250_000, min_notional_to_market=True, reference_minutes=5)
    stop = Send(25, BUY, 0, 6, IOC, MARKET, stop=110, way=RISES)
    rows = packet(20, sold(100, 1)), packet(40, ask(103, 1))
    result = play(case(*rows, actions=(stop, Cut(30, 0, 3), Cut(31, 0, 2)), filters=filters))
    assert [(r.what, r.reason) for r in result.reports[1:]][1:] == [(AMEND_REJECTED, FILTER_NOTIONAL)]


def test_prices_with_more_digits_than_64_bits_are_judged_exactly(play: Play) -> None:
    """30,000,000,000,000,001 * 1.00000001 is 30,000,000,300,000,001 and a hundred millionth."""
    last = replace(FIVE, reference_minutes=0, bid_multiplier_up="1.00000001", bid_multiplier_down="0")
    prices = 30_000_000_000_000_001, 30_000_000_300_000_001, 30_000_000_300_000_002
    rows = packet(20, sold(prices[0], 1)), packet(30, ask(103, 1))
    sent = tuple(Send(25, BUY, price, 1) for price in prices[1:])
    found = answers(play(case(*rows, actions=sent, filters=last, tick_size="0.00000001")))
    assert (found[0] == FILTER_PERCENT_PRICE, found[1] == FILTER_PERCENT_PRICE) == (False, True)


@pytest.mark.parametrize("slices", [0, 1, 40])
def test_however_rows_come_in_the_average_is_of_the_same_prints(slices: int) -> None:
    """More prints than the engine keeps: the old ones are forgotten, and none that counts."""
    random = Random(7)
    step, prints, sent = MINUTE_NS // 20, [], []
    for number in range(2_000):
        at = 20 + number * step + random.randint(0, step // 2)
        price = 100 + number // 100 + random.randint(-3, 3)
        prints.append(packet(at, bought(price, random.randint(1, 9))))
        if number % 10 == 0:
            sent.append(Send(at + 1, BUY, price + random.randint(5, 12), 1))
    filters = replace(FIVE, bid_multiplier_up="1.07")
    made = case(*prints, actions=tuple(sent), filters=filters, settings=Settings(10**18), slice_packets=slices)
    assert differences(replace(made, restore_at=1_000 * step)) == []
    refused = [r.reason for r in run("engine", made)[0].reports].count(FILTER_PERCENT_PRICE)
    assert 40 < refused < 160


def test_a_multiplier_that_is_no_number_is_refused() -> None:
    for text in ("-1", "much"):
        made = case(filters=replace(FIVE, ask_multiplier_up=text)).instrument()
        with pytest.raises(UsageError, match="a multiplier of a price filter must be a number >= 0"):
            integers(made, ReplayConfig(), 0, 1, False, 0)
