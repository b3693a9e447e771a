"""A learned policy over a tape: the engine, fees and queues of any backtest, steered at every decision."""

import hashlib
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor.environment import F32, I64, Bool
from tidewright.agents.executor.environment_tape import HOLD, TapeSettings
from tidewright.agents.executor.policy import Frames, Policy
from tidewright.agents.executor.reward import TERMS
from tidewright.agents.executor.state import MEMORY, NAMES
from tidewright.engine.backtest import BacktestResult, backtest
from tidewright.engine.lockstep import World
from tidewright.engine.portfolio_equity import Part
from tidewright.engine.refused import alone, beginning, why_refused_by
from tidewright.engine.sweep import Job, Result, Rows, Tell
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.features import LAST_MID2
from tidewright.market.tape import F64, Tape
from tidewright.strategies.sizes import AS_GIVEN, BY_CAPITAL

TOLD: Final = 64  # decisions between two words on progress


def tape_hash(tape: Tape) -> str:
    """SHA-256 of a tape's rows: what a policy has seen."""
    digest = hashlib.sha256()
    for column in tape.data:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


@dataclass
class Steered:
    """Runs a job's lanes as one policy wants: :class:`tidewright.engine.sweep.Runner`.

    Attributes
    ----------
    policy, settings
        What steers, and what it learned with.
    observations, actions
        What was seen and done at every decision after the warm-up.
    mids
        Mid at every decision, warm-up included, quote; 0: none yet.
    sizes
        Base quantity and largest position, base units.
    ran
        What it ran on last; ``None``: nothing yet.
    steps
        Time and the lanes' parameters of every decision, warm-up included; ``None``: not kept.
    """

    policy: Policy
    settings: TapeSettings
    observations: list[F32] = field(default_factory=list)
    actions: list[tuple[F32, I64]] = field(default_factory=list)
    mids: list[float] = field(default_factory=list)
    sizes: tuple[float, float] = (0.0, 0.0)
    ran: tuple[Rows, Job] | None = None
    steps: list[tuple[int, F64]] | None = None

    def choose(self, looked: F32, decision: int) -> tuple[F32, I64]:
        """What all lanes do, given what they look at and the number of the decision, warm-up included."""
        return self.policy.act(looked)

    def show(self, seen: F32) -> F32:
        """What of the state (lanes, n) the lanes are shown."""
        return seen

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of all lanes."""
        settings, data = self.settings, rows.data
        self.ran = rows, job
        replay = replace(job, config=replace(job.config, ask=True)).replay()
        memory: F64 = np.zeros((job.lanes, MEMORY))
        scratch, flow = np.zeros(len(NAMES)), np.zeros(kernel.FLOW)
        seen: F32 = np.zeros((2, job.lanes, self.policy.spaces.observation), np.float32)
        terms: F32 = np.zeros((job.lanes, len(TERMS)), np.float32)
        ruined: Bool = np.zeros(job.lanes, np.bool_)
        still = (np.zeros((job.lanes, 3), np.float32), np.tile(np.array([0, HOLD], np.int64), (job.lanes, 1)))
        frames, count, heard, sized = Frames(self.policy.frames), 0, 0, False
        row, decides = replay.run_to_decision(data, 0)
        while decides:
            mid = 0.5 * float(replay.market[LAST_MID2]) * float(job.instrument.tick)
            self.mids.append(mid)
            if not sized and mid > 0.0:
                sized = True
                self.sizes = settings.sizes(mid, float(job.instrument.lot))
                replay.parameters[:, -2:] = self.sizes
            if settings.extended:
                columns = (data.ts, data.ts_local, data.kind, data.flags, data.qty)
                heard = kernel.hear(*columns, heard, replay.decision_ns, job.config.feed_ns, flow)
            begins = count == settings.warm_up
            if count >= settings.warm_up:
                kernel.look(replay.address, int(begins), 2.0, memory, scratch, flow, seen, terms, ruined)
                shown = self.show(seen[0])
                looked = frames.begin(shown) if begins else frames.push(shown, shown, ruined)[0]
                action = self.choose(looked, count)
                self.observations.append(seen[0].copy())
                self.actions.append(action)
                kernel.steer(replay.address, *action, settings.levels)
            else:
                kernel.steer(replay.address, *still, 0)
            count += 1
            if self.steps is not None:
                self.steps.append((replay.decision_ns, replay.parameters.copy()))
            if tell is not None and count % TOLD == 0:
                tell(row, len(data.ts))
            row, decides = replay.run_to_decision(data, row)
        replay.finish()
        if tell is not None:
            tell(len(data.ts), len(data.ts))
        ts, equity = replay.equity()
        return Result(
            replay.statistics(), ts, equity, replay.reports(), replay.shares(), replay.counts(), ran="1 thread"
        )


def settings_of(policy: Policy) -> TapeSettings:
    """What a policy learned with.

    Raises
    ------
    UsageError
        If it did not learn on tapes.
    """
    kept = policy.header.get("environment")
    if kept is None:
        raise UsageError("the policy's file does not say what it learned with: it cannot trade on a tape")
    return TapeSettings.from_json(kept)


def backtest_policy(tape: Tape, policy: Policy, **options: Any) -> BacktestResult:
    """Backtest a learned policy.

    Parameters
    ----------
    options
        As of :func:`tidewright.engine.backtest.backtest`; cycle, latency, queue, limits and capital are by default what
        the policy learned with.

    Raises
    ------
    UsageError
        If a value is out of range, or the policy did not learn on tapes.
    """
    result, _ = run_policy(tape, policy, **options)
    return result


def run_policy(tape: Tape, policy: Policy, **options: Any) -> tuple[BacktestResult, Steered]:
    """The same, and what the policy saw and did."""
    settings = settings_of(policy)
    capital = options.get("capital")
    if capital is not None:
        settings = replace(settings, capital=float(Decimal(str(capital))))
    given = {**settings.terms, **{name: value for name, value in options.items() if value is not None}}
    params = {**settings.rule, "levels": settings.levels, "base_quantity": 0.0, "max_position": 0.0}
    steered = Steered(policy, settings)
    result = backtest(tape, settings.strategy, params, by=steered, **given)
    sized = dict(zip(("base_quantity", "max_position"), (np.array([size]) for size in steered.sizes), strict=True))
    proportional = settings.base_quantity is None and settings.max_position is None
    facts = {**result.assumptions, "sizes": BY_CAPITAL if proportional else AS_GIVEN}
    refused = why_refused_by(result.statistics, lambda lane, share: _again(steered, lane, share))
    return replace(result, params={**result.params, **sized}, assumptions=facts, refused=refused), steered


def _again(steered: Steered, lane: int, share: float) -> npt.NDArray[np.void]:
    """Reports of a lane that the policy steers over the beginning of the tape once more.

    An engine that asks at every decision does not record them: one that is told the same parameters does.
    """
    assert steered.ran is not None
    rows, job = steered.ran
    data = beginning(rows.data, share)
    again = Steered(steered.policy, steered.settings, steps=[])
    again.run(Rows(data), job.of(np.array([lane])))
    world = World(alone(job, [lane]), data, Part(job.instrument, job.quote_units / UNIT))
    for now, row in again.steps or ():
        world.feed(now)
        world.replay.parameters[:] = row
        world.replay.advance(now)
    world.feed(int(data.ts[-1]))
    world.replay.finish()
    return world.replay.reports()
