"""``tidewright report``: the figures of a session, and its HTML page."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from tidewright.interface.session_report import find_database, write_report
from tidewright.measure.report import to_json
from tidewright.measure.report_table import render

Session = Annotated[
    Path | None,
    typer.Argument(help="A session's folder or database; the newest under ./runs if left out.", show_default=False),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Where the page goes; report.html beside the database if left out.", show_default=False
    ),
]
Name = Annotated[
    str | None, typer.Option("--session", help="Which session, if the database holds several; the last if left out.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as one line of JSON; all else goes to stderr.")]


def report(session_path: Session = None, html: Html = None, session: Name = None, as_json: Json = False) -> None:
    """Figures, mark-outs and proposals of a session, with their definitions, samples and assumptions, and a page."""
    result = write_report(find_database(session_path), html, session)
    console = Console(stderr=True, highlight=False)
    console.print(render(result.data, result.summary))
    console.print(f"page: {result.page}", soft_wrap=True)
    if as_json:
        answer = to_json(result.data, result.summary) | {"report": str(result.page)}
        print(orjson.dumps(answer).decode())
