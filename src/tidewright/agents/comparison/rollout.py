"""A window traded as a session trades it: accepted parameters small first, watched beside the old ones, and back.

:class:`tidewright.agents.executor.canary.Rollout` decides, as in a session. What it is told comes from two shadow
lanes, the new and the old parameters at full size, on the same events since the window began.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tidewright.agents.comparison.cycles import Params, run_of
from tidewright.agents.executor.canary import STEADY, Comparison, Rollout
from tidewright.agents.optimizer.judge import Judge
from tidewright.agents.optimizer.steered import SteeredLanes, asked
from tidewright.agents.optimizer.windows import Window
from tidewright.engine.replay import Replay
from tidewright.engine.sweep import Job, Result, Rows, Runner, Tell
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.measure.comparison import Run
from tidewright.measure.sequential import block_sums
from tidewright.strategies import registry

TOLD: Final = 60  # cycles from one comparison to the next: a session's epoch of half an hour
JudgeOf = Callable[[Runner | None], Judge]


@dataclass(frozen=True, slots=True)
class Switching:
    """Runs one lane whose parameters change on the way: :class:`tidewright.engine.sweep.Runner`.

    Attributes
    ----------
    steps
        From when on which parameters trade, oldest first: at the first decision after each time.
    policy
        Whoever steers the lane as well; ``None``: nobody.
    """

    steps: Sequence[tuple[int, Params]]
    policy: SteeredLanes | None = None

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of the lane."""
        if job.lanes != 1:
            raise UsageError(f"parameters are switched for one lane, not for {job.lanes}")
        names = registry.strategy(job.strategy).names
        levels = max((params.get("levels", 1.0) for _, params in self.steps), default=1.0)
        first = {**self.steps[0][1], "levels": levels} if "levels" in names else self.steps[0][1]
        if self.policy is not None:
            first = {**first, "levels": self.policy.settings.levels}
        steer = None if self.policy is None else self.policy.steering(1)
        kept = "" if self.policy is None else "levels"  # its policy's
        waiting = list(self.steps)

        def decide(replay: Replay) -> None:
            while waiting and (replay.decision_ns > waiting[0][0] or waiting[0] is self.steps[0]):
                for name, value in waiting.pop(0)[1].items():
                    if name != kept:
                        replay.parameters[:, names.index(name)] = value
            if steer is not None:
                steer(replay)

        return asked(rows, replace(job, params=dict(first)), decide, tell)


def traded(
    judge_of: JudgeOf,
    window: Window,
    rollout: Rollout,
    instrument: Instrument,
    mid: float,
    cycle_ns: int,
    runner: SteeredLanes | None,
) -> Run:
    """What somebody who rolls new parameters out does in a window.

    Parameters
    ----------
    judge_of
        A judge of the window under a runner.
    rollout
        Its state when the window begins; it is carried on.
    mid
        Of the window's start, quote per base.
    runner
        The policy that steers all lanes; ``None``: none does.
    """
    steps: list[tuple[int, Params]] = [(window.start_ns, rollout.trading(instrument, mid))]
    if rollout.stage != STEADY:
        steps += _steps(judge_of(runner), window, rollout, instrument, mid, cycle_ns)
    judge = judge_of(runner if len(steps) == 1 else Switching(steps, runner))
    return run_of(judge, window, steps[0][1], instrument)


def _steps(
    judge: Judge, window: Window, rollout: Rollout, instrument: Instrument, mid: float, cycle_ns: int
) -> list[tuple[int, Params]]:
    """What the comparison of the two shadow lanes leads to, and when."""
    pair = {name: np.array([value, rollout.previous[name]]) for name, value in rollout.params.items()}
    increments = judge.evaluate(window, pair, 2, record=True).increments
    difference, found = increments[:, 0] - increments[:, 1], []
    for first in range(0, len(difference), TOLD):
        part = difference[first : first + TOLD]
        since, now = (window.start_ns + count * cycle_ns for count in (first, first + len(part)))
        sums = block_sums(part, rollout.rules.block).tolist()
        if rollout.observe(Comparison(rollout.proposal_id, since, now, len(part), sums), now) is not None:
            found.append((now, rollout.trading(instrument, mid)))
        if rollout.stage == STEADY:
            break
    return [step for step in found if step[0] < window.end_ns]
