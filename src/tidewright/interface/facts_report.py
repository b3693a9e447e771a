"""Facts about fills of a tape, measured through the engine: the runs, and the report they add up to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine.replay import ReplayConfig
from tidewright.interface import facts_makers as makers
from tidewright.interface.facts_probes import (
    Plan,
    ProbeSettings,
    lots_of,
    make_plan,
    probes_of,
    run_plan,
    taker_markouts,
)
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.codes import BUY, TRADE_BUY, TRADE_SELL
from tidewright.market.detail import detail_of
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape
from tidewright.measure import fill_facts_samples as samples
from tidewright.measure.fill_facts import Fact
from tidewright.measure.fill_facts_blocks import block_sums, bootstrap, ratio
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.fill_facts_curves import probe_curves
from tidewright.measure.fill_facts_probes import Probes, probe_facts
from tidewright.measure.fill_facts_report import FactsReport, Fall, FeePoint, MakerGroup

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Progress = Callable[[float], None]

BLOCKS: Final = 60  # blocks of time a long tape is cut into
SHORTEST_BLOCK_NS: Final = 60 * SECOND  # the longest horizon
FALLS: Final = 12
REVERSAL_NS: Final = 15 * MINUTE
_GRID_STEPS: Final = 200_000  # mids sampled for the falls, at most


@dataclass(frozen=True, slots=True)
class FactsSettings:
    """How facts are measured.

    Attributes
    ----------
    probes
        The probes' settings; latency and queue model hold for the makers, too.
    cycle_ns
        Time between the makers' decisions.
    lanes
        Makers, one spacing each.
    """

    probes: ProbeSettings = field(default_factory=ProbeSettings)
    cycle_ns: int = SECOND
    lanes: int = 1_024

    def __post_init__(self) -> None:
        if self.lanes < makers.GROUPS:
            raise UsageError(f"at least {makers.GROUPS} lanes are needed, were {self.lanes}")
        if self.probes.queue == "front":
            raise UsageError("the queue model must not be front: it is what the chosen one is compared with")


def measure_facts(tape: Tape, settings: FactsSettings | None = None, progress: Progress | None = None) -> FactsReport:
    """Measure the facts about fills of one tape.

    Parameters
    ----------
    progress
        Told the share done, 0 to 1.

    Raises
    ------
    UsageError
        If the tape has no rows or its book is never whole.
    """
    chosen = settings or FactsSettings()
    if len(tape) == 0:
        raise UsageError(f"tape {tape.path} has no rows")
    tell = progress or (lambda share: None)
    book = BookHistory(tape.data)
    span = book.end_ns - book.start_ns
    block_ns = max(SHORTEST_BLOCK_NS, ceil(span / BLOCKS))
    blocks = span // block_ns + 1
    plan = make_plan(tape, book, chosen.probes)
    back = run_plan(tape, plan, chosen.probes, chosen.probes.queue, _part(tell, 0.0, 0.25))
    front = run_plan(tape, plan, chosen.probes, "front", _part(tell, 0.25, 0.5))
    probes = probes_of(book, plan, back, front, block_ns)
    found = probe_facts(probes, blocks)
    falls, crash = _crash(book, probes, span)
    found.append(crash)
    config = ReplayConfig(
        cycle_ns=chosen.cycle_ns,
        entry_ns=chosen.probes.entry_ns,
        response_ns=chosen.probes.entry_ns,
        queue=chosen.probes.queue,
        queue_power=chosen.probes.queue_power,
        record_fills=1,
        touch_only=detail_of(tape.meta).touch_only,
    )
    groups, fee_points, maker_facts = _makers(tape, book, config, chosen, block_ns, blocks, _part(tell, 0.5, 1.0))
    found += maker_facts
    found.append(samples.taker_fact(*taker_markouts(book, plan, back, block_ns), blocks))
    found.append(samples.reversal_fact(*_flow(tape, book)))
    return FactsReport(
        tape=_tape(tape),
        facts=tuple(found),
        curves=tuple(probe_curves(probes, blocks)),
        makers=groups,
        fees=fee_points,
        falls=falls,
        assumptions=_assumptions(tape, chosen, plan, probes, block_ns),
    )


def _part(tell: Progress, start: float, stop: float) -> Progress:
    return lambda share: tell(start + (stop - start) * share)


def _crash(book: BookHistory, probes: Probes, span: int) -> tuple[tuple[Fall, ...], Fact]:
    window = int(min(max(span // 200, 5 * SECOND), 300 * SECOND))
    step = max(SECOND // 4, ceil(span / _GRID_STEPS))
    mid = book.mid(np.arange(book.start_ns, book.end_ns, step, dtype=np.int64))
    falls = []
    for start, fall_bp in samples.largest_falls(mid, step, book.start_ns, window, FALLS):
        inside = probes.filled & (probes.fill_ts >= start) & (probes.fill_ts <= start + window)
        bids = int((inside & (probes.side == BUY)).sum())
        falls.append(Fall(start, fall_bp, bids, int(inside.sum()) - bids))
    bids_asks = np.array([[fall.bid_fills, fall.ask_fills] for fall in falls], np.float64).reshape(-1, 2)
    fact = samples.crash_fact(
        "one_sided_in_a_fall",
        f"Share of bids in the fills of the {len(falls)} largest falls",
        bids_asks[:, 0],
        bids_asks[:, 1],
        f"{window / SECOND:g} s ({falls[-1].fall_bp:.0f} to {falls[0].fall_bp:.0f} bp)" if falls else "the tape",
    )
    return tuple(falls), fact


def _makers(
    tape: Tape,
    book: BookHistory,
    config: ReplayConfig,
    settings: FactsSettings,
    block_ns: int,
    blocks: int,
    tell: Progress,
) -> tuple[tuple[MakerGroup, ...], tuple[FeePoint, ...], list[Fact]]:
    spreads = makers.spreads_percent(book, settings.lanes)
    mids = book.mid(np.linspace(book.start_ns, book.end_ns, 2_001).astype(np.int64))
    least = float(lots_of(tape.instrument, int(np.nanmin(mids))) * tape.instrument.lot)
    quantity = max(least, makers.LEAST_BASE)
    sums = makers.run_makers(tape, book, config, spreads, quantity, block_ns, blocks, _part(tell, 0.0, 0.5))
    few = spreads[:: max(1, len(spreads) // makers.FEE_LANES)][: makers.FEE_LANES]
    runs = makers.run_fees(tape, book, config, few, quantity, block_ns, _part(tell, 0.5, 1.0))
    groups = tuple(
        MakerGroup(
            float(sums.spread_bp[k, 0]),
            float(sums.spread_bp[k, 1]),
            int(sums.fills[k].sum()),
            bootstrap(np.stack([sums.pnl[k] * 1e4, sums.notional[k]], axis=1), ratio),
        )
        for k in range(makers.GROUPS)
    )
    per_year = makers.samples_per_year(block_ns)
    points = []
    for run in runs:
        ones = np.ones(len(run.block))
        by_block = block_sums(run.block, blocks, run.samples, run.samples**2, ones)
        points.append(FeePoint(run.fee_bp, run.pnl_bp, bootstrap(by_block, lambda t: samples.sharpe_of(t, per_year))))
    pooled, fills = np.stack([sums.pnl.sum(axis=0), sums.notional.sum(axis=0)], axis=1), int(sums.fills.sum())
    two = np.stack([runs[0].samples, runs[1].samples])
    fees, earned = (np.array([getattr(run, name) for run in runs]) for name in ("fee_bp", "pnl_bp"))
    told = [
        samples.symmetric_maker_fact(pooled, fills),
        samples.break_even_fact(pooled, fills),
        samples.sharpe_drop_fact(two, runs[0].block, blocks, per_year, runs[0].fills),
        samples.fee_slope_fact(fees, earned, runs[0].fills),
    ]
    return groups, tuple(points), told


def _flow(tape: Tape, book: BookHistory) -> tuple[F64, F64]:
    """Signed taker volume of each stretch of 15 min, and the return of the next, basis points."""
    data = tape.data
    count = int((book.end_ns - book.start_ns) // REVERSAL_NS)
    edges = book.start_ns + np.arange(count + 1, dtype=np.int64) * REVERSAL_NS
    prints = (data.kind == TRADE_BUY) | (data.kind == TRADE_SELL)
    inside = prints & (data.ts < edges[-1])
    sign = np.where(data.kind[inside] == TRADE_BUY, 1.0, -1.0)
    flow = np.bincount((data.ts[inside] - book.start_ns) // REVERSAL_NS, sign * data.qty[inside], max(count, 1))[:count]
    mid = book.mid(edges)
    change = (mid[1:] / mid[:-1] - 1.0) * 1e4
    return flow[:-1].astype(np.float64), change[1:]


def _tape(tape: Tape) -> dict[str, Any]:
    return {
        "path": str(tape.path),
        "symbol": tape.instrument.symbol,
        "venue": tape.instrument.venue,
        "detail": str(tape.meta["detail"]),
        "start_ns": tape.start_ns,
        "end_ns": tape.end_ns,
    }


def _assumptions(
    tape: Tape, settings: FactsSettings, plan: Plan, probes: Probes, block_ns: int
) -> tuple[tuple[str, str], ...]:
    sent, detail = settings.probes, detail_of(tape.meta)
    queue = sent.queue if sent.queue != "prob" else f"prob (power {sent.queue_power:g})"
    touch = probes.touch
    spread = float(np.median(touch.half_spread_bp)) * 2.0 if len(touch.block) else float("nan")
    return (
        ("queue model", queue),
        ("latency of orders", f"{sent.entry_ns / 1e6:g} ms"),
        ("probes", f"{len(plan.arrival):,} sent, {len(probes.block):,} rested to their end in a whole book"),
        ("life of a probe", f"{int(plan.until[0] - plan.arrival[0]) / SECOND:.3g} s"),
        ("probes at the touch", f"{len(touch.block):,}, {int(touch.filled.sum()):,} filled"),
        ("median spread", f"{spread:.3g} bp"),
        ("makers", f"{settings.lanes:,} grids of one level, a decision every {settings.cycle_ns / SECOND:g} s"),
        ("makers' inventory", f"at most {makers.MOST_POSITION} quotes known to them"),
        ("makers of the fee runs", f"{makers.FEE_LANES} of them"),
        ("intervals", f"95 %, bootstrap over blocks of {block_ns / SECOND:g} s"),
        ("tape detail", f"{detail.level} ({detail.text}): {detail.fills}"),
        ("market impact", "none: own orders never move the tape"),
    )
