"""The paper exchange as a process beside a session: started, found again, ended."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tidewright.coordination.alive import is_alive
from tidewright.market.errors import NotRunningError, TidewrightError, TimedOutError

_READY_S: Final = 600.0  # the first start compiles the engine


class PaperProcess:
    """A paper exchange started by us.

    Parameters
    ----------
    arguments
        Of ``tidewright exchange``.
    log
        Where its stderr goes.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, "-m", "tidewright.cli.main", "exchange", *arguments]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, Any]:
        """Start it and return its ready line.

        Raises
        ------
        TidewrightError
            If it ends before it is ready; the message carries its last words.
        TimedOutError
            If it is not ready in time.
        """
        log = self._log.open("ab")
        try:
            # A session of its own: Ctrl-C is for us, so that the exchange is still there to cancel orders at.
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
            )
        finally:
            log.close()
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _READY_S)
        except TimeoutError:
            await self.stop()
            raise TimedOutError(f"the paper exchange was not ready after {_READY_S:g} s") from None
        if not line:
            await self._process.wait()
            words = self._log.read_text(errors="replace").strip().splitlines()
            raise TidewrightError(f"the paper exchange ended: {words[-1] if words else 'it said nothing'}")
        ready: dict[str, Any] = orjson.loads(line)
        return ready

    @property
    def pid(self) -> int:
        """Process id."""
        if self._process is None:
            raise NotRunningError("the paper exchange has not been started")
        return self._process.pid

    async def stop(self) -> None:
        """End it; one that does not listen is killed."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def running(state: Path) -> dict[str, Any] | None:
    """The ready line of an exchange that still runs, by its state file; ``None`` if there is none."""
    try:
        ready = orjson.loads(state.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    pid = ready.get("pid") if isinstance(ready, dict) else None
    return ready if isinstance(pid, int) and is_alive(pid) else None


async def stop_pid(pid: int) -> None:
    """End an exchange that an earlier session started."""
    os.kill(pid, signal.SIGTERM)
    for _ in range(50):
        if not is_alive(pid):
            return
        await asyncio.sleep(0.1)
