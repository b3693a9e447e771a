"""Proximal policy optimisation for actions with continuous and discrete parts, on one page from top to bottom.

J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347, with generalised advantages
(J. Schulman et al., arXiv 1506.02438). What an experienced reader will look for:

* an episode that was cut (truncated) is valued at the state it led to, one that ended (terminated) at 0;
* the critic learns returns of mean 0 and deviation 1, by running estimates, so that no reward needs scaling by hand;
* advantages are normalised over the whole batch; the learning rate falls linearly to 0;
* minibatches are small enough for their activations to stay in the processor's cache;
* gradients are written out, see :mod:`tidewright.agents.executor.learning.networks`: the same, in half the time.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tidewright.agents.executor.environment import VectorEnvironment
from tidewright.agents.executor.policy import ACTIVATIONS, Frames, Policy
from tidewright.market.errors import UsageError

try:
    import torch
    from torch import Tensor
except ModuleNotFoundError:
    raise UsageError("learning needs torch: pip install 'tidewright[learn]'") from None

from tidewright.agents.executor.learning.networks import Actor, Learned, Tower, count


@dataclass(frozen=True, slots=True)
class Settings:
    """How to learn.

    Attributes
    ----------
    iterations
        Rounds of collecting and updating; the learning rate falls over them.
    horizon
        Steps a lane in each round.
    epochs, minibatch
        Passes over a round's samples, and how many samples a gradient step takes.
    learning_rate, max_norm
        Of Adam at the start, and the greatest norm of a gradient.
    discount, smoothing
        Of rewards, and lambda of the advantages.
    clip
        How far the ratio of new to old probability may move before the gradient stops.
    value_weight, entropy_weight
        Of the critic's loss and of the entropy bonus.
    hidden, activation
        Sizes of the hidden layers of actor and critic, which share nothing; "relu" or "tanh".
    log_deviation
        Log of the deviation of the continuous parts at the start.
    frames
        Newest observations that the policy sees together.
    curriculum
        Share of the rounds over which an environment that can be widened (:class:`Widening`) grows from its easiest
        to all it has; 0: all of it from the start.
    """

    iterations: int = 100
    horizon: int = 128
    epochs: int = 4
    minibatch: int = 2048
    learning_rate: float = 1e-3
    max_norm: float = 0.5
    discount: float = 0.99
    smoothing: float = 0.95
    clip: float = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    log_deviation: float = -0.7
    frames: int = 1
    curriculum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("iterations", "horizon", "epochs", "minibatch", "frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be >= 1, was {getattr(self, name)}")
        for name in ("discount", "smoothing", "curriculum"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} must be in [0, 1], was {getattr(self, name)}")
        if not self.learning_rate > 0.0 or not self.clip > 0.0:
            raise UsageError(f"learning_rate and clip must be > 0, were {self.learning_rate}, {self.clip}")
        if self.activation not in ACTIVATIONS or not self.hidden or min(self.hidden) < 1:
            raise UsageError(f"hidden layers must be >= 1 of relu or tanh, were {self.hidden}, {self.activation!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Settings":
        """Settings of the plain values of :meth:`to_json`."""
        return cls(**{**data, "hidden": tuple(data["hidden"])})


@runtime_checkable
class Widening(Protocol):
    """An environment that can begin with less than all it has."""

    def widen(self, share: float) -> None:
        """Draw coming episodes from so much of it, 0 to 1."""
        ...


def device_of(wanted: str) -> torch.device:
    """The device to learn on: "auto" is a GPU where there is one, else the processor.

    Raises
    ------
    UsageError
        If it is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("device must be auto or cpu: this machine, or this torch, has no GPU")
    try:
        return torch.device(wanted)
    except RuntimeError:
        raise UsageError(f"device must be auto, cpu or cuda, was {wanted!r}") from None


# -- one round of experience ------------------------------------------------------------------------------------------


class Experience(NamedTuple):
    """Steps of all lanes, torch, on the learner's device; actions and what was seen (parts, horizon, lanes)."""

    observation: Tensor
    continuous: Tensor
    discrete: Tensor
    log_chance: Tensor  # (horizon, lanes), as all that follow
    value: Tensor  # of the observation, in rewards
    reward: Tensor
    following: Tensor  # value of what the step led to, 0 where the episode ended by itself
    ended: Tensor  # 1 where the next row belongs to another episode


