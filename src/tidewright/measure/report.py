"""A session's report: plain facts in, a summary out that table, JSON and page all show."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import DAY, iso
from tidewright.market.errors import UsageError
from tidewright.measure.agents_section import AgentAccount
from tidewright.measure.definitions import DEFAULT_MINIMUMS, DEFINITIONS, Minimums
from tidewright.measure.figures import ClosedTrades, from_equity
from tidewright.measure.markouts import Markout, markout_table
from tidewright.measure.mids import MidSeries
from tidewright.measure.presentation import Samples, unknown
from tidewright.measure.regret import History
from tidewright.measure.reliability import Reliability, assess
from tidewright.measure.seat_section import SeatAccount
from tidewright.measure.trades import Fills, closed_trades, fill_activity

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

Verdict = Literal["accepted", "refused", "invalid", "error", ""]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What was run.

    Attributes
    ----------
    session, venue, symbol, base, quote, strategy
        Names.
    mode
        ``"paper"``, ``"live"``, ``"backtest"``.
    started_ns
        Market time of the first decision's start, int64 ns.
    ended_ns
        Market time of the orderly end; ``None`` while it runs and after a kill.
    cycle_ns
        Time between decisions, nanoseconds.
    """

    session: str
    venue: str
    symbol: str
    base: str
    quote: str
    strategy: str
    mode: str
    started_ns: int
    ended_ns: int | None
    cycle_ns: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Parameters an advisor proposed.

    Attributes
    ----------
    ts
        Market time it arrived, int64 ns.
    source
        Who sent it.
    confidence
        Its probability of beating the incumbent, 0 to 1; NaN if the message was not valid.
    verdict, why
        What the executor did and its reasons.
    params, metrics
        What was proposed, and the figures that came with it.
    outcome
        Whether it did beat the incumbent over the epoch that followed: 1 yes, 0 no, 0.5 a tie; ``None``: not known.
    ahead
        Where its difference to the incumbent was foretold to lie over that epoch, quote: lower end, upper end, and the
        share of epochs that shall lie within; ``None``: not told.
    """

    ts: int
    source: str
    confidence: float
    verdict: Verdict
    why: str
    params: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    outcome: float | None = None
    ahead: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a proposal: refused, canary, full, rolled_back or replaced, and why.

    Attributes
    ----------
    ts
        Market time, int64 ns.
    """

    ts: int
    proposal_id: str
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report says, as plain data.

    Attributes
    ----------
    facts
        What was run.
    equity_ts, equity
        The equity curve, quote; its first point is the capital before the first interval.
    position
        Net filled quantity at each equity point, base.
    fills
        All fills.
    orders, cancels, rejects, errors
        Counts.
    cycles, cycles_due
        Decision times at which the session did decide, and those there were.
    proposals
        In order of arrival.
    assumptions
        (name, value) pairs: fees, latencies, queue model, switches, what was inferred.
    mids
        Mids of the market for mark-outs and the price chart; ``None``: not recorded.
    fees_by_asset
        Commission by asset, decimal text.
    errors
        Things that went wrong and were survived.
    untouched
        What the starting balances would be worth at each equity point if nothing had been traded, quote; ``None``: not
        known.
    reliability
        Of the confidence scores, where the advisor keeps the score itself; ``None``: it is worked out from the outcomes
        of the proposals.
    stages
        What became of proposals step by step, oldest first.
    regrets
        What the best parameters would have earned, by agent that was advised: one, or of several strategies each; none
        of whom no epoch was judged.
    seat
        Who steered, and what it did when; ``None``: nobody.
    agents
        Sub-accounts, where several strategies traded.
    """

    facts: SessionFacts
    equity_ts: I64
    equity: F64
    position: F64
    fills: Fills
    orders: int
    cancels: int
    rejects: int
    cycles: int
    cycles_due: int
    proposals: tuple[Proposal, ...] = ()
    assumptions: tuple[tuple[str, str], ...] = ()
    mids: MidSeries | None = None
    fees_by_asset: Mapping[str, str] = field(default_factory=dict)
    errors: int = 0
    untouched: F64 | None = None
    reliability: Reliability | None = None
    stages: tuple[Stage, ...] = ()
    regrets: Mapping[str, History] = field(default_factory=dict)
    seat: SeatAccount | None = None
    agents: tuple[AgentAccount, ...] = ()

    def __post_init__(self) -> None:
        if self.untouched is not None and len(self.untouched) != len(self.equity):
            raise UsageError(f"untouched balances need {len(self.equity)} values, had {len(self.untouched)}")
        if not len(self.equity_ts) == len(self.equity) == len(self.position) > 0:
            raise UsageError(
                f"a report needs equity and position at the same times, at least one: had {len(self.equity_ts)}, "
                f"{len(self.equity)} and {len(self.position)}"
            )


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a report.

    Attributes
    ----------
    figures
        By name, :mod:`tidewright.measure.definitions`; NaN where not known.
    unknown
        Why, for those that are not known.
    extras
        Further facts by name, see :data:`EXTRAS`; NaN where not known.
    markouts
        Mean mark-outs; empty without fills or mids.
    uptime
        Decision times that were decided, a share of those due; NaN before the first is due.
    accepted, refused
        Proposals by verdict (invalid ones count as refused).
    reliability
        Of the confidence scores whose outcome is known; ``None``: none is.
    """

    figures: dict[str, float]
    unknown: dict[str, str]
    samples: Samples
    extras: dict[str, float]
    closed: ClosedTrades
    markouts: list[Markout]
    uptime: float
    accepted: int
    refused: int
    reliability: Reliability | None


