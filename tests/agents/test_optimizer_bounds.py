"""The optimizer's process keeps to its share of the machine."""

import subprocess
import sys

import pytest

from tidewright.agents.optimizer.bounds import MEBIBYTE, Bounds, Pacer
from tidewright.market.errors import UsageError


@pytest.mark.parametrize(
    "wrong", [{"nice": 20}, {"nice": -1}, {"cpu_share": 0.0}, {"cpu_share": 1.1}, {"memory_mb": 100}, {"threads": 0}]
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Bounds(**wrong)  # type: ignore[arg-type]


def test_the_pacer_rests_until_its_share_is_kept() -> None:
    clock = {"cpu": 5.0, "wall": 100.0}
    rested: list[float] = []
    pacer = Pacer(0.25, lambda: clock["cpu"], lambda: clock["wall"], rested.append)
    clock["wall"] = 900.0
    pacer.begin()  # the idle time before is not saved up
    clock["cpu"] += 1.0
    clock["wall"] += 1.5
    pacer.pause()
    assert rested == [pytest.approx(2.5)]
    clock["wall"] += 2.5
    pacer.pause()
    assert len(rested) == 1
    whole = Pacer(1.0, lambda: clock["cpu"], lambda: clock["wall"], rested.append)
    clock["cpu"] += 10.0
    whole.pause()
    assert len(rested) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such bounds there")
def test_a_process_is_bound_and_a_search_too_large_fails_alone() -> None:
    script = f"""
import os, resource
import numpy as np
from tidewright.agents.optimizer.bounds import Bounds
before = os.nice(0)
Bounds(nice=3, memory_mb=700, idle=True).apply()
assert os.sched_getscheduler(0) == os.SCHED_IDLE if hasattr(os, "SCHED_IDLE") else True
assert os.nice(0) == min(19, before + 3), os.nice(0)
assert resource.getrlimit(resource.RLIMIT_DATA)[0] == 700 * {MEBIBYTE}
try:
    np.ones(200_000_000)
except MemoryError:
    print("refused", np.ones(1_000_000).sum())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "refused 1000000.0", done.stderr


def test_the_session_passes_them_on() -> None:
    words = Bounds(nice=7, cpu_share=0.5, memory_mb=1024, threads=2).arguments()
    assert words == ["--nice", "7", "--cpu-share", "0.5", "--memory-mb", "1024", "--threads", "2"]
    assert Bounds(idle=True).arguments()[-1] == "--idle"
