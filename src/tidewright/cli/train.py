"""``tidewright train``: learn a policy on tapes."""

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
from tidewright.cli.waiting import waiting
from tidewright.market.clock import parse_duration
from tidewright.market.tape import Tape

if TYPE_CHECKING:
    from tidewright.agents.executor.environment_tape import TapeSettings
    from tidewright.agents.executor.learning.ppo import Round, Settings
    from tidewright.agents.executor.policy import Policy


def train(
    out: Annotated[Path, typer.Option("--out", help="The policy's file, NAME.tw.")],
    tape: Annotated[list[Path] | None, typer.Option("--tape", help="A tape to learn on; may be repeated.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Learn on synthetic markets instead.")] = False,
    like: Annotated[Path | None, typer.Option(metavar="TAPE", help=LIKE_HELP)] = None,
    regimes: Annotated[str | None, typer.Option(help=REGIMES_HELP)] = None,
    hours: Annotated[float, typer.Option(help="Length of each synthetic market.")] = 8.0,
    markets: Annotated[int, typer.Option(min=1, help="How many synthetic markets.")] = 4,
    iterations: Annotated[int, typer.Option(min=1, help="Rounds of collecting and updating.")] = 100,
    lanes: Annotated[int, typer.Option(min=1, help="Lanes that learn together.")] = 256,
    cohorts: Annotated[int, typer.Option(min=1, help="Stretches of market they are dealt over.")] = 16,
    episode: Annotated[int, typer.Option(min=1, help="Decisions of an episode.")] = 240,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds; more than one make an ensemble.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    cycle: Annotated[str, typer.Option(help="Market time between decisions.")] = "30s",
    latency: Annotated[
        str, typer.Option(help="Latencies of orders and answers, drawn for each episode.")
    ] = "20ms,50ms,200ms",
    fees: Annotated[str, typer.Option(help="Maker fees, basis points, drawn for each episode.")] = "0,1,2,4",
    queues: Annotated[
        str, typer.Option(help="Queue models, drawn for each episode: risk_averse, prob, prob_log, front.")
    ] = "risk_averse,prob",
    capital: Annotated[float, typer.Option(help="What a lane starts with, quote.")] = 10_000.0,
    strategy: Annotated[str, typer.Option("--strategy", help=STRATEGY_HELP)] = "shaped",
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)] = None,
    extended: Annotated[bool, typer.Option("--extended", help="Also see queue positions and trade flow.")] = False,
    frames: Annotated[int, typer.Option(min=1, help="Newest observations that are seen together.")] = 1,
    curriculum: Annotated[float, typer.Option(help=CURRICULUM_HELP)] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch; more than one rarely helps.")] = 1,
    work: Annotated[Path | None, typer.Option(help="Folder of checkpoints and logs; else OUT.training.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Learn a policy that steers a strategy by reinforcement; a second call goes on with one that was stopped."""
    check_markets(tape, synthetic, like, regimes)
    from tidewright.agents.executor.environment_tape import TapeSettings
    from tidewright.agents.executor.learning.ppo import Settings, device_of

    device_of(device)
    trading = TapeSettings(
        cycle_ns=parse_duration(cycle),
        decisions=episode,
        capital=capital,
        **conditions(latency, queues, fees),
        extended=extended,
        **steered(strategy, setting or []),
    )
    # One pass in small steps: a round of 64 steps is worth the same with a quarter of the samples in each, and a step
    # takes the time of its samples.
    settings = Settings(
        iterations=iterations,
        epochs=1,
        minibatch=512,
        discount=0.97,
        entropy_weight=0.003,
        frames=frames,
        curriculum=curriculum,
    )
    words = {
        "--iterations": iterations, "--lanes": lanes, "--cohorts": cohorts, "--episode": episode, "--seeds": seeds,
        "--seed": seed, "--cycle": cycle, "--latency": latency, "--fees": fees, "--queues": queues,
        "--capital": f"{capital:.12g}", "--frames": frames, "--curriculum": f"{curriculum:.12g}",
    }  # fmt: skip
    source = source_words(tape, hours, markets, like, regimes)
    rest = [*option_words(words), *steered_words(strategy, setting or []), *(["--extended"] if extended else [])]
    command = shlex.join(["tidewright", "train", "--out", str(out), *source, *rest])
    console = Console(stderr=True, highlight=False)
    tapes = prepared(console, out, tape, markets, hours, like, regimes)
    header, folder = origin(command, trading, tapes), work or Path(f"{out}.training")
    header |= {"lanes": lanes, "cohorts": cohorts}
    numbers = list(range(seed, seed + seeds))
    policy, newest = _train(console, tapes, trading, settings, numbers, device, folder, header, threads)
    told = {
        number: {"rounds": done.iteration, "steps": done.steps, "reward": done.reward, "terms": done.terms}
        for number, done in newest.items()
    }
    hand_out(console, policy, out, folder, header, told, as_json)


def _train(
    console: Console,
    tapes: list[Tape],
    trading: "TapeSettings",
    settings: "Settings",
    seeds: list[int],
    device: str,
    folder: Path,
    header: dict[str, Any],
    threads: int,
) -> tuple["Policy", dict[int, "Round"]]:
    import torch

    from tidewright.agents.executor.environment_tape import HOLD, TapeEnvironment
    from tidewright.agents.executor.learning.training import train as learn

    torch.set_num_threads(threads)
    columns = (
        TextColumn("seed {task.fields[seed]}"), BarColumn(), MofNCompleteColumn(), TextColumn("rounds"),
        TextColumn("reward {task.fields[reward]:+.3f}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    job = bar.add_task("", total=settings.iterations * len(seeds), seed=seeds[0], reward=0.0)
    newest: dict[int, Round] = {}
    with waiting("the engine (its first run compiles its kernels)", console) as started:

        def make(seed: int) -> TapeEnvironment:
            return TapeEnvironment(tapes, header["lanes"], header["cohorts"], trading, seed)

        def tell(seed: int, done: "Round") -> None:
            started()
            bar.start()
            newest[seed] = done
            place = seeds.index(seed) * settings.iterations + done.iteration
            bar.update(job, completed=place, seed=seed, reward=done.reward)
            if not console.is_terminal and done.iteration % 10 == 0:
                console.print(f"seed {seed}: round {done.iteration}, {done.steps:,} steps, reward {done.reward:+.4f}")

        try:
            return learn(make, settings, seeds, folder, header, (trading.levels, HOLD), device, tell), newest
        finally:
            if bar.live.is_started:
                bar.stop()
