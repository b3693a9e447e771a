"""Who competes: fixed parameters, parameters tuned once before the first window, and the optimizer, window by window.

A contender is asked for its parameters at the start of every window and is shown only what had happened by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from tidewright.agents.executor.canary import CanaryRules, Rollout
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.proposals import Gate, gate_reasons
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.objective import Objective
from tidewright.agents.optimizer.space import Space, of_strategy
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.agents.optimizer.study import Findings, Plan, complete, study
from tidewright.agents.optimizer.validation import checks
from tidewright.agents.optimizer.windows import split
from tidewright.coordination.payloads import Checks
from tidewright.engine.sweep import Runner
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape

SIZES: Final = ("base_quantity", "max_position")  # the same for everybody: size is not skill
LEAST_CONFIDENCE: Final = 0.6  # of a proposal the optimizer takes; what a session demands by default


@dataclass(frozen=True, slots=True)
class Effort:
    """What one search may cost.

    Attributes
    ----------
    candidates, generations
        Parameter sets a generation; generations.
    seed
        Of the search.
    learning
        Generations of the evolution of a policy.
    """

    candidates: int = 256
    generations: int = 3
    seed: int = 7
    learning: int = 40


@dataclass(frozen=True, slots=True)
class History:
    """What is known at the start of a window: the tape's rows before it, and nothing later.

    Attributes
    ----------
    from_ns, until_ns
        The first time that may be learnt from; the window's start.
    horizon
        Cycles of the window to come.
    sizes
        Order size and position limit of every contender, base.
    """

    tape: Tape
    rows: int
    settings: Settings
    from_ns: int
    until_ns: int
    horizon: int
    sizes: Mapping[str, float]
    effort: Effort

    def search(
        self,
        strategy: str,
        incumbent: Mapping[str, float],
        memory: Memory,
        space: Space | None = None,
        runner: Runner | None = None,
        objective: Objective | None = None,
    ) -> Findings:
        """Breed parameters in sample and judge the best out of sample, both before the window.

        Parameters
        ----------
        space
            What is searched; ``None``: :func:`searched`.
        runner
            Where lanes run: under a policy, say.
        objective
            What better means; ``None``: what it means to a session's optimizer.
        """
        settings = self.settings
        parts = split(self.from_ns, self.until_ns, settings.cycle_ns, settings.entry_ns + settings.response_ns)
        plan = Plan(
            strategy=strategy,
            space=space or searched(strategy),
            incumbent=incumbent,
            split=parts,
            cycle_ns=settings.cycle_ns,
            horizon=self.horizon,
            candidates=self.effort.candidates,
            generations=self.effort.generations,
            seed=self.effort.seed,
            objective=objective or Objective(),
        )
        judge = ShadowJudge(self.tape, self.rows, strategy, settings, parts.inside.start_ns, runner=runner)
        return study(judge, plan, memory)


class Contender(Protocol):
    """Somebody who names the parameters of the next window."""

    @property
    def name(self) -> str:
        """Short, for a table."""
        ...

    @property
    def meaning(self) -> str:
        """What it does, a sentence."""
        ...

    @property
    def strategy(self) -> str:
        """Whose parameters they are."""
        ...

    @property
    def trials(self) -> int:
        """Parameter sets tried so far to find them."""
        ...

    @property
    def runner(self) -> SteeredLanes | None:
        """What its lanes run under; ``None``: its parameters alone."""
        ...

    @property
    def given(self) -> Policy | None:
        """A policy under which it trades and that learned elsewhere; ``None``: there is none."""
        ...

    @property
    def rollout(self) -> Rollout | None:
        """How far it is with new parameters in the window to come; ``None``: it uses what it names at once."""
        ...

    def parameters(self, history: History) -> dict[str, float]:
        """Parameters for the window that begins when the history ends."""
        ...


@dataclass(slots=True)
class Fixed:
    """Parameters that somebody set by hand and never changes."""

    name: str
    strategy: str
    params: Mapping[str, float]
    meaning: str = "fixed parameters"
    trials: int = 0
    runner: SteeredLanes | None = None
    rollout: Rollout | None = None

    @property
    def given(self) -> Policy | None:
        """That of the runner it was given."""
        return _given(self.runner)

    def parameters(self, history: History) -> dict[str, float]:
        """The same at every window."""
        return complete(self.strategy, {**self.params, **history.sizes})


@dataclass(slots=True)
class Tuned:
    """Parameters found by one search before the first window, then kept.

    Attributes
    ----------
    objective
        What better means, in the search and when its finds are held against the given parameters out of sample.
    """

    name: str
    strategy: str
    params: Mapping[str, float] = field(default_factory=dict)
    meaning: str = "tuned once, before the first window"
    trials: int = 0
    runner: SteeredLanes | None = None
    rollout: Rollout | None = None
    objective: Objective = field(default_factory=Objective)
    _found: dict[str, float] = field(default_factory=dict)

    @property
    def given(self) -> Policy | None:
        """That of the runner it was given."""
        return _given(self.runner)

    def parameters(self, history: History) -> dict[str, float]:
        """What the search before the first window found best out of sample."""
        if not self._found:
            memory = Memory()
            incumbent = complete(self.strategy, {**self.params, **history.sizes})
            found = history.search(self.strategy, incumbent, memory, objective=self.objective)
            better = found.chosen >= 0 and found.outside[found.chosen].score > found.outside[-1].score
            self._found = dict(found.inside[found.chosen].params) if better else incumbent
            self.trials = memory.trials
        return self._found


@dataclass(slots=True)
class Adaptive:
    """The optimizer beside a session: before every window it searches what has happened and may propose.

    A proposal is taken as a session takes it: when its confidence reaches :data:`LEAST_CONFIDENCE` and its own figures
    pass the gate. It trades small first and beside the old parameters, and goes when those would earn more.

    Attributes
    ----------
    gate, rules
        The session's defaults.
    """

    name: str
    strategy: str
    params: Mapping[str, float] = field(default_factory=dict)
    meaning: str = "the optimizer, before every window"
    taken: int = 0
    runner: SteeredLanes | None = None
    space: Space | None = None
    gate: Gate = field(default_factory=Gate)
    rules: CanaryRules = field(default_factory=CanaryRules)
    rollout: Rollout | None = None
    _memory: Memory = field(default_factory=Memory)

    @property
    def trials(self) -> int:
        """Parameter sets tried so far."""
        return self._memory.trials

    @property
    def given(self) -> Policy | None:
        """That of the runner it was given."""
        return _given(self.runner)

    @property
    def rolled_back(self) -> int:
        """Proposals that were taken and went."""
        return 0 if self.rollout is None else self.rollout.counts["rolled_back"]

    def parameters(self, history: History) -> dict[str, float]:
        """What it aims at: the proposal if it convinces, else what traded before."""
        rollout = self.begun(history)
        if rollout.held:  # one at a time
            return rollout.params
        found = history.search(self.strategy, rollout.params, self._memory, self.space, self.runner)
        if found.evidence is None or found.reason or found.evidence.confidence < LEAST_CONFIDENCE:
            return rollout.params
        figures = Checks(**checks(found.validation, found.steady, found.evidence))
        if not gate_reasons(figures, self.gate):
            now, params = history.until_ns, found.inside[found.chosen].params
            rollout.accept(now, f"{self.name}-{now}", params, now, found.evidence.block_deviation(self.rules.block))
            self.taken += 1
        return rollout.params

    def begun(self, history: History) -> Rollout:
        """Its rollout, begun with what trades first."""
        if self.rollout is None:
            params = complete(self.strategy, {**self.params, **history.sizes})
            self.rollout = Rollout(self.rules, history.settings.cycle_ns, params)
        return self.rollout


def _given(runner: SteeredLanes | None) -> Policy | None:
    return None if runner is None else runner.policy


def searched(strategy: str) -> Space:
    """What a contender of this strategy may search: its own ranges without the sizes.

    Raises
    ------
    UsageError
        If nothing is left to search.
    """
    return Space(tuple(part for part in of_strategy(strategy).dimensions if part.name not in SIZES))


def rules() -> list[Contender]:
    """The traditional bot, and rules that claim to be better; the first is what the others are compared with."""
    hand_set = {"spread_percentage": 0.15, "levels": 3}
    return [
        Fixed("traditional", "grid", hand_set, "a grid of 3 levels, 0.15 %, set by hand"),
        Tuned("tuned A-S", "avellaneda_stoikov", meaning="Avellaneda and Stoikov, tuned once before the first window"),
        Tuned("tuned GLFT", "glft", meaning="Gueant, Lehalle and Fernandez-Tapia, tuned once before the first window"),
        Adaptive("optimizer", "grid", hand_set, "the traditional grid, re-tuned by the optimizer before every window"),
    ]


def parse(text: str) -> Contender:
    """Contender of ``NAME=STRATEGY[,fixed|tuned|optimizer][,parameter=value ...]``.

    Raises
    ------
    UsageError
        If the text has another form or the strategy does not know a parameter.
    """
    from tidewright.strategies import registry

    name, equals, rest = text.partition("=")
    strategy, *words = rest.split(",")
    if not (name and equals and strategy):
        raise UsageError(f"a contender is NAME=STRATEGY[,fixed|tuned|optimizer][,parameter=value ...], was {text!r}")
    mode, params = "fixed", {}
    for word in words:
        key, given, value = word.partition("=")
        if not given and key in ("fixed", "tuned", "optimizer"):
            mode = key
            continue
        try:
            params[key] = float(value)
        except ValueError:
            raise UsageError(
                f"contender {name}: {word!r} must be fixed, tuned, optimizer or parameter=number"
            ) from None
    known = registry.resolve(strategy)
    complete(known, params)
    if mode == "fixed":
        return Fixed(name, known, params, f"{registry.strategy(known).title} with fixed parameters")
    if mode == "tuned":
        return Tuned(name, known, params, f"{registry.strategy(known).title}, tuned once before the first window")
    return Adaptive(name, known, params, f"{registry.strategy(known).title}, re-tuned before every window")
