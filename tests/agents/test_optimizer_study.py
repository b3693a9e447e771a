"""The whole study in a market that is known: judged in and out of sample, and by what came true."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.judge import Judgement, Params
from tidewright.agents.optimizer.memory import Forecast, Memory
from tidewright.agents.optimizer.space import of_strategy
from tidewright.agents.optimizer.study import Plan, complete, study
from tidewright.agents.optimizer.windows import Window, split
from tidewright.coordination.messages import (
    Message,
    OptimizeRequestMessage,
    ParameterUpdateMessage,
    StatusMessage,
    encode,
    message,
    validate,
)
from tidewright.market.clock import SECOND
from tidewright.market.errors import DataError, UsageError
from tidewright.measure.figures import equity_statistics

CYCLE = 30 * SECOND
START = 1_750_000_000 * SECOND
INCUMBENT = {"spread_percentage": 0.05, "levels": 2, "base_quantity": 0.01, "max_position": 0.1}


class KnownMarket:
    """Earns most at a spread of 0.3 %; every lane has the market's common noise and some of its own.

    A stand-in for the engine, handed to the optimizer as its judge.
    """

    def __init__(self, edge: float = 1.0, best: float = 0.3, fills: int = 200) -> None:
        self.edge = edge
        self.best = best
        self.fills = fills
        self.judged: list[tuple[Window, int]] = []

    def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
        cycles = window.cycles(CYCLE)
        self.judged.append((window, lanes))
        spread = np.broadcast_to(np.asarray(params["spread_percentage"], np.float64), (lanes,))
        rng = np.random.default_rng(window.start_ns % 2**32)
        common = rng.normal(0.0, 1.0, (cycles, 1))
        # Own noise depends on the parameters alone, so that equal lanes are equal whatever stands beside them.
        own = np.sin(np.arange(cycles)[:, None] * (1.0 + spread * 7.0)) * 0.3
        drift = -self.edge * np.log(spread / self.best) ** 2 + 0.5
        equity = 10_000.0 + np.concatenate([np.zeros((1, lanes)), np.cumsum(common + own + drift, axis=0)])
        ts = window.start_ns + CYCLE * np.arange(cycles + 1)
        parts: list[dict[str, Any]] = [equity_statistics(ts, equity[:, lane]) for lane in range(lanes)]
        zeros = np.zeros(lanes)
        names = ("n_orders", "n_cancels", "n_rejects", "n_buys", "n_sells", "volume_quote", "fees_base", "fees_quote")
        closed = ("n_closed", "sum_closed", "sum_closed_sq", "n_wins", "sum_win", "sum_loss", "sum_duration_ns")
        rest = dict.fromkeys((*names, *closed, "max_abs_position_lots", "time_in_position_ns"), zeros)
        statistics = {**rest, **{key: np.array([float(part[key]) for part in parts]) for key in parts[0]}}
        statistics["n_fills"] = np.full(lanes, self.fills)
        return Judgement(statistics, equity if record else None)


def request(epoch: int = 0, **data: Any) -> OptimizeRequestMessage:
    until = START + 400 * CYCLE + epoch * 60 * CYCLE
    content = {
        "tape": "no such tape",
        "rows": 10,
        "from_ns": START,
        "until_ns": until,
        "strategy": "grid",
        "incumbent": INCUMBENT,
        "equity": "10000",
        "epoch_ns": 60 * CYCLE,
        "candidates": 32,
        "seed": 7,
        "request_id": f"r-{epoch}",
        **data,
    }
    item = message("optimize_request", until, "session", "optimizer", content)
    assert isinstance(item, OptimizeRequestMessage)
    return item


def optimizer(market: KnownMarket, memory: Memory | None = None) -> Optimizer:
    return Optimizer(memory, judge_of=lambda data, earliest: market)


def proposal(item: Message) -> ParameterUpdateMessage:
    assert isinstance(item, ParameterUpdateMessage), encode(item)
    return item


def test_the_windows_do_not_touch_and_the_latency_widens_the_embargo() -> None:
    parts = split(START, START + 100 * CYCLE, CYCLE)
    assert parts.outside == Window(START + 65 * CYCLE, START + 100 * CYCLE)
    assert parts.inside == Window(START, START + 64 * CYCLE)
    late = split(START, START + 100 * CYCLE, CYCLE, latency_ns=CYCLE + 1)
    assert late.embargo == 3 and late.outside.start_ns - late.inside.end_ns == 3 * CYCLE
    with pytest.raises(UsageError, match=r"40 cycles in sample.* 63 cycles would be enough: 32 min of market"):
        split(START, START + 50 * CYCLE, CYCLE)
    assert split(START, START + 63 * CYCLE, CYCLE).inside.cycles(CYCLE) >= 40
    with pytest.raises(UsageError):
        split(START, START + 62 * CYCLE, CYCLE)


def test_a_poor_incumbent_is_answered_with_a_better_proposal_that_is_a_valid_message() -> None:
    item = proposal(optimizer(KnownMarket()).answer(request()))
    assert validate(encode(item)) == item
    data = json.loads(encode(item))["data"]
    assert data["optimized_params"]["spread_percentage"] == pytest.approx(0.3, rel=0.3)
    assert data["optimized_params"]["base_quantity"] == 0.01 and isinstance(data["optimized_params"]["levels"], int)
    assert data["confidence_score"] > 0.7
    assert data["in_reply_to"] == "r-0" and data["trials"] == 64 and data["seed"] == 7
    assert data["out_of_sample"]["candidate"]["score"] > data["out_of_sample"]["incumbent"]["score"]
    assert data["paired"]["lower"] > 0 and data["paired"]["cycles"] == 140
    assert data["undefined"] == ["sqn_score"] and data["performance_metrics"]["sqn_score"] == 0.0
    assert data["reliability"] == {"n": 0, "bins": []} | dict.fromkeys(
        ("brier", "skill", "reliability", "resolution", "uncertainty", "ece")
    )
    assert (item.source_agent, item.target_agent, item.timestamp_ns) == ("optimizer", "session", START + 400 * CYCLE)


def test_the_answer_is_the_same_for_a_seed() -> None:
    first, again = (encode(optimizer(KnownMarket()).answer(request())) for _ in range(2))
    assert first == again
    assert first != encode(optimizer(KnownMarket()).answer(request(seed=8)))


def test_nothing_of_the_out_of_sample_window_is_seen_by_the_search() -> None:
    market = KnownMarket()
    optimizer(market).answer(request())
    searched = [window for window, lanes in market.judged if lanes == 32]
    outside = max((window for window, _ in market.judged), key=lambda window: window.start_ns)
    assert len(searched) == 2
    assert all(window.end_ns + CYCLE <= outside.start_ns for window in searched)


def test_when_the_incumbent_is_best_nothing_is_proposed_with_confidence() -> None:
    best = {**INCUMBENT, "spread_percentage": 0.3}
    item = optimizer(KnownMarket(edge=30.0)).answer(request(incumbent=best))
    if isinstance(item, ParameterUpdateMessage):
        assert item.data.confidence_score < 0.6
    else:
        assert isinstance(item, StatusMessage) and item.data.state == "no_proposal" and item.data.reason


def test_lanes_that_do_not_trade_are_no_proposal_and_it_says_so() -> None:
    item = optimizer(KnownMarket(fills=2)).answer(request())
    assert isinstance(item, StatusMessage)
    assert item.data.state == "no_proposal" and "traded" in item.data.reason and item.data.in_reply_to == "r-0"
    assert "none of 64 sent an order" in item.data.reason


def test_what_hardly_trades_out_of_sample_is_no_proposal_and_it_says_so() -> None:
    class Quiet(KnownMarket):
        """Trades in sample and hardly after it."""

        def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
            self.fills = 200 if window.start_ns == START else 2
            return super().evaluate(window, params, lanes, record)

    item = optimizer(Quiet()).answer(request())
    assert isinstance(item, StatusMessage)
    assert item.data.state == "no_proposal" and "out of sample none of the candidates traded enough" in item.data.reason
    assert "the chosen one had 2 fills, 5 would be enough" in item.data.reason  # ten in proportion to the window


def test_earlier_proposals_are_judged_by_what_came() -> None:
    market = KnownMarket()
    agent = optimizer(market)
    proposal(agent.answer(request(0)))
    second = proposal(agent.answer(request(1)))
    made = START + 400 * CYCLE
    assert (Window(made, made + 60 * CYCLE), 2) in market.judged
    data = json.loads(encode(second))["data"]
    assert data["reliability"]["n"] == 1
    _, confidence, outcome = agent.memory.settled[0]
    assert outcome == 1.0
    assert data["reliability"]["brier"] == pytest.approx((confidence - 1.0) ** 2, abs=1e-6)
    assert data["trials"] == 128
    told = data["settled"][0]
    assert told["proposal_id"] == f"optimizer-{made}" and told["sent"] and told["outcome"] == 1.0
    assert told["confidence_score"] == confidence and told["difference"] > 0
    assert agent.memory.calibration().apply(0.8) > 0.8  # one success makes it a little surer
    ahead = data["next_epoch"]
    assert ahead["lower"] < ahead["expected"] < ahead["upper"] and ahead["level"] == 0.9
    assert ahead["n"] == 1 and len(agent.memory.errors) == 1
    assert ahead["expected"] == pytest.approx(60 * data["paired"]["edge"])


def test_a_market_that_turns_makes_it_less_sure() -> None:
    market = KnownMarket()
    agent = optimizer(market)
    first = proposal(agent.answer(request(0)))
    market.best = 0.02  # the epoch that follows rewards the incumbent after all
    until = START + 460 * CYCLE
    agent._settle(market, request(1).data, list(agent.memory.pending))
    assert agent.memory.settled[0][2] == 0.0 and not agent.memory.pending
    assert agent.memory.calibration().apply(0.8) < 0.8
    assert first.timestamp_ns + 60 * CYCLE == until


def test_too_little_market_or_a_wrong_name_is_a_status_not_a_crash() -> None:
    agent = optimizer(KnownMarket())
    for item, words in (
        (request(from_ns=START + 390 * CYCLE), "judging needs"),
        (request(strategy="gird"), "unknown strategy"),
        (request(space={"levels": {"low": 1, "high": 99, "kind": "int"}}), "within"),
    ):
        answer = agent.answer(item)
        assert isinstance(answer, StatusMessage) and answer.data.state == "error" and words in answer.data.reason
    missing = Optimizer().answer(request())
    assert isinstance(missing, StatusMessage) and "no tape" in missing.data.reason


def test_the_deflated_sharpe_falls_with_the_number_of_trials() -> None:
    plan = Plan(
        strategy="grid",
        space=of_strategy("grid"),
        incumbent=complete("grid", INCUMBENT),
        split=split(START, START + 400 * CYCLE, CYCLE),
        cycle_ns=CYCLE,
        horizon=60,
        candidates=32,
    )
    few, many = (
        study(KnownMarket(), plan, Memory(trials=trials, sharpe_count=10**6, sharpe_square=10**6 * 0.04))
        for trials in (100, 100_000)
    )
    assert few.deflated is not None and many.deflated is not None
    assert 0.0 < many.deflated.by_trials < few.deflated.by_trials < 1.0
    assert many.deflated.by_sampling < few.deflated.by_sampling
    assert many.trials == 100_064


def test_trials_are_counted_and_their_variance_is_exact() -> None:
    memory = Memory()
    draws = np.random.default_rng(0).normal(0.1, 2.0, 300)
    for part in (draws[:100], draws[100:103], draws[103:]):
        memory.count_trials(np.concatenate([part, [np.nan]]))
    assert memory.trials == 303
    assert memory.sharpe_variance == pytest.approx(draws.var(ddof=1), rel=1e-12)


def test_memory_survives_a_restart_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    forecast = Forecast("p-1", 1, 2, "grid", {"levels": 1.0}, {"levels": 2.0}, 0.6, 0.55, True)
    memory = Memory(epochs=3, trials=9, pending=[forecast], elites=[{"levels": 1.0}])
    memory.settle(forecast, -1.0)
    memory.settle(forecast, 0.0)
    memory.save(tmp_path / "m")
    assert Memory.load(tmp_path / "m") == memory
    assert [item[2] for item in memory.settled] == [0.0, 0.5]
    assert Memory.load(tmp_path / "none") == Memory()
    (tmp_path / "m").write_text('{"version": 1, "pending": 5}')
    with pytest.raises(DataError, match="damaged"):
        Memory.load(tmp_path / "m")
