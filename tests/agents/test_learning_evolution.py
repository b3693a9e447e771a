"""Evolution strategies on the engine's lanes."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.agents.test_learning_environment import SETTINGS
from tests.engine.example import market
from tidewright.agents.executor import environment_kernel
from tidewright.agents.executor.environment_tape import HOLD, Cohort, Randomisation
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy import Policy
from tidewright.cli.evolve import evolve as command
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape_writer import TapeWriter
from tidewright.strategies.shaped import LEVEL_SPACING

TRADING = replace(SETTINGS, decisions=20)
SMALL = EvolutionSettings(generations=4, lanes=8, stretches=1, hidden=4)


def evolution(settings=SMALL, seed: int = 0, **more) -> Evolution:
    return Evolution([market()], TRADING, settings, seed, **more)


def bytes_of(policy: Policy) -> list[bytes]:
    return [array.tobytes() for array in (*policy.members[0].weights, *policy.members[0].biases)]


STATES = np.random.default_rng(2).uniform(-1.0, 1.0, (200, 8)).astype(np.float32)
several = pytest.mark.parametrize("frames", [1, 3])


def states(frames: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1.0, 1.0, (200, 8 * frames)).astype(np.float32)


def test_it_begins_with_what_the_base_rule_does():
    policy = evolution().policy()
    continuous, discrete = policy.act(STATES)
    assert (continuous == 0.0).all()
    assert (discrete == [TRADING.levels, HOLD]).all()


@several
def test_it_can_begin_with_a_spread_that_follows_volatility(frames):
    made = evolution(replace(SMALL, widening=0.9, frames=frames))
    newest = slice((frames - 1) * 8, None)
    usual = float(made._mean[(frames - 1) * 8 + 3])
    times = np.array([0.5, 1.0, 2.0, 3.0])
    seen = np.zeros((4, 8 * frames), np.float32)
    seen[:, newest][:, 3] = usual * times
    continuous, discrete = made.policy().act(seen)
    assert 4.0 ** continuous[:, 0] == pytest.approx(times**0.9, rel=0.25)
    assert (continuous[:, 1:] == 0.0).all()
    assert (discrete == [TRADING.levels, HOLD]).all()


@several
def test_in_the_mirror_it_does_the_mirrored_thing(frames):
    made, seen = evolution(replace(SMALL, ignored=(), frames=frames)), states(frames)
    made.weights = np.random.default_rng(4).normal(0.0, 0.7, len(made.weights))
    policy = made.policy()
    mirrored = seen * np.tile(np.array([1, -1, -1, 1, -1, 1, 1, -1], np.float32), frames)
    (one, here), (two, there) = policy.act(seen), policy.act(mirrored)
    assert one[:, [0, 2]] == pytest.approx(two[:, [0, 2]], abs=1e-5)
    assert one[:, 1] == pytest.approx(-two[:, 1], abs=1e-5)
    assert (here[:, 0] == there[:, 0]).mean() > 0.9  # but for ties
    assert (here[:, 1] == 4 - there[:, 1]).mean() > 0.9
    assert len(np.unique(here[:, 1])) > 1


@pytest.mark.parametrize("wrong", [{"ignored": ("volatility",)}, {"hidden": 1}, {"widening": -1.0}])
def test_a_start_that_follows_volatility_needs_to_see_it(wrong):
    with pytest.raises(UsageError, match="widening"):
        replace(SMALL, **{"widening": 0.9, **wrong})


def test_it_does_not_look_at_what_it_ignores():
    made = evolution(replace(SMALL, ignored=("price", "time_decay")))
    made.weights = np.random.default_rng(4).normal(0.0, 0.7, len(made.weights))
    policy, other = made.policy(), STATES.copy()
    other[:, [1, 5]] = 0.3
    assert policy.act(STATES)[0].tobytes() == policy.act(other)[0].tobytes()
    other[:, 2] = 0.3
    assert policy.act(STATES)[0].tobytes() != policy.act(other)[0].tobytes()


@several
def test_lanes_do_what_the_policy_of_their_weights_does(frames):
    made, seen = evolution(replace(SMALL, frames=frames)), states(frames)
    weights = np.random.default_rng(5).normal(0.0, 0.5, (3, len(made.weights)))
    layers = made._layers(weights.astype(np.float32))
    for row in range(3):
        made.weights = weights[row]
        continuous, discrete = made.policy().act(seen[:3])
        lanes, choices = made._act(layers, seen[:3])
        assert lanes[row] == pytest.approx(continuous[row], abs=1e-5)
        assert (choices[row] == discrete[row]).all()


def test_the_same_seed_gives_the_same_bytes_and_a_stopped_training_goes_on_as_if_it_had_not(tmp_path):
    whole = evolve(evolution())
    assert bytes_of(whole) == bytes_of(evolve(evolution()))
    assert bytes_of(whole) != bytes_of(evolve(evolution(seed=1)))
    first = evolution()
    first.generation()
    first.generation()
    first.save(tmp_path / "e.npz")
    again = evolution()
    again.resume(tmp_path / "e.npz")
    assert bytes_of(evolve(again)) == bytes_of(whole)
    with pytest.raises(DataError, match="other settings"):
        evolution(replace(SMALL, sigma=0.2)).resume(tmp_path / "e.npz")
    (tmp_path / "e.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read"):
        again.resume(tmp_path / "e.npz")


@several
def test_it_goes_on_from_a_parent(frames):
    settings, seen = replace(SMALL, frames=frames), states(frames)
    parent = evolve(evolution(settings))
    child = evolution(settings, parent=parent)
    one, two = parent.act(seen), child.policy().act(seen)
    assert one[0] == pytest.approx(two[0], abs=1e-4)
    with pytest.raises(UsageError, match="frames can be evolved on"):
        evolution(replace(settings, frames=2), parent=parent)
    with pytest.raises(UsageError, match="has others"):
        evolution(replace(settings, hidden=5), parent=parent)


def test_a_lane_of_several_frames_is_shown_what_a_policy_would_be():
    """The newest states of its stretch, oldest first, as :class:`Frames` keeps them for who sits."""
    made = evolution(replace(SMALL, frames=2))
    looked = []
    plain = made._act

    def watching(layers, seen):
        looked.append((seen[0].copy(), made._cohort.observation[0, 0].copy()))
        return plain(layers, seen)

    made._act = watching
    made._judged(made._layers(np.tile(made.weights.astype(np.float32), (SMALL.lanes + 2, 1))))
    assert len(looked) == TRADING.decisions
    assert looked[0][0].tolist() == [*looked[0][1], *looked[0][1]]
    for (_, before), (seen, now) in pairwise(looked):
        assert seen.tolist() == [*before, *now]


def test_a_curriculum_takes_in_the_conditions_over_its_share_of_the_generations_also_after_a_stop(tmp_path):
    fees = (0, 10_000, 20_000, 40_000)
    trading = replace(TRADING, random=Randomisation(maker_fees=fees))
    settings = replace(SMALL, curriculum=0.5, stretches=3)

    class Watched(Cohort):
        met: list[list[int]]

        def begin(self, decisions=None):
            super().begin(decisions)
            self.met[-1].append(self.replay.instrument.maker_fee)

    Watched.met = [[]]
    made = Evolution([market()], trading, settings, cohort=Watched)
    for _ in range(SMALL.generations):
        Watched.met.append([])
        made.generation()
        if made.number == 1:
            made.save(tmp_path / "e.npz")
    _, first, second, *_ = Watched.met
    assert set(first) <= set(fees[:2])
    assert made._cohort.share == 1.0
    again = Evolution([market()], trading, settings, cohort=Watched)
    again.resume(tmp_path / "e.npz")
    Watched.met.append([])
    again.generation()
    assert again._cohort.share == 1.0
    assert Watched.met[-1] == second


def test_generations_raise_the_reward_on_the_market_they_are_made_on():
    """A base rule that pays fees on narrow quotes: whatever quotes less is better, and is found."""
    trading = replace(TRADING, kappa=20.0, decisions=60)
    settings = EvolutionSettings(generations=15, lanes=24, stretches=1, hidden=4, sigma=0.3, rate=0.3)
    made = Evolution([market()], trading, settings, 3)
    done = [made.generation() for _ in range(15)]
    gain = [one.reward - one.base for one in done]
    assert done[0].base < 0.0
    assert gain[0] == pytest.approx(0.0, abs=1e-9)
    assert np.mean(gain[-4:]) > 0.3 * abs(np.mean([one.base for one in done]))


def test_the_first_policy_spaces_its_levels_as_it_is_told():
    for spacing in (0.125, 0.5, 1.3, 2.0):
        continuous, _ = evolution(replace(SMALL, spacing=spacing)).policy().act(states(1))
        row = np.zeros(12)
        environment_kernel.shape(row, continuous[0], np.array([3, 2]), 3)
        assert row[LEVEL_SPACING] == pytest.approx(spacing, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"generations": 0},
        {"stretches": 0},
        {"lanes": 7},
        {"sigma": 0.0},
        {"rate": 0.0},
        {"hidden": 0},
        {"ignored": ("x",)},
        {"spacing": 0.1},
        {"spacing": 2.1},
        {"sigma": math.inf},
        {"rate": math.inf},
        {"curriculum": 1.1},
        {"curriculum": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        EvolutionSettings(**wrong)


def test_the_command_writes_a_policy_with_its_command_and_data(tmp_path, capsys):
    with TapeWriter(tmp_path / "t", market().instrument, source="example") as writer:
        writer.append(market().data)
    command(
        tape=[tmp_path / "t"], generations=2, lanes=4, stretches=1, episode=20, hidden=3, frames=2, cycle="10s",
        ignore="price",
        out=tmp_path / "p.tw", synthetic=False, hours=1.0, markets=1, sigma=0.1, rate=0.1, seed=0, latency="50ms",
        fees="10", queues="prob", capital=10_000.0, risk=0.01, setting=["kappa=1"], work=None, as_json=True,
    )  # fmt: skip
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    policy = Policy.load(tmp_path / "p.tw")
    assert policy.header["command"] == answer["command"]
    assert "--set kappa=1" in answer["command"]
    assert policy.header["environment"]["kappa"] == 1.0
    assert policy.header["data"][0]["source"] == "example"
    assert (tmp_path / "p.tw.training" / "seed-0.csv").read_text().count("\n") == 3
