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
from tidewright.market.tape import Tape
from tidewright.measure.report_page import write_whole

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
        Where the examined policy is written; ``None``: over the old file.
    """
    from tidewright.agents.executor import examination
    from tidewright.agents.executor.examination_page import page
    from tidewright.agents.executor.policy import Policy
    from tidewright.agents.executor.seating import doubts, may_be_seated

    target = out or policy
    for path in (target, *([html] if html is not None else [])):
        if not path.absolute().parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {path.absolute().parent}")
    learned, sources = Policy.load(policy), [Tape.open(path) for path in tapes]
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
    examined = found.written(learned)
    reasons = may_be_seated(examined)
    show(console, found, reasons, doubts(examined))
    try:
        examined.save(target)
        console.print(f"written: {target}", soft_wrap=True)
        if html is not None:
            console.print(f"page: {write_whole(html, page(found, policy.name, reasons))}", soft_wrap=True)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror or error}") from None
    return {
        "policy": str(target),
        "may_be_seated": not reasons,
        "reasons": reasons,
        "examinations": [one.to_json() for one in found.examinations],
        "standings": [one.to_json() for one in found.standings],
        "behaviour": found.behaviour,
        "examined": found.examined,
    }


def show(console: Console, found: "Examined", reasons: list[str], doubtful: list[str]) -> None:
    """Print the verdicts, and what follows from them."""
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
    if reasons:
        console.print(f"it may not be seated without an explicit override: {'; '.join(reasons)}", markup=False)
    else:
        rest = f", though {'; '.join(doubtful)}" if doubtful else ""
        console.print(f"it may be seated{rest}", markup=False)


def _command(tapes: list[Path], policy: Path, fees: list[float]) -> str:
    source = [word for path in tapes for word in ("--tape", str(path))]
    listed = ",".join(f"{fee:g}" for fee in fees)
    return shlex.join(["tidewright", "evaluate", "--examine", *source, "--policy", str(policy), "--fees", listed])
