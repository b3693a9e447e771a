from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tidewright.agents.comparison.contenders import Adaptive, Contender, Effort, Fixed, History, Tuned, parse, rules
from tidewright.agents.comparison.contest import Row, compare, held_out
from tidewright.agents.comparison.learned import (
    CAUTION,
    TEACHING,
    Learned,
    LearnedAdaptive,
    School,
    Sitting,
    choose,
    usual,
)
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.agents.executor.proposals import Gate
from tidewright.agents.optimizer.judge import ShadowJudge
from tidewright.agents.optimizer.windows import Window
from tidewright.cli.seat_option import shipped
from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

CYCLE = 30 * SECOND
SMALL = Effort(candidates=24, generations=1, learning=2)
SHIPPED = Policy.load(shipped())
SIX = ["traditional", "tuned A-S", "tuned GLFT", "optimizer", "RL", "RL + optimizer"]


@pytest.fixture(scope="module")
def tape():
    return synthesize(None, hours=2.5, seed=11)


@pytest.fixture(scope="module")
def found(tape):
    return compare([tape], fees_bp=(4.0,), window="35m", effort=SMALL)


def test_everybody_is_judged_in_the_same_windows_with_the_same_sizes(found):
    for heat in found.heats:
        assert [row.name for row in heat.rows] == SIX
        assert len({len(row.curve) for row in heat.rows}) == 1
        sizes = {(p["base_quantity"], p["max_position"]) for row in heat.rows for p in row.params}
        sizes -= {(0.0, position) for _, position in sizes}  # who stands aside
        assert len(sizes) == 1
        assert heat.rows[0].paired is None
        for row in heat.rows:
            assert row.figures["profit"] == pytest.approx(row.curve[-1], abs=1e-9)


def test_a_fee_costs_the_fixed_bot_its_share_of_the_volume(tape):
    found = compare([tape], lambda: rules()[:1], fees_bp=(0.0, 4.0), effort=SMALL)
    free, dear = (heat.rows[0] for heat in found.heats)
    assert free.figures["volume_quote"] == dear.figures["volume_quote"]
    cost = free.figures["profit"] - dear.figures["profit"]
    # A buy of 0.00041 pays 16.4e-8 in base, truncated to 16e-8: up to 2.5 % less.
    assert 0.975 < cost / (4e-4 * free.figures["volume_quote"]) <= 1.001


def test_windows_follow_each_other_after_the_training_part(tape):
    windows = held_out(tape, CYCLE, 0.5, None)
    assert windows[0].start_ns >= tape.start_ns + (tape.end_ns - tape.start_ns) // 2 - CYCLE
    assert all(a.end_ns == b.start_ns for a, b in pairwise(windows))
    assert windows[-1].end_ns <= tape.end_ns


def test_a_contender_is_shown_nothing_of_its_window_or_later(tape):
    seen = []

    class Watching(Fixed):
        def parameters(self, history: History) -> dict[str, float]:
            seen.append((history.until_ns, int(tape.data.ts[history.rows - 1]), int(tape.data.ts[history.rows])))
            return super().parameters(history)

    found = compare([tape], lambda: [Watching("w", "grid", {})], fees_bp=(1.0,), effort=SMALL)
    starts = [window.start_ns for window in found.heats[0].windows]
    assert [until for until, _, _ in seen] == starts
    assert all(last <= until < following for until, last, following in seen)


def test_the_future_changes_no_parameters(tape):
    windows = held_out(tape, CYCLE, 0.5, 25 * 60 * SECOND)
    cut = int(np.searchsorted(tape.data.ts, windows[1].end_ns + CYCLE, side="right"))
    early = Tape(tape.path, tape.instrument, tape.meta, tape.data.rows(0, cut))
    least = replace(SMALL, candidates=8, learning=1)

    def learning():
        return [one for one in usual() if one.name in ("tuned GLFT", "RL", "RL + optimizer")]

    whole = compare([tape], learning, fees_bp=(1.0,), window="25m", effort=least).heats[0]
    length = windows[0].end_ns - windows[0].start_ns
    share = (windows[0].start_ns - early.start_ns) // CYCLE / ((early.end_ns - early.start_ns) // CYCLE)
    part = compare([early], learning, fees_bp=(1.0,), train=share, window=length / SECOND, effort=least).heats[0]
    for a, b in zip(whole.rows, part.rows, strict=True):
        assert a.params[: len(b.params)] == b.params
        assert a.curve[: len(b.curve)] == b.curve


