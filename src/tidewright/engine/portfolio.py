"""``tw.backtest`` over several tapes: one strategy on several instruments, and a lane's portfolio over all of them.

Every instrument has an engine of its own, all of them the same decision times. Where nothing couples them each runs
through; limits, which measure against the portfolio's equity, make them decide together (:mod:`.lockstep`).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from tidewright.engine.backtest import BacktestResult, Params, Prepared, Rate, prepare
from tidewright.engine.backtest import backtest as backtest_one
from tidewright.engine.latency_text import LatencyLike
from tidewright.engine.lockstep import World, run_lockstep
from tidewright.engine.portfolio_equity import Part, portfolio_statistics, together
from tidewright.engine.portfolio_plan import Money, by_name, common_span, each, params_each
from tidewright.engine.refused import Refused, alone, why_refused, why_refused_by
from tidewright.engine.sweep import Result, Runner, cohorts_for, deal, gather, runner
from tidewright.market.clock import iso
from tidewright.market.codes import UNIT
from tidewright.market.cores import cores
from tidewright.market.errors import UsageError
from tidewright.market.fees import Fees
from tidewright.market.instrument import units_text
from tidewright.market.tape import F64, I64, Tape
from tidewright.measure.figures import from_statistics
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.strategies.declaration import Declaration

if TYPE_CHECKING:
    import polars as pl

Tell = Callable[[int, int], None]
Duration = str | int | float


@dataclass(frozen=True, slots=True)
class PortfolioAccount:
    """What a lane's portfolio holds at the end, exact.

    Attributes
    ----------
    cash
        By quote asset, 1e-8 units: what was there at the start, and what every instrument quoted in it took or paid.
    positions
        By instrument, lots: the net filled quantity.
    base
        By base asset, 1e-8 units: starting inventory, positions and commissions taken in it, over all venues.
    """

    cash: dict[str, Fraction]
    positions: dict[str, int]
    base: dict[str, int]


@dataclass(frozen=True, slots=True)
class PortfolioResult:
    """What the lanes' portfolios did.

    Attributes
    ----------
    instruments
        By name, what the lanes did in each; its equity counts the whole cash of its quote asset as its capital.
    metrics, statistics
        Figures of the portfolio and the sums they come from, arrays over lanes, from the portfolio's equity and the
        closed trades of all instruments; the same definitions as for one instrument. NaN where a sum over instruments
        has no meaning.
    assumptions
        What couples the instruments, their span, what equity is counted in; each instrument's are in its own result.
    equity_ts, equity_values
        Times (n,) int64 ns and the portfolio's equity (n, lanes) float64.
    quote
        The asset that equity is counted in.
    ran
        Where it ran, for people.
    """

    instruments: dict[str, BacktestResult]
    metrics: dict[str, npt.NDArray[Any]]
    statistics: dict[str, npt.NDArray[Any]]
    assumptions: dict[str, Any]
    equity_ts: I64
    equity_values: F64
    quote: str
    _cash: dict[str, int]
    _base: dict[str, int]
    ran: str = ""

    @property
    def lanes(self) -> int:
        """How many lanes ran."""
        return len(self.statistics["n_samples"])

    @property
    def strategy(self) -> str:
        """What was run."""
        return next(iter(self.instruments.values())).strategy

    @property
    def equity(self) -> "pl.DataFrame":
        """The portfolio's equity at every decision and at the end: columns ts, then ``equity`` or one a lane."""
        import polars as pl

        names = ["equity"] if self.lanes == 1 else [f"lane_{lane}" for lane in range(self.lanes)]
        values = {name: self.equity_values[:, lane] for lane, name in enumerate(names)}
        return pl.DataFrame({"ts": self.equity_ts, **values})

    def fills(self, lane: int = 0) -> "pl.DataFrame":
        """Fills of one lane in all instruments by time; the columns of one instrument's and ``instrument``.

        Raises
        ------
        UsageError
            If fills were not recorded or there is no such lane.
        """
        import polars as pl

        parts = [found.fills(lane).with_columns(instrument=pl.lit(name)) for name, found in self.instruments.items()]
        return pl.concat(parts).sort("ts", maintain_order=True)

    def account(self, lane: int = 0) -> PortfolioAccount:
        """What a lane holds at the end: cash, position of every instrument, and each base asset over all venues.

        Raises
        ------
        UsageError
            If there is no such lane.
        """
        if not 0 <= lane < self.lanes:
            raise UsageError(f"lane must be in 0..{self.lanes - 1}, was {lane}")
        cash = {asset: Fraction(units) for asset, units in self._cash.items()}
        positions: dict[str, int] = {}
        base: dict[str, int] = {}
        for name, found in self.instruments.items():
            known, sums = found.instrument, found.statistics
            positions[name] = int(sums["position_lots"][lane])
            paid = int(sums["fee_quote_units"][lane]) + int(sums["funding_units"][lane])
            cash[known.quote] += int(sums["cash"][lane]) * known.quote_units - paid
            held = positions[name] * known.lot_units - int(sums["fee_base_units"][lane])
            base[known.base] = base.get(known.base, 0) + self._base[name] + held
        return PortfolioAccount(cash, positions, base)

    def holdings(self, lane: int = 0) -> dict[str, dict[str, str]]:
        """:meth:`account` as decimal texts; cash rounded down to 1e-8."""
        held = self.account(lane)
        return {
            "cash": {asset: units_text(floor(units)) for asset, units in held.cash.items()},
            "positions": {
                name: self.instruments[name].instrument.qty_text(lots) for name, lots in held.positions.items()
            },
            "net_base": {asset: units_text(units) for asset, units in held.base.items()},
        }


