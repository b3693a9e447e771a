"""A live session leaves a position that has to go: post-only first, then by taking, in slices within a collar."""

import re
from dataclasses import replace

import pytest

from tests.trading.fake_session import Stage
from tidewright.market.codes import IOC
from tidewright.market.errors import UsageError
from tidewright.risk.limits import Limits
from tidewright.store import schema
from tidewright.trading.settings import RiskSettings
from tidewright.venues.interface import VenueStatus

LIMITS = Limits(
    max_position_share=0.9,
    stop_loss=0.02,
    daily_loss=0.5,
    volatility_cutoff=None,
    strict=True,
    flatten=True,
    flatten_patience=2,
    flatten_slices=2,
    flatten_collar=0.02,
)
RISK = RiskSettings(dynamic=None)


def falling(fills, ends=100):
    """A fill, then a fall beyond the stop loss; nobody takes a resting order any more, takers are filled at once."""

    def moves(stage, number):
        mid = 6_000_000 if number < 4 else 5_800_000 - 5_000 * number
        stage.feed.quote(stage.at(number) - 2, mid - 500, mid + 500, snapshot=True)
        stage.feed.trade(stage.at(number) - 1)
        for name, order in list(stage.venue.book.items()):
            if not order.status.live:
                continue
            if number == 3 and order.side == 0 and not fills:
                fills.append(stage.venue.fill(name, order.qty_lots))
            tracked = stage.session._manager.orders.get(name)
            if tracked is not None and tracked.tif == IOC and number < ends:
                fills.append(stage.venue.fill(name, order.qty_lots))

    return moves


def test_after_its_patience_it_takes_in_slices_until_it_is_flat(tmp_path):
    fills = []
    made = Stage(tmp_path, 16, falling(fills), limits=LIMITS, risk=RISK)
    session = made.run()
    position = session._manager.ledger.net_position_lots
    rows = made.database.rows(schema.orders, "s")
    takers = [row for row in rows if row["tif"] == IOC]
    assert abs(position) <= 1, "flat, but for what commission leaves"
    assert len(takers) == 2 and len(fills) == 3
    for row in takers:
        mid = next(r for r in made.database.rows(schema.equity, "s") if r["ts"] == row["created_ns"])["mid2_ticks"] / 2
        assert 0.98 * mid <= row["price_ticks"] < mid
    events = [row["why"] for row in made.database.rows(schema.messages, "s") if row["message_type"] == "risk_event"]
    assert sum("now it takes" in why for why in events) == 1
    over = [re.findall(r"([\d.]+)%", why) for why in events if "is within" in why]
    assert all(float(value) <= float(limit) for value, limit in over), "what is over is said with what is so"
    later = [row for row in rows if row["side"] == 1 and row["created_ns"] > rows[0]["created_ns"]]
    assert any(row["tif"] != IOC for row in later), "it offered before it took"


def test_without_escalation_the_post_only_order_waits_on(tmp_path):
    fills = []
    made = Stage(tmp_path, 16, falling(fills), limits=replace(LIMITS, flatten_patience=None), risk=RISK)
    made.run()
    assert len(fills) == 1 and not [row for row in made.database.rows(schema.orders, "s") if row["tif"] == IOC]


def test_a_pause_holds_quotes_back_but_not_the_way_out(tmp_path):
    fills = []
    moves = falling(fills)

    def paused(stage, number):
        moves(stage, number)
        stage.session.control.paused = number >= 4

    made = Stage(tmp_path, 12, paused, limits=LIMITS, risk=RISK)
    session = made.run()
    assert abs(session._manager.ledger.net_position_lots) <= 1
    later = [row for row in made.database.rows(schema.orders, "s") if row["created_ns"] >= made.at(4)]
    assert [(row["side"], row["tif"] == IOC) for row in later] == [
        (1, False),
        *[(1, False)] * (len(later) - 3),
        *[(1, True)] * 2,
    ]
    why = {row["ts"]: row["why"] for row in made.database.rows(schema.decisions, "s")}
    assert why[made.at(4)] == "stop loss; paused, but for the way out of the position"
    assert why[made.at(11)].endswith("paused")


def test_a_rest_that_the_venue_does_not_take_is_flat_and_quoting_goes_on(tmp_path):
    fills = []
    moves = falling(fills, ends=0)

    def dusty(stage, number):
        moves(stage, number)
        for name, order in list(stage.venue.book.items()):
            tracked = stage.session._manager.orders.get(name)
            if order.status.live and tracked is not None and tracked.tif == IOC:
                fills.append(stage.venue.fill(name, order.qty_lots - 4 * (len(fills) == 2)))

    made = Stage(tmp_path, 14, dusty, limits=LIMITS, risk=RISK)
    session = made.run()
    assert 0 < session._manager.ledger.net_position_lots < 8 and session._guard.state.leaving == 0
    last = made.database.rows(schema.decisions, "s")[-2]
    assert (last["why"], last["placed"]) == ("", 4)
    events = [row["why"] for row in made.database.rows(schema.messages, "s") if row["message_type"] == "risk_event"]
    assert events[-1].startswith("the position of") and "less than any order" in events[-1]


def test_what_still_stands_is_never_sold_twice(tmp_path):
    """The cancel of the post-only order is not answered: its lots are left out of the slices."""
    fills = []
    moves = falling(fills)

    def loses(stage, number):
        for name, order in stage.venue.book.items():
            if order.side == 1 and order.status is VenueStatus.NEW:
                stage.venue.lose_answers.add(name)
        moves(stage, number)

    made = Stage(tmp_path, 16, loses, limits=LIMITS, risk=RISK)
    session = made.run()
    assert session._manager.ledger.net_position_lots >= -1
    assert session.now.stage == "ended"


def test_settings_of_the_way_out_are_read(tmp_path):
    from tidewright.cli.trade import _way_out

    def read(table):
        return Limits(**_way_out(table))

    assert read({}) == Limits() and read({"enabled": False}) == Limits(flatten_patience=None)
    told = read({"patience": 0, "slices": 1, "collar": 0.05})
    assert told == Limits(flatten_patience=0, flatten_slices=1, flatten_collar=0.05)
    for wrong, why in (({"collar": 2.0}, "collar"), ({"patience": 1.5}, "patience"), ({"slices": 0}, "slices")):
        with pytest.raises(UsageError, match=why):
            read(wrong)
