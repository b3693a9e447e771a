"""The switch `touch_only` by hand: a tape of best quotes says nothing about what stands behind them.

The slow model and the engine run each example.
"""

import pytest

from tests.reference.driver import RESET_ROW, Case, Send, best_ask, best_bid, bought, packet, run, sold, tape
from tests.reference.model import Settings
from tidewright.market.codes import BUY, FILL, SELL, SNAPSHOT

OPEN = packet(1000, RESET_ROW, best_bid(40, 5), best_ask(43, 6), flags=SNAPSHOT)


@pytest.fixture(params=["model", "engine"])
def fills(request: pytest.FixtureRequest):
    """Times and lots of the fills of one order, with the switch on."""

    def of(send: Send, *later: list, touch_only: bool = True) -> list[tuple[int, int]]:
        case = Case(tape(OPEN, *later), (send,), Settings(10_000, touch_only=touch_only))
        return [(report.ts, report.qty) for report in run(request.param, case)[0].reports if report.what == FILL]

    return of


def test_an_order_at_the_touch_queues_behind_what_is_told_there(fills):
    assert fills(Send(1005, BUY, 40, 1), packet(1010, sold(40, 5)), packet(1020, sold(40, 1))) == [(1020, 1)]


def test_an_order_behind_the_touch_joins_the_back_of_its_price_when_that_becomes_the_touch(fills):
    later = [
        packet(1010, sold(39, 3)),
        packet(1020, best_bid(39, 8)),
        packet(1030, sold(39, 8)),
        packet(1040, sold(39, 1)),
    ]
    assert fills(Send(1005, BUY, 39, 1), *later) == [(1040, 1)]
    assert fills(Send(1005, BUY, 39, 1), *later, touch_only=False) == [(1010, 1)], (
        "known to be empty, it would be first"
    )


def test_a_print_beyond_an_unknown_queue_fills(fills):
    assert fills(Send(1005, BUY, 39, 2), packet(1010, sold(38, 1)), packet(1020, sold(39, 1))) == [(1010, 1), (1020, 1)]


def test_a_price_that_was_the_touch_is_unknown_once_it_lies_behind(fills):
    moved = packet(1003, best_ask(42, 9))
    later = [packet(1010, bought(43, 1)), packet(1020, best_ask(43, 2)), packet(1030, bought(43, 3))]
    assert fills(Send(1005, SELL, 43, 2), moved, *later) == [(1030, 1)]


def test_a_place_won_at_the_touch_is_kept_while_the_price_lies_behind(fills):
    later = [
        packet(1010, sold(40, 4)),
        packet(1020, best_bid(41, 7)),
        packet(1030, best_bid(40, 9)),
        packet(1040, sold(40, 2)),
    ]
    assert fills(Send(1005, BUY, 40, 1), *later) == [(1040, 1)], "one lot was ahead, whatever came behind since"


def test_prices_better_than_the_touch_are_known_to_be_empty(fills):
    back = packet(1008, best_bid(38, 4))
    assert fills(Send(1009, BUY, 39, 1), back, packet(1010, sold(39, 1))) == [(1010, 1)]
