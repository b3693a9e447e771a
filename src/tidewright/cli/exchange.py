"""``tidewright exchange``: only the paper exchange, until it is stopped."""

import asyncio
import errno
import json
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tidewright.cli.queue_option import Queue, QueuePower, power_of
from tidewright.cli.waiting import waiting
from tidewright.engine.latency_text import FORMS, parse_latency
from tidewright.market.clock import parse_duration
from tidewright.market.detail import detail_of
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument, text_units
from tidewright.market.output import output_file
from tidewright.market.tape import Tape
from tidewright.venues.paper.credentials import StateFile
from tidewright.venues.paper.pacing import parse_pace
from tidewright.venues.paper.server import ExchangeOptions, Server, build

_DEFAULT_BASE = "1"
_DEFAULT_QUOTE = "100000"


def exchange(
    tape: Annotated[Path | None, typer.Option("--tape", help="The recorded market to replay.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Make a market instead of replaying one.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the synthetic market.")] = 1,
    hours: Annotated[float, typer.Option("--hours", help="Market hours of the synthetic market.")] = 24.0,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 picks a free one.", min=0, max=65535)] = 0,
    pace: Annotated[
        str, typer.Option("--pace", help="lockstep: time waits for registered sessions; 1x to 60x: of wall time.")
    ] = "lockstep",
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Keep the ready line (with the key) in this file, mode 600, while it runs."),
    ] = None,
    balance: Annotated[
        list[str] | None,
        typer.Option(
            "--balance", help="ASSET=AMOUNT the account starts with; once an asset. [default: 1 base, 100000 quote]"
        ),
    ] = None,
    entry_latency: Annotated[
        str,
        typer.Option("--entry-latency", help=f"Market time from an order's sending to its arrival, and back: {FORMS}."),
    ] = "50ms",
    response_latency: Annotated[
        str | None,
        typer.Option("--response-latency", help="Market time from its arrival to the answer. [default: the same]"),
    ] = None,
    feed_latency: Annotated[
        str, typer.Option("--feed-latency", help="Latency of market data, for a tape without receipt times.")
    ] = "0ms",
    queue: Queue = "risk_averse",
    queue_power: QueuePower = None,
) -> None:
    """Run a paper exchange that speaks Binance's spot protocol; its address and key are one JSON line on stdout."""
    rate = parse_pace(pace)
    latencies = parse_latency(entry_latency, response_latency)
    feed_ns = parse_duration(feed_latency)
    file = None if state is None else StateFile(output_file(state, "the state file"))
    key = file.load() if file is not None else None
    require_free(host, port)  # the engine may have to be compiled: what is known to fail should fail first
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with waiting("the synthetic market (its first making compiles its kernels)", console):
        market = _market(tape, synthetic, seed, hours)
    if detail_of(market.meta).touch_only:
        console.print(
            "note: the tape tells only the best quotes: they come as bookTicker and depth stays empty, so sessions of "
            "`tidewright trade`, which follow depth, cannot begin here"
        )
    options = ExchangeOptions(
        host=host,
        port=port,
        pace=rate,
        balances=(parse_balances(balance or (), market.instrument),),
        entry_ns=latencies.entry_ns,
        response_ns=latencies.response_ns,
        latency=latencies.model,
        feed_ns=feed_ns,
        queue=queue,
        queue_power=power_of(queue, queue_power),
        keys=None if key is None else (key,),
    )
    with waiting("the matching engine (its first start compiles its kernels)", console):
        server = build(market, options)  # before the loop runs: Ctrl-C must work while the engine compiles
    asyncio.run(_run(server, file))


def require_free(host: str, port: int) -> None:
    """See whether an address can be listened on, without keeping it.

    Raises
    ------
    UsageError
        If it is in use or may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror or error}"
        raise UsageError(f"port {port} on {host} {why}") from None


def parse_balances(texts: Iterable[str], instrument: Instrument) -> dict[str, str]:
    """Amounts by asset from ``ASSET=AMOUNT`` texts; without any, enough of both assets to try things out.

    Raises
    ------
    UsageError
        If a text has another form, an amount is negative or no number, or an asset is named twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        asset, separator, amount = text.partition("=")
        asset = asset.strip().upper()
        if not separator or not asset:
            raise UsageError(f"a balance must have the form ASSET=AMOUNT, was {text!r}")
        if asset in found:
            raise UsageError(f"the balance of {asset} was given twice")
        if text_units(amount.strip(), f"balance of {asset}") < 0:
            raise UsageError(f"the balance of {asset} must be >= 0, was {amount}")
        found[asset] = amount.strip()
    return found or {instrument.base: _DEFAULT_BASE, instrument.quote: _DEFAULT_QUOTE}


def _market(tape: Path | None, synthetic: bool, seed: int, hours: float) -> Tape:
    if (tape is not None) == synthetic:
        raise UsageError("give either --tape or --synthetic")
    if tape is not None:
        return Tape.open(tape)
    from tidewright.market.synthetic import synthesize  # compiles: only who needs it waits for it

    return synthesize(None, hours=hours, seed=seed)


async def _run(server: Server, file: StateFile | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    try:
        ready: dict[str, Any] = server.ready()
        if file is not None:
            file.write(ready)
        print(json.dumps(ready), flush=True)
        print(f"{ready['symbols'][0]} at {server.rest_url}; Ctrl-C ends it", file=sys.stderr)
        await _until(stop, server.failed())
    finally:
        if file is not None:
            file.remove()
        await server.close()


async def _until(stop: asyncio.Event, failed: Any) -> None:
    """Wait for a signal; an error of the exchange is raised."""
    waits = {asyncio.create_task(stop.wait()), asyncio.create_task(failed)}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
