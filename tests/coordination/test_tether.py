"""A child that is stopped for a moment: it goes on when it is told to, when it is ended, and when its parent dies."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.coordination.test_bus import NOW, RULES
from tidewright.coordination.admission import Admission
from tidewright.coordination.journal import Journal
from tidewright.coordination.process import ProcessBus
from tidewright.coordination.tether import Rein, tether
from tidewright.market.clock import ManualClock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nobody is stopped elsewhere")

READS = "import sys; {}print('ready', flush=True); sys.stdin.read()"
TETHERED = [sys.executable, "-c", READS.format("from tidewright.coordination.tether import tether; tether('test'); ")]
LOOSE = [sys.executable, "-c", READS.format("")]
PARENT = """
import subprocess, sys
from tidewright.coordination.tether import Rein
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
Rein(child.pid).hold()
print(child.pid, flush=True)
sys.stdin.read()
"""


def state_of(pid: int) -> str:
    """``T`` stopped, ``Z`` ended and not waited for, empty where there is no such process, else another letter."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def started(command: list[str]) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_a_tethered_child_stands_still_and_goes_on_however_often_it_is_told() -> None:
    with started(TETHERED) as child:
        rein = Rein(child.pid)
        rein.release()  # nothing was held
        rein.hold()
        rein.hold()
        wait_until(lambda: state_of(child.pid) == "T")
        rein.release()
        wait_until(lambda: state_of(child.pid) != "T")
        rein.hold()
        wait_until(lambda: state_of(child.pid) == "T")
        child.kill()
        child.wait()
        rein.hold()  # it has ended: no error
        rein.release()


def test_a_child_that_would_stay_stopped_after_its_parent_is_never_stopped() -> None:
    with started(LOOSE) as child:
        Rein(child.pid).hold()
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(20) == 0


def test_a_stopped_child_ends_when_its_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *TETHERED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: state_of(pid) == "T")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: state_of(pid) in ("", "Z"))


def test_children_of_the_child_stand_still_with_it() -> None:
    script = (
        "import subprocess, sys; from tidewright.coordination.tether import tether; tether('test'); "
        "inner = subprocess.Popen(['sleep', '100']); print(inner.pid, flush=True); sys.stdin.read(); inner.kill()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        inner, rein = int(child.stdout.readline()), Rein(child.pid)
        rein.hold()
        wait_until(lambda: state_of(child.pid) == state_of(inner) == "T")
        rein.release()
        wait_until(lambda: "T" not in (state_of(child.pid), state_of(inner)))


def test_children_of_a_stopped_child_go_on_when_its_parent_was_killed() -> None:
    script = (
        "import subprocess, sys; from tidewright.coordination.tether import tether; tether('test'); "
        "inner = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE); "
        "print(inner.pid, flush=True); sys.stdin.read(); inner.stdin.close(); inner.wait()"
    )
    code = PARENT.replace("child.stdout.readline()", "inner = int(child.stdout.readline())")
    code = code.replace("print(child.pid,", "print(child.pid, inner,")
    command = [sys.executable, "-c", code, sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        outer, inner = (int(word) for word in parent.stdout.readline().split())
        wait_until(lambda: state_of(outer) == state_of(inner) == "T")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: state_of(outer) in ("", "Z") and state_of(inner) in ("", "Z"))


def test_closing_a_bus_lets_its_child_go_on_so_that_it_ends_in_order(tmp_path: Path) -> None:
    async def run() -> int:
        with Journal(tmp_path / "j", fsync=False) as journal:
            bus = ProcessBus(TETHERED, journal, Admission(RULES), ManualClock(NOW))
            bus.hold()  # there is nobody yet
            await bus.start()
            assert (await bus.receive(20.0)).refused  # "ready" is no message
            bus.hold()
            wait_until(lambda: state_of(bus.pid) == "T")
            status = await bus.close(grace_s=20.0)
            bus.hold()
            bus.release()
            return status

    assert asyncio.run(run()) == 0


def test_a_bus_whose_child_was_killed_while_it_stood_still_can_be_held_released_and_closed(tmp_path: Path) -> None:
    async def run() -> int:
        with Journal(tmp_path / "j", fsync=False) as journal:
            bus = ProcessBus(TETHERED, journal, Admission(RULES), ManualClock(NOW))
            await bus.start()
            await bus.receive(20.0)
            bus.hold()
            os.kill(bus.pid, signal.SIGKILL)
            bus.release()
            bus.hold()
            return await bus.close(grace_s=20.0)

    assert asyncio.run(run()) == -signal.SIGKILL


def test_elsewhere_nothing_is_tethered() -> None:
    assert not tether("test", platform="win32")
