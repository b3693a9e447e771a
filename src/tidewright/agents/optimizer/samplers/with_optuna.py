"""Optuna's samplers: TPE, and its Gaussian process with expected hypervolume improvement where torch is installed."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.history import History, Proposal, best_first, plain
from tidewright.agents.optimizer.space import Space
from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

TPE: Final = "tpe"
GP: Final = "optuna_gp"
ROWS: Final = {TPE: 250, GP: 300}  # trials a study is given: the better half the best, the others drawn
EACH: Final = {TPE: 0.008, GP: 0.6}  # seconds that one costs
ASKED: Final = {TPE: 40, GP: 8}  # asked of Optuna at once (milliseconds each); what a larger batch lacks is near these


class OptunaSampler:
    """Asks a sampler of Optuna, given everything judged as finished trials.

    Parameters
    ----------
    space
        What is searched; Optuna sees positions in the unit cube and choices.
    kind
        ``tpe`` (multivariate) or ``optuna_gp``, which needs torch.

    Raises
    ------
    UsageError
        If ``optuna_gp`` is asked for without torch.
    """

    def __init__(self, space: Space, kind: str) -> None:
        if kind == GP:
            from importlib.util import find_spec

            if find_spec("torch") is None:
                raise UsageError("sampler 'optuna_gp' needs torch: pip install 'tidewright[learn]'; 'gp' does without")
        self._space = space
        self._kind = kind
        self.state: Mapping[str, list[float]] = {}

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """Positions of Optuna's choice."""
        known = history.rows(np.flatnonzero(history.finite))
        if len(known) < 2:
            return plain(moves.even(self._space, count, rng))
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental features are meant
            study = self._study(optuna, _thinned(known, ROWS[self._kind], rng), rng)
            ranges = self._distributions(optuna)
            asked = [study.ask(ranges).params for _ in range(min(count, ASKED[self._kind]))]
        units = self._space.snapped(self._units(asked))
        if count > len(units):
            units = np.concatenate([units, moves.near(self._space, units, count - len(units), rng, 0.1)])
        return plain(units)

    def thinking(self, history: History, count: int) -> float:
        """Seconds: as many as are asked of Optuna."""
        return 0.03 + EACH[self._kind] * min(count, ASKED[self._kind])

    def _study(self, optuna: Any, history: History, rng: np.random.Generator) -> Any:
        seed = int(rng.integers(0, 2**31 - 1))
        if self._kind == TPE:
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=0)
        else:
            sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=0)
        study = optuna.create_study(directions=["minimize"] * history.losses.shape[1], sampler=sampler)
        ranges = self._distributions(optuna)
        excess = np.where(np.isnan(history.excess), 1e6, history.excess)
        names = [f"c{number}" for number in range(excess.shape[1])]
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=self._params(history.units[row]),
                    distributions=ranges,
                    values=[float(value) for value in history.losses[row]],
                    constraints={name: float(v) for name, v in zip(names, excess[row], strict=True)} or None,
                )
                for row in range(len(history))
            ]
        )
        return study

    def _distributions(self, optuna: Any) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            str(index): CategoricalDistribution(list(range(count))) if count else FloatDistribution(0.0, 1.0)
            for index, count in enumerate(self._space.categories)
        }

    def _params(self, unit: F64) -> dict[str, float | int]:
        parts = enumerate(self._space.categories)
        return {
            str(index): min(count - 1, int(unit[index] * count)) if count else float(unit[index])
            for index, count in parts
        }

    def _units(self, asked: list[dict[str, Any]]) -> F64:
        parts = list(enumerate(self._space.categories))
        rows = [
            [(params[str(index)] + 0.5) / count if count else params[str(index)] for index, count in parts]
            for params in asked
        ]
        return np.array(rows, np.float64)


def _thinned(history: History, rows: int, rng: np.random.Generator) -> History:
    if len(history) <= rows:
        return history
    order = best_first(history)
    half = rows // 2
    return history.rows(np.concatenate([order[:half], rng.permutation(order[half:])[: rows - half]]))
