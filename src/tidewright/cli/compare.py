"""``tidewright compare``: contenders on held-out windows, paired on the same events."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tidewright.market.clock import parse_duration
from tidewright.market.errors import UsageError
from tidewright.market.output import output_file, write_whole
from tidewright.market.tape import Tape


def compare(
    tape: Annotated[list[Path], typer.Option("--tape", help="A tape; may be given several times.")],
    contender: Annotated[
        list[str] | None,
        typer.Option(
            "--contender",
            metavar="NAME=STRATEGY[,fixed|tuned|optimizer][,k=v ...]",
            help="One more beside the usual six; may be given several times.",
        ),
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Only the given contenders; the first is the reference.")
    ] = False,
    window: Annotated[str | None, typer.Option(help="Length of a held-out window; else a twelfth of them all.")] = None,
    train: Annotated[float, typer.Option(help="Share of the tape before the first window.")] = 0.5,
    fees: Annotated[str, typer.Option(help="Maker fees, basis points, separated by commas.")] = "0,1,2,4,8",
    cycle: Annotated[str, typer.Option(help="Market time between decisions.")] = "30s",
    latency: Annotated[str, typer.Option(help="Of an order on its way to the venue, and of the answer.")] = "50ms",
    queue: Annotated[
        str, typer.Option(help="Place in the queue: risk_averse, prob, prob_log or front.")
    ] = "risk_averse",
    capital: Annotated[str, typer.Option(help="What everybody has at the start of a window, quote.")] = "10000",
    order_share: Annotated[
        float | None,
        typer.Option(help="Size of an order over the capital. [default: 0.0025, or what the smallest order asks for]"),
    ] = None,
    position_share: Annotated[
        float | None, typer.Option(help="Largest position over the capital. [default: 0.02, or eight orders]")
    ] = None,
    candidates: Annotated[int, typer.Option(min=2, help="Parameter sets a generation of a search.")] = 256,
    generations: Annotated[int, typer.Option(min=1, help="Generations of a search.")] = 3,
    learning: Annotated[int, typer.Option(min=1, help="Generations of evolving the policy.")] = 40,
    policy: Annotated[
        str, typer.Option(help="Seat the policy of this file, or `shipped`, instead of evolving one on the first part.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of searches and learning.")] = 7,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts to this file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one line of JSON; all else goes to stderr.")
    ] = False,
) -> None:
    """Compare bots on windows that none of them has learnt from: same events, same capital, same limits.

    The usual six: the traditional grid, tuned Avellaneda-Stoikov, tuned GLFT, the grid with the optimizer, a learned
    policy alone, and the same policy with the optimizer. A policy that is known to have learned on what would be
    judged is refused.
    """
    from tidewright.agents.comparison.contenders import Contender, Effort, parse
    from tidewright.agents.comparison.contest import compare as run
    from tidewright.agents.comparison.learned import seated, usual
    from tidewright.agents.executor.seat import BASE
    from tidewright.cli.seat_option import found as found_policy
    from tidewright.interface.comparison_report import page, render, to_json

    given = contender or []
    if only and not given:
        raise UsageError("--only needs at least one --contender")

    if policy == BASE:
        raise UsageError("--policy takes the file of a policy, or shipped: the base rule competes as a contender")
    sitting = seated(Path(found_policy(policy)), parse_duration(cycle)) if policy else None

    def contenders() -> list[Contender]:
        return [*([] if only else usual(sitting)), *map(parse, given)]

    contenders()
    levels = _levels(fees)
    tapes = [Tape.open(path) for path in tape]
    if html is not None:
        output_file(html, "the page")
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("comparing"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    job = bar.add_task("comparing", total=1.0)

    def tell(share: float) -> None:
        bar.start()  # not before: a mistake in the options is one line, not a bar and a line
        bar.update(job, completed=share)

    try:
        found = run(
            tapes,
            contenders,
            window=window,
            train=train,
            fees_bp=levels,
            cycle=cycle,
            latency=latency,
            queue=queue,
            capital=capital,
            order_share=order_share,
            position_share=position_share,
            effort=Effort(candidates, generations, seed, learning),
            progress=tell,
        )
    finally:
        if bar.live.is_started:
            bar.stop()
    shown = Console(stderr=as_json, highlight=False)
    if not shown.is_terminal:
        shown = Console(stderr=as_json, highlight=False, width=170)  # a table cut to a narrow pipe says nothing
    shown.print(render(found))
    if html is not None:
        console.print(f"page: {write_whole(html, page(found))}", soft_wrap=True)
    if as_json:
        print(orjson.dumps(to_json(found)).decode())


def _levels(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--fees takes basis points separated by commas, was {text!r}") from None
