"""A forest of extremely randomised trees (Geurts, Ernst and Wehenkel 2006) by scikit-learn; spread over its trees."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

TREES: Final = 48
_LEAF: Final = 2
_FLOOR: Final = 0.01  # least deviation, of standardised outputs: trees that agree are not certain


class ForestModel:
    """One forest for all outputs together; nothing is carried on."""

    def __init__(self) -> None:
        self.state: Mapping[str, list[float]] = {}
        self._trees: list[Any] = []

    def fit(self, features: F64, outputs: F64, rng: np.random.Generator) -> None:
        """Grow the trees, each on a bootstrap sample."""
        from sklearn.ensemble import ExtraTreesRegressor

        seed = int(rng.integers(0, 2**31 - 1))
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=_LEAF, bootstrap=True, random_state=seed)
        target = outputs if outputs.shape[1] > 1 else outputs[:, 0]
        self._trees = [tree.tree_ for tree in forest.fit(features.astype(np.float32), target).estimators_]

    def thinking(self, rows: int, outputs: int) -> float:
        """Seconds: trees grow fast, and all outputs share them."""
        return 0.13

    def foretell(self, features: F64) -> "ForestPosterior":
        """Mean and deviation of all outputs over the trees."""
        narrow = np.ascontiguousarray(features, np.float32)
        each = np.stack([tree.predict(narrow).reshape(len(features), -1) for tree in self._trees])
        return ForestPosterior(each)


class ForestPosterior:
    """What the trees foretell of candidates, shape (trees, p, outputs)."""

    def __init__(self, each: F64) -> None:
        self.mean: F64 = each.mean(axis=0)
        self._centred = each - self.mean
        self.deviation: F64 = np.sqrt((self._centred * self._centred).mean(axis=0) + _FLOOR**2)

    def correlation(self, row: int) -> F64:
        """Correlation over the trees of one candidate with all, shape (p, outputs)."""
        joint = (self._centred * self._centred[:, row : row + 1, :]).mean(axis=0)
        return np.clip(joint / (self.deviation * self.deviation[row]), -1.0, 1.0)
