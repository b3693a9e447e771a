"""Contenders with a learned policy in the executor's chair: it learns from what happened before the first window."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from tidewright.agents.comparison.contenders import Adaptive, Contender, History, rules
from tidewright.agents.executor.environment_tape import STRATEGY, Randomisation, TapeSettings
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.agents.executor.reward import Reward
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.seat_fit import TUNED, mismatches
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.space import Dimension, Space
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.agents.optimizer.study import complete
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape

SEARCHED: Final = Space(tuple(Dimension(name, ends["low"], ends["high"], "log") for name, ends in TUNED.items()))
# A base rule it begins with: half a spread of 7.5 basis points, as the traditional bot's. A policy can quarter or
# quadruple that. The other is tuned first; where that one is wide, a policy finds no way back to the market.
BASE: Final = {"kappa": 1.0 / 7.5, "gamma": 5e-4}
JUDGED: Final = 5  # last generations by whose reward it is decided which of the two is kept
EPISODE: Final = 120  # cycles of a stretch it learns on, at most
SHARE: Final = 0.25  # of the history that one such stretch may take
LANES: Final = 64  # policies tried in a generation
STRETCHES: Final = 6  # on which each is judged


@dataclass(frozen=True, slots=True)
class Taught:
    """What learning gave: parameters of the base rule, the policy over them, and how many trials that took."""

    params: dict[str, float]
    lanes: SteeredLanes
    trials: int


@dataclass(slots=True)
class School:
    """Teaches one policy before the first window; whoever asks again is given the same.

    A policy is evolved on the history over each of two base rules, one with a hand-set spread and one that was tuned,
    with the fee, latency, queue model, sizes and limits of the contest; the one that earned more there is kept.

    Attributes
    ----------
    policy
        A policy that is seated as it is, over the base rule it learned with; ``None``: one is evolved.
    """

    policy: Policy | None = None
    _taught: Taught | None = None

    def teach(self, history: History) -> Taught:
        """What is learned from a history; the first one counts."""
        if self._taught is None:
            self._taught = self._learn(history)
        return self._taught

    def _learn(self, history: History) -> Taught:
        if self.policy is not None:
            learned = settings_of(self.policy)
            params = complete(STRATEGY, {"gamma": learned.gamma, "kappa": learned.kappa, **history.sizes})
            trading = replace(_trading(history, params), levels=learned.levels)
            return Taught(params, SteeredLanes(self.policy, trading), 0)
        begun = complete(STRATEGY, {**BASE, **history.sizes})
        memory = Memory()
        found = history.search(STRATEGY, begun, memory, SEARCHED)
        tuned = begun if found.chosen < 0 or found.reason else dict(found.inside[found.chosen].params)
        tried = [_evolved(history, params) for params in ([begun, tuned] if tuned != begun else [begun])]
        _, best = max(tried, key=lambda one: one[0])
        return replace(best, trials=memory.trials + sum(one.trials for _, one in tried))


def _evolved(history: History, params: dict[str, float]) -> tuple[float, Taught]:
    """A policy over a base rule, and its mean reward on what it learned on in the last generations."""
    trading, known = _trading(history, params), history.tape
    earlier = Tape(known.path, known.instrument, known.meta, known.data.rows(0, history.rows))
    settings = EvolutionSettings(history.effort.learning, LANES, STRETCHES, sigma=0.1, rate=0.05)
    evolution = Evolution([earlier], trading, settings, history.effort.seed)
    rewards = [evolution.generation().reward for _ in range(settings.generations)]
    taught = Taught(params, SteeredLanes(evolution.policy(), trading), settings.generations * settings.lanes)
    return float(np.mean(rewards[-JUDGED:])), taught


def _trading(history: History, params: Mapping[str, float]) -> TapeSettings:
    """The contest's terms as a policy learns with them."""
    terms = history.settings
    cycles = (history.until_ns - history.from_ns) // terms.cycle_ns
    fee = history.tape.instrument.maker_fee if terms.maker_fee is None else terms.maker_fee
    return TapeSettings(
        cycle_ns=terms.cycle_ns,
        decisions=max(1, min(EPISODE, int(cycles * SHARE))),
        warm_up=0,  # windows begin without one
        entry_ns=terms.entry_ns,
        response_ns=terms.response_ns,
        queue=terms.queue,
        capital=terms.equity / UNIT,
        limits=terms.limits,
        reward=Reward(beta=0.01, gamma=0.0),
        random=Randomisation((fee,)),
        base_quantity=history.sizes["base_quantity"],
        max_position=history.sizes["max_position"],
        gamma=params["gamma"],
        kappa=params["kappa"],
    )


@dataclass(slots=True)
class Learned:
    """A policy that was taught once; the base rule under it keeps its parameters."""

    name: str
    school: School
    meaning: str = "a policy evolved before the first window"
    strategy: str = STRATEGY
    trials: int = 0
    runner: SteeredLanes | None = None

    def parameters(self, history: History) -> dict[str, float]:
        """The base rule's, the same at every window."""
        taught = self.school.teach(history)
        self.runner, self.trials = taught.lanes, taught.trials
        return taught.params


@dataclass(slots=True)
class LearnedAdaptive(Adaptive):
    """The same policy, and the optimizer searches the base rule's parameters under it before every window."""

    school: School = field(default_factory=School)

    @property
    def trials(self) -> int:
        """Parameter sets and policies tried so far."""
        return self._memory.trials

    def parameters(self, history: History) -> dict[str, float]:
        """What the optimizer would have the base rule quote by."""
        if self.runner is None:
            taught = self.school.teach(history)
            self.runner, self.space, self._current = taught.lanes, SEARCHED, dict(taught.params)
        return Adaptive.parameters(self, history)


def usual(policy: Policy | None = None) -> list[Contender]:
    """The four of :func:`~tidewright.agents.comparison.contenders.rules`, a learned policy alone, and both together.

    Parameters
    ----------
    policy
        Sits as it is; ``None``: one is evolved before the first window.
    """
    school = School(policy)
    both = "the same policy, the base rule under it re-tuned by the optimizer before every window"
    alone = Learned("RL", school) if policy is None else Learned("RL", school, "the given policy")
    return [*rules(), alone, LearnedAdaptive("RL + optimizer", STRATEGY, {}, both, school=school)]


def seated(path: Path, cycle_ns: int) -> Policy:
    """A policy of a file, to sit in a contest.

    Raises
    ------
    NotFoundError, DataError
        If there is no such file, or it is no policy.
    UsageError
        If it cannot trade at this cycle, or at all.
    """
    sitter = Sitter.load(path)
    reasons = mismatches(sitter, STRATEGY, cycle_ns)
    if reasons or sitter.policy is None:
        raise UsageError(f"policy {path} cannot compete: {'; '.join(reasons)}")
    return sitter.policy
