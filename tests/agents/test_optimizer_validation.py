"""Validation, stability and regret of the optimizer in markets whose truth is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agents.test_optimizer_study import CYCLE, INCUMBENT, START, KnownMarket, optimizer, proposal, request
from tidewright.agents.optimizer import regret
from tidewright.agents.optimizer.advisor import settings
from tidewright.agents.optimizer.judge import Judge, Judgement, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.space import Dimension, Space, of_strategy
from tidewright.agents.optimizer.stability import neighbours, stability
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.validation import Outside, Trials, assay
from tidewright.agents.optimizer.windows import Window, split
from tidewright.coordination.messages import StatusMessage, encode
from tidewright.coordination.payloads import OptimizeRequest
from tidewright.market.clock import MINUTE
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
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
    beside = told(optimizer(KnownMarket(), Memory(elsewhere=100_000)).answer(request()))  # for the session's others
    assert beside["trials"] == beside["validation"]["trials"] == 100_064
    assert beside["validation"]["expected_best"] > 1.5 * first["expected_best"]
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
    assert found["epochs"] == 1 and found["other_lanes"] > 0
    assert found["compared"] > regret.REFERENCES + 2 and found["waiting"] == 0  # what was chosen and what traded
    assert found["ours"] > found["incumbent"] and found["gain"]["total"] == found["ours"] - found["incumbent"]
    assert found["dynamic"]["total"] >= 0.0 and found["dynamic"]["total"] >= found["static"]["total"]
    assert found["gain"]["lower"] is None  # one epoch carries no interval
    assert found["epoch"]["best"] >= max(found["epoch"]["ours"], found["epoch"]["incumbent"])
    for epoch in range(2, 7):
        found = told(agent.answer(request(epoch)))["regret"]
    assert found["epochs"] == 6 and found["gain"]["lower"] <= found["gain"]["total"] <= found["gain"]["upper"]
    assert len(found["fixed_by_epoch"]) == len(found["best_by_epoch"]) == 6


def epoch_of(number: int, **data: Any) -> OptimizeRequest:
    """The request at the end of an epoch of 60 cycles."""
    return request(number, **data).data


def begun(number: int = 0) -> regret.Book:
    return regret.begin(epoch_of(number), of_strategy("grid"), complete("grid", INCUMBENT), complete("grid", {}))


def grid(**more: float) -> dict[str, float]:
    return complete("grid", {**INCUMBENT, **more})


def test_a_set_that_is_found_late_is_compared_over_the_epochs_before_it_too() -> None:
    market, book = KnownMarket(), begun()
    for number in range(1, 4):
        book = regret.settle(lambda asked, begin: market, book, epoch_of(number), grid())
    before = regret.told(book)
    book = regret.settle(lambda asked, begin: market, book, epoch_of(4), grid(), [grid(spread_percentage=0.3)])
    after = regret.told(book)
    assert before is not None and after is not None
    assert (before["compared"], after["compared"], after["waiting"]) == (256, 257, 0)
    assert after["best_fixed"]["params"]["spread_percentage"] == 0.3  # the best there is: no drawn one equals it
    assert after["static"]["total"] > before["static"]["total"] * 4 / 3
    assert after["dynamic"]["total"] >= after["static"]["total"]  # the best of earlier epochs is told anew
    best = [market.evaluate(Window(*epoch["window"]), grid(spread_percentage=0.3), 1) for epoch in book.epochs]
    earned = [float(item.statistics["equity_end"][0] - item.statistics["equity_start"][0]) for item in best]
    assert after["fixed_by_epoch"] == earned


@pytest.mark.parametrize(
    ("strategy", "late"), [("grid", {"spread_percentage": 0.04}), ("glft", {"gamma": 0.02})], ids=("grid", "glft")
)
def test_on_a_real_tape_a_late_set_gets_what_it_would_have_got_from_the_beginning(
    tmp_path: Path, strategy: str, late: dict[str, float]
) -> None:
    tape = synthesize(tmp_path / "tape", hours=1.0, seed=3, rate=2.0)
    more = {"tape": str(tape.path), "rows": len(tape), "limits": {"max_position_share": 0.5}, "from_ns": tape.start_ns}
    first = complete(strategy, {name: INCUMBENT[name] for name in ("base_quantity", "max_position")})
    more |= {"strategy": strategy, "incumbent": {**first, "levels": 2}}  # glft has no spread: none may be made up
    ends = [tape.start_ns + number * 10 * MINUTE for number in (1, 2, 3, 4)]
    asked = [epoch_of(0, until_ns=end, equity=f"{10_000 + k}", **more) for k, end in enumerate(ends)]
    seen: list[tuple[str, int]] = []

    def judge_of(data: OptimizeRequest, begin: int) -> Judge:
        seen.append((data.equity, begin))
        return ShadowJudge(tape, data.rows, data.strategy, settings(data), begin)

    late = {**first, **late}
    late_book = early_book = regret.begin(asked[0], of_strategy(strategy), first, complete(strategy, {}))
    for data in asked[1:]:
        early_book = regret.settle(judge_of, early_book, data, first, [late])
    for data in asked[1:3]:
        late_book = regret.settle(judge_of, late_book, data, first)
    late_book = replace(late_book, epochs=json.loads(json.dumps(late_book.epochs)))  # as after a restart
    seen.clear()
    late_book = regret.settle(judge_of, late_book, asked[3], first, [late])
    assert late_book.obstacle == ""
    assert [epoch["reference"] for epoch in late_book.epochs] == [epoch["reference"] for epoch in early_book.epochs]
    assert late_book.epochs[0]["reference"][-1] != 0.0
    assert seen == [("10001", ends[0]), ("10002", ends[1]), ("10003", ends[2])]  # each as its own request asked


def test_what_traded_is_compared_at_full_size() -> None:
    traded = [
        {"from_ns": START + 400 * CYCLE, "params": {**INCUMBENT, "spread_percentage": 0.2, "base_quantity": 0.002}}
    ]
    book = regret.settle(lambda asked, begin: KnownMarket(), begun(), epoch_of(1, traded=traded), grid())
    assert book.reference[256:] == [grid(spread_percentage=0.2)]
    assert book.epochs[0]["ours"] == book.epochs[0]["reference"][256]


def test_in_long_sessions_the_look_back_waits_until_a_tenth_more_epochs_have_come() -> None:
    market, book, first = KnownMarket(), begun(), START + 400 * CYCLE
    old = regret.settle(lambda asked, begin: market, book, epoch_of(1), grid()).epochs[0]
    windows = [[first - (k + 1) * 60 * CYCLE, first - k * 60 * CYCLE] for k in range(regret.EAGER + 1)][::-1]
    book = replace(book, epochs=[{**old, "window": window} for window in windows], since=0)
    waiting = []
    for number in range(1, 13):
        book = regret.settle(lambda asked, begin: market, book, epoch_of(number), grid(), [grid(spread_percentage=0.3)])
        found = regret.told(book)
        assert found is not None and found["compared"] + found["waiting"] == 257
        waiting.append(found["waiting"])
    assert waiting == [1] * 11 + [0]  # 97 epochs, and 11 of 108


def test_what_cannot_be_judged_over_the_past_waits_and_is_not_compared() -> None:
    market = KnownMarket()
    book = regret.settle(lambda asked, begin: market, begun(), epoch_of(1), grid())

    def gone(data: OptimizeRequest, begin_ns: int) -> Judge:
        if begin_ns < START + 460 * CYCLE:
            raise UsageError("the policy of then is gone")
        return market

    book = regret.settle(gone, book, epoch_of(2), grid(), [grid(spread_percentage=0.3)])
    found = regret.told(book)
    assert found is not None and (found["epochs"], found["compared"], found["waiting"]) == (2, 256, 1)
    assert found["obstacle"] == "the policy of then is gone"
    assert found["best_fixed"]["params"]["spread_percentage"] != 0.3


def test_of_too_many_fixed_sets_those_that_earned_least_go_but_are_counted_and_the_first_stays() -> None:
    many = [grid(spread_percentage=0.3, max_position=0.1 + k / 1000) for k in range(regret.MOST - 200)]
    book = regret.settle(lambda asked, begin: KnownMarket(), begun(), epoch_of(1), grid(), many)
    found = regret.told(book)
    assert len(book.reference) == len(book.epochs[0]["reference"]) == regret.MOST and book.reference[0] == grid()
    assert found is not None and found["compared"] == 256 + len(many) and many[-1] in book.reference
    again = regret.told(regret.settle(lambda asked, begin: KnownMarket(), book, epoch_of(2), grid(), book.dropped))
    assert again is not None and again["compared"] == found["compared"]  # none is counted twice


def test_an_account_of_an_earlier_version_begins_anew() -> None:
    kept = begun().to_json()
    assert regret.of_memory({}) is None and regret.of_memory(kept) == begun()
    assert regret.of_memory({**kept, "epochs": [{"reference": [1.0]}]}) is None


def test_the_reference_set_is_the_same_for_the_whole_session_and_survives_a_restart(tmp_path: Any) -> None:
    agent = optimizer(KnownMarket())
    agent.answer(request(0))
    before = agent.memory.regret["reference"]
    agent.memory.save(tmp_path / "m")
    again = optimizer(KnownMarket(), Memory.load(tmp_path / "m"))
    found = told(again.answer(request(1)))["regret"]
    assert again.memory.regret["reference"][: len(before)] == before and found["epochs"] == 1
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
