"""``tidewright data facts``: facts about fills that a simulation has to reproduce, measured on a tape."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tidewright.market.clock import parse_duration
from tidewright.market.output import output_file, write_whole
from tidewright.market.tape import Tape


def facts(
    tape: Annotated[Path, typer.Argument(metavar="TAPE", help="A tape folder.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts to this file.")] = None,
    queue: Annotated[str, typer.Option(help="Place in the queue: risk_averse, prob or prob_log.")] = "risk_averse",
    queue_power: Annotated[float, typer.Option(help="Exponent of prob.")] = 3.0,
    latency: Annotated[str, typer.Option(help="Of an order on its way to the venue, and of the answer.")] = "50ms",
    life: Annotated[
        str | None, typer.Option(help="How long a probe is left alone; else from the tape's own activity.")
    ] = None,
    orders: Annotated[int, typer.Option(help="About how many probes; at most four times a second.")] = 120_000,
    cycle: Annotated[str, typer.Option(help="Time between the makers' decisions.")] = "1s",
    lanes: Annotated[int, typer.Option(help="Symmetric makers, one spacing each.")] = 1_024,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if a fact is not as expected.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one line of JSON; all else goes to stderr.")
    ] = False,
) -> None:
    """Test the simulation's fills on a tape against what the literature found about real ones.

    Probes on both sides at regular times, symmetric makers of many spacings, fees from 0 to 8 bp, the largest falls.
    """
    # Loaded here: the other commands of `data` need neither engine nor charts.
    from tidewright.interface.facts_probes import ProbeSettings
    from tidewright.interface.facts_report import FactsSettings, measure_facts
    from tidewright.measure.fill_facts import NOT_EXPECTED
    from tidewright.measure.fill_facts_page import page
    from tidewright.measure.fill_facts_report import to_json
    from tidewright.measure.fill_facts_table import render

    source = Tape.open(tape)
    settings = FactsSettings(
        ProbeSettings(
            life_ns=None if life is None else parse_duration(life),
            entry_ns=parse_duration(latency),
            orders=orders,
            queue=queue,
            queue_power=queue_power,
        ),
        cycle_ns=parse_duration(cycle),
        lanes=lanes,
    )
    if html is not None:
        output_file(html, "the page")
    console = Console(stderr=True, highlight=False)
    bar = Progress(TextColumn("measuring"), BarColumn(), TimeElapsedColumn(), console=console, transient=True)
    job = bar.add_task("measuring", total=1.0)

    def tell(share: float) -> None:
        bar.start()  # not before: a mistake in the options is one line, not a bar and a line
        bar.update(job, completed=share)

    try:
        report = measure_facts(source, settings, tell)
    finally:
        if bar.live.is_started:
            bar.stop()
    shown = console if as_json else Console(highlight=False)
    shown.print(render(report, shown.width))
    if html is not None:
        console.print(f"page: {write_whole(html, page(report))}", soft_wrap=True)
    if as_json:
        print(orjson.dumps(to_json(report)).decode())
    if strict and report.count(NOT_EXPECTED):
        raise typer.Exit(1)
