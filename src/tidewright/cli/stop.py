"""``tidewright stop``: end a running session in good order, or at once in an emergency."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from tidewright import bootstrap
from tidewright.cli.status import Folder, Json, show
from tidewright.cli.trade import KEY_VARIABLE, SECRET_VARIABLE
from tidewright.cli.waiting import waiting
from tidewright.coordination.alive import is_alive
from tidewright.market.errors import ConfigError, NotRunningError, TidewrightError, TimedOutError, UsageError
from tidewright.store.database import Database
from tidewright.trading import commands, state_file
from tidewright.trading.lease import retire
from tidewright.trading.opening import unfinished

_ANSWER_S: Final = 10.0


def stop(
    folder: Folder = None,
    emergency: Annotated[
        bool,
        typer.Option("--emergency", help="At once: cancel every open order, also if the session hangs or is dead."),
    ] = False,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="With --emergency: trade the position back to the start, at the market.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Wall seconds to wait for its end.")] = 60.0,
    as_json: Json = False,
) -> None:
    """End a running session: open orders are cancelled and confirmed, then it reports.

    With --emergency a session that does not answer is killed and its orders are cancelled at the venue directly.
    """
    if flatten and not emergency:
        raise UsageError("--flatten belongs to --emergency")
    if not 0 < timeout < 1e6:
        raise UsageError(f"the time-out must be > 0 s, was {timeout}")
    path = state_file.find(folder)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with waiting("the session to end", console):
        said = emergency_stop(path, timeout, flatten=flatten) if emergency else ""
        state = state_file.read(path) if emergency else state_file.stop(path, timeout)
    show(path, {**state, "running": False, **({"emergency": said} if said else {})}, as_json)
    if said:
        console.print(said)


def emergency_stop(path: Path, timeout_s: float, *, flatten: bool, reason: str = "emergency stop") -> str:
    """Cancel every open order of a session and end it, whatever state it is in; returns what was done.

    Parameters
    ----------
    path
        Its state file.
    timeout_s
        Wall seconds it has to end by itself; after that it is killed and the venue is asked directly.

    Raises
    ------
    NotRunningError
        If it is over and left nothing open.
    TidewrightError
        If orders could not be confirmed as cancelled.
    """
    state = state_file.read(path)
    if not state_file.is_running(state):
        if state.get("stage") == "ended":
            raise NotRunningError(f"the session at {path.parent} has ended; nothing of it is open")
        return _directly(path, state, "the session was dead", flatten)
    pid, deadline = int(state["pid"]), time.monotonic() + timeout_s
    try:
        commands.tell(path, "emergency_stop", min(_ANSWER_S, timeout_s), flatten=flatten, reason=reason)
        while is_alive(pid):
            if time.monotonic() > deadline:
                raise TimedOutError("it did not end in time")
            time.sleep(0.05)
    except TidewrightError as error:  # no answer, no end, or a refusal: an emergency does not argue
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)  # orders at stake and nobody listens
        return _directly(path, state, str(error), flatten)
    after = state_file.read(path)
    if after.get("stage") != "ended":
        return _directly(path, after, "the session broke off while it ended", flatten)
    return str(after.get("ended_by", ""))


def _directly(path: Path, state: dict[str, Any], why: str, flatten: bool) -> str:
    address = _address(path.parent, state)
    database = Database(path.parent / bootstrap.DATABASE, readonly=True)
    try:
        row = unfinished(database)
    finally:
        database.close()
    _retire(path.parent)
    if row is None:
        return f"{why}; no unfinished session is in {path.parent}"
    count, left = asyncio.run(bootstrap.cancel_at_venue(address, row["session"]))
    if left:
        raise TidewrightError(f"{why}; not confirmed as cancelled at the venue: {', '.join(left)}")
    unsold = "; the position was not flattened: start the session again for that" if flatten else ""
    return f"{why}; {count} open orders were cancelled at the venue directly{unsold}"


def _retire(folder: Path) -> None:
    """A person has ended it: no standby shall go on with it."""
    database = Database(folder / bootstrap.DATABASE)
    try:
        retire(database)
    finally:
        database.close()


def _address(folder: Path, state: dict[str, Any]) -> bootstrap.VenueAddress:
    public = state.get("venue") or {}
    ready = state.get("exchange_state")
    if ready and Path(ready).is_file():
        return bootstrap.VenueAddress.from_ready(bootstrap.read_ready(Path(ready)), public.get("symbol"))
    key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
    if not key or not secret:
        raise ConfigError(
            f"the session at {folder} cannot cancel its own orders, and without {KEY_VARIABLE} and {SECRET_VARIABLE} "
            "nobody else can: cancel them at the venue"
        )
    return bootstrap.VenueAddress(**{**public, "api_key": key, "api_secret": secret})
