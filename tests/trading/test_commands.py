import asyncio
import json

import pytest

from tests.trading.fake_session import CYCLE, START, Stage
from tidewright.coordination.journal import Journal, read
from tidewright.market.clock import ManualClock, iso
from tidewright.market.errors import DataError, NotRunningError
from tidewright.store import schema
from tidewright.trading import commands
from tidewright.trading.commands import CommandBox
from tidewright.trading.control import Control, was_paused


def put(folder, name, **changes):
    data = {"command": "pause", "command_id": name}
    data.update(changes.pop("data", {}))
    envelope = {"timestamp": iso(START), "source_agent": "operator", "target_agent": "executor"}
    item = {**envelope, "message_type": "command", "data": data, **changes}
    (folder / "commands").mkdir(exist_ok=True)
    (folder / "commands" / f"{name}.json").write_text(json.dumps(item))


def answer(folder, name):
    return json.loads((folder / "commands" / f"{name}.answer.json").read_text())["data"]


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "messages.jsonl", fsync=False) as opened:
        yield opened


@pytest.fixture
def make_box(tmp_path, journal):
    def make():
        made = CommandBox(tmp_path, journal, ManualClock(START))
        made.open(CYCLE, 1.0)
        return made

    return make


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"timestamp": iso(START - 10 * 60 * 10**9)}, "s old"),
        ({"timestamp": iso(START + 60 * 10**9)}, "ahead of market time"),
        ({"source_agent": "advisor"}, "advisor may not send command"),
        ({"target_agent": "optimizer"}, "to optimizer"),
        ({"schema_version": 9}, "schema_version"),
        ({"data": {"command": "sell_everything"}}, "command must be"),
        ({"data": {"flatten": True}}, "flatten belongs to emergency_stop"),
        ({"data": {"reason": "x" * 2_000_000}}, "at most 1048576 bytes"),
    ],
)
def test_what_may_not_be_obeyed_is_refused_with_the_reason_and_journalled(tmp_path, make_box, changes, why):
    inbox = make_box()
    put(tmp_path, "one", **changes)
    assert inbox.take() == []
    assert why in answer(tmp_path, "one")["reasons"][0]
    assert [entry.event for entry in read(tmp_path / "messages.jsonl")] == ["refused"]


def test_a_command_counts_once_and_what_lay_there_before_the_start_not_at_all(tmp_path, make_box):
    put(tmp_path, "old")
    inbox = make_box()
    assert "before the session began" in answer(tmp_path, "old")["reasons"][0]
    put(tmp_path, "one")
    assert [item.data.command_id for item in inbox.take()] == ["one"]
    put(tmp_path, "two", data={"command_id": "one"})
    assert inbox.take() == []
    assert "received before" in answer(tmp_path, "two")["reasons"][0]


def test_nobody_is_told_to_wait_for_a_session_that_does_not_listen(tmp_path):
    with pytest.raises(NotRunningError, match="does not take commands"):
        commands.post(tmp_path, "pause", iso(START))
    (tmp_path / "commands").mkdir()
    with pytest.raises(DataError, match="params belong to set_parameters"):
        commands.post(tmp_path, "set_parameters", iso(START))


@pytest.fixture
def listening(tmp_path, journal):
    return lambda cycles, at: make_listening(tmp_path, journal, cycles, at)


def make_listening(tmp_path, journal, cycles, at):
    """A session with a command box; ``at``: what is put in before which cycle."""

    def market(stage, number):
        for name, changes in at.get(number, {}).items():
            put(tmp_path, name, **changes)

    stage = Stage(tmp_path, cycles=cycles, on_release=market)
    inbox = CommandBox(tmp_path, journal, stage.cycles.clock)
    stage.session.control = Control(inbox, stage.session.stop)
    return stage


def test_a_pause_takes_the_quotes_away_and_resume_brings_them_back(listening):
    at = {3: {"a": {}}, 6: {"b": {"data": {"command": "resume"}}}}
    stage = listening(9, at)
    stage.run()
    assert [count for _, cycle, count in stage.seen if cycle] == [4, 4, 0, 0, 0, 4, 4, 4, 4, 0]
    rows = [row for row in stage.database.rows(schema.messages, "s") if row["message_type"] == "command"]
    assert [row["verdict"] for row in rows] == ["accepted", "accepted"]
    assert (was_paused(rows[:1]), was_paused(rows)) == (True, False)


def test_parameters_set_by_hand_hold_from_the_next_decision_and_over_a_restart(tmp_path, listening):
    class Killed(BaseException):
        pass

    told = {"command": "set_parameters", "params": {"levels": 1}}
    wrong = {"command": "set_parameters", "params": {"levels": 0}}
    stage = listening(9, {2: {"a": {"data": told}, "b": {"data": wrong}, "c": {}}})
    follow = stage.cycles._on_release

    def die(number):
        follow(number)
        if number == 5:
            raise Killed

    stage.cycles._on_release = die
    with pytest.raises(Killed):
        stage.run()
    assert answer(tmp_path, "a") == {"in_reply_to": "a", "accepted": True, "reasons": ["levels 2 → 1"]}
    assert "levels" in answer(tmp_path, "b")["reasons"][0]
    stage.database.close()
    second = Stage(tmp_path, cycles=3)
    second.venue = second.session._parts.venue = stage.venue
    session = second.run()
    assert session.now.params["levels"] == 1
    assert session.control.paused


def test_an_emergency_stop_does_not_wait_for_the_optimizer(listening):
    stage = listening(100, {})

    async def whole():
        stage.session.stop.clear()
        never = asyncio.Event()
        asking = asyncio.create_task(stage.session._unless_stopped(_forever(never)))
        await asyncio.sleep(0)
        stage.session.stop.set()
        assert await asyncio.wait_for(asking, 5.0) is None
        assert never.is_set()

    asyncio.run(whole())


async def _forever(cancelled):
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.set()
