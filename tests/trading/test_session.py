import asyncio
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.trading.fake_session import CYCLE, START, Stage
from tests.trading.fake_venue import INSTRUMENT, FakeVenue
from tidewright.market.codes import GAP, UNIT
from tidewright.market.errors import TidewrightError
from tidewright.market.tape import Tape
from tidewright.store import schema
from tidewright.store.database import integrity
from tidewright.trading.order_table import IllegalTransition
from tidewright.trading.reconcile import DoesNotBalanceError
from tidewright.trading.supervisor import supervise
from tidewright.venues.interface import Answer, OrderRequest, Outcome, StreamLost


def test_a_session_decides_each_cycle_cancels_at_the_end_and_writes_everything_down(tmp_path):
    def market(stage, number):
        stage.feed.quote(stage.at(number) - 1, 5_999_000 + number * 100, 6_001_000 + number * 100)
        if number == 3:
            bids = [order for order in stage.venue.book.values() if order.status.live and order.side == 0]
            stage.venue.fill(bids[0].client_order_id, 100)

    stage = Stage(tmp_path, cycles=6, on_release=market)
    session = stage.run()
    assert session.now.stage == "ended"
    assert session.now.cycle == 6
    assert session.now.fills == 1
    assert asyncio.run(stage.venue.open_orders()) == []
    row = stage.database.sessions()[0]
    assert (row["started_ns"], row["ended_ns"]) == (START, START + 6 * CYCLE)
    decisions = stage.database.rows(schema.decisions, "s")
    assert [each["ts"] for each in decisions] == [START + k * CYCLE for k in range(1, 6)]
    assert len(json.loads(decisions[0]["state"])) == 8
    fills = stage.database.rows(schema.fills, "s")
    assert [(fill["client_order_id"], fill["qty_lots"]) for fill in fills] == [("tw-s-5", 100)]
    states = {each["state"] for each in stage.database.rows(schema.orders, "s")}
    assert states == {"FILLED", "CANCELED"}
    equity = stage.database.rows(schema.equity, "s")
    assert equity[0]["ts"] == START
    assert equity[-1]["position_lots"] == 100
    assert integrity(stage.database.path) == "ok"


def test_a_still_market_costs_no_messages(tmp_path):
    stage = Stage(tmp_path, cycles=5)
    stage.run()
    places = [sent for sent in stage.venue.sent if sent.startswith("place")]
    assert len(places) == 4  # two levels a side, once


def test_intents_are_in_the_store_before_the_venue_hears_of_them(tmp_path):
    stage = Stage(tmp_path, cycles=3)
    known: list[bool] = []
    send = stage.venue.submit

    async def watched(cancels, orders):
        rows = {row["client_order_id"] for row in stage.database.rows(schema.orders, "s")}
        known.extend(order.client_order_id in rows for order in orders)
        return await send(cancels, orders)

    stage.venue.submit = watched
    stage.run()
    assert known
    assert all(known)


def test_the_warm_up_is_recorded_and_nothing_is_traded_in_it(tmp_path):
    def market(stage, number):
        stage.feed.trade(stage.at(number) - 1)

    stage = Stage(tmp_path, cycles=6, on_release=market, warmup_ns=3 * CYCLE)
    session = stage.run()
    assert session.now.cycle == 3
    tape = Tape.open(tmp_path / "tape")
    assert len(tape) == 3 + 6
    assert np.all(tape.data.ts_local >= tape.data.ts)
    assert stage.database.rows(schema.decisions, "s")[0]["ts"] == START + 4 * CYCLE


def test_a_kill_in_the_warm_up_or_at_its_end_leaves_what_was_recorded(tmp_path):
    published = []

    def market(stage, number):
        stage.feed.trade(stage.at(number) - 1)
        published.append(len(Tape.open(tmp_path / "tape")))

    Stage(tmp_path, cycles=60, on_release=market, warmup_ns=55 * CYCLE).run()
    assert (published[18], published[19], published[39]) == (0, 3 + 19, 3 + 39), "every twenty beats"
    assert published[54:56] == [3 + 39, 3 + 55], "and at the first beat of trading"


def test_receipts_on_the_tape_say_in_which_cycle_a_row_was_known(tmp_path):
    def market(stage, number):
        if number > 1:
            stage.feed.trade(stage.at(number - 1) - 5)  # happened before the last decision, was known only now

    stage = Stage(tmp_path, cycles=3, on_release=market)
    stage.run()
    data = Tape.open(tmp_path / "tape").data
    assert data.ts[3:].tolist() == [START + CYCLE - 5, START + 2 * CYCLE - 5]
    assert data.ts_local[3:].tolist() == [START + CYCLE + 1, START + 2 * CYCLE + 1]


def test_a_duration_ends_the_session_before_the_market_does(tmp_path):
    stage = Stage(tmp_path, cycles=100, duration_ns=4 * CYCLE)
    session = stage.run()
    assert (session.now.stage, session.now.cycle) == ("ended", 4)
    assert stage.cycles.released[-1] == START + 3 * CYCLE


