"""What "better" means to the search: one number a lane, from the streamed statistics of a judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.measure.figures import mean_and_deviation

F64 = npt.NDArray[np.float64]

TOO_FEW: Final = -900.0  # scores under this are of lanes with too few fills; a loss of everything scores about -2


@dataclass(frozen=True, slots=True)
class Objective:
    """Return less risk: ``R − a·s·√n − b·D``, its positive part times ``f / (f + f0)``.

    R is the sum of the n returns of one cycle each (a fraction of the starting equity), ``s`` their deviation, so that
    ``s·√n`` is the standard error of R; D the maximum drawdown, f the number of fills. Unlike a Sharpe ratio this has a
    size: quoting a hundredth as much does not score the same. Lanes with fewer than ``min_fills`` fills rank below all
    others, by their fills: what hardly trades has shown nothing.

    Attributes
    ----------
    risk_aversion, drawdown_aversion
        a and b.
    half_fills
        f0: at this many fills half of a positive score counts.
    min_fills
        Fewest fills that are judged by their result.
    """

    risk_aversion: float = 0.5
    drawdown_aversion: float = 0.5
    half_fills: float = 20.0
    min_fills: int = 10

    def less_risk(self, total: F64, error: F64, drawdown: F64) -> F64:
        """What was earned less its standard error and its drawdown, all in one unit, as they are weighed here."""
        return total - self.risk_aversion * error - self.drawdown_aversion * drawdown

    def scores(self, statistics: Mapping[str, npt.NDArray[Any]], min_fills: int | None = None) -> F64:
        """Score of each lane, higher is better, unit: fraction of the starting equity; under ``TOO_FEW``: few fills.

        Parameters
        ----------
        statistics
            ``n_samples, sum_return, sum_return_sq, max_drawdown, n_fills``, arrays over lanes.
        min_fills
            Another minimum, for a window of another length.
        """
        n, total, fills = (np.asarray(statistics[name], np.float64) for name in ("n_samples", "sum_return", "n_fills"))
        _, deviation = mean_and_deviation(n, total, np.asarray(statistics["sum_return_sq"], np.float64))
        drawdown = np.asarray(statistics["max_drawdown"], np.float64)
        score = self.less_risk(total, deviation * np.sqrt(n), drawdown)
        score = np.where(score > 0, score * fills / (fills + self.half_fills), score)
        needed = self.min_fills if min_fills is None else min_fills
        score = np.where(fills >= needed, score, -1000.0 + fills)
        return np.where(np.isfinite(score), score, -np.inf)
