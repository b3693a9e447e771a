"""The small JSON file a running session keeps beside its database, for ``status``, ``stop`` and the next start."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

import orjson

from tidewright.coordination.alive import is_alive
from tidewright.market.clock import iso
from tidewright.market.errors import DataError, NotFoundError, NotRunningError, TimedOutError
from tidewright.market.instrument import Instrument, units_text
from tidewright.trading.now import AgentNow, Now

NAME: Final = "session.json"
_EVERY_S: Final = 0.5


class StateFile:
    """Observer that writes the newest figures, at most twice a second of wall time, atomically and without secrets.

    Parameters
    ----------
    path
        The file.
    about
        Facts that do not change: session, mode, venue's URLs, database.
    instrument
        Asked when there is something to write; ``None`` before it is known.
    """

    def __init__(self, path: Path, about: dict[str, Any], wall_s: Any = time.monotonic) -> None:
        self._path, self._about, self._wall_s = path, about, wall_s
        self._written = float("-inf")
        self.instrument: Instrument | None = None

    def __call__(self, now: Now) -> None:
        """Write, unless it was just written; the end is always written."""
        moment = self._wall_s()
        if moment - self._written < _EVERY_S and now.stage != "ended":
            return
        self._written = moment
        write(self._path, {**self._about, "pid": os.getpid(), **figures(now, self.instrument)})


def figures(now: Now, instrument: Instrument | None) -> dict[str, Any]:
    """A session's newest figures as plain JSON values, money as decimal text."""
    lots, mid = str(now.position_lots), ""
    if instrument is not None:
        sign = "-" if now.position_lots < 0 else ""
        lots = sign + instrument.qty_text(abs(now.position_lots))
        mid = f"{float(instrument.tick) * now.mid2 / 2:.10g}" if now.mid2 else ""
    return {
        "stage": now.stage,
        "market_time": iso(now.market_ns) if now.market_ns else "",
        "cycles": now.cycle,
        "mid": mid,
        "position": lots,
        "equity": units_text(now.equity_units),
        "equity_start": units_text(now.start_equity_units),
        "realised": units_text(now.realised_units),
        "unrealised": units_text(now.unrealised_units),
        "fees": units_text(now.fees_units),
        "traded": units_text(now.traded_units),
        "orders": now.orders,
        "fills": now.fills,
        "cancels": now.cancels,
        "rejected": now.rejected,
        "open_orders": len(now.quotes),
        "proposals": now.proposals,
        "accepted": now.accepted,
        "refused": now.refused,
        "errors": now.errors,
        "params": now.params,
        "advice": now.advice,
        "rollout": now.rollout_state,
        "seat": now.seat,
        "why": now.why,
        "risk": now.risk().to_json(),
        "paused": now.paused,
        "ended_by": now.ended_by,
        "coordination": now.coordination,
        "shares": now.shares,
        "agents": [agent_figures(agent, instrument) for agent in now.agents],
    }


def agent_figures(agent: AgentNow, instrument: Instrument | None) -> dict[str, Any]:
    """One of several strategies on the account as plain JSON values, money as decimal text."""
    lots = str(agent.position_lots)
    if instrument is not None:
        lots = f"{'-' if agent.position_lots < 0 else ''}{instrument.qty_text(abs(agent.position_lots))}"
    return {
        "name": agent.name,
        "strategy": agent.strategy,
        "share": agent.share,
        "capital": units_text(agent.capital_units),
        "position": lots,
        "gain": units_text(agent.gain_units),
        "fees": units_text(agent.fees_units),
        "trades": agent.trades,
        "fault": agent.fault,
        "params": agent.params,
    }


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a state file atomically."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    temporary.replace(path)


def read(path: Path) -> dict[str, Any]:
    """What a session last wrote.

    Raises
    ------
    NotFoundError
        If there is no state file.
    DataError
        If it is damaged.
    """
    if not path.is_file():
        raise NotFoundError(f"no session at {path.parent}")
    try:
        state = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if not isinstance(state, dict):
        raise DataError(f"{path} is not a session's state")
    return state


def find(folder: Path | None) -> Path:
    """State file of a session folder; without one, the newest under ``./runs``.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    if folder is not None:
        return folder if folder.is_file() else folder / NAME
    found = [file for file in Path("runs").glob(f"*/{NAME}") if file.is_file()]
    if not found:
        raise NotFoundError("no session under ./runs; name a session's folder")
    return max(found, key=lambda file: file.stat().st_mtime_ns)


def is_running(state: dict[str, Any]) -> bool:
    """Whether the process that wrote a state is still there."""
    pid = state.get("pid")
    return isinstance(pid, int) and state.get("stage") != "ended" and is_alive(pid)


def stop(path: Path, timeout_s: float) -> dict[str, Any]:
    """Ask a session to end in good order and wait until it has.

    Raises
    ------
    NotRunningError
        If it is not running.
    TimedOutError
        If it has not ended in time.
    """
    state = read(path)
    if not is_running(state):
        raise NotRunningError(f"the session at {path.parent} is not running")
    pid = int(state["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            raise TimedOutError(f"the session (process {pid}) has not ended after {timeout_s:g} s")
        time.sleep(0.1)
    return read(path)
