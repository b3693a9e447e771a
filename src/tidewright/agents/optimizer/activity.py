"""What the candidates of a search sent, and why none of them could be judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.strategies.sizes import Sizes

_MOST: Final = 0.5  # of the orders refused: more is no accident


@dataclass(slots=True)
class Activity:
    """Orders of all candidates judged so far."""

    candidates: int = 0
    orders: int = 0
    refused: int = 0
    most_fills: int = 0

    def add(self, statistics: Mapping[str, npt.NDArray[Any]]) -> None:
        """Count a generation."""
        fills = np.asarray(statistics["n_fills"])
        self.candidates += len(fills)
        self.orders += int(np.sum(statistics["n_orders"]))
        self.refused += int(np.sum(statistics["n_rejects"]))
        self.most_fills = max(self.most_fills, int(fills.max(initial=0)))

    def fault(self, sizes: Sizes | None, quantity: float) -> str:
        """What kept all candidates from trading, with what would be enough; empty: nothing did.

        Parameters
        ----------
        sizes
            The instrument's rules; ``None``: they are not known.
        quantity
            Largest base quantity of a candidate.
        """
        why = "" if sizes is None else sizes.refusal(quantity)
        if self.candidates and self.orders == 0:
            return f"none of {self.candidates:,} sent an order" + (f": {why}" if why else "")
        if self.refused > _MOST * self.orders:
            rule = why or "post-only orders that cross the market, or rules of the venue for price and size"
            return f"{self.refused / self.orders:.0%} of their {self.orders:,} orders were refused: {rule}"
        return ""
