"""Gaussian processes: one an output, Matérn-5/2 with a length an input, by scikit-learn.

Hyper-parameters maximise the marginal likelihood under a prior on the lengths, log-normal with median
``exp(√2)·√inputs`` (Hvarfner, Hellsten and Nardi 2024): a function is taken for simple in an input until
it shows otherwise.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_TUNED_ON: Final = 110  # rows that hyper-parameters are fitted to
_ITERATIONS: Final = 30
_AGAIN: Final = 1.12  # they are fitted again when there are this many times more rows
_LENGTHS: Final = (0.03, 60.0)
_AMPLITUDE: Final = (0.03, 300.0)
_NOISE: Final = (1e-8, 0.2)
_JITTER: Final = 1e-9
_PRIOR_VARIANCE: Final = 3.0


class GaussianModel:
    """A process an output. ``state``: the hyper-parameters (logarithms) and the rows they were fitted to."""

    def __init__(self) -> None:
        self.state: Mapping[str, list[float]] = {}
        self._parts: list[Any] = []

    def fit(self, features: F64, outputs: F64, rng: np.random.Generator) -> None:
        """Condition on the data; fit hyper-parameters where enough has been added since."""
        state = {key: list(value) for key, value in self.state.items()}
        rows = state.get("rows", [0.0])[0]
        tune = len(features) >= max(rows * _AGAIN, rows + 1) and (rows == 0 or rows < 2 * _TUNED_ON)
        self._parts = []
        for column in range(outputs.shape[1]):
            key = f"output {column}"
            known = state.get(key)
            if known is None or tune or len(known) != features.shape[1] + 2:
                known = _tuned(features[:_TUNED_ON], outputs[:_TUNED_ON, column], known)
                state[key] = known
            self._parts.append(_process(features, outputs[:, column], known))
        if tune:
            state["rows"] = [float(len(features))]
        self.state = state

    def thinking(self, rows: int, outputs: int) -> float:
        """Seconds: a process an output."""
        return outputs * (0.05 + 0.0012 * rows)

    def foretell(self, features: F64) -> "GaussianPosterior":
        """Mean and deviation of all outputs."""
        return GaussianPosterior(self._parts, features)


class GaussianPosterior:
    """What processes foretell of candidates."""

    def __init__(self, parts: list[Any], features: F64) -> None:
        from scipy.linalg import solve_triangular

        self._parts, self._features = parts, features
        self._solved = []
        means, deviations = [], []
        for part in parts:
            across = part.kernel_(features, part.X_train_)
            means.append(across @ part.alpha_)
            solved = solve_triangular(part.L_, across.T, lower=True, check_finite=False)
            prior = _amplitude(part)
            deviations.append(np.sqrt(np.maximum(prior - (solved * solved).sum(axis=0), 1e-14 * prior)))
            self._solved.append(solved)
        self.mean: F64 = np.stack(means, axis=1)
        self.deviation: F64 = np.stack(deviations, axis=1)

    def correlation(self, row: int) -> F64:
        """Correlation of what is foretold of one candidate with that of all, shape (p, outputs)."""
        columns = []
        for number, part in enumerate(self._parts):
            solved = self._solved[number]
            prior = part.kernel_(self._features, self._features[row : row + 1])[:, 0]
            joint = prior - solved.T @ solved[:, row]
            columns.append(joint / (self.deviation[:, number] * self.deviation[row, number]))
        return np.clip(np.stack(columns, axis=1), -1.0, 1.0)


def _amplitude(part: Any) -> float:
    return float(np.exp(part.kernel_.theta[0]))  # of the function itself: what is foretold is without noise


def _kernel(inputs: int, theta: list[float] | None = None) -> Any:
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.full(inputs, _usual_length(inputs))
    kernel = ConstantKernel(1.0, _AMPLITUDE) * Matern(lengths, _LENGTHS, nu=2.5) + WhiteKernel(1e-4, _NOISE)
    return kernel if theta is None else kernel.clone_with_theta(np.array(theta))


def _usual_length(inputs: int) -> float:
    return float(np.exp(np.sqrt(2.0)) * np.sqrt(inputs)) / 4.0  # the search begins below the median of the prior


def _process(features: F64, output: F64, theta: list[float]) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    return GaussianProcessRegressor(_kernel(features.shape[1], theta), alpha=_JITTER, optimizer=None).fit(
        features, output
    )


def _tuned(features: F64, output: F64, known: list[float] | None) -> list[float]:
    """Logarithms of amplitude, lengths and noise; from the usual ones and from those known, the better."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor

    inputs = features.shape[1]
    middle = np.sqrt(2.0) + 0.5 * np.log(inputs)

    def climb(objective: Callable[..., tuple[float, F64]], initial: F64, bounds: F64) -> tuple[F64, float]:
        from scipy.optimize import minimize

        def penalised(theta: F64) -> tuple[float, F64]:
            value, gradient = objective(theta)
            away = theta[1 : 1 + inputs] - middle
            slope = np.array(gradient)
            slope[1 : 1 + inputs] += away / _PRIOR_VARIANCE
            return float(value + 0.5 * (away * away).sum() / _PRIOR_VARIANCE), slope

        starts = [initial] if known is None or len(known) != len(initial) else [np.array(known), initial]
        best: tuple[F64, float] | None = None
        for start in starts:
            begun = np.clip(start, bounds[:, 0], bounds[:, 1])
            found = minimize(
                penalised, begun, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
            )
            if best is None or found.fun < best[1]:
                best = (found.x, float(found.fun))
        assert best is not None
        return best

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianProcessRegressor(_kernel(inputs), alpha=_JITTER, optimizer=climb).fit(features, output)
    return [float(value) for value in fitted.kernel_.theta]