EXTRAS: Final[dict[str, tuple[str, str, str]]] = {
    "absolute_profit": ("Absolute profit", "quote", "final balance − starting balance"),
    "trading_profit": (
        "Profit of trading",
        "quote",
        "absolute profit less what the starting balances, left alone, would have gained or lost by the market's move",
    ),
    "market_change": ("Market change", "fraction", "last mid / first mid − 1"),
    "daily_trades": ("Daily avg. trades", "number", "closed trades / days"),
    "best_trade": ("Best trade", "quote", "largest PnL of a closed trade"),
    "worst_trade": ("Worst trade", "quote", "smallest PnL of a closed trade"),
    "max_consecutive_wins": ("Max consecutive wins", "count", "longest run of closed trades with PnL > 0"),
    "max_consecutive_losses": ("Max consecutive losses", "count", "longest run of closed trades with PnL ≤ 0"),
    "min_balance": ("Min balance", "quote", "lowest equity of a cycle"),
    "max_balance": ("Max balance", "quote", "highest equity of a cycle"),
    "absolute_drawdown": ("Absolute drawdown", "quote", "fall in quote at the maximum drawdown"),
    "drawdown_start_ns": ("Drawdown start", "time", "the high point before the maximum drawdown"),
    "drawdown_end_ns": ("Drawdown end", "time", "the low point of the maximum drawdown"),
    "final_position": ("Final position", "base", "net filled quantity at the end"),
}


def summarise(data: ReportData, minimums: Minimums = DEFAULT_MINIMUMS) -> Summary:
    """Compute everything a report shows."""
    closed = closed_trades(data.fills)
    span_ns = int(data.equity_ts[-1]) - int(data.equity_ts[0])
    activity = {
        **fill_activity(data.fills),
        "n_orders": data.orders,
        "n_cancels": data.cancels,
        "n_rejects": data.rejects,
        "time_in_position_ns": _time_in_position(data.fills, int(data.equity_ts[-1])),
        "max_abs_position_lots": math.nan,  # lots mean nothing to a reader; the page shows the position in base
    }
    figures = from_equity(data.equity_ts, data.equity, closed, data.facts.cycle_ns, activity, minimums)
    for hidden in ("max_abs_position_lots", "fees_base", "fees_quote", "funding"):  # sessions trade spot
        del figures[hidden]
    samples = Samples(
        len(data.equity) - 1, len(data.equity), len(closed.pnl), len(data.fills), round(figures["orders"]), span_ns
    )
    verdicts = [proposal.verdict for proposal in data.proposals]
    known = [p for p in data.proposals if p.outcome is not None and math.isfinite(p.confidence)]
    return Summary(
        figures,
        unknown(figures, samples, minimums),
        samples,
        _extras(data, closed, span_ns),
        closed,
        markout_table(data.fills, data.mids) if data.mids is not None else [],
        min(1.0, data.cycles / data.cycles_due) if data.cycles_due > 0 else math.nan,
        verdicts.count("accepted"),
        verdicts.count("refused") + verdicts.count("invalid"),
        data.reliability or assess([p.confidence for p in known], [p.outcome or 0.0 for p in known]),
    )


