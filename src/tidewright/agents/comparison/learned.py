"""Contenders with a learned policy in the executor's chair: it learns from what happened before the first window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from tidewright.agents.comparison.contenders import Adaptive, Contender, History, Tuned, rules
from tidewright.agents.executor.canary import Rollout
from tidewright.agents.executor.environment_kernel import SPACING, WIDEST
from tidewright.agents.executor.environment_tape import STRATEGY, Randomisation, TapeSettings
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.agents.executor.reward import Reward
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.seat_fit import TUNED, mismatches
from tidewright.agents.optimizer.judge import ShadowJudge
from tidewright.agents.optimizer.objective import Objective
from tidewright.agents.optimizer.space import Dimension, Space
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.windows import Split, Window, split
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64, Tape

SEARCHED: Final = Space(tuple(Dimension(name, ends["low"], ends["high"], "log") for name, ends in TUNED.items()))
# Two standard errors and the drawdown off what was earned: of hundreds that half a day ranks by profit, the first was
# mostly lucky.
CAUTION: Final = Objective(risk_aversion=2.0, drawdown_aversion=1.0)
ASIDE: Final = {"base_quantity": 0.0}
EPISODE: Final = 120  # cycles of a stretch it learns on, at most
SHARE: Final = 0.25  # of what it learns on that one such stretch may take
RISK: Final = 0.05  # weight of what is held, in the reward
# Gently and with few weights: half a day of market tells little, and larger steps forget what the start was good for.
TEACHING: Final = EvolutionSettings(1, 128, 6, sigma=0.05, rate=0.03, hidden=6)


@dataclass(frozen=True, slots=True)
class Sitting:
    """Somebody who may sit in the executor's chair: a rule's parameters, and the policy that steers it or ``None``."""

    strategy: str
    params: Mapping[str, float]
    runner: SteeredLanes | None = None


def choose(history: History, sitters: Sequence[Sitting]) -> Sitting | None:
    """Of those that earned in a history whoever did best on its newest part; ``None``: nobody did, so stand aside.

    Best by :data:`CAUTION`.
    """
    parts, settings = _parts(history), history.settings
    whole, newest = Window(parts.inside.start_ns, history.until_ns), parts.outside.cycles(settings.cycle_ns)
    found, best = None, -np.inf
    judge: ShadowJudge | None = None
    for sitter in sitters:
        terms = (history.tape, history.rows, sitter.strategy, settings, whole.start_ns)
        judge = ShadowJudge(*terms, before=judge, runner=sitter.runner)
        columns = {name: np.array([value]) for name, value in sitter.params.items()}
        earned = judge.evaluate(whole, columns, 1, record=True).increments[:, 0]
        score = _score(earned[-newest:])
        if float(earned.sum()) > 0.0 and score > best:
            found, best = sitter, score
    return found


@dataclass(frozen=True, slots=True)
class Taught:
    """What learning gave.

    Attributes
    ----------
    params
        Of the base rule.
    policies
        Lanes under the policy that learning began with, and under the one that came out.
    trials
        Parameter sets and policies tried.
    """

    params: dict[str, float]
    policies: tuple[SteeredLanes, ...]
    trials: int

    def sitters(self, params: Mapping[str, float] | None = None) -> list[Sitting]:
        """The policies over the base rule, with these parameters or its own."""
        return [Sitting(STRATEGY, dict(params or self.params), lanes) for lanes in self.policies]


def _score(earned: F64) -> float:
    """Profit less its standard error and drawdown as :data:`CAUTION` weighs them, of changes of equity a cycle."""
    curve = np.concatenate([[0.0], np.cumsum(earned)])
    drawdown = (np.maximum.accumulate(curve) - curve).max()
    return float(CAUTION.less_risk(curve[-1], earned.std() * np.sqrt(len(earned)), drawdown))


@dataclass(slots=True)
class School:
    """Teaches one policy before the first window; whoever asks again is given the same.

    It begins with a policy that quotes as a rule does which was tuned with :data:`CAUTION`, and evolves from there on
    the older part of the history, with the fee, latency, queue model, sizes and limits of the contest. The newer part
    is there to choose by.

    Attributes
    ----------
    policy
        A policy that is seated as it is, over the base rule it learned with; ``None``: one is evolved.
    rule
        The rule, tuned once, before the first window.
    """

    policy: Policy | None = None
    rule: Tuned = field(default_factory=lambda: Tuned("", "glft", objective=CAUTION))
    _taught: Taught | None = None

    @property
    def trials(self) -> int:
        """Parameter sets and policies tried so far."""
        return 0 if self._taught is None else self._taught.trials

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
            return Taught(params, (SteeredLanes(self.policy, trading),), 0)
        rule = self.rule.parameters(history)
        params = complete(STRATEGY, {**{name: rule[name] for name in SEARCHED.names}, **history.sizes})
        levels, spacing = int(rule["levels"]), float(np.clip(rule["level_spacing"], SPACING / WIDEST, SPACING * WIDEST))
        trading, known = replace(_trading(history, params), levels=levels), history.tape
        rows = int(np.searchsorted(known.data.ts, _parts(history).inside.end_ns, side="right"))
        older = Tape(known.path, known.instrument, known.meta, known.data.rows(0, rows))
        settings = replace(TEACHING, generations=history.effort.learning, spacing=spacing)
        evolution = Evolution([older], trading, settings, history.effort.seed)
        policies = evolution.policy(), evolve(evolution)
        lanes = tuple(SteeredLanes(policy, trading) for policy in policies)
        return Taught(params, lanes, settings.generations * settings.lanes + self.rule.trials)


def _parts(history: History) -> Split:
    terms = history.settings
    return split(history.from_ns, history.until_ns, terms.cycle_ns, terms.entry_ns + terms.response_ns)


def _trading(history: History, params: Mapping[str, float]) -> TapeSettings:
    """The contest's terms as a policy learns with them."""
    terms = history.settings
    cycles = _parts(history).inside.cycles(terms.cycle_ns)
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
        reward=Reward(beta=RISK, gamma=0.0),
        random=Randomisation((fee,)),
        base_quantity=history.sizes["base_quantity"],
        max_position=history.sizes["max_position"],
        gamma=params["gamma"],
        kappa=params["kappa"],
    )


