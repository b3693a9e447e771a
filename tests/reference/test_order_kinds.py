"""Stop orders, amendments, varying latencies, impact and fees in a third asset by hand, for model and engine alike."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.driver import Case, Cut, Drop, Result, Send, ask, bid, bought, packet, run, snapshot, sold, tape
from tests.reference.impact import MINUTE_NS, Impact
from tests.reference.latency import Sampled, Table
from tests.reference.model import Settings
from tidewright.market.codes import (
    ACCEPTED,
    AMEND_QUANTITY,
    AMEND_REJECTED,
    AMENDED,
    BUY,
    CANCELLED,
    EXPIRED,
    FALLS,
    FEE_OTHER,
    FILL,
    IOC,
    MARKET,
    NO_LIQUIDITY,
    NO_REASON,
    REJECTED,
    RISES,
    SELL,
    TRIGGERED,
    UNKNOWN_ORDER,
    WOULD_TRIGGER,
)
from tidewright.market.instrument import Filters

OPEN = snapshot(10, bid(100, 5), ask(102, 5))
Play = Callable[[Case], Result]


@pytest.fixture(params=["model", "engine"])
def play(request: pytest.FixtureRequest) -> Play:
    """Run a case of one lane."""
    return lambda case: run(request.param, case)[0]


def case(*packets: list[Row], actions: tuple[Any, ...] = (), **more: Any) -> Case:
    return Case(tape(OPEN, *packets), actions, **more)


def story(result: Result) -> list[tuple[Any, ...]]:
    """(what, ts, price, qty) of fills, (what, ts, reason) of all else."""
    return [(r.what, r.ts, r.price, r.qty) if r.what == FILL else (r.what, r.ts, r.reason) for r in result.reports]


# -- stop orders ------------------------------------------------------------------------------------------------------


def test_a_stop_loss_takes_after_the_packets_of_the_instant_of_the_print(play: Play) -> None:
    result = play(
        case(
            packet(20, sold(100, 1)),
            packet(30, sold(99, 1)),
            packet(30, bid(100, 2)),
            packet(40, sold(98, 1)),
            actions=(Send(15, SELL, 0, 4, IOC, MARKET, stop=99, way=FALLS),),
        )
    )
    assert story(result) == [
        (ACCEPTED, 15, NO_REASON),
        (TRIGGERED, 30, NO_REASON),
        (FILL, 30, 100, 2),
        (EXPIRED, 30, NO_LIQUIDITY),
    ]


def test_a_buy_stop_waits_for_a_rise_and_a_take_profit_for_a_fall(play: Play) -> None:
    rows = (packet(20, bought(102, 1)), packet(30, bought(103, 1)), packet(40, sold(99, 1)))
    rise = Send(25, BUY, 102, 1, stop=103, way=RISES)
    assert story(play(case(*rows, actions=(rise,))))[1:] == [(TRIGGERED, 30, 0), (FILL, 30, 102, 1)]
    fall = Send(25, BUY, 102, 1, stop=99, way=FALLS)
    assert story(play(case(*rows, actions=(fall,))))[1:] == [(TRIGGERED, 40, 0), (FILL, 40, 102, 1)]


def test_a_stop_price_that_has_printed_already_is_refused(play: Play) -> None:
    sent = Send(25, SELL, 98, 1, stop=100, way=FALLS)
    assert story(play(case(packet(20, sold(100, 1)), packet(30, ask(103, 1)), actions=(sent,)))) == [
        (REJECTED, 25, WOULD_TRIGGER)
    ]
    before_any_print = story(play(case(packet(30, ask(103, 1)), actions=(sent,))))
    assert before_any_print == [(ACCEPTED, 25, NO_REASON)]


def test_a_stop_limit_order_rests_behind_the_queue_of_the_time_it_goes_off(play: Play) -> None:
    result = play(
        case(
            packet(20, bid(100, 3)),
            packet(30, bought(102, 1)),
            packet(40, bid(100, 7)),
            packet(50, sold(100, 4)),
            packet(60, bid(100, 7)),
            packet(70, sold(100, 3)),
            actions=(Send(15, BUY, 100, 2, stop=102, way=RISES),),
        )
    )
    assert story(result) == [(ACCEPTED, 15, 0), (TRIGGERED, 30, 0), (FILL, 50, 100, 1), (FILL, 70, 100, 1)]


def test_stop_orders_lock_funds_count_as_open_and_can_be_cancelled(play: Play) -> None:
    stops = (Send(15, BUY, 100, 2, stop=103, way=RISES), Send(15, SELL, 0, 3, IOC, MARKET, stop=98, way=FALLS))
    result = play(case(packet(20, ask(103, 1)), actions=stops, filters=Filters(max_num_orders=0)))
    assert (result.base_locked, result.quote_locked) == (300_000, 200_000)  # 3 lots of 0.001; 2 * 100 * 0.01 * 0.001
    third = Send(16, BUY, 99, 1)
    refused = play(case(packet(20, ask(103, 1)), actions=(*stops, third), filters=Filters(max_num_orders=2)))
    assert refused.reports[-1].what == REJECTED
    gone = play(case(packet(20, ask(103, 1)), packet(40, bought(103, 1)), actions=(*stops, Drop(25, 0))))
    assert story(gone)[-1] == (CANCELLED, 25, NO_REASON)
    assert gone.quote_locked == 0


def test_prints_of_a_gap_set_stops_off_which_then_wait_for_its_end(play: Play) -> None:
    result = play(
        case(
            snapshot(20, bid(100, 5), ask(102, 5))[:1] + packet(20, sold(98, 1)),
            snapshot(40, bid(97, 5), ask(99, 5)),
            actions=(Send(15, SELL, 0, 2, IOC, MARKET, stop=98, way=FALLS),),
        )
    )
    assert story(result) == [(ACCEPTED, 15, 0), (TRIGGERED, 40, 0), (FILL, 40, 97, 2)]


# -- amendments -------------------------------------------------------------------------------------------------------


def test_an_amended_order_keeps_its_place(play: Play) -> None:
    rows = (
        packet(20, bid(100, 20)),
        packet(30, sold(100, 6)),
        packet(40, sold(100, 9)),
    )
    kept = play(case(*rows, actions=(Send(15, BUY, 100, 7), Cut(25, 0, 3))))
    assert story(kept) == [(ACCEPTED, 15, 0), (AMENDED, 25, 0), (FILL, 30, 100, 1), (FILL, 40, 100, 2)]
    amended = kept.reports[1]
    assert (amended.qty, amended.leaves) == (3, 3)
    anew = play(case(*rows, actions=(Send(15, BUY, 100, 7), Drop(25, 0), Send(25, BUY, 100, 3))))
    assert not [r for r in anew.reports if r.what == FILL]


def test_an_amendment_counts_what_has_filled_and_must_lower_the_quantity(play: Play) -> None:
    def after(qty: int) -> tuple[int, int, int, int]:
        sent = (Send(15, BUY, 100, 7), Cut(25, 0, qty))
        last = play(case(packet(20, sold(100, 8)), packet(30, ask(103, 1)), actions=sent)).reports[-1]
        return last.what, last.reason, last.qty, last.leaves

    assert after(4) == (AMENDED, NO_REASON, 4, 1)  # three have filled
    assert after(3) == (AMEND_REJECTED, AMEND_QUANTITY, 7, 4)
    assert after(7) == (AMEND_REJECTED, AMEND_QUANTITY, 7, 4)
    assert after(9) == (AMEND_REJECTED, AMEND_QUANTITY, 7, 4)


def test_an_amendment_of_a_dead_order_is_rejected_and_one_never_overtakes_its_order(play: Play) -> None:
    result = play(
        case(
            packet(20, ask(103, 1)),
            actions=(Send(15, BUY, 100, 7), Cut(15, 0, 4), Drop(15, 0), Cut(15, 0, 2)),
        )
    )
    assert story(result) == [
        (ACCEPTED, 15, 0),
        (AMENDED, 15, 0),
        (CANCELLED, 15, 0),
        (AMEND_REJECTED, 15, UNKNOWN_ORDER),
    ]


def test_an_amendment_frees_what_it_took_off(play: Play) -> None:
    result = play(case(packet(20, ask(103, 1)), actions=(Send(15, BUY, 100, 7), Cut(25, 0, 2))))
    assert result.quote_locked == 200_000


# -- latency ----------------------------------------------------------------------------------------------------------


def test_recorded_latencies_are_interpolated_and_constant_outside(play: Play) -> None:
    table = Table(((20, 0, 4), (40, 0, 10)))
    settings = Settings(1000, latency=table)
    rows = (packet(25, ask(103, 1)), packet(60, sold(100, 20)))
    sent = tuple(Send(at, SELL, 104 + i, 1) for i, at in enumerate((15, 20, 30, 33, 50)))
    result = play(case(*rows, actions=sent, settings=settings))
    assert [r.known_ns - r.ts for r in result.reports] == [4, 4, 7, 7, 10]


def test_messages_of_decisions_never_overtake_each_other(play: Play) -> None:
    """The second decision's messages could arrive before the first one's: they arrive with them."""
    latency = Table(((1010, 40, 0), (1020, 1, 0)))
    params = {"spread_percentage": 4.0, "levels": 1.0, "base_quantity": 0.001, "max_position": 1.0}
    rows = tape(snapshot(1000, bid(100, 5), ask(102, 5)), packet(1015, bid(101, 3)), packet(1100, sold(90, 1)))
    result = play(
        Case(
            rows,
            settings=Settings(10, start_ns=1000, latency=latency),
            strategy="grid",
            params=(params,),
            quote_units=10**9,
        )
    )
    arrived = [(r.ts, r.what, r.side, r.price) for r in result.reports if r.what in (ACCEPTED, CANCELLED)]
    assert {ts for ts, *_ in arrived[:4]} == {1050}


def test_sampled_latencies_are_a_function_of_seed_and_instant(play: Play) -> None:
    def known(seed: int, at: int) -> int:
        settings = Settings(1000, latency=Sampled(5, 1_000_000, 0.3, 50_000_000, 0.2, seed))
        [report] = play(case(packet(5000, ask(103, 1)), actions=(Send(at, SELL, 104, 1),), settings=settings)).reports
        return report.known_ns - report.ts

    one = [known(1, at) for at in range(15, 45)]
    assert one == [known(1, at) for at in range(15, 45)]
    assert one != [known(2, at) for at in range(15, 45)]
    assert 1 <= sum(value > 50_000_000 for value in one) <= 15


# -- impact -----------------------------------------------------------------------------------------------------------


def test_a_taker_pays_the_square_root_of_its_size_beyond_the_book(play: Play) -> None:
    # mid 101; 4 lots of 400 a day at 50 % a day: 101 * 0.5 * sqrt(4 / 400) = 5.05, six ticks with rounding up
    settings = Settings(1000, impact=Impact(1.0, 0.5, 0.4))
    sent = Send(15, BUY, 0, 4, IOC, MARKET)
    result = play(case(packet(20, ask(103, 1)), actions=(sent,), settings=settings))
    assert (result.cash, result.position) == (-4 * 108, 4)
    sold_result = play(case(packet(20, ask(103, 1)), actions=(sent._replace(side=SELL),), settings=settings))
    assert sold_result.cash == 4 * 94


def test_impact_never_pays_more_than_the_limit_and_makers_pay_none(play: Play) -> None:
    settings = Settings(1000, impact=Impact(1.0, 0.5, 0.4))
    limited = play(case(packet(20, ask(103, 1)), actions=(Send(15, BUY, 104, 4),), settings=settings))
    assert limited.cash == -4 * 104
    maker = play(case(packet(20, sold(100, 20)), actions=(Send(15, BUY, 100, 4),), settings=settings))
    assert maker.cash == -4 * 100


def test_impact_measures_volume_and_volatility_on_the_tape_so_far(play: Play) -> None:
    settings = Settings(10**15, impact=Impact(1.0))
    minute = MINUTE_NS
    rows = (
        packet(10 + minute, bid(101, 5), ask(103, 5), bid(100, 0), ask(102, 0)),
        packet(10 + minute + 5, bought(103, 4000)),
        packet(10 + 2 * minute, bid(100, 5), ask(102, 5), bid(101, 0), ask(103, 0)),
        packet(10 + 3 * minute, ask(110, 1)),
    )
    sent = (Send(12, BUY, 0, 1, IOC, MARKET), Send(12 + 2 * minute, BUY, 0, 4, IOC, MARKET))
    fills = [r for r in play(case(*rows, actions=sent, settings=settings)).reports if r.what == FILL]
    # nothing is known at first; then two returns of 1 % in two minutes: 26.5 % a day; 2,880,000 lots a day:
    # 101 * 0.2652 * sqrt(4 / 2.88e6) = 0.03, one tick
    assert [fill.price for fill in fills] == [102, 103]


# -- fees in a third asset --------------------------------------------------------------------------------------------


def test_fees_in_a_third_asset_leave_base_and_quote_alone(play: Play) -> None:
    settings = Settings(1000, fee_asset_price="0.5")
    result = play(
        case(
            packet(20, ask(103, 1)),
            actions=(Send(15, BUY, 0, 4, IOC, MARKET), Send(16, SELL, 0, 4, IOC, MARKET)),
            settings=settings,
            taker_fee=100_000,
        )
    )
    fees = [(r.fee, r.fee_asset) for r in result.reports if r.what == FILL]
    # 4 * 102 * 0.01 * 0.001 = 0.00408 quote, of which 0.1 % is 408 units; at half a quote each, 816 of the asset
    assert fees == [(816, FEE_OTHER), (800, FEE_OTHER)]
    assert (result.fee_base, result.fee_quote) == (0, 1616)
