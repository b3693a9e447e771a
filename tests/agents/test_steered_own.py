"""A strategy of the user's own under a learned policy: learned, backtested, judged and seated like `shaped`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_executor_seat import policy
from tests.agents.test_learning_environment import SETTINGS
from tests.engine.example import market
from tidewright.agents.executor import seat_fit
from tidewright.agents.executor.environment_tape import HOLD, TapeSettings
from tidewright.agents.executor.evaluation import evaluate
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy_run import run_policy
from tidewright.agents.executor.seat import Sitter
from tidewright.cli.learning import steered, steered_words
from tidewright.engine.backtest import backtest
from tidewright.market.errors import UsageError
from tidewright.strategies import registry
from tidewright.trading.chair import tuned_space

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = str(EXAMPLES / "steered_maker.py")


@pytest.fixture
def trading() -> TapeSettings:
    return replace(SETTINGS, decisions=20, **steered(FILE, ["calm_bps=0.8"]))


def test_a_policy_that_shapes_nothing_leaves_the_strategy_as_it_is(trading):
    tape, trading = market(), replace(trading, warm_up=0)
    neutral = Evolution([tape], trading, EvolutionSettings(1, 4, 1, hidden=4)).policy()
    neutral = replace(neutral, header={"environment": trading.to_json()})
    result, ran = run_policy(tape, neutral, record_equity=True)
    assert (np.array([action[1] for action in ran.actions]) == [trading.levels, HOLD]).all()
    sizes = dict(zip(("base_quantity", "max_position"), ran.sizes, strict=True))
    params = {**trading.rule, **sizes, "levels": trading.levels}
    plain = backtest(tape, FILE, params, record_equity=True, **trading.terms)
    assert result.statistics["n_fills"][0] > 20
    assert result.equity_values.tobytes() == plain.equity_values.tobytes()


def test_it_learns_to_steer_it_and_sits_in_a_session_of_it_and_of_no_other(trading, tmp_path):
    made = evolve(Evolution([market()], trading, EvolutionSettings(2, 4, 1, hidden=4)))
    made = replace(made, header={**made.header, "environment": trading.to_json(), "version": "0.0.0"})
    made.save(tmp_path / "own.tw")
    sitter = Sitter.load(tmp_path / "own.tw")
    assert sitter.settings == trading
    assert seat_fit.mismatches(sitter, sitter.strategy, trading.cycle_ns) == []
    assert "the session's is shaped" in seat_fit.mismatches(sitter, "shaped", trading.cycle_ns)[0]
    rows = evaluate(market(), made, [0.0]).rows
    assert [row.who for row in rows] == ["policy", "steered_maker.py:steered_maker"]


def test_a_session_lets_the_optimizer_tune_what_is_searched_and_leaves_the_shape_to_the_policy():
    space = tuned_space(registry.strategy(FILE).name)
    assert set(space) == {"calm_bps", "per_volatility"}
    assert space["calm_bps"] == {"low": 0.1, "high": 10.0, "kind": "log"}


def test_with_other_parameters_of_a_session_it_is_the_same_policy(trading):
    changed = trading.with_rule({"calm_bps": 2.0, "spread": 3.0, "base_quantity": 1.0})
    assert changed == replace(trading, own={"calm_bps": 2.0})
    assert TapeSettings.from_json(changed.to_json()) == changed
    assert SETTINGS.with_rule({"gamma": 0.5, "calm_bps": 2.0}) == replace(SETTINGS, gamma=0.5)


def test_a_strategy_without_the_shape_is_refused_with_what_would_do():
    with pytest.raises(UsageError, match=r"imbalance_maker cannot be steered .* must begin with tw\.SHAPE"):
        TapeSettings(strategy=str(EXAMPLES / "imbalance_maker.py"))
    with pytest.raises(UsageError, match="grid cannot be steered"):
        TapeSettings(strategy="grid")


def test_another_version_of_the_file_than_the_one_learned_with_is_refused(trading):
    told = policy(trading).header["environment"]
    with pytest.raises(UsageError, match="another version than the one that the policy learned to steer"):
        TapeSettings.from_json({**told, "digest": "0" * 40})


def test_a_parameter_that_it_does_not_have_or_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"one of calm_bps, per_volatility, was 'gamma=1'"):
        steered(FILE, ["gamma=1"])
    with pytest.raises(UsageError, match=r"calm_bps must be in \[0.01, 100\]"):
        steered(FILE, ["calm_bps=1000"])
    assert steered("shaped", ["gamma=1"]) == {"gamma": 1.0}
    assert steered_words(FILE, ["calm_bps=2"]) == ["--strategy", FILE, "--set", "calm_bps=2"]
