"""Many lanes over one stretch of tape: dealt into cohorts, each a replay of its own, and put together lane by lane.

Lanes never meet, so a cohort's results do not depend on who else is in it: whatever the number of cohorts, and wherever
they ran, the results are the same bytes. What numbers the orders and reports of all lanes of one engine together says
nothing about a lane and would differ from cohort to cohort; :func:`gather` numbers them anew, see there.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.engine.config import ReplayConfig
from tidewright.engine.replay import Replay
from tidewright.market.codes import PACKET_END
from tidewright.market.cores import cores
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64, I64, U8, Columns

CHUNK: Final = 1 << 18  # rows fed at once: bounds memory, paces the progress bar, and says how soon an interrupt acts
LOOK: Final = 4096  # rows looked at at a time for the end of a packet
NEIGHBOURS: Final = 16  # lanes in a row that are dealt to a cohort together
LANES_A_COHORT: Final = 32  # from so many lanes each on, cohorts of their own are worthwhile

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole packets to replay, and where another process finds them.

    Attributes
    ----------
    data
        The rows.
    path
        Tape folder they lie in, ``None``: only in memory.
    first
        Their first row there.
    """

    data: Columns
    path: Path | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What the lanes of a sweep share, and their parameters.

    Attributes
    ----------
    lanes
        How many.
    params
        Strategy parameters by name, scalars or arrays over lanes.
    base_units, quote_units
        What every lane starts with, 1e-8 units.
    opening
        Packets before the rows: a snapshot of the book.
    until_ns
        The run ends with this watermark; ``None``: with the tape, see :meth:`Replay.finish`.
    final
        With a watermark: the run ends there as it would with the tape, the last equity point of the true state.
    """

    instrument: Instrument
    config: ReplayConfig
    strategy: str
    params: Mapping[str, npt.ArrayLike]
    lanes: int
    base_units: int = 0
    quote_units: int = 0
    check_balance: bool = False
    opening: Columns | None = None
    until_ns: int | None = None
    final: bool = False

    def of(self, cohort: I64) -> "Job":
        """The same for some of the lanes."""
        params = {name: _part(name, value, cohort, self.lanes) for name, value in self.params.items()}
        return replace(self, params=params, lanes=len(cohort))

    def replay(self) -> Replay:
        """An engine with the lanes, before its first row."""
        return Replay(
            self.instrument,
            self.config,
            self.strategy,
            self.params,
            lanes=self.lanes,
            base_units=self.base_units,
            quote_units=self.quote_units,
            check_balance=self.check_balance,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What lanes did.

    Attributes
    ----------
    statistics
        Streamed sums, arrays over lanes; keys in :mod:`tidewright.engine.statistics`.
    equity_ts, equity
        Recorded equity: times (n,) int64 ns and quote (n, lanes) float64; empty unless the config asks for it.
    reports
        Recorded reports, dtype ``REPORT``, by lane and then as they happened; empty unless the config asks for them.
    shares, counts
        Of the market, the same for every lane; :meth:`Replay.shares`, :meth:`Replay.counts`.
    ran, memory
        Where it ran, for people, and the bytes that the engines held in the end, see
        :func:`tidewright.engine.memory.held`: all that differs from one way of running to another.
    """

    statistics: dict[str, npt.NDArray[Any]]
    equity_ts: I64
    equity: F64
    reports: npt.NDArray[np.void]
    shares: dict[str, float]
    counts: dict[str, int]
    ran: str = ""
    memory: dict[str, int] = field(default_factory=dict)


