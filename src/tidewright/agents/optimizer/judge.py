"""Judging parameter sets in shadow lanes: the one place of the optimizer that touches the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.change import Pulse, pulse
from tidewright.agents.optimizer.fold import BookFold
from tidewright.agents.optimizer.windows import Window
from tidewright.engine.config import ReplayConfig
from tidewright.engine.sweep import Job, Rows, Runner, Threads
from tidewright.market.codes import BUY, FILL, UNIT
from tidewright.market.detail import detail_of
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape, concatenate
from tidewright.measure.mids import tape_mids
from tidewright.risk.limits import OFF, Limits
from tidewright.strategies.registry import strategy

F64 = npt.NDArray[np.float64]
DRIFT_LANES: Final = (
    64  # of more only the equity is recorded: a generation's fills would take more time than its replay
)
Params = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a shadow lane shares with the session it advises.

    Attributes
    ----------
    cycle_ns, feed_ns, entry_ns, response_ns
        Time between decisions and latencies, nanoseconds.
    maker_fee, taker_fee
        Rates, integers of 1e-8; ``None``: the instrument's.
    equity, base
        What a lane starts with, integers of 1e-8: equity in quote, of which this much base is held.
    check_balance
        Whether a lane must hold what it sells and pays.
    """

    cycle_ns: int
    feed_ns: int = 0
    entry_ns: int = 0
    response_ns: int = 0
    maker_fee: int | None = None
    taker_fee: int | None = None
    limits: Limits = OFF
    queue: str = "risk_averse"
    queue_power: float = 3.0
    equity: int = 10_000 * UNIT
    base: int = 0
    check_balance: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What lanes did in a window.

    Attributes
    ----------
    statistics
        The engine's streamed statistics, arrays over lanes; where lanes hold an inventory from the start, returns,
        equity and drawdown are beyond what holding it was worth.
    equity
        Known equity at the start and at each decision, quote, float64, shape (cycles + 1, lanes); ``None`` unless
        recorded.
    drift
        The part of each cycle's equity change that is the position known at its start (beyond the starting inventory)
        times the change of the mid, quote, shape (cycles, lanes); ``None`` unless recorded for at most ``DRIFT_LANES``.
    ts
        Times of ``equity``, int64 ns, shape (cycles + 1,); ``None`` unless recorded.
    fills
        Fills of all lanes, rows of :data:`tidewright.engine.replay.REPORT`; ``None`` where ``drift`` is.
    """

    statistics: Mapping[str, npt.NDArray[Any]]
    equity: F64 | None = None
    drift: F64 | None = None
    ts: npt.NDArray[np.int64] | None = None
    fills: npt.NDArray[np.void] | None = None

    @property
    def increments(self) -> F64:
        """Equity change of every cycle, quote, shape (cycles, lanes).

        Raises
        ------
        UsageError
            If equity was not recorded.
        """
        if self.equity is None:
            raise UsageError("equity a cycle is only there where it was recorded")
        return np.diff(self.equity, axis=0)


class Judge(Protocol):
    """Whoever judges parameter sets; the optimizer is handed one."""

    def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
        """Judge ``lanes`` parameter sets (arrays over lanes or scalars) in a window."""
        ...


class ShadowJudge:
    """Judges on the first rows of a tape, each parameter set a lane of one replay.

    The market before ``earliest_ns`` is folded into one snapshot of the book.

    Parameters
    ----------
    tape, rows
        The tape and how many of its rows may be used.
    strategy_name
        Whose parameters are judged.
    earliest_ns
        No window begins before this time.
    before
        An earlier judge of the same growing tape, whose fold is carried on.
    runner
        Where lanes run; ``None``: in one thread. It changes no result.

    Attributes
    ----------
    ran
        Where the judgement of most lanes ran, for people.
    """

    def __init__(
        self,
        tape: Tape,
        rows: int,
        strategy_name: str,
        settings: Settings,
        earliest_ns: int,
        before: "ShadowJudge | None" = None,
        runner: Runner | None = None,
    ) -> None:
        if not 0 < rows <= len(tape):
            raise UsageError(f"rows must be within the {len(tape)} rows of the tape, was {rows}")
        self._path = tape.path
        self._runner = runner or Threads(1)
        self.ran = ""
        self._most = 0
        self._data = tape.data.rows(0, rows)
        self._detail = detail_of(tape.meta)
        known = tape.instrument
        maker = known.maker_fee if settings.maker_fee is None else settings.maker_fee
        taker = known.taker_fee if settings.taker_fee is None else settings.taker_fee
        self._instrument = replace(known, maker_fee=maker, taker_fee=taker)
        self._strategy = strategy_name
        self._settings = settings
        carried = before is not None and before._path == tape.path and before._earliest_ns <= earliest_ns
        self._fold: BookFold = before._fold if before is not None and carried else BookFold()
        self._earliest_ns: int = earliest_ns
        self._fold.advance(self._data, earliest_ns)
        self._base, self._quote = self._balances()

    def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
        """Judge ``lanes`` parameter sets (arrays over lanes or scalars) in a window."""
        if self._base == 0:
            return self._replayed(window, params, lanes, record)
        judged = self._replayed(window, self._with_idle(params, lanes), lanes + 1, record=True)
        return _beyond_holding(judged, record)

    def pulse(self, from_ns: int, until_ns: int, bin_ns: int) -> Pulse:
        """Volatility, trades and spread in bins of market time; from no earlier than the judge's own beginning."""
        stop = int(np.searchsorted(self._data.ts, until_ns, side="right"))
        rows = self._data.rows(self._fold.row, max(stop, self._fold.row))
        return pulse(concatenate([self._fold.snapshot(), rows]), from_ns, until_ns, bin_ns)

    def _replayed(self, window: Window, params: Params, lanes: int, record: bool) -> Judgement:
        settings = self._settings
        config = ReplayConfig(
            start_ns=window.start_ns,
            cycle_ns=settings.cycle_ns,
            entry_ns=settings.entry_ns,
            response_ns=settings.response_ns,
            feed_ns=settings.feed_ns,
            queue=settings.queue,
            queue_power=settings.queue_power,
            limits=None if settings.limits == OFF else settings.limits,
            record_equity=int(record),
            record_fills=int(record and lanes <= DRIFT_LANES),
            touch_only=self._detail.touch_only,
        )
        stop = int(np.searchsorted(self._data.ts, window.end_ns, side="right"))
        first = self._fold.row
        rows = Rows(self._data.rows(first, max(stop, first)), self._path, first)
        opening = self._fold.snapshot()
        job = Job(
            self._instrument,
            config,
            self._strategy,
            params,
            lanes,
            base_units=self._base,
            quote_units=self._quote,
            check_balance=settings.check_balance,
            opening=opening,
            until_ns=window.end_ns,
        )
        result = self._runner.run(rows, job)
        if lanes >= self._most:
            self._most, self.ran = lanes, result.ran
        statistics = result.statistics
        if not record:
            return Judgement(statistics)
        start = np.asarray(statistics["equity_start"], np.float64)
        equity = np.concatenate([start[None, :], result.equity])
        decisions = np.concatenate([[window.start_ns], result.equity_ts])
        if lanes > DRIFT_LANES:
            return Judgement(statistics, equity, ts=decisions)
        lots = positions(result.reports, decisions, lanes)
        seen = tape_mids(concatenate([opening, rows.data]), float(self._instrument.tick))
        moves = np.nan_to_num(np.diff(seen.at(np.minimum(decisions, seen.until_ns))))
        drift = lots[:-1] * float(self._instrument.lot) * moves[:, None]
        fills = result.reports[result.reports["what"] == FILL]
        return Judgement(statistics, equity, drift, decisions, fills)

    def _with_idle(self, params: Params, lanes: int) -> Params:
        """The parameter sets and one more that quotes nothing: it shows what holding the inventory is worth."""
        wider = {}
        for parameter in strategy(self._strategy).parameters:
            column = np.broadcast_to(np.asarray(params.get(parameter.name, parameter.default), np.float64), (lanes,))
            idle = 0.0 if parameter.name == "base_quantity" else column[0]
            wider[parameter.name] = np.append(column, idle)
        return wider

    def _balances(self) -> tuple[int, int]:
        """Base and quote a lane starts with, 1e-8 units.

        Where balances are not checked, lanes may sell what they do not hold and need no inventory.
        """
        settings = self._settings
        if not settings.check_balance or settings.base == 0:
            return 0, settings.equity
        opening = self._fold.snapshot()
        seen = opening if len(opening.ts) else self._data
        mids = tape_mids(seen, float(self._instrument.tick)).mid
        if len(mids) == 0:
            raise UsageError("the tape has no whole book to value the starting inventory with")
        quote = settings.equity - round(settings.base * float(mids[0]))
        if quote < 0:
            raise UsageError(f"equity {settings.equity / UNIT:g} is less than the base inventory is worth")
        return settings.base, quote


