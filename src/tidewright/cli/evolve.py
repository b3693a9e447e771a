"""``tidewright evolve``: learn a policy without torch, each lane of the engine trying one of its own."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tidewright.cli.learning import (
    CURRICULUM_HELP,
    LIKE_HELP,
    REGIMES_HELP,
    SET_HELP,
    STRATEGY_HELP,
    check_markets,
    conditions,
    hand_out,
    option_words,
    origin,
    prepared,
    source_words,
    steered,
    steered_words,
)
from tidewright.market.clock import parse_duration
from tidewright.market.tape import Tape

if TYPE_CHECKING:
    from tidewright.agents.executor.environment_tape import TapeSettings
    from tidewright.agents.executor.learning.evolution import EvolutionSettings, Generation
    from tidewright.agents.executor.policy import Policy


def evolve(
    out: Annotated[Path, typer.Option("--out", help="The policy's file, NAME.tw.")],
    tape: Annotated[list[Path] | None, typer.Option("--tape", help="A tape to learn on; may be repeated.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn on synthetic markets instead.")] = False,
    like: Annotated[Path | None, typer.Option(metavar="TAPE", help=LIKE_HELP)] = None,
    regimes: Annotated[str | None, typer.Option(help=REGIMES_HELP)] = None,
    hours: Annotated[float, typer.Option(help="Length of each synthetic market.")] = 12.0,
    markets: Annotated[int, typer.Option(min=1, help="How many synthetic markets.")] = 8,
    generations: Annotated[int, typer.Option(min=1, help="Steps.")] = 100,
    lanes: Annotated[int, typer.Option(min=4, help="Policies tried in each, an even number.")] = 160,
    stretches: Annotated[int, typer.Option(min=1, help="Stretches of market on which each is judged.")] = 12,
    episode: Annotated[int, typer.Option(min=1, help="Decisions of a stretch.")] = 480,
    sigma: Annotated[float, typer.Option(help="Deviation of the weights tried.")] = 0.06,
    rate: Annotated[float, typer.Option(help="Learning rate at the start.")] = 0.02,
    hidden: Annotated[int, typer.Option(min=1, help="Hidden units; each has a twin for the mirrored state.")] = 16,
    frames: Annotated[int, typer.Option(min=1, help="Newest states that it sees together.")] = 1,
    widening: Annotated[
        float, typer.Option(help="How the first policy's spread follows volatility, a power; 0: it is the base rule's.")
    ] = 0.0,
    spacing: Annotated[
        float, typer.Option(help="Distance of the first policy's further levels, in half spreads.")
    ] = 0.5,
    ignore: Annotated[
        str, typer.Option(help="Numbers of the state it does not look at, separated by commas.")
    ] = "portfolio_balance,price,performance_score",
    curriculum: Annotated[float, typer.Option(help=CURRICULUM_HELP)] = 0.0,
    seeds: Annotated[int, typer.Option(min=1, help="Evolutions, each by itself; several make an ensemble.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first of them: of weights, trials and stretches.")] = 0,
    cycle: Annotated[str, typer.Option(help="Market time between decisions.")] = "30s",
    latency: Annotated[
        str, typer.Option(help="Latencies of orders and answers, drawn for each stretch.")
    ] = "20ms,50ms,200ms",
    fees: Annotated[str, typer.Option(help="Maker fees, basis points, drawn for each stretch.")] = "0,1,2,4",
    queues: Annotated[
        str, typer.Option(help="Queue models, drawn for each stretch: risk_averse, prob, prob_log, front.")
    ] = "risk_averse,prob",
    capital: Annotated[float, typer.Option(help="What a lane starts with, quote.")] = 40_000.0,
    risk: Annotated[float, typer.Option(min=0.0, help="Weight of what is held, in the reward.")] = 0.01,
    strategy: Annotated[str, typer.Option("--strategy", help=STRATEGY_HELP)] = "shaped",
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of checkpoints and logs; else OUT.training.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Learn a policy that steers a strategy by evolution strategies; a second call goes on with a stopped one."""
    check_markets(tape, synthetic, like, regimes)
    from tidewright.agents.executor.environment_tape import TapeSettings
    from tidewright.agents.executor.learning.evolution import EvolutionSettings
    from tidewright.agents.executor.reward import Reward

    trading = TapeSettings(
        cycle_ns=parse_duration(cycle),
        decisions=episode,
        capital=capital,
        **conditions(latency, queues, fees),
        reward=Reward(beta=risk, gamma=0.0),
        **steered(strategy, setting or []),
    )
    ignored = tuple(part for part in ignore.split(",") if part)
    settings = EvolutionSettings(
        generations, lanes, stretches, sigma, rate, hidden, ignored, frames, widening, spacing, curriculum
    )
    words: dict[str, Any] = {
        "--generations": generations, "--lanes": lanes, "--stretches": stretches, "--episode": episode,
        "--sigma": sigma, "--rate": rate, "--hidden": hidden, "--frames": frames, "--ignore": ignore,
        "--widening": f"{widening:.12g}", "--spacing": f"{spacing:.12g}", "--curriculum": f"{curriculum:.12g}",
        "--seeds": seeds, "--seed": seed, "--cycle": cycle,
        "--latency": latency, "--fees": fees, "--queues": queues, "--capital": f"{capital:.12g}", "--risk": risk,
    }  # fmt: skip
    source = source_words(tape, hours, markets, like, regimes)
    rest = [*option_words(words), *steered_words(strategy, setting or [])]
    command = shlex.join(["tidewright", "evolve", "--out", out.name, *source, *rest])
    console = Console(stderr=True, highlight=False)
    tapes = prepared(console, out, tape, markets, hours, like, regimes)
    header, folder = origin(command, trading, tapes), work or Path(f"{out}.training")
    policy, newest = _evolve(console, tapes, trading, settings, list(range(seed, seed + seeds)), folder, header)
    told = {number: done._asdict() for number, done in newest.items()}
    hand_out(console, policy, out, folder, header, told, as_json)


def _evolve(
    console: Console,
    tapes: list[Tape],
    trading: "TapeSettings",
    settings: "EvolutionSettings",
    seeds: list[int],
    folder: Path,
    header: dict[str, Any],
) -> tuple["Policy", dict[int, "Generation"]]:
    from tidewright.agents.executor.learning.evolution import Evolution
    from tidewright.agents.executor.learning.evolving import EVERY, train

    told = TextColumn("reward {task.fields[reward]:+.4f}, base {task.fields[base]:+.4f}")
    which = TextColumn("seed {task.fields[seed]}")
    columns = (which, BarColumn(), MofNCompleteColumn(), told, TimeElapsedColumn(), TimeRemainingColumn())
    newest: dict[int, Generation] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        job = bar.add_task("", total=settings.generations * len(seeds), seed=seeds[0], reward=0.0, base=0.0)

        def tell(seed: int, done: "Generation") -> None:
            newest[seed] = done
            place = seeds.index(seed) * settings.generations + done.number
            bar.update(job, completed=place, seed=seed, reward=done.reward, base=done.base)
            if not console.is_terminal and done.number % EVERY == 0:
                figures = f"reward {done.reward:+.4f}, base rule {done.base:+.4f}"
                console.print(f"seed {seed}: generation {done.number}: {figures}")

        return train(lambda seed: Evolution(tapes, trading, settings, seed), seeds, folder, header, tell), newest
