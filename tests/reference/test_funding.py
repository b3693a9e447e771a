"""Funding of futures by hand, for model and engine alike, and that no money comes from nowhere."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from tests.reference.book import Row
from tests.reference.driver import (
    GAP_ROW,
    Case,
    Event,
    Result,
    Send,
    ask,
    bid,
    packet,
    run,
    run_engine,
    snapshot,
    sold,
    tape,
)
from tests.reference.model import Model, Settings
from tests.reference.tapes import Rolled, futures_case
from tidewright.market.codes import BUY, FUNDING, IOC, MARK, MARKET, SELL

OPEN = snapshot(10, bid(100, 50), ask(102, 50))
Play = Callable[[Case], Result]


@pytest.fixture(params=["model", "engine"])
def play(request: pytest.FixtureRequest) -> Play:
    """Run a case of one lane."""
    return lambda case: run(request.param, case)[0]


def case(*packets: list[Row], actions: tuple[Any, ...] = (), **more: Any) -> Case:
    return Case(tape(OPEN, *packets), actions, **{"kind": "linear", **more})


def mark(price: int) -> Event:
    return MARK, price, 0


def rate(units: int) -> Event:
    return FUNDING, units, 0


def taken(side: int, qty: int, at: int = 15) -> Send:
    return Send(at, side, 0, qty, IOC, MARKET)


END = packet(90, ask(103, 1))


@pytest.mark.parametrize(("side", "units", "paid"), [(BUY, 1, 1), (BUY, -1, -1), (SELL, 1, -1), (SELL, -1, 1)])
def test_longs_pay_shorts_at_a_positive_rate_and_shorts_longs_at_a_negative_one(
    play: Play, side: int, units: int, paid: int
) -> None:
    rows = packet(20, mark(110)), packet(30, rate(units * 1_000_000)), END
    # 7 lots of 0.001 at 110 ticks of 0.01 are worth 770,000 units, of which 1 %
    assert play(case(*rows, actions=(taken(side, 7),))).funding == paid * 7_700


def test_amounts_are_truncated_towards_zero_either_way(play: Play) -> None:
    rows = packet(20, mark(101)), packet(30, rate(123)), packet(31, rate(-123)), packet(32, rate(123)), END
    # 3 lots at 101 are 303,000 units: 0.37269 of one each time
    assert play(case(*rows, actions=(taken(BUY, 3),))).funding == 0
    rows = packet(20, mark(101)), packet(30, rate(1_234)), packet(31, rate(-1_234)), packet(32, rate(-1_234)), END
    assert play(case(*rows, actions=(taken(SELL, 3),))).funding == 3


def test_without_a_mark_price_the_position_counts_at_the_mid(play: Play) -> None:
    rows = packet(20, ask(101, 1)), packet(30, rate(1_000_000)), packet(40, mark(200)), packet(50, rate(1_000_000)), END
    # (100 + 101) / 2 ticks, then the mark price
    assert play(case(*rows, actions=(taken(BUY, 2),))).funding == 2_010 + 4_000


def test_who_pays_is_who_holds_a_position_when_the_rows_of_the_instant_say_so(play: Play) -> None:
    bids = Send(12, BUY, 100, 3)
    filled = packet(30, sold(99, 9), mark(100), rate(1_000_000)), END
    assert play(case(*filled, actions=(bids,))).funding == 3_000  # a print before it
    later = packet(30, mark(100), rate(1_000_000), sold(99, 9)), END
    assert play(case(*later, actions=(bids,))).funding == 0  # or after it
    arrives = packet(30, mark(100), rate(1_000_000)), END
    assert play(case(*arrives, actions=(taken(BUY, 3, at=30),))).funding == 0  # orders come after packets
    left = taken(BUY, 3), taken(SELL, 3, at=25)
    assert play(case(*arrives, actions=left)).funding == 0


def test_spot_has_no_funding(play: Play) -> None:
    rows = packet(20, mark(110)), packet(30, rate(1_000_000)), END
    assert play(case(*rows, actions=(taken(BUY, 7),), kind="spot")).funding == 0


def test_in_a_gap_positions_pay_all_the_same(play: Play) -> None:
    rows = packet(20, mark(110)), packet(25, GAP_ROW), packet(30, rate(1_000_000)), END
    assert play(case(*rows, actions=(taken(BUY, 7),))).funding == 7_700


def test_funding_is_paid_in_quote_where_fees_are_paid_in_a_third_asset(play: Play) -> None:
    rows = packet(20, mark(110)), packet(30, rate(1_000_000)), END
    settings = Settings(1000, fee_asset_price="0.5")
    result = play(case(*rows, actions=(taken(BUY, 7),), settings=settings, taker_fee=100_000))
    assert (result.funding, result.fee_quote) == (7_700, 7 * 102 * 2)  # 0.1 % of 7 * 102,000 units, in halves


def test_what_was_paid_can_no_longer_be_spent(play: Play) -> None:
    rows = packet(20, mark(110)), packet(30, rate(1_000_000)), END
    # 7 * 102,000 units for the first order and 100,000 for the second, less what funding took
    for spare, accepted in ((7_700, True), (7_699, False)):
        sent = taken(BUY, 7), Send(40, BUY, 100, 1)
        result = play(case(*rows, actions=sent, check_balance=True, quote_units=7 * 102_000 + 100_000 + spare))
        assert (result.quote_locked == 100_000) == accepted


def test_a_lane_knows_what_it_paid_when_it_hears_of_it(play: Play) -> None:
    """The funding at 1030 is received at 1060: the samples between them do not have it."""
    params = {"spread_percentage": 1.0, "levels": 1.0, "base_quantity": 0.001, "max_position": 1.0}
    rows = tape(
        snapshot(1000, bid(100, 5), ask(102, 5)),
        packet(1015, sold(99, 9)),
        packet(1020, mark(101)),
        packet(1030, rate(1_000_000), receipt=1060),
        packet(1100, ask(103, 1)),
    )
    made = Case(
        rows,
        settings=Settings(10, start_ns=1000),
        strategy="grid",
        params=(params,),
        quote_units=10**8,
        kind="linear",
    )
    result, free = play(made), play(replace(made, kind="spot"))
    paid = {ts: before - after for (ts, after), (_, before) in zip(result.equity, free.equity, strict=True)}
    assert result.position == 1 and result.funding == 1_010
    assert [paid[ts] for ts in (1030, 1050, 1060, 1090)] == [0, 0, 1_010, 1_010]


def test_cash_inventory_fees_and_funding_are_all_there_is() -> None:
    """Whatever happened: the last equity is the capital and what fills, fees and funding made of it."""
    charged = 0
    for seed in range(60):
        made = futures_case(Rolled(seed))
        price = made.settings.fee_asset_price
        for lane, result in enumerate(run_engine(made)):
            instrument = made.instrument()
            money = made.quote_units + result.cash * instrument.quote_units
            money -= result.fee_quote * Fraction(price or 1) + result.funding
            mid = last_mid(made, lane)
            if mid is None or not result.equity:
                continue
            worth = money + result.position * instrument.lot_units * mid * instrument.tick
            assert abs(worth - result.equity[-1][1]) <= 1 + abs(worth) / 10**14
            charged += result.funding != 0
    assert charged > 20


def last_mid(made: Case, lane: int) -> Fraction | None:
    """The mid of the true book at the end, by the slow model."""
    model = Model(made.instrument(), made.settings, strategy=made.strategy, params=list(made.params))
    model.feed(made.rows)
    model.finish()
    mid2 = model.lanes[lane].book.last_mid2
    return None if mid2 is None else Fraction(mid2, 2)
