"""A whole tape of a crisis through the engine under limits: the loss, which limit fired when, and how long it took to
be flat again.

The engine is stopped after every decision and asked what it held and what was cut, so what is told is what happened.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.clock import iso
from tidewright.market.codes import BUY, FILL, PACKET_END
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns
from tidewright.risk import gate
from tidewright.risk.limits import Limits

_LOSS: Final = {gate.STOP_LOSS: "stop_loss", gate.DAILY_LOSS: "daily_loss", gate.DRAWDOWN: "drawdown"}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a tape is traded.

    Attributes
    ----------
    equity
        Quote the account starts with.
    entry_ns, response_ns
        Latencies.
    """

    strategy: str = "grid"
    params: Mapping[str, float] | None = None
    limits: Limits = field(default_factory=lambda: Limits(strict=True))
    cycle_ns: int = 30_000_000_000
    entry_ns: int = 50_000_000
    response_ns: int = 50_000_000
    equity: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Fired:
    """The first time a limit cut something.

    Attributes
    ----------
    threshold, measured, worst
        Of a loss limit: what it allows, what the loss was when it fired, and at its worst afterwards while it held;
        NaN for others.
    """

    limit: str
    ts: int
    decisions: int
    threshold: float = math.nan
    measured: float = math.nan
    worst: float = math.nan

    @property
    def slippage(self) -> float:
        """How far the loss went past the threshold, at its worst."""
        return self.worst - self.threshold

    def cause(self) -> str:
        """Why a loss limit was passed by more than nothing, in words; empty for other limits."""
        if math.isnan(self.threshold):
            return ""
        between, after = self.measured - self.threshold, max(0.0, self.worst - self.measured)
        return (
            f"{between:.3%} between two decisions (limits look once a cycle), {after:.3%} afterwards on the position "
            "that was still held"
        )


@dataclass(frozen=True, slots=True)
class StressRun:
    """What a tape did to the account.

    Attributes
    ----------
    loss, loss_share
        Fall of equity from the start to the worst decision, quote and share.
    end_share
        Fall at the end.
    position_use
        Largest position over what the limit allowed at the decision in force, at its mid; 1 is the limit.
    passed
        Fills that made the position larger than the decision in force allowed.
    flat_after_ns
        From the first halting or reducing breach until the position was 0; ``None``: it never was again, or no breach.
    """

    name: str
    decisions: int
    fills: int
    loss: float
    loss_share: float
    end_share: float
    position_use: float
    passed: int
    fired: tuple[Fired, ...]
    flat_after_ns: int | None
    ts: list[int]
    equity: list[float]
    position: list[float]
    mid: list[float]

    def to_json(self) -> dict[str, Any]:
        """Plain values without the paths."""
        return {
            "name": self.name,
            "decisions": self.decisions,
            "fills": self.fills,
            "loss": self.loss,
            "loss_share": self.loss_share,
            "end_share": self.end_share,
            "position_use": self.position_use,
            "position_limit_passed": self.passed,
            "flat_after_s": None if self.flat_after_ns is None else self.flat_after_ns / 1e9,
            "fired": [
                {
                    "limit": one.limit,
                    "first": iso(one.ts),
                    "decisions": one.decisions,
                    **(
                        {}
                        if math.isnan(one.threshold)
                        else {
                            "threshold": one.threshold,
                            "measured": one.measured,
                            "worst": one.worst,
                            "slippage": one.slippage,
                            "cause": one.cause(),
                        }
                    ),
                }
                for one in self.fired
            ],
        }


def run(name: str, instrument: Instrument, data: Columns, setup: Setup) -> StressRun:
    """Trade a tape decision by decision.

    Raises
    ------
    UsageError
        If the tape is empty, or strategy or parameters are not valid.
    """
    if len(data.ts) == 0:
        raise UsageError("a stress run needs a tape with rows")
    start = int(data.ts[0])
    config = ReplayConfig(
        start_ns=start,
        cycle_ns=setup.cycle_ns,
        entry_ns=setup.entry_ns,
        response_ns=setup.response_ns,
        limits=setup.limits,
        record_fills=1,
    )
    replay = Replay(
        instrument, config, setup.strategy, dict(setup.params or {}), lanes=1, quote_units=round(setup.equity * 1e8)
    )
    ends = np.flatnonzero(data.flags & PACKET_END) + 1
    end_ts = data.ts[ends - 1]
    notes = _Notes(setup, instrument)
    row, last = 0, int(data.ts[-1])
    for now in range(start + setup.cycle_ns, last + 1, setup.cycle_ns):
        # What the decision's orders meet until the next one is in its slice: fills between are seen one by one.
        until = min(now + setup.cycle_ns - 1, last)
        decided = int(np.searchsorted(end_ts, now + setup.entry_ns, side="right"))
        row = _feed(replay, data, row, int(ends[decided - 1]) if decided else 0)
        replay.advance(now + setup.entry_ns)
        notes.fills(replay)  # until its messages arrived, the decision before was in force
        notes.decision(replay, now)
        seen = int(np.searchsorted(end_ts, until, side="right"))
        row = _feed(replay, data, row, int(ends[seen - 1]) if seen else 0)
        notes.fills(replay)
    replay.finish()
    notes.fills(replay)
    return notes.result(name)


