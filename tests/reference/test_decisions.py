"""Decisions, knowledge and requoting by hand-computed example, for the slow model and for the engine alike.

Tick 1, lot 1. The mid is 1000 at first; grid at 2 % quotes 990, 980, ... and 1010, 1020, ...
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.driver import (
    GAP_ROW,
    Case,
    Result,
    ask,
    bid,
    bought,
    packet,
    run,
    snapshot,
    sold,
    tape,
)
from tests.reference.model import Settings
from tests.reference.quoting import LimitSet
from tidewright.market.codes import ACCEPTED, BUY, CANCELLED, EXPIRED, FILL, REJECTED, SELL, SNAPSHOT, WOULD_TAKE
from tidewright.market.instrument import Filters

Play = Callable[[Case], Result]
OPEN = snapshot(0, bid(999, 5), bid(990, 4), ask(1001, 5), ask(1010, 4))
GRID = {"spread_percentage": 2.0, "levels": 1, "base_quantity": 3.0, "max_position": 100.0}
UNIT = 100_000_000


@pytest.fixture(params=["model", "engine"])
def play(request: pytest.FixtureRequest) -> Play:
    if request.param == "engine":
        pytest.importorskip("tidewright.engine.replay")
    return lambda case: run(request.param, case)[0]


def case(*packets: list[Row], grid: dict[str, float] | None = None, **settings: Any) -> Case:
    return Case(
        tape(OPEN, *packets),
        settings=Settings(**{"cycle_ns": 100, **settings}),
        strategy="grid",
        params=({**GRID, **(grid or {})},),
        tick_size="1",
        lot_size="1",
        filters=Filters(max_num_orders=0),
        quote_units=10_000 * UNIT,
    )


def told(result: Result) -> list[tuple[str, int, int, int, int]]:
    """(what, ts, side, price, quantity), without what the engine calls an order."""
    names = {ACCEPTED: "ok", FILL: "fill", REJECTED: "no", CANCELLED: "gone", EXPIRED: "expired"}
    return [(names[r.what], r.ts, r.side, r.price, r.qty) for r in result.reports]


def quiet(*until: int) -> list[Row]:
    """Packets that change nothing but let time pass."""
    return tape(*(packet(ts, bid(500, 1)) for ts in until))


def test_a_decision_a_cycle_and_orders_arrive_after_the_entry_latency(play: Play) -> None:
    result = play(case(quiet(350), grid={"levels": 2}, entry_ns=7))
    assert told(result) == [
        ("ok", 107, BUY, 990, 3),
        ("ok", 107, BUY, 980, 3),
        ("ok", 107, SELL, 1010, 3),
        ("ok", 107, SELL, 1020, 3),
    ]  # and they stay at 200 and 300
    assert [ts for ts, _ in result.equity] == [100, 200, 300, 350]
    assert {amount for _, amount in result.equity} == {10_000 * UNIT}


def test_the_start_can_be_given(play: Play) -> None:
    result = play(case(quiet(350), start_ns=-30))
    assert [ts for ts, _ in result.equity] == [70, 170, 270, 350]
    assert told(result)[0] == ("ok", 70, BUY, 990, 3)


def test_with_entry_latency_nothing_orders_arrive_right_after_the_decision(play: Play) -> None:
    # the packet of the instant comes first, so 2 lots stand ahead
    result = play(case(packet(100, bid(990, 2)), packet(101, sold(990, 4))))
    assert told(result)[-1] == ("fill", 101, BUY, 990, 2)


def test_a_moved_quote_is_cancelled_and_sent_anew_a_kept_one_stays(play: Play) -> None:
    result = play(
        case(
            packet(150, bid(999, 0), bid(998, 1)),  # mid 999.5: 989.5.. -> 989 and 1009.4.. -> 1010
            quiet(250),
            entry_ns=5,
        )
    )
    assert told(result) == [
        ("ok", 105, BUY, 990, 3),
        ("ok", 105, SELL, 1010, 3),
        ("gone", 205, BUY, 990, 3),
        ("ok", 205, BUY, 989, 3),
    ]


def test_a_partial_fill_is_not_topped_up_a_full_one_is_replaced_when_known(play: Play) -> None:
    result = play(
        case(
            packet(120, sold(990, 5)),  # 4 ahead: 1 of 3
            packet(190, sold(990, 2)),  # the rest, known at 190 + 30
            quiet(400),
            response_ns=30,
        )
    )
    assert told(result) == [
        ("ok", 100, BUY, 990, 3),
        ("ok", 100, SELL, 1010, 3),
        ("fill", 120, BUY, 990, 1),
        ("fill", 190, BUY, 990, 2),
        ("ok", 300, BUY, 990, 3),
    ]
    # position known at 200: 1; the mid is 1000, so each lot earned 10
    assert result.equity == [
        (100, 10_000 * UNIT),
        (200, 10_010 * UNIT),
        (300, 10_030 * UNIT),
        (400, 10_030 * UNIT),
    ]


def test_at_the_end_the_true_state_counts(play: Play) -> None:
    result = play(case(packet(200, sold(989, 3)), response_ns=30))
    # the decision at 200 does not know the fill; its point is replaced by the end's
    assert result.equity == [(100, 10_000 * UNIT), (200, 10_030 * UNIT)]
    assert (result.position, result.cash) == (3, -2970)


def test_bids_stop_at_the_known_maximum_position_asks_at_minus_it(play: Play) -> None:
    result = play(
        case(
            packet(150, sold(989, 3)),
            packet(350, bought(1011, 6)),
            packet(450, bought(1011, 6)),
            quiet(620),
            grid={"max_position": 3.0},
            response_ns=60,
        )
    )
    assert told(result) == [
        ("ok", 100, BUY, 990, 3),
        ("ok", 100, SELL, 1010, 3),
        ("fill", 150, BUY, 990, 3),
        # 200: the fill is not known, the order is thought to rest; 300: known, so no bid
        ("fill", 350, SELL, 1010, 3),
        # 400: not known; 500: position 0, both anew
        ("ok", 500, BUY, 990, 3),
        ("ok", 500, SELL, 1010, 3),
    ]


def test_the_view_is_what_was_received(play: Play) -> None:
    late = packet(50, bid(999, 0), bid(989, 1), ask(1001, 0), ask(991, 1), receipt=150)
    rows = tape(OPEN, late, quiet(250))
    result = play(Case(**{**vars(case()), "rows": rows}))
    # at 100 the lane still sees mid 1000, at 200 bid 990 and ask 991; matching knows the true book all along
    assert told(result) == [
        ("ok", 100, BUY, 990, 3),
        ("ok", 100, SELL, 1010, 3),
        ("gone", 200, BUY, 990, 3),
        ("gone", 200, SELL, 1010, 3),
        ("ok", 200, BUY, 980, 3),
        ("ok", 200, SELL, 1001, 3),
    ]


def test_a_rejected_quote_stays_empty_until_the_next_decision(play: Play) -> None:
    result = play(
        case(
            packet(103, ask(985, 1), bid(999, 0), bid(990, 0), bid(984, 1)),
            packet(150, ask(985, 0), bid(999, 5)),
            quiet(350),
            entry_ns=5,
            response_ns=10,
        )
    )
    assert told(result) == [
        ("no", 105, BUY, 990, 3),
        ("ok", 105, SELL, 1010, 3),
        ("ok", 205, BUY, 990, 3),
    ]
    assert result.reports[0].reason == WOULD_TAKE


def test_no_decision_while_the_view_is_not_whole(play: Play) -> None:
    result = play(
        case(
            packet(150, GAP_ROW),
            packet(250, bid(997, 1), bid(999, 0), flags=SNAPSHOT),
            quiet(350),
        )
    )
    assert [(w, ts) for w, ts, *_ in told(result)] == [
        ("ok", 100),
        ("ok", 100),
        ("gone", 300),
        ("gone", 300),
        ("ok", 300),
        ("ok", 300),
    ]
    assert [ts for ts, _ in result.equity] == [100, 200, 300, 350]


def test_before_the_first_mid_equity_is_the_capital(play: Play) -> None:
    rows = tape(packet(0, bid(500, 1)), quiet(250), snapshot(260, bid(999, 5), ask(1001, 5)), quiet(300))
    result = play(Case(**{**vars(case()), "rows": rows}))
    assert result.equity == [(100, 10_000 * UNIT), (200, 10_000 * UNIT), (300, 10_000 * UNIT)]
    assert told(result) == [("ok", 300, BUY, 990, 3), ("ok", 300, SELL, 1010, 3)]


def test_a_first_mid_at_the_end(play: Play) -> None:
    rows = tape(packet(0, bid(500, 1)), quiet(250), snapshot(260, bid(999, 5), ask(1001, 5)))
    result = play(Case(**{**vars(case()), "rows": rows, "base_units": 2 * UNIT}))
    assert result.equity == [(100, 12_000 * UNIT), (200, 12_000 * UNIT), (260, 12_000 * UNIT)]
    assert result.statistics["equity_start"] == 12_000.0
    assert result.statistics["max_drawdown"] == result.statistics["sum_return_sq"] == 0.0


def test_while_not_whole_equity_keeps_the_last_mid(play: Play) -> None:
    result = play(
        case(
            packet(110, sold(989, 3)),
            packet(150, ask(1001, 0), ask(1003, 1)),  # mid 1001
            packet(160, ask(1003, 0), ask(1010, 0)),  # one side left
            quiet(250),
        )
    )
    # bought 3 at 990: 10_000 - 2970 + 3 * 1001
    assert result.equity == [(100, 10_000 * UNIT), (200, 10_033 * UNIT), (250, 10_033 * UNIT)]


def test_several_quotes_on_one_tick_are_one(play: Play) -> None:
    result = play(case(quiet(150), grid={"levels": 3, "spread_percentage": 0.05}))
    # step 0.25 ticks: bids 999.75, 999.5, 999.25 -> 999; asks -> 1001
    assert told(result) == [("ok", 100, BUY, 999, 9), ("ok", 100, SELL, 1001, 9)]


def test_long_entry_latency_keeps_several_generations_under_way(play: Play) -> None:
    moves = [packet(50 + 100 * k, bid(999 - k, 0), bid(998 - k, 1)) for k in range(4)]
    result = play(case(*moves, quiet(900), entry_ns=250))
    bids = [(what, ts, price) for what, ts, side, price, _ in told(result) if side == BUY]
    # mid 999.5, 999, 998.5, 998 at 100..400: bids 989, 989, 988, 988
    assert bids == [("ok", 350, 989), ("gone", 550, 989), ("ok", 550, 988)]


def test_a_plain_backtest_may_go_short(play: Play) -> None:
    result = play(case(packet(150, bought(1011, 3)), quiet(180)))
    assert (result.position, result.cash) == (-3, 3030)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_position_share_leaves_room_for_open_orders(play: Play) -> None:
    # equity 10,000; 0.65 of it is 6.5 lots at the mid: two quotes of 3; with 3 held one bid, but all asks
    result = play(case(packet(150, sold(990, 7)), quiet(250), grid={"levels": 3}, limits=LimitSet(0.65)))
    assert [(w, side, price) for w, ts, side, price, _ in told(result) if ts == 100] == [
        ("ok", BUY, 990),
        ("ok", BUY, 980),
        ("ok", SELL, 1010),
        ("ok", SELL, 1020),
    ]
    assert [(w, side, price) for w, ts, side, price, _ in told(result) if ts == 200] == [
        ("gone", BUY, 980),
        ("ok", BUY, 990),
        ("ok", SELL, 1030),
    ]


def test_a_stopped_out_position_is_not_added_to(play: Play) -> None:
    crash = packet(160, bid(999, 0), bid(990, 0), bid(949, 1), ask(951, 1))
    result = play(case(packet(150, sold(989, 3)), crash, quiet(250), limits=LimitSet(stop_loss=0.03)))
    # bought at 990, mid 950: -4 %; asks only
    assert [(w, side, price) for w, ts, side, price, _ in told(result) if ts == 200] == [
        ("gone", SELL, 1010),
        ("ok", SELL, 960),
    ]


def leaves(play: Play, *packets: list[Row], **limits: Any) -> list[tuple[str, int, int, int, int]]:
    """Bought 3 at 990, then the price falls to 950 for good: reports from then on. Taker fee 0."""
    crash = packet(160, bid(999, 0), bid(990, 0), bid(949, 5), bid(940, 5), ask(951, 5))
    limit_set = LimitSet(stop_loss=0.03, flatten=True, **limits)
    result = play(case(packet(150, sold(989, 3)), crash, *packets, limits=limit_set, entry_ns=5, response_ns=5))
    return [report for report in told(result) if report[1] > 160]


def test_a_position_that_has_to_go_is_offered_then_withdrawn_then_taken_out_in_slices(play: Play) -> None:
    found = leaves(play, quiet(700), flatten_patience=1, flatten_slices=2, flatten_collar=0.01)
    assert found == [
        ("gone", 205, SELL, 1010, 3),
        ("ok", 205, SELL, 950, 3),  # a tick over the best bid
        ("gone", 305, SELL, 950, 3),  # nobody took it
        ("ok", 405, SELL, 941, 2),  # ceil(950 - 9.5): half of it, rounded up
        ("fill", 405, SELL, 949, 2),
        ("ok", 505, SELL, 941, 1),
        ("fill", 505, SELL, 949, 1),
        ("ok", 605, BUY, 940, 3),  # and it goes on: mid 950
        ("ok", 605, SELL, 960, 3),
    ]


def test_what_is_not_filled_within_the_collar_expires_and_is_tried_again(play: Play) -> None:
    thin = packet(210, bid(949, 1), bid(940, 0))
    found = leaves(play, thin, packet(450, bid(949, 4)), quiet(600), flatten_patience=0, flatten_slices=1)
    assert found == [
        ("gone", 205, SELL, 1010, 3),
        ("ok", 305, SELL, 941, 3),
        ("fill", 305, SELL, 949, 1),
        ("expired", 305, SELL, 941, 3),
        ("ok", 405, SELL, 941, 2),  # what the lane took there does not come back
        ("expired", 405, SELL, 941, 2),
        ("ok", 505, SELL, 941, 2),
        ("fill", 505, SELL, 949, 2),
    ]


def test_a_rest_that_no_order_could_leave_is_none_and_quoting_goes_on(play: Play) -> None:
    thin = packet(210, bid(949, 2), bid(940, 0))
    crash = packet(160, bid(999, 0), bid(990, 0), bid(949, 5), bid(940, 5), ask(951, 5))
    limits = LimitSet(stop_loss=0.03, flatten=True, flatten_patience=0, flatten_slices=1)
    made = case(packet(150, sold(989, 3)), crash, thin, quiet(500), limits=limits, entry_ns=5, response_ns=5)
    result = play(replace(made, filters=Filters(max_num_orders=0, min_qty_lots=2)))
    assert [report for report in told(result) if report[1] > 300] == [
        ("ok", 305, SELL, 941, 3),
        ("fill", 305, SELL, 949, 2),
        ("expired", 305, SELL, 941, 3),
        ("ok", 405, BUY, 940, 3),  # 1 lot is left, the venue takes 2: no stop loss any more
        ("ok", 405, SELL, 960, 3),
    ]


def test_without_patience_the_post_only_order_waits_on(play: Play) -> None:
    found = leaves(play, quiet(700), flatten_patience=float("inf"))
    assert found == [("gone", 205, SELL, 1010, 3), ("ok", 205, SELL, 950, 3)]


def test_the_order_rate_counts_any_sixty_seconds(play: Play) -> None:
    second = 1_000_000_000
    moves = [packet(k * 10 * second - 5, bid(999 - k + 1, 0), bid(999 - k, 5)) for k in range(1, 9)]
    result = play(case(*moves, quiet(90 * second), cycle_ns=10 * second, limits=LimitSet(orders_per_minute=3.0)))
    sent = [ts // second for what, ts, *_ in told(result) if what == "ok"]
    assert all(sum(ts - 60 < other <= ts for other in sent) <= 3 for ts in sent)
    assert sent[:3] == [10, 10, 20] and sent[3:5] == [70, 70], "free again 60 s later, not at the next full minute"


def test_daily_loss_stops_all_quotes_until_the_next_day(play: Play) -> None:
    day = 86_400_000_000_000
    crash = packet(160, bid(999, 0), bid(990, 0), bid(899, 1), ask(901, 1))
    rows = (packet(150, sold(989, 3)), crash, quiet(250, day + 150))
    result = play(case(*rows, limits=LimitSet(daily_loss=0.02), cycle_ns=day // 8, start_ns=100 - day // 8))
    first = [(w, side, price) for w, ts, side, price, _ in told(result) if 160 < ts < day]
    assert first == [("gone", SELL, 1010)]
    assert [ts for w, ts, *_ in told(result) if ts >= day] == [day + 100] * 2
