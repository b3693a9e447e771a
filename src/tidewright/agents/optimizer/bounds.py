"""A share of the machine and no more: the optimizer runs beside a session whose cycles must not wait for it."""

import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tidewright.market.errors import UsageError

MEBIBYTE: Final = 1 << 20
LEAST_MEMORY_MB: Final = 512  # under this the compiled engine does not load


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the optimizer's process may take.

    Attributes
    ----------
    nice
        Added to the process's niceness, 0 to 19: the session's work goes first.
    cpu_share
        Share of one core, over 0 to 1: after each batch of candidates it rests until its processor time is no more than
        that. It makes answers later, never different.
    memory_mb
        Most private memory, MiB (``RLIMIT_DATA``: what the process allocates; tapes, which are files mapped into
        memory, do not count); 0: no bound. A search that needs more ends with an error message, the process goes on.
    threads
        Threads that judge candidates.
    idle
        Run only while nothing else wants the core (``SCHED_IDLE``, and the disk's idle class): what wakes up has it at
        once, where niceness lets the optimizer finish its slice first. Beside programs that never rest it gets next to
        nothing. Linux alone knows it; elsewhere niceness has to do.
    """

    nice: int = 10
    cpu_share: float = 1.0
    memory_mb: int = 4096
    threads: int = 1
    idle: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.nice <= 19:
            raise UsageError(f"nice must be 0 to 19, was {self.nice}")
        if not 0.0 < self.cpu_share <= 1.0:
            raise UsageError(f"the share of a core must be over 0 and at most 1, was {self.cpu_share}")
        if self.memory_mb != 0 and self.memory_mb < LEAST_MEMORY_MB:
            raise UsageError(f"the optimizer needs at least {LEAST_MEMORY_MB} MiB, was given {self.memory_mb}")
        if self.threads < 1:
            raise UsageError(f"threads must be >= 1, was {self.threads}")

    def apply(self) -> None:
        """Bind this process, for good. Where the system has no such bound (Windows), it is left out."""
        if hasattr(os, "nice") and self.nice > 0:
            os.nice(self.nice)
        if self.idle and hasattr(os, "SCHED_IDLE"):
            with suppress(OSError):  # a container may forbid it
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        if self.memory_mb and sys.platform != "win32":
            import resource

            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = self.memory_mb * MEBIBYTE
            bound = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_DATA, (bound, most))

    def arguments(self) -> list[str]:
        """The same as options of ``python -m tidewright.agents.optimizer``."""
        values = {
            "--nice": self.nice,
            "--cpu-share": self.cpu_share,
            "--memory-mb": self.memory_mb,
            "--threads": self.threads,
        }
        words = [part for name, value in values.items() for part in (name, str(value))]
        return [*words, "--idle"] if self.idle else words


class Pacer:
    """Rests after each piece of work so that processor time stays under a share of the time that passes.

    Parameters
    ----------
    share
        Of one core, over 0 to 1.
    worked, now, rest
        Processor seconds of the process, seconds that passed, and how to wait; replaced by tests.
    """

    def __init__(
        self,
        share: float,
        worked: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share, self._worked, self._now, self._rest = share, worked, now, rest
        self.begin()

    def begin(self) -> None:
        """A new piece of work begins: idle time before it is not saved up."""
        self._from = self._worked(), self._now()

    def pause(self) -> None:
        """Rest if more was worked than the share allows."""
        if self._share >= 1.0:
            return
        worked, passed = self._worked() - self._from[0], self._now() - self._from[1]
        if (due := worked / self._share - passed) > 0:
            self._rest(due)


def release() -> None:
    """Give memory of a failed search back before the answer is written."""
    gc.collect()
