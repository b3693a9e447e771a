"""A direction takes quotes away and adds none; forecasts lead to it and are held against the price that came."""

from dataclasses import replace

import pytest

from tests.trading.test_council_learns import Line, rising, session
from tests.trading.test_several import closed, stage  # noqa: F401
from tidewright.agents.executor.executor import Decision
from tidewright.coordination.messages import message
from tidewright.store import schema
from tidewright.trading.leaning import leaned
from tidewright.trading.replay_journal import replay
from tidewright.trading.settings import StrategyAgent
from tidewright.trading.sub_accounts import Netted

DECISION = Decision(0, (0.0,) * 8, [(99, 5), (98, 1)], [(101, 4), (102, 7)])


def test_a_direction_takes_quotes_away_and_never_adds():
    assert leaned(DECISION, 0) is DECISION
    assert leaned(DECISION, 2).asks == [] and leaned(DECISION, 2).bids == DECISION.bids
    assert leaned(DECISION, 1).asks == [(101, 2), (102, 3)]
    found = leaned(DECISION, -1)
    assert found.bids == [(99, 2)] and found.asks == DECISION.asks and found.why == ("the agents lean: sell",)
    assert leaned(DECISION, -2).bids == []


def test_the_way_out_of_a_position_is_not_leaned_against():
    leaving = Decision(0, (0.0,) * 8, [], [(101, 4)], ("stop loss",))
    assert leaned(leaving, 2) is leaving


def test_under_the_position_limit_quotes_that_close_the_position_are_kept():
    full = Decision(0, (0.0,) * 8, [], [(101, 4), (102, 7), (103, 5)], ("position limit",))
    assert leaned(full, 2, position_lots=10).asks == full.asks[:2], "what closes 10 lots"
    assert leaned(full, 1, position_lots=3).asks == [(101, 4), (102, 3), (103, 2)]
    assert leaned(full, 2, position_lots=-10).asks == [], "it would be sold short further"
    assert leaned(replace(full, why=()), 2, position_lots=10).asks == [], "no limit: the direction counts"


def test_the_way_out_of_one_of_several_agents_is_not_leaned_against(tmp_path):
    """An agent beyond its stop loss, and one without capital, only reduce: those quotes stay, the others' go."""
    made = stage(tmp_path, 1, agents={name: StrategyAgent("grid", {}) for name in ("grid", "wide", "idle")})
    made.run()
    desk = made.session._desk
    for name, why, share in (("grid", True, 0.5), ("wide", False, 0.5), ("idle", True, 0.0)):
        desk.agents[name].reducing, desk.agents[name].share = why, share
        desk.books.accounts[name].position_lots = 50
    owned = {101: (("wide", 5),), 102: (("grid", 40),), 103: (("idle", 50),), 104: (("grid", 60), ("wide", 5))}
    desk._netted = {(1, price): Netted(1, price, sum(n for _, n in who), who) for price, who in owned.items()}
    asks = [(price, order.lots) for (_, price), order in desk._netted.items()]
    found = leaned(Decision(0, (0.0,) * 8, [], asks, ("grid: stop loss",)), 2, 150, desk)
    assert found.asks == [(102, 40), (103, 50), (104, 65)]
    assert leaned(Decision(0, (0.0,) * 8, [(99, 5)], asks, ()), -2, 150, desk).bids == []


class Forecasters(Line):
    """Two agents that forecast each round, one rightly, and vote for nothing."""

    def publish(self, item) -> None:
        if item.data.model_dump().get("state") != "round":
            return
        for name, value in (("narrow", -0.001), ("wide", 0.001)):
            sure = 0.9 if name == "wide" else 0.6
            data = {"subject": "return", "value": value, "horizon_ns": 60_000_000_000, "confidence_score": sure}
            told = message("insight", item.timestamp_ns, name, "executor", data)
            self._journal.append("received", item.timestamp_ns, told)
            self._coming.append(told)


def test_forecasts_lean_the_quotes_and_earn_or_lose_weight_by_what_came(tmp_path):
    made, journal = session(tmp_path, 60, rising, "peer_to_peer")
    coordinator = made.session._parts.coordinator
    coordinator._line = Forecasters(journal)
    made.run()
    journal.close()
    rows = made.database.rows(schema.decisions, "s")
    leaning = [row for row in rows if "the agents lean: buy" in row["why"]]
    assert len(leaning) > 30
    records = coordinator.council._patterns["democratic"].records
    assert records.worth("narrow") < 0.15 < 0.4 < records.worth("wide"), "the price rose all the time"
    found = replay(tmp_path / "messages.jsonl")
    assert found.rounds > 10 and found.differences == []
    assert coordinator.council.latest.belief == pytest.approx(0.710, abs=1e-3)
