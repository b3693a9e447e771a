"""A sweep spread over a Ray cluster: cohorts as tasks, the same bytes as on one machine.

Needs the extra ``tidewright[ray]`` here and the same Tidewright, with the same numba and numpy, on every machine; a
worker that has others is refused. Nothing else of Tidewright imports this module, and nothing imports Ray unless it is
asked for.

The rows travel by path where a worker reads the same bytes there (a shared file system, or this very machine), else
through Ray's object store, once. A worker, or a machine, that is lost costs time and nothing else: its cohort is begun
anew elsewhere.
"""

import hashlib
import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numba
import numpy as np

import tidewright
from tidewright._cache import package_hash
from tidewright.engine.sweep import Job, Result, Rows, Tell, cohorts_for, deal, gather, run_cohort
from tidewright.market.errors import NotRunningError, TidewrightError, UsageError
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape
from tidewright.strategies import registry

ANYWHERE: Final = "auto"
LOST: Final = 16  # workers that a cohort may lose before the sweep is given up
WINDOWS: Final = 4  # stretches of tape that stay in Ray's store
ANSWER_S: Final = 3.0  # a port that does not open within this time is taken for closed


class Place(NamedTuple):
    """Rows of a tape folder, and a hash of their bytes: another folder of that name is not the same tape."""

    path: str
    first: int
    stop: int
    digest: str


class Answer(NamedTuple):
    """Of a task: a result, or why there is none."""

    result: Result | None
    host: str
    pid: int
    by_path: bool = False
    no_tape: bool = False
    other: str = ""  # what this worker is made with, where it is not what the sweep was sent from


