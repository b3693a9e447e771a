"""The live session: each cycle it hears, decides, writes down, sends, and lets time go on.

It knows no difference between backtest speed, paper and live but the venue and the beat that are passed in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import orjson

from tidewright.agents.executor.executor import AccountNow, Decision, Executor, MarketNow
from tidewright.market.clock import HOUR, Clock
from tidewright.market.codes import GAP, PACKET_END
from tidewright.market.errors import DataError, NotFoundError, TidewrightError, TimedOutError, VenueError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, TapeWriter, columns
from tidewright.store import schema
from tidewright.store.database import Database, Row
from tidewright.trading.advice import Advice
from tidewright.trading.book import Book
from tidewright.trading.cycles import Beat, Cycles, Registration
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager, Plan, Quote
from tidewright.trading.reconcile import Reconciliation, begin, reconcile, restore, write
from tidewright.trading.settings import SessionSettings
from tidewright.venues.interface import FillUpdate, MarketFeed, Outcome, StreamLost, TradingVenue

logger = logging.getLogger(__name__)

_FORGET_NS: Final = HOUR
_CANCEL_TRIES: Final = 5
_PUBLISH_CYCLES: Final = 20


@dataclass(slots=True)
class Now:
    """What a display shows, after each cycle.

    Attributes
    ----------
    stage
        ``"warm-up"``, ``"trading"``, ``"ending"`` or ``"ended"``.
    quotes
        Orders believed to be open: (side, ticks, lots left).
    newest_fills
        The last few fills.
    """

    stage: str = "starting"
    market_ns: int = 0
    cycle: int = 0
    cycles_due: int = 0
    mid2: int = 0
    position_lots: int = 0
    equity_units: int = 0
    start_equity_units: int = 0
    realised_units: int = 0
    unrealised_units: int = 0
    fees_units: int = 0
    orders: int = 0
    fills: int = 0
    cancels: int = 0
    rejected: int = 0
    proposals: int = 0
    accepted: int = 0
    refused: int = 0
    errors: int = 0
    quotes: list[tuple[int, int, int]] = field(default_factory=list)
    newest_fills: list[FillUpdate] = field(default_factory=list)
    params: dict[str, float] = field(default_factory=dict)
    advice: str = ""
    why: str = ""


class Observer(Protocol):
    """Sees the session after each cycle; must not change it."""

    def __call__(self, now: Now) -> None:
        """Look."""
        ...


AdviceMaker = Callable[[Instrument, Registration, Callable[..., None], Clock], Awaitable[Advice | None]]


@dataclass(slots=True)
class Parts:
    """What a session is made of.

    Attributes
    ----------
    name
        Session name of a new session; a resumed one keeps its own.
    recorder
        Opens the growing tape for an instrument.
    advice
        Connects the optimizer, or ``None``.
    observers
        Called after each cycle.
    """

    name: str
    settings: SessionSettings
    venue: TradingVenue
    feed: MarketFeed
    cycles: Cycles
    database: Database
    recorder: Callable[[Instrument], TapeWriter]
    advice: AdviceMaker | None = None
    observers: tuple[Observer, ...] = ()


class Session:
    """Runs one session from start to orderly end.

    Attributes
    ----------
    stop
        Set it to end after the current cycle: open orders are cancelled, the end is confirmed.
    errors
        Things that went wrong and were survived.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self.stop = asyncio.Event()
        self.now = Now()
        self.errors = 0
        self.cycles = 0
        self.reconciliation = Reconciliation()
        self._book = Book()
        self._recorded_to = 0
        self._tape_goes_on = False
        self._executions_from = 0
        self._session = ""
        self._started_ns = 0
        self._stale = False
        self._fills = 0
        self._advice: Advice | None = None
        self._recorder: TapeWriter | None = None

    @property
    def started_ns(self) -> int:
        """Market time at which trading begins: decisions are at whole cycles after it."""
        return self._started_ns

    @property
    def session_name(self) -> str:
        """The session's part of its client order ids: of a resumed session the old one."""
        return self._session or self._parts.name

    # -- the whole run -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until the market ends, the duration is over, or :attr:`stop` is set.

        Raises
        ------
        TidewrightError
            If the start fails, or something is reported that contradicts what is known; orders stay as they are and
            are found at the next start.
        """
        parts = self._parts
        resumed = self._unfinished()
        told = orjson.loads(resumed["settings"]) if resumed else {}
        self._registration = await parts.cycles.register(self._settings.cycle_ns, told.get("grid_ns"))
        self._instrument = await parts.venue.load()
        beat = await parts.cycles.next()
        await parts.feed.start(self._instrument)
        self._recorder = self._tape = parts.recorder(self._instrument)
        self._tape_goes_on = self._tape.rows > 0
        await self._trade(beat, resumed)

    async def close(self) -> None:
        """Close connections and tape; orders stay as they are."""
        parts = self._parts
        if self._advice is not None:
            await self._advice.close()
        if self._recorder is not None:
            self._recorder.close()
        await parts.feed.close()
        await parts.venue.close()
        await parts.cycles.close()

    async def cancel_everything(self) -> list[str]:
        """Emergency: cancel every open order of this session the venue knows of, whatever our own books say.

        Returns
        -------
        list[str]
            Client ids whose cancel was not confirmed.

        Raises
        ------
        TidewrightError
            If the venue cannot be asked.
        """
        prefix = f"tw-{self.session_name}-"
        names = [order.client_order_id for order in await self._parts.venue.open_orders()]
        answers = await self._parts.venue.submit([name for name in names if name.startswith(prefix)], [])
        return [answer.client_order_id for answer in answers if answer.outcome is not Outcome.ACCEPTED]

    async def _trade(self, beat: Beat, resumed: Row | None) -> None:
        settings, parts = self._settings, self._parts
        self._executions_from = max(self._registration.execution_id, beat.execution_id)
        await self._open(beat, resumed)
        self._executor = Executor(
            self._instrument,
            self._started_ns,
            settings.cycle_ns,
            settings.strategy,
            self._params(resumed),
            settings.limits,
        )
        if parts.advice is not None and settings.advice is not None:
            self._advice = await parts.advice(self._instrument, self._registration, self._note, parts.cycles.clock)
        beat = await self._warm_up(beat)
        await self._loop(beat)
        await self._finish()

    def _unfinished(self) -> Row | None:
        found = [row for row in self._parts.database.sessions() if row["ended_ns"] is None]
        return found[-1] if found else None

    async def _open(self, beat: Beat, resumed: Row | None) -> None:
        """A new session's first row, or an old one's books brought together with the venue."""
        parts, database = self._parts, self._parts.database
        if resumed is None:
            state, newest = await begin(parts.venue, self._instrument.base, self._instrument.quote)
            settings = {
                **self._settings.to_json(),
                "grid_ns": self._registration.start_ns,
                "tape": self._tape.path.name,
                "latency": {
                    "feed_ns": self._registration.feed_ns,
                    "entry_ns": self._registration.entry_ns,
                    "response_ns": self._registration.response_ns,
                },
            }
            row: dict[str, Any] = {
                "session": parts.name,
                "started_ns": beat.ts + self._settings.warmup_ns,
                "started_wall_ns": parts.cycles.clock.wall_ns(),
                "ended_ns": None,
                "venue": f"{self._settings.mode}:{self._instrument.venue}",
                "instrument": orjson.dumps(self._instrument.to_json()).decode(),
                "strategy": self._settings.strategy,
                "start_base": state.start_base,
                "start_quote": state.start_quote,
                "start_trade_id": newest,
                "settings": orjson.dumps(settings).decode(),
            }
            database.add(schema.sessions, [row])
            database.commit()
            self._session, self._started_ns, self._start_trade = parts.name, row["started_ns"], newest
            self._manager = OrderManager(parts.name, Ledger(self._instrument, state))
            self._heard_of = newest
            return
        before = Instrument.from_json(orjson.loads(resumed["instrument"]))
        if (before.symbol, before.tick_size, before.lot_size) != (
            self._instrument.symbol,
            self._instrument.tick_size,
            self._instrument.lot_size,
        ):
            raise DataError(f"the session in {database.path} traded {before.symbol} with another tick or lot")
        state = LedgerState(resumed["start_base"], resumed["start_quote"])
        self._session, self._started_ns = resumed["session"], resumed["started_ns"]
        self._start_trade = int(resumed["start_trade_id"])
        self._manager = restore(database, self._session, Ledger(self._instrument, state))
        self._fills = len(database.rows(schema.fills, self._session))
        self.reconciliation = await reconcile(
            parts.venue, database, self._manager, beat.ts, resumed["start_trade_id"], adopt=self._settings.adopt
        )
        self._fills += len(self.reconciliation.missing_fills)
        self._heard_of = max(self._start_trade, self._manager.newest_trade_id)
        logger.info("session %s resumed: %s", self._session, self.reconciliation.text())

    def _params(self, resumed: Row | None) -> dict[str, float]:
        if resumed is None:
            return dict(self._settings.params)
        accepted = [
            row
            for row in self._parts.database.rows(schema.messages, resumed["session"])
            if row["verdict"] == "accepted" and row["message_type"] == "parameter_update"
        ]
        params = dict(self._settings.params)
        if accepted:
            params.update(orjson.loads(accepted[-1]["body"])["data"]["optimized_params"])
        return params

    # -- warm-up -------------------------------------------------------------------------------------------------------

    async def _warm_up(self, beat: Beat) -> Beat:
        self._from_ns = beat.ts
        self.now.stage = "warm-up"
        while beat.ts < self._started_ns and not beat.done and not self.stop.is_set():
            await self._hear(beat)
            market = self._book.now()
            self._executor.watch(market)
            self._show(beat, market, None)
            await self._parts.cycles.release(beat)
            beat = await self._parts.cycles.next()
        return beat

    # -- trading -------------------------------------------------------------------------------------------------------

    async def _loop(self, beat: Beat) -> None:
        settings, cycles = self._settings, self._parts.cycles
        until = self._started_ns + settings.duration_ns if settings.duration_ns else 0
        self.now.stage = "trading"
        self.now.cycles_due = settings.duration_ns // settings.cycle_ns
        self.now.start_equity_units = 0
        first = True
        while True:
            self._last_beat = beat
            ending = beat.done or self.stop.is_set() or bool(until and beat.ts >= until)
            # The grid's first time is the start; the first decision is one cycle later, as in the engine.
            if first and beat.ts == self._started_ns:
                await self._prelude(beat)
            else:
                await self._cycle(beat, ending)
            first = False
            if ending:
                return
            await cycles.release(beat)
            beat = await self._next_or_stop(beat)

    async def _next_or_stop(self, beat: Beat) -> Beat:
        """The next beat; when told to stop while waiting for one, a last one without waiting."""
        coming = asyncio.ensure_future(self._parts.cycles.next())
        stopping = asyncio.ensure_future(self.stop.wait())
        done, _ = await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if coming in done:
            return coming.result()
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        return Beat(max(beat.ts, self._parts.cycles.clock.market_ns()))

    async def _prelude(self, beat: Beat) -> None:
        await self._hear(beat)
        market = self._book.now()
        self._executor.watch(market)
        self._write_equity(beat.ts)
        self._parts.database.commit()
        await self._ask(beat.ts)
        self._show(beat, market, None)

    async def _cycle(self, beat: Beat, ending: bool) -> None:
        await self._hear(beat)
        await self._resolve(beat.ts)
        market = self._book.now()
        await self._take_advice(beat.ts)
        decision = self._decide(beat.ts, market)
        if ending:  # orders sent now could only be cancelled again
            decision = None
        plan = Plan([], [], 0)
        if decision is not None:
            quotes = [Quote(0, price, lots) for price, lots in decision.bids]
            quotes += [Quote(1, price, lots) for price, lots in decision.asks]
            plan = self._manager.plan(quotes)
        self._manager.intend(plan, beat.ts)
        self._write(beat.ts, decision, plan)
        if plan.cancels or plan.orders:
            answers = await self._parts.venue.submit(plan.cancels, plan.orders)
            self._manager.on_answers(plan, answers, beat.ts)
        self.cycles += 1
        if not ending:
            await self._ask(beat.ts)
        if self.cycles % _PUBLISH_CYCLES == 0:
            self._tape.publish()
        self._manager.forget_ended(beat.ts - _FORGET_NS)
        self._show(beat, market, decision, plan)

    async def _hear(self, beat: Beat) -> None:
        """Wait until everything that belongs to the beat is in, and take it in: market first, then our own events."""
        parts, timeout = self._parts, self._settings.catch_up_s
        if beat.update_id >= 0:
            await parts.feed.reached(beat.update_id, max(0, beat.trade_id), timeout)
        if beat.execution_id > self._executions_from:
            await parts.venue.reached(beat.execution_id, timeout)
        rows = parts.feed.drain()
        self._record(rows, beat.ts)
        self._book.apply(rows)
        for event in parts.venue.drain():
            if isinstance(event, StreamLost):
                self.errors += 1
                self._stale = True
                logger.warning("user stream lost (%s): asking the venue for what was missed", event.why)
                continue
            self._manager.on_event(event, beat.ts)
        if self._manager.foreign:
            logger.debug("%d events of orders that are not followed", len(self._manager.foreign))
            self._manager.foreign.clear()
        if self._stale:
            await self._refresh(beat)
        else:
            self._heard_of = max(self._heard_of, self._manager.newest_trade_id)

    def _record(self, rows: Columns, ts: int) -> None:
        since, self._recorded_to = self._recorded_to, ts
        if len(rows.ts) == 0:
            return
        if self._tape_goes_on:  # what came between the last published row and now is missing
            ts_first = int(rows.ts[0])
            self._tape.append(columns([(ts_first, ts_first, GAP, PACKET_END, 0, 0)]))
            self._tape_goes_on = False
        # A row that came in this cycle was known after the last decision and by this one, whatever its own stamp.
        if self._registration.pace is None:
            rows = rows._replace(ts_local=np.clip(rows.ts_local, since + 1, ts))
        self._tape.append(rows)

    async def _refresh(self, beat: Beat) -> None:
        """After a hole in the user stream: ask for every order and every fill."""
        now = beat.ts
        try:
            for order in self._manager.live():
                found = await self._parts.venue.order(order.client_order_id)
                if found is None:
                    self._manager.lose(order.client_order_id, now)
                    self._manager.resolve(order.client_order_id, None, now)
                else:
                    self._manager.on_event(found, now)
            await self._fetch_fills(self._heard_of, now)
        except (TimedOutError, VenueError) as error:
            self.errors += 1
            logger.warning("the venue could not be asked (%s); trying again at the next cycle", error)
            return
        self._stale = False
        self._executions_from = max(self._executions_from, beat.execution_id)

    async def _resolve(self, now: int) -> None:
        """Ask about orders whose outcome has been unknown for a whole cycle."""
        names = self._manager.unresolved(now)
        if not names:
            return
        try:
            for name in names:
                found = await self._parts.venue.order(name)
                self._manager.resolve(name, found, now)
            await self._fetch_fills(self._start_trade, now)
        except (TimedOutError, VenueError) as error:
            self.errors += 1
            logger.warning("unknown orders could not be asked about (%s); trying again at the next cycle", error)

    async def _fetch_fills(self, after_trade_id: int, now: int) -> None:
        for fill in await self._parts.venue.fills(after_trade_id):
            self._manager.on_fill(fill, now)

    def _decide(self, now: int, market: MarketNow) -> Decision | None:
        if not self._book.last_mid2:
            return None
        ledger = self._manager.ledger
        account = AccountNow(
            ledger.position_lots,
            ledger.net_position_lots,
            ledger.equity_units(self._book.last_mid2) / 1e8,
            float(ledger.entry_price_ticks) * float(self._instrument.tick),
        )
        return self._executor.decide(now, market, account)

    # -- advice --------------------------------------------------------------------------------------------------------

    async def _ask(self, now: int) -> None:
        advice = self._advice
        if advice is None or self._settings.advice is None or self.stop.is_set():
            return
        if (now - self._started_ns) % self._settings.advice.epoch_ns or not self._book.last_mid2:
            return
        self._tape.publish()
        rows = self._tape.rows
        await advice.ask(now, self._from_ns, rows, self._executor, self._manager.ledger, self._book.last_mid2)
        self._parts.database.commit()

    async def _take_advice(self, now: int) -> None:
        if self._advice is None or not self._book.last_mid2:
            return
        wait = self._registration.pace is None
        verdict = await self._advice.answer(
            now, self._executor, self._manager.ledger, self._book.last_mid2, wait=wait and not self.stop.is_set()
        )
        if verdict is not None and verdict.accepted:
            self._executor.use(verdict.params)

    def _note(self, **row: Any) -> None:
        self._parts.database.add(schema.messages, [{"session": self._session, **row}])

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write(self, now: int, decision: Decision | None, plan: Plan) -> None:
        """One transaction a cycle: what happened since the last one, and what is meant now, before it is sent."""
        self._fills += write(self._parts.database, self._manager)
        self._write_equity(now)
        if decision is not None:
            row = {
                "session": self._session,
                "ts": now,
                "state": orjson.dumps(decision.state).decode(),
                "quotes": orjson.dumps({"bids": decision.bids, "asks": decision.asks}).decode(),
                "placed": len(plan.orders),
                "cancelled": len(plan.cancels),
                "why": "; ".join((*decision.why, *plan.why)),
            }
            self._parts.database.add(schema.decisions, [row])
        self._parts.database.commit()

    def _write_equity(self, now: int) -> None:
        mid2, ledger = self._book.last_mid2, self._manager.ledger
        if not mid2:
            return
        row: dict[str, Any] = {
            "session": self._session,
            "ts": now,
            "mid2_ticks": mid2,
            "equity_units": ledger.equity_units(mid2),
            "base_units": ledger.base_units,
            "quote_units": ledger.quote_units,
            "position_lots": ledger.position_lots,
            "realised_units": ledger.realised_units,
            "unrealised_units": ledger.unrealised_units(mid2),
            "fees_units": ledger.fees_units(mid2),
        }
        if not self.now.start_equity_units:
            self.now.start_equity_units = row["equity_units"]
        self.now.equity_units = row["equity_units"]
        self._parts.database.add(schema.equity, [row])

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Cancel what is open, confirm it with the venue, write the last lines."""
        self.now.stage = "ending"
        now = self._last_beat.ts
        for _ in range(_CANCEL_TRIES):
            open_names = [order.client_order_id for order in self._manager.live()]
            if not open_names:
                break
            plan = Plan(open_names, [], 0)
            self._manager.intend(plan, now)
            write(self._parts.database, self._manager)
            self._parts.database.commit()
            answers = await self._parts.venue.submit(plan.cancels, [])
            self._manager.on_answers(plan, answers, now)
            await self._settle_cancels([a.client_order_id for a in answers if a.outcome is not Outcome.ACCEPTED], now)
        else:
            raise TimedOutError(f"{len(self._manager.live())} orders could not be confirmed as cancelled")
        await self._fetch_fills(self._heard_of, now)
        self._fills += write(self._parts.database, self._manager)
        self._write_equity(now)
        self._parts.database.commit()
        self._parts.database.end_session(self._session, now)
        await self._check_balance()
        self.now.stage = "ended"
        self._show(self._last_beat, self._book.now(), None)

    async def _settle_cancels(self, names: list[str], now: int) -> None:
        for name in names:
            if not self._manager.orders[name].state.final:
                self._manager.resolve(name, await self._parts.venue.order(name), now)
        if names:
            await self._fetch_fills(self._heard_of, now)

    async def _check_balance(self) -> None:
        instrument, ledger = self._instrument, self._manager.ledger
        balances = await self._parts.venue.balances()
        difference = ledger.difference(balances.total(instrument.base), balances.total(instrument.quote))
        if difference:
            raise TidewrightError(f"at the end the ledger does not balance with the account: {difference}")

    # -- showing -------------------------------------------------------------------------------------------------------

    def _show(self, beat: Beat, market: MarketNow, decision: Decision | None, plan: Plan | None = None) -> None:
        now, manager, ledger = self.now, self._manager, self._manager.ledger
        mid2 = self._book.last_mid2
        now.market_ns, now.cycle, now.mid2 = beat.ts, self.cycles, mid2
        now.position_lots = ledger.position_lots
        if mid2:
            now.equity_units = ledger.equity_units(mid2)
            now.unrealised_units = ledger.unrealised_units(mid2)
            now.fees_units = ledger.fees_units(mid2)
        now.realised_units = ledger.realised_units
        now.orders, now.cancels, now.rejected = manager.placed, manager.cancels_sent, manager.rejected
        now.fills = self._fills
        now.newest_fills = manager.recent_fills[-5:]
        now.quotes = [(order.side, order.price_ticks, order.leaves_lots) for order in manager.live()]
        now.params = self._executor.params
        now.errors = self.errors + (self._advice.errors if self._advice is not None else 0)
        if self._advice is not None:
            now.proposals, now.accepted = self._advice.proposals, self._advice.accepted
            now.refused, now.advice = self._advice.refused, self._advice.latest.text
        why = (*decision.why, *(plan.why if plan is not None else ())) if decision is not None else ()
        now.why = "; ".join(why) if market.whole else "the book is not whole: no decision"
        for observer in self._parts.observers:
            observer(now)


def session_row(database: Database, session: str) -> Row:
    """The row of a session.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    for row in database.sessions():
        if row["session"] == session:
            return row
    raise NotFoundError(f"no session {session!r} in {database.path}")
