"""``tidewright data``: import, record, show, check and synthesise tapes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tidewright.cli.record import record
from tidewright.market.clock import parse_duration
from tidewright.market.tape import Tape

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Import, record, show, check and synthesise tapes.",
)

_SHOW_PROGRESS_AFTER: Final = 2.0  # seconds


class Format(StrEnum):
    """Recordings that can be imported."""

    BINANCE_RAW = "binance-raw"
    BOOK_SNAPSHOTS = "book-snapshots"


Json = Annotated[bool, typer.Option("--json", help="Print the answer as one line of JSON.")]
Out = Annotated[Path, typer.Option("--out", help="The tape folder to write; it must not exist.")]
TapePath = Annotated[Path, typer.Argument(metavar="TAPE", help="A tape folder.")]


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="The files of one stream, in any order.")],
    format_: Annotated[Format, typer.Option("--format", help="What the files hold.")],
    out: Out,
    tick: Annotated[str | None, typer.Option(help="Price step; else inferred from the prices.")] = None,
    lot: Annotated[str | None, typer.Option(help="Quantity step; else inferred from the quantities.")] = None,
    venue: Annotated[str | None, typer.Option(help="Name of the venue.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Whose messages to take; book-snapshots: its name.")] = None,
    hole: Annotated[str, typer.Option(help="book-snapshots: a longer time without a book is a gap.")] = "2s",
    base_latency: Annotated[str, typer.Option(help="Shortest latency, where receipts must be corrected.")] = "1ms",
    as_json: Json = False,
) -> None:
    """Write a tape from recorded market data."""
    paths: list[str | Path] = list(files)
    latency = parse_duration(base_latency)
    with _progress(f"importing {out}") as progress:
        if format_ is Format.BINANCE_RAW:
            from tidewright.market.importers.binance_raw import import_binance_raw

            report = import_binance_raw(
                paths,
                out,
                tick_size=tick,
                lot_size=lot,
                venue=venue or "binance",
                symbol=symbol,
                base_latency_ns=latency,
                progress=progress,
            )
        else:
            from tidewright.market.importers.book_snapshots import import_book_snapshots

            report = import_book_snapshots(
                paths,
                out,
                tick_size=tick,
                lot_size=lot,
                venue=venue,
                symbol=symbol,
                hole_ns=parse_duration(hole),
                base_latency_ns=latency,
                progress=progress,
            )
    _answer(report.to_json(), as_json, f"Imported {report.symbol}")


app.command()(record)


@app.command()
def show(tape: TapePath, as_json: Json = False) -> None:
    """Summarise a tape: span, rows, prices, spread, trades, and where it came from."""
    from tidewright.market.show import summarize

    _answer(summarize(Tape.open(tape)), as_json, f"Tape {tape}")


@app.command()
def check(
    tape: TapePath,
    silence: Annotated[str, typer.Option(help="Report a longer time without any packet.")] = "30s",
    as_json: Json = False,
) -> None:
    """Check that a tape can be used; exit code 2 if not.

    Looks for sequence gaps, a crossed or locked book, silence, clock skew and duplicates.
    """
    from tidewright.market.check import check_tape

    silence_ns = parse_duration(silence)
    found = check_tape(Tape.open(tape), silence_ns)
    if as_json:
        _print_json(found.to_json())
    else:
        _answer(found.figures, False, f"Tape {tape}")
        console = Console(highlight=False, markup=False, soft_wrap=True)
        for text in found.problems:
            console.print(f"problem: {text}", style="bold red")
        for text in found.findings:
            console.print(f"finding: {text}")
        console.print("usable" if found.usable else "unusable", style="bold")
    if not found.usable:
        raise typer.Exit(2)


@app.command()
def synth(
    out: Out,
    hours: Annotated[float, typer.Option(help="Market time.")] = 24.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    rate: Annotated[float, typer.Option(help="Packets a second in the mean.")] = 2.5,
    as_json: Json = False,
) -> None:
    """Write a synthetic BTCUSDT market near 60,000: calm, trending, volatile and illiquid by turns."""
    from tidewright.market.show import summarize
    from tidewright.market.synthetic import synthesize

    with _progress(f"writing {out}") as progress:
        tape = synthesize(out, hours, seed, rate, progress=progress)
    summary = summarize(tape)
    summary["notes"] = {"seed": seed, "regime_changes": len(tape.meta["notes"]["regimes"])}
    _answer(summary, as_json, f"Tape {out}")


# -- output -----------------------------------------------------------------------------------------------------------


@contextmanager
def _progress(label: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr for what takes longer than two seconds; hands out a function that is told the share done."""
    begun = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(label, total=1.0)

    def tell(share: float) -> None:
        if not bar.live.is_started:
            if time.monotonic() - begun < _SHOW_PROGRESS_AFTER:
                return
            bar.start()
        bar.update(task, completed=share)

    try:
        yield tell
    finally:
        if bar.live.is_started:
            bar.stop()


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def _answer(value: dict[str, Any], as_json: bool, title: str) -> None:
    if as_json:
        _print_json(value)
        return
    table = Table(title=title, show_header=False, title_justify="left", box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, item in value.items():
        words = name.replace("_", " ")
        if isinstance(item, dict) and item:
            for number, (part, inner) in enumerate(item.items()):
                table.add_row("" if number else words, part.replace("_", " "), _text(inner))
        else:
            table.add_row(words, "", _text(item))
    Console(highlight=False, markup=False).print(table)


def _text(item: Any) -> str:
    if isinstance(item, dict):
        return "   ".join(f"{name.replace('_', ' ')} {_text(part)}" for name, part in item.items())
    if isinstance(item, list):
        return f"{len(item)} entries"
    if isinstance(item, bool) or item is None:
        return {True: "yes", False: "no", None: "none"}[item]
    return f"{item:,}" if isinstance(item, int) else str(item)
