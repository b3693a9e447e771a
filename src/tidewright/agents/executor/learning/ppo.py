"""Proximal policy optimisation for actions with continuous and discrete parts, on one page from top to bottom.

J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347, with generalised advantages
(J. Schulman et al., arXiv 1506.02438). What an experienced reader will look for:

* an episode that was cut (truncated) is valued at the state it led to, one that ended (terminated) at 0;
* the critic learns returns of mean 0 and deviation 1, by running estimates, so that no reward needs scaling by hand;
* advantages are normalised over the whole batch; the learning rate falls linearly to 0;
* minibatches are small enough for their activations to stay in the processor's cache.
"""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tidewright.agents.executor.environment import Spaces, VectorEnvironment
from tidewright.agents.executor.policy import ACTIVATIONS, Frames, Network, Policy
from tidewright.market.errors import UsageError

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError:
    raise UsageError("learning needs torch: pip install 'tidewright[learn]'") from None

HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)


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


# -- the networks ---------------------------------------------------------------------------------------------------


def _tower(inputs: int, outputs: int, settings: Settings, gain: float, generator: torch.Generator) -> nn.Sequential:
    sizes = [inputs, *settings.hidden, outputs]
    layers: list[nn.Module] = []
    for index, (a, b) in enumerate(pairwise(sizes)):
        layer, final = nn.Linear(a, b), index == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, gain if final else math.sqrt(2.0), generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if final else [layer, nn.ReLU() if settings.activation == "relu" else nn.Tanh()]
    return nn.Sequential(*layers)


