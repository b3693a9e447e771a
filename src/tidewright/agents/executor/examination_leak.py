"""Whether a leak would be seen by who learns: a policy that is shown the next move of the mid must profit greatly.

It learns on the first half of a tape, where one number of its state is the move that is to come, and is judged on the
second half, where it is shown that too. If it could not profit, learning here would not find a leak, and nothing could
be concluded from an honest policy that does not.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from tidewright.agents.executor.environment import F32, I64
from tidewright.agents.executor.environment_tape import Cohort, Randomisation, TapeSettings
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.reward import Reward
from tidewright.agents.executor.state import NAMES
from tidewright.agents.optimizer.fold import stretch
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64, Tape
from tidewright.measure.mids import MidSeries, tape_mids

PLACE: Final = NAMES.index("price_change")  # where the move that is to come stands instead of the last one
EFFORT: Final = EvolutionSettings(generations=60, lanes=64, stretches=4, sigma=0.3, rate=0.2, hidden=8)
DECISIONS: Final = 60  # of an episode


@dataclass(frozen=True, slots=True)
class Told:
    """A policy that learned with the next move in its state.

    Attributes
    ----------
    policy
        It looks at eight numbers.
    scale
        Move that is shown as 1, quote.
    """

    policy: Policy
    scale: float

    def act(self, state: F32, move: float) -> tuple[F32, I64]:
        """What it does in a state, shape (8,), before a move of the mid, quote."""
        seen = state[None, : len(NAMES)].copy()
        seen[0, PLACE] = np.clip(move / self.scale, -1.0, 1.0)
        return self.policy.act(seen)


class _Leaking(Cohort):
    """Lanes that are shown the next move of the mid."""

    def __init__(self, mids: MidSeries, scale: float, *rest: Any) -> None:
        super().__init__(*rest)
        self._mids, self._scale = mids, scale

    def _look(self, begin: int = 0) -> None:
        super()._look(begin)
        now = self.replay.decision_ns
        move = np.diff(self._mids.at(np.array([now, now + self.settings.cycle_ns])))[0]
        self.observation[:, :, PLACE] = np.clip(np.nan_to_num(move) / self._scale, -1.0, 1.0)


def halves(tape: Tape) -> tuple[Tape, Tape]:
    """The first and the second half of a tape's time."""
    middle = (tape.start_ns + tape.end_ns) // 2
    return stretch(tape, len(tape), tape.start_ns, middle), stretch(tape, len(tape), middle, tape.end_ns)


def learn_leaked(tape: Tape, settings: TapeSettings, fee_bp: float, seed: int = 0) -> Told:
    """Let a policy learn with the next move in its state.

    Parameters
    ----------
    settings
        What lanes trade with; its fees, reward and length of an episode are replaced.
    fee_bp
        Maker fee, basis points.

    Raises
    ------
    UsageError
        If an episode does not fit on the tape, or its mid never moves.
    """
    trading = replace(
        settings,
        decisions=min(settings.decisions, DECISIONS),
        extended=False,
        reward=Reward(beta=0.0, gamma=0.0),
        random=Randomisation((round(fee_bp * UNIT / 10_000),)),
    )
    mids = tape_mids(tape.data, float(tape.instrument.tick))
    moves: F64 = np.nan_to_num(np.diff(mids.at(np.arange(tape.start_ns, tape.end_ns, trading.cycle_ns))))
    scale = 2.0 * float(moves.std())
    if scale == 0.0:
        raise UsageError(f"the mid of {tape.path} does not move: nobody could profit from knowing how")
    evolution = Evolution([tape], trading, EFFORT, seed, cohort=partial(_Leaking, mids, scale))
    return Told(evolve(evolution), scale)
