"""Canary, full use, roll-back: pure steps, the same from the journal, safe when nobody watches."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.agents.executor.canary import (
    STEADY,
    CanaryRules,
    Comparison,
    Rollout,
    comparison_of,
    transition_of,
)
from tidewright.coordination.messages import encode, message, validate
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Filters, Instrument

CYCLE = 30_000_000_000
START = 1_700_000_000_000_000_000
OLD = {"spread_percentage": 0.05, "levels": 4.0, "base_quantity": 0.002, "max_position": 0.02}
NEW = {**OLD, "spread_percentage": 0.3}
INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001", filters=Filters(min_notional=5 * 10**8))


def rollout(**rules) -> Rollout:
    return Rollout(CanaryRules(**rules), CYCLE, OLD)


def seen(number: int, differences, cycles: int = 60, name: str = "p-1") -> Comparison:
    until = START + number * cycles * CYCLE
    return Comparison(name, until - cycles * CYCLE, until, cycles, differences)


def accepted(**rules) -> Rollout:
    found = rollout(**rules)
    step = found.accept(START + 10 * CYCLE, "p-1", NEW, START, 1.0)
    assert step.stage == "canary"
    return found


def test_an_accepted_proposal_trades_small_then_fully_when_the_shadows_say_nothing_against_it():
    found = accepted()
    assert found.params == NEW
    assert found.trading(INSTRUMENT, 60_000.0) == {**NEW, "base_quantity": 0.0005}
    assert "canary" in found.held
    step = found.observe(seen(1, [1.0] * 6), START + 70 * CYCLE)
    assert step is not None
    assert step.stage == "full"
    assert "60 cycles" in step.cause
    assert found.trading(INSTRUMENT, 60_000.0) == NEW
    assert found.held == ""


def test_harm_rolls_back_by_itself_with_its_cause_and_the_old_parameters():
    found = accepted(cycles=600, blind_cycles=1800)
    step = None
    for number in range(1, 9):
        step = step or found.observe(seen(number, [-2.0] * 6), START + number * 60 * CYCLE)
    assert step is not None
    assert step.stage == "rolled_back"
    assert "e-value" in step.cause
    assert "error rate 0.05" in step.cause
    assert found.stage == STEADY
    assert found.params == OLD == found.trading(INSTRUMENT, 60_000.0)
    assert found.request() is None


def test_full_use_is_watched_on_and_rolled_back_when_the_market_turns():
    found = accepted()
    rng = np.random.default_rng(1)
    assert found.observe(seen(1, rng.normal(1, 1, 6)), START).stage == "full"
    back = [found.observe(seen(k, rng.normal(-1.5, 1, 6)), START + k) for k in range(2, 20)]
    steps = [step for step in back if step is not None]
    assert [step.stage for step in steps] == ["rolled_back"]


def test_a_canary_nobody_watches_goes_after_the_stated_time():
    found = accepted(blind_cycles=180)
    assert found.check(START + 189 * CYCLE) is None
    step = found.check(START + 190 * CYCLE)
    assert step is not None
    assert step.stage == "rolled_back"
    assert "nobody watches" in step.cause
    assert rollout().check(START + 10**6 * CYCLE) is None


def test_comparisons_of_others_and_repetitions_are_ignored():
    found = accepted(cycles=120)
    assert found.observe(seen(1, [1.0] * 6, name="p-0"), START) is None
    found.observe(seen(1, [1.0] * 6), START)
    found.observe(seen(1, [1.0] * 6), START)
    assert found.evidence()["cycles"] == 60
    assert found.request()["from_ns"] == START + 60 * CYCLE


def test_no_canary_by_rule_is_full_use_at_once_and_watched():
    found = rollout(cycles=0)
    assert found.accept(START, "p-1", NEW, START, 0.0).stage == "full"
    assert found.trading(INSTRUMENT, 60_000.0) == NEW
    assert found.request() is not None


@pytest.mark.parametrize(
    ("quantity", "mid", "expected"), [(0.002, 60_000.0, 0.0005), (0.0002, 60_000.0, 0.0001), (0.00005, 60_000.0, 5e-05)]
)
def test_a_canarys_quantity_is_one_the_venue_accepts_and_never_more_than_the_full_one(quantity, mid, expected):
    found = rollout()
    found.accept(START, "p-1", {**NEW, "base_quantity": quantity}, START, 0.0)
    assert found.trading(INSTRUMENT, mid)["base_quantity"] == pytest.approx(expected, rel=1e-12)


def test_of_two_comparisons_that_overlap_only_the_first_counts():
    tried = accepted(cycles=150)
    assert tried.note(seen(1, (1.0,)))
    late_twin = Comparison("p-1", START, START + 120 * CYCLE, 120, (1.0, 2.0))
    assert not tried.note(late_twin), "asked for before the first had come"
    assert tried.note(seen(2, (2.0,)))
    assert tried.evidence()["difference"] == 3.0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("accept"), st.integers(0, 3)),
            st.tuples(st.just("see"), st.lists(st.floats(-50, 5), min_size=1, max_size=6)),
        ),
        max_size=30,
    )
)
def test_the_journal_alone_gives_the_same_state_after_a_kill(events):
    """Whatever happens, what is written down rebuilds stage, parameters, evidence and counts."""
    live, journal = rollout(cycles=120, blind_cycles=999), []
    for number, (kind, content) in enumerate(events):
        now = START + number * 60 * CYCLE
        if kind == "accept":
            if live.held:
                continue
            step = live.accept(now, f"p-{number}", {**NEW, "levels": float(1 + content)}, now, 1.0)
            journal.append(("decision", now, step.data()))
        else:
            since = now - 60 * CYCLE
            told = {"proposal_id": live.proposal_id, "from_ns": since, "until_ns": now}
            told |= {"cycles": 60, "differences": content}
            step = live.observe(Comparison(live.proposal_id, since, now, 60, content), now)
            if step is not None:
                journal.append(("decision", now, step.data()))
            journal.append(("answer", now, {"shadow": told}))
    again = rollout(cycles=120, blind_cycles=999)
    for kind, now, data in journal:
        if kind == "decision":
            item = message("decision", now, "executor", "optimizer", data)  # as it is sent and stored
            step = transition_of(validate(encode(item)).data.model_dump(), now)
            assert step is not None
            again.apply(step)
        else:
            again.note(comparison_of(data))
    assert again.state() == live.state()
    assert (again.params, again.previous) == (live.params, live.previous)


def test_rules_that_cannot_work_are_refused():
    for wrong, words in (
        ({"fraction": 0.0}, "base_quantity"),
        ({"error_rate": 1.0}, "error rate"),
        ({"cycles": -1}, "cycles must be >= 0"),
        ({"block": 0}, "block must be >= 1"),
        ({"cycles": 200}, "without evidence"),
    ):
        with pytest.raises(UsageError, match=words):
            CanaryRules(**wrong)


def test_what_is_shown_is_plain_and_finite():
    found = accepted()
    found.note(seen(1, [1.0], cycles=10))
    assert "canary at small size" in found.text()
    state = found.state()
    assert state["lower"] is None
    assert all(not isinstance(v, float) or math.isfinite(v) for v in state.values())