class Actor(nn.Module):
    """Chances of actions: independent normals for the continuous parts, categories for the discrete ones."""

    def __init__(self, spaces: Spaces, settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        self.spaces = spaces
        inputs, outputs = spaces.observation * settings.frames, spaces.continuous + sum(spaces.discrete)
        self.tower = _tower(inputs, outputs, settings, 0.01, generator)
        self.log_deviation = nn.Parameter(torch.full((spaces.continuous,), settings.log_deviation))

    def parts(self, observation: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Means of the continuous parts, and log probabilities of each discrete one."""
        continuous, *logits = self.tower(observation).split([self.spaces.continuous, *self.spaces.discrete], dim=1)
        return continuous, tuple(torch.log_softmax(part, 1) for part in logits)

    def sample(self, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Actions drawn for observations, and the log of their chance."""
        mean, logs = self.parts(observation)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        continuous = mean + noise * self.log_deviation.exp()
        drawn = [torch.multinomial(part.exp(), 1, generator=generator) for part in logs]
        discrete = torch.cat(drawn, 1) if drawn else torch.zeros((len(mean), 0), dtype=torch.int64, device=mean.device)
        return continuous, discrete, self.log_chance(mean, logs, continuous, discrete)

    def log_chance(self, mean: Tensor, logs: tuple[Tensor, ...], continuous: Tensor, discrete: Tensor) -> Tensor:
        """Log density of the continuous parts plus log probability of the discrete ones, (n,)."""
        scaled = (continuous - mean) * torch.exp(-self.log_deviation)
        total = -(0.5 * scaled * scaled).sum(1) - (self.log_deviation + HALF_LOG_2PI).sum()
        for index, part in enumerate(logs):
            total = total + part.gather(1, discrete[:, index : index + 1]).squeeze(1)
        return total

    def entropy(self, logs: tuple[Tensor, ...]) -> Tensor:
        """Mean entropy."""
        total = (self.log_deviation + HALF_LOG_2PI + 0.5).sum()
        for part in logs:
            total = total - (part.exp() * part).sum(1).mean()
        return total


# -- one round of experience ------------------------------------------------------------------------------------------


class Experience(NamedTuple):
    """Steps of all lanes, (horizon, lanes, ...), torch, on the learner's device."""

    observation: Tensor
    continuous: Tensor
    discrete: Tensor
    log_chance: Tensor
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
        start = torch.Generator().manual_seed(seed)
        spaces = environment.spaces
        self.actor = Actor(spaces, self.settings, start).to(self.device)
        inputs = spaces.observation * self.settings.frames
        self.critic = _tower(inputs, 1, self.settings, 1.0, start).to(self.device)
        self.weights = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, self.settings.learning_rate, eps=1e-5, fused=True)
        self.generator = torch.Generator(self.device).manual_seed(seed + 1)
        self.scale = np.array([0.0, 1.0, 0.0])  # mean, deviation and weight of the returns so far
        self._frames = Frames(self.settings.frames)
        self._widen()
        self._observation = self._frames.begin(environment.reset(seed))
        self._returns = np.zeros(environment.lanes)

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
            float(self.actor.log_deviation.detach().exp().mean()) if self.environment.spaces.continuous else 0.0,
            explained,
            terms,
        )

    def _widen(self) -> None:
        """Follow the curriculum; a resumed training goes on where it was."""
        lasts = self.settings.curriculum * self.settings.iterations
        if lasts > 0.0 and isinstance(self.environment, Widening):
            self.environment.widen(min(1.0, (self.iteration + 1) / lasts))

    @torch.inference_mode()
    def _collect(self) -> tuple[Experience, list[float], dict[str, float]]:
        rows: list[tuple[Tensor, ...]] = []
        finished: list[float] = []
        terms: dict[str, float] = {}
        for _ in range(self.settings.horizon):
            observation = torch.from_numpy(self._observation).to(self.device)
            continuous, discrete, log_chance = self.actor.sample(observation, self.generator)
            step = self.environment.step(continuous.cpu().numpy(), discrete.cpu().numpy())
            ended = step.terminated | step.truncated
            self._observation, led = self._frames.push(step.observation, step.last, ended)
            self._returns += step.reward
            if ended.any():
                finished += self._returns[ended].tolist()
                self._returns[ended] = 0.0
            for name, values in step.terms.items():
                terms[name] = terms.get(name, 0.0) + float(values.mean()) / self.settings.horizon
            signals = torch.from_numpy(np.stack((step.reward, step.terminated, ended)).astype(np.float32))
            rows.append((observation, continuous, discrete, log_chance, torch.from_numpy(led), signals))
        columns = [torch.stack(column).to(self.device) for column in zip(*rows, strict=True)]
        seen, continuous, discrete, log_chance, reached, signals = columns
        reward, terminated, over = signals.unbind(1)
        value, following = self._value(seen), self._value(reached) * (1.0 - terminated)
        experience = Experience(seen, continuous, discrete, log_chance, value, reward, following, over)
        return experience, finished, terms

    def _value(self, observation: Tensor) -> Tensor:
        """The critic's value of observations (horizon, lanes, n), in rewards."""
        flat = observation.reshape(-1, observation.shape[-1])
        parts = [self.critic(part) for part in torch.split(flat, self.settings.minibatch)]
        return torch.cat(parts).reshape(observation.shape[:-1]) * self.scale[1] + self.scale[0]

    def _learn_scale(self, target: Tensor) -> None:
        """Move the running mean and deviation of returns, and the critic's last layer so that its values stay."""
        mean, deviation = self.scale[:2].copy()
        share = 1.0 / (1.0 + min(self.scale[2], 9.0))  # the newest round weighs a tenth, early ones more
        new_mean = float(target.mean()) * share + mean * (1.0 - share)
        new_square = float((target * target).mean()) * share + (deviation**2 + mean**2) * (1.0 - share)
        new_deviation = max(1e-6, math.sqrt(max(0.0, new_square - new_mean**2)))
        final = self.critic[-1]
        assert isinstance(final, nn.Linear)
        with torch.no_grad():
            final.weight.mul_(deviation / new_deviation)
            final.bias.mul_(deviation).add_(mean - new_mean).div_(new_deviation)
        self.scale[:] = new_mean, new_deviation, self.scale[2] + 1.0

    def _update(self, experience: Experience, advantage: Tensor, target: Tensor) -> tuple[float, float, float, float]:
        """Gradient steps on the round; mean policy loss, value loss, entropy and divergence."""
        settings, sizes = self.settings, [experience.observation.shape[-1], experience.continuous.shape[-1], 1, 1, 1]
        # Side by side, so that a minibatch is gathered at once.
        samples = torch.cat(
            (
                experience.observation.flatten(0, 1),
                experience.continuous.flatten(0, 1),
                experience.log_chance.reshape(-1, 1),
                ((advantage - advantage.mean()) / (advantage.std() + 1e-8)).reshape(-1, 1),
                ((target - self.scale[0]) / self.scale[1]).reshape(-1, 1),
            ),
            dim=1,
        )
        choices = experience.discrete.flatten(0, 1)
        total, batches = torch.zeros(4, device=self.device), 0
        for _ in range(settings.epochs):
            order = torch.randperm(len(samples), generator=self.generator, device=self.device)
            for chosen in torch.split(order, settings.minibatch):
                seen, continuous, before, gain, worth = torch.split(samples.index_select(0, chosen), sizes, dim=1)
                signals = (before.squeeze(1), gain.squeeze(1), worth.squeeze(1))
                loss, parts = self._loss(seen, continuous, choices.index_select(0, chosen), *signals)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.weights, settings.max_norm)
                self.optimizer.step()
                total += parts
                batches += 1
        policy_loss, value_loss, entropy, divergence = (total / batches).tolist()
        return policy_loss, value_loss, entropy, divergence

    def _loss(
        self,
        observation: Tensor,
        continuous: Tensor,
        discrete: Tensor,
        before: Tensor,
        advantage: Tensor,
        target: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Loss of a minibatch, and its parts for the log."""
        settings = self.settings
        mean, logs = self.actor.parts(observation)
        change = self.actor.log_chance(mean, logs, continuous, discrete) - before
        ratio = change.exp()
        clipped = ratio.clamp(1.0 - settings.clip, 1.0 + settings.clip)
        policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        value_loss = 0.5 * (self.critic(observation).squeeze(1) - target).square().mean()
        entropy = self.actor.entropy(logs)
        loss = policy_loss + settings.value_weight * value_loss - settings.entropy_weight * entropy
        divergence = (ratio - 1.0 - change).mean()  # J. Schulman's low-variance estimate
        return loss, torch.stack((policy_loss, value_loss, entropy, divergence)).detach()

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
        final = self.actor.tower[-1]
        assert isinstance(final, nn.Linear)
        with torch.no_grad():
            final.bias.zero_()
            at = self.actor.spaces.continuous
            for choice, choices in zip(discrete, self.actor.spaces.discrete, strict=True):
                # softmax of one logit against choices - 1 zeros
                final.bias[at + choice] = math.log(chance / (1.0 - chance) * (choices - 1)) if choices > 1 else 0.0
                at += choices

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def policy(self, header: dict[str, Any] | None = None) -> Policy:
        """The policy as it is now, without torch."""
        layers = [layer for layer in self.actor.tower if isinstance(layer, nn.Linear)]
        network = Network(
            tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers),
            tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers),
        )
        return Policy(self.actor.spaces, (network,), self.settings.frames, self.settings.activation, header or {})

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`resume` needs; the environment is not in it."""
        return {
            "settings": self.settings.to_json(),
            "seed": self.seed,
            "iteration": self.iteration,
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "scale": self.scale.tolist(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`; the episodes begin anew.

        Raises
        ------
        UsageError
            If it was made with other settings or another seed.
        """
        settings = Settings.from_json(state["settings"])
        if (settings, state["seed"]) != (self.settings, self.seed):
            raise UsageError("a checkpoint is resumed with the settings and the seed it was made with")
        self.iteration = state["iteration"]
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.scale[:] = state["scale"]
        self._widen()
        self._observation = self._frames.begin(self.environment.reset(self.seed + self.iteration))
        self._returns[:] = 0.0
