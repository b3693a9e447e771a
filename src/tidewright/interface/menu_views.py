"""What the control menu shows: a session's state, its parameters and the state of the whole system, as tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from tidewright.interface import agents_view, risk_view, seat_view
from tidewright.market.errors import TidewrightError
from tidewright.strategies import registry

_LIVE = (
    ("stage", "stage"), ("market time", "market_time"), ("cycle", "cycles"), ("mid", "mid"), ("position", "position"),
    ("equity", "equity"), ("equity at start", "equity_start"), ("traded (after fees)", "traded"),
    ("realised", "realised"), ("unrealised", "unrealised"), ("fees", "fees"), ("orders", "orders"), ("fills", "fills"),
    ("open orders", "open_orders"), ("coordination", "coordination"), ("advice", "advice"), ("why", "why"),
    ("paused", "paused"), ("ended by", "ended_by"),
)  # fmt: skip
_COUNTS = ("orders", "cancels", "rejected", "fills", "proposals", "accepted", "refused", "errors")


def live_table(state: Mapping[str, Any], running: bool, title: str) -> Table:
    """[2]: the figures of a session as it last wrote them."""
    table = _plain(title)
    if not running:
        table.add_row("running", "no")
    for label, name in _LIVE:
        if state.get(name) not in (None, "", False):
            table.add_row(label, _text(state[name]))
    for label, text in (*seat_view.lines(state.get("seat") or {}), *agents_view.lines(state.get("agents") or [])):
        table.add_row(label, text)
    for label, text in risk_view.lines(state.get("risk") or {}):
        table.add_row(label, text)
    return table


def system_table(folder: Path, state: Mapping[str, Any], running: bool, processes: Mapping[str, str]) -> Table:
    """[9]: processes, limits, counts, files.

    Parameters
    ----------
    processes
        Name of each process of the system, and whether it lives.
    """
    table = _plain("system status")
    for name, word in processes.items():
        table.add_row(name, word)
    for name in ("mode", "strategy", "cycle_s", "stage", "market_time", "coordination"):
        if state.get(name) not in (None, ""):
            table.add_row(name.replace("_", " "), _text(state[name]))
    for label, text in (*seat_view.lines(state.get("seat") or {}), *agents_view.lines(state.get("agents") or [])):
        table.add_row(label, text)
    for name, value in (state.get("limits") or {}).items():
        table.add_row(f"limit {name}", "off" if value is None else f"{value:g}")
    for label, text in risk_view.lines(state.get("risk") or {}):
        table.add_row(label, text)
    table.add_row("counts", ", ".join(f"{name} {state.get(name, 0)}" for name in _COUNTS))
    for file in ("session.db", "messages.jsonl", "report.html"):
        path = folder / file
        table.add_row(file, f"{path.stat().st_size / 1024:.0f} KiB" if path.is_file() else "not there")
    rows = folder / "tape" / "ts"
    table.add_row("tape", f"{rows.stat().st_size // 8} rows" if rows.is_file() else "not there")
    if running and state.get("why"):
        table.add_row("why", str(state["why"]))
    return table


def parameter_table(state: Mapping[str, Any]) -> Table:
    """[10]: the parameters in force, with range and meaning."""
    table = Table(box=None, title="parameters in force", title_justify="left")
    for heading in ("name", "value", "allowed", "meaning"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    params: Mapping[str, float] = state.get("params") or {}
    agents = state.get("agents") or []
    known = {
        f"{prefix}{parameter.name}": parameter
        for prefix, strategy in [(f"{a['name']}.", a["strategy"]) for a in agents] or [("", state.get("strategy"))]
        for parameter in _parameters(str(strategy))
    }
    for name, value in params.items():
        parameter = known.get(name)
        allowed = f"{parameter.low:g} to {parameter.high:g}" if parameter else ""
        table.add_row(name, f"{value:g}", allowed, parameter.meaning if parameter else "")
    return table


def _parameters(strategy: str) -> tuple[registry.Parameter, ...]:
    try:
        return tuple(registry.strategy(strategy).parameters)
    except TidewrightError:  # a file that has moved since: its names and values are still there
        return ()


def _plain(title: str) -> Table:
    table = Table(box=None, show_header=False, title=title, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    return table


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
