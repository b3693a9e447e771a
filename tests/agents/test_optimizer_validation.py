"""Validation, stability and regret of the optimizer in markets whose truth is known."""

import json
from typing import Any

import numpy as np
import pytest

from tests.agents.test_optimizer_study import CYCLE, INCUMBENT, START, KnownMarket, optimizer, proposal, request
from tidewright.agents.optimizer import regret
from tidewright.agents.optimizer.judge import Judgement
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.space import Dimension, Space, of_strategy
from tidewright.agents.optimizer.stability import neighbours, stability
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.validation import Outside, Trials, assay
from tidewright.agents.optimizer.windows import Window, split
from tidewright.coordination.messages import StatusMessage, encode
from tidewright.measure.regret import account
from tidewright.measure.validation_sections import validation_rows

SPACE = Space((Dimension("a", 0.0, 1.0), Dimension("b", 1, 5, "int")))


def told(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(item))["data"]
    return found


# -- stability ---------------------------------------------------------------------------------------------------------


def test_neighbours_are_near_distinct_and_in_range() -> None:
    found = neighbours(SPACE, {"a": 0.5, "b": 5.0})
    assert len(np.unique(found, axis=0)) == len(found)
    assert ((found[:, 0] >= 0.45 - 1e-9) & (found[:, 0] <= 0.55 + 1e-9)).all()
    assert set(found[:, 1]) == {4.0, 5.0}
    assert not (found == [0.5, 5.0]).all(axis=1).any()
    assert (neighbours(SPACE, {"a": 0.5, "b": 5.0}) == found).all()


def test_a_plateau_keeps_its_gain_and_a_needle_keeps_none() -> None:
    def hill(values: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-(((values[:, 0] - 0.5) / width) ** 2))

    winner, incumbent = {"a": 0.5, "b": 3.0}, {"a": 0.05, "b": 3.0}
    broad = stability(lambda values: hill(values, 1.0), SPACE, winner, incumbent)
    needle = stability(lambda values: hill(values, 0.005), SPACE, winner, incumbent)
    assert broad is not None and needle is not None
    assert broad.worst > 0.95 and broad.share >= broad.worst
    assert needle.worst < 0.01 and needle.worst_params["a"] != 0.5
    assert stability(lambda values: hill(values, 1.0), SPACE, incumbent, winner) is None


def test_a_neighbour_that_does_not_trade_counts_as_earning_nothing() -> None:
    scores = lambda values: np.where(values[:, 0] == 0.5, 2.0, np.where(values[:, 0] == 0.1, -2.0, -995.0))  # noqa: E731
    found = stability(scores, SPACE, {"a": 0.5, "b": 3.0}, {"a": 0.1, "b": 3.0})
    assert found is not None and found.worst == 0.5  # half way from −2 to 2


# -- validation of an epoch --------------------------------------------------------------------------------------------


def test_a_proposal_carries_what_the_gate_asks_for() -> None:
    data = told(proposal(optimizer(KnownMarket()).answer(request())))
    checks = data["checks"]
    assert checks["deflated_sharpe"] > 0.9 and checks["overfitting"] < 0.5 and checks["stability"] > 0.5
    assert (checks["paired_lower"], checks["paired_upper"]) == (data["paired"]["lower"], data["paired"]["upper"])
    assert data["validation"]["trials"] == data["trials"] == 64
    assert data["validation"]["candidates"] == 64 and data["validation"]["observations"] == 259
    assert len(data["validation"]["selection"]["folds"]) == 4
    assert data["stability"]["neighbours"] >= 8


def test_every_candidate_of_the_session_counts_as_a_trial() -> None:
    agent = optimizer(KnownMarket())
    first, second = (told(agent.answer(request(epoch)))["validation"] for epoch in (0, 1))
    assert (first["trials"], second["trials"]) == (64, 128)
    assert second["candidates"] == 64
    restarted = optimizer(KnownMarket(), Memory(trials=100_000, sharpe_count=2, sharpe_square=1.0))
    late = told(restarted.answer(request()))["validation"]
    assert late["trials"] == 100_064 and late["expected_best"] > 1.5 * first["expected_best"]


