"""The end of a session: what happens at the venue while its orders are being cancelled."""

import asyncio

import pytest

from tests.trading.fake_session import Stage
from tests.trading.fake_venue import FakeVenue
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
