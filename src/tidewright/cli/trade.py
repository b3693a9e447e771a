"""``tidewright trade``: a session against a configured venue, paper by default."""

import asyncio
import logging
import math
import os
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from tidewright import bootstrap
from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.proposals import Gate
from tidewright.agents.optimizer.bounds import Bounds
from tidewright.cli import agents_option, seat_option
from tidewright.cli.session_run import run_session
from tidewright.market.clock import HOUR, parse_duration
from tidewright.market.errors import ConfigError, TidewrightError, UsageError
from tidewright.measure.report_table import render
from tidewright.risk.correlation import Watch
from tidewright.risk.dynamic import Rules
from tidewright.risk.limits import Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.strategies import registry
from tidewright.strategies.custom import is_reference
from tidewright.trading import state_file
from tidewright.trading.settings import AdviceSettings, AgentSettings, RiskSettings, SessionSettings
from tidewright.trading.standby import stand_by
from tidewright.venues.binance.client import BINANCE_REST, BINANCE_STREAMS, BINANCE_WS_API
from tidewright.venues.paper.pacing import parse_pace

REAL_MONEY: Final = "yes-real-money"
KEY_VARIABLE: Final = "TIDEWRIGHT_API_KEY"
SECRET_VARIABLE: Final = "TIDEWRIGHT_API_SECRET"

_TOP: Final = {
    "live",
    "session_dir",
    "name",
    "symbol",
    "strategy",
    "cycle",
    "warmup",
    "hours",
    "restart",
    "coordination",
    "policy",
    "challenger",
    "override_examination",
    "fine_tune",
}
_TABLES: Final = {
    "venue": {"state", "rest", "ws", "ws_api", "control", "pace"},
    "params": None,
    "agents": {
        "names",
        "commands",
        "round_cycles",
        "nats",
        "prefix",
        "keys",
        "user",
        "ca",
        "certificate",
        "key",
        "strategies",
        "neighbours",
    },
    "limits": {field.name for field in fields(Limits) if not field.name.startswith("flatten_")},
    "portfolio": {"holdings", *(field.name.removesuffix("_ns") for field in fields(PortfolioLimits))},
    "flatten": {"enabled", "patience", "slices", "collar"},
    "correlation": {"tapes", *(field.name for field in fields(Watch))},
    "dynamic": {"enabled", *(field.name.removesuffix("_ns") for field in fields(Rules))},
    "advice": {
        "enabled",
        "epoch",
        "window",
        "answer_cycles",
        "threshold",
        "candidates",
        "generations",
        "seed",
        "idle",
        "still_before",
        "nice",
        "cpu_share",
        "memory_mb",
    },
    "gate": {
        "min_deflated_sharpe",
        "max_overfitting",
        "overfitting_loss",
        "min_stability",
        "min_paired_lower",
        "require",
    },
    "canary": {"fraction", "cycles", "error_rate", "block", "blind_cycles"},
    "executor": seat_option.EXECUTOR_KEYS,
    "challenge": seat_option.CHALLENGE_KEYS,
}


@dataclass(frozen=True, slots=True)
class TradeConfig:
    """A checked configuration."""

    folder: Path
    name: str
    address: bootstrap.VenueAddress
    settings: SessionSettings
    pace: float | None
    exchange_state: str = ""


def trade(
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file; docs/trading.md has all its keys.")],
    session_dir: Annotated[
        Path | None,
        typer.Option(
            "--session-dir",
            help="Folder of the session; the same one again goes on with it. [default: runs/NAME-OF-FILE]",
        ),
    ] = None,
    agent: Annotated[list[str] | None, typer.Option("--agent", help=agents_option.AGENT_HELP)] = None,
    standby: Annotated[
        int,
        typer.Option(
            "--standby", min=0, max=7, help="Watch over the session's process, and take over: 1 first, up to 7."
        ),
    ] = 0,
    policy: Annotated[str, typer.Option("--policy", help=seat_option.POLICY_HELP)] = "",
    challenger: Annotated[str, typer.Option("--challenger", help=seat_option.CHALLENGER_HELP)] = "",
    override: Annotated[bool, typer.Option("--override-examination", help=seat_option.OVERRIDE_HELP)] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Lines instead of the live display.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one line of JSON; all else goes to stderr.")
    ] = False,
) -> None:
    """Trade by a configuration file: a paper exchange, unless the file says live = "yes-real-money".

    A paper session needs an exchange: tidewright exchange --synthetic --state exchange.json
    """
    began = time.monotonic()
    given = {"policy": policy, "challenger": challenger, "override_examination": override, "agents": agent or []}
    chosen = load(config, session_dir, os.environ, given)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    outcome = asyncio.run(_run(chosen, headless, console, began, standby))
    if outcome is None:
        console.print("there is nothing to take over: the session has ended, or this standby was told to stop")
        if as_json:
            print(orjson.dumps({"took_over": False}).decode(), flush=True)
        return
    result, report = outcome
    console.print(render(report.data, report.summary))
    console.print(f"report: {report.page}")
    if as_json:
        print(orjson.dumps(result).decode(), flush=True)


