"""Sweeps over Ray: the same bytes, by path or through the store, whatever becomes of a worker."""

import importlib.util
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidewright as tw
from tests.engine.example import SECOND, differences, packet_ends
from tests.engine.fake_ray import FakeRay
from tests.engine.test_sweep import job, result_bytes
from tests.strategies.test_custom import GRID, written
from tidewright.engine.cluster import Cluster, Place, digest, made_with, read, replay_cohort
from tidewright.engine.sweep import LANES_A_COHORT, Rows, Threads
from tidewright.market.errors import DataError, NotRunningError, TidewrightError, UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.strategies import registry

LANES = 2 * LANES_A_COHORT
RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not RAY, reason="Ray is not installed: pip install 'tidewright[ray]'")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    return synthesize(tmp_path_factory.mktemp("cluster") / "tape", hours=0.3, seed=7, rate=4.0)


def rows(tape: Tape) -> Rows:
    return Rows(tape.data, tape.path)


def place(tape: Tape, path: Path | None = None) -> Place:
    return Place(str(path or tape.path), 0, len(tape), digest(tape.data))


# -- without a cluster ------------------------------------------------------------------------------------------------


def test_without_ray_the_error_says_what_to_install(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"Ray is not installed; pip install 'tidewright\[ray\]' installs it"):
        tw.backtest(tape, ray=True)


@needs_ray
def test_an_address_where_nobody_listens_is_told_at_once(tape: Tape) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotRunningError, match=f"no Ray cluster answers at {address}"):
        tw.backtest(tape, ray=address)
    with pytest.raises(UsageError, match="cannot use the Ray address 'nowhere'"):
        tw.backtest(tape, ray="nowhere")


def test_rows_are_read_at_a_path_only_if_they_are_the_same(tape: Tape, tmp_path: Path) -> None:
    found = read(place(tape))
    assert found is not None and all((a == b).all() for a, b in zip(found, tape.data, strict=True))
    part = read(Place(str(tape.path), 10, 20, digest(tape.data.rows(10, 20))))
    assert part is not None and len(part.ts) == 10
    other = synthesize(tmp_path / "other", hours=0.3, seed=8, rate=4.0)
    short = synthesize(tmp_path / "short", hours=0.1, seed=7, rate=4.0)
    for path in (other.path, short.path, tmp_path / "nothing"):
        assert read(place(tape, path)) is None


def test_a_tape_that_changed_at_its_path_is_looked_at_anew(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "tape", hours=0.1, seed=7)
    assert read(place(tape)) is not None
    column = np.fromfile(tape.path / "qty", "<i8")
    column[5] += 1
    where = place(tape)
    column.tofile(tape.path / "qty")
    os.utime(tape.path / "qty", ns=(1, 1))
    assert read(where) is None


def test_a_worker_made_with_other_parts_is_refused(tape: Tape) -> None:
    ours = {**made_with(), "numba": "0.1"}
    answer = replay_cohort(job(tape, lanes=2), place(tape), None, ours)
    assert answer.result is None and answer.other == f"numba {made_with()['numba']} there, 0.1 here"
    ray = FakeRay(around=lambda task: task()._replace(result=None, other="numba 0.1 there, 0.2 here"))
    with pytest.raises(UsageError, match=r"the Ray worker on .* is not the same .*: numba 0.1 there, 0.2 here"):
        Cluster(ray=ray).run(rows(tape), job(tape, lanes=2))


def test_a_users_strategy_runs_there_and_another_version_of_it_does_not(tape: Tape, tmp_path: Path) -> None:
    work = replace(job(tape, lanes=4), strategy=registry.resolve(written(tmp_path, GRID)))
    spread = Cluster(ray=FakeRay()).run(rows(tape), work)
    built_in = Threads(1).run(rows(tape), job(tape, lanes=4))
    assert differences(result_bytes(spread), result_bytes(built_in)) == []

    def edited(task: Callable[[], Any]) -> Any:
        written(tmp_path, GRID.replace("/ 2.0", "/ 2.5"))
        return task()

    with pytest.raises(UsageError, match=r"not the same as this program.*: strategy .*mine.py:my_grid"):
        Cluster(ray=FakeRay(around=edited)).run(rows(tape), work)


def moved_away(path: Path) -> Callable[[Callable[[], Any]], Any]:
    """Run a task while the tape is somewhere else: a machine that does not share the file system."""

    def run(task: Callable[[], Any]) -> Any:
        path.rename(path.with_name("away"))
        try:
            return task()
        finally:
            path.with_name("away").rename(path)

    return run


