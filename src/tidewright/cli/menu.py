"""``tidewright menu``: the interactive control menu, in any terminal."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from tidewright.cli import stop as stopping
from tidewright.cli.waiting import waiting
from tidewright.interface.menu import Menu
from tidewright.interface.session_report import find_database, write_report
from tidewright.market.errors import NotFoundError, TidewrightError, TimedOutError
from tidewright.measure.report_table import render
from tidewright.trading import state_file

_START_S: Final = 900.0  # the first start compiles everything
_END_S: Final = 60.0


def menu(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A session's folder; the newest under ./runs if left out.", show_default=False),
    ] = None,
) -> None:
    """Start, watch, change and end a session by numbers: works in any terminal, also over ssh."""
    console = Console(highlight=False)
    try:
        path: Path | None = state_file.find(folder)
        if path is not None:
            state_file.read(path)
    except NotFoundError:
        if folder is not None:
            raise
        path = None
    Menu(console, _asker(console), Live(console), path, watch=console.is_terminal and sys.stdin.isatty()).run()


def _asker(console: Console) -> Callable[[str, str], str]:
    def ask(question: str, default: str) -> str:
        console.print(f"{question}{f' ({default})' if default else ''}: ", end="", markup=False)
        return input().strip() or default

    return ask


class Live:
    """The real session commands."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, config: str, hours: str, pace: str, strategy: str) -> Path:
        """Start ``tidewright demo`` or ``tidewright trade`` as a process of its own: it outlives the menu."""
        folder = Path("runs") / f"menu-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        if config:
            arguments = ["trade", "-c", config, "--session-dir", str(folder)]
        else:
            arguments = ["demo", "--out", str(folder), "--hours", hours, "--pace", pace]
            arguments += ["--strategy", strategy] if strategy else []
        log = folder.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "tidewright.cli.main", *arguments, "--headless"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the menu, or the end of the ssh connection, is not for it
                env=os.environ,
            )
        path, deadline = folder / state_file.NAME, time.monotonic() + _START_S
        with waiting(f"the session to begin (it writes to {log})", self._console):
            while not path.is_file():
                if child.poll() is not None:
                    words = log.read_text(errors="replace").strip().splitlines()
                    raise TidewrightError(f"it did not start: {words[-1] if words else 'it said nothing'}")
                if time.monotonic() > deadline:
                    raise TimedOutError(f"no state file after {_START_S:g} s; process {child.pid} goes on, see {log}")
                time.sleep(0.1)
        return path

    def stop(self, path: Path) -> str:
        """End it in order."""
        with waiting("the session to end", self._console):
            state = state_file.stop(path, _END_S)
        return f"ended: traded {state.get('traded')}, position {state.get('position')}, open orders 0"

    def emergency_stop(self, path: Path, *, flatten: bool) -> str:
        """Now."""
        with waiting("the session to end", self._console):
            return stopping.emergency_stop(path, _END_S, flatten=flatten, reason="emergency stop from the menu")

    def report(self, path: Path) -> RenderableType:
        """Figures and page."""
        result = write_report(find_database(path.parent))
        return Group(render(result.data, result.summary), Text(f"page: {result.page}"))
