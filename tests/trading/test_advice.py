import asyncio

import pytest

from tests.trading.fake_venue import INSTRUMENT
from tidewright.agents.executor.executor import Executor
from tidewright.coordination.messages import message
from tidewright.coordination.process import Delivery
from tidewright.market.errors import NotRunningError
from tidewright.risk.limits import OFF
from tidewright.trading.advice import EXECUTOR, OPTIMIZER, Advice
from tidewright.trading.cycles import Registration
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.settings import AdviceSettings, SessionSettings

CYCLE = 30_000_000_000
START = 1_700_000_000_000_000_000
GRID = {"spread_percentage": 0.05, "levels": 4, "base_quantity": 0.001, "max_position": 0.01}


class FakeLine:
    """An optimizer that answers what the test says."""

    def __init__(self) -> None:
        self.sent: list = []
        self.answers: asyncio.Queue[Delivery] = asyncio.Queue()
        self.gone = False

    async def send(self, item) -> None:
        if self.gone:
            raise NotRunningError("the optimizer has ended")
        self.sent.append(item)

    async def receive(self, timeout_s=None) -> Delivery:
        return await self.answers.get()


class Desk:
    def __init__(self, **advice) -> None:
        self.line, self.notes = FakeLine(), []
        options = {"epoch_ns": 60 * CYCLE, "answer_cycles": 10, "threshold": 0.6, "timeout_s": 0.05, **advice}
        settings = SessionSettings(params=GRID, limits=OFF, advice=AdviceSettings(**options))
        self.executor = Executor(INSTRUMENT, START, CYCLE, "grid", GRID, OFF)
        self.ledger = Ledger(INSTRUMENT, LedgerState(10**8, 10**13))
        self.advice = Advice(
            self.line,
            settings,
            INSTRUMENT,
            Registration(START, 0, None, 50, 60, 70),
            "/tape",
            lambda **row: self.notes.append(row),
        )

    async def ask(self, now=START):
        await self.advice.ask(now, START - CYCLE, 100, self.executor, self.ledger, 12_000_000)

    async def answer(self, cycles, wait=True):
        return await self.advice.answer(START + cycles * CYCLE, self.executor, self.ledger, 12_000_000, wait=wait)

    def propose(self, confidence=0.9, **changes):
        data = {
            "optimized_params": {**GRID, "spread_percentage": 0.3},
            "performance_metrics": {"sqn_score": 1.0, "sharpe_ratio": 1.0, "max_drawdown": 0.0},
            "confidence_score": confidence,
            "strategy": "grid",
            "in_reply_to": f"epoch-{START}",
            "proposal_id": "p-1",
            **changes,
        }
        self.line.answers.put_nowait(Delivery(message("parameter_update", START, OPTIMIZER, EXECUTOR, data)))


def verdicts(desk):
    return [(note["direction"], note["message_type"], note["verdict"]) for note in desk.notes]


def test_the_request_says_what_the_session_is_like():
    async def scenario():
        desk = Desk()
        await desk.ask()
        data = desk.line.sent[0].data
        assert (data.rows, data.from_ns, data.until_ns) == (100, START - CYCLE, START)
        assert data.incumbent.values() == GRID
        assert (data.latency.feed_ns, data.latency.entry_ns, data.latency.response_ns) == (70, 50, 60)
        assert data.equity == "160000.00000000"
        assert (data.candidates, data.check_balance) == (512, True)

    asyncio.run(scenario())


def test_an_answer_takes_effect_at_its_cycle_and_not_before():
    async def scenario():
        desk = Desk()
        await desk.ask()
        desk.propose()
        assert await desk.answer(9) is None
        verdict = await desk.answer(10)
        assert verdict is not None
        assert verdict.accepted
        assert verdict.params["spread_percentage"] == 0.3
        assert verdicts(desk) == [
            ("out", "optimize_request", ""),
            ("in", "parameter_update", "accepted"),
            ("out", "decision", ""),
        ]
        assert desk.line.sent[-1].data.accepted is True

    asyncio.run(scenario())


def test_a_refusal_is_journalled_and_told_with_its_reason():
    async def scenario():
        desk = Desk()
        await desk.ask()
        desk.propose(confidence=0.4)
        verdict = await desk.answer(10)
        assert verdict is not None
        assert not verdict.accepted
        assert "under the threshold" in desk.notes[1]["why"]
        assert (desk.advice.proposals, desk.advice.accepted, desk.advice.refused) == (1, 0, 1)
        assert desk.line.sent[-1].data.reasons

    asyncio.run(scenario())


def test_no_answer_in_time_is_an_error_in_the_journal_and_the_session_goes_on():
    async def scenario():
        desk = Desk()
        await desk.ask()
        assert await desk.answer(10) is None
        assert desk.advice.errors == 1
        assert desk.notes[-1]["verdict"] == "error"
        await desk.ask(START + 60 * CYCLE)
        desk.propose()  # the late answer to the first request
        verdict = await desk.answer(70)
        assert verdict is not None
        assert "stale" in verdict.reasons[0]
        await desk.advice.close()

    asyncio.run(scenario())


def test_without_lockstep_an_answer_that_is_not_there_is_looked_for_again():
    async def scenario():
        desk = Desk()
        await desk.ask()
        assert await desk.answer(10, wait=False) is None
        assert desk.advice.errors == 0
        desk.propose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        verdict = await desk.answer(12, wait=False)
        assert verdict is not None
        assert verdict.accepted

    asyncio.run(scenario())


def test_a_malformed_answer_counts_as_refused():
    async def scenario():
        desk = Desk()
        await desk.ask()
        desk.line.answers.put_nowait(Delivery(None, "confidence_score must be in [0, 1], was 7"))
        assert await desk.answer(10) is None
        assert (desk.advice.refused, desk.notes[-1]["verdict"]) == (1, "invalid")

    asyncio.run(scenario())


def test_no_proposal_is_not_an_error():
    async def scenario():
        desk = Desk()
        await desk.ask()
        status = message("status", START, OPTIMIZER, EXECUTOR, {"state": "no_proposal", "reason": "nothing better"})
        desk.line.answers.put_nowait(Delivery(status))
        assert await desk.answer(10) is None
        assert (desk.advice.errors, desk.advice.proposals) == (0, 0)
        assert desk.advice.latest.text == "no_proposal: nothing better"
        assert not desk.advice.awaiting

    asyncio.run(scenario())


def test_an_optimizer_that_died_is_noted_once_and_left_alone():
    async def scenario():
        desk = Desk()
        desk.line.gone = True
        await desk.ask()
        await desk.ask(START + 60 * CYCLE)
        assert desk.advice.errors == 1
        assert await desk.answer(80) is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bad", [{"epoch_ns": 45_000_000_000}, {"answer_cycles": 0}, {"answer_cycles": 61}, {"threshold": 1.5}]
)
def test_settings_that_cannot_work_are_refused(bad):
    with pytest.raises(ValueError, match="must"):
        Desk(**bad)
