"""The closed-form market, and whether the learner learns in it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.reference.market_making_dp import best_constant, optimum, value_of
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment, ClosedFormMarket
from tidewright.agents.executor.policy import Frames, Policy, ensemble
from tidewright.market.errors import DataError, NotFoundError, UsageError

torch = pytest.importorskip("torch")
from tidewright.agents.executor.environment import Spaces, Step  # noqa: E402
from tidewright.agents.executor.learning import ppo  # noqa: E402
from tidewright.agents.executor.learning.networks import Actor, Learned, Tower, count  # noqa: E402
from tidewright.agents.executor.learning.ppo import Experience, Learner, Settings, advantages  # noqa: E402
from tidewright.agents.executor.learning.training import _learn  # noqa: E402

torch.set_num_threads(1)  # small networks: threads would wait for each other
MARKET = ClosedFormMarket()
SHORT = ClosedFormMarket(intensity=35.0, horizon=0.25, steps=50)
STILL = replace(SHORT, sigma=0.0)  # a mid that stands still: the same optimum, learned from less
SMALL = Settings(12, 50, minibatch=512, learning_rate=5e-3, discount=1.0, smoothing=0.5, hidden=(16, 16))


def constant(distance: float):
    return lambda held, step: np.full((len(held), 2), distance)


# -- the closed-form market --------------------------------------------------------------------------------------------


def test_the_dynamic_program_finds_the_optimum_computed_independently():
    """papers' row: lambda 140, kappa 1.5, phi .2, alpha .01, 200 steps: 66.797; the best constant quote 61.6096."""
    assert optimum(MARKET, 1.6) == pytest.approx(66.797, abs=1e-3)
    assert value_of(MARKET, constant(0.70)) == pytest.approx(61.6096, abs=1e-4)
    assert value_of(MARKET, constant(1 / 1.5)) == pytest.approx(61.5669, abs=1e-4)


@pytest.mark.slow
def test_the_best_constant_quote_is_the_one_computed_independently():
    distance, value = best_constant(MARKET)
    assert (distance, value) == (pytest.approx(0.70), pytest.approx(61.6096, abs=1e-4))


def test_simulated_episodes_earn_what_the_exact_evaluation_says():
    environment = ClosedFormEnvironment(4000, SHORT, seed=3)
    environment.reset()
    action = np.full((4000, 2), 2 * 0.7 / SHORT.furthest - 1, np.float32)
    total = np.zeros(4000)
    for _ in range(SHORT.steps):
        step = environment.step(action, np.zeros((4000, 0), np.int64))
        total += step.reward
    assert step.terminated.all()
    assert not step.truncated.any()
    error = total.std() / math.sqrt(len(total))
    assert abs(total.mean() - value_of(SHORT, constant(0.7))) < 4 * error


def test_the_same_seed_gives_the_same_episodes_and_another_one_others():
    def rewards(seed):
        environment = ClosedFormEnvironment(8, SHORT, seed=99)
        environment.reset(seed)
        actions = np.zeros((8, 2), np.float32)
        return [environment.step(actions, np.zeros((8, 0), np.int64)).reward.tobytes() for _ in range(20)]

    assert rewards(1) == rewards(1)
    assert rewards(1) != rewards(2)


def test_a_market_whose_fills_are_no_probabilities_is_refused_with_what_is_enough():
    with pytest.raises(UsageError, match="140 steps are enough"):
        ClosedFormMarket(steps=100)


# -- the learner -------------------------------------------------------------------------------------------------------


def test_an_advantage_ends_with_its_episode_and_counts_what_a_cut_one_would_have_brought():
    def column(*values):
        return torch.tensor(values, dtype=torch.float64).reshape(-1, 1)

    nothing = torch.zeros((3, 1, 0))
    experience = Experience(
        nothing,
        nothing,
        nothing,
        nothing[..., 0:0],
        column(1, 2, 3),
        column(10, 20, 30),
        column(2, 5, 0),
        column(0, 1, 1),
    )
    # The second step was cut (what follows is worth 5), the third one ended (0).
    found = advantages(experience, 0.9, 0.5)
    last, middle = 30 - 3, 20 + 0.9 * 5 - 2
    first = 10 + 0.9 * 2 - 1 + 0.45 * middle
    assert found.flatten().tolist() == pytest.approx([first, middle, last])


def test_the_learner_improves_on_where_it_began():
    learner = Learner(ClosedFormEnvironment(64, STILL), SMALL, seed=1, device="cpu")

    def worth():
        policy = learner.policy()
        return value_of(STILL, lambda held, step: STILL.distances(policy.act(STILL.observe(held, step))[0]))

    before = worth()
    rounds = [learner.iterate() for _ in range(SMALL.iterations)]
    assert worth() > before + 0.25 * (optimum(STILL, 1.6) - before)
    assert rounds[-1].steps == SMALL.iterations * SMALL.horizon * 64
    assert rounds[-1].terms["pnl"] > 0 > rounds[-1].terms["risk"]


