"""The optimizer for several agents on one account: who is asked when, whose parameters change, and after a kill."""

import asyncio
from dataclasses import replace

import pytest

from tests.trading.fake_session import CYCLE, START
from tests.trading.fake_venue import INSTRUMENT
from tests.trading.test_several import AGENTS, Killed, closed, market, stage  # noqa: F401
from tidewright.agents.executor.canary import CanaryRules
from tidewright.coordination.messages import message
from tidewright.coordination.process import Delivery
from tidewright.interface.session_report import load_session
from tidewright.market.errors import UsageError
from tidewright.measure import charts
from tidewright.store import schema
from tidewright.trading.advice import OPTIMIZER, Advice, Before, Inbox
from tidewright.trading.cycles import Registration
from tidewright.trading.settings import AdviceSettings, AgentSettings, SessionSettings, StrategyAgent
from tidewright.trading.team_advice import TeamAdvice

CANARY = CanaryRules(fraction=0.5, cycles=4, block=1, blind_cycles=100)
ADVICE = AdviceSettings(epoch_ns=12 * CYCLE, answer_cycles=2, threshold=0.6, timeout_s=0.2, canary=CANARY)


class Optimizer:
    """Proposes a wider spread to whom it is told to, nothing to the others, and judges canaries as it is told."""

    def __init__(self, confidence, target=lambda asked: asked, harm=0.0):
        self.confidence, self.target, self.harm = confidence, target, harm
        self.asked, self.decided, self.answers = [], [], asyncio.Queue()

    async def send(self, item):
        if item.message_type != "optimize_request":
            self.decided.append((item.source_agent, item.data.stage))
            return
        name, data = item.source_agent, item.data
        self.asked.append((name, (item.timestamp_ns - START) // CYCLE, data))
        more = {}
        if data.shadow is not None:
            blocks = [-self.harm if self.harm else 0.1] * 12
            told = {"proposal_id": data.shadow.proposal_id, "from_ns": data.shadow.from_ns, "until_ns": data.until_ns}
            more["shadow"] = {**told, "cycles": 12, "block": 1, "differences": blocks}
        content = {"state": "no_proposal", "reason": "nothing better", "in_reply_to": data.request_id, **more}
        kind = "status"
        if self.confidence.get(name) is not None and data.shadow is None:
            kind = "parameter_update"
            content = {
                "optimized_params": {**data.incumbent.values(), "levels": 2, "spread_percentage": 0.8},
                "performance_metrics": {"sqn_score": 1.0, "sharpe_ratio": 1.0, "max_drawdown": 0.0},
                "confidence_score": self.confidence[name], "strategy": data.strategy,
                "in_reply_to": data.request_id, "proposal_id": f"p-{item.timestamp_ns}", **more,
            }  # fmt: skip
        self.answers.put_nowait(Delivery(message(kind, item.timestamp_ns, OPTIMIZER, self.target(name), content)))

    async def receive(self, timeout_s=None):
        return await self.answers.get()


def advised(folder, cycles, optimizer, on_release=None):
    made = stage(folder, cycles, on_release or market(3))
    parts = made.session._parts
    settings = SessionSettings(agents=AgentSettings(strategies=AGENTS), advice=ADVICE, limits=parts.settings.limits)

    async def maker(instrument, registration, note, clock):
        registration = Registration(START, 0, None, 0, 0, 0)
        told = (optimizer, settings, INSTRUMENT, registration, "/tape", note)
        inbox = Inbox(optimizer)
        return TeamAdvice({name: Advice(*told, name, inbox) for name in AGENTS}, ADVICE, CYCLE)

    parts.advice = maker
    made.session._settings = parts.settings = replace(parts.settings, advice=ADVICE)
    return made


def test_each_agent_is_asked_in_turn_and_only_its_own_parameters_change(tmp_path):
    optimizer = Optimizer({"grid": 0.9, "wide": 0.3, "glft": None})
    session = advised(tmp_path, 30, optimizer).run()
    assert [(name, at) for name, at, _ in optimizer.asked[:4]] == [("wide", 4), ("glft", 8), ("grid", 12), ("wide", 16)]
    whole = optimizer.asked[0][2].incumbent.values()
    assert whole["base_quantity"] == 0.01, "as it would trade the whole capital, whatever its share"
    params = session._desk.params
    assert params["grid.spread_percentage"] == 0.8
    assert (params["wide.spread_percentage"], params["glft.base_quantity"]) == (0.4, 0.01)
    assert ("grid", "canary") in optimizer.decided and ("grid", "full") in optimizer.decided
    assert {stage for name, stage in optimizer.decided if name == "wide"} == {"refused"}
    now = session.now
    assert (now.accepted, now.proposals) == (1, 1 + now.refused)
    told = load_session(tmp_path / "session.db")
    earned = {one.name: float(one.gain[-1]) for one in told.agents}
    assert earned == pytest.approx({agent.name: agent.gain_units / 1e8 for agent in now.agents})
    lines = charts.agents_chart(told, "capital")
    assert lines is not None and [line["name"] for line in lines["data"]] == sorted(AGENTS)
    assert any(proposal.why.startswith("wide: ") for proposal in told.proposals)
    assert now.rollout_state["grid"]["stage"] == "full" and now.rollout_state["wide"]["stage"] == "steady"


def test_an_agent_whose_epoch_began_in_a_beat_that_was_left_out_is_asked_about_later(tmp_path):
    settings = SessionSettings(agents=AgentSettings(strategies=AGENTS), advice=ADVICE)
    told = (Optimizer({}), settings, INSTRUMENT, Registration(START, 0, None, 0, 0, 0), "/tape", lambda **row: None)
    advices = {name: Advice(*told, name) for name in AGENTS}  # grid at 0, wide at 4, glft at 8 of 12 cycles
    team = TeamAdvice(advices, ADVICE, CYCLE)
    team.resume(Before(asked={"grid": START, "wide": START + 5 * CYCLE, "glft": START - 4 * CYCLE}))
    assert not team.due(START + 7 * CYCLE, START)
    assert team.due(START + 9 * CYCLE, START) and team._turn == ["glft"]
    assert team.due(START + 13 * CYCLE, START) and team._turn == ["glft", "grid"]


def test_a_canary_of_one_agent_trades_small_and_goes_back_alone(tmp_path):
    sizes = []

    def looks(made, number):
        market(3)(made, number)
        sizes.append(dict(made.session._desk.params))

    optimizer = Optimizer({"wide": 0.9}, harm=5.0)
    session = advised(tmp_path, 40, optimizer, looks).run()
    assert min(each["wide.base_quantity"] for each in sizes) < 0.01
    assert {each["grid.base_quantity"] for each in sizes} == {0.01}
    assert session._desk.params["wide.spread_percentage"] in (0.4, 0.8)
    assert ("wide", "rolled_back") in optimizer.decided


def test_an_answer_for_another_agent_changes_nobody(tmp_path):
    optimizer = Optimizer({"grid": 0.9}, target=lambda asked: "wide")
    made = advised(tmp_path, 16, optimizer)
    session = made.run()
    assert session._desk.params["grid.spread_percentage"] == 0.2
    assert session._desk.params["wide.spread_percentage"] == 0.4
    rows = [row for row in made.database.rows(schema.messages, "s") if row["verdict"] == "refused"]
    assert any("it is for wide, grid has asked" in row["why"] for row in rows), "as a late answer to another is"


def test_the_stage_of_each_agents_parameters_is_found_again_after_a_kill(tmp_path):
    def mortal(made, number):
        market(number)(made, number)
        if number == 9:
            raise Killed

    first = advised(tmp_path, 100, Optimizer({"wide": 0.9}), mortal)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    second = advised(tmp_path, 14, Optimizer({}), market(1))
    second.venue = second.session._parts.venue = first.venue
    second.cycles._at, second.feed.begins = 9, second.at(9) - 10
    first.venue.events.clear()
    session = second.run()
    assert session.now.rollout_state["wide"]["stage"] in ("canary", "full")
    assert session._advice.aim(session._desk)["wide.spread_percentage"] == 0.8
    assert session._desk.params["grid.spread_percentage"] == 0.2
    assert session.now.accepted == 1


def test_settings_say_what_the_optimizer_can_do_for_several():
    agents = AgentSettings(strategies=AGENTS)
    with pytest.raises(UsageError, match="3 agents are asked about in turn"):
        SessionSettings(agents=agents, advice=AdviceSettings(epoch_ns=12 * CYCLE, answer_cycles=5))
    steered = {name: StrategyAgent("shaped", {}, "some.tw") for name in ("a", "b")}
    with pytest.raises(UsageError, match="switch it off"):
        SessionSettings(agents=AgentSettings(strategies=steered))
    with pytest.raises(UsageError, match="others have these names"):
        AgentSettings(strategies={"optimizer": AGENTS["grid"], "grid": AGENTS["grid"]})
