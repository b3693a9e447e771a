"""``tidewright status``: what a running session is doing."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from tidewright.interface import agents_view, risk_view, seat_view
from tidewright.market.errors import NotRunningError
from tidewright.trading import state_file
from tidewright.trading.standby import standbys

Folder = Annotated[
    Path | None,
    typer.Argument(help="A session's folder; the newest under ./runs if left out.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print the state as one line of JSON; all else goes to stderr.")]

_SHOWN = (
    "stage", "market_time", "cycles", "mid", "position", "equity_start", "equity", "realised", "unrealised", "fees",
    "traded",
    "orders", "cancels", "rejected", "fills", "open_orders", "proposals", "accepted", "refused", "errors",
    "paused", "why", "advice", "ended_by",
)  # fmt: skip


def status(folder: Folder = None, as_json: Json = False) -> None:
    """Show what a session is doing, or did last; exit code 3 if it is not running."""
    path = state_file.find(folder)
    state = state_file.read(path)
    running = state_file.is_running(state)
    show(path, {**state, "running": running}, as_json)
    if not running:
        raise NotRunningError(f"the session at {path.parent} is not running; these are its last figures")


def show(path: Path, state: dict[str, Any], as_json: bool) -> None:
    """Print a state as a table on stderr, and as JSON on stdout if asked."""
    console = Console(stderr=True, highlight=False)
    table = Table(box=None, show_header=False, title=str(path.parent), title_justify="left")
    table.add_row("running", "yes" if state["running"] else "no")
    for name, word in standbys(path.parent).items():
        table.add_row(name, word)
    for name in _SHOWN:
        if state.get(name) not in (None, "", False):
            table.add_row(name.replace("_", " "), str(state[name]))
    for name, text in (*seat_view.lines(state.get("seat") or {}), *agents_view.lines(state.get("agents") or [])):
        table.add_row(name, text)
    for name, text in risk_view.lines(state.get("risk") or {}):
        table.add_row(name, text)
    console.print(table)
    if as_json:
        print(orjson.dumps(state).decode())
