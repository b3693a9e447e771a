"""Who may sit in the executor's chair."""

from dataclasses import replace

import numpy as np
import pytest

from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.seating import (
    EXAMINATIONS,
    FAILED,
    PASSED,
    UNDECIDED,
    Examination,
    doubts,
    fingerprint,
    may_be_seated,
)


def policy(header=None, weight=0.5):
    network = Network((np.full((12, 8), weight, np.float32),), (np.zeros(12, np.float32),))
    return Policy(Spaces(8, 3, (4, 5)), (network,), header=header or {"environment": {"levels": 3}})


def examined(one, **verdicts):
    """With all examinations passed but those given; ``None`` leaves one out."""
    found = [Examination(name, verdicts.get(name, PASSED), "a rule") for name in EXAMINATIONS]
    kept = [each.to_json() for each in found if each.verdict is not None]
    return replace(one, header={**one.header, "examinations": kept, "examined": {"policy": fingerprint(one)}})


def test_a_policy_that_passed_everything_may_be_seated():
    assert may_be_seated(examined(policy())) == []
    assert doubts(examined(policy())) == []


def test_one_that_was_never_examined_may_not():
    (reason,) = may_be_seated(policy())
    assert "never examined" in reason


@pytest.mark.parametrize("name", EXAMINATIONS)
def test_one_failed_or_missing_examination_is_a_reason_against(name):
    assert may_be_seated(examined(policy(), **{name: FAILED})) == [f"it failed the examination {name!r}"]
    assert may_be_seated(examined(policy(), **{name: None})) == [f"the examination {name!r} was not made"]


def test_no_result_is_a_reason_only_where_a_profit_could_be_the_simulations_mistake():
    for name in EXAMINATIONS:
        one = examined(policy(), **{name: UNDECIDED})
        against = name in ("leak", "fair_game")
        assert bool(may_be_seated(one)) == against
        assert bool(doubts(one)) != against


def test_results_do_not_stay_with_other_weights_or_settings(tmp_path):
    one = examined(policy())
    for other in (
        replace(policy(weight=0.6), header=one.header),
        replace(one, header={**one.header, "environment": {"levels": 4}}),
        replace(one, activation="tanh"),
    ):
        (reason,) = may_be_seated(other)
        assert "not those that were examined" in reason
    one.save(tmp_path / "one.tw")
    assert may_be_seated(Policy.load(tmp_path / "one.tw")) == []
