"""``tidewright optimize``: the optimizer's search on a tape, in and out of sample."""

import time as clock
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tidewright.agents.optimizer.belief import told_assumptions, told_verdict
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.optimize import Optimization
from tidewright.agents.optimizer.optimize import optimize as search
from tidewright.agents.optimizer.search import Search
from tidewright.agents.optimizer.study import Findings, Lane, Plan
from tidewright.agents.optimizer.verdict import THRESHOLD, Gate, Verdict
from tidewright.cli.fee_option import require_rate
from tidewright.cli.front_plot import front_plot
from tidewright.cli.front_table import front_table
from tidewright.cli.queue_option import Queue, QueuePower, power_of
from tidewright.cli.ray_option import Ray, Threads, WithRay, announce
from tidewright.cli.waiting import waiting
from tidewright.market.clock import SECOND, iso, parse_duration
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units
from tidewright.market.output import output_file, write_whole
from tidewright.market.tape import Tape
from tidewright.measure.validation_sections import validation_table
from tidewright.risk.limits import Limits
from tidewright.strategies import registry

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

TapeArg = Annotated[Path, typer.Option("--tape", help="The tape to search on.")]
Strategy = Annotated[str, typer.Option("--strategy", help=registry.CHOICES)]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A parameter of the incumbent, name=value; else the default.")
]
Ranges = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        help="What to search, name=low:high[:log|int], or a .toml, .yaml, .json file; else the strategy's own ranges.",
    ),
]
Objectives = Annotated[
    str | None,
    typer.Option("--objectives", help="Search a front: figures with commas, e.g. return,sharpe,max_drawdown."),
]
Constraints = Annotated[
    str | None, typer.Option("--constraints", help="Bounds with commas, e.g. 'max_drawdown<=0.05,fills>=20'.")
]
Candidates = Annotated[
    int | None,
    typer.Option("--candidates", min=2, help="Parameter sets a generation (512); with --objectives: in all (2048)."),
]
Generations = Annotated[int | None, typer.Option("--generations", min=1, help="Generations (4).")]
Budget = Annotated[
    str | None,
    typer.Option(
        "--time", help="Wall time a front's search may take, e.g. 60s; judging the best and validation follow it."
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="Of a front's search: ensemble (the default), gp, forest, tpe, genetic, lines or optuna_gp.",
    ),
]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="Save a front's search here after each batch; it survives a kill.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Carry on the search that is in --study: same tape, fees, latencies, sizes, ..."),
]
Page = Annotated[Path | None, typer.Option("--html", help="Write a page: front, surfaces, finalists, validation.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Random seed of the search; else the resumed study's, or 7.")
]
Cycle = Annotated[str, typer.Option("--cycle", help="Market time between decisions.")]
Epoch = Annotated[str, typer.Option("--epoch", help="How far ahead the confidence looks.")]
Last = Annotated[str | None, typer.Option("--last", help="Only the last stretch of the tape, e.g. 6h.")]
Latency = Annotated[
    str, typer.Option("--latency", help="Of an order on its way to the venue, and again of the answer.")
]
MakerFee = Annotated[str | None, typer.Option("--maker-fee", help="Rate, 0.001 is 0.1 %; else the instrument's.")]
TakerFee = Annotated[str | None, typer.Option("--taker-fee", help="Rate, 0.001 is 0.1 %; else the instrument's.")]
Equity = Annotated[str, typer.Option("--capital", "--equity", help="What a lane starts with, in quote.")]
Limited = Annotated[bool, typer.Option("--limits/--no-limits", help="Apply the default risk limits.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON; all else goes to stderr.")]


