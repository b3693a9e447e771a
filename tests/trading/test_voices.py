"""Agents of other processes beside several strategies on one account: their votes count, the books stay exact."""

import orjson
import pytest

from tests.trading.test_several import AGENTS, JOURNALS, Killed, closed, market, stage  # noqa: F401
from tidewright.coordination.council import Council
from tidewright.coordination.messages import message
from tidewright.store import schema
from tidewright.trading.capital import TABLE, Voices
from tidewright.trading.replay_journal import relearn, replay

VOTERS = ("north", "south")


class Line:
    """Two voters: a wider grid, and to sell; one of them also sends nonsense numbers."""

    def __init__(self, journal, stance=-2):
        self._journal, self._stance, self._coming = journal, stance, []

    async def start(self):
        pass

    async def close(self):
        pass

    def publish(self, item):
        told = item.data.model_extra or {}
        if item.data.model_dump().get("state") != "round":
            return
        assert told["params"]["wide.spread_percentage"] > 0, "they are told the numbers of every agent"
        for name in VOTERS:
            params = {"grid.spread_percentage": 0.6, "nobody.levels": 3.0, "glft.levels": 9e9}
            data = {"question": told["question"], "round": told["round"], "params": params, "confidence_score": 0.7}
            vote = message("vote", item.timestamp_ns, name, "executor", {**data, "stance": self._stance})
            self._journal.append("received", item.timestamp_ns, vote)
            self._coming.append(vote)

    def drain(self):
        found, self._coming = self._coming, []
        return found


def with_voices(folder, cycles, on_release, pattern="democratic"):
    made = stage(folder, cycles, on_release, pattern)
    capital, journal = made.session._parts.coordinator, JOURNALS[-1]
    members = ("executor", *VOTERS)
    learned, _ = relearn(folder / "messages.jsonl", members, None, TABLE)
    rules = {name: agent.strategy for name, agent in AGENTS.items()}
    capital.voices = Voices(learned or Council(members, pattern), journal, 0.6, Line(journal), 4, VOTERS, rules, 1.0)
    return made


def test_votes_change_an_agents_numbers_and_lean_the_quotes_and_books_stay_exact(tmp_path):
    made = with_voices(tmp_path, 40, market(3))
    session = made.run()
    assert session.now.stage == "ended"
    params = session._desk.params
    assert params["grid.spread_percentage"] == 0.6 and params["wide.spread_percentage"] == 0.4
    assert params["glft.levels"] == 2.0 or (params["glft.levels"] > 2.0 and float(params["glft.levels"]).is_integer())
    rows = made.database.rows(schema.decisions, "s")
    leaning = [row for row in rows if "the agents lean: strong sell" in row["why"]]
    assert len(leaning) > 20 and all(orjson.loads(row["quotes"])["bids"] == [] for row in leaning)
    orders = {row["client_order_id"]: row["qty_lots"] for row in made.database.rows(schema.orders, "s")}
    owners = made.database.rows(schema.order_owners, "s")
    assert all(sum(lots for _, lots in orjson.loads(row["owners"])) == orders[row["client_order_id"]] for row in owners)
    session._desk.check()
    found = replay(tmp_path / "messages.jsonl")
    assert found.differences == [] and found.rounds > 20


def test_both_councils_go_on_after_a_kill_and_follow_a_switch(tmp_path):
    def mortal(made, number):
        market(number)(made, number)
        if number == 21:
            raise Killed

    first = with_voices(tmp_path, 100, mortal)
    with pytest.raises(Killed):
        first.run()
    rounds = first.session._parts.coordinator.voices.council.rounds
    assert rounds >= 4
    again = with_voices(tmp_path, 10, market(1))
    capital = again.session._parts.coordinator
    assert capital.voices.council.rounds == rounds
    assert capital.council.rounds == first.session._parts.coordinator.council.rounds
    capital.switch("peer_to_peer", 0)
    assert capital.voices.council.pattern == capital.council.pattern == "peer_to_peer"
