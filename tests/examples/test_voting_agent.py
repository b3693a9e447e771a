"""The example agent, which knows nothing of the package, votes in a real session over pipes and over a real NATS."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.coordination.nats_server import NatsServer
from tests.trading.fake_session import Stage
from tidewright.coordination.admission import Admission, Rules
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.lines import ChildAgent, Lines
from tidewright.coordination.messages import message
from tidewright.coordination.nats_bus import NatsBus, NatsSettings
from tidewright.coordination.signing import Keyring, create
from tidewright.market.clock import SECOND, ManualClock
from tidewright.trading.coordinator import Coordinator
from tidewright.trading.replay_journal import replay

AGENT = Path(__file__).parents[2] / "examples" / "voting_agent.py"
NOW = 1_750_000_000 * SECOND


def test_it_imports_nothing_of_the_package():
    assert "tidewright" not in [
        word
        for line in AGENT.read_text().splitlines()
        if line.startswith(("import ", "from "))
        for word in line.split()
    ]


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "messages.jsonl", fsync=False) as opened:
        yield opened


def test_three_of_them_move_a_session_that_decides_democratically(tmp_path, journal):
    stage = Stage(tmp_path, cycles=12)
    names = ("v1", "v2", "v3")
    children = {
        name: ChildAgent(
            name, [sys.executable, str(AGENT), "--name", name], "executor", journal, stage.cycles.clock
        )
        for name in names
    }  # fmt: skip
    council = Council(("executor", *names), "democratic")
    coordinator = Coordinator(council, journal, 0.6, Lines(children), 5, names, 60.0)
    stage.session._parts.coordinator = coordinator
    session = stage.run()
    assert session.now.stage == "ended"
    assert council.rounds == 2
    assert session.now.params["spread_percentage"] == pytest.approx(0.2 * 0.9 * 0.9)  # calm: narrower, twice
    assert session.now.coordination == "democratic"
    assert set(session.now.shares) == {"executor", *names}
    result = replay(journal.path)
    assert (result.differences, result.rounds) == ([], 2)
    assert {entry.message.source_agent for entry in read(journal.path) if entry.event == "received"} == set(names)


def test_an_agent_that_dies_or_speaks_for_another_changes_nothing(tmp_path, journal):
    stage = Stage(tmp_path, cycles=12)
    dead = [sys.executable, "-c", "pass"]
    forger = [sys.executable, str(AGENT), "--name", "dead"]
    children = {
        "dead": ChildAgent("dead", dead, "executor", journal, stage.cycles.clock),
        "forger": ChildAgent("forger", forger, "executor", journal, stage.cycles.clock),
    }
    council = Council(("executor", "dead", "forger"), "master_slave")
    stage.session._parts.coordinator = Coordinator(council, journal, 0.6, Lines(children), 5, ("dead", "forger"), 1.0)
    session = stage.run()
    assert session.now.stage == "ended"
    assert session.now.params["spread_percentage"] == 0.2
    refused = [entry.reason for entry in read(journal.path) if entry.event == "refused"]
    assert refused and all("dead may not send vote" in reason for reason in refused)


def test_it_votes_over_nats_signed_with_its_key(tmp_path, journal):
    pytest.importorskip("nats", reason="nats-py is not installed")
    create(tmp_path / "keys.json", ["executor", "voter"])

    async def scenario(server):
        admission = Admission(Rules.council("executor", ["voter"]), (), Keyring.load(tmp_path / "keys.json"))
        bus = NatsBus(NatsSettings(server.url), "executor", journal, admission, ManualClock(NOW))
        async with bus:
            agent = await asyncio.create_subprocess_exec(
                *[sys.executable, str(AGENT), "--nats", f"127.0.0.1:{server.port}", "--key-file", "keys.json"],
                cwd=tmp_path,
            )
            try:
                for number in range(40):  # until it listens; what was said before is not for it
                    facts = {"question": f"round-{number}", "round": number, "volatility": 0.01}
                    data = {"state": "round", "params": {"spread_percentage": 0.2}, **facts}
                    bus.publish(message("status", NOW, "executor", "agents", data))
                    if await bus.wait(0.5):
                        break
                return bus.drain()
            finally:
                agent.terminate()
                await agent.wait()

    with NatsServer(tmp_path) as server:
        votes = asyncio.run(scenario(server))
    assert votes[0].source_agent == "voter"
    assert votes[0].data.params["spread_percentage"] == pytest.approx(0.22)