def test_what_travels_gives_the_bytes_of_one_machine(tape: Tape) -> None:
    work = job(tape, lanes=LANES, entry_ns=SECOND // 20)
    alone = Threads(1).run(rows(tape), work)
    ways = {
        "Ray: cohorts: 2, machines: 1, tape read by path": (FakeRay(), rows(tape)),
        "Ray: cohorts: 2, machines: 1, tape sent through Ray's object store": (
            FakeRay(around=moved_away(tape.path)),
            rows(tape),
        ),
        "Ray: cohorts: 1, machines: 1, tape sent through Ray's object store": (FakeRay(cores=1), Rows(tape.data)),
    }
    told: list[tuple[int, ...]] = []
    for ran, (ray, where) in ways.items():
        spread = Cluster(ray=ray).run(where, work, lambda *done: told.append(done))
        assert spread.ran == ran
        assert ray.stored == int("store" in ran), "the rows are sent once, and only where they are needed"
        assert differences(result_bytes(alone), result_bytes(spread)) == [], ran
        assert told[-1] == (len(tape), len(tape))


def test_rows_stay_in_the_store_for_the_next_sweep(tape: Tape) -> None:
    ray = FakeRay()
    cluster = Cluster(ray=ray)
    part = packet_ends(tape.data)[50]
    for stop in (len(tape), len(tape), part, part):
        cluster.run(Rows(tape.data.rows(0, stop)), job(tape, lanes=2))
    assert ray.stored == 2


def test_a_mistake_on_a_worker_is_the_mistake_here_and_ends_the_other_tasks(tape: Tape) -> None:
    backwards = tape.data._replace(ts=tape.data.ts[::-1].copy())
    ray = FakeRay()
    with pytest.raises(DataError, match="venue time may not fall"):
        Cluster(ray=ray).run(Rows(backwards), job(tape, lanes=LANES))
    assert ray.cancelled == [0]

    def broken(task: Callable[[], Any]) -> Any:
        raise ValueError("no memory left")

    with pytest.raises(TidewrightError, match="a cohort failed on a Ray worker: ValueError: no memory left"):
        Cluster(ray=FakeRay(around=broken)).run(rows(tape), job(tape, lanes=2))


# -- a local Ray of two workers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield Cluster()
    ray.shutdown()


@needs_ray
@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_machine(tape: Tape, cluster: Cluster) -> None:
    work = job(tape, lanes=LANES, entry_ns=SECOND // 20)
    alone = Threads(1).run(rows(tape), work)
    for where, tape_came in ((rows(tape), "read by path"), (Rows(tape.data), "sent through Ray's object store")):
        spread = cluster.run(where, work)
        assert spread.ran == f"Ray: cohorts: 2, machines: 1, tape {tape_came}"
        assert differences(result_bytes(alone), result_bytes(spread)) == []


@needs_ray
@pytest.mark.slow
def test_another_tape_at_the_path_is_not_taken_for_ours(tmp_path: Path, tape: Tape, cluster: Cluster) -> None:
    ours = synthesize(tmp_path / "tape", hours=0.1, seed=7)
    work = job(ours, lanes=LANES)
    alone = Threads(1).run(Rows(ours.data), work)
    ours.path.rename(tmp_path / "away")
    synthesize(tmp_path / "tape", hours=0.1, seed=8)
    spread = cluster.run(rows(ours), work)
    assert "store" in spread.ran
    assert differences(result_bytes(alone), result_bytes(spread)) == []


@needs_ray
@pytest.mark.slow
def test_a_mistake_in_the_tape_comes_back_as_one_line(tape: Tape, cluster: Cluster) -> None:
    backwards = tape.data._replace(ts=tape.data.ts[::-1].copy())
    with pytest.raises(DataError, match="venue time may not fall"):
        cluster.run(Rows(backwards), job(tape, lanes=LANES))


def at_work() -> list[int]:
    """Processes of Ray that are replaying a cohort now."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes().startswith(b"ray::replay_cohort"):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found


class Killer(threading.Thread):
    """Kills one worker in the middle of its work."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: int | None = None
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            before = at_work()
            if before and not self.over.wait(0.5):
                for pid in set(before) & set(at_work()):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = pid
                    return


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the worker in /proc")
def test_a_worker_killed_in_the_middle_costs_time_and_nothing_else(tape: Tape, cluster: Cluster) -> None:
    work = job(tape, lanes=80 * LANES, entry_ns=SECOND // 20)
    alone = Threads(1).run(rows(tape), work)
    cluster.run(rows(tape), job(tape, lanes=LANES))  # the workers have loaded everything
    killer = Killer()
    killer.start()
    began = time.monotonic()
    try:
        spread = cluster.run(rows(tape), work)
    finally:
        killer.over.set()
        killer.join()
    assert killer.killed is not None, f"the sweep of {time.monotonic() - began:.1f} s was over before a worker was met"
    assert not Path(f"/proc/{killer.killed}/cmdline").exists() or killer.killed not in at_work()
    assert differences(result_bytes(alone), result_bytes(spread)) == []
