"""Networks with their gradients written out, for the few small layers that a policy has.

torch's automatic differentiation takes more than half of a gradient step's time here: it allocates every intermediate
anew, and its gradient of a narrow first layer takes as long as that of a wide one. Here activations are kept as
(features, samples) in buffers that are used again, so that every product is of a shape that is fast, and everything
that is learned lies in one vector, so that a norm or a step of Adam is one operation.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.policy import Network

HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)
_RELU_BACK: Final = torch.ops.aten.threshold_backward.grad_input
_TANH_BACK: Final = torch.ops.aten.tanh_backward.grad_input


class Learned:
    """One vector of everything that is learned, and one of its gradient; both are handed out in pieces.

    Parameters
    ----------
    count
        Numbers in it.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.values = nn.Parameter(torch.zeros(count, device=device), requires_grad=False)
        self.slopes = torch.zeros(count, device=device)
        self.values.grad = self.slopes
        self._taken = 0

    def take(self, *shape: int) -> tuple[Tensor, Tensor]:
        """Views of the next piece: values and slopes."""
        start, self._taken = self._taken, self._taken + math.prod(shape)
        return self.values.data[start : self._taken].view(shape), self.slopes[start : self._taken].view(shape)


def count(sizes: Sequence[int]) -> int:
    """Numbers that a tower of these sizes learns."""
    return sum(outputs * (inputs + 1) for inputs, outputs in pairwise(sizes))


class Tower:
    """A fully connected network.

    Parameters
    ----------
    sizes
        Of the inputs, the hidden layers and the outputs.
    activation
        Of the hidden layers, "relu" or "tanh".
    gain
        Of the last layer's weights at the start; those of the others are orthogonal with gain sqrt(2), biases 0.
    """

    def __init__(
        self, sizes: Sequence[int], activation: str, gain: float, learned: Learned, generator: torch.Generator
    ) -> None:
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        self._slopes: list[tuple[Tensor, Tensor]] = []
        self._relu = activation == "relu"
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            (weight, weight_slope), (bias, bias_slope) = learned.take(outputs, inputs), learned.take(outputs, 1)
            first = torch.empty(outputs, inputs)
            nn.init.orthogonal_(first, gain if index == len(sizes) - 2 else math.sqrt(2.0), generator=generator)
            weight.copy_(first)
            self.weights.append(weight)
            self.biases.append(bias)
            self._slopes.append((weight_slope, bias_slope))
        self._buffers: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self._passed: list[Tensor] = []  # inputs of every layer of the newest pass

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (outputs, n) of inputs (inputs, n); overwritten by the next pass of as many samples."""
        values, self._passed = inputs, []
        outputs, _ = self._buffers_of(inputs.shape[1])
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            self._passed.append(values)
            values = torch.addmm(bias, weight, values, out=outputs[index])
            if index + 1 < len(self.weights):
                values = values.relu_() if self._relu else values.tanh_()
        return values

    def backward(self, slope: Tensor) -> None:
        """Write the gradient, given the loss's slope (outputs, n) in the outputs of the newest pass."""
        _, slopes = self._buffers_of(slope.shape[1])
        for index in reversed(range(len(self.weights))):
            seen, (weight_slope, bias_slope) = self._passed[index], self._slopes[index]
            torch.mm(slope, seen.t(), out=weight_slope)
            torch.sum(slope, 1, keepdim=True, out=bias_slope)
            if index:
                below = torch.mm(self.weights[index].t(), slope, out=slopes[index - 1])
                slope = _RELU_BACK(below, seen, 0, grad_input=below) if self._relu else self._tanh_back(below, seen)

    @staticmethod
    def _tanh_back(below: Tensor, seen: Tensor) -> Tensor:
        return _TANH_BACK(below, seen, grad_input=below)

    def _buffers_of(self, samples: int) -> tuple[list[Tensor], list[Tensor]]:
        """For the outputs of every layer, and for their slopes."""
        if samples not in self._buffers:
            empty = self.weights[0].new_empty
            sizes = [len(weight) for weight in self.weights]
            self._buffers[samples] = [empty(size, samples) for size in sizes], [empty(size, samples) for size in sizes]
        return self._buffers[samples]

    def network(self) -> Network:
        """The same for numpy."""
        return Network(
            tuple(weight.cpu().numpy().copy() for weight in self.weights),
            tuple(bias.cpu().numpy()[:, 0].copy() for bias in self.biases),
        )


