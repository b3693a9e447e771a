"""``tidewright demo``: the whole system on a paper exchange of its own."""

import asyncio
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from tidewright import bootstrap
from tidewright.agents.executor.learned_on import Hours, shared
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.seat_fit import sizes as learned_sizes
from tidewright.cli import agents_option, paper_process, seat_option
from tidewright.cli.session_run import run_session
from tidewright.cli.waiting import waiting
from tidewright.market.clock import HOUR, MINUTE, SECOND, parse_duration
from tidewright.market.detail import detail_of
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import Tape
from tidewright.measure.report_table import render
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.strategies.sizes import Sizes
from tidewright.trading import state_file
from tidewright.trading.book import Book
from tidewright.trading.chair import load, refuse
from tidewright.trading.seat_settings import SeatSettings
from tidewright.trading.settings import AdviceSettings, AgentSettings, SessionSettings, StrategyAgent
from tidewright.venues.paper.pacing import LOCKSTEP, parse_pace

POOR: Final[dict[str, dict[str, float]]] = {
    # A first bid and ask 0.05 % apart, where two commissions alone cost 0.2 %.
    "grid": {"spread_percentage": 0.05, "levels": 4},
    # Far too sure that narrow quotes earn more.
    "avellaneda_stoikov": {"gamma": 0.0005, "kappa": 2.0, "levels": 4, "level_spacing": 0.5},
    "glft": {"gamma": 0.001, "kappa": 2.0, "levels": 4, "level_spacing": 0.5},
    # The base rule under a policy: sure that fills die out so fast that it must quote next to the mid.
    "shaped": {"gamma": 0.001, "kappa": 1.0},
}
QUOTE_BALANCE: Final = Decimal(100_000)
BASE_WORTH: Final = Decimal(60_000)
QUOTE_SIZE: Final = Decimal(120)  # worth of one quote
POSITION_SIZE: Final = Decimal(1_200)  # worth of max_position
POSITION_SHARE: Final = 0.05
WARMUP_NS: Final = 2 * HOUR
LAST_HOURS: Final = 24.0

CYCLE: Final = 30 * SECOND


@dataclass(frozen=True, slots=True)
class Market:
    """What the demo trades on.

    Attributes
    ----------
    base, params
        Base balance as decimal text, and the starting parameters, sized by the market's first price.
    warmup_ns, hours
        Warm-up, and how long is traded.
    """

    tape: Path
    symbol: str
    base: str
    quote: str
    base_amount: str
    params: dict[str, float]
    warmup_ns: int
    hours: float


