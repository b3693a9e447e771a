"""Shadow lanes under a policy: candidates are parameters of the base rule, and the policy that sits shapes each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor.environment import F32, Bool
from tidewright.agents.executor.environment_tape import TapeSettings
from tidewright.agents.executor.policy import Frames, Policy
from tidewright.agents.executor.reward import TERMS
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.state import MEMORY, NAMES
from tidewright.engine.replay import Replay
from tidewright.engine.sweep import Job, Result, Rows, Runner, Tell, chunks
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64, Columns

AtDecision = Callable[[Replay], None]

_NEVER_RUINED = 2.0


@dataclass(frozen=True, slots=True)
class SteeredLanes:
    """Runs a job's lanes in one thread, each steered by one policy: :class:`tidewright.engine.sweep.Runner`.

    Every lane keeps its own quantities: what a lane quotes without a ``base_quantity`` is nothing, whatever the policy
    wants.
    """

    policy: Policy
    settings: TapeSettings

    @classmethod
    def of(cls, reference: Mapping[str, Any], plain: Runner) -> Runner:
        """Lanes under the policy of a reference; of the base rule as ``plain`` runs them.

        Raises
        ------
        NotFoundError, DataError, UsageError
            As :meth:`tidewright.agents.executor.seat.Sitter.of`.
        """
        sitter = Sitter.of(reference)
        if sitter.policy is None or sitter.settings is None:
            return plain
        return cls(sitter.policy, sitter.settings)

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of all lanes, in lane order."""
        if job.strategy != self.settings.strategy:
            raise UsageError(f"the policy steers the strategy {self.settings.strategy}, not {job.strategy}")
        # A policy may choose fewer levels than the row has, never more than it learned with.
        job = replace(job, params={**job.params, "levels": self.settings.levels})
        return asked(rows, job, self.steering(job.lanes), tell)

    def steering(self, lanes: int) -> AtDecision:
        """What the policy does at every decision of so many lanes, from the first one on."""
        return _Steering(self.policy, self.settings, lanes)

    def follow(self, replay: Replay) -> Callable[[Columns], None]:
        """What feeds a replay that asks at every decision, whole packets as they come."""
        steer = self.steering(replay.lanes)
        return lambda data: _replayed(replay, data, steer)


def asked(rows: Rows, job: Job, at_decision: AtDecision, tell: Tell | None = None) -> Result:
    """Results of lanes, in one thread, that somebody else looks at and changes at every decision."""
    replay = replace(job, config=replace(job.config, ask=True)).replay()
    parts = [*([job.opening] if job.opening is not None else []), *chunks(rows.data)]
    done, total = 0, sum(len(part.ts) for part in parts)
    for part in parts:
        _replayed(replay, part, at_decision)
        done += len(part.ts)
        if tell is not None:
            tell(done, total)
    if job.until_ns is not None:
        replay.advance(job.until_ns)  # a decision after the last row is taken as the newest one was
    if job.until_ns is None or job.final:
        replay.finish()
    ts, equity = replay.equity()
    return Result(replay.statistics(), ts, equity, replay.reports(), replay.shares(), replay.counts(), ran="1 thread")


def _replayed(replay: Replay, data: Columns, at_decision: AtDecision) -> None:
    row, decides = replay.run_to_decision(data, 0)
    while decides:
        at_decision(replay)
        row, decides = replay.run_to_decision(data, row)


class _Steering:
    """What the policy has seen of every lane."""

    def __init__(self, policy: Policy, settings: TapeSettings, lanes: int) -> None:
        self._policy, self._settings = policy, settings
        self._memory: F64 = np.zeros((lanes, MEMORY))
        self._scratch, self._flow = np.zeros(len(NAMES)), np.zeros(kernel.FLOW)
        self._seen: F32 = np.zeros((2, lanes, policy.spaces.observation), np.float32)
        self._terms: F32 = np.zeros((lanes, len(TERMS)), np.float32)
        self._ruined: Bool = np.zeros(lanes, np.bool_)
        self._frames = Frames(policy.frames)
        self._begun = False

    def __call__(self, replay: Replay) -> None:
        """Take the decision the engine waits at."""
        seen = self._seen
        kernel.look(
            replay.address,
            int(not self._begun),
            _NEVER_RUINED,
            self._memory,
            self._scratch,
            self._flow,
            seen,
            self._terms,
            self._ruined,
        )
        looked = self._frames.push(seen[0], seen[1], self._ruined)[0] if self._begun else self._frames.begin(seen[0])
        self._begun = True
        kernel.steer(replay.address, *self._policy.act(looked), self._settings.levels)
