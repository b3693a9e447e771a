"""What the optimizer carries from epoch to epoch: what it tried, what it foretold, what came true."""

import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.agents.optimizer.calibration import Calibration, calibrate
from tidewright.agents.optimizer.conformal import Range, learned
from tidewright.market.errors import DataError
from tidewright.measure.reliability import Reliability, assess

F64 = npt.NDArray[np.float64]
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """A statement about an epoch that had not come yet.

    Attributes
    ----------
    proposal_id
        The proposal it went out with, or would have.
    made_ns, until_ns
        The epoch it speaks of, market time, nanoseconds.
    candidate, incumbent
        Parameters of the two lanes.
    raw, confidence
        Probability that the candidate earns more, before and after calibration.
    sent
        Whether it went out as a proposal; the others are kept for the score alone.
    expected, deviation
        The difference that was expected, and its deviation, quote; ``None`` in files of earlier versions.
    """

    proposal_id: str
    made_ns: int
    until_ns: int
    strategy: str
    candidate: dict[str, float]
    incumbent: dict[str, float]
    raw: float
    confidence: float
    sent: bool
    expected: float | None = None
    deviation: float | None = None


@dataclass(slots=True)
class Memory:
    """State of one session's optimizer.

    Attributes
    ----------
    epochs
        Requests judged.
    trials
        Parameter sets ever judged in sample.
    trainings, taught
        Trainings of the seated policy that came to an end, and the policies that were tried in them.
    elsewhere
        All that was tried for the other agents of the session, as told before each request.
    pending, settled
        Forecasts whose epoch is not over, and (raw, confidence, outcome) of those whose epoch is.
    errors
        How far off settled forecasts were, in deviations, oldest first: what conformal intervals learn from.
    elites
        The best in-sample values of the last epoch, by parameter name: out-of-sample results never choose them.
    regret
        The account of :mod:`tidewright.agents.optimizer.regret`, plain values; empty before the first request.
    """

    epochs: int = 0
    trials: int = 0
    trainings: int = 0
    taught: int = 0
    elsewhere: int = 0
    sharpe_count: int = 0
    sharpe_mean: float = 0.0
    sharpe_square: float = 0.0
    pending: list[Forecast] = field(default_factory=list)
    settled: list[tuple[float, float, float]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    elites: list[dict[str, float]] = field(default_factory=list)
    regret: dict[str, Any] = field(default_factory=dict)

    def count_trials(self, sharpes: F64) -> None:
        """Add a generation: its Sharpe ratios a cycle, NaN for lanes that have none (they count as trials)."""
        self.trials += len(sharpes)
        known = sharpes[np.isfinite(sharpes)]
        if len(known) == 0:
            return
        count, mean = len(known), float(known.mean())
        total = self.sharpe_count + count
        gap = mean - self.sharpe_mean
        self.sharpe_square += float(((known - mean) ** 2).sum()) + gap**2 * self.sharpe_count * count / total
        self.sharpe_mean += gap * count / total
        self.sharpe_count = total

    def count_training(self, policies: int) -> None:
        """Add a training of the seated policy, in which so many were tried."""
        self.trainings += 1
        self.taught += policies

    @property
    def own(self) -> int:
        """Parameter sets and policies ever judged in sample for this agent."""
        return self.trials + self.taught

    @property
    def tried(self) -> int:
        """The same in the whole session, whichever agent they were for."""
        return self.own + self.elsewhere

    @property
    def sharpe_variance(self) -> float:
        """Variance of all trials' Sharpe ratios a cycle; 0 under 2 trials."""
        return self.sharpe_square / (self.sharpe_count - 1) if self.sharpe_count > 1 else 0.0

    def settle(self, forecast: Forecast, difference: float) -> float:
        """Note what came true: the candidate's equity change less the incumbent's over the foretold epoch.

        Returns 1 if the candidate earned more, 0 if less, 0.5 for a tie.
        """
        outcome = 0.5 if difference == 0.0 or math.isnan(difference) else float(difference > 0.0)
        self.settled.append((forecast.raw, forecast.confidence, outcome))
        if forecast.expected is not None and forecast.deviation and math.isfinite(difference):
            self.errors.append((difference - forecast.expected) / forecast.deviation)
        return outcome

    def interval(self, expected: float, deviation: float) -> Range:
        """Where the next epoch's difference will lie, from how far off earlier forecasts were."""
        return learned(self.errors).range(expected, deviation)

    def calibration(self) -> Calibration:
        """The correction that what came true suggests for raw forecasts."""
        table = self._table()
        return calibrate(table[:, 0], table[:, 2])

    def reliability(self) -> Reliability | None:
        """How good the reported confidences were; ``None`` before the first outcome."""
        table = self._table()
        return assess(table[:, 1], table[:, 2])

    def _table(self) -> F64:
        return np.array(self.settled, np.float64).reshape(-1, 3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a file, atomically."""
        target = Path(path)
        temporary = target.with_name(target.name + ".new")
        temporary.write_bytes(orjson.dumps({"version": _VERSION, **asdict(self)}))
        temporary.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file; an absent one is an empty memory.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        source = Path(path)
        if not source.is_file():
            return cls()
        try:
            value: dict[str, Any] = orjson.loads(source.read_bytes())
            if value.pop("version") != _VERSION:
                raise DataError(f"optimizer memory {source} must have version {_VERSION}")
            value["pending"] = [Forecast(**item) for item in value["pending"]]
            value["settled"] = [(float(r), float(c), float(o)) for r, c, o in value["settled"]]
            return cls(**value)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"optimizer memory {source} is damaged: {error}") from None