def test_a_policy_learns_once_and_the_optimizer_tunes_the_rule_under_it(tape):
    school = School()
    taught = []

    class Watching(Learned):
        def parameters(self, history: History) -> dict[str, float]:
            params = super().parameters(history)
            taught.append((self.runner, params))
            return params

    compare([tape], lambda: [Watching("w", school)], fees_bp=(2.0,), window="25m", effort=SMALL)
    assert len(taught) == 2
    assert all(one == taught[0] for one in taught)
    lanes = taught[0][0]
    assert lanes.settings.random.maker_fees == (20_000,)
    assert (lanes.settings.gamma, lanes.settings.kappa) == (taught[0][1]["gamma"], taught[0][1]["kappa"])


def test_learning_begins_with_what_the_tuned_rule_does(tape):
    class TwoLevels(Tuned):
        def parameters(self, history: History) -> dict[str, float]:
            return {**super().parameters(history), "levels": 2.0}

    school, seen = School(rule=TwoLevels("", "glft", objective=CAUTION)), []

    class Watching(Learned):
        def parameters(self, history: History) -> dict[str, float]:
            params = super().parameters(history)
            rule = school.rule
            for one in (school.teach(history).sitters()[0], Sitting(rule.strategy, rule.parameters(history))):
                terms = (history.tape, history.rows, one.strategy, history.settings, history.from_ns)
                columns = {name: np.array([value]) for name, value in one.params.items()}
                judge = ShadowJudge(*terms, runner=one.runner)
                seen.append(judge.evaluate(Window(history.from_ns, history.until_ns), columns, 1, record=True))
            return params

    row = compare([tape], lambda: [Watching("w", school)], fees_bp=(0.0,), window="35m", effort=SMALL).heats[0].rows[0]
    first, rule = seen[:2]
    assert int(rule.statistics["n_fills"][0]) > 20
    assert first.increments == pytest.approx(rule.increments, abs=1e-9)
    assert school.rule.trials > 0
    assert row.trials == school.rule.trials + SMALL.learning * TEACHING.lanes, "sets for the rule, and policies"


def test_what_never_earned_before_stands_aside_and_what_did_sits(tape):
    """A maker fee of 500 basis points leaves nothing to earn, a rebate of 50 pays whoever trades."""
    dear, paid = Learned("RL", School()), Learned("RL", School())
    nothing = compare([tape], lambda: [dear], fees_bp=(500.0,), window="35m", effort=SMALL).heats[0].rows[0]
    assert dear.runner is None
    assert "stands aside" in nothing.meaning
    assert (nothing.figures["profit"], nothing.figures["fills"]) == (0.0, 0.0)
    something = compare([tape], lambda: [paid], fees_bp=(-50.0,), window="35m", effort=SMALL).heats[0].rows[0]
    assert paid.runner is not None
    assert something.figures["profit"] > 0.0


def test_the_best_of_the_newest_part_sits_if_it_has_earned(tape):
    """At a rebate of 50 basis points whoever is filled most earns most; what quotes nothing earns nothing."""
    contender = LearnedAdaptive("RL + optimizer", "shaped", school=School())
    seen: list[tuple[list[Sitting], Sitting | None]] = []

    class Watching(Fixed):
        def parameters(self, history: History) -> dict[str, float]:
            params = super().parameters(history)
            wide, narrow = ({**params, "spread_percentage": width} for width in (2.0, 0.05))
            nothing = {**params, "base_quantity": 0.0}
            sitters = [Sitting("grid", nothing), Sitting("grid", wide), Sitting("grid", narrow)]
            seen.append((sitters, choose(history, sitters)))
            seen.append((sitters[:1], choose(history, sitters[:1])))
            return params

    def both() -> list[Contender]:
        return [Watching("w", "grid", {}), contender]

    rows = compare([tape], both, fees_bp=(-50.0,), window="35m", effort=SMALL).heats[0].rows
    assert all(found is (sitters[2] if len(sitters) > 1 else None) for sitters, found in seen)
    assert rows[1].trials >= 24, "the rule was tuned"
    assert rows[1].figures["profit"] > 0.0


