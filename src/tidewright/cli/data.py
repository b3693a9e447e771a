"""``tidewright data``: import, record, reduce, show, check and synthesise tapes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tidewright.cli.facts import facts
from tidewright.cli.importing import Format, import_files
from tidewright.cli.record import record
from tidewright.market.clock import parse_duration
from tidewright.market.tape import Tape

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Import, record, reduce, show, check and synthesise tapes.",
)

_SHOW_PROGRESS_AFTER: Final = 2.0  # seconds


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
    symbol: Annotated[
        str | None, typer.Option(help="Its name, where the files do not say; which one, where they hold several.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="spot, linear or inverse; else concluded.")] = None,
    contract_size: Annotated[
        str | None, typer.Option(help="Of one contract: base units (linear) or quote units (inverse).")
    ] = None,
    exchange_info: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Binance's answer to GET exchangeInfo (/api/v3, /fapi/v1, /dapi/v1): tick, lot and filters as stated.",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="table: what its columns are called, e.g. ts=time,price=px,qty=size,side=side.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="table: trades, levels, quotes or bars; else as the columns suggest.")
    ] = None,
    quotes: Annotated[
        int | None,
        typer.Option(help="Trades and bars: assume best quotes this many ticks apart around every print.", min=1),
    ] = None,
    sort: Annotated[
        bool, typer.Option("--sort", help="Put trades and quotes in order of time first; takes the memory of all rows.")
    ] = False,
    hole: Annotated[
        str | None, typer.Option(help="book-snapshots: a longer time without a book is a gap. Default 2s.")
    ] = None,
    base_latency: Annotated[
        str | None, typer.Option(help="Shortest latency, where receipts must be corrected. Default 1ms.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a tape from recorded market data, and check it."""
    from tidewright.market.importers.column_map import parse_columns

    options = {
        "tick_size": tick,
        "lot_size": lot,
        "venue": venue,
        "symbol": symbol,
        "kind": kind,
        "contract_size": contract_size,
        "exchange_info": exchange_info,
        "columns": None if columns is None else parse_columns(columns),
        "rows": rows,
        "quote_ticks": quotes,
        "sort": sort or None,
        "hole_ns": None if hole is None else parse_duration(hole),
        "base_latency_ns": None if base_latency is None else parse_duration(base_latency),
    }
    with _progress(f"importing {out}") as progress:
        report = import_files(format_, files, out, options, progress).to_json()
    if as_json:
        _print_json(report)
        return
    findings = report.pop("check")["findings"]
    _answer(report, False, f"Imported {report['symbol']}")
    _print_findings(findings)


@app.command("reduce")
def reduce_(
    tape: TapePath,
    detail: Annotated[str, typer.Option("--detail", help="best-quotes, trades, or bars:LENGTH such as bars:1m.")],
    out: Out,
    quotes: Annotated[
        int | None,
        typer.Option(
            help="Trades and bars: ticks between the assumed quotes. Default: the tape's median spread.", min=1
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a tape with less on it, to see what coarse data costs."""
    from tidewright.market.reduce import reduce_tape

    source = Tape.open(tape)
    with _progress(f"writing {out}") as progress:
        report = reduce_tape(source, detail, out, quote_ticks=quotes or 0, progress=progress).to_json()
    if as_json:
        _print_json(report)
        return
    findings = report.pop("check")["findings"]
    _answer(report, False, f"Reduced {report['symbol']}")
    _print_findings(findings)


app.command()(record)
app.command()(facts)


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
        _print_findings(found.findings)
        console.print("usable" if found.usable else "unusable", style="bold")
    if not found.usable:
        raise typer.Exit(2)


@app.command()
def synth(
    out: Out,
    hours: Annotated[float, typer.Option(help="Market time.")] = 24.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    rate: Annotated[float | None, typer.Option(help="Packets a second in the mean; 2.5. Not with --like.")] = None,
    like: Annotated[Path | None, typer.Option(metavar="TAPE", help="Make it like this tape, and say how like.")] = None,
    regimes: Annotated[
        str | None,
        typer.Option(help="With --like: none, switching, calm, trending, volatile or mean-reverting. Default none."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="A crash in it: flash-crash, liquidity-drain, ..., or NAME:drop=0.2,duration=30m,at=0.25."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(help="With --like: simulations by which the rates are corrected; 10.", min=0, max=100),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a synthetic market: a BTCUSDT near 60,000 in regimes that change, or one like a given tape."""
    from tidewright.cli.synthesis import show_comparison, synthesise
    from tidewright.market.show import summarize

    with _progress(f"writing {out}") as progress:
        tape, found = synthesise(out, hours, seed, rate, like, regimes, scenario, rounds, progress)
    notes, summary = tape.meta["notes"], summarize(tape)
    summary["notes"] = {"seed": seed, "regime_changes": len(notes["regimes"])}
    summary["notes"].update({name: notes[name] for name in ("like", "scenario") if name in notes})
    if as_json:
        _print_json({**summary, **({"comparison": found} if found else {})})
        return
    _answer(summary, False, f"Tape {out}")
    if found:
        show_comparison(found)


@app.command("compare")
def compare_(
    tape: TapePath,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="The tape to compare with it.")],
    as_json: Json = False,
) -> None:
    """Compare two tapes: stylised facts, LOB-Bench scores, price responses."""
    from tidewright.cli.synthesis import comparison, show_comparison

    found = comparison(Tape.open(tape), Tape.open(other))
    if as_json:
        _print_json(found)
    else:
        show_comparison(found)


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
        console=(console := Console(stderr=True)),
        transient=True,
        disable=not console.is_terminal,  # it would only leave an empty line
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


def _print_findings(findings: list[str]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for text in findings:
        console.print(f"finding: {text}")


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