async def _run(
    chosen: TradeConfig, headless: bool, console: Console, began: float, rank: int
) -> tuple[dict[str, Any], Any] | None:
    state = chosen.folder / state_file.NAME
    standby = None
    if rank:
        address = chosen.address
        console.print(f"standby {rank} watches over the session in {chosen.folder}; Ctrl-C ends it")
        standby = await stand_by(
            chosen.folder, rank, chosen.settings.cycle_ns, address.symbol, address.control, console.print
        )
        if standby is None:
            return None
    elif state.is_file() and state_file.is_running(state_file.read(state)):
        raise UsageError(f"a session runs in {chosen.folder} already")
    return await run_session(
        chosen.folder,
        chosen.name,
        chosen.address,
        chosen.settings,
        chosen.pace,
        {"exchange_state": chosen.exchange_state},
        console,
        title=f"Tidewright {chosen.settings.mode}: {chosen.address.symbol}",
        headless=headless,
        began=began,
        standby=standby,
    )


def load(
    path: Path, session_dir: Path | None, environment: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> TradeConfig:
    """Read and check a configuration.

    Parameters
    ----------
    given
        What the command line says of the executor's chair, which goes before the file, and of agents that trade.

    Raises
    ------
    ConfigError
        If it is missing, no TOML, names something unknown, or asks for real money without saying so.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"configuration {path} is not TOML: it is no UTF-8 text") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration {path} is not TOML: {error}") from None
    _check_names(path, data)
    live = data.get("live")
    if live is not None and live != REAL_MONEY:
        raise ConfigError(f'real money needs live = "{REAL_MONEY}" in {path}, was {live!r}')
    try:
        settings = _settings(path, data, live is not None, given or {})
        folder = session_dir or Path(str(data.get("session_dir", f"runs/{path.stem}")))
        address, pace = _live(data, environment) if live is not None else _paper(path, data, environment)
    except ConfigError:
        raise
    except TidewrightError as error:
        raise ConfigError(f"configuration {path}: {error}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"configuration {path}: {error}") from None
    state = data.get("venue", {}).get("state")
    state = str((path.parent / str(state)).resolve()) if state is not None and live is None else ""
    return TradeConfig(folder, str(data.get("name", f"{int(time.time()):x}")), address, settings, pace, state)


def _check_names(path: Path, data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        if name in _TABLES:
            allowed = _TABLES[name]
            if not isinstance(value, dict):
                raise ConfigError(f"configuration {path}: [{name}] must be a table")
            unknown = [] if allowed is None else [key for key in value if key not in allowed]
            if unknown:
                known = ", ".join(sorted(allowed or ()))
                raise ConfigError(f"configuration {path}: unknown {unknown[0]!r} in [{name}]; known: {known}")
        elif name not in _TOP:
            known = ", ".join(sorted((*_TOP, *_TABLES)))
            raise ConfigError(f"configuration {path}: unknown {name!r}; known: {known}")


def _settings(path: Path, data: Mapping[str, Any], live: bool, given: Mapping[str, Any]) -> SessionSettings:
    defaults, advice = SessionSettings(), data.get("advice", {})
    limits: dict[str, Any] = {"strict": True}
    for key, value in data.get("limits", {}).items():  # false switches a limit off
        limits[key] = None if value is False and key not in ("strict", "flatten") else value
    limits |= _way_out(data.get("flatten", {}))
    restart = data.get("restart", "adopt")
    if restart not in ("adopt", "cancel"):
        raise ConfigError(f'restart must be "adopt" or "cancel", was {restart!r}')
    seat = seat_option.of_table(path, data, _canary(data.get("canary", {})), given)
    strategy = str(data.get("strategy", seat_option.strategy(seat.policy) if seat.policy else defaults.strategy))
    if is_reference(strategy):  # beside the configuration, like the exchange's state
        strategy = str(path.parent.absolute() / Path(strategy).expanduser())
    agents = _agents(path, data.get("agents", {}), data.get("params", {}), given.get("agents", ()))
    several = list(agents.strategies.values())
    strategy = registry.strategy(several[0].strategy if several else strategy).name
    base = AdviceSettings()
    return SessionSettings(
        mode="live" if live else "paper",
        strategy=strategy,
        params=dict(several[0].params if several else data.get("params", {})),
        limits=Limits(**limits),
        risk=_risk(path, data),
        cycle_ns=parse_duration(data.get("cycle", "30s")),
        warmup_ns=parse_duration(data.get("warmup", "2h")),
        duration_ns=round(_number(data.get("hours", 0), "hours") * HOUR),
        advice=AdviceSettings(
            epoch_ns=parse_duration(advice.get("epoch", "30m")),
            window_ns=parse_duration(advice.get("window", "4h")),
            answer_cycles=_whole(advice, "answer_cycles", base.answer_cycles),
            threshold=_number(advice.get("threshold", base.threshold), "threshold"),
            candidates=_whole(advice, "candidates", base.candidates),
            generations=_whole(advice, "generations", base.generations),
            seed=_whole(advice, "seed", base.seed),
            **_bounds(advice),
            gate=_gate(data.get("gate", {}), live),
            canary=_canary(data.get("canary", {})),
        )
        if advice.get("enabled", not several or bool(agents.tuned))
        else None,
        adopt=restart == "adopt",
        coordination=str(data.get("coordination", defaults.coordination)),
        agents=agents,
        seat=seat,
    )


def _bounds(advice: Mapping[str, Any]) -> dict[str, Any]:
    """What the optimizer's process may take of the machine."""
    usual = AdviceSettings()
    idle = advice.get("idle", usual.idle)
    if not isinstance(idle, bool):
        raise ConfigError(f"advice.idle must be true or false, was {idle!r}")
    nice, memory_mb = _whole(advice, "nice", usual.nice), _whole(advice, "memory_mb", usual.memory_mb)
    cpu_share = _number(advice.get("cpu_share", usual.cpu_share), "advice.cpu_share")
    before = advice.get("still_before")
    still_ns = usual.still_before_ns if before is None else None if before is False else parse_duration(before)
    Bounds(nice, cpu_share, memory_mb)  # values out of range are refused before anything is started
    return {"idle": idle, "still_before_ns": still_ns, "nice": nice, "cpu_share": cpu_share, "memory_mb": memory_mb}


def _gate(table: Mapping[str, Any], live: bool) -> Gate:
    """Thresholds; with real money a proposal must state every figure that has one."""
    chosen: dict[str, Any] = {"require": live}
    for name, value in table.items():
        if name == "require":
            if not isinstance(value, bool):
                raise ConfigError(f"gate.require must be true or false, was {value!r}")
            chosen[name] = value
        else:
            chosen[name] = None if value is False else _number(value, f"gate.{name}")
    return Gate(**chosen)


def _canary(table: Mapping[str, Any]) -> CanaryRules:
    base = CanaryRules()
    cycles = _whole(table, "cycles", base.cycles)
    return CanaryRules(
        fraction=_number(table.get("fraction", base.fraction), "canary.fraction"),
        cycles=cycles,
        error_rate=_number(table.get("error_rate", base.error_rate), "canary.error_rate"),
        block=_whole(table, "block", base.block),
        blind_cycles=_whole(table, "blind_cycles", max(base.blind_cycles, 3 * cycles)),
    )


def _risk(path: Path, data: Mapping[str, Any]) -> RiskSettings:
    """Limits of the portfolio, how limits tighten, what is watched: `[portfolio]`, `[dynamic]`, `[correlation]`."""
    told: list[dict[str, Any]] = []
    for table, kind in (("portfolio", PortfolioLimits), ("dynamic", Rules)):
        values: dict[str, Any] = {}
        for name, value in data.get(table, {}).items():
            if name == "holdings":
                continue
            durations = {field.name.removesuffix("_ns") for field in fields(kind) if field.name.endswith("_ns")}
            if name in durations:
                values[f"{name}_ns"] = None if value is False else parse_duration(value)
            elif name not in ("enabled", "method"):
                values[name] = None if value is False else _number(value, f"[{table}] {name}")
            elif name == "method":
                values[name] = value
        told.append(values)
    dynamic = Rules(**told[1]) if data.get("dynamic", {}).get("enabled", True) else None
    return RiskSettings(
        PortfolioLimits(**told[0]),
        dynamic,
        holdings=_holdings(data.get("portfolio", {}).get("holdings", {})),
        **_others(path, data.get("correlation", {})),
    )


def _holdings(table: object) -> dict[str, float]:
    """`[portfolio.holdings]`: base units of other instruments that are held elsewhere."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"[portfolio.holdings] must be a table, ETHUSDT = 2.5, was {table!r}")
    return {str(name): _number(value, f"[portfolio.holdings] {name}") for name, value in table.items()}


def _way_out(table: Mapping[str, Any]) -> dict[str, Any]:
    """`[flatten]`: how a position is left that nobody takes; as fields of the limits."""
    told = {f"flatten_{name}": value for name, value in table.items() if name != "enabled"}
    return told | ({} if table.get("enabled", True) else {"flatten_patience": None})


def _others(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """`[correlation]`: tapes of other instruments, looked for beside the configuration, and when alarms are raised."""
    tapes = table.get("tapes", {})
    if not isinstance(tapes, Mapping) or not all(isinstance(each, str) for each in tapes.values()):
        raise ConfigError(f"correlation.tapes must name a folder each, tapes = {{ETHUSDT = FOLDER}}, was {tapes!r}")
    rules = {name: _number(value, f"correlation.{name}") for name, value in table.items() if name != "tapes"}
    folders = {str(name): str((path.parent / each).resolve()) for name, each in tapes.items()}
    return {"others": folders, "correlation": Watch(**rules)}


def _agents(path: Path, table: Mapping[str, Any], params: Mapping[str, Any], given: Sequence[str]) -> AgentSettings:
    """Agents that trade, or agents of other processes; files are looked for beside the configuration."""
    values = dict(table)
    commands = {}
    for name, command in dict(values.pop("commands", {})).items():
        if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
            raise ConfigError(f"the command of agent {name} must be a list of texts, was {command!r}")
        commands[name] = tuple(command)
    names = values.pop("names", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"the names of agents must be a list of texts, was {names!r}")
    near = dict(values.pop("neighbours", {}))
    for name, heard in near.items():
        if not isinstance(heard, list) or not all(isinstance(one, str) for one in heard):
            raise ConfigError(f"the neighbours of {name} must be a list of names, was {heard!r}")
    values["neighbours"] = {name: tuple(heard) for name, heard in near.items()}
    for file in ("keys", "ca", "certificate", "key"):
        if file in values:
            values[file] = str((path.parent / str(values[file])).resolve())
    strategies = agents_option.of_table(path, dict(values.pop("strategies", {})), params, given)
    return AgentSettings(names=tuple(names), commands=commands, strategies=strategies, **values)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a number, was {value!r}")
    return float(value)


def _whole(table: Mapping[str, Any], name: str, default: int) -> int:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be a whole number, was {value!r}")
    return value


def _keys(environment: Mapping[str, str]) -> tuple[str, str]:
    key, secret = environment.get(KEY_VARIABLE, ""), environment.get(SECRET_VARIABLE, "")
    if not key or not secret:
        raise ConfigError(f"the API key comes from the environment: set {KEY_VARIABLE} and {SECRET_VARIABLE}")
    return key, secret


def _live(data: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[bootstrap.VenueAddress, float | None]:
    venue = data.get("venue", {})
    key, secret = _keys(environment)
    if "symbol" not in data:
        raise ConfigError("a live session needs a symbol")
    address = bootstrap.VenueAddress(
        str(data["symbol"]),
        str(venue.get("rest", BINANCE_REST)),
        str(venue.get("ws", BINANCE_STREAMS)),
        "",
        str(venue.get("ws_api", "" if "ws" in venue else BINANCE_WS_API)),
        key,
        secret,
    )
    return address, None


def _paper(
    path: Path, data: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[bootstrap.VenueAddress, float | None]:
    venue, symbol = data.get("venue", {}), data.get("symbol")
    pace = venue.get("pace")
    scale = None if pace is None else parse_pace(str(pace))
    if "state" in venue:
        ready = bootstrap.read_ready((path.parent / str(venue["state"])).resolve())
        return bootstrap.VenueAddress.from_ready(ready, symbol), scale
    missing = [name for name in ("rest", "ws", "control") if name not in venue]
    if missing or symbol is None:
        raise ConfigError(
            "a paper session needs [venue] state = FILE of `tidewright exchange --state FILE`, "
            "or symbol and [venue] rest, ws and control"
        )
    key, secret = _keys(environment)
    address = bootstrap.VenueAddress(
        str(symbol), str(venue["rest"]), str(venue["ws"]), str(venue["control"]), "", key, secret
    )
    return address, scale
