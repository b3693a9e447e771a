"""Shadow lanes on a real tape: the folded beginning, the inventory and the company of other lanes change nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.engine.fake_ray import FakeRay
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.windows import Window
from tidewright.engine.cluster import Cluster
from tidewright.engine.sweep import Threads
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.risk.limits import Limits

LATENCY = 50_000_000
SETTINGS = Settings(30 * SECOND, 0, LATENCY, LATENCY, maker_fee=10_000, limits=Limits(max_position_share=0.5))
LANES = {"spread_percentage": np.array([0.02, 0.05, 0.1, 0.2]), "levels": np.array([1, 2, 3, 4])}


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthesize(None, hours=1.0, seed=3, rate=2.0)


@pytest.fixture(scope="module")
def window(tape: Tape) -> Window:
    return Window(tape.start_ns + 20 * MINUTE, tape.start_ns + 50 * MINUTE)


def judge(tape: Tape, earliest_ns: int, settings: Settings = SETTINGS, rows: int | None = None) -> ShadowJudge:
    return ShadowJudge(tape, len(tape) if rows is None else rows, "grid", settings, earliest_ns)


def test_equity_is_recorded_at_the_start_and_at_every_decision(tape: Tape, window: Window) -> None:
    judged = judge(tape, window.start_ns).evaluate(window, LANES, 4, record=True)
    assert judged.equity is not None and judged.equity.shape == (61, 4)
    assert (judged.statistics["n_fills"] > 0).all() and (judged.statistics["n_samples"] == 60).all()
    assert (judged.equity[0] == 10_000.0).all()
    np.testing.assert_array_equal(judged.equity[-1], judged.statistics["equity_end"])
    returns = judged.equity[1:] / judged.equity[:-1] - 1.0
    np.testing.assert_allclose(returns.sum(axis=0), judged.statistics["sum_return"], rtol=1e-9)


def test_equity_is_only_there_where_it_was_asked_for(tape: Tape, window: Window) -> None:
    judged = judge(tape, window.start_ns).evaluate(window, LANES, 4)
    assert judged.equity is None
    with pytest.raises(UsageError):
        _ = judged.increments


def test_the_folded_beginning_replaces_the_market_before_the_window(tape: Tape, window: Window) -> None:
    whole, folded = (judge(tape, at).evaluate(window, LANES, 4, record=True) for at in (0, window.start_ns))
    for name, column in whole.statistics.items():
        np.testing.assert_array_equal(column, folded.statistics[name], err_msg=name)
    np.testing.assert_array_equal(whole.increments, folded.increments)


def test_the_future_of_the_tape_changes_nothing(tape: Tape, window: Window) -> None:
    rows = int(np.searchsorted(tape.data.ts, window.end_ns, side="right"))
    short = judge(tape, window.start_ns, rows=rows).evaluate(window, LANES, 4, record=True)
    whole = judge(tape, window.start_ns).evaluate(window, LANES, 4, record=True)
    np.testing.assert_array_equal(short.increments, whole.increments)


def test_a_lane_alone_is_the_same_lane_among_others(tape: Tape, window: Window) -> None:
    alone = {name: column[2:3] for name, column in LANES.items()}
    one = judge(tape, window.start_ns).evaluate(window, alone, 1, record=True)
    all_ = judge(tape, window.start_ns).evaluate(window, LANES, 4, record=True)
    np.testing.assert_array_equal(one.increments[:, 0], all_.increments[:, 2])


def test_where_lanes_run_changes_nothing(tape: Tape, window: Window) -> None:
    wealthy = replace(SETTINGS, limits=Limits(None, None, None, None), equity=100_000 * UNIT, base=UNIT)
    for settings in (SETTINGS, replace(wealthy, check_balance=True)):
        here = judge(tape, window.start_ns, settings)
        for runner, ran in ((Threads(2), "2 threads"), (Cluster(ray=FakeRay()), "Ray: cohorts: 1")):
            there = ShadowJudge(tape, len(tape), "grid", settings, window.start_ns, runner=runner)
            one, other = (item.evaluate(window, LANES, 4, record=True) for item in (here, there))
            for name, column in one.statistics.items():
                assert column.tobytes() == other.statistics[name].tobytes(), name
            assert one.increments.tobytes() == other.increments.tobytes()
            assert here.ran == "1 thread" and there.ran.startswith(ran)


def test_what_the_inventory_does_is_no_merit_of_a_lane(tape: Tape, window: Window) -> None:
    # With ample balances the same orders fill; only the value of the inventory differs, and that is taken out.
    rich = replace(SETTINGS, limits=Limits(None, None, None, None), equity=100_000 * UNIT)
    plain = judge(tape, window.start_ns, rich).evaluate(window, LANES, 4, record=True)
    holding = judge(tape, window.start_ns, replace(rich, base=UNIT, check_balance=True))
    held = holding.evaluate(window, LANES, 4, record=True)
    assert (plain.statistics["n_fills"] == held.statistics["n_fills"]).all()
    np.testing.assert_allclose(held.increments, plain.increments, atol=1e-6)
    np.testing.assert_allclose(held.statistics["sum_return"], plain.statistics["sum_return"], rtol=0.02, atol=1e-9)
    assert holding.evaluate(window, LANES, 4).equity is None


def test_an_inventory_worth_more_than_the_equity_is_refused(tape: Tape, window: Window) -> None:
    with pytest.raises(UsageError, match="less than the base inventory"):
        judge(tape, window.start_ns, replace(SETTINGS, base=UNIT, check_balance=True))


def test_rows_beyond_the_tape_are_refused(tape: Tape) -> None:
    with pytest.raises(UsageError, match="rows must be within"):
        judge(tape, 0, rows=len(tape) + 1)


def test_a_growing_tape_carries_its_fold_on(tmp_path: Path, tape: Tape, window: Window) -> None:
    first = judge(tape, window.start_ns - 10 * MINUTE)
    carried = ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns, first)
    fresh = judge(tape, window.start_ns)
    one, other = (item.evaluate(window, LANES, 4, record=True) for item in (carried, fresh))
    np.testing.assert_array_equal(one.increments, other.increments)
    back = ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns - 15 * MINUTE, carried)
    np.testing.assert_array_equal(back.evaluate(window, LANES, 4, record=True).increments, other.increments)
