"""``tidewright evaluate``: what a learned policy is worth on a tape, and what it does when."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tidewright.cli.seat_option import file_of
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape


def evaluate(
    tape: Annotated[
        list[Path], typer.Option("--tape", help="A tape the policy did not learn on; several with --examine.")
    ],
    policy: Annotated[Path, typer.Option("--policy", help="The policy's file, or `shipped`.")],
    fees: Annotated[str, typer.Option(help="Maker fees, basis points, separated by commas.")] = "0,1,2,4,8",
    examine: Annotated[
        bool, typer.Option("--examine", help="Examine it: may it be seated? The results go into its file.")
    ] = False,
    train_leak: Annotated[
        bool,
        typer.Option("--train-leak", help="Examine also that a policy that learns with the next move shown profits."),
    ] = False,
    date: Annotated[str | None, typer.Option(help="Date of the examination for the file; else today.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the examined policy here instead of over its file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the examinations to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Run a policy and its base rule over a tape at several fees, on the same events and with the same limits."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=140)
    if not examine and (len(tape) > 1 or html or out or date or train_leak):
        raise UsageError("several --tape, --html, --out, --date and --train-leak go with --examine")
    file = file_of(policy)
    if examine and file != policy and out is None:
        raise UsageError("the policy that is shipped is not written over: name the file of the examined one, --out")
    if examine:
        from tidewright.cli import examination

        answer = examination.examine(console, tape, file, _levels(fees), date, out, html, train_leak)
    else:
        answer = _evaluate(console, tape[0], file, _levels(fees))
    if as_json:
        print(orjson.dumps(_plain(answer)).decode())


def _evaluate(console: Console, tape: Path, policy: Path, levels: list[float]) -> dict[str, Any]:
    from tidewright.agents.executor.evaluation import evaluate as run
    from tidewright.agents.executor.policy import Policy

    learned, source = Policy.load(policy), Tape.open(tape)
    bar = Progress(
        TextColumn("evaluating"), BarColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    job = bar.add_task("", total=1.0)
    with bar:
        found = run(source, learned, levels, lambda share: bar.update(job, completed=share))
    seen_before = _seen_before(learned.header, source)
    table = Table(box=SIMPLE_HEAD, title=f"{policy.name} on {source.instrument.symbol}", title_justify="left")
    for column in ("fee bp", "who", "PnL", "95 %", "bp of volume", "SQN", "max drawdown", "fills", "aside"):
        table.add_column(column, justify="left" if column == "who" else "right")
    for row in found.rows:
        table.add_row(
            f"{row.fee_bp:g}",
            row.who,
            f"{row.pnl:,.2f}",
            f"{row.low:,.2f} .. {row.high:,.2f}",
            f"{row.pnl_per_volume_bp:.2f}",
            "n/a" if math.isnan(row.figures["sqn"]) else f"{row.figures['sqn']:.2f}",
            f"{row.figures['max_drawdown']:.3%}",
            f"{row.fills:,}",
            "" if math.isnan(row.aside) else f"{row.aside:.0%}",
        )
    console.print(table)
    if seen_before:
        console.print("the policy learned on this market at this time: the figures say nothing about another one")
    _show_behaviour(console, found.behaviour)
    return {"learned_on_this_tape": seen_before, **asdict(found)}


def _levels(text: str) -> list[float]:
    try:
        levels = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--fees takes basis points separated by commas, was {text!r}") from None
    if not all(abs(level) < 10_000 for level in levels):
        raise UsageError(f"--fees must be within 10000 basis points, was {text!r}")
    return levels


def _seen_before(header: Any, tape: Tape) -> bool:
    """Whether the policy is known to have learned on these rows, or on these hours of the market in others."""
    from tidewright.agents.executor.learned_on import Hours, shared
    from tidewright.agents.executor.policy_run import tape_hash

    known = {one["sha256"] for one in header.get("data", ())}
    return tape_hash(tape) in known or shared(header, Hours.of(tape)) is not None


def _show_behaviour(console: Console, behaviour: dict[str, list[dict[str, float]]]) -> None:
    table = Table(box=SIMPLE_HEAD, title="what it does when (means over thirds of the decisions)", title_justify="left")
    for column in ("state", "from .. to", "levels", "stance", "skew", "spread"):
        table.add_column(column, justify="left" if column == "state" else "right")
    for name, thirds in behaviour.items():
        for third in thirds:
            span = f"{third['from']:+.2f} .. {third['to']:+.2f}"
            table.add_row(name, span, *(f"{third[part]:.2f}" for part in ("levels", "stance", "skew", "spread")))
    console.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
