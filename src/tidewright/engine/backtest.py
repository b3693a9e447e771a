"""``tw.backtest``: one strategy over a tape, one lane or thousands, and what it was assumed to meet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine.config import ReplayConfig
from tidewright.engine.impact import Impact
from tidewright.engine.impact_text import parse_impact
from tidewright.engine.latency_text import LatencyLike, parse_latency
from tidewright.engine.refused import Refused, why_refused
from tidewright.engine.sweep import Job, Result, Rows, Runner, chunks, runner
from tidewright.market.clock import iso, parse_duration
from tidewright.market.codes import FUNDING, MARK, PACKET_END, SELL, UNIT
from tidewright.market.detail import detail_of
from tidewright.market.errors import UsageError
from tidewright.market.fees import Fees, as_fees
from tidewright.market.instrument import Instrument, text_units, units_text
from tidewright.market.order_size import last_price
from tidewright.market.tape import F64, I64, Columns, Tape
from tidewright.measure.figures import from_statistics
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import Declaration
from tidewright.strategies.sizes import AS_GIVEN, Sizes

if TYPE_CHECKING:
    import polars as pl

RECORDED_LANES: Final = 16  # up to so many lanes keep their fills and equity unless told otherwise

Rate = str | int | float | Decimal
Params = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What the lanes did.

    Attributes
    ----------
    strategy, params
        What was run: the name (of a user's own ``/path/file.py:name``), and the checked parameters by name, arrays
        over lanes.
    metrics
        Figures by name, arrays over lanes; definitions in :mod:`tidewright.measure.definitions`. NaN where the sample
        is too small.
    statistics
        The streamed sums that the figures come from; keys in :mod:`tidewright.engine.statistics`.
    shares
        Fractions of time the book was whole, in a gap, one-sided, crossed, out of the price window.
    assumptions
        All that was assumed: fees, latencies, queue model, limits, tape detail, shares inferred, cohort plan.
    equity_ts, equity_values
        Times (n,) int64 ns and equity (n, lanes) float64 quote, if recorded.
    ran
        Where it ran, for people: "2 threads".
    last_ticks
        Newest price on the tape, of a trade or a best price, ticks.
    refused
        Why orders were rejected, where a lane had more than half of its orders rejected.
    memory
        Bytes that the engines held in the end: window_bytes, lanes_bytes, records_bytes. All but these two is the same
        bytes wherever it ran.
    """

    instrument: Instrument
    strategy: str
    params: dict[str, F64]
    metrics: dict[str, npt.NDArray[Any]]
    statistics: dict[str, npt.NDArray[Any]]
    shares: dict[str, float]
    assumptions: dict[str, Any]
    equity_ts: I64 | None
    equity_values: F64 | None
    _fills: npt.NDArray[np.void] | None
    ran: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    last_ticks: int = 1
    refused: Refused | None = None
    _fee_asset: str = ""

    @property
    def lanes(self) -> int:
        """How many lanes ran."""
        return len(self.statistics["n_samples"])

    @property
    def equity(self) -> "pl.DataFrame":
        """Equity at every decision and at the end: columns ts (int64 ns), then one a lane, ``equity`` for a single one.

        Raises
        ------
        UsageError
            If equity was not recorded.
        """
        import polars as pl

        if self.equity_ts is None or self.equity_values is None:
            raise UsageError("equity was not recorded: pass record_equity=True")
        names = ["equity"] if self.lanes == 1 else [f"lane_{lane}" for lane in range(self.lanes)]
        values = {name: self.equity_values[:, lane] for lane, name in enumerate(names)}
        return pl.DataFrame({"ts": self.equity_ts, **values})

    def _fee_assets(self) -> tuple[str, str, str]:
        return self.instrument.base, self.instrument.quote, self._fee_asset

    def fills(self, lane: int = 0) -> "pl.DataFrame":
        """Fills of one lane in the order they happened.

        Returns
        -------
        pl.DataFrame
            ts, known_ts (int64 ns), side (buy, sell), price, qty, fee (decimal text), fee_asset, maker, order,
            price_ticks, qty_lots (int64). ``order`` counts the lane's orders that filled, from 1, in the order in
            which they were sent.

        Raises
        ------
        UsageError
            If fills were not recorded or there is no such lane.
        """
        import polars as pl

        if self._fills is None:
            raise UsageError("fills were not recorded: pass record_fills=True")
        if not 0 <= lane < self.lanes:
            raise UsageError(f"lane must be in 0..{self.lanes - 1}, was {lane}")
        begin, stop = np.searchsorted(self._fills["lane"], (lane, lane + 1))
        rows, known = self._fills[begin:stop], self.instrument
        return pl.DataFrame(
            {
                "ts": rows["ts"],
                "known_ts": rows["known_ns"],
                "side": ["sell" if side == SELL else "buy" for side in rows["side"].tolist()],
                "price": [known.price_text(ticks) for ticks in rows["price"].tolist()],
                "qty": [known.qty_text(lots) for lots in rows["qty"].tolist()],
                "fee": [units_text(units) for units in rows["fee"].tolist()],
                "fee_asset": [self._fee_assets()[asset] for asset in rows["fee_asset"].tolist()],
                "maker": rows["maker"] == 1,
                "order": rows["number"],
                "price_ticks": rows["price"],
                "qty_lots": rows["qty"],
            },
            schema_overrides=dict.fromkeys(("side", "price", "qty", "fee", "fee_asset"), pl.String),
        )


