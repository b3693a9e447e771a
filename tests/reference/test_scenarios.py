"""Every rule of matching by hand-computed example, for the slow model and for the engine alike.

Prices in ticks, quantities in lots, times in ns. Most scenarios start from the book
bid 100 x 5, ask 102 x 5, whole from ts 10.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.driver import (
    GAP_ROW,
    RESET_ROW,
    Case,
    Drop,
    Result,
    Send,
    ask,
    best_ask,
    best_bid,
    bid,
    bought,
    packet,
    run,
    snapshot,
    sold,
    tape,
    traded,
)
from tests.reference.model import Settings
from tidewright.market.codes import (
    ACCEPTED,
    BUY,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FEE_BASE,
    FEE_QUOTE,
    FILL,
    FILTER_LOT,
    FILTER_MAX_ORDERS,
    FILTER_NOTIONAL,
    FILTER_PRICE,
    FOK,
    FOK_UNFILLED,
    INSUFFICIENT_BALANCE,
    IOC,
    MARKET,
    NO_LIQUIDITY,
    PACKET_END,
    POST_ONLY,
    REJECTED,
    SELF_TRADE,
    SELL,
    SNAPSHOT,
    UNKNOWN_ORDER,
    WOULD_TAKE,
)
from tidewright.market.instrument import Filters

Story = list[tuple[Any, ...]]
NAMES = {ACCEPTED: "ok", FILL: "fill", REJECTED: "no", CANCELLED: "gone", EXPIRED: "expired", CANCEL_REJECTED: "late"}
OPEN = snapshot(10, bid(100, 5), ask(102, 5))


@pytest.fixture(params=["model", "engine"])
def play(request: pytest.FixtureRequest) -> Callable[[Case], Result]:
    """Run a case of one lane."""
    if request.param == "engine":
        pytest.importorskip("tidewright.engine.replay")
    return lambda case: run(request.param, case)[0]


def told(result: Result) -> Story:
    """The reports in short: fills as (fill, order, price, qty), all else as (what, order, reason)."""
    story: Story = []
    for r in result.reports:
        if r.what == FILL:
            story.append(("fill", r.number, r.price, r.qty))
        else:
            story.append((NAMES[r.what], r.number, r.reason))
    return story


def filled(result: Result) -> Story:
    """Only the fills: (order, ts, price, qty)."""
    return [(r.number, r.ts, r.price, r.qty) for r in result.reports if r.what == FILL]


def case(*packets: list[Row], actions: tuple[Any, ...] = (), **more: Any) -> Case:
    return Case(tape(OPEN, *packets), actions, **more)


Play = Callable[[Case], Result]

# -- queue ------------------------------------------------------------------------------------------------------------


def test_a_print_at_the_price_serves_first_what_stands_ahead(play: Play) -> None:
    result = play(
        case(
            packet(20, sold(100, 3)),
            packet(30, sold(100, 4)),
            packet(40, sold(100, 9)),
            actions=(Send(15, BUY, 100, 7),),
        )
    )
    assert filled(result) == [(0, 30, 100, 2), (0, 40, 100, 5)]
    assert [(r.leaves, r.maker) for r in result.reports] == [(7, 0), (5, 1), (0, 1)]
    assert (result.position, result.cash) == (7, -700)


def test_prints_count_only_from_the_arrival_on(play: Play) -> None:
    result = play(case(packet(20, sold(100, 5)), packet(40, sold(100, 6)), actions=(Send(30, BUY, 100, 7),)))
    assert filled(result) == [(0, 40, 100, 1)]


def test_a_print_beyond_the_price_fills_and_clears_the_queue(play: Play) -> None:
    result = play(case(packet(20, sold(99, 2)), packet(30, sold(100, 1)), actions=(Send(15, BUY, 100, 9),)))
    assert filled(result) == [(0, 20, 100, 2), (0, 30, 100, 1)]


def test_prints_meet_only_the_opposite_side(play: Play) -> None:
    result = play(
        case(
            packet(20, bought(100, 50), sold(102, 50)),
            packet(30, bought(99, 50), sold(103, 50)),
            actions=(Send(15, BUY, 100, 1), Send(15, SELL, 102, 1)),
        )
    )
    assert filled(result) == []


def test_a_level_smaller_than_what_is_ahead_clips_it(play: Play) -> None:
    result = play(
        case(
            packet(20, bid(100, 2)),
            packet(25, bid(100, 50)),
            packet(30, sold(100, 3)),
            actions=(Send(15, BUY, 100, 7),),
        )
    )
    assert filled(result) == [(0, 30, 100, 1)]


def test_a_removed_level_leaves_the_order_in_front(play: Play) -> None:
    result = play(case(packet(20, bid(100, 0), bid(99, 1)), packet(30, sold(100, 3)), actions=(Send(15, BUY, 100, 7),)))
    assert filled(result) == [(0, 30, 100, 3)]


def test_own_orders_share_one_print_from_the_best_price_then_by_arrival(play: Play) -> None:
    result = play(
        case(
            packet(20, sold(100, 12)),
            actions=(Send(14, BUY, 100, 2), Send(15, BUY, 100, 3), Send(16, BUY, 101, 4)),
        )
    )
    # 4 at 101 from the whole print; then 12 - 5 ahead - 4 used = 3 at 100: two, then one
    assert filled(result) == [(2, 20, 101, 4), (0, 20, 100, 2), (1, 20, 100, 1)]


def test_lanes_never_meet(play: Play) -> None:
    one = case(packet(20, sold(100, 8)), actions=(Send(14, BUY, 100, 9), Send(14, SELL, 101, 9, lane=1)), lanes=2)
    assert filled(play(one)) == [(0, 20, 100, 3)]


def test_prob_splits_a_cancellation_between_ahead_and_behind(play: Play) -> None:
    # papers.md D2: front 10, level 30 -> 24 without trades: 9.333 at n = 3, so 10 whole lots stand ahead
    rows = tape(
        snapshot(10, bid(100, 10), ask(102, 5)),
        packet(20, bid(100, 30)),
        packet(30, bid(100, 24)),
        packet(40, sold(100, 11)),
    )
    sent = (Send(15, BUY, 100, 9),)
    assert filled(play(Case(rows, sent, Settings(1000, queue="prob", queue_power=3.0)))) == [(0, 40, 100, 1)]
    # n = 1: front 8
    assert filled(play(Case(rows, sent, Settings(1000, queue="prob", queue_power=1.0)))) == [(0, 40, 100, 3)]


def test_prob_counts_out_what_was_traded(play: Play) -> None:
    # papers.md D2: after 4 traded (front 6), level 30 -> 24 at n = 3: front 5.969, six whole lots
    rows = tape(
        snapshot(10, bid(100, 10), ask(102, 5)),
        packet(20, bid(100, 30)),
        packet(30, sold(100, 4)),
        packet(31, bid(100, 24)),
        packet(40, sold(100, 7)),
    )
    settings = Settings(1000, queue="prob", queue_power=3.0)
    assert filled(play(Case(rows, (Send(15, BUY, 100, 9),), settings))) == [(0, 40, 100, 1)]


def test_prob_never_falls_below_nothing_nor_over_the_level(play: Play) -> None:
    rows = tape(
        snapshot(10, bid(100, 10), ask(102, 5)),
        packet(20, sold(100, 9)),
        packet(30, bid(100, 0), bid(99, 1)),
        packet(31, bid(100, 4)),
        packet(40, sold(100, 2)),
    )
    settings = Settings(1000, queue="prob", queue_power=2.0)
    assert filled(play(Case(rows, (Send(15, BUY, 100, 9),), settings))) == [(0, 40, 100, 2)]


# -- latency and knowledge --------------------------------------------------------------------------------------------


def test_an_order_arrives_after_all_packets_of_its_instant(play: Play) -> None:
    result = play(
        case(
            packet(20, sold(100, 3)),
            packet(20, bid(100, 1)),
            packet(30, sold(100, 3)),
            actions=(Send(15, BUY, 100, 7, delay=5),),
        )
    )
    assert filled(result) == [(0, 30, 100, 2)]
    assert result.reports[0].ts == 20


def test_tape_fills_are_known_with_their_packet_and_answers_after_the_response(play: Play) -> None:
    rows = tape(
        snapshot(10, bid(100, 5), ask(102, 5), receipt=11),
        packet(30, sold(100, 6), receipt=90),
        packet(40, sold(100, 1), receipt=41),
    )
    result = play(Case(rows, (Send(15, BUY, 100, 2), Send(15, BUY, 102, 1, IOC)), Settings(1000, response_ns=20)))
    assert [(r.what, r.number, r.ts, r.known_ns) for r in result.reports] == [
        (ACCEPTED, 0, 15, 35),
        (ACCEPTED, 1, 15, 35),
        (FILL, 1, 15, 35),
        (FILL, 0, 30, 90),
        (FILL, 0, 40, 90),  # "effective receipt = running maximum"
    ]


def test_a_cancel_comes_before_new_orders_of_its_instant_and_after_packets(play: Play) -> None:
    result = play(
        case(
            packet(20, sold(100, 6)),
            packet(30, sold(100, 9)),
            actions=(
                Send(11, BUY, 100, 3),
                Send(15, SELL, 100, 1, POST_ONLY, delay=5),  # would meet own bid but for the cancel; bid level stays
                Drop(15, 0, delay=5),
                Drop(25, 0),
                Drop(25, 7),
            ),
        )
    )
    assert told(result) == [
        ("ok", 0, 0),
        ("fill", 0, 100, 1),
        ("gone", 0, 0),
        ("no", 1, WOULD_TAKE),
        ("late", 0, UNKNOWN_ORDER),
        ("late", 7, UNKNOWN_ORDER),
    ]
    assert result.reports[2].leaves == 2


# -- checks on arrival ------------------------------------------------------------------------------------------------


def test_filters_in_the_venue_order(play: Play) -> None:
    filters = Filters(
        min_price_ticks=50,
        max_price_ticks=200,
        min_qty_lots=2,
        max_qty_lots=50,
        market_max_qty_lots=20,
        min_notional=200_000,  # 200 tick*lots
        max_notional=4_000_000,
        max_num_orders=2,
    )
    result = play(
        case(
            actions=(
                Send(15, BUY, 49, 1),
                Send(15, BUY, 201, 2),
                Send(15, BUY, 100, 1),
                Send(15, BUY, 100, 51),
                Send(15, BUY, 0, 21, kind=MARKET),
                Send(15, BUY, 99, 2),
                Send(15, BUY, 100, 41),
                Send(15, BUY, 100, 2),
                Send(15, BUY, 100, 2),
                Send(15, BUY, 100, 2),
            ),
            filters=filters,
        )
    )
    assert told(result) == [
        ("no", 0, FILTER_PRICE),
        ("no", 1, FILTER_PRICE),
        ("no", 2, FILTER_LOT),
        ("no", 3, FILTER_LOT),
        ("no", 4, FILTER_LOT),
        ("no", 5, FILTER_NOTIONAL),
        ("no", 6, FILTER_NOTIONAL),
        ("ok", 7, 0),
        ("ok", 8, 0),
        ("no", 9, FILTER_MAX_ORDERS),
    ]


def test_post_only_may_not_meet_tape_or_own_orders(play: Play) -> None:
    result = play(
        case(
            actions=(
                Send(11, BUY, 102, 1, POST_ONLY),
                Send(12, BUY, 101, 1, POST_ONLY),
                Send(13, SELL, 101, 1, POST_ONLY),
                Send(14, SELL, 100, 1, POST_ONLY),
                Send(15, SELL, 102, 1, POST_ONLY),
            )
        )
    )
    assert told(result) == [
        ("no", 0, WOULD_TAKE),
        ("ok", 1, 0),
        ("no", 2, WOULD_TAKE),
        ("no", 3, WOULD_TAKE),
        ("ok", 4, 0),
    ]


def test_post_only_is_tested_against_the_tape_net_of_what_the_lane_took(play: Play) -> None:
    result = play(
        case(
            actions=(
                Send(11, BUY, 102, 4, IOC),
                Send(12, BUY, 102, 1, POST_ONLY),
                Send(13, BUY, 102, 1, IOC),
                Send(14, BUY, 102, 1, POST_ONLY),
            )
        )
    )
    assert told(result) == [
        ("ok", 0, 0),
        ("fill", 0, 102, 4),
        ("no", 1, WOULD_TAKE),
        ("ok", 2, 0),
        ("fill", 2, 102, 1),
        ("ok", 3, 0),
    ]


def test_balances_are_checked_net_of_what_open_orders_lock(play: Play) -> None:
    # 1 lot is 100,000 units of base; 1 tick*lot is 1,000 units of quote
    result = play(
        case(
            actions=(
                Send(11, BUY, 100, 6),
                Send(12, BUY, 100, 5),
                Send(12, BUY, 99, 4),
                Send(13, SELL, 103, 4),
                Send(13, SELL, 103, 3),
                Drop(14, 0),
                Send(15, BUY, 100, 6),
            ),
            base_units=300_000,
            quote_units=1_000_000,
            check_balance=True,
        )
    )
    assert told(result) == [
        ("ok", 0, 0),
        ("no", 1, INSUFFICIENT_BALANCE),
        ("ok", 2, 0),
        ("no", 3, INSUFFICIENT_BALANCE),
        ("ok", 4, 0),
        ("gone", 0, 0),
        ("ok", 5, 0),
    ]
    assert (result.base_locked, result.quote_locked) == (300_000, 996_000)


# -- taking -----------------------------------------------------------------------------------------------------------

DEEP = snapshot(10, bid(100, 5), bid(99, 5), ask(102, 5), ask(103, 5), ask(105, 5))


def test_a_marketable_limit_walks_and_its_remainder_rests(play: Play) -> None:
    rows = tape(DEEP, packet(20, sold(103, 1)))
    result = play(Case(rows, (Send(15, BUY, 103, 12),)))
    assert told(result) == [("ok", 0, 0), ("fill", 0, 102, 5), ("fill", 0, 103, 5), ("fill", 0, 103, 1)]
    assert [r.maker for r in result.reports] == [0, 0, 0, 1]
    assert result.cash == -(5 * 102 + 6 * 103)


def test_market_and_ioc_remainders_expire(play: Play) -> None:
    result = play(
        Case(DEEP, (Send(15, BUY, 103, 12, IOC), Send(16, BUY, 0, 6, kind=MARKET), Send(17, SELL, 99, 11, IOC)))
    )
    assert told(result) == [
        ("ok", 0, 0),
        ("fill", 0, 102, 5),
        ("fill", 0, 103, 5),
        ("expired", 0, NO_LIQUIDITY),
        ("ok", 1, 0),
        ("fill", 1, 105, 5),
        ("expired", 1, NO_LIQUIDITY),
        ("ok", 2, 0),
        ("fill", 2, 100, 5),
        ("fill", 2, 99, 5),
        ("expired", 2, NO_LIQUIDITY),
    ]
    assert result.reports[3].leaves == 2


def test_fok_is_all_or_nothing(play: Play) -> None:
    result = play(Case(DEEP, (Send(15, BUY, 103, 11, FOK), Send(16, BUY, 103, 10, FOK), Send(17, BUY, 104, 1, FOK))))
    assert told(result) == [
        ("ok", 0, 0),
        ("expired", 0, FOK_UNFILLED),
        ("ok", 1, 0),
        ("fill", 1, 102, 5),
        ("fill", 1, 103, 5),
        ("ok", 2, 0),
        ("expired", 2, FOK_UNFILLED),
    ]


def test_taken_quantity_is_remembered_forgiven_and_capped(play: Play) -> None:
    def ioc(at: int, qty: int = 50) -> Send:
        return Send(at, BUY, 102, qty, IOC)

    rows = tape(
        OPEN,
        packet(20, bought(102, 3)),  # trades do not forgive
        packet(30, ask(102, 7)),  # forgives 2: taken 3, net 4
        packet(40, ask(102, 2)),  # caps at 2: net 0
        packet(50, ask(102, 3)),  # forgives 1: taken 1, net 2
        packet(60, ask(102, 0), ask(103, 9)),
        packet(70, ask(102, 4)),  # forgotten with the level: net 4
    )
    result = play(Case(rows, (ioc(15), ioc(25), ioc(35, 1), ioc(45), ioc(55), ioc(65), ioc(75))))
    assert filled(result) == [(0, 15, 102, 5), (2, 35, 102, 1), (4, 55, 102, 2), (6, 75, 102, 4)]


def test_a_gap_clears_what_was_taken(play: Play) -> None:
    rows = tape(OPEN, packet(20, GAP_ROW), packet(30, bid(100, 5), flags=SNAPSHOT))
    result = play(Case(rows, (Send(15, BUY, 102, 4, IOC), Send(35, BUY, 102, 9, IOC))))
    assert filled(result) == [(0, 15, 102, 4), (1, 35, 102, 5)]


def test_self_trade_takes_what_is_ahead_and_the_own_order_expires(play: Play) -> None:
    rows = tape(OPEN, packet(13, ask(102, 9)), packet(14, bought(102, 1)))
    # own ask at 102 has 5 - 1 = 4 ahead; the level holds 9
    result = play(Case(rows, (Send(11, SELL, 102, 2), Send(15, BUY, 102, 4, IOC))))
    assert told(result) == [("ok", 0, 0), ("ok", 1, 0), ("fill", 1, 102, 4)]
    result = play(Case(rows, (Send(11, SELL, 102, 2), Send(15, BUY, 102, 6, IOC))))
    assert told(result) == [
        ("ok", 0, 0),
        ("ok", 1, 0),
        ("fill", 1, 102, 4),
        ("expired", 0, SELF_TRADE),
        ("fill", 1, 102, 2),
    ]


def test_self_trade_inside_the_spread(play: Play) -> None:
    result = play(case(actions=(Send(11, SELL, 101, 2), Send(15, BUY, 102, 3), Send(16, BUY, 99, 1))))
    assert told(result) == [
        ("ok", 0, 0),
        ("ok", 1, 0),
        ("expired", 0, SELF_TRADE),
        ("fill", 1, 102, 3),
        ("ok", 2, 0),
    ]


# -- touch ------------------------------------------------------------------------------------------------------------


def test_touch_fills_a_resting_order_at_its_own_price(play: Play) -> None:
    rows = tape(OPEN, packet(20, ask(101, 3)), packet(30, ask(101, 4)))
    result = play(Case(rows, (Send(15, BUY, 101, 9, POST_ONLY), Send(25, BUY, 101, 9, IOC))))
    # 3 at once; they count as taken, so the IOC finds nothing; 3 -> 4 forgives one, so 2 of 4 are left
    assert told(result) == [
        ("ok", 0, 0),
        ("fill", 0, 101, 3),
        ("ok", 1, 0),
        ("expired", 1, NO_LIQUIDITY),
        ("fill", 0, 101, 2),
    ]
    assert [r.maker for r in result.reports] == [0, 1, 0, 0, 1]


def test_touch_waits_for_the_other_side_of_a_crossing(play: Play) -> None:
    rows = tape(OPEN, packet(20, ask(99, 3)), packet(30, bid(100, 0), bid(98, 1)))
    result = play(Case(rows, (Send(15, BUY, 100, 2), Send(16, BUY, 101, 2))))
    assert filled(result) == [(1, 30, 101, 2), (0, 30, 100, 1)]


def test_touch_only_by_levels_that_were_updated(play: Play) -> None:
    # the bid arrives while the book is crossed: it rests; later only level 101 is new
    rows = tape(OPEN, packet(20, bid(103, 1)), packet(30, bid(103, 0)), packet(40, ask(101, 1)))
    result = play(Case(rows, (Send(25, BUY, 102, 9),)))
    assert filled(result) == [(0, 40, 102, 1)]


def test_touch_at_several_levels_is_one_fill_each_until_they_are_used_up(play: Play) -> None:
    rows = tape(OPEN, packet(20, bid(100, 0), bid(97, 1), ask(98, 1), ask(99, 2), ask(101, 4)))
    result = play(Case(rows, (Send(15, BUY, 100, 9), Send(16, BUY, 101, 3))))
    assert filled(result) == [(1, 20, 101, 1), (1, 20, 101, 2)]


def test_no_touch_in_a_locked_book_but_taking(play: Play) -> None:
    rows = tape(OPEN, packet(20, ask(100, 3)), packet(30, bid(99, 1)), packet(40, bid(100, 0)))
    result = play(Case(rows, (Send(15, BUY, 100, 2), Send(25, BUY, 100, 1, IOC))))
    # locked at 20 and 30: taken by the IOC but not touched; unlocked at 40: level 100 was updated since 10
    assert told(result) == [("ok", 0, 0), ("ok", 1, 0), ("fill", 1, 100, 1), ("fill", 0, 100, 2)]
    assert [r.ts for r in result.reports] == [15, 25, 25, 40]


# -- gaps, one side, crossed ------------------------------------------------------------------------------------------


def test_before_the_first_snapshot_orders_wait(play: Play) -> None:
    rows = tape(
        packet(5, bid(100, 5), ask(102, 5)),
        packet(20, sold(100, 50)),
        packet(30, bid(100, 6), flags=SNAPSHOT),
        packet(30, sold(100, 2)),
        packet(30, bid(100, 4)),
        packet(40, sold(100, 5)),
    )
    result = play(Case(rows, (Send(6, BUY, 100, 9),)))
    assert [(r.what, r.ts) for r in result.reports] == [(ACCEPTED, 30), (FILL, 40)]
    assert filled(result) == [(0, 40, 100, 1)]


def test_in_a_gap_prints_do_nothing_and_resting_orders_rejoin_at_the_back(play: Play) -> None:
    rows = tape(
        OPEN,
        packet(20, sold(100, 5)),
        packet(30, GAP_ROW),
        packet(40, sold(99, 50)),
        packet(50, bid(100, 3), flags=SNAPSHOT),
        packet(60, sold(100, 7)),
    )
    result = play(Case(rows, (Send(11, BUY, 100, 2), Send(12, BUY, 100, 9))))
    assert filled(result) == [(0, 60, 100, 2), (1, 60, 100, 2)]


def test_cancels_act_in_a_gap_also_on_waiting_orders(play: Play) -> None:
    rows = tape(OPEN, packet(20, GAP_ROW), packet(50, bid(100, 3), flags=SNAPSHOT), packet(60, sold(99, 50)))
    result = play(
        Case(rows, (Send(15, BUY, 100, 2), Send(25, BUY, 100, 3), Send(26, BUY, 100, 4), Drop(30, 0), Drop(31, 1)))
    )
    assert told(result) == [("ok", 0, 0), ("gone", 0, 0), ("gone", 1, 0), ("ok", 2, 0), ("fill", 2, 100, 4)]
    assert [r.ts for r in result.reports] == [15, 30, 31, 50, 60]


def test_a_gap_row_keeps_levels_a_reset_empties_them(play: Play) -> None:
    for row, left in ((GAP_ROW, 5), (RESET_ROW, 0)):
        rows = tape(OPEN, packet(20, row), packet(30, ask(104, 3), bid(90, 1), flags=SNAPSHOT))
        result = play(Case(rows, (Send(35, BUY, 103, 9, IOC),)))
        assert result.position == left


def test_a_gap_can_end_with_one_side_missing(play: Play) -> None:
    rows = tape(
        snapshot(10, bid(100, 5)),
        packet(20, sold(100, 6)),
        packet(30, ask(102, 5)),
    )
    result = play(Case(rows, (Send(15, BUY, 100, 2), Send(16, BUY, 102, 5, IOC), Send(35, BUY, 102, 5, IOC))))
    assert told(result) == [
        ("ok", 0, 0),
        ("ok", 1, 0),
        ("expired", 1, NO_LIQUIDITY),
        ("fill", 0, 100, 1),
        ("ok", 2, 0),
        ("fill", 2, 102, 5),
    ]


def test_the_row_that_starts_a_gap_is_not_its_own_snapshot(play: Play) -> None:
    rows = tape(OPEN, packet(20, bid(99, 1), GAP_ROW, flags=SNAPSHOT), packet(30, sold(99, 9)))
    rows[-2] = rows[-2]._replace(flags=SNAPSHOT | PACKET_END)
    assert told(play(Case(rows, (Send(15, BUY, 100, 2),)))) == [("ok", 0, 0)]


def test_crossed_for_a_moment_prints_go_on_and_post_only_is_tested(play: Play) -> None:
    rows = tape(OPEN, packet(20, bid(103, 1)), packet(30, sold(100, 6)))
    result = play(
        Case(
            rows,
            (
                Send(15, BUY, 100, 2),
                Send(25, BUY, 102, 1, POST_ONLY),
                Send(25, SELL, 103, 1, POST_ONLY),
                Send(25, BUY, 105, 1, IOC),
                Send(25, BUY, 105, 1, FOK),
                Send(25, BUY, 0, 1, kind=MARKET),
            ),
        )
    )
    assert told(result) == [
        ("ok", 0, 0),
        ("no", 1, WOULD_TAKE),
        ("no", 2, WOULD_TAKE),
        ("ok", 3, 0),
        ("expired", 3, NO_LIQUIDITY),
        ("ok", 4, 0),
        ("expired", 4, FOK_UNFILLED),
        ("ok", 5, 0),
        ("expired", 5, NO_LIQUIDITY),
        ("fill", 0, 100, 1),
    ]


def test_a_packet_is_atomic_and_the_book_is_judged_at_its_end(play: Play) -> None:
    # crossed inside the packet only: whole at its end
    rows = tape(OPEN, packet(20, bid(103, 1), ask(102, 0), ask(104, 2)))
    assert filled(play(Case(rows, (Send(25, BUY, 104, 1, IOC),)))) == [(0, 25, 104, 1)]


# -- rows -------------------------------------------------------------------------------------------------------------


def test_best_rows_empty_better_levels(play: Play) -> None:
    rows = tape(
        snapshot(10, bid(101, 4), bid(100, 5), ask(103, 4), ask(105, 5)),
        packet(20, best_bid(100, 2)),
        packet(21, best_ask(104, 3)),
        packet(30, sold(101, 1), bought(104, 4)),
    )
    result = play(
        Case(
            rows,
            (
                Send(15, BUY, 101, 9),
                Send(25, SELL, 104, 2),
                Send(35, BUY, 0, 9, kind=MARKET),
                Send(35, SELL, 0, 9, kind=MARKET),
            ),
        )
    )
    assert filled(result) == [
        (0, 30, 101, 1),
        (1, 30, 104, 1),
        (2, 35, 104, 3),
        (2, 35, 105, 5),
        (3, 35, 100, 2),
    ]


def test_a_best_row_of_nothing_as_first_packet(play: Play) -> None:
    rows = tape(packet(5, best_ask(43, 0)), OPEN, packet(20, best_bid(101, 0)))
    assert filled(play(Case(rows, (Send(30, BUY, 102, 1, IOC),)))) == [(0, 30, 102, 1)]
    narrow = Settings(1000, window_ticks=16)
    assert filled(play(Case(rows, (Send(30, BUY, 102, 1, IOC),), narrow))) == [(0, 30, 102, 1)]


def test_unknown_prints_are_classed_by_the_book_before_their_packet(play: Play) -> None:
    rows = tape(
        OPEN,
        packet(20, traded(101, 50)),
        packet(30, bid(100, 0), bid(98, 1), traded(100, 6)),  # at the bid before the packet: sell
        packet(40, traded(103, 6)),
        packet(50, ask(98, 1)),
        packet(60, traded(98, 50)),  # locked: neither
    )
    result = play(Case(rows, (Send(15, BUY, 100, 9), Send(15, SELL, 102, 9), Send(15, SELL, 103, 9))))
    # at 30 the level row comes first and leaves nothing ahead: 6 fill; at 40 the print through 102 fills 6 there
    assert filled(result)[:2] == [(0, 30, 100, 6), (1, 40, 102, 6)]
    assert all(ts != 60 for _, ts, _, _ in filled(result))


# -- money ------------------------------------------------------------------------------------------------------------


def test_fees_are_taken_in_what_is_received_and_truncated_fill_by_fill(play: Play) -> None:
    rows = tape(OPEN, packet(20, sold(99, 1)), packet(21, sold(99, 2)))
    result = play(
        Case(
            rows,
            (Send(15, BUY, 100, 3), Send(25, SELL, 100, 3, IOC)),
            lot_size="0.00000001",
            tick_size="1",
            maker_fee=40_000_000,  # 40 %
            taker_fee=12_345_678,
        )
    )
    # lots are single units: 0.4 -> 0, 0.8 -> 0; quote 300 units * 0.12345678 = 37.03
    assert [(r.fee, r.fee_asset) for r in result.reports if r.what == FILL] == [
        (0, FEE_BASE),
        (0, FEE_BASE),
        (37, FEE_QUOTE),
    ]
    assert (result.fee_base, result.fee_quote, result.position, result.cash) == (0, 37, 0, 0)


def test_rebates_are_negative_fees_truncated_towards_zero(play: Play) -> None:
    rows = tape(OPEN, packet(20, bought(103, 3)))
    result = play(Case(rows, (Send(15, SELL, 102, 3),), lot_size="0.00000001", tick_size="1", maker_fee=-1_000_000))
    assert result.fee_quote == -3  # 306 * 1 % = 3.06


def test_large_amounts_stay_exact(play: Play) -> None:
    rows = tape(snapshot(10, bid(6_000_000, 10**9), ask(6_000_001, 10**9)))
    result = play(
        Case(
            rows,
            (Send(15, BUY, 6_000_001, 10**9, IOC), Send(16, SELL, 6_000_000, 987_654_321, IOC)),
            lot_size="0.00001",
            taker_fee=99_999,
        )
    )
    assert result.cash == -6_000_001 * 10**9 + 6_000_000 * 987_654_321
    assert result.fee_base == 10**12 * 99_999 // 10**8
    assert result.fee_quote == 6_000_000 * 987_654_321 * 10 * 99_999 // 10**8
