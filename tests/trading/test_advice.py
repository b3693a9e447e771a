import asyncio

import pytest

from tests.trading.fake_venue import INSTRUMENT
from tidewright.agents.executor.executor import Executor
from tidewright.coordination.admission import RefusedError
from tidewright.coordination.messages import message
from tidewright.coordination.process import Delivery
from tidewright.market.errors import NotRunningError
from tidewright.risk.limits import OFF
from tidewright.trading.advice import EXECUTOR, OPTIMIZER, Advice, Before
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


def test_the_request_speaks_of_sizes_that_were_set_since_a_screen_first_asked():
    """Sizes are set once there is a price, before the first request; a screen asks for the stage in the warm-up."""

    async def scenario():
        desk = Desk()
        desk.advice.stage(desk.executor)
        sized = {**GRID, "base_quantity": 0.004, "max_position": 0.012}
        desk.executor.use(sized)
        await desk.ask()
        assert desk.line.sent[0].data.incumbent.values() == sized
        desk.propose(optimized_params={**sized, "spread_percentage": 0.3})
        await desk.answer(10)
        await desk.advice.use(START + 10 * CYCLE, desk.executor, 12_000_000)
        assert desk.executor.params == {**sized, "spread_percentage": 0.3, "base_quantity": 0.001}

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
            ("out", "decision", "canary"),
        ]
        assert desk.line.sent[-1].data.accepted is True
        assert desk.line.sent[-1].data.stage == "canary"
        await desk.advice.use(START + 10 * CYCLE, desk.executor, 12_000_000)
        assert desk.executor.params == {**GRID, "spread_percentage": 0.3, "base_quantity": 0.00025}

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


def test_what_was_given_up_and_may_be_unread_is_not_followed_by_another_request():
    async def scenario():
        desk = Desk()
        await desk.ask()
        assert await desk.answer(10) is None
        assert not desk.advice.due(START + 60 * CYCLE, START)
        desk.propose()
        verdict = await desk.answer(61)
        assert verdict is not None and not verdict.accepted
        assert verdict.reasons == (f"stale: it answers request epoch-{START}, nothing is open",)
        assert desk.advice.due(START + 61 * CYCLE, START)

    asyncio.run(scenario())


async def lost_desk() -> Desk:
    """The first request was given up an epoch after its answer was due, in cycle 70, and lost an epoch later."""
    desk = Desk(timeout_s=0.0)
    await desk.ask()
    for cycle in (70, 129):
        assert await desk.answer(cycle, wait=False) is None
    assert desk.advice.awaiting and not desk.advice.due(START + 129 * CYCLE, START)
    await desk.answer(130, wait=False)
    return desk


def test_a_request_that_is_never_answered_counts_as_lost_and_the_next_is_sent():
    async def scenario():
        desk = await lost_desk()
        assert not desk.advice.awaiting
        assert desk.advice.due(START + 130 * CYCLE, START)
        assert [note["why"] for note in desk.notes[-2:]] == [
            f"no answer to epoch-{START} in time: it is left alone",
            f"epoch-{START} counts as lost: the next request is sent",
        ]
        assert desk.notes[-1]["verdict"] == "error"
        later = START + 130 * CYCLE
        await desk.ask(later)
        desk.propose(in_reply_to=f"epoch-{later}")
        verdict = await desk.answer(140)
        assert verdict is not None and verdict.accepted

    asyncio.run(scenario())


def test_where_market_time_runs_fast_a_request_is_lost_by_the_wall():
    async def scenario():
        desk = Desk(timeout_s=0.2)
        await desk.ask()
        await desk.answer(10)
        await desk.answer(5000)
        assert desk.advice.awaiting, "weeks of market in no time"
        await asyncio.sleep(0.25)
        await desk.answer(5001)
        assert not desk.advice.awaiting

    asyncio.run(scenario())