def _beyond_holding(judged: Judgement, record: bool) -> Judgement:
    """Lanes with the price moves of their starting inventory taken out; the last lane, which only holds, is dropped.

    Those moves are the same for every lane, many times larger than what quoting earns, and no merit of it.
    """
    assert judged.equity is not None
    held = judged.equity[:, -1:]
    equity = judged.equity[:, :-1] - held + held[0]
    returns = equity[1:] / equity[:-1] - 1.0
    peak = np.maximum.accumulate(equity, axis=0)
    statistics = {name: column[:-1] for name, column in judged.statistics.items()}
    statistics["sum_return"] = returns.sum(axis=0)
    statistics["sum_return_sq"] = (returns * returns).sum(axis=0)
    statistics["sum_downside_sq"] = (np.minimum(returns, 0.0) ** 2).sum(axis=0)
    statistics["equity_start"], statistics["equity_end"] = equity[0], equity[-1]
    statistics["max_drawdown"] = ((peak - equity) / peak).max(axis=0)
    if not record:
        return Judgement(statistics)
    if judged.drift is None or judged.fills is None:
        return Judgement(statistics, equity, ts=judged.ts)
    fills = judged.fills[judged.fills["lane"] < equity.shape[1]]
    return Judgement(statistics, equity, judged.drift[:, :-1], judged.ts, fills)


def positions(reports: npt.NDArray[np.void], decisions: npt.NDArray[np.int64], lanes: int) -> F64:
    """Net filled quantity a lane knows of at each decision, lots, shape (decisions, lanes)."""
    fills = reports[reports["what"] == FILL]
    change = np.zeros((len(decisions) + 1, lanes))
    row = np.searchsorted(decisions, fills["known_ns"], side="left")
    np.add.at(change, (row, fills["lane"]), np.where(fills["side"] == BUY, fills["qty"], -fills["qty"]))
    return np.cumsum(change, axis=0)[:-1]
