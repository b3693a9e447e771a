"""The numbered control menu: a face over a session's state file, its commands and its report.

The numbers are those of the specification; it has no others, so entries of our own stand beside them where one is free.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from tidewright.coordination.alive import is_alive
from tidewright.interface.menu_views import live_table, parameter_table, system_table
from tidewright.market.errors import NotFoundError, NotRunningError, TidewrightError, UsageError
from tidewright.trading import commands, state_file
from tidewright.trading.standby import standbys

ENTRIES: Final[Mapping[str, str]] = {
    "1": "Start RL executor session",
    "2": "Real-time status",
    "9": "System status",
    "10": "Parameter config (show, set)",
    "11": "Coordination pattern",
    "12": "Pause or resume quoting",
    "13": "PnL report",
    "14": "Stop in order",
    "15": "EMERGENCY STOP",
    "0": "Leave (a session goes on)",
}
_REFRESH_S: Final = 0.5


class Services(Protocol):
    """What the menu sets in motion; the command line has the real ones."""

    def start(self, config: str, hours: str, pace: str, strategy: str) -> Path:
        """Start a session as a process of its own and return its state file once it is there."""
        ...

    def stop(self, path: Path) -> str:
        """End a session in order and say what became of it."""
        ...

    def emergency_stop(self, path: Path, *, flatten: bool) -> str:
        """Cancel every open order of a session now, and end it."""
        ...

    def report(self, path: Path) -> RenderableType:
        """The figures of a session; the page is written beside its database."""
        ...


class Menu:
    """Asks, does, asks again.

    Parameters
    ----------
    console
        Where it shows.
    ask
        Question and default to the answer; raises ``EOFError`` where nobody answers any more.
    watch
        Whether [2] keeps refreshing until Ctrl-C; otherwise it shows the figures once.
    """

    def __init__(
        self, console: Console, ask: Callable[[str, str], str], services: Services, path: Path | None, *, watch: bool
    ) -> None:
        self._console, self._ask, self._services = console, ask, services
        self._path, self._watch = path, watch
        self._actions: Mapping[str, Callable[[], None]] = {
            "1": self._start,
            "2": self._status,
            "9": self._system,
            "10": self._parameters,
            "11": self._coordination,
            "12": self._pause,
            "13": self._report,
            "14": self._stop,
            "15": self._emergency,
        }

    def run(self) -> None:
        """Until [0] or the end of the input."""
        while True:
            self._header()
            try:
                choice = self._ask("choose", "2")
                if choice == "0":
                    break
                action = self._actions.get(choice)
                if action is None:
                    self._console.print(f"there is no entry {choice!r}", markup=False)
                    continue
                action()
            except EOFError:
                break
            except KeyboardInterrupt:
                self._console.print("back to the menu; [0] leaves", markup=False)
            except TidewrightError as error:
                self._console.print(f"error: {error}", style="bold red", markup=False)
        if self._path is not None and state_file.is_running(state_file.read(self._path)):
            self._console.print(f"the session goes on; `tidewright menu {self._path.parent}` comes back to it")

    def _header(self) -> None:
        self._console.print()
        if self._path is None:
            self._console.print("Tidewright: no session chosen", style="bold")
        else:
            state = state_file.read(self._path)
            word = str(state.get("stage")) if state_file.is_running(state) else "not running"
            text = f"Tidewright: {self._path.parent} ({word}) equity {state.get('equity')} traded {state.get('traded')}"
            self._console.print(text, style="bold", markup=False)
        for number, title in ENTRIES.items():
            style = "bold red" if number == "15" else ""
            self._console.print(f"  {f'[{number}]':>4} {title}", style=style, markup=False)

    # -- entries -------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._path is not None and state_file.is_running(state_file.read(self._path)):
            raise UsageError(f"the session at {self._path.parent} still runs: end it first, [14] or [15]")
        config = self._ask("configuration file (empty: a demo on a paper exchange of its own)", "")
        hours = pace = strategy = ""
        if not config:
            strategy = self._ask("strategy (empty: a learned policy steers)", "")
            pace = self._ask("pace (lockstep: as fast as it goes, or 1x to 60x)", "60x")
            hours = self._ask("market hours to trade", "24")
        self._path = self._services.start(config, hours, pace, strategy)
        self._console.print(f"started in {self._path.parent}", markup=False)

    def _status(self) -> None:
        path = self._chosen()
        if not self._watch:
            self._console.print(self._live(path))
            return
        self._console.print("Ctrl-C: back to the menu", style="dim")
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(self._live(path), refresh=True)
                if not state_file.is_running(state_file.read(path)):
                    return
                time.sleep(_REFRESH_S)

    def _live(self, path: Path) -> RenderableType:
        state = state_file.read(path)
        return live_table(state, state_file.is_running(state), f"session {path.parent}")

    def _system(self) -> None:
        path = self._chosen()
        state = state_file.read(path)
        running = state_file.is_running(state)
        processes = {"session": f"process {state.get('pid')} {'lives' if running else 'is over'}"}
        exchange = state.get("exchange_pid")
        if isinstance(exchange, int):
            lives = is_alive(exchange)
            processes["paper exchange"] = f"process {exchange} {'lives' if lives else 'is over'}"
        processes |= standbys(path.parent)
        if state.get("advisor") is not None:
            processes["optimizer"] = "asked every epoch" if state["advisor"] else "switched off"
        self._console.print(system_table(path.parent, state, running, processes))

    def _parameters(self) -> None:
        path = self._chosen()
        state = state_file.read(path)
        self._console.print(parameter_table(state))
        if not state_file.is_running(state):
            return
        text = self._ask("set (name=value, several apart by spaces; empty: leave them)", "")
        if text:
            self._tell("set_parameters", params=_assignments(text))

    def _coordination(self) -> None:
        state = state_file.read(self._chosen())
        self._console.print(f"in force: {state.get('coordination') or 'master_slave'}", markup=False)
        pattern = self._ask("switch to (master_slave, peer_to_peer, hierarchical, democratic; empty: leave it)", "")
        if pattern:
            self._tell("set_coordination", pattern=pattern)

    def _pause(self) -> None:
        paused = bool(state_file.read(self._chosen()).get("paused"))
        self._tell("resume" if paused else "pause")

    def _report(self) -> None:
        self._console.print(self._services.report(self._chosen()))

    def _stop(self) -> None:
        self._console.print(self._services.stop(self._chosen()), markup=False)

    def _emergency(self) -> None:
        path = self._chosen()
        flat = self._ask("also trade the position back at the market? y or n", "n").lower().startswith("y")
        self._console.print(self._services.emergency_stop(path, flatten=flat), style="bold", markup=False)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _chosen(self) -> Path:
        if self._path is None:
            raise NotFoundError("no session: [1] starts one, `tidewright menu FOLDER` takes another")
        return self._path

    def _tell(self, command: str, **details: Any) -> None:
        path = self._chosen()
        state = state_file.read(path)
        if not state_file.is_running(state):
            raise NotRunningError(f"the session at {path.parent} is not running")
        patience = 15.0 + 2 * float(state.get("cycle_s") or 30.0)  # it answers at its next decision
        self._console.print("waiting for the session's next decision", style="dim")
        answer = commands.tell(path, command, patience, **details)
        self._console.print(f"done: {'; '.join(answer['reasons'])}", markup=False)


def _assignments(text: str) -> dict[str, int | float]:
    found: dict[str, int | float] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not equals or not name or number != number or number in (float("inf"), float("-inf")):
            raise UsageError(f"a parameter is set by name=value, was {part!r}")
        found[name] = int(number) if number == int(number) else number
    return found
