"""The tape environment: the engine itself, steered, and what a lane sees."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.engine.example import market
from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor.environment_tape import Randomisation, TapeEnvironment, TapeSettings, starts
from tidewright.agents.executor.evaluation import evaluate, interval
from tidewright.agents.executor.executor import AccountNow, Executor
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.policy_run import run_policy, tape_hash
from tidewright.agents.executor.reward import Reward
from tidewright.engine.backtest import backtest
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.errors import UsageError
from tidewright.risk.limits import OFF, Limits
from tidewright.trading.book import Book
from tidewright.trading.ledger import Ledger, LedgerState

SECOND = 1_000_000_000
CYCLE = 10 * SECOND
LATENCY = 50_000_000
SETTINGS = TapeSettings(cycle_ns=CYCLE, decisions=30, warm_up=3, entry_ns=LATENCY, response_ns=LATENCY, kappa=1.0)
SETTINGS_VALUES = {name: getattr(SETTINGS, name) for name in SETTINGS.__slots__}
NEUTRAL = (np.zeros(3, np.float32), np.array([3, 2], np.int64))


def environment(
    lanes: int = 4, cohorts: int = 2, seed: int = 0, threads: int = 1, settings=SETTINGS
) -> TapeEnvironment:
    return TapeEnvironment([market()], lanes, cohorts, settings, seed, threads)


def actions(lanes: int, count: int, seed: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [
        (
            random.uniform(-1.2, 1.2, (lanes, 3)).astype(np.float32),
            np.stack((random.integers(0, 4, lanes), random.integers(0, 5, lanes)), axis=1),
        )
        for _ in range(count)
    ]


# -- the engine under it -----------------------------------------------------------------------------------------------


def lanes_statistics(strategy: str, params: dict, ask: bool) -> dict[str, np.ndarray]:
    tape = market()
    config = ReplayConfig(cycle_ns=CYCLE, entry_ns=LATENCY, response_ns=LATENCY, limits=Limits(), ask=ask)
    replay = Replay(tape.instrument, config, strategy, params, 2, quote_units=10**12)
    row, decides = 0, True
    while decides and ask:
        row, decides = replay.run_to_decision(tape.data, row)
    if not ask:
        replay.feed(tape.data)
    replay.finish()
    return {**replay.statistics(), **{name: np.array(count) for name, count in replay.counts().items()}}


def test_an_engine_that_asks_at_every_decision_gives_the_same_bytes_as_one_that_does_not():
    params = {"base_quantity": 0.0002, "max_position": 0.0008, "kappa": 1.0}
    asked, plain = (lanes_statistics("shaped", params, ask) for ask in (True, False))
    assert plain["n_fills"].min() > 0
    assert {name: values.tobytes() for name, values in asked.items()} == {
        name: values.tobytes() for name, values in plain.items()
    }


@pytest.mark.parametrize(("base_rule", "strategy"), [(0, "glft"), (1, "avellaneda_stoikov")])
def test_a_neutral_action_is_the_base_rule(base_rule, strategy):
    common = {"base_quantity": 0.0002, "max_position": 0.0008, "kappa": 1.0, "gamma": 0.01, "levels": 3}
    shaped = lanes_statistics("shaped", {**common, "base_rule": base_rule}, ask=True)
    base = lanes_statistics(strategy, common, ask=False)
    assert base["n_fills"].min() > 0
    assert all(shaped[name].tobytes() == base[name].tobytes() for name in base)


def test_parameters_written_at_a_decision_are_those_it_is_taken_with():
    tape = market()
    config = ReplayConfig(cycle_ns=CYCLE, entry_ns=LATENCY, response_ns=LATENCY, ask=True, record_fills=1)
    params = {"base_quantity": 0.0002, "max_position": 1.0, "levels": 3, "kappa": 1.0}
    replay = Replay(tape.instrument, config, "shaped", params, 2, quote_units=10**12)
    still, quoting = np.array([0, 2]), np.array([3, 4])  # nothing; only bids
    row, decides = replay.run_to_decision(tape.data, 0)
    while decides:
        kernel.steer(replay.address, np.zeros((2, 3), np.float32), np.stack((still, quoting)), 3)
        row, decides = replay.run_to_decision(tape.data, row)
    assert row == len(tape.data.ts)
    statistics = replay.statistics()
    assert statistics["n_orders"][0] == 0
    assert statistics["n_buys"][1] > 0
    assert statistics["n_sells"][1] == 0


def test_an_engine_that_asks_refuses_orders_that_take_longer_than_a_cycle():
    with pytest.raises(UsageError, match="latencies <= cycle_ns"):
        ReplayConfig(cycle_ns=CYCLE, entry_ns=CYCLE + 1, ask=True)


# -- one observation for training, backtest and live -------------------------------------------------------------------


def test_training_and_live_see_the_same_bytes_on_the_same_events():
    """Live: the book of a session fed what was received, its ledger fed the fills it knows, and its executor."""
    tape, steps = market(), 60
    settings = TapeSettings(**{**SETTINGS_VALUES, "decisions": steps})
    trained = Cohorted(settings)
    chosen = actions(1, steps)
    seen = [trained.observation()]
    for continuous, discrete in chosen:
        trained.step(continuous, discrete)
        seen.append(trained.observation())

    config = ReplayConfig(
        int(tape.data.ts[0]), CYCLE, LATENCY, LATENCY, limits=settings.limits, ask=True, record_fills=1
    )
    sized = dict(zip(("base_quantity", "max_position"), trained.sizes(), strict=True))
    params = {"levels": settings.levels, "kappa": settings.kappa, **sized}
    replay = Replay(tape.instrument, config, "shaped", params, 1, quote_units=10**12)
    still = (np.zeros((1, 3), np.float32), np.array([[0, 2]]))
    taken = [*[still] * (settings.warm_up), *chosen]
    book, executor = Book(), Executor(tape.instrument, int(tape.data.ts[0]), CYCLE, "grid", {}, settings.limits)
    row = known = 0
    lived = []
    receipt = np.maximum.accumulate(np.maximum(tape.data.ts, tape.data.ts_local))
    for index in range(settings.warm_up + steps + 1):
        row, decides = replay.run_to_decision(tape.data, row)
        assert decides
        now = int(tape.data.ts[0]) + (index + 1) * CYCLE
        stop = int(np.searchsorted(receipt, now, side="right"))
        book.apply(tape.data.rows(known, stop))
        known = stop
        if index < settings.warm_up:
            executor.watch(book.now())
        else:
            account = account_of(replay, now, book)
            decision = executor.decide(now, book.now(), account)
            assert decision is not None
            lived.append(np.array(decision.state, np.float32))
        if index < len(taken):
            kernel.steer(replay.address, *taken[index], settings.levels)
    assert replay.statistics()["n_fills"][0] > 5
    assert [one.tobytes() for one in lived] == [one.tobytes() for one in seen]
    assert np.ptp(np.array(seen), axis=0).min() > 0  # every number moves


class Cohorted:
    """One lane of the environment from the beginning of the tape."""

    def __init__(self, settings: TapeSettings) -> None:
        self.environment = TapeEnvironment([market()], 1, 1, settings)
        cohort = self.environment.cohorts[0]
        cohort.places = cohort.places[:1]
        self.environment.reset()

    def step(self, continuous, discrete) -> None:
        self.last = self.environment.step(continuous, discrete).last[0].copy()

    def observation(self) -> np.ndarray:
        return getattr(self, "last", self.environment.cohorts[0].observation[0, 0].copy())

    def sizes(self) -> list[float]:
        return self.environment.cohorts[0].replay.parameters[0, -2:].tolist()


def account_of(replay: Replay, now: int, book: Book) -> AccountNow:
    instrument = replay.instrument
    ledger = Ledger(instrument, LedgerState(0, 10**12))
    for fill in replay.fills():
        if fill["known_ns"] <= now:
            asset = instrument.base if fill["fee_asset"] == 0 else instrument.quote
            ledger.book(int(fill["side"]), int(fill["price"]), int(fill["qty"]), int(fill["fee"]), asset)
    return AccountNow(ledger.position_lots, ledger.net_position_lots, ledger.equity(book.now().mid2), 0.0)


# -- episodes ----------------------------------------------------------------------------------------------------------


def episode_bytes(seed: int, threads: int = 1, settings=SETTINGS) -> list[bytes]:
    lanes = environment(6, 3, seed, threads, settings)
    out = [lanes.reset().tobytes()]
    for continuous, discrete in actions(6, 40):
        step = lanes.step(continuous, discrete)
        out += [step.observation.tobytes(), step.reward.tobytes(), step.truncated.tobytes(), step.last.tobytes()]
    lanes.close()
    return out


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads():
    random = Randomisation((0, 100_000), (10_000_000, 200_000_000), ("risk_averse", "prob"))
    settings = TapeSettings(**{**SETTINGS_VALUES, "random": random})
    one = episode_bytes(1, settings=settings)
    assert one == episode_bytes(1, threads=3, settings=settings)
    assert one != episode_bytes(2, settings=settings)


def test_episodes_are_cut_at_their_length_and_the_next_one_begins_flat():
    lanes = environment(4, 2)
    lanes.reset()
    ends = []
    for continuous, discrete in actions(4, 45):
        step = lanes.step(continuous, discrete)
        assert not (step.terminated & step.truncated).any()
        ends.append(step.truncated.copy())
        fresh = step.observation[step.truncated]
        assert (fresh[:, [0, 5, 6, 7]] == 0).all()
    # The first cohort's first episode is half as long, so that not all end together.
    assert np.flatnonzero(np.array(ends)[:, 0]).tolist() == [14, 44]
    assert np.flatnonzero(np.array(ends)[:, 3]).tolist() == [29]


def test_a_ruined_lane_ends_by_itself_and_begins_anew_with_what_it_has():
    settings = TapeSettings(
        cycle_ns=CYCLE, decisions=60, warm_up=3, kappa=1.0, limits=OFF, base_quantity=0.05, max_position=0.5, ruin=1e-3
    )
    lanes = environment(2, 1, settings=settings)
    lanes.reset()
    buying = (np.tile(np.array([-1, 1, -1], np.float32), (2, 1)), np.tile(np.array([3, 4]), (2, 1)))
    ended = [lanes.step(*buying) for _ in range(59)]
    ruined = [step for step in ended if step.terminated.any()]
    assert ruined
    step = ruined[0]
    assert not step.truncated.any()
    assert step.observation[0, 0] == 0.0  # the gain since the new beginning
    assert step.last[0, 0] < 0.0


def test_the_parts_of_the_reward_are_its_sum_and_pnl_is_the_change_of_equity():
    settings = TapeSettings(**{**SETTINGS_VALUES, "reward": Reward(1, 2, 3)})
    lanes = environment(4, 1, settings=settings)
    lanes.reset()
    total = 0.0
    for continuous, discrete in actions(4, 29):
        step = lanes.step(continuous, discrete)
        terms = step.terms
        assert step.reward == pytest.approx(
            terms["pnl"] + 2 * terms["risk"] + 3 * terms["consistency"], rel=1e-4, abs=1e-4
        )
        assert (terms["risk"] <= 0).all()
        assert terms["consistency"].tobytes() == np.minimum(terms["pnl"], 0).tobytes()
        total = total + terms["pnl"].astype(float)
    cohort = lanes.cohorts[0]
    equity = cohort.replay.statistics()["equity_end"]
    largest = cohort.replay.parameters[0, -1] * 60_000  # about the mid
    assert total == pytest.approx(1e4 * (equity - settings.capital) / largest, rel=0.2, abs=0.2)


def test_the_extended_state_adds_queue_positions_and_trade_flow():
    settings = TapeSettings(**{**SETTINGS_VALUES, "extended": True})
    lanes = environment(4, 1, settings=settings)
    first = lanes.reset()
    assert first.shape == (4, 12)
    assert (first[:, 8:10] == 1).all()  # no order yet
    tight = (np.tile(np.array([-1, 0, 0], np.float32), (4, 1)), np.tile(np.array([3, 2]), (4, 1)))
    seen = np.array([lanes.step(*tight).last for _ in range(28)])
    assert (seen[..., 8:10].min(), seen[..., 8:10].max()) >= (0, 0)
    assert seen[..., 8:10].min() < 1
    assert np.abs(seen[..., 10]).max() <= 1
    assert np.ptp(seen[..., 10]) > 0
    assert 0 < seen[..., 11].max() < 1
    plain = environment(4, 1)
    assert plain.reset().tobytes() == first[:, :8].copy().tobytes()


def test_a_curriculum_draws_from_the_first_values_and_takes_in_the_others_in_their_order():
    drawn = Randomisation((0, 10_000, 20_000, 40_000), (LATENCY, 4 * LATENCY), ("prob", "risk_averse"))
    many = environment(6, 6, settings=TapeSettings(**{**SETTINGS_VALUES, "random": drawn}))

    def met(share):
        many.widen(share)
        fees, latencies, queues, rows = set(), set(), set(), set()
        for seed in range(6):
            many.reset(seed)
            for cohort in many.cohorts:
                fees.add(cohort.replay.instrument.maker_fee)
                latencies.add(cohort.replay.config.entry_ns)
                queues.add(cohort.replay.config.queue)
                rows.add(int(cohort.replay.config.start_ns))
        return fees, latencies, queues, rows

    fees, latencies, queues, rows = met(0.0)
    assert (fees, latencies, queues, len(rows)) == ({0}, {LATENCY}, {"prob"}, 1)
    fees, latencies, queues, rows = met(0.5)
    assert (fees, latencies, queues) == ({0, 10_000}, {LATENCY}, {"prob"})
    half = len(rows)
    fees, latencies, queues, rows = met(1.0)
    assert (fees, latencies, queues) == (set(drawn.maker_fees), set(drawn.latencies_ns), set(drawn.queues))
    assert len(rows) > half


def test_what_does_not_fit_is_refused_with_what_would():
    with pytest.raises(UsageError, match="takes 100050 s"):
        starts(market(), TapeSettings(cycle_ns=CYCLE, decisions=10_000, warm_up=3))
    with pytest.raises(UsageError, match="is under one lot"):
        environment(settings=TapeSettings(cycle_ns=CYCLE, decisions=5, warm_up=3, capital=1.0)).reset()
    with pytest.raises(UsageError, match="cohorts must be"):
        environment(2, 3)


def test_an_action_that_is_no_number_is_refused_and_one_too_large_is_clipped():
    def led_to(number):
        lanes = environment(4, 2)
        lanes.reset()
        continuous, discrete = actions(4, 1)[0]
        continuous[2, 1] = number
        return lanes.step(continuous, discrete).last.tobytes()

    with pytest.raises(UsageError, match=r"an action must be numbers, that of lane 2 is \[.*nan"):
        led_to(np.nan)
    assert led_to(np.inf) == led_to(1.0)


def test_both_gymnasium_forms_refuse_what_is_no_number():
    pytest.importorskip("gymnasium")
    from tidewright.agents.executor.environment_gym import ClosedFormEnv, TapeEnv, VectorEnv

    box = np.zeros(5, np.float32)
    box[4] = np.nan  # of a discrete part: no choice
    part = {"continuous": np.array([0.0, np.nan, 0.0], np.float32), "discrete": np.array([1, 2])}
    refused = pytest.raises(UsageError, match="an action must be numbers")
    for hybrid, action in ((False, box), (True, part)):
        one = TapeEnv([market()], SETTINGS, hybrid=hybrid)
        one.reset(seed=0)
        with refused:
            one.step(action)
    many = VectorEnv(environment(4, 2))
    many.reset(seed=0)
    with refused:
        many.step(np.tile(box, (4, 1)))
    with refused:
        ClosedFormEnv().step(np.array([np.nan, 0.0], np.float32))


# -- Gymnasium ---------------------------------------------------------------------------------------------------------


def test_gymnasiums_own_check_finds_nothing_wrong():
    pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    from tidewright.agents.executor.environment_gym import ClosedFormEnv, TapeEnv

    for hybrid in (False, True):
        check_env(TapeEnv([market()], SETTINGS, hybrid=hybrid), skip_render_check=True)
        check_env(ClosedFormEnv(hybrid=hybrid), skip_render_check=True)


def test_the_vector_form_resets_in_the_same_step_and_keeps_the_last_observation():
    pytest.importorskip("gymnasium")
    from tidewright.agents.executor.environment_gym import VectorEnv

    vector = VectorEnv(environment(4, 2))
    seen, _ = vector.reset(seed=3)
    assert vector.observation_space.contains(seen)
    vector.action_space.seed(0)
    infos = [vector.step(vector.action_space.sample())[4] for _ in range(16)]
    ended = [info for info in infos if "final_obs" in info]
    assert len(ended) == 1
    assert ended[0]["_final_obs"].tolist() == [True, True, False, False]


# -- policies over tapes -----------------------------------------------------------------------------------------------


def neutral_policy(**changes) -> Policy:
    """One that always does what the base rule does."""
    spaces, settings = environment().spaces, TapeSettings(**{**SETTINGS_VALUES, **changes})
    bias = np.zeros(3 + 4 + 5, np.float32)
    bias[[3 + 3, 7 + 2]] = 5.0
    network = Network((np.zeros((len(bias), spaces.observation), np.float32),), (bias,))
    return Policy(spaces, (network,), header={"environment": settings.to_json()})


def test_a_policy_that_never_changes_anything_backtests_like_its_base_rule():
    policy = neutral_policy(warm_up=0)
    found, steered = run_policy(market(), policy, base_inventory="0.01")
    quantity, largest = steered.settings.sizes(60_000.0, 1e-5)
    base = {"base_quantity": quantity, "max_position": largest, "kappa": 1.0, "levels": 3}
    plain = backtest(
        market(), "glft", base, cycle=10, latency=0.05, limits=SETTINGS.limits, capital="10000", base_inventory="0.01"
    )
    assert found.statistics["n_fills"][0] > 0
    # sized at the tape's own first mid, so quantities differ a little: the lots do not
    assert found.statistics["n_fills"].tolist() == plain.statistics["n_fills"].tolist()
    assert found.statistics["equity_end"].tolist() == plain.statistics["equity_end"].tolist()


def test_a_backtest_sees_what_training_sees():
    policy = neutral_policy(random=Randomisation())
    _, steered = run_policy(market(), policy)
    trained = Cohorted(TapeSettings(**SETTINGS_VALUES))
    seen = [trained.observation()]
    for _ in range(SETTINGS.decisions - 1):
        trained.step(NEUTRAL[0][None], NEUTRAL[1][None])
        seen.append(trained.observation())
    lived = [row[0].tobytes() for row in steered.observations[: len(seen)]]
    assert lived == [row.tobytes() for row in seen]


def test_a_policy_that_did_not_learn_on_tapes_is_refused():
    with pytest.raises(UsageError, match="does not say what it learned with"):
        run_policy(market(), replace(neutral_policy(), header={}))


def test_what_a_policy_learned_with_comes_back_from_its_header():
    settings = TapeSettings(random=Randomisation((0, 1), (5,), ("prob",)), extended=True, reward=Reward(1, 2, 3))
    assert TapeSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_training_writes_a_policy_logs_and_goes_on_where_it_stopped(tmp_path):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from tidewright.agents.executor.learning.ppo import Settings
    from tidewright.agents.executor.learning.training import train

    learner = Settings(iterations=3, horizon=8, minibatch=64, hidden=(8,))
    header = {"environment": SETTINGS.to_json(), "data": [tape_hash(market())], "command": "train"}

    def run(settings, told):
        make = lambda seed: environment(8, 2, seed)  # noqa: E731
        return train(make, settings, [0, 1], tmp_path, header, (3, 2), "cpu", lambda seed, done: told.append(seed))

    told: list[int] = []
    policy = run(learner, told)
    assert told == [0, 0, 0, 1, 1, 1]
    assert len(policy.members) == 2
    assert policy.header["seeds"] == [0, 1]
    rows = (tmp_path / "seed-0.csv").read_text().splitlines()
    assert len(rows) == 4
    assert "reward_consistency" in rows[0]
    again: list[int] = []
    same = run(learner, again)
    assert again == []
    assert same.members[0].weights[0].tobytes() == policy.members[0].weights[0].tobytes()
    assert (tmp_path / "seed-0.csv").read_text().splitlines() == rows
    with pytest.raises(UsageError, match="other settings or data"):
        run(replace(learner, learning_rate=1e-4), [])
    found, _ = run_policy(market(), policy)
    assert found.statistics["n_samples"][0] > 100


def test_a_learner_begins_with_the_base_rule_where_it_imitates():
    torch = pytest.importorskip("torch")
    from tidewright.agents.executor.learning.ppo import Learner, Settings

    learner = Learner(environment(), Settings(hidden=(8,)), device="cpu")
    learner.imitate((3, 2), 0.6)
    seen = torch.zeros((1, 8))
    _, logs = learner.actor.parts(learner.actor.tower.forward(seen.t()))
    assert logs[0].exp()[3, 0].item() == pytest.approx(0.6, abs=0.02)
    assert logs[1].exp()[2, 0].item() == pytest.approx(0.6, abs=0.02)
    continuous, discrete = learner.policy().act(seen.numpy())
    assert discrete.tolist() == [[3, 2]]
    assert np.abs(continuous).max() < 0.05


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_a_neutral_policy_is_worth_what_its_base_rule_is_at_every_fee_and_fees_cost_what_was_traded():
    found = evaluate(market(), neutral_policy(warm_up=0), (0.0, 4.0))
    free, free_base, dear, dear_base = found.rows
    assert [row.who for row in found.rows] == ["policy", "glft", "policy", "glft"]
    for one, other in ((free, free_base), (dear, dear_base)):
        # sized one decision later than the base rule begins: all but the first quotes are the same
        assert one.fills == pytest.approx(other.fills, abs=6)
        assert one.pnl == pytest.approx(other.pnl, abs=0.2)
        assert one.low <= one.pnl <= one.high
    assert free.pnl_per_volume_bp - dear.pnl_per_volume_bp == pytest.approx(4.0, abs=0.5)
    assert free.aside == 0.0
    thirds = found.behaviour["order_imbalance"]
    assert [third["levels"] for third in thirds] == [3.0, 3.0, 3.0]
    assert [third["spread"] for third in thirds] == [1.0, 1.0, 1.0]
    assert thirds[0]["to"] <= thirds[1]["from"] <= thirds[2]["from"]
    assert sum(third["decisions"] for third in thirds) == 179


def test_an_interval_of_resampled_blocks_covers_the_sum_and_narrows_with_less_noise():
    noise = np.random.default_rng(1).standard_normal(2000)
    low, high = interval(1.0 + noise)
    assert low < 2000 < high
    assert 0.5 < (high - low) / (2 * 1.96 * np.sqrt(2000)) < 1.5
    assert interval(np.ones(100)) == pytest.approx((100.0, 100.0))
    assert np.isnan(interval(np.ones(5))).all()
