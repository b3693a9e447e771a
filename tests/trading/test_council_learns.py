"""A live council learns from its members' shadow accounts, and a restart forgets nothing."""

import pytest

from tests.trading.fake_session import GRID, Stage
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import message
from tidewright.coordination.patterns.losses import Losses
from tidewright.market.codes import PACKET_END, TRADE_BUY
from tidewright.market.tape import columns
from tidewright.risk.limits import Limits
from tidewright.store import schema
from tidewright.trading.coordinator import Coordinator
from tidewright.trading.replay_journal import relearn, replay
from tidewright.trading.settings import AgentSettings

MEMBERS = ("executor", "narrow", "wide")
SAID = {"narrow": {"spread_percentage": 0.01}, "wide": {"spread_percentage": 0.3}}


class Killed(BaseException):
    pass


class Line:
    """Two voters that are equally sure of themselves; one would quote where it is run over."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._coming = journal, []

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def publish(self, item) -> None:
        told = item.data.model_extra or {}
        if item.data.model_dump().get("state") != "round":
            return
        for name, params in SAID.items():
            data = {"question": told["question"], "round": told["round"], "params": params, "confidence_score": 0.9}
            vote = message("vote", item.timestamp_ns, name, "executor", {**data, "stance": 0})
            self._journal.append("received", item.timestamp_ns, vote)
            self._coming.append(vote)

    def drain(self):
        found, self._coming = self._coming, []
        return found


def rising(stage: Stage, number: int) -> None:
    """The mid climbs, and buyers take all that is offered a little above it."""
    mid = 6_000_000 + 300 * number
    stage.feed.quote(stage.at(number) - 3, mid - 900, mid + 900, snapshot=True)
    ts = stage.at(number) - 2
    stage.feed.coming.append(columns([(ts, ts, TRADE_BUY, PACKET_END, mid + 950, 500)]))


def session(folder, cycles, on_release, pattern="hierarchical"):
    path = folder / "messages.jsonl"
    learned, told = relearn(path, MEMBERS)
    journal = Journal(path)
    made = Stage(
        folder,
        cycles,
        on_release,
        limits=Limits(max_position_share=0.5, strict=True),
        agents=AgentSettings(commands={"narrow": ("x",), "wide": ("x",)}, round_cycles=4),
    )
    coordinator = Coordinator(
        learned or Council(MEMBERS, pattern), journal, 0.6, Line(journal), 4, ("narrow", "wide"), 1.0
    )
    for each in told:
        coordinator.remember(each)
    made.session._parts.coordinator = coordinator
    return made, journal


def worths(council: Council) -> dict[str, float]:
    records = council._patterns["democratic"].records
    return {name: records.worth(name) for name in MEMBERS[1:]}


def test_who_would_have_lost_loses_weight_and_a_restart_keeps_it(tmp_path):
    def mortal(stage, number):
        rising(stage, number)
        if number == 80:
            raise Killed

    first, journal = session(tmp_path, 200, mortal)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    journal.close()
    council = first.session._parts.coordinator.council
    weights = council._patterns["hierarchical"].weights
    assert weights["narrow"] < weights["wide"]
    earned = worths(council)
    assert earned["narrow"] < 0.1 < earned["wide"], "both said 0.9; one was wrong, the other earned what we did"

    second, journal = session(tmp_path, 100, rising)
    again = second.session._parts.coordinator.council
    assert again._patterns["hierarchical"].weights == weights and worths(again) == earned
    second.venue = second.session._parts.venue = first.venue
    second.cycles._at, second.feed.begins = 80, second.at(80) - 10
    first.venue.events.clear()
    assert second.run().now.stage == "ended"
    journal.close()
    assert again.rounds > council.rounds
    found = replay(tmp_path / "messages.jsonl")
    assert found.differences == [] and found.rounds == again.rounds


def test_what_agents_voted_without_an_optimizer_trades_on_after_a_kill(tmp_path):
    def mortal(stage, number):
        if number == 6:
            raise Killed

    first, journal = session(tmp_path, 20, mortal)
    with pytest.raises(Killed):
        first.run()
    voted = dict(first.session.now.params)
    assert voted["spread_percentage"] != GRID["spread_percentage"], "round 0 has been decided"
    first.database.close()
    journal.close()

    again = Stage(tmp_path, 9)
    again.venue = again.session._parts.venue = first.venue
    again.cycles._at, again.feed.begins = 6, again.at(6) - 10
    first.venue.events.clear()
    assert again.run().now.params == voted
    rows = again.database.rows(schema.messages, "s")
    assert [row["verdict"] for row in rows if row["message_type"] == "decision"] == ["voted"]


def test_losses_take_out_what_all_have_gained_and_know_nothing_of_the_future():
    one, other = Losses(), Losses()
    found = one.of({"a": 1.0, "b": -1.0, "c": 0.0})
    assert found["a"] < 0.5 < found["b"] and found["c"] == 0.5
    assert other.of({"a": 101.0, "b": 99.0, "c": 100.0}) == pytest.approx(found)
    assert one.of({"a": 5.0, "b": 5.0}) == {"a": 0.5, "b": 0.5}
    assert one.of({}) == {}
    wild = one.of({"a": 1e9, "b": -1e9})
    assert 0.0 <= wild["a"] < wild["b"] <= 1.0
