"""Who may sit in the executor's chair."""

from dataclasses import replace

import numpy as np
import pytest

from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.seating import (
    EXAMINATIONS,
    FAILED,
    LEAST_CYCLES,
    PASSED,
    UNDECIDED,
    Examination,
    Report,
    added,
    doubts,
    fingerprint,
    may_be_seated,
    reports,
)


def policy(header=None, weight=0.5):
    network = Network((np.full((12, 8), weight, np.float32),), (np.zeros(12, np.float32),))
    return Policy(Spaces(8, 3, (4, 5)), (network,), header=header or {"environment": {"levels": 3}})


def report(one, tape="a", cycles=LEAST_CYCLES, train_leak=False, **verdicts) -> Report:
    """With all examinations passed but those given; ``None`` leaves one out."""
    told = {name: verdicts.get(name, PASSED) for name in EXAMINATIONS}
    results = [Examination(name, verdict, "a rule") for name, verdict in told.items() if verdict is not None]
    tapes = [{"source": f"market {tape}", "rows": 9, "sha256": tape * 64}]
    return Report(fingerprint(one), tapes, [0.0, 10.0], cycles, train_leak, results, "2026-01-02")


def with_reports(one, *made: Report):
    """The policy's file after examinations in that order."""
    for each in made:
        one = replace(one, header={**one.header, "examinations": added(each, one)})
    return one


def examined(one, **verdicts):
    return with_reports(one, report(one, **verdicts))


def test_a_policy_that_passed_everything_may_be_seated():
    assert may_be_seated(examined(policy())) == []
    assert doubts(examined(policy())) == []


def test_one_that_was_never_examined_may_not():
    (reason,) = may_be_seated(policy())
    assert "never examined" in reason


@pytest.mark.parametrize("name", EXAMINATIONS)
def test_one_failed_or_missing_examination_is_a_reason_against(name):
    (reason,) = may_be_seated(examined(policy(), **{name: FAILED}))
    assert reason == f"it failed '{name}' in report 1 of 1 (2026-01-02, market a)"
    assert may_be_seated(examined(policy(), **{name: None})) == [f"the examination {name!r} was not made"]


def test_no_result_is_a_reason_only_where_a_profit_could_be_the_simulations_mistake():
    for name in EXAMINATIONS:
        one = examined(policy(), **{name: UNDECIDED})
        against = name in ("leak", "fair_game")
        assert bool(may_be_seated(one)) == against
        assert bool(doubts(one)) != against


def test_a_failure_is_not_undone_by_passing_on_other_tapes():
    mine = policy()
    one = with_reports(mine, report(mine, "a", fees=FAILED), report(mine, "b"), report(mine, "c"))
    assert may_be_seated(one) == ["it failed 'fees' in report 1 of 3 (2026-01-02, market a)"]
    again = with_reports(one, report(mine, "a"))  # on the same tape it can be
    assert may_be_seated(again) == []
    assert [each.where for each in reports(again)] == [f"2026-01-02, market {tape}" for tape in "bca"]


def test_a_report_that_asked_more_stays_beside_one_of_the_same_tapes_that_asked_less():
    mine = policy()
    one = with_reports(mine, report(mine, train_leak=True, leak=FAILED), report(mine))
    assert len(reports(one)) == 2
    assert may_be_seated(one)
    assert may_be_seated(with_reports(one, report(mine, train_leak=True))) == []


def test_what_is_needed_has_to_be_passed_in_one_report_of_enough_cycles():
    mine = policy()
    assert may_be_seated(with_reports(mine, report(mine, leak=UNDECIDED), report(mine, "b"))) == []
    short = report(mine, "b", cycles=LEAST_CYCLES - 1)
    (reason,) = may_be_seated(with_reports(mine, short))
    assert "examined on 999 cycles" in reason and "at least 1,000" in reason
    (reason,) = may_be_seated(with_reports(mine, report(mine, leak=UNDECIDED), short))
    assert reason == "the examination 'leak' came to no result"


def test_another_file_of_the_same_policy_keeps_its_reports_and_one_of_another_policy_does_not():
    mine, other = policy(), policy(weight=0.6)
    there = with_reports(mine, report(mine, fees=FAILED))
    foreign = with_reports(other, report(other))
    kept = replace(mine, header={**mine.header, "examinations": added(report(mine, "b"), mine, there, foreign)})
    assert len(kept.header["examinations"]) == 2
    assert any("failed 'fees'" in reason for reason in may_be_seated(kept))


@pytest.mark.parametrize(
    "told",
    [
        [{"name": "leak", "verdict": "passed", "rule": "a rule", "figures": {}}],
        [{**report(policy()).to_json(), "tapes": []}],
        [{**report(policy()).to_json(), "cycles": "many"}],
        [{**report(policy()).to_json(), "results": [{"name": "leak", "verdict": "fine", "rule": ""}]}],
        ["passed"],
    ],
)
def test_reports_of_another_form_count_for_nothing(told):
    one = policy({"environment": {"levels": 3}, "examinations": told})
    (reason,) = may_be_seated(one)
    assert "examine it again" in reason
    assert doubts(one) == []
    assert may_be_seated(with_reports(one, report(one))) == []


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