def backtest_portfolio(
    tapes: Sequence[Tape],
    strategy: str | Declaration = "grid",
    params: Mapping[str, npt.ArrayLike | Mapping[str, npt.ArrayLike]] | None = None,
    *,
    cycle: Duration = "30s",
    fees: tuple[Rate, Rate] | str | Fees | Mapping[str, tuple[Rate, Rate] | str | Fees | None] | None = None,
    latency: LatencyLike | Mapping[str, LatencyLike] = "50ms",
    response: Duration | Mapping[str, Duration | None] | None = None,
    feed: Duration | Mapping[str, Duration] = "0ms",
    queue: str | Mapping[str, str] = "risk_averse",
    queue_power: float = 3.0,
    limits: Limits | None = None,
    start: int | None = None,
    end: int | None = None,
    capital: Rate | Mapping[str, Rate] = "10000",
    base_inventory: Rate | Mapping[str, Rate] = "0",
    check_balance: bool = False,
    window_ticks: int | Mapping[str, int] = 0,
    record_fills: bool | None = None,
    threads: int | None = None,
    ray: bool | str | None = None,
    rates: Mapping[str, Rate] | None = None,
    observe: Mapping[str, str] | None = None,
    lockstep: bool = False,
    progress: Tell | None = None,
) -> PortfolioResult:
    """Run a strategy over several tapes; what is not said here is as for :func:`tidewright.engine.backtest.backtest`.

    Parameters
    ----------
    params, fees, latency, response, feed, queue, base_inventory, window_ticks
        One value for all instruments, or a mapping with one for each, by name: the symbol, or ``venue:symbol`` where
        several venues have it.
    start, end
        Default: from the first packet of the tape that begins last to the last one of the tape that ends first.
    capital
        Cash of a lane, shared by the instruments quoted in one asset; by quote asset where there are several.
    limits
        Risk limits. Equity, also that of the day's start, is the portfolio's; positions are the instrument's.
    check_balance
        Only with one instrument.
    rates
        What one of a quote asset is worth in the one without a rate, which equity is counted in; fixed for the run.
    observe
        By the name of a strategy's parameter: the instrument whose mid (quote currency, as known) it shows at every
        decision, from its first mid on.
    lockstep
        Decide together even where nothing asks for it; results are the same.

    Raises
    ------
    UsageError
        If the instruments have no common span or several quote assets without rates; or as for one tape.
    """
    listed = by_name(tapes)
    names = list(listed)
    if check_balance and len(names) > 1:
        raise UsageError("check_balance is for one instrument: several share their cash, and only one can be first")
    money = Money.of(listed, rates)
    span = common_span(listed, start, end)
    cash = _cash(capital, sorted({tape.instrument.quote for tape in listed.values()}))
    own, lanes = params_each(params, names)
    options = {
        key: each(value, names, key)
        for key, value in {
            "fees": fees,
            "latency": latency,
            "response": response,
            "feed": feed,
            "queue": queue,
            "base_inventory": base_inventory,
            "window_ticks": window_ticks,
        }.items()
    }
    plans: dict[str, Prepared] = {}
    for name, tape in listed.items():
        given: dict[str, Any] = {key: values[name] for key, values in options.items()}
        prepared = prepare(
            tape,
            strategy,
            own[name],
            cycle=cycle,
            queue_power=queue_power,
            limits=limits,
            start=span[0],
            end=span[1],
            capital=cash[tape.instrument.quote],
            check_balance=check_balance,
            record_fills=record_fills,
            record_equity=True,
            lanes=lanes,
            **given,
        )
        if prepared.job.config.fee_asset and len(names) > 1:
            raise UsageError("fees in an asset of their own are for one instrument")
        plans[name] = replace(prepared, job=replace(prepared.job, until_ns=span[1], final=True))
    coupled = lockstep or bool(observe) or (limits is not None and len(names) > 1)
    if coupled:
        if ray is not None and ray is not False:
            raise UsageError("instruments that decide together run on this machine: give threads instead of ray")
        seen = _observed(observe or {}, names, next(iter(plans.values())).job.strategy)
        found = _coupled(plans, money, span, seen, threads, progress)
        refused = _why_coupled(plans, found, money, span, seen)
    else:
        found = _apart(plans, runner(threads, ray), progress)
        refused = [
            why_refused(plan.rows, plan.job, one.statistics) for plan, one in zip(plans.values(), found, strict=True)
        ]
    return _result(plans, found, refused, money, span, coupled, dict(observe or {}))


