"""The switch `parity`, rule by rule, by hand-computed example, for the slow model and for the engine alike.

Most scenarios start from the book bid 100 x 5, ask 102 x 5. Each states what our own rules make of the same tape.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.driver import (
    GAP_ROW,
    Case,
    Result,
    Send,
    ask,
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
from tidewright.market.codes import BUY, EXPIRED, FILL, FOK, IOC, MARKET, POST_ONLY, REJECTED, SELL

OPEN = snapshot(10, bid(100, 5), ask(102, 5))
Story = list[tuple[int, int, int, int]]
Both = Callable[..., tuple[Story, Story]]


def filled(result: Result) -> Story:
    """Fills: (order, ts, price, qty)."""
    return [(r.number, r.ts, r.price, r.qty) for r in result.reports if r.what == FILL]


@pytest.fixture(params=["model", "engine"])
def results(request: pytest.FixtureRequest) -> Callable[..., tuple[Result, Result]]:
    """Run a case with the switch off and on."""

    def both(*packets: list[Row], actions: tuple[Any, ...], **settings: Any) -> tuple[Result, Result]:
        off, on = (
            run(request.param, Case(tape(OPEN, *packets), actions, Settings(1000, parity=parity, **settings)))[0]
            for parity in (False, True)
        )
        return off, on

    return both


@pytest.fixture
def fills(results: Callable[..., tuple[Result, Result]]) -> Both:
    """The fills with the switch off and on."""

    def both(*packets: list[Row], actions: tuple[Any, ...], **settings: Any) -> tuple[Story, Story]:
        off, on = results(*packets, actions=actions, **settings)
        return filled(off), filled(on)

    return both


def test_the_first_lot_behind_the_queue_fills_all_of_an_order(fills: Both) -> None:
    off, on = fills(packet(20, sold(100, 6)), actions=(Send(15, BUY, 100, 7),))
    assert off == [(0, 20, 100, 1)]
    assert on == [(0, 20, 100, 7)]


def test_a_print_that_takes_just_what_stands_ahead_fills_nothing(fills: Both) -> None:
    assert fills(packet(20, sold(100, 5)), actions=(Send(15, BUY, 100, 7),)) == ([], [])


def test_one_print_fills_every_order_it_reaches(fills: Both) -> None:
    sent = (Send(15, BUY, 101, 4), Send(15, BUY, 101, 4))
    off, on = fills(packet(20, sold(101, 5)), actions=sent)
    assert off == [(0, 20, 101, 4), (1, 20, 101, 1)]
    assert on == [(0, 20, 101, 4), (1, 20, 101, 4)]


def test_a_level_through_the_price_fills_whole_at_the_own_price(fills: Both) -> None:
    off, on = fills(packet(20, ask(102, 0), ask(99, 1), bid(100, 0), bid(98, 1)), actions=(Send(15, BUY, 100, 3),))
    assert off == [(0, 20, 100, 1)]
    assert on == [(0, 20, 100, 3)]


def test_a_crossing_that_its_packet_takes_back_touches(fills: Both) -> None:
    off, on = fills(packet(20, ask(100, 4), ask(100, 0)), actions=(Send(15, BUY, 100, 2),))
    assert off == []
    assert on == [(0, 20, 100, 2)]


def test_the_newest_row_empties_what_it_crosses(fills: Both) -> None:
    rows = (packet(20, ask(100, 4)), packet(30, ask(100, 0)))
    off, on = fills(*rows, actions=(Send(35, SELL, 100, 2, IOC),))
    assert off == [(0, 35, 100, 2)]
    assert on == []  # the bid of 100 went when the ask of 100 came


def test_a_taker_has_all_of_it_at_the_best_price(fills: Both) -> None:
    off, on = fills(packet(20, ask(103, 5)), actions=(Send(25, BUY, 0, 9, kind=MARKET), Send(26, BUY, 103, 9, FOK)))
    assert off == [(0, 25, 102, 5), (0, 25, 103, 4)]
    assert on == [(0, 25, 102, 9), (1, 26, 102, 9)]


def test_a_taker_that_reaches_nothing_expires(results: Callable[..., tuple[Result, Result]]) -> None:
    _, on = results(packet(20, ask(103, 5)), actions=(Send(25, BUY, 101, 1, FOK), Send(26, BUY, 101, 1, IOC)))
    assert [r.what for r in on.reports if r.what in (EXPIRED, FILL)] == [EXPIRED, EXPIRED]


def test_own_orders_do_not_meet(results: Callable[..., tuple[Result, Result]]) -> None:
    sent = (Send(15, SELL, 101, 1), Send(16, BUY, 101, 1, POST_ONLY))
    off, on = results(packet(20, bid(99, 1)), actions=sent)
    assert REJECTED in [r.what for r in off.reports]
    assert REJECTED not in [r.what for r in on.reports]


def test_a_reset_or_gap_keeps_the_place_in_the_queue(fills: Both) -> None:
    rows = (
        packet(20, sold(100, 3)),
        packet(25, GAP_ROW),
        snapshot(30, bid(100, 5), ask(102, 5)),
        packet(40, sold(100, 3)),
    )
    off, on = fills(*rows, actions=(Send(15, BUY, 100, 1),))
    assert off == []
    assert on == [(0, 40, 100, 1)]


def test_a_trade_of_unknown_side_meets_nobody(fills: Both) -> None:
    off, on = fills(packet(20, traded(99, 9)), actions=(Send(15, BUY, 100, 1),))
    assert off == [(0, 20, 100, 1)]
    assert on == []


def test_a_fill_is_known_without_waiting_for_its_packet(results: Callable[..., tuple[Result, Result]]) -> None:
    off, on = results(packet(20, bought(103, 9), receipt=90), actions=(Send(15, SELL, 102, 1),), response_ns=5)
    assert [r.known_ns for r in off.reports if r.what == FILL] == [90]
    assert [r.known_ns for r in on.reports if r.what == FILL] == [25]