class Noise(KnownMarket):
    """No parameter is better than another: every lane is noise of its own, fees and all."""

    def evaluate(self, window: Window, params: Any, lanes: int, record: bool = False) -> Judgement:
        found = super().evaluate(window, params, lanes, record=True)
        spread = np.broadcast_to(np.asarray(params["spread_percentage"], np.float64), (lanes,))
        assert found.equity is not None
        steps = [
            np.random.default_rng([int(value * 1e9), window.start_ns % 2**31]).normal(0, 1, len(found.equity) - 1)
            for value in spread
        ]
        equity = 10_000.0 + np.concatenate([np.zeros((1, lanes)), np.cumsum(np.stack(steps, axis=1), axis=0)])
        total = equity[-1] - equity[0]
        returns = np.diff(equity, axis=0) / 10_000.0
        statistics = {
            **found.statistics,
            "sum_return": total / 10_000.0,
            "sum_return_sq": (returns**2).sum(axis=0),
            "equity_end": equity[-1],
        }
        return Judgement(statistics, equity)


def test_the_best_of_pure_noise_does_not_pass_the_gate() -> None:
    passed = 0
    for seed in range(6):
        data = told(optimizer(Noise()).answer(request(seed=seed, from_ns=START - seed * CYCLE)))
        checks = data.get("checks") or {"deflated_sharpe": 0.0, "overfitting": 1.0, "stability": -1.0}
        good = checks["deflated_sharpe"] >= 0.5 and checks["overfitting"] <= 0.5 and (checks["stability"] or -1) >= 0.5
        passed += good
    assert passed <= 1


def generation(first: int, lanes: int, cycles: int = 10) -> Judgement:
    """Lane k earns k + 1 every cycle."""
    each = np.arange(first, first + lanes) + 1.0
    equity = np.arange(cycles + 1)[:, None] * each
    return Judgement({name: np.ones(lanes, np.int64) for name in ("n_orders", "n_rejects", "n_fills")}, equity)


def test_of_too_many_series_an_even_share_is_kept_early_and_late_ones_alike() -> None:
    trials, judged = Trials(most_bytes=8 * 10 * 5), 0
    for lanes in (4, 1, 5, 3, 8, 2, 16):
        trials.add(generation(judged, lanes))
        judged += lanes
        kept = trials.matrix()[0] - 1.0
        assert kept.tolist() == list(range(0, judged, trials.every)) and len(kept) <= 5
    assert (trials.count, trials.every, trials.activity.candidates) == (39, 8, 39)


def test_where_only_a_share_of_the_candidates_is_looked_at_the_table_says_so() -> None:
    parts = split(START, START + 400 * CYCLE, CYCLE)
    rng = np.random.default_rng(5)
    count, cycles = 24, parts.inside.cycles(CYCLE)
    equity = 10_000.0 + np.concatenate([np.zeros((1, count)), rng.normal(0, 1, (cycles, count)).cumsum(axis=0)])
    judged = Judgement(generation(0, count).statistics, equity)
    for most, words, candidates in ((count, "24 candidates;", 24), (12, "13 candidates (of 24, taken evenly);", 13)):
        trials = Trials(most_bytes=8 * cycles * most)
        trials.add(judged)
        outside = Outside(np.zeros((140, 1)))
        found = assay(trials, judged.increments[:, 1], np.zeros(cycles), outside, parts, CYCLE, count, 0)
        assert found.candidates == candidates and found.overfitting is not None
        rows = {name: meaning for name, _, meaning in validation_rows(found)}
        assert words in rows["Probability of overfitting"]


# -- shadow comparison -------------------------------------------------------------------------------------------------