def _cash(capital: Rate | Mapping[str, Rate], quotes: Sequence[str]) -> dict[str, Rate]:
    """Cash by quote asset."""
    if not isinstance(capital, Mapping) and len(quotes) > 1:
        raise UsageError(f"capital must be given by quote asset, {', '.join(quotes)}, was {capital}")
    return each(capital, quotes, "capital")


def _observed(observe: Mapping[str, str], names: Sequence[str], strategy: str) -> dict[int, int]:
    known = registry.strategy(strategy).names
    for parameter, name in observe.items():
        if parameter not in known:
            raise UsageError(f"strategy {strategy!r} has no parameter {parameter!r} to show a mid in")
        if name not in names:
            raise UsageError(f"{parameter} cannot show {name!r}; the instruments are {', '.join(names)}")
    return {known.index(parameter): names.index(name) for parameter, name in observe.items()}


def _apart(plans: Mapping[str, Prepared], where: Runner, progress: Tell | None) -> list[Result]:
    """Each instrument by itself, one after the other."""
    total = sum(len(plan.rows.data.ts) for plan in plans.values())
    found: list[Result] = []
    before = 0
    for plan in plans.values():
        told = None if progress is None else _after(progress, before, total)
        found.append(where.run(plan.rows, plan.job, told))
        before += len(plan.rows.data.ts)
    return found


def _after(progress: Tell, before: int, total: int) -> Tell:
    return lambda done, _: progress(before + done, total)


def _coupled(
    plans: Mapping[str, Prepared],
    money: Money,
    span: tuple[int, int],
    observed: Mapping[int, int],
    threads: int | None,
    progress: Tell | None,
) -> list[Result]:
    """All instruments decision by decision; cohorts of lanes in threads."""
    lanes = next(iter(plans.values())).job.lanes
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be >= 1, was {threads}")
    cohorts = deal(lanes, threads or cohorts_for(lanes, cores()))
    total = sum(len(plan.rows.data.ts) for plan in plans.values())

    def run(number: int) -> list[Result]:
        worlds = [World(plan.job.of(cohorts[number]), plan.rows.data, _part(plan)) for plan in plans.values()]
        told = None if progress is None or number else lambda done: progress(done, total)
        return run_lockstep(worlds, money, span, observed, told)

    if len(cohorts) == 1:
        parts = [run(0)]
    else:
        with ThreadPoolExecutor(len(cohorts), "portfolio") as pool:
            parts = list(pool.map(run, range(len(cohorts))))
    ran = "1 thread" if len(cohorts) == 1 else f"{len(cohorts)} threads"
    return [replace(gather([part[number] for part in parts], cohorts), ran=ran) for number in range(len(plans))]


