"""Evolution strategies on the engine's lanes: every lane tries a policy of its own on the same events.

T. Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", arXiv 1703.03864, with
antithetic pairs and standardised results. What makes it strong here is the engine: all lanes of a cohort replay
the same market, so that two policies differ by what they do and not by the luck of their episodes, which in market
making is many times larger. numpy only.
"""

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.agents.executor.environment import F32, I64, Spaces
from tidewright.agents.executor.environment_kernel import STANCES
from tidewright.agents.executor.environment_tape import HOLD, Cohort, TapeSettings, starts
from tidewright.agents.executor.policy import Network, Policy
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64, Tape

CONTINUOUS: Final = 3
SURE: Final = 1.0  # logit of the base rule's own levels and stance at first
_LOOKS: Final = 4  # stretches on which the usual size of what is seen is measured
_LEAST: Final = 1e-3  # deviation of a number that hardly moves
_OWN: Final = 2  # lanes beside the trials: the policy itself, and its base rule
_DECAY: Final = (0.9, 0.99)  # Adam's


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """How to evolve.

    Attributes
    ----------
    generations
        Steps; the learning rate falls over them.
    lanes
        Trials of a generation, in antithetic pairs.
    stretches
        Stretches of market on which each trial is judged.
    sigma, rate
        Deviation of the trials' weights, and learning rate of Adam at the start.
    hidden
        Sizes of the hidden layers.
    """

    generations: int = 100
    lanes: int = 256
    stretches: int = 4
    sigma: float = 0.08
    rate: float = 0.04
    hidden: tuple[int, ...] = (16,)

    def __post_init__(self) -> None:
        for name in ("generations", "stretches"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be >= 1, was {getattr(self, name)}")
        if self.lanes < 4 or self.lanes % 2:
            raise UsageError(f"lanes must be even and >= 4, were {self.lanes}")
        if not self.sigma > 0.0 or not self.rate > 0.0:
            raise UsageError(f"sigma and rate must be > 0, were {self.sigma}, {self.rate}")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "hidden": list(self.hidden)}


class Generation(NamedTuple):
    """One generation: rewards are means a decision.

    Attributes
    ----------
    reward, base, trials
        Of the policy itself, of its base rule and of the trials' mean, on the same events.
    pnl, base_pnl
        The profit in them, basis points of the largest position a decision.
    """

    number: int
    reward: float
    base: float
    trials: float
    pnl: float
    base_pnl: float


