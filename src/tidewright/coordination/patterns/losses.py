"""Gains of one round as losses in [0, 1], as fixed share wants them: what all earned together is taken out."""

import math
from collections.abc import Mapping
from typing import Final

_MEMORY: Final = 0.99  # weight of the rounds before in the usual size of a difference
_WIDTH: Final = 3.0  # usual differences that fill half the range


class Losses:
    """Turns gains into losses round by round; knows nothing of rounds to come.

    ``loss = 1/2 - (gain - mean of all) / (6 s)``, cut to [0, 1], where ``s`` is the usual size of such a
    difference, this round's included: the root of its exponentially weighted mean square.
    """

    def __init__(self) -> None:
        self._squares = self._weight = 0.0

    def of(self, gains: Mapping[str, float]) -> dict[str, float]:
        """Losses of a round, one half for all where all gained the same.

        Parameters
        ----------
        gains
            Quote, by agent, of the same capital over the same time.
        """
        if not gains:
            return {}
        mean = math.fsum(gains.values()) / len(gains)
        squares = math.fsum((gain - mean) ** 2 for gain in gains.values()) / len(gains)
        self._squares = _MEMORY * self._squares + (1 - _MEMORY) * squares
        self._weight = _MEMORY * self._weight + (1 - _MEMORY)
        usual = math.sqrt(self._squares / self._weight)
        if usual <= 0.0:
            return dict.fromkeys(gains, 0.5)
        return {agent: min(1.0, max(0.0, 0.5 - (gain - mean) / (2 * _WIDTH * usual))) for agent, gain in gains.items()}