def _why_coupled(
    plans: Mapping[str, Prepared],
    found: Sequence[Result],
    money: Money,
    span: tuple[int, int],
    observed: Mapping[int, int],
) -> list[Refused | None]:
    """Why orders were rejected, by instrument: the lane decides together with its other instruments again."""

    def asking(number: int) -> Callable[[int, float], npt.NDArray[np.void]]:
        def ask(lane: int, share: float) -> npt.NDArray[np.void]:
            until = span[0] + round(share * (span[1] - span[0]))
            worlds = [World(alone(plan.job, [lane]), plan.rows.data, _part(plan)) for plan in plans.values()]
            return run_lockstep(worlds, money, (span[0], until), observed)[number].reports

        return ask

    return [why_refused_by(one.statistics, asking(number)) for number, one in enumerate(found)]


def _part(plan: Prepared) -> Part:
    return Part(plan.job.instrument, plan.job.quote_units / UNIT)


def _result(
    plans: Mapping[str, Prepared],
    found: Sequence[Result],
    refused: Sequence[Refused | None],
    money: Money,
    span: tuple[int, int],
    coupled: bool,
    observed: dict[str, str],
) -> PortfolioResult:
    parts = [_part(plan) for plan in plans.values()]
    curve = together(parts, money, [one.equity for one in found])
    start = together(parts, money, [one.statistics["equity_start"] for one in found])
    sums = portfolio_statistics(parts, money, [one.statistics for one in found], curve, start)
    first = next(iter(plans.values()))
    cycle_ns = first.job.config.cycle_ns
    limits = first.job.config.limits
    assumptions = {
        "instruments": list(plans),
        "span": {"start": iso(span[0]), "end": iso(span[1])},
        "rows_after_the_span": {name: len(plan.tape) - len(plan.rows.data.ts) for name, plan in plans.items()},
        "equity_in": money.quote,
        "rates": {asset: str(rate) for asset, rate in money.rates.items()},
        "capital": {plan.job.instrument.quote: str(plan.capital) for plan in plans.values()},
        "cash": "one account for each quote asset; it may go negative",
        "decisions": "together" if coupled else "each instrument by itself",
        "limits": None if limits is None else "against the equity of the portfolio",
        "observed": observed,
        "detail": {name: plan.tape.meta["detail"] for name, plan in plans.items()},
    }
    return PortfolioResult(
        instruments={
            name: replace(plan.result(one), refused=why)
            for (name, plan), one, why in zip(plans.items(), found, refused, strict=True)
        },
        metrics=from_statistics(sums, cycle_ns),
        statistics=sums,
        assumptions=assumptions,
        equity_ts=found[0].equity_ts,
        equity_values=curve,
        quote=money.quote,
        _cash={plan.job.instrument.quote: plan.job.quote_units for plan in plans.values()},
        _base={name: plan.job.base_units for name, plan in plans.items()},
        ran=found[0].ran,
    )


@overload
def backtest(
    tape: Tape, strategy: str | Declaration = ..., params: Params | None = ..., **options: Any
) -> BacktestResult: ...


@overload
def backtest(
    tape: Sequence[Tape],
    strategy: str | Declaration = ...,
    params: Mapping[str, npt.ArrayLike | Mapping[str, npt.ArrayLike]] | None = ...,
    **options: Any,
) -> PortfolioResult: ...


def backtest(
    tape: Tape | Sequence[Tape], strategy: str | Declaration = "grid", params: Any = None, **options: Any
) -> BacktestResult | PortfolioResult:
    """Run a strategy over a tape, or over several as one portfolio.

    Parameters
    ----------
    tape
        One tape: see :func:`tidewright.engine.backtest.backtest` for the options (cycle, fees, latency, response, feed,
        queue, queue_power, limits, start, end, capital, base_inventory, check_balance, window_ticks, record_fills,
        record_equity, threads, ray, progress). A list of them: :func:`backtest_portfolio`, where most can be given by
        instrument, and which takes rates and observe besides.
    strategy
        Name of a built-in, or a user's own: ``"FILE.py:NAME"``, or what ``@tw.strategy`` made of a function.
    params
        Strategy parameters by name, scalars or arrays over lanes; with several tapes also by instrument.

    Raises
    ------
    UsageError
        If a name is unknown or a value out of range.
    """
    if isinstance(tape, Tape):
        return backtest_one(tape, strategy, params, **options)
    return backtest_portfolio(tape, strategy, params, **options)


__all__ = ["PortfolioAccount", "PortfolioResult", "backtest", "backtest_portfolio"]
