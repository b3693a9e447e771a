"""Evolution strategies on the engine's lanes: every lane tries a policy of its own on the same events.

T. Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", arXiv 1703.03864, with
antithetic pairs and standardised results. What makes it strong here is the engine: all lanes of a cohort replay
the same market, so that two policies differ by what they do and not by the luck of their episodes, which in market
making is many times larger.

The network is even-handed: in the mirrored state (price and its change, imbalance, exposure with the other sign) it
does the mirrored thing (skew with the other sign, sell for buy). Else it learns which way the few markets it saw
happened to drift, and bets on it. Each hidden unit has a twin that sees the mirrored state; for who evaluates it, it is
a network like any other. numpy only.
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.agents.executor.environment import F32, I64, Spaces
from tidewright.agents.executor.environment_kernel import SPACING, STANCES, WIDEST
from tidewright.agents.executor.environment_tape import HOLD, Cohort, TapeSettings, starts
from tidewright.agents.executor.learning.folder import write
from tidewright.agents.executor.policy import Frames, Network, Policy
from tidewright.agents.executor.state import NAMES
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64, Tape

CONTINUOUS: Final = 3
SPREAD: Final = 0  # of them
SKEW: Final = 1
APART: Final = 2
ODD: Final = ("price", "price_change", "order_imbalance", "risk_exposure")  # have another sign in the mirror
SURE: Final = 2.0  # logit of the base rule's own levels and stance at first
_LOOKS: Final = 4  # stretches on which the usual size of what is seen is measured
_LEAST: Final = 0.01  # deviation of a number that hardly moves
_BENDS: Final = (
    (0.0, 1.0),
    (1.5, -0.6),
)  # volatility over its usual one, and by how much the first spread's slope changes
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
        Hidden units, without their twins.
    frames
        Newest observations that the policy sees together.
    widening
        What the first policy does beside what its base rule does: at twice the usual volatility its spread is about
        ``2 ** widening`` times as wide. 0: nothing.
    spacing
        Distance of further levels of the first policy, in half spreads; what a policy can say lies in [0.125, 2].
    curriculum
        Share of the generations over which places, fees, latencies and queue models are taken in, in the order in
        which they stand; 0: all of them from the start.
    ignored
        Numbers of the state that the policy does not look at. By default those that drift with a session's age, its
        inventory from before, and the price: what held in the few markets it learned on holds in no other.
    """

    generations: int = 100
    lanes: int = 256
    stretches: int = 4
    sigma: float = 0.08
    rate: float = 0.04
    hidden: int = 16
    ignored: tuple[str, ...] = ("portfolio_balance", "price", "performance_score")
    frames: int = 1
    widening: float = 0.0
    spacing: float = SPACING
    curriculum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("generations", "stretches", "frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be >= 1, was {getattr(self, name)}")
        if self.lanes < 4 or self.lanes % 2:
            raise UsageError(f"lanes must be even and >= 4, were {self.lanes}")
        unknown = [name for name in self.ignored if name not in NAMES]
        if unknown:
            raise UsageError(f"the state has no {unknown[0]!r}; it has {', '.join(NAMES)}")
        if self.hidden < 1:
            raise UsageError(f"hidden must be >= 1, was {self.hidden}")
        if not 0.0 <= self.widening <= 2.0:
            raise UsageError(f"widening must be within [0, 2], was {self.widening:g}")
        if not SPACING / WIDEST <= self.spacing <= SPACING * WIDEST:
            raise UsageError(
                f"spacing must be within [{SPACING / WIDEST:g}, {SPACING * WIDEST:g}], was {self.spacing:g}"
            )
        if self.widening and ("volatility" in self.ignored or self.hidden < len(_BENDS)):
            raise UsageError(
                f"widening needs a policy that looks at volatility with at least {len(_BENDS)} hidden units"
            )
        if not 0.0 < self.sigma < np.inf or not 0.0 < self.rate < np.inf:
            raise UsageError(f"sigma and rate must be > 0 and finite, were {self.sigma}, {self.rate}")
        if not 0.0 <= self.curriculum <= 1.0:
            raise UsageError(f"curriculum must be in [0, 1], was {self.curriculum}")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "ignored": list(self.ignored)}


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
    cohort
        Makes the lanes, of what :class:`~tidewright.agents.executor.environment_tape.Cohort` takes.

    Raises
    ------
    UsageError
        If an episode does not fit on a tape, lanes see the extended state, or the parent has another form.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        trading: TapeSettings,
        settings: EvolutionSettings,
        seed: int = 0,
        parent: Policy | None = None,
        cohort: Callable[..., Cohort] = Cohort,
    ) -> None:
        if trading.extended:
            raise UsageError(
                "evolution learns with the eight numbers that a session knows, not with the extended state"
            )
        self.trading, self.settings = trading, settings
        self.spaces = Spaces(trading.observation, CONTINUOUS, (trading.levels + 1, STANCES))
        self._random = np.random.default_rng(seed)
        looked = [float(name not in settings.ignored) for name in NAMES] * settings.frames
        self._looks: F32 = np.array(looked, np.float32)
        self._outputs = CONTINUOUS + sum(self.spaces.discrete)
        self._inputs = self.spaces.observation * settings.frames
        self._seen_mirror, self._done_mirror, self._done_order = _mirror(self.spaces, settings.frames)
        places = [place for tape in tapes for place in starts(tape, trading)]
        self._cohort = cohort(places, settings.lanes + _OWN, trading, np.random.default_rng([seed, 1]))
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
        rows = np.tile(np.array(seen, np.float64), (1, self.settings.frames))
        mean = np.where(self._seen_mirror < 0.0, 0.0, rows.mean(axis=0))
        spread = np.sqrt(((rows - mean) ** 2).mean(axis=0))
        return mean.astype(np.float32), np.maximum(spread, _LEAST).astype(np.float32)

    def _neutral(self, lanes: int) -> tuple[F32, I64]:
        discrete = np.tile(np.array([self.trading.levels, HOLD], np.int64), (lanes, 1))
        return np.zeros((lanes, CONTINUOUS), np.float32), discrete

    def _first(self) -> F64:
        seen, units = self._inputs, self.settings.hidden
        bias = np.zeros(self._outputs)
        bias[APART] = np.log(self.settings.spacing / SPACING) / np.log(WIDEST)
        bias[CONTINUOUS + self.trading.levels] = SURE
        bias[CONTINUOUS + self.trading.levels + 1 + HOLD] = SURE
        inputs = self._random.normal(0.0, np.sqrt(1.0 / seen), (units, seen))
        shift, outputs = np.zeros(units), np.zeros((self._outputs, units))
        if self.settings.widening:
            self._widen(inputs, shift, outputs, bias)
        return np.concatenate([inputs.ravel(), shift, outputs.ravel(), bias])

    def _widen(self, inputs: F64, shift: F64, outputs: F64, bias: F64) -> None:
        """Have the first units read the newest volatility v, and the spread follow it.

        The exponent of the spread becomes ``widening * (u - 1 - 0.6 * max(0, u - 1.5)) / ln 4``, u = v over its mean:
        close to ``log4(u ** widening)`` where u is between a half and three.
        """
        at = self._inputs - self.spaces.observation + NAMES.index("volatility")
        usual, spread = max(float(self._mean[at]), float(_LEAST * self._spread[at])), float(self._spread[at])
        slope = self.settings.widening / np.log(WIDEST)
        for unit, (bend, change) in enumerate(_BENDS):
            inputs[unit] = 0.0
            inputs[unit, at] = spread / usual
            shift[unit] = float(self._mean[at]) / usual - bend
            outputs[SPREAD, unit] = 0.5 * change * slope  # its twin sees the same volatility
        bias[SPREAD] = -slope

    def _of(self, parent: Policy) -> F64:
        seen, units = self._inputs, self.settings.hidden
        network = parent.members[0]
        shapes = [weight.shape for weight in network.weights]
        if len(parent.members) != 1 or parent.frames != self.settings.frames or parent.activation != "relu":
            raise UsageError(f"only one network of relu layers and {self.settings.frames} frames can be evolved on")
        if shapes != [(2 * units, seen), (self._outputs, 2 * units)]:
            raise UsageError(f"the parent's layers are {shapes}, an even-handed network of {units} units has others")
        inputs, outputs = (weight.astype(np.float64) for weight in network.weights)
        first, last = (bias.astype(np.float64) for bias in network.biases)
        if not np.allclose(inputs[units:], inputs[:units] * self._seen_mirror):
            raise UsageError("the parent's network is not even-handed: it cannot be evolved on")
        own, bias = inputs[:units], first[:units] + inputs[:units] @ self._mean
        return np.concatenate([(own * self._spread).ravel(), bias, outputs[:, :units].ravel(), last])

    def generation(self) -> Generation:
        """Try, judge, step."""
        settings = self.settings
        lasts = settings.curriculum * settings.generations
        if lasts > 0.0:
            self._cohort.share = min(1.0, (self.number + 1) / lasts)
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
        frames = Frames(self.settings.frames)
        looked = frames.begin(cohort.observation[0])
        while not cut:
            continuous, discrete = self._act(layers, looked)
            continuous[1], discrete[1] = 0.0, (self.trading.levels, HOLD)
            cut = cohort.step(continuous, discrete)
            looked, _ = frames.push(cohort.observation[0], cohort.observation[1], cohort.ruined)
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
        """Weights and biases of both layers, each row's, with the twins."""
        count, seen, units, outputs = len(rows), self._inputs, self.settings.hidden, self._outputs
        cuts = np.cumsum([units * seen, units, outputs * units])
        parts = np.split(rows, cuts, axis=1)
        inputs = parts[0].reshape(count, units, seen) * self._looks / self._spread  # to those of plain numbers
        bias = parts[1] - inputs @ self._mean
        output = parts[2].reshape(count, outputs, units)
        twins = output[:, self._done_order] * self._done_mirror[:, None]
        last = 0.5 * (parts[3] + parts[3][:, self._done_order] * self._done_mirror)
        return [
            (np.concatenate([inputs, inputs * self._seen_mirror], axis=1), np.concatenate([bias, bias], axis=1)),
            (np.concatenate([output, twins], axis=2), last),
        ]

    def save(self, path: Path) -> None:
        """Write all it needs to go on."""
        randoms = [random.bit_generator.state for random in (self._random, self._cohort.random)]
        told = json.dumps({"number": self.number, "settings": self.settings.to_json(), "randoms": randoms})
        buffer = BytesIO()
        arrays: dict[str, Any] = {"weights": self.weights, "first": self._first_moment, "second": self._second_moment}
        np.savez(buffer, told=np.frombuffer(told.encode(), np.uint8), **arrays)
        write(path, buffer.getvalue())

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
        return Policy(self.spaces, (network,), self.settings.frames, "relu", header or {})


def evolve(evolution: Evolution, tell: Callable[[Generation], None] | None = None) -> Policy:
    """All generations; the policy in the end."""
    while evolution.number < evolution.settings.generations:
        done = evolution.generation()
        if tell is not None:
            tell(done)
    return evolution.policy()


def _mirror(spaces: Spaces, frames: int) -> tuple[F32, F32, I64]:
    """Signs of the numbers of the state, signs of the outputs, and the output that takes each one's place."""
    seen = np.ones(spaces.observation, np.float32)
    seen[[NAMES.index(name) for name in ODD]] = -1.0
    outputs = CONTINUOUS + sum(spaces.discrete)
    signs, order = np.ones(outputs, np.float32), np.arange(outputs)
    signs[SKEW] = -1.0
    stance = CONTINUOUS + spaces.discrete[0]
    order[stance:] = order[stance:][::-1]
    return np.tile(seen, frames), signs, order


def _standardised(values: F64) -> F64:
    """Results less their mean, in deviations, cut at three: what is earned counts, not only who was first."""
    deviation = values.std()
    if deviation == 0.0:
        return np.zeros_like(values)
    return np.clip((values - values.mean()) / deviation, -3.0, 3.0)