def _time_in_position(fills: Fills, end_ns: int) -> int:
    if len(fills) == 0:
        return 0
    after = np.cumsum(fills.signed_qty)
    held = np.abs(after) > 1e-9 * np.maximum.accumulate(fills.qty)
    until = np.append(fills.ts[1:], max(end_ns, int(fills.ts[-1])))
    return int((until - fills.ts)[held].sum())


def _trading_profit(data: ReportData) -> float:
    if data.untouched is None:
        return math.nan
    return float((data.equity[-1] - data.equity[0]) - (data.untouched[-1] - data.untouched[0]))


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    longest = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def drawdown(equity: F64) -> F64:
    """Fall of each point from the highest point so far, a share of that point, >= 0."""
    peak = np.maximum.accumulate(equity)
    return np.where(peak > 0, (peak - equity) / np.where(peak > 0, peak, 1.0), 0.0)


def _extras(data: ReportData, closed: ClosedTrades, span_ns: int) -> dict[str, float]:
    pnl, equity = closed.pnl, data.equity
    fall = drawdown(equity)
    low = int(np.argmax(fall))
    high = int(np.argmax(equity[: low + 1]))
    fell = fall[low] > 0
    mid = data.mids.mid if data.mids is not None and len(data.mids.mid) else None
    return {
        "absolute_profit": float(equity[-1] - equity[0]),
        "trading_profit": _trading_profit(data),
        "market_change": float(mid[-1] / mid[0] - 1.0) if mid is not None else math.nan,
        "daily_trades": len(pnl) * DAY / span_ns if span_ns > 0 else math.nan,
        "best_trade": float(pnl.max()) if len(pnl) else math.nan,
        "worst_trade": float(pnl.min()) if len(pnl) else math.nan,
        "max_consecutive_wins": _longest_run(pnl > 0),
        "max_consecutive_losses": _longest_run(pnl <= 0),
        "min_balance": float(equity.min()),
        "max_balance": float(equity.max()),
        "absolute_drawdown": float(equity[high] - equity[low]),
        "drawdown_start_ns": float(data.equity_ts[high]) if fell else math.nan,
        "drawdown_end_ns": float(data.equity_ts[low]) if fell else math.nan,
        "final_position": float(data.position[-1]),
    }


def to_json(data: ReportData, summary: Summary) -> dict[str, Any]:
    """The report as plain JSON values; a figure that is not known is null, and ``unknown`` says why."""
    extras: dict[str, Any] = {name: _plain(value) for name, value in summary.extras.items()}
    for name in ("drawdown_start_ns", "drawdown_end_ns"):
        value = extras.pop(name)
        extras[name.removesuffix("_ns")] = iso(int(value)) if value is not None else None
    return {
        "session": {
            **asdict(data.facts),
            "from": iso(int(data.equity_ts[0])),
            "to": iso(int(data.equity_ts[-1])),
            "ended_in_order": data.facts.ended_ns is not None,
        },
        "cycles": data.cycles,
        "cycles_due": data.cycles_due,
        "uptime": _plain(summary.uptime),
        "errors": data.errors,
        "figures": {name: _plain(value) for name, value in summary.figures.items()},
        "unknown": summary.unknown,
        "samples": asdict(summary.samples),
        "extras": extras,
        "fees_by_asset": dict(data.fees_by_asset),
        "markouts": [{name: _plain(value) for name, value in asdict(row).items()} for row in summary.markouts],
        "proposals": {
            "received": len(data.proposals),
            "accepted": summary.accepted,
            "refused": summary.refused,
            "reliability": asdict(summary.reliability) if summary.reliability is not None else None,
        },
        "stages": [{**asdict(item), "time": iso(item.ts)} for item in data.stages],
        "regret": None if data.agents else next((one.to_json() for one in data.regrets.values()), None),
        **({"regrets": {name: one.to_json() for name, one in data.regrets.items()}} if data.agents else {}),
        **({} if data.seat is None else {"seat": data.seat.to_json()}),
        "assumptions": dict(data.assumptions),
        "definitions": {name: DEFINITIONS[name].formula for name in summary.figures},
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