def backtest(
    tape: Tape,
    strategy: str | Declaration = "grid",
    params: Params | None = None,
    *,
    cycle: str | int | float = "30s",
    fees: tuple[Rate, Rate] | str | Fees | None = None,
    latency: LatencyLike = "50ms",
    response: str | int | float | None = None,
    feed: str | int | float = "0ms",
    queue: str = "risk_averse",
    queue_power: float = 3.0,
    impact: str | Impact | None = None,
    limits: Limits | None = None,
    start: int | None = None,
    end: int | None = None,
    capital: Rate = "10000",
    base_inventory: Rate = "0",
    check_balance: bool = False,
    window_ticks: int = 0,
    record_fills: bool | None = None,
    record_equity: bool | None = None,
    threads: int | None = None,
    ray: bool | str | None = None,
    by: Runner | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:
    """Run a strategy over a tape.

    Parameters
    ----------
    strategy
        Name of a built-in, or a user's own: ``"FILE.py:NAME"``, or what ``@tw.strategy`` made of a function.
    params
        Strategy parameters by name, scalars or arrays over lanes; what is absent takes its default. A default size that
        the venue would refuse on this tape is raised to one that it lets pass; ``assumptions["sizes"]`` says so.
    cycle
        Time between decisions, a duration ("30s", "100ms") or seconds.
    fees
        Maker and taker rate (0.001 is 0.1 %); a venue's published tier ("binance:VIP1", or "binance:VIP1,BNB=612.5" to
        pay them in BNB at that price), see :func:`tidewright.market.fees.fees_of`; ``None``: the instrument's.
    latency, response
        Of an order on its way to the venue, and of the venue's answer (``None``: the same). Instead of a duration,
        "table:FILE" (recorded, interpolated) or "sampled:50ms,spike=500ms,p=0.01,seed=7", or a model of
        :mod:`tidewright.engine.latency`; these say both.
    feed
        Feed latency of a tape without receipt times.
    impact
        What takers pay beyond the book: "sqrt" (measured on the tape so far), "sqrt:y=1,sigma=0.03,volume=20000", or
        :class:`tidewright.engine.impact.Impact`; ``None``: nothing. Built-in strategies never take.
    limits
        Risk limits of every lane; a plain backtest has none.
    start, end
        First time of decisions' counting and last row, ns; rows before the start only build the book.
    capital, base_inventory
        What every lane starts with, quote and base; the base of returns is their value at the first mid.
    check_balance
        Refuse orders the free balance does not cover; otherwise balances may go negative.
    record_fills, record_equity
        Keep every fill, every equity sample; ``None``: for up to 16 lanes.
    threads
        Threads that share the lanes; ``None``: one, or with many lanes as many as there are cores. The results are the
        same bytes for any number.
    ray
        Spread the lanes over a Ray cluster instead: its address, or ``True`` for the one that runs here or a new one on
        this machine's cores; see :mod:`tidewright.engine.cluster`. The same bytes again.
    by
        Who runs the lanes instead, such as a learned policy that steers them.
    progress
        Called with rows done and rows in all.

    Raises
    ------
    UsageError
        If a name is unknown or a value out of range; if a user's own strategy cannot be compiled, raises or writes
        nonsense (then it names the line).
    NotFoundError
        If a strategy's file is not there.
    """
    prepared = prepare(
        tape,
        strategy,
        params,
        cycle=cycle,
        fees=fees,
        latency=latency,
        response=response,
        feed=feed,
        queue=queue,
        queue_power=queue_power,
        limits=limits,
        start=start,
        end=end,
        capital=capital,
        base_inventory=base_inventory,
        check_balance=check_balance,
        window_ticks=window_ticks,
        record_fills=record_fills,
        record_equity=record_equity,
        impact=impact,
    )
    result = prepared.result((by or runner(threads, ray)).run(prepared.rows, prepared.job, progress))
    if by is not None:  # what steers the lanes is not there to ask again
        return result
    return replace(result, refused=why_refused(prepared.rows, prepared.job, result.statistics))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A backtest that is checked and may run.

    Attributes
    ----------
    tape, rows
        What is replayed.
    job
        What the lanes share, and their parameters.
    table
        Checked parameters, (lanes, n) float64.
    capital, base_inventory
        As they were given, for people.
    latency, fees
        In words; what is paid.
    sizes
        Default sizes that were raised, and why; empty: none.
    """

    tape: Tape
    rows: Rows
    job: Job
    table: F64
    capital: Rate
    base_inventory: Rate
    latency: str = ""
    fees: Fees | None = None
    sizes: str = ""

    def result(self, found: Result) -> BacktestResult:
        """What the lanes did, from what the sweep gave."""
        config = self.job.config
        return BacktestResult(
            instrument=self.job.instrument,
            strategy=self.job.strategy,
            params=dict(zip(registry.strategy(self.job.strategy).names, self.table.T.copy(), strict=True)),
            metrics=from_statistics(found.statistics, config.cycle_ns),
            statistics=found.statistics,
            shares=found.shares,
            assumptions=_assumptions(self.tape, self.job, found, self.capital, self.base_inventory)
            | {
                "latency": self.latency,
                "fee_schedule": self.fees.origin if self.fees is not None else "",
                "sizes": self.sizes or AS_GIVEN,
            },
            equity_ts=found.equity_ts if config.record_equity else None,
            equity_values=found.equity if config.record_equity else None,
            _fills=found.reports if config.record_fills else None,
            ran=found.ran,
            memory=found.memory,
            last_ticks=last_price(self.rows.data),
            _fee_asset=config.fee_asset,
        )


def prepare(
    tape: Tape,
    strategy: str | Declaration,
    params: Params | None,
    *,
    cycle: str | int | float,
    fees: tuple[Rate, Rate] | str | Fees | None,
    latency: LatencyLike,
    response: str | int | float | None,
    feed: str | int | float,
    queue: str,
    queue_power: float,
    limits: Limits | None,
    start: int | None,
    end: int | None,
    capital: Rate,
    base_inventory: Rate,
    check_balance: bool,
    window_ticks: int,
    record_fills: bool | None,
    record_equity: bool | None,
    lanes: int | None = None,
    impact: str | Impact | None = None,
) -> Prepared:
    """Check what :func:`backtest` was given; the same arguments and errors.

    Parameters
    ----------
    lanes
        How many; ``None``: as many as the longest parameter array.
    """
    name = registry.resolve(strategy)
    data = _span(tape, end)
    paid = as_fees(fees, tape.instrument.maker_fee, tape.instrument.taker_fee)
    instrument = replace(tape.instrument, maker_fee=paid.maker, taker_fee=paid.taker)
    latencies = parse_latency(latency, response)
    given, sized = _sized(tape, name, params or {}, capital)
    table = registry.rows(name, given, lanes)
    few = len(table) <= RECORDED_LANES
    keep_fills = few if record_fills is None else record_fills
    keep_equity = few if record_equity is None else record_equity
    config = ReplayConfig(
        start_ns=start,
        cycle_ns=parse_duration(cycle),
        entry_ns=latencies.entry_ns,
        response_ns=latencies.response_ns,
        latency=latencies.model,
        impact=parse_impact(impact) if isinstance(impact, str) else impact,
        fee_asset=paid.asset,
        fee_asset_price=paid.asset_price,
        feed_ns=parse_duration(feed),
        queue=queue,
        queue_power=queue_power,
        window_ticks=window_ticks,
        limits=limits,
        record_fills=int(keep_fills),
        record_equity=int(keep_equity),
        touch_only=detail_of(tape.meta).touch_only,
    )
    job = Job(
        instrument,
        config,
        name,
        given,
        len(table),
        base_units=_units(base_inventory, "base_inventory"),
        quote_units=_units(capital, "capital"),
        check_balance=check_balance,
    )
    return Prepared(tape, Rows(data, tape.path), job, table, capital, base_inventory, latencies.said, paid, sized)


def _span(tape: Tape, end: int | None) -> Columns:
    """Rows up to a time, whole packets."""
    data = tape.data
    if len(tape) == 0:
        raise UsageError(f"tape {tape.path} has no rows")
    if end is None:
        return data
    stop = int(np.searchsorted(data.ts, end, side="right"))
    while stop > 0 and not data.flags[stop - 1] & PACKET_END:
        stop -= 1
    if stop == 0:
        raise UsageError(f"end must be after the tape's start {iso(tape.start_ns)}, was {iso(end)}")
    return data.rows(0, stop)


def _sized(tape: Tape, name: str, params: Params, capital: Rate) -> tuple[dict[str, npt.ArrayLike], str]:
    """Parameters with sizes that can be traded where nobody gave a quantity, and which were raised."""
    sizes = None if "base_quantity" in params else Sizes.of(tape)
    if sizes is None:
        return dict(params), ""
    raised, told = sizes.defaults(registry.strategy(name), params, _units(capital, "capital") / UNIT)
    return {**params, **raised}, told


def _units(amount: Rate, what: str) -> int:
    units = text_units(str(amount), what)
    if units < 0:
        raise UsageError(f"{what} must be >= 0, was {amount}")
    return units


def _assumptions(tape: Tape, job: Job, result: Result, capital: Rate, base_inventory: Rate) -> dict[str, Any]:
    """All that a reader must know to believe, or doubt, the figures."""
    config, instrument, counts = job.config, job.instrument, result.counts
    limits, detail = config.limits, detail_of(tape.meta)
    lanes = "1 lane" if job.lanes == 1 else f"{job.lanes} lanes"
    return {
        "tape": {
            "path": str(tape.path),
            "symbol": instrument.symbol,
            "venue": instrument.venue,
            "detail": detail.text,
            "detail_level": detail.level,
            "detail_fills": detail.fills,
            "source": tape.meta["source"],
            "notes": tape.meta["notes"],
            "rows": counts["rows"],
            "packets": counts["packets"],
        },
        "inferred_trade_sides": counts["inferred_prints"],
        "rows_outside_window": counts["rows_outside_window"],
        "maker_fee": float(Decimal(instrument.maker_fee) / UNIT),
        "taker_fee": float(Decimal(instrument.taker_fee) / UNIT),
        "fee_asset": _fee_asset(config),
        "entry_latency_ms": config.entry_ns / 1e6,
        "response_latency_ms": config.response_ns / 1e6,
        "feed_latency_ms": config.feed_ns / 1e6,
        "queue": config.queue if config.queue != "prob" else f"prob (power {config.queue_power:g})",
        "limits": None if limits is None else limits.values()._asdict(),
        "capital": str(capital),
        "base_inventory": str(base_inventory),
        "market_impact": "none: own orders never move the tape" if config.impact is None else config.impact.describe(),
        "funding": _funding(tape, instrument),
        "cohorts": f"1 window, {lanes}, no warm-up, decisions every {config.cycle_ns / 1e9:g} s",
    }


def _funding(tape: Tape, instrument: Instrument) -> str:
    if instrument.kind == "spot":
        return "none (spot)"
    times = marks = 0
    for part in chunks(tape.data):  # a piece at a time: of a tape that streams through, the memory stays bounded
        times += int(np.count_nonzero(part.kind == FUNDING))
        marks += int(np.count_nonzero(part.kind == MARK))
    if not times:
        return "none: the tape has no row of funding"
    price = "the last mark price" if marks else "the mid, for the tape has no mark price"
    return f"charged {times} times, for the position held at that instant, at {price}"


def _fee_asset(config: ReplayConfig) -> str:
    if config.fee_asset:
        return f"{config.fee_asset} at {config.fee_asset_price}, held beside the account"
    return "what is received: base for a buy, quote for a sell"


__all__ = ["BacktestResult", "backtest"]
