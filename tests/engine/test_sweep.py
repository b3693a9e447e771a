"""Lanes dealt into cohorts and threads: whatever the deal, the results are those of one replay."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidewright as tw
from tests.engine.example import SECOND, differences, market
from tests.engine.futures import future
from tidewright.engine import kernel
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.engine.sweep import (
    LANES_A_COHORT,
    Job,
    Result,
    Rows,
    Threads,
    chunks,
    cohorts_for,
    deal,
    gather,
    run_cohort,
)
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import Tape, concatenate
from tidewright.risk.limits import Limits

LANES = 24
CAPITAL = 10_000 * 10**8
STOCK = 10**8


@pytest.fixture(scope="module")
def tape() -> Tape:
    return market()


def job(tape: Tape, strategy: str = "grid", lanes: int = LANES, check: bool = False, **rules: object) -> Job:
    random = np.random.default_rng(5)
    params: dict[str, object] = {"levels": random.integers(1, 5, lanes).astype(float), "base_quantity": 0.01}
    if strategy == "grid":
        params["spread_percentage"] = np.round(random.uniform(0.004, 0.08, lanes), 3)
    else:
        params["gamma"] = random.uniform(0.001, 0.05, lanes)
    config = ReplayConfig(cycle_ns=10 * SECOND, window_ticks=1 << 16, record_fills=2, record_equity=1, **rules)
    return Job(tape.instrument, config, strategy, params, lanes, STOCK, CAPITAL, check)


def result_bytes(result: Result) -> dict[str, bytes]:
    """Everything but where it ran."""
    return {
        **{name: values.dtype.str.encode() + values.tobytes() for name, values in result.statistics.items()},
        "equity ts": result.equity_ts.tobytes(),
        "equity": result.equity.tobytes(),
        "reports": result.reports.tobytes(),
        "shares": repr(result.shares).encode(),
        "counts": repr(result.counts).encode(),
    }


CASES = {
    "grid, risk averse": ("grid", False, {"queue": "risk_averse", "entry_ns": SECOND // 20}),
    "grid, probabilistic, slow orders": ("grid", True, {"queue": "prob", "entry_ns": 12 * SECOND}),
    "grid, front, limits": ("grid", False, {"queue": "front", "limits": Limits(max_position_share=0.2)}),
    "avellaneda, log": ("avellaneda_stoikov", False, {"queue": "prob_log", "entry_ns": SECOND // 20}),
}


@pytest.mark.parametrize("case", CASES)
def test_one_two_and_more_threads_give_the_same_bytes(tape: Tape, case: str) -> None:
    strategy, check, rules = CASES[case]
    work = job(tape, strategy, check=check, **rules)
    rows = Rows(tape.data)
    one = Threads(1).run(rows, work)
    assert len(np.unique(one.statistics["equity_end"])) > LANES // 2, "lanes must differ for this to mean anything"
    assert one.statistics["n_fills"].sum() > 100
    for count in (2, 3, LANES + 10):
        many = Threads(count).run(rows, work)
        assert differences(result_bytes(one), result_bytes(many)) == [], count
        assert many.ran == f"{min(count, LANES)} threads"


def test_the_result_is_that_of_the_bare_engine(tape: Tape) -> None:
    work = job(tape, entry_ns=SECOND // 20)
    replay = Replay(tape.instrument, work.config, "grid", work.params, LANES, STOCK, CAPITAL)
    replay.feed(tape.data)
    replay.finish()
    swept, reports = Threads(2).run(Rows(tape.data), work), replay.reports()
    for name, values in replay.statistics().items():
        assert swept.statistics[name].tobytes() == values.tobytes(), name
    assert swept.equity.tobytes() == replay.equity()[1].tobytes()
    assert (swept.shares, swept.counts) == (replay.shares(), replay.counts())
    assert len(swept.reports) == len(reports)
    assert swept.reports["seq"].tolist() == list(range(len(reports)))
    assert (np.diff(swept.reports["lane"]) >= 0).all()
    for lane in range(LANES):
        here, there = swept.reports[swept.reports["lane"] == lane], reports[reports["lane"] == lane]
        for name in set(reports.dtype.names or ()) - {"seq", "number"}:
            assert here[name].tobytes() == there[name].tobytes(), name
        sent, order = np.unique(there["number"], return_inverse=True)
        assert here["number"].tolist() == (order + 1).tolist(), "a lane's own orders, counted as they were sent"
        under_way = swept.statistics["n_orders"][lane] - len(sent)
        assert 0 <= under_way <= 8, "every order that arrived was reported"


@settings(max_examples=15)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_deal_of_lanes_into_cohorts_gives_the_same_bytes(deck: list[int], check: bool, seed: int) -> None:
    tape, lanes = market(hours=0.1), len(deck)
    random = np.random.default_rng(seed)
    work = replace(
        job(tape, lanes=lanes, check=check, entry_ns=int(random.integers(0, 3)) * SECOND),
        params={"spread_percentage": random.uniform(0.004, 0.05, lanes), "levels": random.integers(1, 5, lanes)},
    )
    cohorts = [np.flatnonzero(np.array(deck) == card) for card in sorted(set(deck))]
    random.shuffle(cohorts)
    whole = gather([run_cohort(tape.data, work)], [np.arange(lanes)])
    parts = gather([run_cohort(tape.data, work.of(cohort)) for cohort in cohorts], cohorts)
    assert differences(result_bytes(whole), result_bytes(parts)) == []


def test_backtest_gives_the_same_with_any_number_of_threads(tape: Tape) -> None:
    params = {"spread_percentage": [0.01, 0.02, 0.05], "levels": 3}
    one, two = (tw.backtest(tape, "grid", params, cycle="10s", threads=count) for count in (1, 2))
    assert (one.ran, two.ran) == ("1 thread", "2 threads")
    for name in one.metrics:
        assert one.metrics[name].tobytes() == two.metrics[name].tobytes(), name
    assert one.equity.equals(two.equity) and one.assumptions == two.assumptions and one.shares == two.shares
    for lane in range(3):
        fills = one.fills(lane)
        assert fills.equals(two.fills(lane)) and len(fills) == one.statistics["n_fills"][lane] > 0
        assert sorted(set(fills["order"])) == list(range(1, fills["order"].n_unique() + 1))


def test_funding_is_the_same_with_any_number_of_threads() -> None:
    params = {"spread_percentage": [0.01, 0.02, 0.05], "levels": 3}
    one, two = (tw.backtest(future(), "grid", params, cycle="10s", threads=count) for count in (1, 2))
    assert (one.statistics["funding_units"] != 0).all()
    for name in one.statistics:
        assert one.statistics[name].tobytes() == two.statistics[name].tobytes(), name
    assert one.equity.equals(two.equity)


def test_lanes_are_dealt_out_evenly_and_only_where_it_is_worthwhile() -> None:
    assert [cohort.tolist() for cohort in deal(7, 3)] == [[0, 5], [1, 3], [2, 4, 6]]
    pairs = [each.reshape(-1, 16)[:, 0].tolist() for each in deal(256, 2)]  # the sequence of Thue and Morse, in blocks
    assert pairs == [[0, 48, 80, 96, 144, 160, 192, 240], [16, 32, 64, 112, 128, 176, 208, 224]]
    assert [cohort.tolist() for cohort in deal(2, 5)] == [[0], [1]]
    few = LANES_A_COHORT
    assert [cohorts_for(lanes, 4) for lanes in (1, few, 2 * few - 1, 2 * few, 100 * few)] == [1, 1, 1, 2, 4]
    assert Threads().run(Rows(market(hours=0.1).data), job(market(hours=0.1), lanes=2)).ran == "1 thread"


def test_the_engine_lets_go_of_pythons_lock() -> None:
    assert kernel.run.targetoptions["nogil"] and kernel.finish.targetoptions["nogil"]


@pytest.mark.parametrize("most", [1, 7, 1_000, 10**9])
def test_chunks_are_whole_packets_and_all_rows(most: int) -> None:
    data = market(hours=0.1).data
    parts = list(chunks(data, most))
    assert all(part.flags[-1] & 1 for part in parts)
    assert all(len(part.ts) <= most or (part.flags[:-1] & 1 == 0).all() for part in parts)
    for column, name in zip(data, data._fields, strict=True):
        np.testing.assert_array_equal(getattr(concatenate(parts), name), column)


def test_progress_ends_with_all_rows_and_comes_from_the_calling_thread(tape: Tape) -> None:
    told: list[tuple[int, int, int]] = []
    Threads(2).run(Rows(tape.data), job(tape), lambda done, total: told.append((done, total, threading.get_ident())))
    assert told[-1][:2] == (len(tape), len(tape))
    assert {thread for *_, thread in told} == {threading.get_ident()}


def test_an_error_in_the_tape_is_told_as_it_is_and_no_thread_stays(tape: Tape) -> None:
    backwards = tape.data._replace(ts=tape.data.ts[::-1].copy())
    with pytest.raises(DataError, match="venue time may not fall"):
        Threads(3).run(Rows(backwards), job(tape))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cohort")]


def test_an_interrupt_stops_all_threads(tape: Tape) -> None:
    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Threads(2).run(Rows(tape.data), job(tape), interrupted)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cohort")]


def test_what_cannot_be_split_is_refused(tape: Tape) -> None:
    with pytest.raises(UsageError, match="threads must be >= 1, was 0"):
        tw.backtest(tape, threads=0)
    with pytest.raises(UsageError, match="give one of the two"):
        tw.backtest(tape, threads=2, ray=True)
    with pytest.raises(UsageError, match=r"parameter levels must be one number or 24, had shape \(12,\)"):
        Threads(2).run(Rows(tape.data), replace(job(tape), params={"levels": np.ones(12)}))