def test_stop_cancels_what_is_open_and_ends_in_order(tmp_path):
    stage = Stage(tmp_path, cycles=100, on_release=lambda s, number: number == 4 and s.session.stop.set())
    session = stage.run()
    assert session.now.stage == "ended"
    assert session.now.cycle < 6
    assert asyncio.run(stage.venue.open_orders()) == []
    assert stage.database.sessions()[0]["ended_ns"] is not None


def test_a_lost_answer_is_asked_about_and_the_books_balance(tmp_path):
    def market(stage, number):
        stage.feed.quote(stage.at(number) - 1, 5_999_000 + number * 100, 6_001_000 + number * 100)
        stage.venue.lose_answers.add(f"tw-s-{4 * number + 1}")
        stage.venue.swallow.add(f"tw-s-{4 * number + 2}")

    stage = Stage(tmp_path, cycles=8, on_release=market)
    session = stage.run()
    assert session.now.stage == "ended"
    states = {row["client_order_id"]: row["state"] for row in stage.database.rows(schema.orders, "s")}
    assert states["tw-s-6"] == "REJECTED"  # never arrived: asked, and the venue said so
    assert states["tw-s-5"] == "CANCELED"


def states_of(stage, name):
    return [row["state"] for row in stage.database.rows(schema.orders, "s") if row["client_order_id"] == name]