@pytest.mark.slow
def test_a_seed_reaches_the_optimum_within_a_hundredth():
    """The whole proof over ten seeds: ``python -m benchmarks.learning``."""
    from benchmarks.learning import GAP_SHARE, LANES, OPTIMUM_SHARE, SETTINGS, exact_value

    learner = Learner(ClosedFormEnvironment(LANES, MARKET), SETTINGS, seed=0, device="cpu")
    for _ in range(SETTINGS.iterations):
        learner.iterate()
    value, best, floor = exact_value(learner.policy()), optimum(MARKET), value_of(MARKET, constant(0.70))
    assert value >= OPTIMUM_SHARE * best
    assert value - floor >= GAP_SHARE * (best - floor)


class Bandit:
    """One step an episode: the right choice of three earns 1, and how near the number is to a half."""

    lanes = 64
    spaces = Spaces(1, 1, (3,))

    def reset(self, seed=None):
        return np.zeros((self.lanes, 1), np.float32)

    def step(self, continuous, discrete):
        reward = (discrete[:, 0] == 2) - np.abs(np.clip(continuous[:, 0], -1, 1) - 0.5)
        seen, ended = np.zeros((self.lanes, 1), np.float32), np.ones(self.lanes, bool)
        return Step(seen, reward.astype(np.float32), ended, ~ended, seen, {})


def test_a_curriculum_widens_over_its_share_of_the_rounds_and_a_resumed_one_goes_on_there():
    class Wide(Bandit):
        def __init__(self):
            self.shares = []

        def widen(self, share):
            self.shares.append(share)

    settings = Settings(iterations=4, horizon=2, minibatch=64, hidden=(4,), curriculum=0.5)
    learner = Learner(Wide(), settings, seed=0, device="cpu")
    for _ in range(3):
        learner.iterate()
    assert learner.environment.shares == [0.5, 0.5, 1.0, 1.0]
    other = Learner(Wide(), settings, seed=0, device="cpu")
    other.resume(learner.state())
    assert other.environment.shares[-1] == 1.0
    plain = Learner(Wide(), Settings(iterations=1, horizon=2, hidden=(4,)), seed=0, device="cpu")
    plain.iterate()
    assert plain.environment.shares == []


def test_continuous_and_discrete_parts_are_learned_together():
    settings = Settings(iterations=40, horizon=8, minibatch=256, learning_rate=5e-3, hidden=(8,))
    learner = Learner(Bandit(), settings, seed=0, device="cpu")
    for _ in range(settings.iterations):
        learner.iterate()
    continuous, discrete = learner.policy().act(np.zeros((1, 1), np.float32))
    assert discrete.tolist() == [[2]]
    assert continuous[0, 0] == pytest.approx(0.5, abs=0.15)


def test_the_same_seed_learns_the_same_policy_and_a_checkpoint_goes_on_from_where_it_was(tmp_path):
    def learner():
        return Learner(ClosedFormEnvironment(16, SHORT), SMALL, seed=4, device="cpu")

    one, other = learner(), learner()
    for each in (one, other):
        each.iterate()
    weights = [network.weights[0].tobytes() for network in (one.policy().members[0], other.policy().members[0])]
    assert weights[0] == weights[1]

    torch.save(one.state(), tmp_path / "checkpoint.pt")
    resumed = learner()
    resumed.resume(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    again = learner()
    again.resume(one.state())
    assert resumed.iterate()[:2] == (2, 2 * 50 * 16)
    again.iterate()
    assert resumed.policy().members[0].weights[0].tobytes() == again.policy().members[0].weights[0].tobytes()

    changed = Learner(ClosedFormEnvironment(16, SHORT), Settings(iterations=3), seed=4, device="cpu")
    with pytest.raises(UsageError, match="settings"):
        changed.resume(one.state())


class Elsewhere:
    """A learner on a device that is not the processor, as far as this machine has one; it has learned already."""

    device, settings, iteration = torch.device("meta"), SMALL, SMALL.iterations

    def resume(self, state):
        self.state = state


def test_a_checkpoint_is_read_to_the_processor_where_random_generators_keep_their_state(tmp_path):
    one = Learner(ClosedFormEnvironment(16, SHORT), SMALL, seed=4, device="cpu")
    torch.save(one.state(), tmp_path / "seed-4.pt")
    elsewhere = Elsewhere()
    _learn(elsewhere, tmp_path, 4, None)
    assert elsewhere.state["generator"].device.type == "cpu"
    torch.Generator().set_state(elsewhere.state["generator"])
    (tmp_path / "seed-5.pt").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"seed-5.pt cannot be read; delete it"):
        _learn(elsewhere, tmp_path, 5, None)


