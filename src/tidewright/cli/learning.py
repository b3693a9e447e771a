"""What the commands that learn a policy have in common: their markets, their conditions, what the file tells."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from rich.console import Console

from tidewright import __version__
from tidewright.cli.training_markets import REGIMES, training_markets
from tidewright.cli.waiting import waiting
from tidewright.market.clock import parse_duration
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.output import output_file
from tidewright.market.tape import Tape

if TYPE_CHECKING:
    from tidewright.agents.executor.environment_tape import TapeSettings
    from tidewright.agents.executor.policy import Policy

STRATEGY_HELP = "What it steers: shaped, or a strategy of your own, FILE.py[:NAME] (docs/strategies.md)."
LIKE_HELP = "With --synthetic: markets like this tape."
REGIMES_HELP = "With --like: regimes taken in turn: calm, trending, volatile, mean-reverting, switching."
CURRICULUM_HELP = "Share of the training over which tapes, fees, latencies and queues are taken in, in order."
SET_HELP = "Of the strategy; of shaped: base_rule, gamma, kappa, intensity, horizon_s."
BP = UNIT // 10_000  # a basis point as a rate of 1e-8
Paths = Sequence[Path] | None
Told = Mapping[str, Any]
Drawn = TypeVar("Drawn", int, str)


def check_markets(tape: Sequence[Path] | None, synthetic: bool, like: Path | None, regimes: str | None) -> None:
    """Refuse to begin without one kind of market.

    Raises
    ------
    UsageError
        If so.
    """
    if bool(tape) == synthetic:
        raise UsageError("give either --tape (one or more) or --synthetic")
    if tape and (like is not None or regimes is not None):
        raise UsageError("--like and --regimes go with --synthetic")


def conditions(latency: str, queues: str, fees: str) -> dict[str, Any]:
    """Fields of the settings from lists of what is drawn; the first of each is what holds where nothing is drawn.

    Raises
    ------
    UsageError
        If a text is no such list.
    """
    from tidewright.agents.executor.environment_tape import Randomisation

    latencies = _once("--latency", tuple(parse_duration(text) for text in latency.split(",")), latency)
    models, first = _once("--queues", tuple(queues.split(",")), queues), latencies[0]
    drawn = Randomisation(_once("--fees", _rates(fees), fees), latencies, models)
    return {"entry_ns": first, "response_ns": first, "queue": models[0], "random": drawn}


def steered(strategy: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Fields of the settings from the strategy that is steered and ``NAME=VALUE`` of its own parameters.

    Raises
    ------
    UsageError, NotFoundError
        If there is no such strategy or parameter, or it cannot be steered.
    """
    from tidewright.agents.executor.environment_tape import RULE, STRATEGY
    from tidewright.strategies import registry
    from tidewright.strategies.declaration import SHAPE

    chosen = registry.strategy(strategy)
    built_in = strategy == STRATEGY
    known = RULE if built_in else chosen.names[len(SHAPE) : -2]
    found: dict[str, float] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name not in known:
            raise UsageError(f"--set takes NAME=VALUE with one of {', '.join(known) or 'none'}, was {pair!r}")
        try:
            found[name] = int(value) if name == "base_rule" else float(value)
        except ValueError:
            raise UsageError(f"{name} must be a number, was {value!r}") from None
    if chosen.steerable:
        registry.rows(chosen.name, found, 1)  # in range
    return found if built_in else {"strategy": chosen.name, "digest": chosen.digest, "own": found}


def steered_words(strategy: str, pairs: Sequence[str]) -> list[str]:
    """Words of the command for what is steered."""
    from tidewright.agents.executor.environment_tape import STRATEGY

    words = [] if strategy == STRATEGY else ["--strategy", strategy]
    return words + [word for pair in pairs for word in ("--set", pair)]


def source_words(tape: Paths, hours: float, markets: int, like: Path | None, regimes: str | None) -> list[str]:
    """Words of the command that name the markets: the tapes, or that many synthetic ones."""
    if tape:
        return [word for path in tape for word in ("--tape", str(path))]
    words = ["--synthetic", "--hours", f"{hours:.12g}", "--markets", str(markets)]
    return words + ([] if like is None else ["--like", str(like), "--regimes", regimes or REGIMES])


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Words of the command for options with a value."""
    return [str(word) for pair in options.items() for word in pair]


def origin(command: str, trading: "TapeSettings", tapes: Sequence[Tape]) -> dict[str, Any]:
    """What a policy's file says of how it was made, whoever made it."""
    from tidewright.agents.executor.learned_on import record

    data = [record(one) for one in tapes]
    return {"version": __version__, "command": command, "environment": trading.to_json(), "data": data}


def prepared(
    console: Console, out: Path, tape: Paths, markets: int, hours: float, like: Path | None, regimes: str | None
) -> list[Tape]:
    """The markets to learn on, once it is known that the policy's file can be written."""
    output_file(out, "the policy")
    with waiting("the markets", console):
        return [Tape.open(path) for path in tape] if tape else training_markets(markets, hours, like, regimes)


def hand_out(
    console: Console, policy: "Policy", out: Path, folder: Path, header: Told, seeds: Mapping[int, Told], as_json: bool
) -> None:
    """Write the policy's file, and say what came of each seed that learned now."""
    policy.save(out)
    console.print(f"written: {out}")
    if as_json:
        told = {"policy": str(out), "work": str(folder), "command": header["command"], "data": header["data"]}
        print(orjson.dumps({**told, "seeds": {str(seed): done for seed, done in seeds.items()}}).decode())


def _rates(text: str) -> tuple[int, ...]:
    try:
        points = [float(part) for part in text.split(",")]
    except ValueError:
        points = [math.nan]
    if not all(abs(one) <= UNIT / BP for one in points):  # NaN is not either
        raise UsageError(
            f"--fees takes basis points separated by commas, each from -{UNIT // BP} to {UNIT // BP}, was {text!r}"
        )
    return tuple(round(one * BP) for one in points)


def _once(option: str, values: tuple[Drawn, ...], text: str) -> tuple[Drawn, ...]:
    """The same; refused if one stands there twice, which would be drawn twice as often."""
    if len(set(values)) < len(values):
        raise UsageError(f"{option} takes each value once, was {text!r}")
    return values