def test_the_shadow_comparison_is_of_the_two_lanes_on_what_has_come_since() -> None:
    since = START + 340 * CYCLE
    shadow = {
        "proposal_id": "p-1",
        "candidate": {**INCUMBENT, "spread_percentage": 0.3},
        "incumbent": INCUMBENT,
        "from_ns": since,
        "block": 10,
    }
    market = KnownMarket()
    found = told(optimizer(market).answer(request(shadow=shadow)))["shadow"]
    assert market.judged[0] == (Window(since, START + 400 * CYCLE), 2)
    assert (found["proposal_id"], found["cycles"], len(found["differences"])) == ("p-1", 60, 6)
    assert all(value > 0 for value in found["differences"])
    item = optimizer(KnownMarket(fills=2)).answer(request(shadow=shadow))
    assert isinstance(item, StatusMessage) and item.data.shadow is not None  # with a status too


# -- regret ------------------------------------------------------------------------------------------------------------


def test_regret_of_a_poor_incumbent_is_positive_and_what_changing_it_was_worth_is_told() -> None:
    agent = optimizer(KnownMarket())
    assert told(agent.answer(request(0)))["regret"] is None
    traded = [
        {"from_ns": START + 400 * CYCLE, "params": INCUMBENT},
        {"from_ns": START + 410 * CYCLE, "params": {**INCUMBENT, "spread_percentage": 0.3}},
    ]
    found = told(agent.answer(request(1, traded=traded)))["regret"]
    assert found["epochs"] == 1 and found["reference_lanes"] == 64 and found["other_lanes"] > 0
    assert found["ours"] > found["incumbent"] and found["gain"]["total"] == found["ours"] - found["incumbent"]
    assert found["dynamic"]["total"] >= 0.0 and found["dynamic"]["total"] >= found["static"]["total"]
    assert found["gain"]["lower"] is None  # one epoch carries no interval
    assert found["epoch"]["best"] >= max(found["epoch"]["ours"], found["epoch"]["incumbent"])
    for epoch in range(2, 7):
        found = told(agent.answer(request(epoch)))["regret"]
    assert found["epochs"] == 6 and found["gain"]["lower"] <= found["gain"]["total"] <= found["gain"]["upper"]
    assert len(found["fixed_by_epoch"]) == 6


def test_the_reference_set_is_the_same_for_the_whole_session_and_survives_a_restart(tmp_path: Any) -> None:
    agent = optimizer(KnownMarket())
    agent.answer(request(0))
    before = agent.memory.regret["reference"]
    agent.memory.save(tmp_path / "m")
    again = optimizer(KnownMarket(), Memory.load(tmp_path / "m"))
    found = told(again.answer(request(1)))["regret"]
    assert again.memory.regret["reference"] == before and found["epochs"] == 1
    assert before[0] == complete("grid", INCUMBENT) and before[1] == complete("grid", {})
    assert told(agent.answer(request(1)))["regret"] == found


def test_the_archive_is_bounded_and_keeps_the_newest() -> None:
    book = regret.begin(request().data, of_strategy("grid"), INCUMBENT, complete("grid", {}))
    many = [{**INCUMBENT, "spread_percentage": 0.1 + k / 1000} for k in range(300)]
    book = regret.put_forward(book, [*many, many[150]])
    assert len(book.archive) == regret.ARCHIVE and book.archive[-1] == many[150] and many[0] not in book.archive


def test_intervals_of_regret_cover_and_need_some_epochs() -> None:
    covered = 0
    for seed in range(60):
        gains = np.random.default_rng([9, seed]).normal(1.0, 2.0, 40)
        zeros = np.zeros(40)
        found = account(gains, zeros, gains, gains, seed).gain
        assert found.lower is not None and found.upper is not None
        covered += found.lower <= 40.0 <= found.upper
    assert covered >= 50
    few = account([1.0] * 4, [0.0] * 4, [2.0] * 4, [3.0] * 4)
    assert (few.gain.total, few.static.total, few.dynamic.total, few.gain.lower) == (4.0, 4.0, 8.0, None)
    assert few.curves["dynamic"] == (2.0, 4.0, 6.0, 8.0)
    with pytest.raises(ValueError, match="same epochs"):
        account([1.0], [], [1.0], [1.0])
