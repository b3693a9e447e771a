"""A user's own strategy before the optimizer: judged like a built-in, and only if the optimizer was started for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents.test_optimizer_process import COMMAND, request
from tests.strategies.test_custom import GRID, written
from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.coordination.admission import Admission, Rules
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import Message, OptimizeRequestMessage, encode
from tidewright.coordination.process import ProcessBus
from tidewright.market.clock import ManualClock
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.strategies import registry


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return synthesize(tmp_path_factory.mktemp("optimizer") / "tape", hours=1.1, seed=3, rate=2.0)


def data_of(item: Message) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(encode(item))["data"]
    return data


def asked(optimizer: Optimizer, tape: Tape, **more: Any) -> dict[str, Any]:
    item = request(tape, 0, **more)
    assert isinstance(item, OptimizeRequestMessage)
    return data_of(optimizer.answer(item))


def test_an_optimizer_of_its_own_process_judges_a_users_grid_like_the_built_in(tape: Tape, tmp_path: Path) -> None:
    """The folder's name has a space: a reference is any path."""
    folder = tmp_path / "my strategies"
    folder.mkdir()
    own = registry.strategy(written(folder, GRID))

    async def run() -> Message:
        clock, item = ManualClock(), request(tape, 0, strategy=own.name, strategy_digest=own.digest)
        clock.set(item.timestamp_ns)
        with Journal(tmp_path / "journal.jsonl", fsync=False) as journal:
            rules = Admission(Rules.asking(["session"], "optimizer"))
            async with ProcessBus([*COMMAND, "--strategy", own.name], journal, rules, clock) as bus:
                await bus.send(item)
                delivery = await bus.receive(120.0)
        assert delivery.message is not None, delivery.refused
        return delivery.message

    answer = data_of(asyncio.run(run()))
    built_in = asked(Optimizer(), tape)
    assert answer.get("state") != "error", answer
    assert answer["in_sample"]["candidate"]["fills"] > 0
    assert {**answer, "strategy": ""} == {**built_in, "strategy": ""}


def test_a_request_opens_no_file_that_the_optimizer_was_not_started_for(tape: Tape, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    reference = written(tmp_path, f"open({str(ran)!r}, 'w')\n" + GRID)
    answer = asked(Optimizer(), tape, strategy=f"{reference}:my_grid")
    assert answer["state"] == "error"
    assert "was not started for the strategy" in answer["reason"]
    assert not ran.exists()


def test_a_file_edited_after_the_session_began_is_not_judged(tape: Tape, tmp_path: Path) -> None:
    own = registry.strategy(written(tmp_path, GRID))
    answer = asked(Optimizer(files=[own.name]), tape, strategy=own.name, strategy_digest="0" * 16)
    assert answer["state"] == "error"
    assert "was edited while the session runs" in answer["reason"]
