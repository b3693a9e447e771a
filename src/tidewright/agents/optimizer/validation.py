"""The epoch's search validated: all its candidates, cycle by cycle, as differences to the incumbent."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.evidence import Evidence
from tidewright.agents.optimizer.stability import Stability
from tidewright.agents.optimizer.windows import Split
from tidewright.measure.splits import folds
from tidewright.measure.validation import Validation, validate, with_snooping
from tidewright.measure.validation_snooping import available, snooping

F64 = npt.NDArray[np.float64]

FOLDS: Final = 4  # walk-forward steps within the in-sample window
MOST_BYTES: Final = 96 << 20  # of candidates' series that are kept
_DRAWS: Final = 500


class Trials:
    """Series of all candidates of one search, in the order they were judged; beyond the limit they are only counted."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._parts: list[F64] = []
        self._left = most_bytes
        self.count = 0

    def add(self, increments: F64) -> None:
        """A generation's equity change of every cycle, shape (cycles, lanes)."""
        self.count += increments.shape[1]
        fits = min(increments.shape[1], self._left // max(1, 8 * len(increments)))
        if fits:
            self._parts.append(np.array(increments[:, :fits]))
            self._left -= self._parts[-1].nbytes

    def matrix(self) -> F64:
        """The series that were kept, shape (cycles, candidates)."""
        return np.concatenate(self._parts, axis=1) if self._parts else np.empty((0, 0))


@dataclass(frozen=True, slots=True)
class Outside:
    """Out-of-sample differences to the incumbent of all finalists that were in the choice, (cycles, finalists)."""

    differences: F64


def assay(
    trials: Trials,
    chosen: F64,
    incumbent: F64,
    outside: Outside,
    parts: Split,
    cycle_ns: int,
    tried: int,
    seed: int,
) -> Validation:
    """Validate the choice of a search.

    In sample: deflated ratios of the chosen one's difference to the incumbent with all trials ever made, CSCV over the
    epoch's candidates, a walk-forward of the choice. Out of sample: reality check and SPA over the finalists, where
    ``arch`` is installed.

    Parameters
    ----------
    chosen, incumbent
        In-sample equity change of every cycle, quote.
    tried
        Candidates ever judged in the session.
    """
    matrix = trials.matrix()
    same = np.flatnonzero((matrix == chosen[:, None]).all(axis=0)) if len(matrix) == len(chosen) else np.empty(0)
    if len(same):
        index = int(same[0])
    else:  # its series was beyond the limit
        matrix = np.concatenate([matrix, chosen[:, None]], axis=1) if len(matrix) else chosen[:, None]
        index = matrix.shape[1] - 1
    times = parts.inside.start_ns + cycle_ns * np.arange(1, len(chosen) + 1, dtype=np.int64)
    enough = len(chosen) >= 10 * (FOLDS + 1)
    splits = folds(times, FOLDS, embargo_ns=parts.embargo * cycle_ns) if enough else []
    found = validate(matrix, index, benchmark=incumbent, trials=tried, splits=splits)
    differ = outside.differences[:, outside.differences.std(axis=0) > 0.0]
    if available() and differ.shape[1] and len(differ) > 8:
        block = max(1, round(len(differ) ** (1.0 / 3.0)))
        found = with_snooping(found, snooping(differ, block, seed, _DRAWS))
    return found


def checks(validation: Validation | None, steady: Stability | None, evidence: Evidence) -> dict[str, Any]:
    """The figures for the executor's gate, as :class:`tidewright.coordination.payloads.Checks`; unknown ones null."""
    over = None if validation is None else validation.overfitting
    return {
        "deflated_sharpe": None if validation is None else _known(validation.deflated),
        "overfitting": None if over is None else round(over.pbo, 6),
        "loss": None if over is None else round(over.loss_probability, 6),
        "stability": None if steady is None else _known(steady.share),
        "worst_neighbour": None if steady is None else _known(steady.worst),
        "paired_lower": evidence.lower,
        "paired_upper": evidence.upper,
    }


def _known(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