def test_a_checkpoint_is_not_resumed_on_another_kind_of_device():
    one = Learner(ClosedFormEnvironment(16, SHORT), SMALL, seed=4, device="cpu")
    with pytest.raises(UsageError, match="give --device cuda"):
        one.resume({**one.state(), "device": "cuda"})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_on_a_gpu_goes_on_from_its_checkpoint(tmp_path):
    def learner():
        return Learner(ClosedFormEnvironment(16, SHORT), SMALL, seed=4, device="cuda")

    one, resumed = learner(), learner()
    one.iterate()
    torch.save(one.state(), tmp_path / "checkpoint.pt")
    resumed.resume(torch.load(tmp_path / "checkpoint.pt", weights_only=True, map_location="cpu"))
    assert resumed.iterate()[:2] == (2, 2 * 50 * 16)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradient_written_out_is_the_one_that_torch_differentiates(activation):
    """PPO's clipped loss less the entropy bonus, with continuous and discrete parts, in double precision."""
    spaces, sizes, clip, bonus = Spaces(3, 2, (4, 3)), [3, 16, 8, 9], 0.2, 0.03
    learned = Learned(count(sizes) + 2, torch.device("cpu"))
    learned.values.data, learned.slopes = learned.values.data.double(), learned.slopes.double()
    start = torch.Generator().manual_seed(5)
    actor = Actor(spaces, Tower(sizes, activation, 1.0, learned, start), -0.5, learned)
    n = 40
    seen, continuous = torch.randn((2, n, 5), generator=start, dtype=torch.float64).transpose(1, 2)
    seen, continuous = seen[:3].contiguous(), continuous[:2].contiguous()
    discrete = torch.stack((torch.arange(n) % 4, torch.arange(n) % 3))
    gain = torch.randn(n, generator=start, dtype=torch.float64)
    now = actor.log_chance_of(actor.tower.forward(seen), continuous, discrete)
    before = now + 0.4 * torch.randn(n, generator=start, dtype=torch.float64)  # some beyond the clip, some not
    found = actor.learn(seen, continuous, discrete, before, gain, clip, bonus)

    weights = [weight.clone().requires_grad_() for weight in actor.tower.weights]
    biases = [bias.clone().requires_grad_() for bias in actor.tower.biases]
    deviation = actor.log_deviation.clone().requires_grad_()
    values = seen
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = weight @ values + bias
        if index < 2:
            values = torch.relu(values) if activation == "relu" else torch.tanh(values)
    density = torch.distributions.Normal(values[:2].T, deviation.exp().T)
    choices = [torch.distributions.Categorical(logits=part.T) for part in values[2:].split([4, 3])]
    change = density.log_prob(continuous.T).sum(1) - before
    change = change + sum(one.log_prob(taken) for one, taken in zip(choices, discrete, strict=True))
    ratio = change.exp()
    entropy = density.entropy().sum(1).mean() + sum(one.entropy().mean() for one in choices)
    loss = -torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain).mean()
    (loss - bonus * entropy).backward()
    assert 5 < int(((ratio - 1).abs() > clip).sum()) < n - 5
    parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    wanted = torch.cat([part.grad.flatten() for part in [*parts, deviation]])
    assert torch.allclose(learned.slopes, wanted, rtol=1e-9, atol=1e-12)
    assert found.loss.item() == pytest.approx(loss.item()) and found.entropy.item() == pytest.approx(entropy.item())


def test_discrete_parts_are_drawn_with_their_chances():
    spaces, sizes = Spaces(1, 0, (3,)), [1, 4, 3]
    learned = Learned(count(sizes), torch.device("cpu"))
    start = torch.Generator().manual_seed(2)
    actor = Actor(spaces, Tower(sizes, "relu", 1.0, learned, start), 0.0, learned)
    outputs = torch.tensor([[0.5], [0.2], [0.3]]).log().expand(3, 20_000)
    _, discrete = actor.draw(outputs, torch.zeros((0, 20_000)), torch.rand((1, 20_000), generator=start))
    shares = torch.bincount(discrete[0], minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.5, 0.2, 0.3], abs=0.015)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="device must be"):
        ppo.device_of("abacus")
    if not torch.cuda.is_available():
        assert ppo.device_of("auto").type == "cpu"
        with pytest.raises(UsageError, match="no GPU"):
            ppo.device_of("cuda")


