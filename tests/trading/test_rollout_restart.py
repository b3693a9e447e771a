"""A session killed in the middle of a canary goes on with it: stage, small size and evidence are in its database."""

import pytest

from tests.trading.fake_session import CYCLE, GRID, START, Stage
from tests.trading.test_advice import FakeLine
from tidewright.coordination.messages import message
from tidewright.coordination.process import Delivery
from tidewright.store import schema
from tidewright.trading.advice import EXECUTOR, OPTIMIZER, Advice
from tidewright.trading.settings import AdviceSettings

SETTINGS = AdviceSettings(epoch_ns=10 * CYCLE, answer_cycles=2, timeout_s=5.0)
BETTER = {**GRID, "spread_percentage": 0.4}


class Scripted(FakeLine):
    """An optimizer that proposes once and then judges the shadows as the test says."""

    def __init__(self, differences: float) -> None:
        super().__init__()
        self.differences, self.proposed = differences, False

    async def send(self, item) -> None:
        await super().send(item)
        if item.message_type != "optimize_request":
            return
        at, asked = item.timestamp_ns, item.data
        reply = {"in_reply_to": asked.request_id}
        if asked.shadow is not None:
            cycles = (at - asked.shadow.from_ns) // CYCLE
            reply["shadow"] = {
                "proposal_id": asked.shadow.proposal_id,
                "from_ns": asked.shadow.from_ns,
                "until_ns": at,
                "cycles": cycles,
                "block": asked.shadow.block,
                "differences": [self.differences * (1.0 + 0.01 * k) for k in range(cycles // asked.shadow.block)],
            }
        if asked.shadow is None and not self.proposed:
            self.proposed = True
            metrics = {"sqn_score": 1.0, "sharpe_ratio": 1.0, "max_drawdown": 0.0}
            more = {"optimized_params": BETTER, "performance_metrics": metrics, "confidence_score": 0.9}
            data = {**more, "strategy": "grid", "proposal_id": "p-1", **reply}
            answer = message("parameter_update", at, OPTIMIZER, EXECUTOR, data)
        else:
            answer = message("status", at, OPTIMIZER, EXECUTOR, {"state": "no_proposal", "reason": "no", **reply})
        self.answers.put_nowait(Delivery(answer))


def staged(tmp_path, cycles: int, line: Scripted, on_release=lambda stage, number: None) -> Stage:
    stage = Stage(tmp_path, cycles=cycles, on_release=on_release, advice=SETTINGS)

    async def connect(instrument, registration, note, clock):
        return Advice(line, stage.session._settings, instrument, registration, "/tape", note)

    stage.session._parts.advice = connect
    return stage


class Killed(BaseException):
    pass


def killed_in_the_canary(tmp_path) -> Stage:
    def die(stage, number):
        if number == 16:
            raise Killed

    first = staged(tmp_path, 100, Scripted(1.0), die)
    with pytest.raises(Killed):
        first.run()
    assert first.session.now.params == {**BETTER, "base_quantity": 0.00025}
    first.database.close()
    return first


def resumed(tmp_path, first: Stage, line: Scripted) -> Stage:
    second = staged(tmp_path, 120, line)
    second.venue = first.venue
    second.session._parts.venue = first.venue
    first.venue.events.clear()
    second.run()
    return second


def decisions(stage: Stage) -> list[str]:
    rows = stage.database.rows(schema.messages, "s")
    return [row["verdict"] for row in rows if row["message_type"] == "decision"]


def test_a_killed_canary_goes_on_small_and_is_used_fully_when_its_time_is_over(tmp_path):
    first = killed_in_the_canary(tmp_path)
    second = resumed(tmp_path, first, Scripted(1.0))
    assert decisions(second) == ["canary", "full"]
    assert second.session.now.params == BETTER
    state = second.session.now.rollout_state
    assert state["counts"] == {"canary": 1, "full": 1, "rolled_back": 0}
    sizes = {row["qty_lots"] for row in second.database.rows(schema.orders, "s")}
    assert sizes == {100, 25}
    row = second.database.rows(schema.messages, "s")[-1]
    assert row["ts"] > START


def test_a_killed_canary_is_rolled_back_after_the_restart_when_it_harms(tmp_path):
    first = killed_in_the_canary(tmp_path)
    second = resumed(tmp_path, first, Scripted(-5.0))
    assert decisions(second) == ["canary", "full", "rolled_back"] or decisions(second) == ["canary", "rolled_back"]
    assert second.session.now.params == GRID
    causes = [row["why"] for row in second.database.rows(schema.messages, "s") if row["verdict"] == "rolled_back"]
    assert "e-value" in causes[0]


def test_without_an_optimizer_a_killed_canary_goes_back_to_the_old_parameters(tmp_path):
    first = killed_in_the_canary(tmp_path)
    second = Stage(tmp_path, cycles=20)
    second.venue = first.venue
    second.session._parts.venue = first.venue
    first.venue.events.clear()
    session = second.run()
    assert session.now.params == GRID
