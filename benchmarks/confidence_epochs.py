"""Epochs for the judgement of confidence: search, finalist, and what the next epoch brought, on many tapes.

Each epoch is the optimizer's own study on real windows of a tape; what is written down is the paired differences it
judged by and the differences of the epoch after, so that estimators can be compared without replaying again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.judge import Judge, Judgement, Params, Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.space import Space, of_strategy
from tidewright.agents.optimizer.study import Plan, complete, study
from tidewright.agents.optimizer.windows import Window, split
from tidewright.cli.demo import POOR, POSITION_SIZE, QUOTE_SIZE
from tidewright.market.clock import SECOND
from tidewright.market.tape import Tape
from tidewright.measure.mids import tape_mids
from tidewright.trading.settings import AdviceSettings

F64 = npt.NDArray[np.float64]

KINDS: Final = ("poor", "random", "default", "fixed", "good")
SPELL: Final = 10  # epochs after which the incumbent is set anew
THRESHOLD: Final = 0.6  # the executor's default
LATENCY_NS: Final = 50_000_000
WORTH: Final = {"BTC": 13_700.0}  # of a unit of quote in dollars, where it is none: on the day of the one such tape


@dataclass(frozen=True, slots=True)
class Course:
    """How a tape is cut into epochs: market time in cycles.

    Attributes
    ----------
    window, epoch
        What the optimizer looks back on, and what it forecasts.
    ahead
        Epochs whose differences are written down.
    candidates, generations
        Size of the search: small, so that there can be thousands of epochs.
    """

    cycle_ns: int = 30 * SECOND
    window: int = 360
    epoch: int = 60
    ahead: int = 4
    candidates: int = 48
    generations: int = 1


def as_in_a_session() -> Course:
    """The epochs and searches of a session's defaults."""
    told, cycle_ns = AdviceSettings(), 30 * SECOND
    window, epoch = told.window_ns // cycle_ns, told.epoch_ns // cycle_ns
    return Course(cycle_ns, window, epoch, 1, told.candidates, told.generations)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One forecast's raw material and outcome; differences are candidate less incumbent, quote, a cycle each.

    Attributes
    ----------
    kind
        How the incumbent came to be, of ``KINDS``.
    inside, outside, after
        Differences in sample, out of sample, and over the next epochs (the first epoch's are the outcome's).
    kept
        Over the next epochs what the incumbent itself earned, quote, a cycle each.
    drift_inside, drift_outside
        The part of them that is position times change of the mid.
    """

    source: str
    strategy: str
    kind: str
    number: int
    until_ns: int
    choices: float
    trials: int
    probability: float
    confidence: float
    sent: bool
    inside: list[float]
    drift_inside: list[float]
    outside: list[float]
    drift_outside: list[float]
    after: list[float]
    kept: list[float]


class Listener:
    """A judge that remembers the last two it was asked with equity recorded: the study's comparisons in and out."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.heard: list[Judgement] = []

    def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
        """Pass on."""
        judged = self._judge.evaluate(window, params, lanes, record)
        if record:
            self.heard = [*self.heard[-1:], judged]
        return judged


def sized(strategy: str, price: float, params: Mapping[str, float]) -> dict[str, float]:
    """All parameters of a strategy with the demo's sizes at a price."""
    size = {"base_quantity": float(f"{QUOTE_SIZE}") / price, "max_position": float(f"{POSITION_SIZE}") / price}
    return complete(strategy, {**params, **{name: float(f"{value:.4g}") for name, value in size.items()}})


def epochs(tape: Tape, source: str, strategy: str, course: Course, seed: int, first_kind: int) -> Iterator[Epoch]:
    """Play a session's optimizer over a tape."""
    mids = tape_mids(tape.data, float(tape.instrument.tick))
    rng = np.random.default_rng([seed, 11])
    space = of_strategy(strategy)
    settings = Settings(course.cycle_ns, 0, LATENCY_NS, LATENCY_NS)
    memory, incumbent, before, ahead = Memory(), {}, None, None
    price = float(mids.mid[0]) * WORTH.get(tape.instrument.quote, 1.0)
    until = tape.start_ns + course.window * course.cycle_ns
    number = 0
    while until + course.ahead * course.epoch * course.cycle_ns <= tape.end_ns:
        kind = KINDS[(first_kind + number // SPELL) % len(KINDS)]
        if number % SPELL == 0:
            incumbent = sized(strategy, price, _start(kind, strategy, space, rng))
        parts = split(until - course.window * course.cycle_ns, until, course.cycle_ns, 2 * LATENCY_NS)
        before = ShadowJudge(tape, len(tape), strategy, settings, parts.inside.start_ns, before)
        listener = Listener(before)
        size = course.candidates, course.generations
        plan = Plan(strategy, space, incumbent, parts, course.cycle_ns, course.epoch, *size, seed)
        found = study(listener, plan, memory)
        number += 1
        if found.evidence is not None:
            inside, outside = listener.heard
            candidate = found.outside[found.chosen].params
            later = Window(until, until + course.ahead * course.epoch * course.cycle_ns)
            pair = {name: np.array([candidate[name], incumbent[name]]) for name in candidate}
            ahead = ShadowJudge(tape, len(tape), strategy, settings, until, ahead)
            came = ahead.evaluate(later, pair, 2, record=True).increments
            yield Epoch(
                source=source,
                strategy=strategy,
                kind=kind,
                number=number - 1,
                until_ns=until,
                choices=found.evidence.choices,
                trials=found.trials,
                probability=found.evidence.probability,
                confidence=found.evidence.confidence,
                sent=not found.reason,
                inside=_plain(_pair(inside.increments, found.chosen)),
                drift_inside=_plain(_pair(inside.drift, found.chosen)),
                outside=_plain(_pair(outside.increments, found.chosen)),
                drift_outside=_plain(_pair(outside.drift, found.chosen)),
                after=_plain(came[:, 0] - came[:, 1]),
                kept=_plain(came[:, 1]),
            )
            if kind == "good" or (kind != "fixed" and not found.reason and found.evidence.confidence >= THRESHOLD):
                incumbent = dict(candidate)
        until += course.epoch * course.cycle_ns


def to_json(epoch: Epoch) -> dict[str, Any]:
    """Plain values."""
    return asdict(epoch)


def _start(kind: str, strategy: str, space: Space, rng: np.random.Generator) -> dict[str, float]:
    if kind in ("poor", "fixed"):
        return dict(POOR[strategy])
    if kind == "random":
        return dict(
            zip(space.names, (float(v) for v in space.decode(rng.random((1, len(space.names))))[0]), strict=True)
        )
    return {}


def _pair(values: F64 | None, chosen: int) -> F64:
    assert values is not None
    return np.asarray(values[:, chosen] - values[:, -1], np.float64)


def _plain(values: F64) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