def test_a_late_answer_to_a_lost_request_is_not_taken_for_one_to_the_next():
    async def scenario():
        desk = await lost_desk()
        later = START + 130 * CYCLE
        await desk.ask(later)
        desk.propose()
        verdict = await desk.answer(140)
        assert verdict.reasons == (f"stale: it answers request epoch-{START}, epoch-{later} is open",)
        refused = "parameter_update may be at most 1800 s old, was 4200 s"
        desk.line.answers.put_nowait(Delivery(None, refused, f"epoch-{START}"))  # as the line refuses what is too old
        await desk.answer(141)
        assert (desk.notes[-1]["verdict"], desk.advice.awaiting) == ("invalid", True)
        desk.propose(in_reply_to=f"epoch-{later}", proposal_id="p-2")
        verdict = await desk.answer(142)
        assert verdict is not None and verdict.accepted

    asyncio.run(scenario())


def test_what_does_not_say_which_request_it_answers_belongs_to_the_oldest():
    async def scenario():
        desk = await lost_desk()
        later = START + 130 * CYCLE
        await desk.ask(later)
        desk.propose(in_reply_to=None)
        verdict = await desk.answer(140)
        assert verdict.reasons == (
            f"stale: it does not say what it answers, and epoch-{START} was not answered before",
        )
        desk.propose(in_reply_to=None, proposal_id="p-2")
        verdict = await desk.answer(141)
        assert verdict is not None and verdict.accepted, "now it can only be the newest"

    asyncio.run(scenario())


def test_the_more_requests_are_lost_the_longer_the_next_is_waited_for():
    async def scenario():
        desk = await lost_desk()
        await desk.ask(START + 130 * CYCLE)
        for cycle in (200, 260, 319):  # given up at 200, lost two epochs later
            await desk.answer(cycle, wait=False)
            assert desk.advice.awaiting
        await desk.answer(320, wait=False)
        assert not desk.advice.awaiting
        await desk.ask(START + 320 * CYCLE)
        desk.propose(in_reply_to=f"epoch-{START + 320 * CYCLE}")  # answers come in order: nothing older will come
        assert (await desk.answer(330)).accepted
        await desk.ask(START + 400 * CYCLE)
        await desk.answer(470, wait=False)
        await desk.answer(530, wait=False)
        assert not desk.advice.awaiting, "as patient as at first"

    asyncio.run(scenario())


def test_a_decision_that_could_not_be_told_leaves_the_open_request_open():
    async def scenario():
        desk = await accepted_desk()
        await desk.ask(START + 60 * CYCLE)
        tell, told = desk.line.send, message("status", START, OPTIMIZER, EXECUTOR, {"state": "no_proposal"})

        async def refuses(item):
            raise RefusedError("it does not read what it is sent")

        desk.line.send = refuses
        await desk.advice.watch(START + 5000 * CYCLE, desk.executor)
        desk.line.send = tell
        assert (desk.advice.errors, desk.advice.gone, desk.advice.awaiting) == (1, False, True)
        assert desk.notes[-2]["verdict"] == "rolled_back"
        desk.line.answers.put_nowait(Delivery(told))
        await desk.answer(70)
        assert not desk.advice.awaiting

    asyncio.run(scenario())


def test_an_epoch_whose_beat_was_left_out_is_asked_about_at_the_next():
    async def scenario():
        desk = Desk()
        assert desk.advice.due(START, START)
        await desk.ask()
        desk.line.answers.put_nowait(status(0, []))
        await desk.answer(10)
        assert [cycle for cycle in (11, 59, 61) if desk.advice.due(START + cycle * CYCLE, START)] == [61]
        again = Desk().advice
        again.resume(Before(asked={EXECUTOR: START}))
        assert not again.due(START + 59 * CYCLE, START) and again.due(START + 63 * CYCLE, START)

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


# -- canary ------------------------------------------------------------------------------------------------------------


def status(epoch: int, differences: list[float], proposal_id: str = "p-1") -> Delivery:
    until = START + 60 * epoch * CYCLE
    shadow = {
        "proposal_id": proposal_id,
        "from_ns": until - 60 * CYCLE,
        "until_ns": until,
        "cycles": 60,
        "block": 10,
        "differences": differences,
    }
    data = {"state": "no_proposal", "in_reply_to": f"epoch-{until}", "shadow": shadow}
    return Delivery(message("status", until, OPTIMIZER, EXECUTOR, data))


async def accepted_desk(**advice) -> Desk:
    desk = Desk(**advice)
    await desk.ask()
    desk.propose()
    await desk.answer(10)
    await desk.advice.use(START + 10 * CYCLE, desk.executor, 12_000_000)
    return desk