class Cluster:
    """Runs cohorts on a Ray cluster.

    A program that is connected to Ray already stays connected as it is. Otherwise this connects, for the rest of the
    program's life or until it calls ``ray.shutdown()``.

    Parameters
    ----------
    address
        ``host:port`` of a cluster that this machine is part of; "local": a new one of this machine's cores; "auto": the
        one that the environment variable ``RAY_ADDRESS`` or Ray's own record of the last ``ray start`` names, else a
        new local one.
    ray
        The module of a Ray that is connected; ``None``: import it and connect.

    Raises
    ------
    UsageError
        If Ray is not installed, or the address is none.
    NotRunningError
        If no cluster answers there.
    """

    def __init__(self, address: str = ANYWHERE, ray: Any = None) -> None:
        self._ray = _connected(address) if ray is None else ray
        self._task = self._ray.remote(num_cpus=1, max_retries=LOST)(replay_cohort)
        self._places: dict[tuple[str, int, int], Place] = {}
        self._stored: dict[tuple[int, int], tuple[Columns, Any]] = {}  # by address and length of rows that are kept

    def run(self, rows: Rows, job: Job, tell: Tell | None = None) -> Result:
        """Results of all lanes, in lane order; ``tell`` is called at the start and whenever a cohort is done."""
        cohorts = deal(job.lanes, cohorts_for(job.lanes, self._cores()))
        place = self._place(rows)
        jobs = [job.of(cohort) for cohort in cohorts]
        answers: dict[int, Answer] = {}
        if tell is not None:
            tell(0, len(rows.data.ts))
        waiting = {self._sent(each, place, rows.data, place is None): index for index, each in enumerate(jobs)}
        try:
            while waiting:
                ready = self._ray.wait(list(waiting), num_returns=1)[0][0]
                index = waiting.pop(ready)
                answer = self._answer(ready)
                if answer.no_tape:
                    waiting[self._sent(jobs[index], place, rows.data, True)] = index
                    continue
                answers[index] = answer
                if tell is not None:
                    tell(len(rows.data.ts) * len(answers) // len(jobs), len(rows.data.ts))
        finally:
            for task in waiting:
                self._ray.cancel(task, force=True)
        parts = [answers[index].result for index in range(len(jobs))]
        whole = gather([part for part in parts if part is not None], cohorts)
        return replace(whole, ran=_described(list(answers.values())))

    def _cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _place(self, rows: Rows) -> Place | None:
        """Where the rows lie; ``None``: in memory only."""
        if rows.path is None or not (rows.path / "meta.json").is_file():
            return None
        path, count = str(rows.path.resolve()), len(rows.data.ts)
        key = (path, rows.first, count)
        if key not in self._places:
            self._places[key] = Place(path, rows.first, rows.first + count, digest(rows.data))
        return self._places[key]

    def _sent(self, job: Job, place: Place | None, data: Columns, stored: bool) -> Any:
        """A task under way, told where the rows lie, or given them by Ray."""
        if stored:
            return self._task.remote(job, None, self._store(data), {**made_with(), **strategy_of(job)})
        return self._task.remote(job, place, None, {**made_with(), **strategy_of(job)})

    def _store(self, data: Columns) -> Any:
        """The rows in Ray's store; those of the last few windows stay there."""
        key = (int(data.ts.ctypes.data), len(data.ts))
        if key not in self._stored:
            if len(self._stored) == WINDOWS:
                del self._stored[next(iter(self._stored))]
            self._stored[key] = (data, self._ray.put(tuple(np.ascontiguousarray(column) for column in data)))
        return self._stored[key][1]

    def _answer(self, task: Any) -> Answer:
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(task)
        except errors.RayTaskError as error:
            if isinstance(error.cause, TidewrightError):
                raise error.cause from None
            raise TidewrightError(f"a cohort failed on a Ray worker: {_last_line(error)}") from None
        except errors.RayError as error:
            raise TidewrightError(f"a cohort was lost with {LOST} Ray workers: {_last_line(error)}") from None
        if answer.other:
            raise UsageError(
                f"the Ray worker on {answer.host} is not the same as this program, so its results need not be: "
                f"{answer.other}"
            )
        return answer


def replay_cohort(job: Job, place: Place | None, stored: tuple[Any, ...] | None, ours: Mapping[str, str]) -> Answer:
    """The task: replay one cohort on whichever machine this is.

    Parameters
    ----------
    place, stored
        Where the rows are to be read, or the rows themselves, from Ray's store.
    ours
        What the sender is made with.
    """
    host, pid = platform.node(), os.getpid()
    registry.resolve(job.strategy)  # a worker lives longer than a user's file stays as it was
    mine = {**made_with(), **strategy_of(job)}
    other = [
        f"{name} {mine.get(name)} there, {version} here" for name, version in ours.items() if mine.get(name) != version
    ]
    if other:
        return Answer(None, host, pid, other=", ".join(other))
    data = read(place) if place is not None else None
    if stored is not None:
        data = Columns(*stored)
    if data is None:
        return Answer(None, host, pid, no_tape=True)
    return Answer(run_cohort(data, job), host, pid, by_path=stored is None)


def read(place: Place) -> Columns | None:
    """The rows at a place; ``None`` if they cannot be read there or are others."""
    try:
        stamp = tuple(Path(place.path, name).stat().st_mtime_ns for name in COLUMN_TYPES)
        return _checked(place, stamp)
    except (OSError, TidewrightError):
        return None


@lru_cache(maxsize=2)  # the windows of a search come again and again
def _checked(place: Place, stamp: tuple[int, ...]) -> Columns | None:
    tape = Tape.open(place.path)
    if len(tape) < place.stop:
        return None
    data = tape.data.rows(place.first, place.stop)
    return data if digest(data) == place.digest else None


def digest(data: Columns) -> str:
    """Hash of all bytes of rows."""
    sums = hashlib.sha256()
    for column in data:
        sums.update(np.ascontiguousarray(column).data)
    return sums.hexdigest()


@lru_cache(maxsize=1)
def made_with() -> dict[str, str]:
    """What results depend on beside the tape and the job."""
    return {
        "Tidewright's sources": package_hash(Path(tidewright.__file__).parent),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "processor": platform.machine(),
    }


def strategy_of(job: Job) -> dict[str, str]:
    """What a user's own strategy is at present; empty for a built-in."""
    digest = registry.strategy(job.strategy).digest
    return {f"strategy {job.strategy}": digest} if digest else {}


def _connected(address: str) -> Any:
    """Ray, connected."""
    try:
        import ray
    except ImportError:
        raise UsageError("Ray is not installed; pip install 'tidewright[ray]' installs it") from None
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray that we start tells nobody of it
    named = os.environ.get("RAY_ADDRESS", "") if address == ANYWHERE else address
    _knock(named)
    try:
        ray.init(
            address=named or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ImportError, ValueError) as error:
        raise UsageError(f"cannot use the Ray address {named!r}: {_last_line(error)}") from None
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise NotRunningError(
            f"no Ray cluster lets this program in at {named or 'this machine'}: {_last_line(error)}. "
            "If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as there"
        ) from None
    return ray


def _knock(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise NotRunningError(f"no Ray cluster answers at {address}: {error}") from None


def _described(answers: list[Answer]) -> str:
    by_path, cohorts, machines = sum(a.by_path for a in answers), len(answers), len({a.host for a in answers})
    tape = "read by path" if by_path == cohorts else "sent through Ray's object store"
    if 0 < by_path < cohorts:
        tape = f"read by path {by_path} times, else sent through Ray's object store"
    return f"Ray: cohorts: {cohorts}, machines: {machines}, tape {tape}"


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
