"""The end of a session: what happens at the venue while its orders are being cancelled."""

import asyncio
from dataclasses import replace

import pytest

from tests.trading.fake_session import FakeCycles, Stage
from tests.trading.fake_venue import FakeVenue
from tidewright.market.codes import BUY
from tidewright.market.errors import TimedOutError
from tidewright.store import schema
from tidewright.venues.interface import Answer, Outcome


class LateVenue(FakeVenue):
    """At the first cancels without orders one is lost on its way, and another comes after a part has filled."""

    async def submit(self, cancels, orders):
        if len(cancels) > 1 and not orders and not self.trades:
            self.fill(cancels[1], 10)
            lost = Answer(cancels[0], Outcome.UNKNOWN, reason="time-out")
            return [lost, *await super().submit(cancels[1:], [])]
        return await super().submit(cancels, orders)


def test_fills_that_come_while_the_end_cancels_are_booked_and_counted(tmp_path):
    stage = Stage(tmp_path, cycles=5)
    stage.session._parts.venue = stage.venue = LateVenue()
    session = stage.run()
    assert session.now.stage == "ended"
    assert asyncio.run(stage.venue.open_orders()) == []
    assert len(stage.database.rows(schema.fills, "s")) == len(stage.venue.trades) == session.now.fills == 1


class DeafVenue(FakeVenue):
    """Loses every cancel."""

    async def submit(self, cancels, orders):
        lost = [Answer(name, Outcome.UNKNOWN, reason="time-out") for name in cancels]
        return [*lost, *await super().submit([], orders)]


def test_orders_that_cannot_be_cancelled_are_an_error_not_an_end(tmp_path):
    stage = Stage(tmp_path, cycles=5)
    stage.session._parts.venue = stage.venue = DeafVenue()
    with pytest.raises(TimedOutError, match="could not be confirmed as cancelled"):
        stage.run()
    assert stage.database.sessions()[0]["ended_ns"] is None


class SlowVenue(FakeVenue):
    """Tells a fill in the answer to a cancel, and in the list of trades only when asked for the third time."""

    asked = 0

    async def submit(self, cancels, orders):
        if cancels and not orders and not self.trades:
            buy = next(name for name in cancels if self.book[name].side == BUY)
            self.fill(buy, 5)
            self.events.clear()  # nor does the stream bring it
            self.asked = 0
            answers = await super().submit(cancels, [])
            return [replace(a, filled_lots=5) if a.client_order_id == buy else a for a in answers]
        return await super().submit(cancels, orders)

    async def fills(self, after_trade_id):
        self.asked += 1
        return await super().fills(after_trade_id) if self.asked > 2 else []


@pytest.mark.parametrize("flat", [False, True])
def test_the_end_waits_for_fills_that_the_venue_has_spoken_of(tmp_path, flat):
    stage = Stage(tmp_path, cycles=5)
    stage.session._parts.venue = stage.venue = SlowVenue()
    stage.session.control.flatten = flat
    session = stage.run()
    assert session.now.stage == "ended" and session.now.fills == 1
    assert ("0.00004900 BTC is left: too little" in session.control.ended_by) == flat  # not "flat"


class LateOrderVenue(FakeVenue):
    """The last orders before the end are lost on their way, and arrive while the end asks about them."""

    held: tuple = ()

    async def submit(self, cancels, orders):
        if self.held or not orders:
            return await super().submit(cancels, orders)
        self.held = tuple(orders)
        return [Answer(order.client_order_id, Outcome.UNKNOWN, reason="time-out") for order in orders]

    async def order(self, client_order_id):
        found = await super().order(client_order_id)
        late = [order for order in self.held if order.client_order_id == client_order_id]
        if found is None and late:
            await super().submit([], late)
        return found


class HangingCycles(FakeCycles):
    """A market that stands still after the first decision."""

    async def next(self):
        if self._at > 1:
            await asyncio.Event().wait()
        return await super().next()


def test_an_order_that_arrives_after_the_venue_said_it_had_none_is_cancelled(tmp_path):
    stage = Stage(tmp_path)
    session = stage.session
    session._parts.venue = stage.venue = LateOrderVenue()
    session._parts.cycles = HangingCycles(10, lambda number: number == 2 and session.stop.set())
    stage.run()
    assert session.now.stage == "ended" and len(stage.venue.book) == len(stage.venue.held) > 0
    assert asyncio.run(stage.venue.open_orders()) == []
