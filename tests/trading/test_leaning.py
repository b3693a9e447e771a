"""A direction takes quotes away and adds none; forecasts lead to it and are held against the price that came."""

import pytest

from tests.trading.test_council_learns import Line, rising, session
from tidewright.agents.executor.executor import Decision
from tidewright.coordination.messages import message
from tidewright.store import schema
from tidewright.trading.leaning import leaned
from tidewright.trading.replay_journal import replay

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
