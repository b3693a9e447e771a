"""The epoch's search validated: all its candidates, cycle by cycle, as differences to the incumbent."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.activity import Activity
from tidewright.agents.optimizer.evidence import Evidence
from tidewright.agents.optimizer.judge import Judgement
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
    """Series of the candidates of one search: of all, or of every 2nd, 4th, ... where all would be too large.

    Attributes
    ----------
    count
        Candidates judged.
    every
        One of so many is kept, by its place in the order of judging: good and bad, early and late ones alike.
    activity
        What all of them sent.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._parts: list[F64] = []
        self._kept = 0
        self._most_bytes = most_bytes
        self.count = 0
        self.every = 1
        self.activity = Activity()

    def add(self, judged: Judgement) -> None:
        """A generation, its equity recorded."""
        self.activity.add(judged.statistics)
        increments = judged.increments
        self._parts.append(np.array(increments[:, -self.count % self.every :: self.every]))
        self._kept += self._parts[-1].shape[1]
        self.count += increments.shape[1]
        most = max(2, self._most_bytes // max(1, 8 * len(increments)))
        while self._kept > most:
            thinner = self.matrix()[:, ::2].copy()
            self._parts, self._kept, self.every = [thinner], thinner.shape[1], 2 * self.every

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
    epoch's candidates (an even share of them where they are too many), a walk-forward of the choice. Out of sample:
    reality check and SPA over the finalists, where ``arch`` is installed.

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
    else:  # its series was thinned out
        matrix = np.concatenate([matrix, chosen[:, None]], axis=1) if len(matrix) else chosen[:, None]
        index = matrix.shape[1] - 1
    times = parts.inside.start_ns + cycle_ns * np.arange(1, len(chosen) + 1, dtype=np.int64)
    enough = len(chosen) >= 10 * (FOLDS + 1)
    splits = folds(times, FOLDS, embargo_ns=parts.embargo * cycle_ns) if enough else []
    found = validate(matrix, index, benchmark=incumbent, trials=tried, splits=splits)
    if trials.every > 1:
        found = replace(found, searched=trials.count)
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