def test_a_given_policy_sits_as_it_is():
    tape = synthesize(None, hours=2.5, seed=31)  # it learned on the seeds up to 16
    alone = Learned("RL", School(SHIPPED))
    assert [one.name for one in usual(SHIPPED)] == SIX
    heat = compare([tape], lambda: [alone], fees_bp=(0.0,), window="35m", effort=SMALL).heats[0]
    assert alone.runner.policy is SHIPPED
    assert heat.rows[0].trials == 0
    learned = settings_of(SHIPPED)
    assert (heat.rows[0].params[0]["gamma"], heat.rows[0].params[0]["kappa"]) == (learned.gamma, learned.kappa)


def test_tuning_happens_once(tape):
    tuned = Tuned("t", "grid")
    found = compare([tape], lambda: [tuned], fees_bp=(1.0,), effort=SMALL).heats[0].rows[0]
    assert tuned.trials == 24
    assert all(params == found.params[0] for params in found.params)


def test_a_gate_that_nothing_passes_leaves_the_hand_set_grid(tape):
    """The same search proposes something that is taken where no threshold stands in its way."""

    def beside(gate: Gate) -> tuple[Row, int]:
        one = Adaptive("o", "grid", {"spread_percentage": 0.01, "levels": 3}, gate=gate)
        heat = compare([tape], lambda: [rules()[0], one], fees_bp=(8.0,), window="35m", effort=SMALL).heats[0]
        return heat.rows[1], one.taken

    refused, none = beside(Gate(min_deflated_sharpe=1.0))
    taken, some = beside(Gate(None, None, None))
    assert none == 0 and some > 0
    assert len({tuple(params.items()) for params in refused.params}) == 1
    assert refused.params[-1]["spread_percentage"] == 0.01
    assert taken.params[-1]["spread_percentage"] != 0.01
    assert f"{some} of" in taken.meaning


def test_contenders_are_read_from_text():
    fixed = parse("mine=grid,levels=2")
    assert isinstance(fixed, Fixed)
    assert fixed.params == {"levels": 2.0}
    assert isinstance(parse("m=glft,tuned"), Tuned)
    for text, message in (
        ("grid", "a contender is"),
        ("m=grid,levels=x", "parameter=number"),
        ("m=grid,depth=2", "no parameter"),
        ("m=nope", "unknown strategy"),
    ):
        with pytest.raises(UsageError, match=message):
            parse(text)


def test_bad_input_says_what_would_be_enough(tape):
    with pytest.raises(UsageError, match="would be enough"):
        compare([synthesize(None, hours=0.5, seed=1)], effort=SMALL)
    with pytest.raises(UsageError, match="train"):
        compare([tape], train=1.0)
    with pytest.raises(UsageError, match=r"less than the smallest of .* would be enough"):
        compare([tape], capital="1", order_share=0.0025, effort=SMALL)
    with pytest.raises(UsageError, match=r"the smallest order of .* would be enough") as told:
        compare([tape], capital="1", effort=SMALL)
    enough = str(told.value).split("a capital of ")[1].split()[0]
    assert 1.0 < float(enough) < 1_000.0
    found = compare([tape], lambda: rules()[:1], capital=enough, fees_bp=(0.0,), effort=SMALL)
    assert "orders are" in found.assumptions["sizes"] and found.heats[0].rows[0].figures["fills"] > 0
    with pytest.raises(UsageError, match="each once"):
        compare([tape], fees_bp=(1.0, 1.0), effort=SMALL)
    with pytest.raises(UsageError, match="names of their own"):
        compare([tape], lambda: [*rules(), *rules()], effort=SMALL)
