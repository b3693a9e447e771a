"""A challenger from the shadow to the seat, and back."""

from dataclasses import replace

import numpy as np
import pytest

from tidewright.agents.executor.canary import CanaryRules, Comparison
from tidewright.agents.executor.challenge import Challenge, ChallengeRules, comparison_of, step_of
from tidewright.coordination.messages import encode, message, validate
from tidewright.market.errors import UsageError

CYCLE = 30_000_000_000
BLOCK = 10
SEATED = {"name": "old", "path": "/x/old.tw", "sha256": "a" * 64}
NEW = {"name": "new", "path": "/x/new.tw", "sha256": "b" * 64}
RULES = ChallengeRules(CanaryRules(cycles=100, blind_cycles=400), most_cycles=2000)


class Tried:
    """A challenge that is told so many blocks at a time."""

    def __init__(self, rules: ChallengeRules = RULES) -> None:
        self.challenge = Challenge(rules, CYCLE, SEATED)
        self.now = 0
        self.steps = [self.challenge.begin(0, "c-1", NEW)]
        self.told: list[Comparison] = []

    def hear(self, differences, wait: str = "") -> str:
        since, self.now = self.now, self.now + len(differences) * BLOCK * CYCLE
        told = tuple(float(value) for value in differences)
        seen = Comparison("c-1", since, self.now, len(differences) * BLOCK, told)
        self.told.append(seen)
        step = self.challenge.observe(seen, self.now, wait)
        if step is not None:
            self.steps.append(step)
        return self.challenge.stage


def noise(mean: float, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def test_a_better_challenger_is_seated_small_then_fully_then_left_alone():
    tried = Tried()
    assert tried.challenge.sits == SEATED
    assert tried.hear(noise(1.0, 60)) == "canary"
    assert tried.challenge.sits == NEW
    assert tried.challenge.canary
    assert tried.hear(noise(1.0, 10, 2)) == "full"
    assert not tried.challenge.canary
    assert tried.challenge.held == ""
    assert tried.hear(noise(1.0, 200, 3)) == "settled"
    assert tried.challenge.sits == NEW
    assert tried.challenge.request() is None
    assert [step.stage for step in tried.steps] == ["shadow", "canary", "full", "settled"]


def test_a_worse_challenger_never_sits():
    tried = Tried()
    assert tried.hear(noise(-1.0, 60)) == "refused"
    assert tried.challenge.sits == SEATED
    assert "old earned" in tried.steps[-1].cause


def test_one_that_shows_nothing_is_withdrawn():
    tried = Tried()
    assert tried.hear(noise(0.0, 199)) == "shadow"
    assert tried.hear(noise(0.0, 1, 2)) == "withdrawn"
    assert tried.challenge.sits == SEATED


def test_one_that_turns_out_worse_goes_and_the_old_one_sits_again():
    tried = Tried()
    tried.hear(noise(1.0, 60))
    tried.hear(noise(1.0, 10, 2))
    assert tried.hear(noise(-1.0, 80, 4)) == "rolled_back"
    assert tried.challenge.sits == SEATED


def test_a_canary_nobody_watches_goes():
    tried = Tried()
    tried.hear(noise(1.0, 60))
    later = tried.now + 399 * CYCLE
    assert tried.challenge.check(later) is None
    step = tried.challenge.check(later + CYCLE)
    assert step is not None
    assert step.stage == "rolled_back"
    assert tried.challenge.sits == SEATED


def test_nobody_is_seated_while_parameters_are_on_trial_and_the_evidence_is_not_lost():
    tried = Tried()
    assert tried.hear(noise(1.0, 60), wait="epoch-1 runs as a canary") == "shadow"
    assert tried.hear(noise(0.0, 1, 2)) == "canary"


def test_a_stretch_counts_once_and_that_of_another_challenge_not_at_all():
    tried = Tried()
    tried.hear([1.0, 2.0])
    assert not tried.challenge.note(tried.told[0])
    assert not tried.challenge.note(Comparison("c-2", tried.now, tried.now + CYCLE, 10, (5.0,)))
    overlapping = Comparison("c-1", tried.now - CYCLE, tried.now + CYCLE, 2, (5.0,))
    assert not tried.challenge.note(overlapping), "asked for before a late answer had told of its beginning"
    assert tried.challenge.total == 3.0


def test_another_one_waits_and_the_one_that_sits_cannot_challenge_itself():
    tried = Tried()
    with pytest.raises(UsageError, match="has not been decided on"):
        tried.challenge.begin(1, "c-2", {**NEW, "sha256": "c" * 64})
    with pytest.raises(UsageError, match="challenges itself"):
        Challenge(RULES, CYCLE, SEATED).begin(0, "c", SEATED)


def test_a_restart_from_the_journal_comes_to_the_same_state():
    tried = Tried()
    for seed in range(12):
        tried.hear(noise(0.8, 6, seed))
    again = Challenge(RULES, CYCLE, SEATED)
    events = [(step.at_ns, 1, step) for step in tried.steps] + [(seen.until_ns, 0, seen) for seen in tried.told]
    for _, _, event in sorted(events, key=lambda one: one[:2]):
        if isinstance(event, Comparison):
            data = {"challenge": {"challenge_id": "c-1", "from_ns": event.from_ns, "until_ns": event.until_ns}}
            data["challenge"] |= {"cycles": event.cycles, "differences": list(event.differences)}
            seen = comparison_of(data)
            assert seen == event
            again.note(seen)
        else:
            told = {"state": f"seat_{event.stage}", "reason": event.cause, "seat": event.data()}
            item = validate(encode(message("status", event.at_ns, "executor", "executor", told)))
            step = step_of(item.data.model_dump(), event.at_ns)
            assert step is not None
            again.apply(step)
    assert again.state() == tried.challenge.state()
    assert again.sits == tried.challenge.sits


def test_a_challenger_that_is_no_better_is_seated_as_seldom_as_is_said():
    """80 useless challengers, looked at after every twelve blocks for a day."""
    seated = 0
    for seed in range(80):
        tried = Tried(ChallengeRules(CanaryRules(cycles=100, blind_cycles=400), most_cycles=2880))
        for part in noise(0.0, 288, seed + 1000).reshape(24, 12):
            if tried.hear(part) != "shadow":
                break
        seated += any(step.stage == "canary" for step in tried.steps)
    assert seated <= 8  # 5 % of 80, and two deviations


def test_the_more_challengers_a_session_has_tried_the_more_evidence_one_needs():
    """What seats the first challenger does not seat the fourth, and a restart knows how many there were."""
    tried, again = Tried(), Challenge(RULES, CYCLE, SEATED)
    again.apply(tried.steps[0])
    evidence = next(n for n in range(5, 60) if Tried().hear(noise(1.0, n)) == "canary")
    for number in (2, 3, 4):
        tried.challenge.apply(replace(tried.steps[-1], stage="refused"))
        step = tried.challenge.begin(tried.now, "c-1", {**NEW, "sha256": str(number) * 64})
        again.apply(step)
    assert tried.challenge.error_rate == again.error_rate == RULES.error_rate / 4
    assert tried.challenge.state()["tried"] == 4 and tried.challenge.state()["seated_at"] == 80
    assert tried.hear(noise(1.0, evidence)) == "shadow"
    assert tried.hear(noise(1.0, 40, 2)) == "canary"
    assert "of 80 (challenger 4 of the session)" in tried.steps[-1].cause


@pytest.mark.parametrize("wrong", [{"error_rate": 0.0}, {"error_rate": 1.0}, {"most_cycles": 5}])
def test_rules_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        ChallengeRules(**wrong)
