"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting" (2017): the rows of a matrix of
returns are cut into S blocks; every choice of half of them is in sample once, the rest out of sample. How often does
the candidate that is best in sample end up in the worse half out of sample? Useless candidates: 0.5. One that is
truly best: 0.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]
Metric = Literal["sharpe", "mean"]

BLOCKS: Final = 12  # 924 splits; the usual 16 give 12,870 and say the same, fourteen times as slowly
MIN_BLOCK: Final = 4  # observations in a block
_CHUNK: Final = 2_000_000  # numbers a chunk of splits may hold
_FLAT: Final = 1e-20  # a variance under this share of the mean square is rounding


@dataclass(frozen=True, slots=True)
class BlockSums:
    """All that CSCV needs of a matrix of returns, a few numbers a candidate and block.

    Attributes
    ----------
    counts
        Observations of each block, (S,).
    sums, squares
        Sums of returns and of their squares, (S, N).
    """

    counts: F64
    sums: F64
    squares: F64

    @classmethod
    def of(cls, returns: F64, blocks: int = BLOCKS) -> Self:
        """Block sums of returns (T, N).

        Raises
        ------
        UsageError
            If the blocks are odd in number, under 2, or would hold fewer than ``MIN_BLOCK`` observations each.
        """
        matrix = np.asarray(returns, np.float64)
        if matrix.ndim != 2:
            raise UsageError(f"returns must be a matrix of observations by candidates, had shape {matrix.shape}")
        if blocks < 2 or blocks % 2:
            raise UsageError(f"CSCV needs an even number of blocks, at least 2, was {blocks}")
        if len(matrix) < blocks * MIN_BLOCK:
            raise UsageError(
                f"{blocks} blocks of CSCV need at least {blocks * MIN_BLOCK} observations, had {len(matrix)}"
            )
        parts = np.array_split(matrix, blocks)
        return cls(
            np.array([len(part) for part in parts], np.float64),
            np.stack([part.sum(axis=0) for part in parts]),
            np.stack([(part * part).sum(axis=0) for part in parts]),
        )

    def beside(self, other: "BlockSums") -> "BlockSums":
        """These candidates and others over the same blocks."""
        if not np.array_equal(self.counts, other.counts):
            raise UsageError("candidates must be judged over the same blocks to be compared")
        return BlockSums(
            self.counts,
            np.concatenate([self.sums, other.sums], axis=1),
            np.concatenate([self.squares, other.squares], axis=1),
        )

    def sharpes(self) -> F64:
        """Sharpe ratio an observation of each candidate over all blocks; 0 where returns do not vary."""
        ones = np.ones((1, len(self.counts)))
        return _metric(ones @ self.sums, ones @ self.squares, ones @ self.counts, "sharpe")[0]


@dataclass(frozen=True, slots=True)
class Cscv:
    """What CSCV says.

    Attributes
    ----------
    pbo
        Share of splits in which the best in sample is in the worse half out of sample: λ <= 0, with λ the logit of its
        relative rank ``rank/(N + 1)``.
    splits, blocks, candidates
        C(S, S/2), S, N.
    in_sample, out_of_sample
        Mean over splits of the metric of the best in sample, there and out of sample.
    loss_probability
        Share of splits in which the best in sample has a metric < 0 out of sample.
    """

    pbo: float
    splits: int
    blocks: int
    candidates: int
    in_sample: float
    out_of_sample: float
    loss_probability: float


def blocks_for(observations: int, most: int = BLOCKS) -> int:
    """Even number of blocks that a sample carries, at most ``most``; 0 if it is too short for CSCV.

    Blocks hold 8 observations or more where that leaves at least 8 blocks, and never fewer than ``MIN_BLOCK``.
    """
    comfortable = min(most, observations // (2 * MIN_BLOCK)) // 2 * 2
    possible = min(8, observations // MIN_BLOCK) // 2 * 2
    found = max(comfortable, possible)
    return found if found >= 4 else 0


def cscv(sums: BlockSums, metric: Metric = "sharpe") -> Cscv:
    """Probability of backtest overfitting.

    Parameters
    ----------
    sums
        Of the candidates, see :meth:`BlockSums.of`.
    metric
        What is best: the Sharpe ratio an observation, or the mean return.

    Raises
    ------
    UsageError
        If there are fewer than 2 candidates.
    """
    count, candidates = len(sums.counts), sums.sums.shape[1]
    if candidates < 2:
        raise UsageError(f"CSCV compares candidates: it needs at least 2, had {candidates}")
    choices = np.array(list(combinations(range(count), count // 2)), np.int64)
    halves = np.zeros((len(choices), count))
    np.put_along_axis(halves, choices, 1.0, axis=1)
    worse, loss, inside, outside = 0, 0, 0.0, 0.0
    size = max(1, _CHUNK // candidates)
    for start in range(0, len(halves), size):
        half = halves[start : start + size]
        rest = 1.0 - half
        seen = _metric(half @ sums.sums, half @ sums.squares, (half @ sums.counts)[:, None], metric)
        came = _metric(rest @ sums.sums, rest @ sums.squares, (rest @ sums.counts)[:, None], metric)
        best = seen.argmax(axis=1)
        rows = np.arange(len(half))
        told = came[rows, best][:, None]
        # Average rank from below: equal candidates share theirs.
        rank = (came < told).sum(axis=1) + 0.5 * ((came == told).sum(axis=1) - 1) + 1.0
        worse += int((rank / (candidates + 1.0) <= 0.5).sum())
        loss += int((told[:, 0] < 0.0).sum())
        inside += float(seen[rows, best].sum())
        outside += float(told.sum())
    total = len(halves)
    return Cscv(worse / total, total, count, candidates, inside / total, outside / total, loss / total)


def _metric(total: F64, square: F64, count: F64, metric: Metric) -> F64:
    mean = total / count
    if metric == "mean":
        return mean
    variance = square / count - mean * mean
    flat = variance <= _FLAT + 1e-12 * mean * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        found = mean / np.sqrt(variance * count / np.maximum(count - 1.0, 1.0))
    return np.where(flat, 0.0, found)
