"""Mids at times of the past, read from a tape again: what a restart cannot remember."""

from collections.abc import Sequence

import numpy as np

from tidewright.agents.optimizer.fold import BookFold
from tidewright.market.tape import Columns


def mids2(data: Columns, times: Sequence[int], stale_ns: int, fold: BookFold) -> list[int]:
    """Twice the mid at each time, ticks; 0 where the tape does not tell it: a gap, one side only, or too old.

    Parameters
    ----------
    times
        Of the market, nanoseconds, rising.
    stale_ns
        Age of the newest row from which on the mid is not known.
    fold
        A new one; afterwards it holds the book of the last time.
    """
    found = []
    for now_ns in times:
        fold.advance(data, now_ns)
        known = int(np.searchsorted(data.ts, now_ns, side="right"))
        whole = 0 < known == fold.row  # else a gap is open: the fold stays before it
        found.append(fold.mid2() if whole and now_ns - int(data.ts[known - 1]) <= stale_ns else 0)
    return found
