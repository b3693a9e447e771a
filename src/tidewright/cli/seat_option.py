"""Options of commands and configuration files about who sits in the executor's chair."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.challenge import ChallengeRules
from tidewright.agents.executor.environment_tape import STRATEGY
from tidewright.agents.executor.seat import BASE
from tidewright.agents.executor.sizing import SizingRules
from tidewright.market.errors import ConfigError, UsageError
from tidewright.trading.chair import load
from tidewright.trading.seat_settings import SeatSettings

POLICY_HELP: Final = 'File of a learned policy that steers the quotes, or "base" for its base rule (docs/seat.md).'
CHALLENGER_HELP: Final = 'File of a policy that challenges whoever sits, in shadow lanes; or "base".'
OVERRIDE_HELP: Final = "Seat a policy although its examinations or its fees speak against it; the report names it."
SIZING_HELP: Final = "fixed: base_quantity is quoted; kelly: a share of it, by what the edge is and how sure."
EXECUTOR_KEYS: Final = {"sizing", "kelly_fraction", "kelly_least"}
CHALLENGE_KEYS: Final = {"error_rate", "most_cycles"}
SHIPPED: Final = "shipped"
SHIPPED_FILE: Final = "synthetic.tw"


def shipped() -> Path:
    """File of the policy that comes with the package."""
    return Path(str(files("tidewright.agents.executor").joinpath("policies", SHIPPED_FILE)))


def found(told: str, beside: Path | None = None) -> str:
    """Path of a policy that was named by a user: ``shipped``, ``base``, or a file, looked for beside another.

    Raises
    ------
    UsageError
        If the file is not there.
    """
    if told in ("", BASE):
        return told
    if told == SHIPPED:
        return str(shipped())
    path = Path(told).expanduser()
    path = path if beside is None else beside / path
    if not path.is_file():
        raise UsageError(f"there is no policy {path}; `tidewright train --out {path}` makes one")
    return str(path.resolve())


def file_of(policy: Path) -> Path:
    """A policy's file where no seat is meant: ``shipped``, or the path as it stands."""
    return shipped() if str(policy) == SHIPPED else policy


def strategy(policy: str) -> str:
    """What the policy of a file steers; of nobody's, and of the base rule, ``shaped``.

    Raises
    ------
    NotFoundError, DataError, UsageError
        As :func:`tidewright.trading.chair.load`.
    """
    return STRATEGY if policy in ("", BASE) else load(policy).strategy


def of_table(path: Path, data: Mapping[str, Any], canary: CanaryRules, given: Mapping[str, Any]) -> SeatSettings:
    """Settings of a configuration file: ``policy``, ``challenger``, ... and the tables ``[executor]``, ``[challenge]``.

    Parameters
    ----------
    path
        The file; policies are looked for beside it.
    given
        What the command line says; empty values leave the file's.

    Raises
    ------
    ConfigError, UsageError
        If a value is of the wrong kind or out of range.
    """

    def told(name: str) -> str:
        if given.get(name):
            return found(str(given[name]))
        value = data.get(name, "")
        if not isinstance(value, str):
            raise ConfigError(f"{name} must be a text, was {value!r}")
        return found(value, path.parent)

    flags = {}
    for name in ("override_examination", "fine_tune"):
        value = bool(given.get(name)) or data.get(name, False)
        if not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false, was {value!r}")
        flags[name] = value
    executor, trial = data.get("executor", {}), data.get("challenge", {})
    base = SizingRules()
    rules = SizingRules(
        fraction=_number(executor, "kelly_fraction", base.fraction),
        least=_number(executor, "kelly_least", base.least),
    )
    plain = ChallengeRules()
    most = trial.get("most_cycles", plain.most_cycles)
    if isinstance(most, bool) or not isinstance(most, int):
        raise ConfigError(f"challenge.most_cycles must be a whole number, was {most!r}")
    return SeatSettings(
        policy=told("policy"),
        override_examination=flags["override_examination"],
        challenger=told("challenger"),
        challenge=ChallengeRules(canary, _number(trial, "error_rate", plain.error_rate), most),
        fine_tune=flags["fine_tune"],
        sizing=str(given.get("sizing") or executor.get("sizing", "fixed")),
        kelly=rules,
    )


def _number(table: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = table.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, was {value!r}")
    return float(value)
