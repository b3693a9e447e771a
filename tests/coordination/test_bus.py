"""Delivery: routes, freshness, repetition, and the journal before everything."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.coordination.test_messages import PROPOSAL, REQUEST
from tidewright.coordination.admission import Admission, RefusedError, Rules
from tidewright.coordination.bus import Bus
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.messages import Message, ParameterUpdateMessage, message, validate
from tidewright.coordination.process import Delivery, ProcessBus
from tidewright.market.clock import MINUTE, SECOND, ManualClock
from tidewright.market.errors import DataError, NotFoundError, NotRunningError, TimedOutError

NOW = 1_750_000_000 * SECOND
RULES = Rules.asking(["executor"], "advisor")


def proposal(at_ns: int = NOW, **data: Any) -> ParameterUpdateMessage:
    item = message("parameter_update", at_ns, "advisor", "executor", {**PROPOSAL["data"], **data})
    assert isinstance(item, ParameterUpdateMessage)
    return item


@pytest.mark.parametrize(
    ("at_ns", "source", "words"),
    [
        (NOW - 10 * MINUTE - SECOND, "advisor", "at most 600 s old, was 601 s"),
        (NOW + 2 * SECOND, "advisor", "ahead of market time"),
        (NOW, "stranger", "stranger may not send parameter_update to executor"),
    ],
)
def test_old_early_and_unauthorised_messages_are_refused(at_ns: int, source: str, words: str) -> None:
    item = message("parameter_update", at_ns, source, "executor", PROPOSAL["data"])
    with pytest.raises(RefusedError, match=words):
        Admission(RULES).admit(item, NOW)


def test_an_executor_does_not_take_orders_from_itself() -> None:
    item = message("parameter_update", NOW, "executor", "executor", PROPOSAL["data"])
    with pytest.raises(RefusedError):
        Admission(RULES).admit(item, NOW)


def test_a_repetition_is_refused_also_after_a_restart() -> None:
    admission = Admission(RULES)
    admission.admit(proposal(proposal_id="p-1"), NOW)
    with pytest.raises(RefusedError, match="before"):
        admission.admit(proposal(NOW + 1_000_000, proposal_id="p-1", confidence_score=0.9), NOW)
    restarted = Admission(RULES, seen=[("advisor", "parameter_update:p-1")])
    with pytest.raises(RefusedError, match="before"):
        restarted.admit(proposal(proposal_id="p-1"), NOW)


def test_a_refused_message_may_come_again_when_it_is_allowed() -> None:
    admission = Admission(RULES)
    early = proposal(NOW + MINUTE)
    with pytest.raises(RefusedError):
        admission.admit(early, NOW)
    admission.admit(early, NOW + MINUTE)


def test_the_bus_journals_before_it_delivers(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", fsync=False) as journal:
        bus = Bus(journal, Admission(RULES), ["executor"])
        item = proposal()
        bus.publish(item, NOW)
        with pytest.raises(RefusedError):
            bus.publish(item, NOW)
        with pytest.raises(NotFoundError):
            bus.publish(message("status", NOW, "executor", "advisor", {"state": "ready"}), NOW)
        spoiled = proposal(confidence_score=0.1)
        spoiled.data.confidence_score = 7.0
        with pytest.raises(DataError):
            bus.publish(spoiled, NOW)
        assert bus.drain("executor") == [item] and bus.drain("executor") == []
    assert [entry.event for entry in read(tmp_path / "j")] == ["received", "refused", "refused", "refused"]


ECHO = """
import sys, json
from tidewright.coordination.process import ChildChannel
channel = ChildChannel.standard()
print("stray output must not reach the channel")
for item in channel.receive():
    answer = json.loads(sys.argv[1])
    for line in answer:
        if line == "die":
            sys.exit(3)
        line = "x" * 1_100_000 if line == "long" else line
        channel._writer.write((line if isinstance(line, str) else json.dumps(line)).encode() + b"\\n")
        channel._writer.flush()
