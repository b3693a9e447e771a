"""``tidewright backtest``: one strategy over a tape, one lane or many."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tidewright.cli.fee_option import TIER_HELP, chosen_fees
from tidewright.cli.figures_table import figures_table
from tidewright.cli.idle_lanes import least_quantity, notes, rejected
from tidewright.cli.limit_option import limits_of
from tidewright.cli.portfolio import amounts, params_by_name, portfolio_answer, rates_of, show_portfolio
from tidewright.cli.queue_option import Queue, QueuePower, power_of
from tidewright.cli.ray_option import Ray, Threads, WithRay, announce
from tidewright.cli.waiting import waiting
from tidewright.engine.backtest import BacktestResult, backtest
from tidewright.engine.latency_text import FORMS
from tidewright.engine.portfolio import PortfolioResult, backtest_portfolio
from tidewright.engine.portfolio_plan import by_name
from tidewright.market.errors import UsageError
from tidewright.market.output import output_file
from tidewright.market.tape import Tape
from tidewright.strategies import registry

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

SET_HELP = "A parameter, name=value; name=a,b,c runs one lane for each value; others keep their default. " + ". ".join(
    f"{name}: {', '.join(strategy.names)}" for name, strategy in registry.STRATEGIES.items()
)
TOLD = ("venue", "symbol", "detail", "detail_level", "detail_fills", "source")  # of the tape, beside fills and equity
SHOWN = ("total_return", "sharpe", "sortino", "max_drawdown", "sqn", "win_rate", "n_fills", "volume_quote")
Feed = Annotated[
    str, typer.Option("--feed", "--feed-latency", help="How late rows without a receipt are known; recorded ones stay.")
]


@app.command(cls=WithRay)
def run(
    context: typer.Context,
    tape: Annotated[list[Path], typer.Option("--tape", help="The tape to replay; several are one portfolio.")],
    strategy: Annotated[str, typer.Option("--strategy", help=registry.CHOICES)] = "grid",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help=SET_HELP),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="A policy's file, or `shipped`, instead of a strategy; the rest as it learned."),
    ] = None,
    cycle: Annotated[str, typer.Option("--cycle", help="Market time between decisions.")] = "30s",
    maker_fee: Annotated[
        str | None, typer.Option("--maker-fee", help="Rate, 0.001 is 0.1 %; else the instrument's.")
    ] = None,
    taker_fee: Annotated[
        str | None, typer.Option("--taker-fee", help="Rate, 0.001 is 0.1 %; else the instrument's.")
    ] = None,
    latency: Annotated[
        str, typer.Option("--latency", help=f"Of an order on its way to the venue, and of the answer: {FORMS}.")
    ] = "50ms",
    fee_tier: Annotated[str | None, typer.Option("--fee-tier", help=TIER_HELP)] = None,
    impact: Annotated[
        str,
        typer.Option("--impact", help="What takers pay beyond the book: none, sqrt, sqrt:y=1,sigma=0.03,volume=20000."),
    ] = "none",
    feed: Feed = "0ms",
    queue: Queue = "risk_averse",
    queue_power: QueuePower = None,
    capital: Annotated[
        str, typer.Option("--capital", help="What a lane starts with, in quote; several: USD=5000,USDT=5000.")
    ] = "10000",
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", help="Several quote assets: what one of it is worth in the one without, USD=1.0001."),
    ] = None,
    base_inventory: Annotated[str, typer.Option("--base-inventory", help="What a lane starts with, in base.")] = "0",
    limits: Annotated[bool, typer.Option("--limits/--no-limits", help="Apply the default risk limits.")] = False,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", help="Apply the risk limits with this one, name=value or name=off (docs/risk.md)."),
    ] = None,
    fills: Annotated[Path | None, typer.Option("--fills", help="Write the fills to this parquet file.")] = None,
    equity: Annotated[
        Path | None, typer.Option("--equity", help="Write the equity curve to this parquet file.")
    ] = None,
    threads: Threads = None,
    ray: Ray = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one line of JSON; all else goes to stderr.")
    ] = False,
) -> None:
    """Run one strategy over a tape, or over several as one portfolio, and print its figures, with what was assumed."""
    sources = [Tape.open(path) for path in tape]
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=160)  # nobody's window: lines need not be short
    for path, what in ((fills, "the fills"), (equity, "the equity curve")):
        if path is not None:
            output_file(path, what)
    announce(console, ray)
    options: dict[str, Any] = {
        "cycle": cycle,
        "latency": latency,
        "feed": feed,
        "queue": queue,
        "queue_power": power_of(queue, queue_power),
        "limits": limits_of(limit or [], strict=False) if limits or limit else None,
        "base_inventory": base_inventory,
        "record_fills": True if fills is not None else None,
    }
    result: BacktestResult | PortfolioResult
    with _replaying(console, sum(map(len, sources))) as show:
        if len(sources) > 1:
            if policy is not None:
                raise UsageError("a policy trades one instrument: give one --tape with --policy")
            named = by_name(sources)
            result = backtest_portfolio(
                sources,
                strategy,
                params_by_name(set_ or [], list(named), _params),
                fees={
                    name: chosen_fees(each.instrument, maker_fee, taker_fee, fee_tier) for name, each in named.items()
                },
                capital=amounts(capital, "--capital"),
                rates=rates_of(rate or []),
                threads=threads,
                ray=ray,
                progress=show,
                **options,
            )
        else:
            fees = chosen_fees(sources[0].instrument, maker_fee, taker_fee, fee_tier)
            options |= {"fees": fees, "capital": capital, "progress": show, "impact": impact}
            options["record_equity"] = True if equity is not None else None
            if policy is not None:
                result = _steered(context, sources[0], policy, options)
            else:
                result = backtest(sources[0], strategy, _params(set_ or []), threads=threads, ray=ray, **options)
    _hand_out(console, result, fills, equity, as_json)


def _hand_out(
    console: Console, result: BacktestResult | PortfolioResult, fills: Path | None, equity: Path | None, as_json: bool
) -> None:
    """Write the files that were asked for, then show the figures."""
    if fills is not None:
        _write(_all_fills(result), fills, result)
    if equity is not None:
        _write(result.equity, equity, result)
    if isinstance(result, PortfolioResult):
        show_portfolio(console, result, SHOWN, _cell)
    else:
        _show(console, result)
    if as_json:
        answer = portfolio_answer(result, _answer) if isinstance(result, PortfolioResult) else _answer(result)
        print(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY).decode())


@contextmanager
def _replaying(console: Console, rows: int) -> Iterator[Callable[[int, int], None]]:
    """A bar of rows replayed, and the name of what comes before it where that takes long."""
    bar = Progress(
        TextColumn("replaying"), BarColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    job = bar.add_task("replaying", total=rows)
    waits = ExitStack()
    started = waits.enter_context(waiting("the engine (its first run compiles its kernels)", console))

    def show(done: int, _: int) -> None:
        started()
        bar.start()  # not before: a mistake in the options is one line, not a bar and a line
        bar.update(job, completed=done)

    try:
        yield show
    finally:
        waits.close()
        if bar.live.is_started:
            bar.stop()


def _steered(context: typer.Context, tape: Tape, file: Path, options: dict[str, Any]) -> BacktestResult:
    """Run a learned policy, with what it learned with where nothing else was asked for."""
    from tidewright.agents.executor.policy import Policy
    from tidewright.agents.executor.policy_run import backtest_policy
    from tidewright.cli.seat_option import file_of

    def given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name != "DEFAULT"

    wrong = [f"--{name.strip('_')}" for name in ("strategy", "set_", "threads", "ray") if given(name)]
    if wrong:
        raise UsageError(f"a policy runs by itself in one lane: {', '.join(wrong)} cannot be given with --policy")
    own = ("cycle", "latency", "queue", "limits", "capital")
    told = {name for name in own if given(name)} | ({"limits"} if given("limit") else set())
    asked = {name: value for name, value in options.items() if name not in own or name in told}
    return backtest_policy(tape, Policy.load(file_of(file)), **asked)


def _params(words: list[str]) -> dict[str, list[float]]:
    params: dict[str, list[float]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--set takes name=value, was {word!r}")
        try:
            params[name] = [float(part) for part in text.split(",")]
        except ValueError:
            raise UsageError(f"--set {name} must be a number or numbers with commas, was {text!r}") from None
    return params


def _write(frame: Any, path: Path, result: BacktestResult | PortfolioResult) -> None:
    """Parquet under its name only when it is complete; its metadata tells what was replayed."""
    told = {"tidewright.strategy": result.strategy}
    parts = result.instruments if isinstance(result, PortfolioResult) else {"": result}
    for name, part in parts.items():
        tape = part.assumptions["tape"]
        told |= {".".join(filter(None, ("tidewright", name, key))): str(tape[key]) for key in TOLD}
    temporary = path.with_name(f".{path.name}.partial")
    try:
        frame.write_parquet(temporary, metadata=told)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _all_fills(result: BacktestResult | PortfolioResult) -> Any:
    import polars as pl

    if result.lanes == 1:
        return result.fills(0)
    return pl.concat([result.fills(lane).with_columns(lane=pl.lit(lane)) for lane in range(result.lanes)])


def _answer(result: BacktestResult) -> dict[str, Any]:
    def plain(array: Any) -> Any:
        values = [None if isinstance(v, float) and not math.isfinite(v) else v for v in array.tolist()]
        return values[0] if result.lanes == 1 else values

    return {
        "strategy": result.strategy,
        "lanes": result.lanes,
        "params": {name: plain(values) for name, values in result.params.items()},
        "metrics": {name: plain(values) for name, values in result.metrics.items()},
        "statistics": {name: plain(values) for name, values in result.statistics.items()},
        "shares": result.shares,
        "notes": notes(result),
        "rejected": rejected(result),
        "least_quantity": least_quantity(result),
        "assumptions": result.assumptions,
        "memory": result.memory,
    }


def _show(console: Console, result: BacktestResult) -> None:
    varied = [name for name, values in result.params.items() if len(set(values.tolist())) > 1]
    shown = [name for name in SHOWN if name in result.metrics or name in result.statistics]
    if result.metrics["funding"].any():
        shown.append("funding")
    table = figures_table(
        f"{registry.strategy(result.strategy).title} on {result.instrument.symbol}", [*(varied or ["lane"]), *shown]
    )
    order = range(result.lanes)
    for lane in list(order)[:20]:
        cells = [f"{result.params[name][lane]:g}" for name in varied] or [str(lane)]
        for name in shown:
            source = result.metrics if name in result.metrics else result.statistics
            cells.append(_cell(name, source[name][lane]))
        table.add_row(*cells)
    console.print(table)
    if result.lanes > 20:
        console.print(f"... and {result.lanes - 20} lanes more (--json has them all)")
    for sentence in notes(result):
        console.print(f"note: {sentence}")
    facts = result.assumptions
    late = f"; rows without a receipt known {facts['feed_latency_ms']:g} ms late" if facts["feed_latency_ms"] else ""
    console.print(
        f"assumed: fees {facts['maker_fee']:.4%} maker, {facts['taker_fee']:.4%} taker ({facts['fee_schedule']}), in "
        f"{facts['fee_asset']}; latency {facts['latency']}{late}; queue {facts['queue']}; {facts['cohorts']}; "
        f"market impact: {facts['market_impact']}; funding: {facts['funding']}"
    )
    console.print(
        f"detail: {facts['tape']['detail_level']} ({facts['tape']['detail']}): {facts['tape']['detail_fills']}"
    )
    spent = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in result.shares.items() if share > 0)
    console.print(f"book: {spent}")
    console.print(f"ran in: {result.ran}")


def _cell(name: str, value: Any) -> str:
    number = float(value)
    if math.isnan(number):
        return "n/a"
    if name in ("total_return", "max_drawdown", "win_rate"):
        return f"{number:.3%}"
    if name.startswith("n_") or abs(number) >= 10_000:
        return f"{number:,.0f}"
    return f"{number:,.2f}"
