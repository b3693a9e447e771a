"""The journal replays to the same decisions, and a changed one does not."""

import asyncio
import json

import pytest

from tests.trading.test_advice import CYCLE, GRID, START, Desk
from tidewright.agents.executor.canary import CanaryRules
from tidewright.cli.main import main
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import message
from tidewright.trading.coordinator import Coordinator
from tidewright.trading.replay_journal import relearn, replay


class Line:
    """Votes from other processes, already admitted and journalled."""

    def __init__(self, journal):
        self.journal, self.coming, self.published = journal, [], []

    def vote(self, agent, round_, **params):
        data = {"question": f"round-{round_}", "round": round_, "params": params, "confidence_score": 0.7}
        item = message("vote", START, agent, "executor", data)
        self.journal.append("received", START, item)
        self.coming.append(item)

    def drain(self):
        coming, self.coming = self.coming, []
        return coming

    def publish(self, item):
        self.journal.append("sent", START, item)
        self.published.append(item)


class Shadow:
    """What the members' numbers would have earned, at one of the rounds."""

    def __init__(self):
        self.known = {}

    def gains(self):
        return self.known

    def use(self, agent, params):
        pass


def written(path):
    """A session's worth of messages: proposals taken and refused, votes, results, a switch."""

    async def scenario(journal):
        desk, line = Desk(canary=CanaryRules(cycles=0)), Line(journal)
        coordinator = Coordinator(Council(("executor", "optimizer", "x", "y"), "master_slave"), journal, 0.6, line, 1)
        coordinator.shadow = shadow = Shadow()
        coordinator.open(START)
        desk.advice.council = coordinator.ratify
        fake = desk.line

        async def send(item):
            journal.append("sent", START, item)

        fake.send = send
        for number, confidence in enumerate((0.9, 0.2, 0.8)):
            await desk.ask(START + number * 60 * CYCLE)
            desk.propose(
                confidence, proposal_id=f"p-{number}", in_reply_to=f"epoch-{START + number * 60 * CYCLE}",
                optimized_params={"spread_percentage": 0.1 + 0.1 * number, "levels": 3, "base_quantity": 0.001,
                                  "max_position": 0.01},
            )  # fmt: skip
            delivery = fake.answers.get_nowait()
            journal.append("received", START, delivery.message)
            fake.answers.put_nowait(delivery)
            line.vote("x", number, spread_percentage=0.5)
            line.vote("y", number, spread_percentage=0.4)
            await desk.answer(number * 60 + 10)
            if confidence < 0.6:
                shadow.known = {"executor": 0.0, "optimizer": 2.0, "x": -1.0, "y": 0.1}
                coordinator.tell(START, {"mid": 60_000.0})
                coordinator.turn(START, "grid", desk.advice.staged(desk.executor).params)
                shadow.known = {}
            if number == 0:
                data = {"command": "set_coordination", "command_id": "c-1", "pattern": "democratic"}
                journal.append("received", START, message("command", START, "operator", "executor", data))
                coordinator.switch("democratic", START)
                answer = {"in_reply_to": "c-1", "accepted": True, "reasons": []}
                journal.append("sent", START, message("decision", START, "executor", "operator", answer))
        return line.published

    with Journal(path, fsync=False) as journal:
        return asyncio.run(scenario(journal))


def test_a_journal_replays_to_the_same_decisions(tmp_path, capsys):
    path = tmp_path / "messages.jsonl"
    published = written(path)
    result = replay(path)
    assert result.differences == []
    assert (result.verdicts, result.rounds, result.switches) == (3, 3, 1)
    decided = [item for item in published if item.message_type == "decision"]
    outcomes = [item.data.model_extra["council"]["outcome"] for item in decided]
    assert [round(outcome["params"]["spread_percentage"], 3) for outcome in outcomes] == [0.1, 0.4, 0.3]
    with pytest.raises(SystemExit) as left:
        main(["messages", "replay", str(tmp_path), "--json"])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rounds"] == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"judged":{"accepted":true', '"judged":{"accepted":false', "verdict"),
        ('"confidence_score":0.8,', '"confidence_score":0.3,', "verdict"),
        (
            '"round":1,"params":{"spread_percentage":0.4}',
            '"round":1,"params":{"spread_percentage":0.3}',
            "comes out as",
        ),
    ],
)
def test_a_journal_that_was_changed_is_told(tmp_path, old, new, words):
    path = tmp_path / "messages.jsonl"
    written(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any(words in difference for difference in replay(path).differences)


def test_the_parameters_an_outside_agent_proposes_count_as_its_opinion_in_the_replay_too(tmp_path):
    path = tmp_path / "messages.jsonl"
    with Journal(path, fsync=False) as journal:
        line = Line(journal)
        coordinator = Coordinator(Council(("executor", "x"), "peer_to_peer"), journal, 0.6, line, 1, ("x",))
        coordinator.open(START)
        coordinator.tell(START, {"mid": 60_000.0})
        data = {
            "optimized_params": {**GRID, "spread_percentage": 0.5},
            "performance_metrics": {"sqn_score": 1.0, "sharpe_ratio": 1.0, "max_drawdown": 0.0},
            "confidence_score": 0.9,
        }
        item = message("parameter_update", START, "x", "executor", data)
        journal.append("received", START, item)
        line.coming.append(item)
        outcome = coordinator.turn(START, "grid", GRID)
        assert outcome is not None and outcome.params["spread_percentage"] != GRID["spread_percentage"]
    found = replay(path)
    assert (found.rounds, found.differences) == (1, [])


def test_a_changed_threshold_holds_after_a_restart_and_in_the_replay(tmp_path):
    path, members = tmp_path / "messages.jsonl", ("executor", "x")
    spreads = []
    for threshold in (0.6, 0.9):
        learned, _ = relearn(path, members)
        with Journal(path, fsync=False) as journal:
            line = Line(journal)
            coordinator = Coordinator(learned or Council(members, "master_slave"), journal, threshold, line, 1, ("x",))
            coordinator.open(START)
            coordinator.tell(START, {"mid": 60_000.0})
            line.vote("x", coordinator.council.rounds, spread_percentage=0.5)
            outcome = coordinator.turn(START, "grid", GRID)
            assert outcome is not None
            spreads.append(outcome.params["spread_percentage"])
    assert spreads == [0.5, GRID["spread_percentage"]], "0.7 passes 0.6 and not 0.9"
    found = replay(path)
    assert (found.rounds, found.differences) == (2, [])


def test_tail_shows_the_newest_lines(tmp_path, capsys):
    path = tmp_path / "messages.jsonl"
    written(path)
    with pytest.raises(SystemExit) as left:
        main(["messages", "tail", str(path), "-n", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert left.value.code == 0
    assert len(lines) == 2
    assert "executor → optimizer decision" in lines[-1]
