import numpy as np
import pytest

from tidewright.agents.comparison.cycles import run_of
from tidewright.agents.comparison.rollout import Switching, traded
from tidewright.agents.executor.canary import CanaryRules, Rollout
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.windows import Window
from tidewright.cli.seat_option import shipped
from tidewright.engine.sweep import Threads
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize

CYCLE = 10 * SECOND
RULES = CanaryRules(cycles=60, block=5)
SIZES = {"base_quantity": 0.0004, "max_position": 0.004}
WIDE = complete("grid", {"spread_percentage": 1.0, "levels": 2, **SIZES})
NARROW = complete("grid", {"spread_percentage": 0.002, "levels": 3, **SIZES})  # at 10 bp a fill it loses and loses


@pytest.fixture(scope="module")
def tape():
    return synthesize(None, hours=1.5, seed=4)


@pytest.fixture(scope="module")
def window(tape):
    start = tape.start_ns + 10 * MINUTE
    return Window(start, start + 70 * MINUTE)


@pytest.fixture
def judge_of(tape, window):
    fee = 100_000
    settings = Settings(CYCLE, entry_ns=50_000_000, response_ns=50_000_000, maker_fee=fee, taker_fee=fee)

    def under(runner, strategy="grid"):
        return ShadowJudge(tape, len(tape), strategy, settings, window.start_ns, runner=runner)

    return under


def begun(params=NARROW, previous=WIDE) -> Rollout:
    rollout = Rollout(RULES, CYCLE, previous)
    rollout.accept(1, "p", params, 1, 0.0)
    return rollout


def equal(one, other) -> bool:
    return one.increments.tobytes() == other.increments.tobytes() and one.statistics == other.statistics


def test_a_lane_that_switches_to_what_it_has_is_the_plain_lane_to_the_byte(tape, judge_of, window):
    plain = run_of(judge_of(Threads(1)), window, NARROW, tape.instrument)
    later = window.start_ns + 100 * CYCLE
    assert equal(
        plain, run_of(judge_of(Switching([(window.start_ns, NARROW), (later, NARROW)])), window, WIDE, tape.instrument)
    )


def test_new_parameters_trade_from_the_first_decision_after_their_time(tape, judge_of, window):
    steps = [(window.start_ns, NARROW), (window.start_ns + 100 * CYCLE, WIDE)]
    one = run_of(judge_of(Switching(steps)), window, NARROW, tape.instrument)
    before, after = (run_of(judge_of(None), window, params, tape.instrument) for params in (NARROW, WIDE))
    assert one.increments[:101].tobytes() == before.increments[:101].tobytes()
    assert one.statistics["n_fills"] < before.statistics["n_fills"]
    assert one.statistics["n_fills"] > after.statistics["n_fills"]


def test_a_policy_steers_while_parameters_switch(tape, judge_of, window):
    policy = Policy.load(shipped())
    lanes = SteeredLanes(policy, settings_of(policy))
    params = complete("shaped", {"gamma": 1e-3, "kappa": 1.0, **SIZES})

    def judge(runner):
        return judge_of(runner, "shaped")

    plain = run_of(judge(lanes), window, params, tape.instrument)
    same = Switching([(window.start_ns, params), (window.start_ns + 50 * CYCLE, params)], lanes)
    nothing = [(window.start_ns, params), (window.start_ns + 50 * CYCLE, {**params, "base_quantity": 0.0})]
    assert equal(plain, run_of(judge(same), window, params, tape.instrument))
    assert (
        run_of(judge(Switching(nothing, lanes)), window, params, tape.instrument).statistics["n_fills"]
        < plain.statistics["n_fills"]
    )


def test_what_loses_is_rolled_back_and_costs_a_part(tape, judge_of, window):
    rollout = begun()
    found = traded(judge_of, window, rollout, tape.instrument, 60_000.0, CYCLE, None)
    full, old = (run_of(judge_of(None), window, params, tape.instrument) for params in (NARROW, WIDE))
    assert rollout.counts["rolled_back"] == 1
    assert rollout.params == WIDE
    assert full.profit < found.profit < old.profit
    assert found.profit > 0.5 * full.profit


def test_what_is_no_worse_is_used_fully_after_its_trial(tape, judge_of, window):
    rollout = begun(WIDE, NARROW)
    found = traded(judge_of, window, rollout, tape.instrument, 60_000.0, CYCLE, None)
    assert (rollout.stage, rollout.counts["rolled_back"]) == ("full", 0)
    small = {**WIDE, "base_quantity": 0.0001}
    canary = run_of(judge_of(None), window, small, tape.instrument)
    assert found.increments[:61].tobytes() == canary.increments[:61].tobytes()


def test_the_rest_of_the_window_changes_nothing_before(tape, judge_of, window):
    """Steps follow from what had happened by then."""
    half = Window(window.start_ns, window.start_ns + 250 * CYCLE)
    whole, part = (traded(judge_of, w, begun(), tape.instrument, 60_000.0, CYCLE, None) for w in (window, half))
    assert whole.increments[:240].tobytes() == part.increments[:240].tobytes()


def test_only_one_lane_switches(judge_of, window):
    with pytest.raises(UsageError, match="one lane"):
        columns = {name: np.array([value, value]) for name, value in WIDE.items()}
        judge_of(Switching([(window.start_ns, WIDE)])).evaluate(window, columns, 2)