class SlowWay(FakeVenue):
    """What is sent first arrives only after some seconds by the wall, and is not answered."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def submit(self, cancels, orders):
        if self.sent:
            return await super().submit(cancels, orders)
        self.sent.append("slowly")
        for request in orders:
            asyncio.get_running_loop().call_later(self._seconds, self._place, request)
        return [Answer(order.client_order_id, Outcome.UNKNOWN, reason="time-out") for order in orders]


@pytest.mark.parametrize("pace", [None, 1.0, 60.0])
def test_an_order_that_arrives_late_is_not_settled_before_whatever_the_pace(tmp_path, pace):
    def market(stage, number):
        stage.feed.quote(stage.at(number) - 1, 5_999_000, 6_001_000)
        if pace is not None:
            time.sleep(0.02)

    stage = Stage(tmp_path, cycles=16, on_release=market, on_its_way_s=0.25, venue=SlowWay(0.1), pace=pace)
    session = stage.run()
    assert session.now.stage == "ended"
    assert states_of(stage, "tw-s-1") == ["CANCELED"], "it was found, and cancelled at the end"
    assert asyncio.run(stage.venue.open_orders()) == []


def test_in_lockstep_the_market_waits_until_an_order_can_have_been_lost(tmp_path):
    seen = []

    def market(stage, number):
        stage.feed.quote(stage.at(number) - 1, 5_999_000, 6_001_000)
        seen.append((time.monotonic(), *states_of(stage, "tw-s-1"), *states_of(stage, "tw-s-2")))

    stage = Stage(tmp_path, cycles=6, on_release=market, on_its_way_s=0.3)
    stage.venue.swallow.add("tw-s-1")
    stage.venue.lose_answers.add("tw-s-2")
    stage.run()
    sent, settled = [row for row in seen if row[1:]][:2]
    assert (sent[1:], settled[1:]) == (("PENDING_NEW", "PENDING_NEW"), ("REJECTED", "NEW")), "one cycle after the other"
    assert settled[0] - sent[0] >= 0.3


def test_at_a_pace_an_order_is_asked_about_each_cycle_until_it_can_have_been_lost(tmp_path):
    seen = []

    def market(stage, number):
        stage.feed.quote(stage.at(number) - 1, 5_999_000, 6_001_000)
        seen.append((time.monotonic(), *states_of(stage, "tw-s-1")))
        time.sleep(0.02)

    stage = Stage(tmp_path, cycles=30, on_release=market, on_its_way_s=0.2, pace=60.0)
    stage.venue.swallow.add("tw-s-1")
    stage.run()
    since = {state: [at for at, *found in seen if found == [state]] for state in ("PENDING_NEW", "UNKNOWN", "REJECTED")}
    assert len(since["UNKNOWN"]) > 3, "market minutes"
    assert since["REJECTED"][0] - since["PENDING_NEW"][0] >= 0.2


def test_a_hole_in_the_user_stream_is_filled_by_asking(tmp_path):
    def market(stage, number):
        if number == 3:
            stage.venue.fill("tw-s-1", 100)
            stage.venue.events = [StreamLost("connection reset")]  # the fill's report is lost

    stage = Stage(tmp_path, cycles=6, on_release=market)
    session = stage.run()
    assert session.now.fills == 1
    assert session.errors == 1
    assert stage.database.rows(schema.fills, "s")[0]["client_order_id"] == "tw-s-1"


class BreakingVenue(FakeVenue):
    """The one connection breaks once while cancels and orders are on their way: nothing arrives, no answer comes."""

    broken = False

    async def submit(self, cancels, orders):
        if not (cancels and orders) or self.broken:
            return await super().submit(cancels, orders)
        self.broken = True
        self.events.append(StreamLost("closed with code 1006"))
        names = [*cancels, *(order.client_order_id for order in orders)]
        return [Answer(name, Outcome.UNKNOWN, reason="connection lost") for name in names]


def test_orders_whose_cancel_was_lost_with_the_connection_do_not_stay_behind(tmp_path):
    left = []

    def market(stage, number):
        shift = 40_000 * max(0, number - 2)
        stage.feed.quote(stage.at(number) - 1, 5_999_000 + shift, 6_001_000 + shift, snapshot=True)
        if number == 7:
            live = [order for order in stage.venue.book.values() if order.status.live]
            left.extend(order for order in live if order.price_ticks < 6_100_000)

    stage = Stage(tmp_path, cycles=9, on_release=market)
    stage.session._parts.venue = stage.venue = BreakingVenue()
    stage.run()
    assert stage.venue.broken and left == []


def test_money_that_moves_behind_our_back_is_told_at_the_end(tmp_path):
    def market(stage, number):
        if number == 3:
            stage.venue.quote -= 1

    with pytest.raises(TidewrightError, match=r"difference -0\.00000001"):
        Stage(tmp_path, cycles=6, on_release=market).run()


def test_a_contradiction_stops_the_session_and_emergency_cancels_only_our_orders(tmp_path):
    stage = Stage(tmp_path, cycles=6)
    send = stage.venue.submit

    async def lying(cancels, orders):
        answers = await send(cancels, orders)
        return [Answer(a.client_order_id, Outcome.REJECTED, -1, "no") for a in answers] + answers

    stage.venue.submit = lying

    async def whole():
        with pytest.raises(IllegalTransition):
            await stage.session.run()
        stage.venue.submit = send
        await stage.venue.submit([], [OrderRequest("other", 0, 5_000_000, 100)])
        left = await stage.session.cancel_everything()
        await stage.session.close()
        return left

    assert asyncio.run(whole()) == []
    assert [order.client_order_id for order in asyncio.run(stage.venue.open_orders())] == ["other"]
    assert stage.database.sessions()[0]["ended_ns"] is None  # the next start will reconcile


class Killed(BaseException):
    """What a test breaks a session off with."""


def test_a_restart_that_fails_cancels_the_orders_of_the_session_it_should_go_on_with(tmp_path):
    def market(stage, number):
        if number == 4:
            raise Killed

    first = Stage(tmp_path, cycles=10, on_release=market)
    with pytest.raises(Killed):
        first.run()
    assert asyncio.run(first.venue.open_orders())
    again = Stage(tmp_path, cycles=10)
    parts = again.session._parts
    parts.name, parts.venue = "another", first.venue
    first.venue.quote += 1  # money was moved meanwhile
    with pytest.raises(DoesNotBalanceError):
        asyncio.run(supervise(again.session))
    assert asyncio.run(first.venue.open_orders()) == []


def test_a_session_broken_off_goes_on_with_its_name_numbers_and_grid(tmp_path):
    first = Stage(tmp_path, cycles=100)

    def die(stage, number):
        if number == 4:
            stage.venue.fill("tw-s-1", 40)
            raise Killed

    first.cycles._on_release = lambda number: die(first, number)
    with pytest.raises(Killed):
        first.run()
    first.database.close()

    second = Stage(tmp_path, cycles=3)
    second.venue = first.venue
    second.session._parts.venue = first.venue
    first.venue.events.clear()
    session = second.run()
    assert session.reconciliation.missing_fills == [1]
    assert len(session.reconciliation.adopted) == 4
    assert session.now.fills == 1
    assert session.session_name == "s"
    assert len(second.database.sessions()) == 1
    assert GAP in Tape.open(tmp_path / "tape").data.kind  # what was missed in between is marked


def test_default_sizes_that_the_venue_would_refuse_are_raised_and_said(tmp_path, caplog):
    filters = replace(INSTRUMENT.filters, min_notional=500 * UNIT)
    dear = FakeVenue(instrument=replace(INSTRUMENT, filters=filters))
    stage = Stage(tmp_path, cycles=3, venue=dear, params={"spread_percentage": 0.2, "levels": 1})
    stage.run()
    orders = stage.database.rows(schema.orders, "s")
    assert orders and all(order["qty_lots"] * order["price_ticks"] * 1e-7 >= 500 for order in orders)
    assert "base_quantity" in caplog.text and "min_notional" in caplog.text


def test_a_size_that_was_stated_stays_though_the_venue_refuses_it(tmp_path, caplog):
    filters = replace(INSTRUMENT.filters, min_notional=500 * UNIT)
    dear = FakeVenue(instrument=replace(INSTRUMENT, filters=filters))
    stage = Stage(tmp_path, cycles=3, venue=dear, params={"base_quantity": 0.001})
    session = stage.run()
    assert session.now.params["base_quantity"] == 0.001
    assert stage.database.rows(schema.orders, "s") == [] and "sizes:" not in caplog.text