class Runner(Protocol):
    """Whoever runs a sweep: threads here, machines elsewhere."""

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of all lanes, in lane order; ``tell`` gets rows done and rows in all."""
        ...


class Threads:
    """Runs cohorts in threads over the same memory; the kernels let go of Python's lock.

    Parameters
    ----------
    count
        How many threads at most; ``None``: as many as this process may use cores, where there are at least
        ``LANES_A_COHORT`` lanes for each, else fewer.

    Raises
    ------
    UsageError
        If the count is less than 1.
    """

    def __init__(self, count: int | None = None) -> None:
        if count is not None and count < 1:
            raise UsageError(f"threads must be >= 1, was {count}")
        self._count = count

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of all lanes, in lane order; ``tell`` is called from the calling thread."""
        cohorts = deal(job.lanes, self._count or cohorts_for(job.lanes, cores()))
        parts = _in_threads(rows.data, [job.of(cohort) for cohort in cohorts], tell)
        ran = "1 thread" if len(cohorts) == 1 else f"{len(cohorts)} threads"
        return replace(gather(parts, cohorts), ran=ran)


def runner(threads: int | None = None, ray: bool | str | None = None) -> Runner:
    """Whoever runs a sweep, by the arguments of :func:`tidewright.engine.backtest.backtest`.

    Raises
    ------
    UsageError
        If both are given, or Ray is asked for and not installed.
    NotRunningError
        If no Ray cluster answers at the address.
    """
    if ray is None or ray is False:
        return Threads(threads)
    if threads is not None:
        raise UsageError("threads are of this machine, ray spreads the lanes over others: give one of the two")
    from tidewright.engine.cluster import Cluster

    return Cluster("auto" if ray is True else ray)


