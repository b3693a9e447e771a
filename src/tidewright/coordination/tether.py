"""A child that may be stopped for a moment and let go on, and that goes on by itself when its parent dies (Linux).

A stopped process whose parent is killed would stay stopped for ever: it never reads the end of its input. So the child
first asks the kernel for ``SIGCONT`` at its parent's death, then bears a name that says so, and only the group of one
that bears it is ever stopped. A child that goes on by itself lets its own children go on.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG, PR_SET_NAME of <linux/prctl.h>
_SET_NAME: Final = 15
_MARK: Final = "tw-"


def tether(name: str, platform: str = sys.platform) -> bool:
    """Let this process go on when its parent dies, and name it ``tw-NAME`` in lists of processes.

    Parameters
    ----------
    name
        At most 12 characters of ASCII.
    platform
        As :data:`sys.platform` names the system.

    Returns
    -------
    bool
        Whether it is so; not where the system has no such thing.
    """
    if platform != "linux":
        return False
    parent = os.getppid()

    def go_on(number: int, frame: FrameType | None) -> None:
        """The kernel lets this process alone go on: the children that were stopped with it shall too."""
        if os.getppid() != parent:
            signal.signal(signal.SIGCONT, signal.SIG_DFL)
            os.killpg(0, signal.SIGCONT)

    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGCONT, go_on)
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if prctl(_SET_DEATH_SIGNAL, signal.SIGCONT, 0, 0, 0) != 0:
        return False
    text = ctypes.create_string_buffer(f"{_MARK}{name}".encode("ascii"))
    return bool(prctl(_SET_NAME, ctypes.addressof(text), 0, 0, 0) == 0)


class Rein:
    """Stops a tethered child and its own children, all in the process group that it leads, and lets them go on.

    Parameters
    ----------
    pid
        Of the child, a leader of its group (``start_new_session``). One that has ended is no error; whoever has waited
        for it uses the rein no more, for its number may be another's by then.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tethered = False
        self._held = False

    def hold(self) -> None:
        """Stop it, if it is tethered by now."""
        self._tethered = self._tethered or _is_tethered(self._pid)
        if self._tethered:
            self._held = True
            self._signal("SIGSTOP")

    def release(self) -> None:
        """Let it go on."""
        if self._held:
            self._held = False
            self._signal("SIGCONT")

    def _signal(self, name: str) -> None:
        try:
            os.killpg(self._pid, getattr(signal, name))
        except ProcessLookupError:
            pass  # it has ended


def _is_tethered(pid: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(_MARK)
    except OSError:
        return False
