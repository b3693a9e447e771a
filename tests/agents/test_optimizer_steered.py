"""Shadow lanes under a policy, and a challenger beside who sits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_executor_seat import policy
from tests.agents.test_learning_environment import CYCLE, LATENCY, SETTINGS
from tests.engine.example import market
from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.policy_run import run_policy
from tidewright.agents.executor.seat import STRATEGY, Sitter
from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.coordination.messages import OptimizeRequestMessage, message
from tidewright.engine.config import ReplayConfig
from tidewright.engine.sweep import Job, Rows, Threads
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape_writer import TapeWriter

CANDIDATES = {"kappa": np.array([0.5, 1.0, 2.0]), "gamma": np.array([0.01, 0.02, 0.01])}


def neutral() -> Policy:
    """Does what the base rule does, whatever it sees."""
    bias = np.zeros(3 + 4 + 5, np.float32)
    bias[3 + 3] = bias[3 + 4 + 2] = 1.0
    return Policy(Spaces(8, 3, (4, 5)), (Network((np.zeros((12, 8), np.float32),), (bias,)),), 1, "relu", {})


def job(lanes: int, params: dict) -> tuple[Rows, Job]:
    tape = market()
    start = int(tape.data.ts[0])
    config = ReplayConfig(start, CYCLE, LATENCY, LATENCY, limits=SETTINGS.limits, record_equity=1)
    until = start + 60 * CYCLE
    stop = int(np.searchsorted(tape.data.ts, until, side="right"))
    return Rows(tape.data.rows(0, stop)), Job(
        tape.instrument, config, STRATEGY, params, lanes, quote_units=10**12, until_ns=until
    )


def test_a_neutral_policy_gives_the_bytes_of_the_lanes_it_steers():
    params = {**CANDIDATES, "levels": 3, "base_quantity": 0.0002, "max_position": 0.0008}
    rows, work = job(3, params)
    steered = SteeredLanes(neutral(), SETTINGS).run(rows, work)
    plain = Threads(1).run(rows, work)
    assert plain.statistics["n_fills"].min() > 0
    assert {name: column.tobytes() for name, column in steered.statistics.items()} == {
        name: column.tobytes() for name, column in plain.statistics.items()
    }
    assert steered.equity.tobytes() == plain.equity.tobytes()


def test_each_lane_is_steered_by_what_it_sees_itself():
    params = {**CANDIDATES, "levels": 3, "base_quantity": 0.0002, "max_position": 0.0008}
    rows, work = job(3, params)
    together = SteeredLanes(policy(), SETTINGS).run(rows, work)
    for lane in range(3):
        alone = {name: value[lane : lane + 1] for name, value in CANDIDATES.items()}
        rows, single = job(1, {**params, **alone})
        found = SteeredLanes(policy(), SETTINGS).run(rows, single)
        assert found.equity[:, 0].tobytes() == together.equity[:, lane].tobytes()
    assert len({together.equity[-1, lane] for lane in range(3)}) == 3


def test_a_lane_without_a_quantity_quotes_nothing_whatever_the_policy_wants():
    rows, work = job(2, {"base_quantity": np.array([0.0, 0.0002]), "max_position": 0.0008, "kappa": 1.0})
    statistics = SteeredLanes(policy(), SETTINGS).run(rows, work).statistics
    assert statistics["n_orders"][0] == 0
    assert statistics["n_orders"][1] > 0


def test_a_policy_steers_shaped_only():
    rows, work = job(1, {"base_quantity": 0.0002, "max_position": 0.0008})
    with pytest.raises(UsageError, match="steers the strategy shaped"):
        SteeredLanes(policy(), SETTINGS).run(rows, replace(work, strategy="grid"))


# -- the agent ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    tape = market()
    with TapeWriter(folder / "t", tape.instrument) as writer:
        writer.append(tape.data)
    return folder


def reference(path: Path, made: Policy) -> dict[str, str]:
    made.save(path)
    return Sitter.load(path).reference()


def request(recorded: Path, until: int, **more) -> OptimizeRequestMessage:
    tape = market()
    start = int(tape.data.ts[0])
    data = {
        "tape": str(recorded / "t"),
        "rows": len(tape.data.ts),
        "from_ns": start,
        "until_ns": start + until * CYCLE,
        "strategy": STRATEGY,
        "incumbent": {"kappa": 1.0, "gamma": 0.01, "levels": 3, "base_quantity": 0.0002, "max_position": 0.0008},
        "latency": {"feed_ns": 0, "entry_ns": LATENCY, "response_ns": LATENCY},
        "equity": "10000",
        "cycle_ns": CYCLE,
        "epoch_ns": 20 * CYCLE,
        "candidates": 8,
        "generations": 1,
        "space": {"kappa": {"low": 0.3, "high": 3.0, "kind": "log"}},
        **more,
    }
    item = message("optimize_request", start + until * CYCLE, "executor", "optimizer", data)
    assert isinstance(item, OptimizeRequestMessage)
    return item


def asked(start: int, seen: int, challenger: dict, seated: dict) -> dict:
    return {
        "challenge_id": "c-1",
        "challenger": challenger,
        "seated": seated,
        "from_ns": start,
        "seen_ns": start + seen * CYCLE,
        "block": 5,
    }


def told(optimizer: Optimizer, item: OptimizeRequestMessage) -> dict:
    found = optimizer.answer(item).data.challenge
    assert found is not None, optimizer.answer(item).data
    return found.model_dump()


def test_a_challenge_is_told_in_whole_blocks_that_add_up_to_the_difference(recorded, tmp_path):
    start = int(market().data.ts[0])
    one, two = (reference(tmp_path / f"{seed}.tw", policy(seed=seed)) for seed in (3, 4))
    optimizer = Optimizer()
    early = told(optimizer, request(recorded, 93, challenge=asked(start, 0, one, two)))
    late = told(optimizer, request(recorded, 141, challenge=asked(start, 90, one, two)))
    whole = told(Optimizer(), request(recorded, 141, challenge=asked(start, 0, one, two)))
    assert (early["cycles"], late["cycles"], whole["cycles"]) == (90, 50, 140)
    assert len(early["differences"]) == 18
    assert early["differences"] + late["differences"] == pytest.approx(whole["differences"])
    assert sum(map(abs, whole["differences"])) > 0.0


def test_who_challenges_himself_differs_by_nothing(recorded, tmp_path):
    start = int(market().data.ts[0])
    one = reference(tmp_path / "p.tw", policy())
    found = told(Optimizer(), request(recorded, 80, policy=one, challenge=asked(start, 0, one, one)))
    assert found["differences"] == [0.0] * 16


def test_the_neutral_policy_differs_from_the_base_rule_by_nothing(recorded, tmp_path):
    start = int(market().data.ts[0])
    made = neutral()
    kept = Policy(made.spaces, made.members, 1, "relu", {"environment": SETTINGS.to_json()})
    one, base = reference(tmp_path / "n.tw", kept), Sitter().reference()
    found = told(Optimizer(), request(recorded, 80, challenge=asked(start, 0, one, base)))
    assert found["differences"] == [0.0] * 16


def test_candidates_are_judged_under_the_policy_that_sits(recorded, tmp_path):
    one = reference(tmp_path / "p.tw", policy())
    steered, plain = (Optimizer().answer(request(recorded, 100, **more)) for more in ({"policy": one}, {}))
    figures = [item.data.model_dump()["in_sample"]["incumbent"]["fills"] for item in (steered, plain)]
    assert figures[0] != figures[1]


def test_a_policy_that_is_gone_or_another_one_is_an_error_that_says_so(recorded, tmp_path):
    one = reference(tmp_path / "p.tw", policy())
    policy(seed=8).save(tmp_path / "p.tw")
    answer = Optimizer().answer(request(recorded, 100, policy=one))
    assert answer.data.state == "error"
    assert "is another one" in answer.data.reason
    (tmp_path / "p.tw").unlink()
    assert "there is no policy" in Optimizer().answer(request(recorded, 100, policy=one)).data.reason
    with pytest.raises(DataError):
        request(recorded, 100, policy={**one, "sha256": "12"})


def test_the_policy_of_a_backtest_does_the_same_in_a_shadow_lane():
    """Without a warm-up, over the same events: one lane of the engine either way."""
    made = policy()
    settings = replace(SETTINGS, warm_up=0)
    kept = Policy(made.spaces, made.members, 1, "relu", {"environment": settings.to_json()})
    result, steered = run_policy(market(), kept, record_equity=True)
    quantity, largest = steered.sizes
    params = {name: getattr(settings, name) for name in ("base_rule", "gamma", "kappa", "intensity", "horizon_s")}
    rows, work = job(1, {**params, "base_quantity": quantity, "max_position": largest})
    work = replace(work, quote_units=round(settings.capital * 1e8))
    shadow = SteeredLanes(kept, settings).run(rows, work)
    assert result.equity_values is not None
    both = min(len(shadow.equity), len(result.equity_values)) - 1
    assert both > 50
    assert shadow.equity[:both, 0] == pytest.approx(result.equity_values[:both, 0], abs=1e-9)
