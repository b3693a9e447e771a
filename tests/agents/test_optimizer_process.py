"""The real agent in its own process, with the real engine, on a small synthetic market."""

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents.test_optimizer_study import CYCLE
from tidewright.agents.optimizer.__main__ import serve
from tidewright.coordination.admission import Admission, Rules
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.messages import Message, encode, message, validate
from tidewright.coordination.process import ChildChannel, ProcessBus
from tidewright.market.clock import HOUR, ManualClock
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

COMMAND = [sys.executable, "-m", "tidewright.agents.optimizer"]
EPOCH = 20 * CYCLE


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return synthesize(tmp_path_factory.mktemp("optimizer") / "tape", hours=1.5, seed=3, rate=2.0)


def request(tape: Tape, epoch: int, agent: str = "session", **more: Any) -> Message:
    until = tape.start_ns + HOUR + epoch * EPOCH
    content = {
        "tape": str(tape.path),
        "rows": int((tape.data.ts <= until).sum()),
        "from_ns": tape.start_ns,
        "until_ns": until,
        "strategy": "grid",
        "incumbent": {"spread_percentage": 0.02, "levels": 1, "base_quantity": 0.001, "max_position": 0.01},
        "limits": {"max_position_share": 0.5, "stop_loss": 0.02, "daily_loss": 0.05},
        "latency": {"entry_ns": 50_000_000, "response_ns": 50_000_000},
        "fees": {"maker": 10_000, "taker": 50_000},
        "equity": "10000",
        "epoch_ns": EPOCH,
        "candidates": 64,
        "generations": 1,
        "seed": 11,
        **more,
    }
    return message("optimize_request", until, agent, "optimizer", content)


def answers(tape: Tape, folder: Path) -> list[Message]:
    """What the agent says in two epochs."""

    async def run() -> list[Message]:
        clock = ManualClock()
        said = []
        with Journal(folder / "journal.jsonl", fsync=False) as journal:
            rules = Admission(Rules.asking(["session"], "optimizer"))
            async with ProcessBus([*COMMAND, "--memory", str(folder / "memory")], journal, rules, clock) as bus:
                for epoch in range(2):
                    item = request(tape, epoch)
                    clock.set(item.timestamp_ns)
                    await bus.send(item)
                    delivery = await bus.receive(120.0)
                    assert delivery.message is not None, delivery.refused
                    said.append(delivery.message)
        return said

    return asyncio.run(run())


def test_the_agent_answers_every_epoch_the_same_for_a_seed(tape: Tape, tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(answers(tape, tmp_path / name))
    assert [encode(item) for item in runs[0]] == [encode(item) for item in runs[1]]
    for epoch, item in enumerate(runs[0]):
        data = json.loads(encode(item))["data"]
        assert item.message_type == "parameter_update" or data["state"] == "no_proposal", data
        assert data["trials"] == 64 * (epoch + 1)
        assert data["reliability"]["n"] == len(data["settled"]) or epoch > 0
    assert [entry.event for entry in read(tmp_path / "a" / "journal.jsonl")] == ["sent", "received"] * 2


def test_what_is_no_request_is_answered_and_nothing_else_is_on_stdout(tape: Tape) -> None:
    lines = b"nonsense\n" + encode(request(tape, 0, rows=10**9)) + b"\n"
    result = subprocess.run(COMMAND, input=lines, capture_output=True, timeout=120, check=True)
    told = [json.loads(encode(validate(line))) for line in result.stdout.splitlines()]
    assert [item["message_type"] for item in told] == ["status", "status"]
    assert "not a message" in told[0]["data"]["reason"]
    assert "rows must be at most" in told[1]["data"]["reason"]


def test_what_is_tried_for_any_agent_of_a_session_counts_for_all_also_after_a_restart(
    tape: Tape, tmp_path: Path
) -> None:
    trials = []
    for epoch, agents in ((0, ("session", "second")), (1, ("second",))):
        lines = b"".join(encode(request(tape, epoch, agent)) + b"\n" for agent in agents)
        said = io.BytesIO()
        serve(ChildChannel(io.BytesIO(lines), said), tmp_path / "memory", apart=("session", "second"))
        trials += [json.loads(line)["data"]["trials"] for line in said.getvalue().splitlines()]
    assert trials == [64, 128, 192]