@dataclass(slots=True)
class Learned:
    """A policy that was taught and chosen once; the base rule under it keeps its parameters."""

    name: str
    school: School
    meaning: str = "a policy evolved before the first window"
    strategy: str = STRATEGY
    trials: int = 0
    runner: SteeredLanes | None = None
    rollout: Rollout | None = None
    _params: dict[str, float] = field(default_factory=dict)

    @property
    def given(self) -> Policy | None:
        """The policy that is seated as it is; ``None``: one is evolved."""
        return self.school.policy

    def parameters(self, history: History) -> dict[str, float]:
        """The base rule's, the same at every window."""
        if not self._params:
            taught = self.school.teach(history)
            self._params, self.trials, sitters = taught.params, taught.trials, taught.sitters()
            found = sitters[0] if self.school.policy is not None else choose(history, sitters)
            if found is None:
                self._params = {**taught.params, **ASIDE}
                self.meaning += ", which stands aside"
            else:
                self.runner = found.runner
        return self._params


@dataclass(slots=True)
class LearnedAdaptive(Adaptive):
    """Before every window it is chosen anew who sits: that policy, what it began with, a tuned rule, or nobody.

    Where a policy sits, the optimizer then searches the base rule's parameters under it. The rule is the one that
    learning began with. A policy that is given sits always.
    """

    school: School = field(default_factory=School)
    _kept: Rollout | None = None  # while no policy sits

    @property
    def trials(self) -> int:
        """Parameter sets and policies tried so far."""
        return self._memory.trials + self.school.trials

    @property
    def given(self) -> Policy | None:
        """The policy that is seated as it is; ``None``: one is evolved."""
        return self.school.policy

    def parameters(self, history: History) -> dict[str, float]:
        """What the optimizer would have the base rule quote by, or the rule that sits."""
        taught = self.school.teach(history)
        self.space, self.params, self.strategy = SEARCHED, taught.params, STRATEGY
        rollout = self.rollout = self.rollout or self._kept or self.begun(history)
        sitters = taught.sitters(rollout.params)
        found: Sitting | None = sitters[0]
        if self.school.policy is None:
            found = choose(
                history, [*sitters, Sitting(self.school.rule.strategy, self.school.rule.parameters(history))]
            )
        self.runner = None if found is None else found.runner
        if self.runner is not None:
            return Adaptive.parameters(self, history)
        self.rollout, self._kept = None, rollout
        if found is None:
            return {**rollout.params, **ASIDE}
        self.strategy = found.strategy
        return dict(found.params)


def usual(policy: Policy | None = None) -> list[Contender]:
    """The four of :func:`~tidewright.agents.comparison.contenders.rules`, a learned policy alone, and both together.

    Parameters
    ----------
    policy
        Sits as it is; ``None``: one is evolved before the first window.
    """
    school = School(policy)
    tuning = "its base rule re-tuned by the optimizer before every window"
    if policy is None:
        alone = Learned("RL", school)
        both = f"that policy, what it began with, the tuned rule or nobody, chosen anew, and {tuning}"
    else:
        alone = Learned("RL", school, "the given policy")
        both = f"the given policy, and {tuning}"
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