class Evolution:
    """Evolves one policy.

    Parameters
    ----------
    tapes
        Markets to learn on.
    trading
        What lanes trade with.
    seed
        Of weights, trials and stretches.
    parent
        Weights to begin with; ``None``: what the base rule does.

    Raises
    ------
    UsageError
        If an episode does not fit on a tape, or the parent has another form.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        trading: TapeSettings,
        settings: EvolutionSettings,
        seed: int = 0,
        parent: Policy | None = None,
    ) -> None:
        self.trading, self.settings = trading, settings
        self.spaces = Spaces(trading.observation, CONTINUOUS, (trading.levels + 1, STANCES))
        self._random = np.random.default_rng(seed)
        self._sizes = (self.spaces.observation, *settings.hidden, CONTINUOUS + sum(self.spaces.discrete))
        places = [place for tape in tapes for place in starts(tape, trading)]
        self._cohort = Cohort(places, settings.lanes + _OWN, trading, np.random.default_rng([seed, 1]))
        self._mean, self._spread = self._usual()
        self.weights = self._first() if parent is None else self._of(parent)
        self._first_moment, self._second_moment = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self.number = 0

    def _usual(self) -> tuple[F32, F32]:
        """Mean and deviation of each number that the base rule sees: weights are of standardised numbers.

        Else the volatility, which is a few hundredths, would need weights a hundred times those of the others.
        """
        cohort = self._cohort
        neutral = self._neutral(cohort.lanes)
        seen = []
        for _ in range(_LOOKS):
            cohort.begin()
            cut = False
            while not cut:
                seen.append(cohort.observation[0, 0].copy())
                cut = cohort.step(*neutral)
        rows = np.array(seen, np.float64)
        return rows.mean(axis=0).astype(np.float32), np.maximum(rows.std(axis=0), _LEAST).astype(np.float32)

    def _neutral(self, lanes: int) -> tuple[F32, I64]:
        discrete = np.tile(np.array([self.trading.levels, HOLD], np.int64), (lanes, 1))
        return np.zeros((lanes, CONTINUOUS), np.float32), discrete

    def _first(self) -> F64:
        parts = []
        for index, (inputs, outputs) in enumerate(pairwise(self._sizes)):
            last = index == len(self._sizes) - 2
            scale = 0.0 if last else np.sqrt(2.0 / inputs)
            parts.append(self._random.normal(0.0, 1.0, outputs * inputs) * scale)
            bias = np.zeros(outputs)
            if last:
                bias[CONTINUOUS + self.trading.levels] = SURE
                bias[CONTINUOUS + self.trading.levels + 1 + HOLD] = SURE
            parts.append(bias)
        return np.concatenate(parts)

    def _of(self, parent: Policy) -> F64:
        if len(parent.members) != 1 or parent.frames != 1 or parent.activation != "relu":
            raise UsageError("only one network of relu layers that sees one observation can be evolved on")
        network = parent.members[0]
        sizes = (network.weights[0].shape[1], *(len(bias) for bias in network.biases))
        if sizes != self._sizes:
            raise UsageError(f"the parent's layers are {list(sizes)}, these {list(self._sizes)}")
        weights, biases = list(network.weights), list(network.biases)
        biases[0] = biases[0] + weights[0] @ self._mean
        weights[0] = weights[0] * self._spread
        pairs = zip(weights, biases, strict=True)
        return np.concatenate([part.ravel().astype(np.float64) for pair in pairs for part in pair])

    def generation(self) -> Generation:
        """Try, judge, step."""
        settings = self.settings
        half = settings.lanes // 2
        noise = self._random.standard_normal((half, len(self.weights)))
        own = np.tile(self.weights, (_OWN, 1))
        trials = np.concatenate([own, self.weights + settings.sigma * noise, self.weights - settings.sigma * noise])
        layers = self._layers(trials.astype(np.float32))
        rewards = np.zeros((len(trials), 2))
        for _ in range(settings.stretches):
            rewards += self._judged(layers) / settings.stretches
        utility = _standardised(rewards[_OWN:, 0])
        slope = (utility[:half] - utility[half:]) @ noise / (settings.lanes * settings.sigma)
        self._step(slope)
        self.number += 1
        return Generation(
            self.number,
            float(rewards[0, 0]),
            float(rewards[1, 0]),
            float(rewards[_OWN:, 0].mean()),
            float(rewards[0, 1]),
            float(rewards[1, 1]),
        )

    def _step(self, slope: F64) -> None:
        (one, two), count = _DECAY, self.number + 1
        self._first_moment = one * self._first_moment + (1 - one) * slope
        self._second_moment = two * self._second_moment + (1 - two) * slope * slope
        rate = self.settings.rate * (1.0 - self.number / self.settings.generations)
        mean, square = self._first_moment / (1 - one**count), self._second_moment / (1 - two**count)
        self.weights = self.weights + rate * mean / (np.sqrt(square) + 1e-8)

    def _judged(self, layers: list[tuple[F32, F32]]) -> F64:
        """Reward and profit a decision of every lane on one stretch, (lanes, 2)."""
        cohort, reward = self._cohort, self.trading.reward
        cohort.begin()
        total, decisions, cut = np.zeros((cohort.lanes, 2)), 0, False
        while not cut:
            continuous, discrete = self._act(layers, cohort.observation[0])
            continuous[1], discrete[1] = 0.0, (self.trading.levels, HOLD)
            cut = cohort.step(continuous, discrete)
            total[:, 0] += reward.of(cohort.terms)
            total[:, 1] += cohort.terms[:, 0]
            decisions += 1
        return total / decisions

    def _act(self, layers: list[tuple[F32, F32]], observation: F32) -> tuple[F32, I64]:
        values = observation[:, :, None]
        for index, (weight, bias) in enumerate(layers):
            values = weight @ values + bias[:, :, None]
            if index + 1 < len(layers):
                values = np.maximum(values, np.float32(0.0))
        outputs = values[:, :, 0]
        discrete = np.zeros((len(outputs), len(self.spaces.discrete)), np.int64)
        at = CONTINUOUS
        for part, choices in enumerate(self.spaces.discrete):
            discrete[:, part] = outputs[:, at : at + choices].argmax(axis=1)
            at += choices
        return np.clip(outputs[:, :CONTINUOUS], -1.0, 1.0), discrete

    def _layers(self, rows: F32) -> list[tuple[F32, F32]]:
        found: list[tuple[F32, F32]] = []
        at = 0
        for inputs, outputs in pairwise(self._sizes):
            weight = rows[:, at : at + inputs * outputs].reshape(len(rows), outputs, inputs)
            at += inputs * outputs
            bias = rows[:, at : at + outputs]
            at += outputs
            if not found:  # of standardised numbers to of plain ones
                weight = weight / self._spread
                bias = bias - weight @ self._mean
            found.append((np.ascontiguousarray(weight), np.ascontiguousarray(bias)))
        return found

    def save(self, path: Path) -> None:
        """Write all it needs to go on."""
        randoms = [random.bit_generator.state for random in (self._random, self._cohort.random)]
        told = json.dumps({"number": self.number, "settings": self.settings.to_json(), "randoms": randoms})
        buffer = BytesIO()
        arrays: dict[str, Any] = {"weights": self.weights, "first": self._first_moment, "second": self._second_moment}
        np.savez(buffer, told=np.frombuffer(told.encode(), np.uint8), **arrays)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(buffer.getvalue())
        os.replace(draft, path)

    def resume(self, path: Path) -> None:
        """Go on from a file of :meth:`save`: the rest is as if it had never stopped.

        Raises
        ------
        DataError
            If it is not such a file, or of other settings.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                told = json.loads(bytes(kept["told"]))
                weights, first, second = (np.array(kept[name], np.float64) for name in ("weights", "first", "second"))
        except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({error}); delete it to begin anew") from None
        if told["settings"] != self.settings.to_json() or len(weights) != len(self.weights):
            raise DataError(f"{path} is of a training with other settings; delete it or give another --work folder")
        self.weights, self._first_moment, self._second_moment = weights, first, second
        self.number = int(told["number"])
        for random, state in zip((self._random, self._cohort.random), told["randoms"], strict=True):
            random.bit_generator.state = state

    def policy(self, header: dict[str, Any] | None = None) -> Policy:
        """The policy as it is now."""
        layers = self._layers(self.weights[None].astype(np.float32))
        network = Network(tuple(weight[0] for weight, _ in layers), tuple(bias[0] for _, bias in layers))
        return Policy(self.spaces, (network,), 1, "relu", header or {})


def evolve(evolution: Evolution, tell: Callable[[Generation], None] | None = None) -> Policy:
    """All generations; the policy in the end."""
    while evolution.number < evolution.settings.generations:
        done = evolution.generation()
        if tell is not None:
            tell(done)
    return evolution.policy()


def _standardised(values: F64) -> F64:
    """Results less their mean, in deviations, cut at three: what is earned counts, not only who was first."""
    deviation = values.std()
    if deviation == 0.0:
        return np.zeros_like(values)
    return np.clip((values - values.mean()) / deviation, -3.0, 3.0)