def demo(
    tape: Annotated[
        Path | None, typer.Option("--tape", help="Trade on this recorded market instead of a synthetic BTCUSDT.")
    ] = None,
    pace: Annotated[
        str, typer.Option("--pace", help="lockstep: as fast as it goes; 1x to 60x: of wall time.")
    ] = "lockstep",
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours",
            help="Market hours to trade, after 2 h (or a quarter of a tape) of warm-up. [default: 24, or all of it]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the synthetic market and of the optimizer's search.")
    ] = 7,
    headless: Annotated[bool, typer.Option("--headless", help="Lines instead of the live display.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one line of JSON; all else goes to stderr.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run; one that broke off goes on. [default: runs/demo-DATE-TIME]"),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help=f"{registry.CHOICES} [default: a learned policy steers `shaped`]")
    ] = "",
    agents: Annotated[str, typer.Option("--agents", help=agents_option.AGENTS_HELP)] = "",
    coordination: Annotated[str, typer.Option("--coordination", help=agents_option.COORDINATION_HELP)] = "master_slave",
    policy: Annotated[
        str, typer.Option("--policy", help=f"{seat_option.POLICY_HELP} [default: the one that is shipped]")
    ] = "",
    challenger: Annotated[str, typer.Option("--challenger", help=seat_option.CHALLENGER_HELP)] = "",
    override: Annotated[bool, typer.Option("--override-examination", help=seat_option.OVERRIDE_HELP)] = False,
    sizing: Annotated[str, typer.Option("--sizing", help=seat_option.SIZING_HELP)] = "fixed",
    threshold: Annotated[
        float, typer.Option("--threshold", help="Least confidence (0 to 1) of a proposal that is acted on.")
    ] = 0.6,
    epoch: Annotated[str, typer.Option("--epoch", help="Market time between requests to the optimizer.")] = "30m",
    optimizer: Annotated[
        bool, typer.Option("--optimizer/--no-optimizer", help="With or without the second agent.")
    ] = True,
) -> None:
    """Run the whole system on a paper exchange of its own: no account, no network, no keys.

    The executor starts with poor parameters on purpose; the optimizer proposes better ones while it runs. Ctrl-C or
    `tidewright stop` ends it in order. At the end come the figures and an HTML report.
    """
    began = time.monotonic()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if hours is not None and not 0 < hours <= 24 * 366:
        raise UsageError(f"hours must be > 0 and at most a year, was {hours}")
    if seed < 0:
        raise UsageError(f"seed must be >= 0, was {seed}")
    speed, epoch_ns = parse_pace(pace), parse_duration(epoch)
    team = _team_alone(agents, strategy, policy)
    first = agents_option.base(team[0]) if team else strategy
    strategy, seat = _who_trades(first, policy, challenger, override, sizing, tape, console)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    # A third of an epoch to think in, beside the trading: waiting for it at once would be waiting at every epoch.
    think = max(1, epoch_ns // (max(3, len(team)) * CYCLE))  # several are asked about in turn
    advice = AdviceSettings(epoch_ns, answer_cycles=think, threshold=threshold, seed=seed)
    limits = Limits(max_position_share=POSITION_SHARE, strict=True)
    settings = SessionSettings(
        strategy=strategy,
        limits=limits,
        advice=advice if optimizer else None,
        seat=seat,
        coordination=coordination,
    )
    if seat.policy:
        refuse(load(seat.policy), settings, _maker_fee(tape))
    folder = out or Path("runs") / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    resumable = _resumable(folder)
    market = _market(folder, tape, hours, seed, settings, console)
    settings = replace(
        settings,
        params=market.params,
        warmup_ns=market.warmup_ns,
        duration_ns=_whole_cycles(market.hours),
        agents=AgentSettings(strategies=_team(team, market.params)),
    )
    try:
        result, report = asyncio.run(_run(folder, market, settings, speed, headless, resumable, console, began))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    console.print(render(report.data, report.summary))
    console.print(f"report: {report.page}")
    if as_json:
        print(orjson.dumps(result).decode(), flush=True)


def _team_alone(agents: str, strategy: str, policy: str) -> Sequence[str]:
    """Several strategies that trade; none if one does.

    Raises
    ------
    UsageError
        If one was asked for beside them.
    """
    team = agents_option.parse(agents)
    if team and strategy:
        raise UsageError(f"either --strategy {strategy} trades, or --agents {agents}")
    if team and policy:
        raise UsageError(f"one policy sits where one strategy trades: either --policy {policy}, or --agents {agents}")
    return team


def _who_trades(
    strategy: str, policy: str, challenger: str, override: bool, sizing: str, tape: Path | None, console: Console
) -> tuple[str, SeatSettings]:
    """The strategy and who sits: where the user chose neither, the policy that is shipped, or says why it does not."""
    shipped = not policy and not strategy and seat_option.shipped().is_file()
    seat = SeatSettings(
        policy=seat_option.found(seat_option.SHIPPED if shipped else policy),
        override_examination=override,
        challenger=seat_option.found(challenger),
        sizing=sizing,
    )
    if shipped and (why := _unfit(seat, _maker_fee(tape))):
        console.print(f"nobody sits in the executor's chair, the strategy grid trades: {why}")
        seat = replace(seat, policy="")
    strategy = strategy or (seat_option.strategy(seat.policy) if seat.policy else "grid")
    return registry.strategy(strategy).name, seat


def _maker_fee(tape: Path | None) -> int | None:
    return None if tape is None else Tape.open(tape).instrument.maker_fee


def _unfit(seat: SeatSettings, maker_fee: int | None) -> str:
    """Why the shipped policy does not sit where nobody asked for it, such as a tape with other fees; empty: it does."""
    try:
        sitter = load(seat.policy)
        refuse(sitter, SessionSettings(strategy=sitter.strategy, seat=seat), maker_fee)
    except UsageError as error:
        return str(error)
    return ""


def _team(names: Sequence[str], params: Mapping[str, float]) -> dict[str, StrategyAgent]:
    """Agents with their strategies' own defaults, and the demo's sizes."""
    sizes = {name: value for name, value in params.items() if name in ("base_quantity", "max_position")}
    return {name: agents_option.named(name, sizes) for name in names}


def _whole_cycles(hours: float) -> int:
    return max(CYCLE, round(hours * HOUR) // CYCLE * CYCLE)


def _resumable(folder: Path) -> dict[str, Any] | None:
    """The exchange of an earlier demo in the folder that was broken off, if it still runs.

    Raises
    ------
    UsageError
        If the folder holds anything else.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return None
    state = folder / state_file.NAME
    if state.is_file() and state_file.is_running(state_file.read(state)):
        raise UsageError(f"a session runs in {folder} already")
    ready = paper_process.running(folder / "exchange.json")
    if ready is None or not state.is_file() or state_file.read(state).get("stage") == "ended":
        raise UsageError(f"{folder} holds a run that is over; choose another --out")
    return ready


def _market(
    folder: Path, tape: Path | None, hours: float | None, seed: int, settings: SessionSettings, console: Console
) -> Market:
    warmup, strategy = WARMUP_NS, settings.strategy
    if tape is None:
        hours = hours or LAST_HOURS
        tape = folder / "market"
        if not tape.exists():
            from tidewright.market.synthetic import synthesize  # compiles: only who needs it waits for it

            console.print(f"making a market: {hours + WARMUP_NS / HOUR:g} hours, seed {seed}")
            folder.mkdir(parents=True, exist_ok=True)
            with waiting("the market (its first making compiles its kernels)", console):
                synthesize(tape, hours=hours + WARMUP_NS / HOUR + 0.02, seed=seed)
        opened = Tape.open(tape)
    else:
        opened = Tape.open(tape)
        if (detail := detail_of(opened.meta)).touch_only:
            raise UsageError(
                f"{tape} tells only the best quotes ({detail.text}), and a session follows the depth of the book: a "
                "demo needs a tape with one; backtest and optimize take this one"
            )
        length = opened.end_ns - opened.start_ns
        warmup = min(WARMUP_NS, length // 4 // MINUTE * MINUTE)
        left = (length - warmup) / HOUR
        if left * HOUR < 2 * MINUTE:
            raise UsageError(f"{tape} holds {length / MINUTE:.1f} minutes; a demo needs at least 3")
        hours = min(hours or left, left)
        folder.mkdir(parents=True, exist_ok=True)
    instrument = opened.instrument
    price = Decimal(instrument.price_text(_first_price(opened)))
    lot = Decimal(instrument.lot_size)

    def lots_worth(amount: Decimal) -> Decimal:
        return max(lot, (amount / price) // lot * lot)

    worth = float(QUOTE_BALANCE + BASE_WORTH)
    sizes = {"base_quantity": float(lots_worth(QUOTE_SIZE)), "max_position": float(lots_worth(POSITION_SIZE))}
    sitter = load(settings.seat.policy) if settings.seat.policy else Sitter()
    if sitter.policy is not None:  # in the proportions it learned with
        share = settings.limits.max_position_share
        sizes = dict(zip(sizes, learned_sizes(sitter, worth, float(price), float(lot), share), strict=True))
    sizes, sized = Sizes(instrument, float(price)).tradable(sizes, (), worth)
    if sized:
        console.print(f"sizes: {sized}", markup=False)
    names = registry.strategy(strategy).names  # of which a user's own need not have max_position
    params = {**POOR.get(strategy, {}), **{name: value for name, value in sizes.items() if name in names}}
    base_amount = f"{lots_worth(BASE_WORTH).quantize(Decimal('1e-8')).normalize():f}"
    return Market(tape, instrument.symbol, instrument.base, instrument.quote, base_amount, params, warmup, hours)


def _first_price(tape: Tape) -> int:
    """Best bid when the book is first whole, ticks.

    Raises
    ------
    DataError
        If it never is.
    """
    book = Book()
    for start in range(0, len(tape), 4096):
        book.apply(tape.data.rows(start, min(len(tape), start + 4096)))
        now = book.now()
        if now.whole:
            return now.best_bid
    raise DataError(f"the book of {tape.path} is never whole")


async def _run(
    folder: Path,
    market: Market,
    settings: SessionSettings,
    pace: float | None,
    headless: bool,
    resumable: dict[str, Any] | None,
    console: Console,
    began: float,
) -> tuple[dict[str, Any], Any]:
    exchange = None
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)  # until the session has its own
    if resumable is None:
        console.print("starting the paper exchange (its first start compiles the engine)")
        exchange = paper_process.PaperProcess(_exchange_arguments(folder, market, pace), folder / "exchange.log")
        try:
            with waiting("the paper exchange (its first start compiles its kernels)", console):
                ready = await exchange.start()
        except asyncio.CancelledError:  # Ctrl-C while it starts: it has a process group of its own
            await exchange.stop()
            raise
    else:
        console.print("the exchange of this run is still there: going on with its session")
        ready = resumable
    try:
        address = bootstrap.VenueAddress.from_ready(ready, market.symbol)
        return await run_session(
            folder,
            "demo",
            address,
            settings,
            pace,
            {
                "exchange_state": str((folder / "exchange.json").resolve()),
                "exchange_pid": exchange.pid if exchange is not None else ready["pid"],
            },
            console,
            title=f"Tidewright demo: {market.symbol}",
            notes=_notes(market, settings),
            headless=headless,
            began=began,
        )
    finally:
        if exchange is not None:
            await exchange.stop()
        elif resumable is not None:
            await paper_process.stop_pid(int(resumable["pid"]))


def _exchange_arguments(folder: Path, market: Market, pace: float | None) -> list[str]:
    return [
        "--tape", str(market.tape), "--pace", LOCKSTEP if pace is None else f"{pace:g}x",
        "--state", str(folder / "exchange.json"), "--balance", f"{market.base}={market.base_amount}",
        "--balance", f"{market.quote}={QUOTE_BALANCE}",
    ]  # fmt: skip


def _notes(market: Market, settings: SessionSettings) -> tuple[str, ...]:
    params = ", ".join(f"{name} {value:g}" for name, value in settings.params.items())
    title = registry.strategy(settings.strategy).title
    sitter = load(settings.seat.policy) if settings.seat.policy else None
    seated = () if sitter is None else (_seated(sitter), *_learned_here(sitter, market.tape))
    if settings.agents.strategies:
        return (
            f"{len(settings.agents.strategies)} agents on one account: {', '.join(settings.agents.strategies)}; "
            f"their capital is shared out by the pattern {settings.coordination}"
            + ("; the optimizer looks for better parameters of each in turn" if settings.advice is not None else ""),
            *_account_notes(market),
        )
    start = "poor parameters on purpose" if settings.strategy in POOR else "the strategy's own defaults"
    return (
        *seated,
        f"starts with {start} ({title}: {params}); the optimizer shall find better ones",
        *_account_notes(market),
    )


def _account_notes(market: Market) -> tuple[str, ...]:
    return (
        f"max_position_share is raised on purpose from 1 % to {POSITION_SHARE * 100:g} % of equity: "
        "there is more to see",
        f"account: {market.base_amount} {market.base} and {QUOTE_BALANCE} {market.quote}; "
        f"warm-up {market.warmup_ns / HOUR:g} h, then {market.hours:g} h of trading",
    )


def _learned_here(sitter: Sitter, tape: Path) -> tuple[str, ...]:
    """That the policy learned on these hours, if it is known to."""
    if sitter.policy is None or (learned := shared(sitter.policy.header, Hours.of(Tape.open(tape)))) is None:
        return ()
    return (f"it learned on this market, {learned.words()}: what it earns in these hours says nothing about others",)


def _seated(sitter: Sitter) -> str:
    if sitter.policy is None:
        return "the base rule sits in the executor's chair: nobody shapes its quotes"
    return f"policy {sitter.name} ({sitter.version}) sits in the executor's chair and shapes the quotes"