def advantages(experience: Experience, discount: float, smoothing: float) -> Tensor:
    """Generalised advantage estimates, (horizon, lanes), in rewards."""
    surprise = experience.reward + discount * experience.following - experience.value
    carried = discount * smoothing * (1.0 - experience.ended)
    result = torch.empty_like(surprise)
    running = torch.zeros_like(surprise[0])
    for t in reversed(range(len(surprise))):
        running = surprise[t] + carried[t] * running
        result[t] = running
    return result


class Round(NamedTuple):
    """What one round gave, for the log."""

    iteration: int
    steps: int  # of all lanes, all rounds
    reward: float  # mean a step
    episode_return: float  # mean of the episodes that ended in the round; nan: none did
    policy_loss: float
    value_loss: float
    entropy: float
    divergence: float  # approximate Kullback-Leibler divergence of old and new policy
    deviation: float  # mean deviation of the continuous parts
    explained: float  # share of the returns' variance that the critic explains
    terms: dict[str, float]  # mean a step of the parts of the reward


class Learner:
    """Learns a policy in an environment.

    Parameters
    ----------
    environment
        Where to learn.
    settings
        How.
    seed
        Of networks, actions and environment: the same seed gives the same policy on the same machine.
    device
        "auto", "cpu" or "cuda".
    """

    def __init__(
        self, environment: VectorEnvironment, settings: Settings | None = None, seed: int = 0, device: str = "auto"
    ) -> None:
        self.environment, self.settings, self.seed = environment, settings or Settings(), seed
        self.device = device_of(device)
        self.iteration = 0
        spaces, hidden, activation = environment.spaces, self.settings.hidden, self.settings.activation
        inputs, start = spaces.observation * self.settings.frames, torch.Generator().manual_seed(seed)
        acting = [inputs, *hidden, spaces.continuous + sum(spaces.discrete)]
        judging = [inputs, *hidden, 1]
        self.learned = Learned(count(acting) + count(judging) + spaces.continuous, self.device)
        tower = Tower(acting, activation, 0.01, self.learned, start)
        self.actor = Actor(spaces, tower, self.settings.log_deviation, self.learned)
        self.critic = Tower(judging, activation, 1.0, self.learned, start)
        self.optimizer = torch.optim.Adam([self.learned.values], self.settings.learning_rate, eps=1e-5, fused=True)
        self.generator = torch.Generator(self.device).manual_seed(seed + 1)
        self.scale = np.array([0.0, 1.0, 0.0])  # mean, deviation and weight of the returns so far
        self._frames = Frames(self.settings.frames)
        self._widen()
        self._observation = self._frames.begin(environment.reset(seed))
        self._returns = np.zeros(environment.lanes)

    @torch.inference_mode()
    def iterate(self) -> Round:
        """Collect a round of experience and learn from it."""
        settings = self.settings
        self._widen()
        experience, finished, terms = self._collect()
        advantage = advantages(experience, settings.discount, settings.smoothing)
        target = advantage + experience.value
        explained = 1.0 - float(advantage.var() / target.var().clamp_min(1e-12))
        self._learn_scale(target)
        rate = settings.learning_rate * max(0.0, 1.0 - self.iteration / settings.iterations)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self._update(experience, advantage, target)
        self.iteration += 1
        steps = self.iteration * settings.horizon * self.environment.lanes
        return Round(
            self.iteration,
            steps,
            float(experience.reward.mean()),
            float(np.mean(finished)) if finished else math.nan,
            *losses,
            float(self.actor.log_deviation.exp().mean()) if self.environment.spaces.continuous else 0.0,
            explained,
            terms,
        )

    def _widen(self) -> None:
        """Follow the curriculum; a resumed training goes on where it was."""
        lasts = self.settings.curriculum * self.settings.iterations
        if lasts > 0.0 and isinstance(self.environment, Widening):
            self.environment.widen(min(1.0, (self.iteration + 1) / lasts))

    def _collect(self) -> tuple[Experience, list[float], dict[str, float]]:
        """A round of all lanes; returns of the episodes that ended in it, and means of the reward's parts."""
        actor, spaces, horizon, lanes = (
            self.actor,
            self.environment.spaces,
            self.settings.horizon,
            self.environment.lanes,
        )
        parts, generator, device = len(spaces.discrete), self.generator, self.device
        seen = torch.empty((self._observation.shape[1], horizon + 1, lanes), device=device)
        outputs = torch.empty((spaces.continuous + sum(spaces.discrete), horizon, lanes), device=device)
        continuous = torch.empty((spaces.continuous, horizon, lanes), device=device)
        discrete = torch.empty((parts, horizon, lanes), dtype=torch.int64, device=device)
        noise = torch.randn((horizon, spaces.continuous, lanes), generator=generator, device=device)
        noise *= actor.log_deviation.exp()
        uniform = torch.rand((horizon, parts, lanes), generator=generator, device=device)
        signals = np.zeros((3, horizon, lanes), np.float32)  # reward, terminated, ended
        cut: list[tuple[int, Any, Tensor]] = []  # step, lanes and where they were when their episode was cut
        finished: list[float] = []
        terms: dict[str, float] = {}
        seen[:, 0] = torch.from_numpy(self._observation).t()
        for t in range(horizon):
            outputs[:, t] = actor.tower.forward(seen[:, t])
            continuous[:, t], discrete[:, t] = actor.draw(outputs[:, t], noise[t], uniform[t])
            step = self.environment.step(continuous[:, t].t().cpu().numpy(), discrete[:, t].t().cpu().numpy())
            ended = step.terminated | step.truncated
            self._observation, led = self._frames.push(step.observation, step.last, ended)
            seen[:, t + 1] = torch.from_numpy(self._observation).t()
            signals[:, t] = step.reward, step.terminated, ended
            self._returns += step.reward
            if ended.any():
                finished += self._returns[ended].tolist()
                self._returns[ended] = 0.0
            if step.truncated.any():
                cut.append((t, step.truncated, torch.from_numpy(led[step.truncated].T.copy()).to(device)))
            for name, part in step.terms.items():
                terms[name] = terms.get(name, 0.0) + float(part.mean()) / horizon
        reward, terminated, over = torch.from_numpy(signals).to(device)
        values = self._value(seen)
        following = values[1:] * (1.0 - terminated)
        for t, where, led_to in cut:
            following[t, torch.from_numpy(where).to(device)] = self._value(led_to[:, None])[0]
        chosen = (outputs.flatten(1), continuous.flatten(1), discrete.flatten(1))
        log_chance = actor.log_chance_of(*chosen).view(horizon, lanes)
        experience = Experience(
            seen[:, :horizon], continuous, discrete, log_chance, values[:horizon], reward, following, over
        )
        return experience, finished, terms

    def _value(self, observation: Tensor) -> Tensor:
        """The critic's value of observations (n, horizon, lanes), in rewards."""
        pieces = torch.split(observation.flatten(1), self.settings.minibatch, dim=1)
        values = torch.cat([self.critic.forward(piece)[0].clone() for piece in pieces])
        return values.view(observation.shape[1:]) * self.scale[1] + self.scale[0]

    def _learn_scale(self, target: Tensor) -> None:
        """Move the running mean and deviation of returns, and the critic's last layer so that its values stay."""
        mean, deviation = self.scale[:2].copy()
        share = 1.0 / (1.0 + min(self.scale[2], 9.0))  # the newest round weighs a tenth, early ones more
        new_mean = float(target.mean()) * share + mean * (1.0 - share)
        new_square = float((target * target).mean()) * share + (deviation**2 + mean**2) * (1.0 - share)
        new_deviation = max(1e-6, math.sqrt(max(0.0, new_square - new_mean**2)))
        self.critic.weights[-1].mul_(deviation / new_deviation)
        self.critic.biases[-1].mul_(deviation).add_(mean - new_mean).div_(new_deviation)
        self.scale[:] = new_mean, new_deviation, self.scale[2] + 1.0

    def _update(self, experience: Experience, advantage: Tensor, target: Tensor) -> tuple[float, float, float, float]:
        """Gradient steps on the round; mean policy loss, value loss, entropy and divergence."""
        settings, slopes = self.settings, self.learned.slopes
        sizes = [len(experience.observation), len(experience.continuous), 1, 1, 1]
        # One above the other, so that a pass's samples are shuffled at once.
        samples = torch.cat(
            (
                experience.observation.flatten(1),
                experience.continuous.flatten(1),
                experience.log_chance.reshape(1, -1),
                ((advantage - advantage.mean()) / (advantage.std() + 1e-8)).reshape(1, -1),
                ((target - self.scale[0]) / self.scale[1]).reshape(1, -1),
            )
        )
        choices = experience.discrete.flatten(1)
        total, batches = torch.zeros(4, device=self.device), 0
        for _ in range(settings.epochs):
            order = torch.randperm(samples.shape[1], generator=self.generator, device=self.device)
            shuffled = torch.split(samples.index_select(1, order), settings.minibatch, dim=1)
            chosen = torch.split(choices.index_select(1, order), settings.minibatch, dim=1)
            for batch, discrete in zip(shuffled, chosen, strict=True):
                seen, continuous, before, gain, worth = torch.split(batch, sizes)
                policy = self.actor.learn(
                    seen, continuous, discrete, before[0], gain[0], settings.clip, settings.entropy_weight
                )
                error = self.critic.forward(seen) - worth
                self.critic.backward(error * (settings.value_weight / error.shape[1]))
                slopes.mul_((settings.max_norm / (slopes.norm() + 1e-6)).clamp_max(1.0))
                self.optimizer.step()
                total += torch.stack((policy.loss, 0.5 * error.square().mean(), policy.entropy, policy.divergence))
                batches += 1
        policy_loss, value_loss, entropy, divergence = (total / batches).tolist()
        return policy_loss, value_loss, entropy, divergence

    def imitate(self, discrete: tuple[int, ...], chance: float) -> None:
        """Begin with an action that is known to be sensible: continuous parts 0, discrete ones as given.

        For the rule ``shaped`` that is its base rule, GLFT say, itself: no examples of it need to be copied.

        Parameters
        ----------
        discrete
            The choice of each discrete part.
        chance
            With which it is drawn at first, in (0, 1).
        """
        bias = self.actor.tower.biases[-1].zero_()
        at = self.actor.spaces.continuous
        for choice, choices in zip(discrete, self.actor.spaces.discrete, strict=True):
            # softmax of one logit against choices - 1 zeros
            bias[at + choice] = math.log(chance / (1.0 - chance) * (choices - 1)) if choices > 1 else 0.0
            at += choices

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def policy(self, header: dict[str, Any] | None = None) -> Policy:
        """The policy as it is now, without torch."""
        return Policy(
            self.actor.spaces,
            (self.actor.tower.network(),),
            self.settings.frames,
            self.settings.activation,
            header or {},
        )

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`resume` needs; the environment is not in it."""
        return {
            "settings": self.settings.to_json(),
            "seed": self.seed,
            "device": self.device.type,
            "iteration": self.iteration,
            "learned": self.learned.values.data.clone(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "scale": self.scale.tolist(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`; the episodes begin anew.

        Parameters
        ----------
        state
            Its tensors on the processor, or on this learner's device but for the generator's.

        Raises
        ------
        UsageError
            If it was made with other settings, another seed or on another kind of device.
        """
        settings = Settings.from_json(state["settings"])
        if (settings, state["seed"]) != (self.settings, self.seed):
            raise UsageError("a checkpoint is resumed with the settings and the seed it was made with")
        kind = state.get("device", "cpu")
        if kind != self.device.type:  # random numbers of one kind of device cannot go on on another
            raise UsageError(
                f"a checkpoint made on {kind} is resumed there, not on {self.device.type}: "
                f"give --device {kind}, or another --work folder"
            )
        self.iteration = state["iteration"]
        self.learned.values.data.copy_(state["learned"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.scale[:] = state["scale"]
        self._widen()
        self._observation = self._frames.begin(self.environment.reset(self.seed + self.iteration))
        self._returns[:] = 0.0