def _feed(replay: Replay, data: Columns, row: int, stop: int) -> int:
    if stop > row:
        replay.feed(data.rows(row, stop))
        return stop
    return row


class _Notes:
    """Gathers what happened, decision by decision."""

    def __init__(self, setup: Setup, instrument: Instrument) -> None:
        self._limits, self._capital = setup.limits, setup.equity
        self._lot, self._tick = float(instrument.lot), float(instrument.tick)
        self._ts: list[int] = []
        self._equity: list[float] = []
        self._position: list[int] = []
        self._mid: list[float] = []
        self._masks: list[int] = []
        self._losses: dict[int, list[float]] = {bit: [] for bit in _LOSS}
        self._fills = self._passed = 0
        self._use = 0.0
        self._allowed = math.inf
        self._held = 0

    def decision(self, replay: Replay, now: int) -> None:
        """Note a decision: equity, position, what was cut, and how large the position may become until the next."""
        seen = replay.limits_at(0)
        equity, mid, known = seen["equity"], seen["mid"], int(seen["known_lots"])
        self._ts.append(now)
        self._equity.append(equity)
        self._position.append(int(seen["position_lots"]))
        self._mid.append(mid)
        self._masks.append(int(seen["cut"]) | int(seen["halted"]))
        self._losses[gate.DAILY_LOSS].append(_fall(equity, seen["day_equity"]))
        self._losses[gate.DRAWDOWN].append(_fall(equity, seen["peak_equity"]))
        change = mid / seen["entry_price"] - 1.0 if seen["entry_price"] > 0 and known else 0.0
        self._losses[gate.STOP_LOSS].append(-change if known > 0 else change)
        share = self._limits.max_position_share
        self._held = int(seen["position_lots"])
        if share is not None and mid > 0:
            self._allowed = max(0.0, share * equity) / (self._lot * mid)

    def fills(self, replay: Replay) -> None:
        """Hold every fill since the last call against what the newest decision allowed."""
        for report in replay.reports():
            if report["what"] != FILL:
                continue
            before, self._held = self._held, self._held + int(report["qty"]) * (1 if report["side"] == BUY else -1)
            self._fills += 1
            if abs(self._held) > abs(before):
                self._use = max(self._use, abs(self._held) / self._allowed if self._allowed > 0 else math.inf)
                self._passed += abs(self._held) > self._allowed

    def result(self, name: str) -> StressRun:
        """Everything."""
        equity = np.array(self._equity or [self._capital])
        worst = float(np.min(equity))
        masks = np.array(self._masks, np.int64)
        fired = tuple(one for bit, word in gate.REASONS.items() if (one := self._fired(bit, word, masks)) is not None)
        return StressRun(
            name,
            len(self._ts),
            self._fills,
            self._capital - worst,
            1.0 - worst / self._capital,
            1.0 - float(equity[-1]) / self._capital,
            self._use,
            self._passed,
            tuple(sorted(fired, key=lambda one: one.ts)),
            self._flat_after(masks),
            self._ts,
            self._equity,
            [lots * self._lot for lots in self._position],
            self._mid,
        )

    def _fired(self, bit: int, word: str, masks: np.ndarray) -> Fired | None:
        at_all = np.flatnonzero(masks & bit)
        if not len(at_all):
            return None
        first = int(at_all[0])
        if bit not in _LOSS:
            return Fired(word, self._ts[first], len(at_all))
        threshold = getattr(self._limits, _LOSS[bit])
        path = np.array(self._losses[bit])
        held = path[at_all]
        return Fired(word, self._ts[first], len(at_all), threshold, float(path[first]), float(held.max()))

    def _flat_after(self, masks: np.ndarray) -> int | None:
        stopping = np.flatnonzero(masks & (gate.STOP_LOSS | gate.DAILY_LOSS | gate.DRAWDOWN | gate.VOLATILITY_CUTOFF))
        if not len(stopping):
            return None
        first = int(stopping[0])
        flat = [ts for ts, lots in zip(self._ts[first:], self._position[first:], strict=True) if lots == 0]
        return flat[0] - self._ts[first] if flat else None


def _fall(equity: float, before: float) -> float:
    return 1.0 - equity / before if before > 0 else 0.0


__all__ = ["Fired", "Setup", "StressRun", "run"]
