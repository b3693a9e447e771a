"""A second process that watches over a session's first and takes its place when it has gone silent.

It hears the same beat of decision times and reads the lease at each. After three of them without a sign of life it
claims a greater fencing token; from then on nothing that the first means to do is written, and so nothing is sent. It
begins to trade only when the first has given up the session's lock: by dying, by noticing that it is fenced, or, where
it hangs, by being killed.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from tidewright.coordination.alive import is_alive
from tidewright.coordination.patterns.master_slave import Candidate
from tidewright.market.errors import TidewrightError, TimedOutError
from tidewright.market.tasks import end
from tidewright.store.database import Database
from tidewright.trading.cycles import ControlCycles, Cycles, WallCycles
from tidewright.trading.lease import SUCCESSION, Lease, LeaseRow, Lock
from tidewright.trading.opening import grid_ns, unfinished

DATABASE: Final = "session.db"
GRACE_S: Final = 5.0
"""Wall seconds that a process which is no longer master has to notice, before it is killed."""

ENDING_S: Final = 60.0
"""Wall seconds that a living process may take to end the session in order."""

_LOOK_S: Final = 0.05
_GONE_S: Final = 10.0


class Standby:
    """Watches one session.

    Parameters
    ----------
    folder
        Of the session, shared with the first process: on one machine.
    rank
        1 takes over first, 2 a cycle later, up to 7.
    tell
        Says to people what happens.

    Attributes
    ----------
    stop
        Set it to leave without taking over.
    """

    def __init__(
        self, folder: Path, database: Database, rank: int, cycle_ns: int, cycles: Cycles, tell: Callable[[str], None]
    ) -> None:
        self.lock = Lock(folder)
        self.lease = Lease(database, SUCCESSION[rank])
        self._database, self._cycle_ns, self._cycles, self._tell = database, cycle_ns, cycles, tell
        self._candidate = Candidate(self.lease.name, SUCCESSION)
        self._state = folder / f"{self.lease.name}.json"
        self._beat = -1
        self._ending_since = 0.0  # wall seconds, 0: it is not ending
        self.stop = asyncio.Event()

    async def watch(self) -> bool:
        """Wait for the first process's silence, and become master; ``False``: there is nothing to take over.

        The lock is held then, and whoever goes on with the session gives it up.

        Raises
        ------
        TidewrightError
            If the first process can neither be heard nor ended.
        """
        try:
            if not await self._begun():
                return False
            self._write("watches")
            await self._cycles.register(self._cycle_ns, grid_ns(unfinished(self._database)))
            try:
                silent = await self._silence()
            finally:
                await self._cycles.close()
            if silent is None:
                return False
            await self._alone(silent)
            self._write("is master")
            return True
        finally:
            if not self.lease.token:
                self._state.unlink(missing_ok=True)

    async def _begun(self) -> bool:
        """Wait until there is a session to watch over."""
        while not self.stop.is_set():
            row = self.lease.read()
            if row is not None and row.holder and unfinished(self._database) is not None:
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def _silence(self) -> LeaseRow | None:
        """The lease of a master that is silent, claimed; ``None`` if it ended in order or we are told to stop."""
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            while True:
                coming = asyncio.ensure_future(self._cycles.next())
                await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    await end(coming)
                    return None
                beat = coming.result()
                row = self.lease.read()
                if beat.done or row is None or not row.holder or unfinished(self._database) is None:
                    return None
                if self._is_silent(row) and self._claim(row):
                    return row
                await self._cycles.release(beat)
        finally:
            stopping.cancel()

    def _is_silent(self, row: LeaseRow) -> bool:
        now = time.monotonic()
        self._ending_since = (self._ending_since or now) if row.ending else 0.0
        ends = row.ending and now - self._ending_since < ENDING_S and is_alive(row.pid)
        if row.beat != self._beat or row.token > self._candidate.token or ends:
            self._beat = row.beat
            self._candidate.hear(row.holder, row.token)
        return self._candidate.cycle()

    def _claim(self, row: LeaseRow) -> bool:
        if self.lease.claim(self._candidate.token):
            self._tell(
                f"{row.holder} (process {row.pid}) is silent: {self.lease.name} is master, token {self.lease.token}"
            )
            return True
        now = self.lease.read()
        self._candidate.refused(now.token if now is not None else 0)
        return False

    async def _alone(self, before: LeaseRow) -> None:
        """Wait until the process before has let go of the session; end it where it hangs."""
        deadline = time.monotonic() + GRACE_S
        while not self.lock.take():
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_LOOK_S)
        else:
            return
        pid = self.lock.holder
        if pid != before.pid:
            raise TidewrightError(
                f"the session's lock is held by process {pid}, its master was {before.pid}: look there"
            )
        self._tell(f"process {pid} does not notice that it is fenced: it is killed")
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            raise TidewrightError(
                f"process {pid} hangs and belongs to another user: end it, then start again; it is fenced meanwhile"
            ) from None
        except ProcessLookupError:
            pass
        deadline = time.monotonic() + _GONE_S
        while not self.lock.take():
            if time.monotonic() > deadline:
                raise TimedOutError(f"process {pid} still holds the session's lock {_GONE_S:g} s after it was killed")
            await asyncio.sleep(_LOOK_S)

    def _write(self, does: str) -> None:
        temporary = self._state.with_suffix(".new")
        temporary.write_bytes(orjson.dumps({"name": self.lease.name, "pid": os.getpid(), "does": does}))
        temporary.replace(self._state)


async def stand_by(
    folder: Path, rank: int, cycle_ns: int, symbol: str, control: str, tell: Callable[[str], None]
) -> Standby | None:
    """Watch until this process is master; ``None``: the session ended in order, or a signal ended the watch.

    Parameters
    ----------
    control
        URL of a paper exchange's control channel; empty: the beat is wall time.

    Raises
    ------
    TidewrightError
        If it can neither watch nor take over.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        while not (folder / DATABASE).is_file():
            if stop.is_set():
                return None
            await asyncio.sleep(_LOOK_S)
        database = Database(folder / DATABASE)
        try:
            name = SUCCESSION[rank]
            cycles: Cycles = ControlCycles(control, symbol, name) if control else WallCycles()
            standby = Standby(folder, database, rank, cycle_ns, cycles, tell)
            standby.stop = stop
            return standby if await standby.watch() else None
        finally:
            database.close()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def standbys(folder: Path) -> dict[str, str]:
    """Standbys of a session and whether each lives, for screens."""
    found = {}
    for name in SUCCESSION[1:]:
        path = folder / f"{name}.json"
        if path.is_file():
            told = orjson.loads(path.read_bytes())
            word = str(told["does"]) if is_alive(int(told["pid"])) else "is over"
            found[name] = f"process {told['pid']} {word}"
    return found
