"""Options of commands and configuration files about several strategies that trade on one account."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidewright.cli import seat_option
from tidewright.market.errors import ConfigError, UsageError
from tidewright.strategies import registry
from tidewright.strategies.custom import is_reference
from tidewright.trading.settings import StrategyAgent

LEARNED: Final = "learned"
"""An agent of this name, where nothing else is said of it, is the strategy that the shipped policy steers."""
AGENT_HELP: Final = "A strategy that trades as an agent of its own on the account; name two or more (docs/agents.md)."
AGENTS_HELP: Final = (
    "Strategies that trade together on one account, separated by commas: grid,glft,mean_reversion; learned is the "
    "policy that is shipped. [default: one strategy]"
)
COORDINATION_HELP: Final = "Pattern in which the agents decide: master_slave, peer_to_peer, hierarchical, democratic."


def of_table(
    path: Path, table: Mapping[str, Any], params: Mapping[str, Any], given: Sequence[str]
) -> dict[str, StrategyAgent]:
    """Agents of ``[agents.strategies.NAME]`` and of the command line, which go after the file's.

    Parameters
    ----------
    path
        The configuration; files of strategies are looked for beside it.
    table
        By agent: its parameters, and ``strategy`` where it is not the agent's name, or the file of a ``policy``.
    params
        ``[params]``: what holds for every agent whose strategy has such a parameter.

    Raises
    ------
    ConfigError
        If an agent is no table.
    UsageError
        If a strategy or a parameter is not there, or an agent is named twice.
    """
    found: dict[str, StrategyAgent] = {}
    for name, value in table.items():
        if not isinstance(value, Mapping):
            raise ConfigError(f"agent {name} must be a table: [agents.strategies.{name}], was {value!r}")
        own = dict(value)
        policy = str(own.pop("policy", ""))
        file = seat_option.found(policy, path.parent)
        strategy = str(own.pop("strategy", seat_option.strategy(file) if policy else base(name)))
        if name == LEARNED and not policy and "strategy" not in value:
            policy = file = str(seat_option.shipped())
        if is_reference(strategy):
            strategy = str(path.parent.absolute() / Path(strategy).expanduser())
        common = {} if policy else _known(strategy, params)  # its sizes are in the proportions it learned with
        found[name] = of(strategy, {**common, **own}, file)
    for name in given:
        if name in found:
            raise UsageError(f"agent {name} is named twice")
        found[name] = named(name, params)
    return found


def base(name: str) -> str:
    """Strategy of an agent of which only its name is said."""
    return seat_option.strategy(str(seat_option.shipped())) if name == LEARNED else name


def named(name: str, params: Mapping[str, Any]) -> StrategyAgent:
    """An agent of which only its name is said: a strategy with those parameters it has, or the shipped policy."""
    if name == LEARNED:  # its sizes are in the proportions it learned with
        return of(base(name), {}, str(seat_option.shipped()))
    return of(name, _known(name, params))


def parse(text: str) -> tuple[str, ...]:
    """Names of strategies, separated by commas.

    Raises
    ------
    UsageError
        If one is unknown or named twice, or there is only one.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if text and len(names) < 2:
        raise UsageError(f"several agents trade from two on, was {text!r}; with one, name it as --strategy")
    for name in names:
        registry.strategy(base(name))
        if names.count(name) > 1:
            raise UsageError(f"agent {name} is named twice")
    return names


def of(strategy: str, params: Mapping[str, Any], policy: str = "") -> StrategyAgent:
    """An agent that quotes by a strategy, steered by a learned policy's file or by nobody."""
    return StrategyAgent(strategy, {name: float(value) for name, value in params.items()}, policy)


def _known(strategy: str, params: Mapping[str, Any]) -> dict[str, Any]:
    names = registry.strategy(strategy).names
    return {name: value for name, value in params.items() if name in names}