# -- policies ----------------------------------------------------------------------------------------------------------


def trained(seed: int, **changes) -> Policy:
    settings = Settings(**{**SMALL.to_json(), "hidden": (16, 16), **changes})
    return Learner(Bandit(), settings, seed, device="cpu").policy({"command": "tidewright train", "seed": seed})


def test_numpy_evaluates_the_network_that_torch_learned():
    for activation in ("relu", "tanh"):
        learner = Learner(Bandit(), Settings(hidden=(16, 16), activation=activation), 7, device="cpu")
        values = learner.learned.values.data
        values.add_(0.3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1)))
        seen = np.linspace(-1, 1, 11, dtype=np.float32)[:, None]
        mean, logs = learner.actor.parts(learner.actor.tower.forward(torch.from_numpy(seen.T)))
        continuous, discrete = learner.policy().act(seen)
        assert continuous == pytest.approx(mean.T.numpy().clip(-1, 1), abs=1e-5)
        assert discrete[:, 0].tolist() == logs[0].argmax(0).tolist()


def test_a_policy_comes_back_from_its_file_with_how_it_was_made(tmp_path):
    policy, path = trained(1), tmp_path / "policy.tw"
    policy.save(path)
    again = Policy.load(path)
    seen = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    assert again.act(seen)[0].tobytes() == policy.act(seen)[0].tobytes()
    assert again.header["command"] == "tidewright train"
    first = path.read_bytes()
    policy.save(path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["policy.tw"]


def test_what_is_no_policy_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="tidewright train"):
        Policy.load(tmp_path / "none.tw")
    trained(1).save(tmp_path / "whole.tw")
    whole = (tmp_path / "whole.tw").read_bytes()
    np.savez(tmp_path / "arrays.npz", weights=np.ones(3))
    np.savez(tmp_path / "list.npz", header=np.frombuffer(b"[1]", np.uint8))
    np.savez(tmp_path / "bare.npz", header=np.frombuffer(b'{"format": 1, "layers": "two"}', np.uint8))
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "words.tw").write_text('{"not": "a policy"}')
    (tmp_path / "empty.tw").write_bytes(b"")
    (tmp_path / "half.tw").write_bytes(whole[: len(whole) // 2])
    for name in ("arrays.npz", "list.npz", "bare.npz", "one.npy", "words.tw", "empty.tw", "half.tw"):
        with pytest.raises(DataError, match=r"is not a policy: .*`tidewright train` and `tidewright evolve` write$"):
            Policy.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", header=np.frombuffer(b'{"format": 99}', np.uint8))
    with pytest.raises(DataError, match="format 99"):
        Policy.load(tmp_path / "other.npz")


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(("layer", "part"), [(0, "weight"), (1, "weight"), (2, "weight"), (0, "bias"), (2, "bias")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_a_policy_whose_weights_are_no_numbers_is_refused(tmp_path, activation, layer, part, value):
    """Also one whose outputs overflow: NaN would be an action like any other to who clips it."""
    path = tmp_path / "policy.tw"
    ensemble([trained(seed, activation=activation) for seed in range(2)]).save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if value == 3e38:
        part = "weight"
        arrays["1.2.weight"][:] = value
        arrays["1.2.bias"][:] = value
    arrays[f"1.{layer}.{part}"].flat[0] = value
    with path.open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(DataError, match=r"policy.tw cannot be used: weights of network 2 of 2 are NaN, infinite"):
        Policy.load(path)


def test_an_ensemble_averages_numbers_and_votes_on_choices():
    members = [trained(seed) for seed in range(3)]
    both = ensemble(members)
    seen = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    assert both.act(seen)[0] == pytest.approx(np.mean([m.act(seen)[0] for m in members], axis=0), abs=1e-6)
    with pytest.raises(UsageError, match="same observations"):
        ensemble([members[0], trained(1, frames=2)])


def test_frames_begin_with_the_first_observation_repeated_and_forget_an_ended_episode():
    frames = Frames(2)
    assert frames.begin(np.array([[1.0], [5.0]], np.float32)).tolist() == [[1, 1], [5, 5]]
    seen, led = frames.push(np.array([[2.0], [6.0]], np.float32), np.array([[2.0], [9.0]], np.float32), [False, True])
    assert seen.tolist() == [[1, 2], [6, 6]]
    assert led.tolist() == [[1, 2], [5, 9]]


def test_a_policy_of_several_frames_learns_and_acts():
    learner = Learner(Bandit(), Settings(iterations=1, horizon=4, frames=3, hidden=(8,)), 0, device="cpu")
    learner.iterate()
    assert learner.policy().act(np.zeros((2, 3), np.float32))[0].shape == (2, 1)
