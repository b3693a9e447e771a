"""A policy in the executor's seat: what it sees and does live is what it sees and does in a backtest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.agents.test_learning_environment import CYCLE, LATENCY, SETTINGS, account_of
from tests.engine.example import market
from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor import seat_fit
from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.environment_tape import Randomisation, TapeSettings
from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.policy_run import run_policy
from tidewright.agents.executor.seat import STRATEGY, Action, Seat, Sitter
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.errors import DataError, UsageError
from tidewright.strategies import shaped
from tidewright.trading.book import Book


def policy(settings: TapeSettings = SETTINGS, seed: int = 3, frames: int = 1, scale: float = 0.7) -> Policy:
    """A network with random weights: it does something else in every state."""
    random = np.random.default_rng(seed)
    inputs, outputs = 8 * frames, 3 + settings.levels + 1 + kernel.STANCES
    weights = tuple(random.normal(0, scale, shape).astype(np.float32) for shape in ((12, inputs), (outputs, 12)))
    biases = tuple(random.normal(0, 0.2, size).astype(np.float32) for size in (12, outputs))
    header = {"environment": settings.to_json(), "version": "0.0.0"}
    return Policy(
        Spaces(8, 3, (settings.levels + 1, kernel.STANCES)), (Network(weights, biases),), frames, "relu", header
    )


def sitter(tmp_path: Path, name: str = "p", **options) -> Sitter:
    policy(**options).save(tmp_path / f"{name}.tw")
    return Sitter.load(tmp_path / f"{name}.tw")


@pytest.mark.parametrize("frames", [1, 3])
def test_a_session_sees_and_does_what_a_backtest_does_to_the_byte(tmp_path, frames):
    tape, sits = market(), sitter(tmp_path, frames=frames)
    assert sits.policy is not None
    _, steered = run_policy(tape, sits.policy)

    first = int(tape.data.ts[0])
    names = ("base_rule", "gamma", "kappa", "intensity", "horizon_s", "levels")
    params = {name: getattr(SETTINGS, name) for name in names}
    params |= dict(zip(("base_quantity", "max_position"), steered.sizes, strict=True))
    config = ReplayConfig(first, CYCLE, LATENCY, LATENCY, limits=SETTINGS.limits, ask=True, record_fills=1)
    replay = Replay(tape.instrument, config, STRATEGY, params, 1, quote_units=10**12)
    book, executor = Book(), Executor(tape.instrument, first, CYCLE, STRATEGY, params, SETTINGS.limits)
    executor.pilot = seat = Seat(sits)
    receipt = np.maximum.accumulate(np.maximum(tape.data.ts, tape.data.ts_local))
    row, known, index, states, actions = 0, 0, 0, [], []
    still = (np.zeros((1, 3), np.float32), np.array([[0, 2]]))
    row, decides = replay.run_to_decision(tape.data, row)
    while decides:
        now = first + (index + 1) * CYCLE
        stop = int(np.searchsorted(receipt, now, side="right"))
        book.apply(tape.data.rows(known, stop))
        known = stop
        if index < SETTINGS.warm_up:
            executor.watch(book.now())
            kernel.steer(replay.address, *still, 0)
        else:
            decision = executor.decide(now, book.now(), account_of(replay, now, book))
            assert decision is not None
            assert seat.newest is not None
            states.append(np.array(decision.state, np.float32))
            actions.append(seat.newest)
            done = (np.array([seat.newest.continuous], np.float32), np.array([seat.newest.discrete]))
            kernel.steer(replay.address, *done, SETTINGS.levels)
        index += 1
        row, decides = replay.run_to_decision(tape.data, row)
    assert len(states) == len(steered.observations) > 50
    assert [state.tobytes() for state in states] == [seen[0].tobytes() for seen in steered.observations]
    assert [np.array(one.continuous, np.float32).tobytes() for one in actions] == [
        continuous[0].tobytes() for continuous, _ in steered.actions
    ]
    assert [one.discrete for one in actions] == [tuple(discrete[0].tolist()) for _, discrete in steered.actions]
    assert len({one.discrete for one in actions}) > 2


MARKET = MarketNow(True, 5_999_000, 6_001_000, 100, 300)
FLAT = AccountNow(0, 0, 10_000.0, 0.0)


def decide(executor: Executor, count: int, first: int = 1) -> list:
    found = []
    for k in range(first, first + count):
        moved = MARKET._replace(best_bid=MARKET.best_bid + 400 * (k % 5), best_ask=MARKET.best_ask + 400 * (k % 5))
        account = AccountNow(k % 3 - 1, k % 3 - 1, 10_000.0 + k % 7, 60_000.0)
        found.append(executor.decide(k * CYCLE, moved, account))
    return found


def executor_of(sits: Sitter) -> Executor:
    executor = Executor(
        market().instrument, 0, CYCLE, STRATEGY, {"base_quantity": 0.0004, "max_position": 0.0012}, SETTINGS.limits
    )
    executor.pilot = Seat(sits)
    return executor


@pytest.mark.parametrize("frames", [1, 3])
def test_an_executor_that_is_told_its_past_decides_as_if_it_had_never_stopped(tmp_path, frames):
    sits = sitter(tmp_path, frames=frames)
    whole = executor_of(sits)
    before, after = decide(whole, 20), decide(whole, 10, first=21)
    again = executor_of(sits)
    assert isinstance(again.pilot, Seat)
    for k, decision in enumerate(before, start=1):
        mid2 = MARKET.mid2 + 2 * 400 * (k % 5)
        again.recall(k * CYCLE, k % 3 - 1, 10_000.0 + k % 7, mid2)
        again.pilot.recall(decision.state)
    assert decide(again, 10, first=21) == after


def test_the_base_rule_sits_as_if_nobody_did(tmp_path):
    params = {"base_quantity": 0.0004, "max_position": 0.0012}
    plain = Executor(market().instrument, 0, CYCLE, STRATEGY, params, SETTINGS.limits)
    assert decide(executor_of(Sitter()), 5) == decide(plain, 5)


def test_a_policy_that_sits_does_not_change_the_parameters_in_use(tmp_path):
    executor = executor_of(sitter(tmp_path))
    before = dict(executor.params)
    decide(executor, 5)
    assert executor.params == before


def test_a_share_of_the_quantity_is_quoted(tmp_path):
    whole, half = executor_of(Sitter()), executor_of(Sitter())
    half.scale = 0.5
    full, small = decide(whole, 1)[0], decide(half, 1)[0]
    assert [price for price, _ in full.bids] == [price for price, _ in small.bids]
    assert {2 * lots for _, lots in small.bids} == {lots for _, lots in full.bids}


def test_an_action_in_words():
    assert Action((0.5, 0.1, 0.0), (2, 2)).words() == "hold, 2 levels, spread x2.00, skew +0.10"
    assert Action((0.5, 0.1, 0.0), (0, 4)).words() == "stands aside (strong buy)"


def test_another_file_under_the_name_of_a_policy_is_refused(tmp_path):
    reference = sitter(tmp_path).reference()
    policy(seed=9).save(tmp_path / "p.tw")
    with pytest.raises(DataError, match="is another one"):
        Sitter.of(reference)
    assert Sitter.of({"name": "base", "path": "", "sha256": ""}).policy is None


# -- whether it fits ---------------------------------------------------------------------------------------------------


def test_what_a_policy_did_not_learn_for_is_named_with_what_would_fit(tmp_path):
    sits = sitter(tmp_path)
    assert seat_fit.mismatches(sits, STRATEGY, CYCLE) == []
    assert seat_fit.mismatches(Sitter(), "grid", 1) == []
    wrong = seat_fit.mismatches(sits, "grid", 3 * CYCLE)
    assert any("steers the strategy shaped" in reason for reason in wrong)
    assert any('set cycle = "10s"' in reason for reason in wrong)


def test_a_policy_that_looks_at_queues_cannot_sit(tmp_path):
    settings = replace(SETTINGS, extended=True)
    sits = sitter(tmp_path, settings=settings)
    assert "train one without --extended" in seat_fit.mismatches(sits, STRATEGY, CYCLE)[0]


def test_sizes_keep_the_proportions_that_were_learned(tmp_path):
    settings = replace(SETTINGS, capital=20_000.0)
    sits = sitter(tmp_path, settings=settings)
    share = settings.limits.max_position_share
    assert share is not None
    quote, largest = seat_fit.sizes(sits, 200_000.0, 50_000.0, 1e-5, share)
    assert largest == pytest.approx(0.5 * share * 200_000.0 / 50_000.0, abs=1e-5)
    assert quote == pytest.approx(largest / settings.levels, abs=2e-5)
    allowed = share * 200_000.0 / 50_000.0
    assert seat_fit.size_mismatches(sits, quote, largest, allowed) == []
    assert "set max_position to about" in seat_fit.size_mismatches(sits, quote, 3 * largest, allowed)[0]
    assert "base_quantity" in seat_fit.size_mismatches(sits, quote / 4, largest, allowed)[0]


def test_an_account_that_is_too_small_for_a_lot_is_told_what_is_enough(tmp_path):
    sits = sitter(tmp_path)
    with pytest.raises(UsageError, match="is enough") as error:
        seat_fit.sizes(sits, 10.0, 50_000.0, 1e-3, 0.01)
    enough = float(str(error.value).split("equity of ")[1].split()[0])
    assert seat_fit.sizes(sits, enough * 1.01, 50_000.0, 1e-3, 0.01)[0] >= 1e-3


def test_a_fee_it_never_paid_speaks_against_a_policy(tmp_path):
    settings = replace(SETTINGS, random=Randomisation((50_000, 100_000)))
    sits = sitter(tmp_path, settings=settings)
    assert not any("maker fee" in reason for reason in seat_fit.doubts(sits, 75_000))
    assert any("maker fee is 20 bp, it learned with 5 to 10 bp" in reason for reason in seat_fit.doubts(sits, 200_000))
    assert any("never examined" in reason for reason in seat_fit.doubts(sits, 75_000))
    assert seat_fit.doubts(Sitter(), 75_000) == []
    untold = sitter(tmp_path, "q", settings=SETTINGS)
    assert any("does not say with which maker fees" in reason for reason in seat_fit.doubts(untold, 75_000))


def test_the_written_row_is_the_one_of_training(tmp_path):
    executor = executor_of(sitter(tmp_path))
    assert isinstance(executor.pilot, Seat)
    state = np.linspace(-1.0, 1.0, 8)
    row = np.array([executor.params[name] for name in executor.strategy.names])
    written = executor.pilot.steer(state, row)
    newest = executor.pilot.newest
    assert newest is not None
    expected = row.copy()
    kernel.shape(expected, np.array(newest.continuous, np.float32), np.array(newest.discrete), SETTINGS.levels)
    assert written.tobytes() == expected.tobytes()
    assert written[shaped.KAPPA] == row[shaped.KAPPA]