async def epoch(desk: Desk, number: int, differences: list[float]) -> None:
    await desk.ask(START + 60 * number * CYCLE)
    desk.line.answers.put_nowait(status(number, differences))
    await desk.answer(60 * number + 10)
    await desk.advice.use(START + (60 * number + 10) * CYCLE, desk.executor, 12_000_000)


def test_a_canary_is_asked_about_each_epoch_and_used_fully_after_its_time():
    async def scenario():
        desk = await accepted_desk()
        await epoch(desk, 1, [0.5] * 6)
        asked = next(item.data for item in reversed(desk.line.sent) if item.message_type == "optimize_request")
        assert asked.shadow.candidate.values()["spread_percentage"] == 0.3
        assert asked.shadow.incumbent.values() == GRID == {**asked.shadow.incumbent.values()}
        assert asked.shadow.from_ns == START
        assert asked.incumbent.values() == {**GRID, "spread_percentage": 0.3}  # at full size
        assert [piece.params.values()["spread_percentage"] for piece in asked.traded] == [0.05, 0.3]
        assert [piece.params.values()["base_quantity"] for piece in asked.traded] == [0.001, 0.00025]
        assert desk.executor.params == {**GRID, "spread_percentage": 0.3}
        assert verdicts(desk)[-1] == ("in", "status", "")
        assert ("out", "decision", "full") in verdicts(desk)

    asyncio.run(scenario())


def test_harm_in_the_shadows_brings_the_old_parameters_back_and_tells_why():
    async def scenario():
        desk = await accepted_desk()
        await epoch(desk, 1, [-3.0] * 6)
        for number in range(2, 5):
            await epoch(desk, number, [-3.0 - 0.1 * number] * 6)
        assert desk.executor.params == GRID
        decision = next(item for item in reversed(desk.line.sent) if item.message_type == "decision")
        assert decision.data.stage == "rolled_back"
        assert not decision.data.accepted
        assert "e-value" in decision.data.reasons[0]
        assert [verdict for _, kind, verdict in verdicts(desk) if kind == "decision"][-1] == "rolled_back"

    asyncio.run(scenario())


def test_a_proposal_made_against_what_was_just_rolled_back_is_refused():
    async def scenario():
        desk = await accepted_desk()
        await desk.ask(START + 60 * CYCLE)
        until = START + 60 * CYCLE
        bad = status(1, [-9.0] * 40).message.data.shadow.model_dump()
        desk.propose(in_reply_to=f"epoch-{until}", proposal_id="p-2", shadow=bad)
        verdict = await desk.answer(70)
        assert "just been rolled back" in verdict.reasons[0]
        assert desk.advice.rollout.stage == "steady"

    asyncio.run(scenario())


def test_when_the_optimizer_dies_a_canary_is_rolled_back_in_time():
    async def scenario():
        desk = await accepted_desk()
        desk.line.gone = True
        await desk.ask(START + 60 * CYCLE)
        await desk.advice.watch(START + 100 * CYCLE, desk.executor)
        assert desk.advice.rollout.stage == "canary"
        await desk.advice.watch(START + 191 * CYCLE, desk.executor)
        await desk.advice.use(START + 191 * CYCLE, desk.executor, 12_000_000)
        assert desk.executor.params == GRID
        assert desk.notes[-1]["verdict"] == "rolled_back"

    asyncio.run(scenario())


def test_what_an_operator_sets_stands_and_ends_the_canary():
    async def scenario():
        desk = await accepted_desk()
        desk.executor.use({**desk.executor.params, "levels": 2})
        await desk.advice.use(START + 20 * CYCLE, desk.executor, 12_000_000)
        assert desk.executor.params == {**GRID, "spread_percentage": 0.3, "levels": 2}
        assert desk.advice.rollout.stage == "steady"
        assert desk.notes[-1]["verdict"] == "replaced"
        desk.executor.use({**desk.executor.params, "levels": 1})
        await desk.advice.use(START + 21 * CYCLE, desk.executor, 12_000_000)
        assert desk.advice.rollout.params["levels"] == 1

    asyncio.run(scenario())