class Signals(NamedTuple):
    """What a gradient step on the policy gave, for the log: tensors of one number."""

    loss: Tensor
    entropy: Tensor
    divergence: Tensor  # J. Schulman's low-variance estimate, from old to new policy


class Actor:
    """Chances of actions: independent normals for the continuous parts, categories for the discrete ones.

    Actions are (parts, n): continuous numbers, and whole numbers of the discrete choices.
    """

    def __init__(
        self,
        spaces: Spaces,
        tower: Tower,
        log_deviation: float,
        learned: Learned,
    ) -> None:
        self.spaces, self.tower = spaces, tower
        self.log_deviation, self._deviation_slope = learned.take(spaces.continuous, 1)
        self.log_deviation.fill_(log_deviation)

    def parts(self, outputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Means of the continuous parts, and log probabilities of each discrete one, of the tower's outputs."""
        means, *logits = torch.split(outputs, [self.spaces.continuous, *self.spaces.discrete])
        return means, [torch.log_softmax(part, 0) for part in logits]

    def draw(self, outputs: Tensor, noise: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Both parts, given what is added to the means (continuous, n) and numbers in [0, 1) (parts, n)."""
        means, logs = self.parts(outputs)
        discrete = torch.empty(uniform.shape, dtype=torch.int64, device=uniform.device)
        for index, part in enumerate(logs):
            torch.sum(uniform[index] > part.exp().cumsum(0)[:-1], 0, out=discrete[index])
        return means + noise, discrete

    def log_chance(self, scaled: Tensor, logs: Sequence[Tensor], discrete: Tensor) -> Tensor:
        """Log density of continuous parts, in deviations off their means, plus log probability of discrete ones."""
        total = (scaled * scaled).sum(0).mul_(-0.5).sub_((self.log_deviation + HALF_LOG_2PI).sum())
        for part, chosen in zip(logs, discrete, strict=True):
            total += part.gather(0, chosen[None]).squeeze(0)
        return total

    def log_chance_of(self, outputs: Tensor, continuous: Tensor, discrete: Tensor) -> Tensor:
        """The same of actions taken where the tower had these outputs."""
        means, logs = self.parts(outputs)
        return self.log_chance((continuous - means) * (-self.log_deviation).exp(), logs, discrete)

    def learn(
        self,
        seen: Tensor,
        continuous: Tensor,
        discrete: Tensor,
        before: Tensor,
        advantage: Tensor,
        clip: float,
        entropy_weight: float,
    ) -> Signals:
        """Write the gradient of PPO's clipped loss, less the weighted entropy.

        Parameters
        ----------
        seen
            What was looked at, (inputs, n).
        before
            Log of the actions' chance when they were taken, (n,).
        advantage, clip
            Of the actions, (n,); how far the ratio of new to old chance may move before its gradient stops.
        """
        means, logs = self.parts(self.tower.forward(seen))
        precision = (-self.log_deviation).exp()
        scaled = (continuous - means) * precision
        change = self.log_chance(scaled, logs, discrete) - before
        ratio = change.exp()
        gained = ratio * advantage
        loss = torch.minimum(gained, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
        # The slope in the log of the chance is the gain itself, where nothing is clipped.
        slope = gained.mul_(loss == gained).mul_(-1.0 / len(change))
        self._deviation_slope[:] = (slope * (scaled * scaled - 1.0)).sum(1, keepdim=True) - entropy_weight
        entropy = (self.log_deviation + (HALF_LOG_2PI + 0.5)).sum()
        slopes = [scaled.mul_(precision).mul_(slope)]
        for part, chosen in zip(logs, discrete, strict=True):
            odds = part.exp()
            surprise = (odds * part).sum(0)  # minus the entropy of each sample
            entropy = entropy - surprise.mean()
            outward = odds * (part - surprise).mul_(entropy_weight / len(change)) - odds * slope
            slopes.append(outward.scatter_add_(0, chosen[None], slope[None]))
        self.tower.backward(torch.cat(slopes) if len(slopes) > 1 else slopes[0])
        return Signals(-loss.mean(), entropy, (ratio - 1.0 - change).mean())
