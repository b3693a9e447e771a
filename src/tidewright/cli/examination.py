"""What ``tidewright evaluate --examine`` does and shows."""

import shlex
from datetime import date as day
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tidewright import __version__
from tidewright.market.errors import UsageError
from tidewright.market.output import output_file, write_whole
from tidewright.market.tape import Tape

if TYPE_CHECKING:
    from tidewright.agents.executor.examination import Examined

STYLES = {"passed": "green", "failed": "red"}


def examine(
    console: Console,
    tapes: list[Path],
    policy: Path,
    fees: list[float],
    date: str | None,
    out: Path | None,
    html: Path | None,
    train_leak: bool = False,
) -> dict[str, Any]:
    """Examine a policy, show it, write the results into its file and a page; the answer for ``--json``.

    Parameters
    ----------
    date
        When, for the file; ``None``: today.
    out
        Where the examined policy is written; ``None``: over the old file. Reports of the same policy that lie there
        already are kept.
    """
    from tidewright.agents.executor import examination
    from tidewright.agents.executor.examination_page import page
    from tidewright.agents.executor.policy import Policy
    from tidewright.agents.executor.policy_run import settings_of
    from tidewright.agents.executor.seat_fit import unseatable
    from tidewright.agents.executor.seating import doubts, may_be_seated, reports

    target = out or policy
    learned, sources = Policy.load(policy), [Tape.open(path) for path in tapes]
    output_file(target, "the examined policy")
    if html is not None:
        output_file(html, "the page")
    there = [Policy.load(target)] if target.is_file() else []
    columns = (TextColumn("examining"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    job = bar.add_task("", total=1.0)
    with bar:
        found = examination.examine(
            sources,
            learned,
            fees,
            train_leak=train_leak,
            date=date or day.today().isoformat(),  # noqa: DTZ011  a note for people
            command=_command(tapes, policy, fees) + (" --train-leak" if train_leak else ""),
            version=__version__,
            tell=lambda share, what: bar.update(job, completed=share, description=what),
        )
    examined = found.written(learned, *there)
    never, against = unseatable(examined, settings_of(examined)), may_be_seated(examined)
    verdict = in_words(never, against, doubts(examined))
    show(console, found, fees)
    kept = reports(examined)
    if len(kept) > 1:
        console.print(f"its file holds {len(kept)} reports of this policy, of which this is one", markup=False)
    console.print(verdict, markup=False)
    try:
        examined.save(target)
        console.print(f"written: {target}", soft_wrap=True)
        if html is not None:
            console.print(f"page: {write_whole(html, page(found, policy.name, verdict))}", soft_wrap=True)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror or error}") from None
    return {
        "policy": str(target),
        "may_be_seated": not never and not against,
        "reasons": never + against,
        "no_session_seats_it": never,
        "examinations": [one.to_json() for one in found.examinations],
        "standings": [one.to_json() for one in found.standings],
        "behaviour": found.behaviour,
        "examined": {name: value for name, value in found.report.to_json().items() if name != "results"},
        "reports": len(kept),
    }


def in_words(never: list[str], against: list[str], doubtful: list[str]) -> str:
    """What follows from the verdicts, a sentence.

    Parameters
    ----------
    never, against, doubtful
        Why no session seats it at all, what an operator can override, and what came to no result.
    """
    if never:
        rest = f"; besides, {'; '.join(against)}" if against else ""
        return f"no session seats it, whatever is overridden: {'; '.join(never)}{rest}"
    if against:
        return f"it may not be seated without an explicit override: {'; '.join(against)}"
    return "it may be seated" + (f", though {'; '.join(doubtful)}" if doubtful else "")


def show(console: Console, found: "Examined", fees: list[float]) -> None:
    """Print the verdicts.

    Parameters
    ----------
    fees
        That were asked for, basis points.
    """
    from tidewright.agents.executor.examination_page import TITLES, headline

    table = Table(box=SIMPLE_HEAD, title="examinations (profits: bp of the largest position, a cycle)", show_lines=True)
    for column in ("examination", "verdict", "figures"):
        table.add_column(column)
    for one in found.examinations:
        style = STYLES.get(one.verdict, "yellow")
        table.add_row(TITLES[one.name], f"[{style}]{one.verdict}[/]", headline(one.name, one.figures))
    console.print(table)
    for one in found.examinations:
        console.print(f"{one.name}: {one.rule}", style="dim", markup=False)
    report = found.report
    more = [f"{fee:g} bp" for fee in report.fees_bp if fee not in fees]
    also = f"; {', '.join(more)} added: no fee and those it learned with are always examined" if more else ""
    listed = ", ".join(f"{fee:g}" for fee in report.fees_bp)
    console.print(f"examined on {report.cycles:,} cycles each at {listed} bp{also}", markup=False)


def _command(tapes: list[Path], policy: Path, fees: list[float]) -> str:
    source = [word for path in tapes for word in ("--tape", str(path))]
    listed = ",".join(f"{fee:g}" for fee in fees)
    return shlex.join(["tidewright", "evaluate", "--examine", *source, "--policy", str(policy), "--fees", listed])
