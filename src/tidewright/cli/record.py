"""``tidewright data record``: live public market data of a venue onto tapes."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tidewright.market.clock import SECOND, WallClock, parse_duration
from tidewright.market.errors import UsageError

if TYPE_CHECKING:
    from tidewright.venues.recording.recorder import Recorder, Summary, SymbolStatus
    from tidewright.venues.recording.venue import RecordedVenue

_PLAIN_EVERY_S: Final = 10.0  # between two reports where stderr is no terminal


class Venue(StrEnum):
    """Venues whose public market data can be recorded."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    KRAKEN = "kraken"


class Rotation(StrEnum):
    """How much market goes on one tape."""

    HOUR = "1h"
    DAY = "1d"


def record(
    venue: Annotated[Venue, typer.Option(help="Where to record.")],
    symbols: Annotated[list[str], typer.Option(help="What to record, with commas between; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder of the recordings; what is there already is continued.")],
    rotate: Annotated[Rotation | None, typer.Option(help="A new tape every hour or day (UTC); else one tape.")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="End after this long, e.g. 10m; else at Ctrl-C.")] = None,
    tick: Annotated[
        list[str] | None, typer.Option(help="Price step instead of the venue's, for all or as SYMBOL=STEP.")
    ] = None,
    lot: Annotated[
        list[str] | None, typer.Option(help="Quantity step instead of the venue's, for all or as SYMBOL=STEP.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(help="Levels a side: binance's snapshots (5000), kraken's book (1000); coinbase sends all."),
    ] = None,
    rest_url: Annotated[str, typer.Option(help="Another root for REST requests, e.g. a mirror.")] = "",
    ws_url: Annotated[str, typer.Option(help="Another WebSocket endpoint.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")] = False,
) -> None:
    """Record live market data to tapes that can be read while they grow. Needs no account and no keys.

    Every message's sequence or checksum is verified; what was missed is marked as a gap and healed from a snapshot.
    Lost connections are made anew, and a recording that was ended or killed is continued. Ctrl-C ends it.
    """
    from tidewright.venues.recording.recorder import Recorder

    seconds = None if for_ is None else _seconds(for_)
    recorder = Recorder(
        _venue(venue, rest_url, ws_url, depth),
        [name for text in symbols for part in text.split(",") if (name := part.strip())],
        out,
        WallClock(),
        rotate_ns=parse_duration(rotate.value) if rotate is not None else 0,
        ticks=_steps(tick or [], "--tick"),
        lots=_steps(lot or [], "--lot"),
    )
    summary = asyncio.run(_run(recorder, seconds))
    if as_json:
        sys.stdout.write(orjson.dumps(summary.to_json()).decode() + "\n")
    else:
        _print_summary(summary)


def _seconds(text: str) -> float:
    seconds = parse_duration(text) / SECOND
    if not seconds:
        raise UsageError(f"--for must be longer than nothing, was {text!r}")
    return seconds


def _steps(texts: list[str], option: str) -> dict[str, str]:
    """Steps by symbol; the key of one without a symbol is empty."""
    steps: dict[str, str] = {}
    for text in texts:
        symbol, _, step = text.rpartition("=")
        if not step or symbol in steps:
            raise UsageError(f"{option} takes one step for all, or one SYMBOL=STEP for each symbol, was {text!r}")
        steps[symbol] = step
    return steps


def _venue(venue: Venue, rest_url: str, ws_url: str, depth: int | None) -> "RecordedVenue":
    for option, url, schemes in (("--rest-url", rest_url, ("http", "https")), ("--ws-url", ws_url, ("ws", "wss"))):
        if url and url.partition("://")[0] not in schemes:
            raise UsageError(f"{option} must begin with {schemes[0]}:// or {schemes[1]}://, was {url!r}")
    if venue is Venue.BINANCE:
        from tidewright.venues.binance.market_data import DEPTH, Binance

        return Binance(rest_url, ws_url, DEPTH if depth is None else depth)
    if venue is Venue.KRAKEN:
        from tidewright.venues.kraken.market_data import DEPTHS, Kraken

        return Kraken(rest_url, ws_url, DEPTHS[-1] if depth is None else depth)
    from tidewright.venues.coinbase.market_data import Coinbase

    if depth is not None:
        raise UsageError("--depth cannot be chosen for coinbase: it sends the full book")
    return Coinbase(rest_url, ws_url)


async def _run(recorder: "Recorder", seconds: float | None) -> "Summary":
    """Record until the time is over or SIGINT or SIGTERM comes; both end it cleanly."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        console = Console(stderr=True, highlight=False, markup=False)
        if not console.is_terminal:
            return await recorder.run(stop, seconds, _plain_reports(console))
        with Live(console=console, auto_refresh=False, transient=True) as live:
            return await recorder.run(stop, seconds, lambda found: live.update(_table(found), refresh=True))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _plain_reports(console: Console) -> Callable[[list["SymbolStatus"]], None]:
    """A line a symbol, the first at once, then every ten seconds."""
    last = float("-inf")

    def report(found: list["SymbolStatus"]) -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last >= _PLAIN_EVERY_S:
            last = moment
            for status in found:
                console.print("  ".join(_cells(status)), soft_wrap=True)

    return report


def _cells(status: "SymbolStatus") -> list[str]:
    return [
        status.symbol,
        status.state,
        f"{status.rows:,} rows",
        f"{status.rate:,.0f}/s",
        _gaps(status.gaps),
        f"last {status.last_price or '-'}",
        f"lag {status.lag_ms:,.0f} ms" if status.lag_ms is not None else "lag -",
    ]


def _gaps(count: int) -> str:
    return f"{count} gap{'' if count == 1 else 's'}"


def _table(found: list["SymbolStatus"]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for status in found:
        table.add_row(*_cells(status))
    return table


def _print_summary(summary: "Summary") -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    reconnects = max(0, summary.connects - 1)
    console.print(
        f"Recorded {summary.venue} for {summary.seconds:,.0f} s; {summary.connects} connections, "
        f"{summary.malformed} malformed messages"
    )
    if reconnects and summary.problem:
        console.print(f"last connection lost: {summary.problem}")
    for symbol, item in summary.symbols.items():
        console.print(f"{symbol}: {item['rows']:,} rows, {item['trades']:,} trades, {_gaps(item['gaps'])}")
        for path in item["tapes"]:
            console.print(f"  {path}")
