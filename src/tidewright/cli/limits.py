"""``tidewright limits``: what the limits of a session remember, and releasing a halt."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from tidewright.coordination.messages import encode, message
from tidewright.interface.session_report import find_database
from tidewright.market.clock import iso
from tidewright.market.errors import NotFoundError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.risk import gate
from tidewright.risk.limit_state import LimitState
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading import state_file


def limits(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A session's folder; the newest under ./runs if left out.", show_default=False),
    ] = None,
    release: Annotated[
        str | None, typer.Option("--release", help="End the halt of this limit: daily_loss or drawdown.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; written into the session's messages.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON; all else goes to stderr.")] = False,
) -> None:
    """Show what limits are measured against, and release a halt of a session that is not running.

    A release begins anew: drawdown is then measured from the newest equity, the daily loss from it for this day.
    """
    file = find_database(folder)
    database = Database(file, readonly=release is None)
    try:
        answer = _answer(database, file, release, reason)
    finally:
        database.close()
    console = Console(stderr=True, highlight=False)
    table = Table(box=None, show_header=False, title=str(file.parent), title_justify="left")
    for name, value in answer.items():
        table.add_row(name.replace("_", " "), ", ".join(value) or "none" if isinstance(value, list) else str(value))
    console.print(table)
    if as_json:
        print(orjson.dumps(answer).decode())


def _answer(database: Database, file: Path, release: str | None, reason: str) -> dict[str, Any]:
    sessions = database.sessions()
    if not sessions:
        raise NotFoundError(f"{file} holds no session")
    head = sessions[-1]
    account = f"{head['venue']}:{Instrument.from_json(orjson.loads(head['instrument'])).symbol}"
    row = database.limit_state(account)
    if row is None:
        raise NotFoundError(f"the limits of {account} remember nothing yet: the session has not decided")
    state = LimitState.from_json(orjson.loads(row["state"]))
    equity = database.rows(schema.equity, head["session"])
    newest = equity[-1]["equity_units"] / 1e8 if equity else state.day_equity
    if release is not None:
        _release(database, file, head["session"], account, state, int(row["ts"]), release, reason, newest)
    return {
        "account": account,
        "at": iso(int(row["ts"])),
        "equity": newest,
        "day_equity": state.day_equity,
        "peak_equity": state.peak_equity,
        "day_loss": state.day_loss(newest),
        "drawdown": state.fall(newest),
        "halted_by": gate.reasons(state.halts),
    }


def _release(
    database: Database,
    file: Path,
    session: str,
    account: str,
    state: LimitState,
    ts: int,
    name: str,
    reason: str,
    equity: float,
) -> None:
    beside = file.with_name(state_file.NAME)
    if beside.is_file() and state_file.is_running(state_file.read(beside)):
        raise UsageError("the session is running and would write its own state: stop it, then release")
    if not reason:
        raise UsageError("a release needs --reason: it is written into the session's messages")
    state.release(name, equity)
    data = {"event": "lifted", "rule": name, "action": "release", "cause": reason}
    item = message("risk_event", ts, "operator", "all", data)
    database.add(
        schema.messages,
        [
            {
                "session": session,
                "ts": ts,
                "direction": "in",
                "message_type": item.message_type,
                "body": encode(item).decode(),
                "verdict": "",
                "why": reason,
            }
        ],
    )
    database.add(schema.limit_states, [{"account": account, "ts": ts, "state": orjson.dumps(state.to_json()).decode()}])
    database.commit()