def cohorts_for(lanes: int, places: int) -> int:
    """How many cohorts are worthwhile where so many can run at once: each replays the whole tape."""
    return max(1, min(places, lanes // LANES_A_COHORT))


def deal(lanes: int, cohorts: int) -> list[I64]:
    """Lanes of each cohort: blocks of neighbours, who in a sweep quote the same prices, so their orders share queues.

    Block k goes to the cohort that the digits of k, to the base of how many there are, add up to (for two the sequence
    of Thue and Morse), so that none has the cheaper ones throughout where costs rise or fall along the lanes.
    """
    cohorts = min(cohorts, lanes)
    if cohorts == 1:
        return [np.arange(lanes, dtype=np.int64)]
    block = max(1, min(NEIGHBOURS, lanes // (8 * cohorts)))
    left = np.arange(lanes, dtype=np.int64) // block
    turn = np.zeros_like(left)
    while left.any():
        turn += left % cohorts
        left //= cohorts
    return [np.flatnonzero(turn % cohorts == cohort) for cohort in range(cohorts)]


def run_cohort(data: Columns, job: Job, tell: Callable[[int], None] | None = None) -> Result:
    """Replay one cohort; ``tell`` gets the rows done after each chunk."""
    replay = job.replay()
    if job.opening is not None:
        replay.feed(job.opening)
    done = 0
    for chunk in chunks(data):
        replay.feed(chunk)
        done += len(chunk.ts)
        if tell is not None:
            tell(done)
    if job.until_ns is not None:
        replay.advance(job.until_ns)
    if job.until_ns is None or job.final:
        replay.finish()
    ts, equity = replay.equity()
    return Result(
        replay.statistics(), ts, equity, replay.reports(), replay.shares(), replay.counts(), memory=replay.memory()
    )


def gather(parts: Sequence[Result], cohorts: Sequence[I64]) -> Result:
    """One result in lane order from those of the cohorts.

    Reports are ordered by lane, then as they happened. ``seq`` counts them in that order from 0. ``number`` counts the
    orders of each lane that were reported on from 1, in the order in which the lane sent them.
    """
    lanes = sum(len(cohort) for cohort in cohorts)
    first = parts[0]
    statistics = {name: np.empty(lanes, column.dtype) for name, column in first.statistics.items()}
    equity = np.empty((len(first.equity_ts), lanes), np.float64)
    reports = np.concatenate([part.reports for part in parts])
    row = 0
    for part, cohort in zip(parts, cohorts, strict=True):
        for name, column in part.statistics.items():
            statistics[name][cohort] = column
        equity[:, cohort] = part.equity
        reports["lane"][row : row + len(part.reports)] = cohort[part.reports["lane"]]
        row += len(part.reports)
    ts = first.equity_ts.copy()  # it may lie in a store of Ray's
    memory = {name: sum(part.memory.get(name, 0) for part in parts) for name in first.memory}
    return replace(
        first, statistics=statistics, equity_ts=ts, equity=equity, reports=_renumbered(reports), memory=memory
    )


def _renumbered(reports: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Reports by lane and sequence with numbers that say nothing about other lanes."""
    reports = reports[np.lexsort((reports["seq"], reports["lane"]))]
    reports["seq"] = np.arange(len(reports))
    if len(reports) == 0:
        return reports
    order = np.lexsort((reports["number"], reports["lane"]))
    lane, number = reports["lane"][order], reports["number"][order]
    other_lane = np.diff(lane, prepend=lane[0] - 1) != 0
    other_order = other_lane | (np.diff(number, prepend=number[0]) != 0)
    count = np.cumsum(other_order)
    before = (count - 1)[other_lane]  # orders of the lanes before, one entry a lane
    reports["number"][order] = count - before[np.cumsum(other_lane) - 1]
    return reports


class _Stopped(Exception):
    """Another cohort has failed: go no further."""


def _in_threads(data: Columns, jobs: list[Job], tell: Tell | None) -> list[Result]:
    """Results of all jobs; the first runs in the calling thread and reports for all."""
    stop = threading.Event()
    done = [0] * len(jobs)
    total = len(data.ts)

    def work(index: int) -> Result:
        def told(rows: int) -> None:
            if stop.is_set():
                raise _Stopped
            done[index] = rows
            if index == 0 and tell is not None:
                tell(sum(done) // len(jobs), total)

        finished = False
        try:
            result = run_cohort(data, jobs[index], told)
            finished = True
            return result
        finally:
            if not finished:
                stop.set()

    if len(jobs) == 1:
        return [work(0)]
    with ThreadPoolExecutor(len(jobs) - 1, "cohort") as pool:
        others = [pool.submit(work, index) for index in range(1, len(jobs))]
        try:
            try:
                first = [work(0)]
            except _Stopped:
                first = []  # the error of the cohort that failed is raised below
            failed = [error for other in others if (error := other.exception()) is not None]
        finally:
            stop.set()  # an interrupt while the others are waited for
        for error in sorted(failed, key=lambda error: isinstance(error, _Stopped)):
            raise error
    if tell is not None:
        tell(total, total)
    return [*first, *(other.result() for other in others)]


def _part(name: str, value: npt.ArrayLike, cohort: I64, lanes: int) -> npt.ArrayLike:
    array = np.asarray(value)
    if array.size == 1:
        return array
    if array.shape != (lanes,):
        raise UsageError(f"parameter {name} must be one number or {lanes}, had shape {array.shape}")
    return array[cohort]


def chunks(data: Columns, most: int = CHUNK) -> Iterator[Columns]:
    """Whole packets, at most so many rows at a time; a packet of more comes alone."""
    row, total = 0, len(data.ts)
    while row < total:
        stop = _packet_end(data.flags, row, total, most)
        yield data.rows(row, stop)
        row = stop


def _packet_end(flags: U8, row: int, total: int, most: int) -> int:
    """The row after the last packet that ends within a chunk, or after the first one that ends later."""
    last = stop = min(row + most, total)
    while stop > row:  # from behind: packets are short
        first = max(row, stop - LOOK)
        ends = np.flatnonzero(flags[first:stop] & PACKET_END)
        if len(ends):
            return first + int(ends[-1]) + 1
        stop = first
    for first in range(last, total, most):
        ends = np.flatnonzero(flags[first : first + most] & PACKET_END)
        if len(ends):
            return first + int(ends[0]) + 1
    return total