@app.command(cls=WithRay)
def optimize(
    tape: TapeArg,
    strategy: Strategy = "grid",
    set_: Set = None,
    space: Ranges = None,
    objectives: Objectives = None,
    constraints: Constraints = None,
    candidates: Candidates = None,
    generations: Generations = None,
    time: Budget = None,
    sampler: Sampler = None,
    study: StudyFile = None,
    resume: Resume = False,
    html: Page = None,
    seed: Seed = None,
    cycle: Cycle = "30s",
    epoch: Epoch = "30m",
    last: Last = None,
    latency: Latency = "50ms",
    maker_fee: MakerFee = None,
    taker_fee: TakerFee = None,
    queue: Queue = "risk_averse",
    queue_power: QueuePower = None,
    equity: Equity = "10000",
    limits: Limited = False,
    threads: Threads = None,
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Search parameters on a tape: bred in sample, the best few judged out of sample beside the incumbent."""
    source = Tape.open(tape)
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=160)  # a table cut to a narrow pipe says nothing
    require_rate(maker_fee, "--maker-fee")
    require_rate(taker_fee, "--taker-fee")
    text_units(equity, "--equity")
    incumbent = _values(set_ or [])
    goals = None if objectives is None else _listed(objectives, "--objectives")
    bounds = [] if constraints is None else _listed(constraints, "--constraints")
    seconds = None if time is None else parse_duration(time) / SECOND
    if html is not None:
        output_file(html, "the page")
    announce(console, ray)
    with _progress(console, seconds) as (progress, watch, stage):
        done = search(
            source,
            strategy,
            incumbent,
            _space(space or []),
            objectives=goals,
            constraints=bounds,
            candidates=candidates,
            generations=generations,
            seconds=seconds,
            sampler=sampler,
            file=study,
            resume=resume,
            slices=html is not None,
            seed=seed,
            cycle=cycle,
            epoch=epoch,
            last=last,
            latency=latency,
            fees=(maker_fee, taker_fee),
            queue=queue,
            queue_power=power_of(queue, queue_power),
            capital=equity,
            limits=Limits() if limits else None,
            threads=threads,
            ray=ray,
            progress=progress,
            watch=watch,
            stage=stage,
        )
    if done.search is not None:
        console.print(front_table(done.search))
        if (plot := front_plot(done.search)) is not None:
            console.print(plot)
    _print(console, done.plan, done.found)
    for line in told_verdict(done):
        console.print(line, soft_wrap=True)
    for line in told_assumptions(done):
        console.print(line, soft_wrap=True)
    detail = done.detail
    console.print(f"detail: {detail.level} ({detail.text}): {detail.fills}", soft_wrap=True)
    console.print(f"judged in: {done.ran}")
    if html is not None:
        from tidewright.agents.optimizer.front_page import page

        console.print(f"page: {write_whole(html, page(done, tape.name))}", soft_wrap=True)
    if as_json:
        print(orjson.dumps(_answer(done)).decode())


def _values(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"--set takes name=value with a number, was {text!r}") from None
        if not equals:
            raise UsageError(f"--set takes name=value, was {text!r}")
    return found


def _listed(text: str, option: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{option} takes entries with a comma between each two, was {text!r}")
    return parts


def _space(texts: list[str]) -> list[str] | Path | None:
    """Ranges as they stand, or the one file."""
    files = [text for text in texts if "=" not in text]
    if not files:
        return texts or None
    if len(texts) > 1:
        raise UsageError(f"--space takes one file, or ranges name=low:high; had {', '.join(texts)}")
    return Path(files[0])


Told = tuple[Callable[[int, int], None], Callable[[Search], None], Callable[[str], None]]


@contextmanager
def _progress(console: Console, seconds: float | None) -> Iterator[Told]:
    """A bar of candidates judged or of the time that may be taken, and under it the best of a front as they come.

    What follows the search is named: on a terminal in the bar, elsewhere once it takes long.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task("searching", total=None, told="")
    live = Live(console=console, transient=True, refresh_per_second=4)
    began, most = 0.0, 0

    waits = ExitStack()
    started = waits.enter_context(waiting("the engine (its first run compiles its kernels)", console))

    def tell(done: int, total: int) -> None:
        nonlocal began, most
        if not began:
            began, most = clock.monotonic(), total  # later totals grow with what was judged
        started()
        parts = [done / most] if most else []
        parts += [(clock.monotonic() - began) / seconds] if seconds else []
        told = f"{done:,} of {most:,} candidates" if most else f"{done:,} candidates"
        bar.update(task, completed=min(1.0, max(parts, default=0.0)), total=1.0 if parts else None, told=told)
        if console.is_terminal and not live.is_started:
            live.start()  # not before: a mistake in the options is one line, not a bar and a line
            live.update(bar)

    def watch(search: Search) -> None:
        if live.is_started and search.feasible.any():
            live.update(Group(bar, front_table(search, most=8)))

    def stage(what: str) -> None:
        waits.close()
        if live.is_started:
            bar.update(task, description=f"then {what}")
            live.update(bar)
        else:
            waits.enter_context(waiting(what, console))

    try:
        yield tell, watch, stage
    finally:
        waits.close()
        if live.is_started:
            live.stop()


def _print(console: Console, plan: Plan, found: Findings) -> None:
    parts = plan.split
    for name, window in (("in sample", parts.inside), ("out of sample", parts.outside)):
        cycles = window.cycles(plan.cycle_ns)
        console.print(f"{name:>13}: {iso(window.start_ns)} to {iso(window.end_ns)}, {cycles} cycles")
    if found.inside:
        console.print(_table(plan, found))
        console.print("%: return. Drawdown, Sharpe (annualised) and fills are out of sample. *: the chosen one.")
    console.print(f"{found.trials} parameter sets were tried; the figures of the best of so many flatter it.")
    evidence = found.evidence
    if evidence is not None:
        console.print(
            f"best against incumbent out of sample: {evidence.mean:+.6g} a cycle "
            f"[{evidence.lower:+.6g}, {evidence.upper:+.6g}], confidence {evidence.confidence:.2f} "
            f"for the next {evidence.horizon} cycles"
        )
        ahead = Memory().interval(evidence.expected, evidence.deviation)
        console.print(
            f"over these {evidence.horizon} cycles together: {ahead.expected:+.6g} expected, "
            f"{100 * ahead.level:.0f} % between {ahead.lower:+.6g} and {ahead.upper:+.6g} (no epoch was seen yet)"
        )
    if found.validation is not None:
        console.print(validation_table(found.validation, None if found.steady is None else found.steady.to_json()))
    if found.reason:
        console.print(f"no proposal: {found.reason}")


def _table(plan: Plan, found: Findings) -> Table:
    table = Table(
        title=f"{registry.strategy(plan.strategy).title}: in sample (in) and out of sample (out)",
        title_style="bold",
        box=SIMPLE_HEAD,
    )
    headings = ("score in", "out", "% in", "out", "max DD %", "Sharpe", "fills")
    for name in ("", *plan.space.names, *headings):
        table.add_column(name, justify="right" if name else "left", no_wrap=True, overflow="fold")
    outside: list[Lane | None] = list(found.outside) if found.outside else [None] * len(found.inside)
    for index, (inner, outer) in enumerate(zip(found.inside, outside, strict=True)):
        incumbent = index == len(found.inside) - 1
        name = "incumbent" if incumbent else f"finalist {index + 1}"
        cells = [f"{inner.params[key]:.6g}" for key in plan.space.names]
        cells += [_score(inner), "", f"{_percent(inner):.3f}"]
        if outer is not None:
            cells[-2] = _score(outer)
            figures = outer.figures
            cells += [f"{_percent(outer):.3f}", f"{100 * figures['max_drawdown']:.3f}", f"{figures['sharpe']:.1f}"]
            cells.append(f"{figures['fills']:.0f}")
        chosen = index == found.chosen
        table.add_row(f"{name} *" if chosen else name, *cells, style="bold" if chosen else "")
    return table


def _score(lane: Lane) -> str:
    return "few fills" if lane.score < TOO_FEW else f"{lane.score:.5f}"


def _percent(lane: Lane) -> float:
    return 100.0 * lane.figures["total_return"]


def _answer(done: Optimization) -> dict[str, Any]:
    """Plain values; orjson writes NaN as null."""
    plan, found = done.plan, done.found
    return {
        "strategy": plan.strategy,
        "proposal": done.proposal,
        "reason": found.reason,
        "incumbent": dict(plan.incumbent),
        "tape": {"detail": done.detail.text, "detail_level": done.detail.level, "detail_fills": done.detail.fills},
        "trials": found.trials,
        "seed": plan.seed,
        "confidence_score": None if found.evidence is None else found.evidence.confidence,
        "paired": found.evidence,
        "deflated_sharpe": found.deflated,
        "checks": done.checks,
        "gate": None if done.verdict is None else _gate(done.verdict),
        "validation": None if found.validation is None else found.validation.to_json(),
        "stability": None if found.steady is None else found.steady.to_json(),
        "in_sample": {"window": plan.split.inside, "lanes": found.inside},
        "out_of_sample": {"window": plan.split.outside, "lanes": found.outside},
        **_front_answer(done),
        "assumptions": done.assumptions,
    }


def _gate(found: Verdict) -> dict[str, Any]:
    """What the executor would say with its default thresholds."""
    return {
        "accepted": found.accepted,
        "reasons": list(found.reasons),
        "thresholds": {"confidence": THRESHOLD, **asdict(Gate())},
    }


def _front_answer(done: Optimization) -> dict[str, Any]:
    search = done.search
    if search is None:
        return {}
    front = search.front()
    columns = {**front.points, **front.values, **front.measures}
    return {
        "objectives": [goal.text for goal in search.problem.goals],
        "constraints": [part.text for part in search.problem.constraints],
        "judged": len(search),
        "shares": search.shares,
        "front": [{name: column[row].item() for name, column in columns.items()} for row in range(len(front))],
    }
