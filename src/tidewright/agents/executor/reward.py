"""What a cycle is worth to a learner: three parts without units, weighed against each other and logged apart."""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from tidewright.agents.executor.environment import F32
from tidewright.market.errors import UsageError

TERMS: Final = ("pnl", "risk", "consistency")


@dataclass(frozen=True, slots=True)
class Reward:
    """``alpha * pnl + beta * risk + gamma * consistency`` of one cycle.

    Each part is in basis points of what the largest allowed position is worth at the mid, so that neither the price,
    the capital nor the order size changes it:

    * pnl: change of known equity, fees included;
    * risk: minus the deviation of the mid a cycle, in basis points, times the square of the position over the
      largest allowed one: what is held is paid for by the size of the surprises it is exposed to;
    * consistency: pnl where it is negative, else 0: the same gain is worth more without losses on the way.

    Attributes
    ----------
    alpha, beta, gamma
        Weights, >= 0.
    """

    alpha: float = 1.0
    beta: float = 0.1
    gamma: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value < float("inf"):
                raise UsageError(f"reward weight {name} must be >= 0 and finite, was {value}")

    def of(self, terms: F32) -> F32:
        """Rewards (lanes,) float32 of the parts (lanes, 3) in the order of :data:`TERMS`."""
        return terms @ np.array([self.alpha, self.beta, self.gamma], np.float32)