"""


def answers_of(lines: list[Any], folder: Path) -> list[str]:
    """What a session is told when its child answers a request with these lines."""

    async def run() -> list[str]:
        told = []
        with Journal(folder / "j", fsync=False) as journal:
            bus = ProcessBus(
                [sys.executable, "-c", ECHO, json.dumps(lines)], journal, Admission(RULES), ManualClock(NOW)
            )
            async with bus:
                await bus.send(message("optimize_request", NOW, "executor", "advisor", REQUEST))
                for _ in lines:
                    try:
                        delivery = await bus.receive(20.0)
                        told.append(delivery.refused or "ok")
                    except NotRunningError as error:
                        told.append(str(error))
        return told

    return asyncio.run(run())


def test_a_child_is_checked_line_by_line_and_its_death_is_told(tmp_path: Path) -> None:
    good = json.loads(json.dumps({**PROPOSAL, "source_agent": "advisor", "timestamp": "2025-06-15T15:06:40Z"}))
    assert validate(json.dumps(good)).timestamp_ns == NOW
    told = answers_of(["{not json", {**good, "extra": 1}, good, good, "long", "die"], tmp_path)
    assert "must be JSON" in told[0]
    assert "extra is not a field" in told[1]
    assert told[2] == "ok"
    assert "before" in told[3]
    assert "at most 1048576 bytes" in told[4]
    assert "status 3" in told[5] and "stray output" in told[5]
    events = [entry.event for entry in read(tmp_path / "j")]
    assert events == ["sent"] + ["refused"] * 2 + ["received"] + ["refused"] * 2


def test_of_a_message_that_comes_too_late_it_is_told_what_it_answers(tmp_path: Path) -> None:
    late = {**PROPOSAL, "source_agent": "advisor", "timestamp": "2025-06-15T14:06:40Z"}
    late["data"] = {**late["data"], "in_reply_to": "epoch-1"}

    async def run() -> Delivery:
        with Journal(tmp_path / "j", fsync=False) as journal:
            command = [sys.executable, "-c", ECHO, json.dumps([late])]
            async with ProcessBus(command, journal, Admission(RULES), ManualClock(NOW)) as bus:
                await bus.send(message("optimize_request", NOW, "executor", "advisor", REQUEST))
                return await bus.receive(20.0)

    delivery = asyncio.run(run())
    assert "at most 600 s old" in delivery.refused
    assert (delivery.message, delivery.in_reply_to) == (None, "epoch-1")


def test_a_child_that_died_is_called_by_its_module(tmp_path: Path) -> None:
    async def run() -> None:
        with Journal(tmp_path / "j", fsync=False) as journal:
            dies = [sys.executable, "-m", "this", "--threads", "1"]
            async with ProcessBus(dies, journal, Admission(RULES), ManualClock(NOW)) as bus:
                while (await bus.receive(20.0)).refused:  # what it prints is no message
                    pass

    with pytest.raises(NotRunningError, match=r"^this has ended with status 0"):
        asyncio.run(run())


def test_a_child_that_does_not_read_never_holds_up_who_sends_and_hears_again_when_it_reads(tmp_path: Path) -> None:
    def decision(number: int) -> Message:
        told = {"in_reply_to": f"p-{number}", "accepted": False, "reasons": ["x" * 3000] * 20}
        return message("decision", NOW, "executor", "advisor", told)

    async def run() -> int:
        with Journal(tmp_path / "j", fsync=False) as journal:
            bus = ProcessBus(["sh", "-c", "exec cat > /dev/null"], journal, Admission(RULES), ManualClock(NOW))
            async with bus:
                os.kill(bus.pid, signal.SIGSTOP)
                sent = 0
                with pytest.raises(RefusedError, match=r"cat > /dev/null does not read what it is sent: \d+ bytes"):
                    for _ in range(50):
                        await asyncio.wait_for(bus.send(decision(sent)), 0.5)
                        sent += 1
                os.kill(bus.pid, signal.SIGCONT)
                async with asyncio.timeout(5.0):
                    while True:
                        try:
                            await bus.send(decision(sent))
                            return sent
                        except RefusedError:
                            await asyncio.sleep(0.01)

    assert 10 < asyncio.run(run()) < 50
    events = [entry.event for entry in read(tmp_path / "j")]
    assert events[-1] == "sent" and "refused" in events


def test_silence_is_a_time_out_and_the_answer_may_still_come(tmp_path: Path) -> None:
    async def run() -> None:
        with Journal(tmp_path / "j", fsync=False) as journal:
            silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
            async with ProcessBus(silent, journal, Admission(RULES), ManualClock(NOW)) as bus:
                with pytest.raises(TimedOutError):
                    await bus.receive(0.05)

    asyncio.run(run())
