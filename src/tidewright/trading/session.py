"""The live session: each cycle it hears, decides, writes down, sends, and lets time go on.

It knows no difference between backtest speed, paper and live but the venue and the beat that are passed in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from tidewright.agents.executor.executor import AccountNow, Decision, MarketNow
from tidewright.coordination.messages import encode, message
from tidewright.coordination.patterns.opinion import Outcome as Voted
from tidewright.market.clock import HOUR, Clock
from tidewright.market.instrument import Instrument
from tidewright.market.tape_writer import TapeWriter
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.advice import EXECUTOR, Advice
from tidewright.trading.chair import Chair
from tidewright.trading.closing import cancel_open, check_balance
from tidewright.trading.commands import CommandBox
from tidewright.trading.control import Control
from tidewright.trading.coordinator import Coordinator
from tidewright.trading.cycles import Beat, Cycles, Registration
from tidewright.trading.default_sizes import size
from tidewright.trading.flatten import flatten
from tidewright.trading.guard import Guard
from tidewright.trading.intake import Intake
from tidewright.trading.leaning import leaned
from tidewright.trading.lease import ENDING
from tidewright.trading.now import Now, Observer
from tidewright.trading.opening import VOTED, Opened, grid_ns, open_again, open_new, unfinished, warm_up
from tidewright.trading.orders import Plan
from tidewright.trading.planning import planned
from tidewright.trading.reconcile import Reconciliation, write
from tidewright.trading.settings import SessionSettings
from tidewright.trading.several import Desk
from tidewright.trading.table import VenueCheck, open_shadows, take_seats
from tidewright.trading.team_advice import TeamAdvice
from tidewright.venues.interface import MarketFeed, Outcome, TradingVenue

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_FORGET_NS: Final = HOUR
_PUBLISH_CYCLES: Final = 20


Adviser = Advice | TeamAdvice
AdviceMaker = Callable[[Instrument, Registration, Callable[..., None], Clock], Awaitable[Adviser | None]]


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
    commands
        Where people's commands come in, or ``None``.
    coordinator
        Makes one decision of several agents' opinions; ``None``: what the optimizer proposes and the executor accepts.
    chair
        Who steers the strategy; ``None``: it quotes by its parameters as they are.
    beat
        Gives a sign of life at each decision time, to those who would take over.
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
    commands: CommandBox | None = None
    coordinator: Coordinator | None = None
    chair: Chair | None = None
    beat: Callable[[int], None] | None = None


class Session:
    """Runs one session from start to orderly end.

    Attributes
    ----------
    stop
        Set it to end after the current cycle: open orders are cancelled, the end is confirmed.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self.stop = asyncio.Event()
        self.now = Now()
        self.cycles = 0
        self._sized = False
        self._opened: Opened | None = None
        self._advice: Any = None  # an Adviser, of the executor or of the desk that it is given
        self._recorder: TapeWriter | None = None
        self._intake: Intake | None = None
        self.control = Control(parts.commands, self.stop)
        self.control.switch = parts.coordinator.switch if parts.coordinator is not None else None

    @property
    def started_ns(self) -> int:
        """Market time at which trading begins: decisions are at whole cycles after it."""
        return self._opened.started_ns if self._opened is not None else 0

    @property
    def session_name(self) -> str:
        """The session's part of its client order ids: of a resumed session the old one, from the beginning."""
        if self._opened is not None:
            return self._opened.session
        broken_off = unfinished(self._parts.database)
        return str(broken_off["session"]) if broken_off is not None else self._parts.name

    @property
    def at_stake(self) -> bool:
        """Whether orders of this session may be open: it trades, or goes on with one that did."""
        return self._opened is not None or unfinished(self._parts.database) is not None

    @property
    def instrument(self) -> Instrument:
        """What it trades, once it trades."""
        return self._instrument

    @property
    def reconciliation(self) -> Reconciliation:
        """What was found at the start."""
        return self._opened.reconciliation if self._opened is not None else Reconciliation()

    @property
    def errors(self) -> int:
        """Things that went wrong and were survived."""
        heard = self._intake.errors if self._intake is not None else 0
        return heard + (self._advice.errors if self._advice is not None else 0)

    @property
    def optimizer_wait_s(self) -> float:
        """Wall seconds for which it has stood still for the optimizer's answer; 0 if it does not."""
        return self._advice.waiting_s if self._advice is not None else 0.0

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
        resumed = unfinished(parts.database)
        self._registration = await parts.cycles.register(self._settings.cycle_ns, grid_ns(resumed))
        self.control.open(self._settings.cycle_ns, self._registration.pace)
        self._instrument = await parts.venue.load()
        if parts.chair is not None:
            parts.chair.check(self._instrument)
        beat = await parts.cycles.next()
        await parts.feed.start(self._instrument)
        self._recorder = self._tape = parts.recorder(self._instrument)
        if resumed is None:
            opened = await open_new(
                parts.venue,
                parts.database,
                parts.name,
                self._settings,
                self._instrument,
                self._registration,
                self._tape.path.name,
                beat.ts,
                parts.cycles.clock.wall_ns(),
            )
        else:
            opened = await open_again(parts.venue, parts.database, resumed, self._settings, self._instrument, beat.ts)
            opened.recalled = [*warm_up(self._tape.path, opened, self._settings, beat.ts), *opened.recalled]
        await self._trade(beat, opened)

    async def close(self) -> None:
        """Close connections and tape; orders stay as they are."""
        parts = self._parts
        await self.control.close()
        if parts.coordinator is not None:
            await parts.coordinator.close()
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

    async def _trade(self, beat: Beat, opened: Opened) -> None:
        settings, parts = self._settings, self._parts
        self._opened, self._manager = opened, opened.manager
        self._session, self._started_ns, self._fills = opened.session, opened.started_ns, opened.fills
        self.control.paused = opened.paused
        self.cycles, self.now.start_equity_units = opened.cycles, opened.start_equity_units
        self._ears = self._intake = Intake(
            parts.venue,
            parts.feed,
            opened.manager,
            self._tape,
            opened.start_trade_id,
            max(self._registration.execution_id, beat.execution_id),
            lockstep=self._registration.pace is None,
            catch_up_s=settings.catch_up_s,
            on_its_way_s=settings.on_its_way_s,
        )
        self._book = self._ears.book
        self._executor = take_seats(
            parts.coordinator, settings, self._instrument, opened, parts.database, beat.ts, self._tell_risk
        )
        self._desk = self._executor if isinstance(self._executor, Desk) else None
        self._check = VenueCheck(parts.venue, opened.manager)
        self._guard = Guard(
            self._instrument,
            settings.limits,
            settings.risk,
            parts.database,
            f"{settings.mode}:{self._instrument.venue}:{self._instrument.symbol}",
            settings.cycle_ns,
            self._tell_risk,
        )
        self._guard.recall([(row.now_ns, row.mid2) for row in opened.recalled])
        self.now.risk = self._guard.now
        if parts.advice is not None and settings.advice is not None:
            self._advice = await parts.advice(self._instrument, self._registration, self._note, parts.cycles.clock)
        if self._advice is not None:
            self._advice.resume(opened.advice)
            if isinstance(self._advice, Advice) and parts.coordinator is not None:
                self._advice.council = parts.coordinator.ratify
        if parts.chair is not None:
            parts.chair.note = self._note
            parts.chair.open(self._executor, parts.database, self._session, beat.ts)
            if isinstance(self._advice, Advice):
                self._advice.chair = parts.chair
        if parts.coordinator is not None:
            await parts.coordinator.start()
            parts.coordinator.open(beat.ts, opened.pattern)
            shadow = open_shadows(
                parts.coordinator, settings, self._instrument, self._registration, opened, self._executor, self._tape
            )
            self._ears.listener = shadow.feed if shadow is not None else None
        beat = await self._warm_up(beat)
        await self._loop(beat)
        await self._finish()

    # -- warm-up -------------------------------------------------------------------------------------------------------

    async def _warm_up(self, beat: Beat) -> Beat:
        self._from_ns = min(beat.ts, self._started_ns - self._settings.warmup_ns)
        self.now.stage, beats = "warm-up", 0
        while beat.ts < self._started_ns and not beat.done and not self.stop.is_set():
            await self._ears.hear(beat)
            market = self._book.now()
            self._executor.watch(market)
            self._watch(beat, market)
            self._show(beat, market, None)
            beats += 1
            if beats % _PUBLISH_CYCLES == 0:  # what a kill in the warm-up leaves
                self._tape.publish()
            await self._parts.cycles.release(beat)
            beat = await self._next_or_stop(beat)
        return beat

    # -- trading -------------------------------------------------------------------------------------------------------

    async def _loop(self, beat: Beat) -> None:
        settings, cycles = self._settings, self._parts.cycles
        until = self._started_ns + settings.duration_ns if settings.duration_ns else 0
        self.now.stage = "trading"
        self.now.cycles_due = settings.duration_ns // settings.cycle_ns
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
            beat = coming.result()
            if self._parts.beat is not None:
                self._parts.beat(beat.ts)
            return beat
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        return Beat(max(beat.ts, self._parts.cycles.clock.market_ns()))

    async def _prelude(self, beat: Beat) -> None:
        await self._ears.hear(beat)
        market = self._book.now()
        self._executor.watch(market)
        self._watch(beat, market)
        self._write_equity(beat.ts)
        self._begin_seats(beat.ts)
        self._parts.database.commit()
        self._tape.publish()  # a restart finds the warm-up on it
        await self._ask(beat.ts)
        self._show(beat, market, None)

    async def _cycle(self, beat: Beat, ending: bool) -> None:
        parts = self._parts
        await self._ears.hear(beat)
        await self._ears.resolve(beat.ts, beat.ts - self._settings.cycle_ns + 1)
        if self._desk is not None:
            await self._check()
        market = self._book.now()
        self._watch(beat, market)  # before the decision: limits over instruments need the prices of now
        self.control.obey(beat.ts, self._executor, self._note)
        await self._take_advice(beat.ts)
        if self._advice is not None:
            self._guard.calibration = self._advice.calibration
        decision = self._decide(beat.ts, market)
        self._guard.volatility = self._executor.volatility
        if decision is not None and parts.coordinator is not None:
            decision = leaned(decision, parts.coordinator.lean, self._account().net_position_lots, self._desk)
            if self._desk is not None:
                self._desk.aim(decision)
        if ending:  # orders sent now could only be cancelled again
            decision = None
        plan = Plan([], [], 0)
        if decision is not None:
            paused = self.control.paused
            if self._desk is not None and not paused:
                self._desk.settle(beat.ts)
            decision, plan = planned(decision, self._guard, self._manager, self._account(), market, paused=paused)
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

    def _decide(self, now: int, market: MarketNow) -> Decision | None:
        if not self._book.last_mid2:
            return None
        self._begin_seats(now)
        account = self._account()
        age_ns = max(0, now - self._book.last_ns)
        guarded = self._guard.begin(now, account, self._manager.standing(), age_ns, self._book)
        return self._executor.decide(now, market, account, guarded)

    def _begin_seats(self, now: int) -> None:
        """Sizes nobody gave, once there is a price; what the chair does before a decision."""
        mid2, ledger = self._book.last_mid2, self._manager.ledger
        if not mid2:
            return
        if not self._sized:
            self._sized = True
            if told := size(self._executor, self._instrument, self._settings, ledger.equity(mid2), mid2):
                logger.warning("sizes: %s", told)
        if self._parts.chair is not None:
            self._parts.chair.begin(now, ledger.equity(mid2), mid2, ledger)

    def _account(self) -> AccountNow:
        ledger = self._manager.ledger
        return AccountNow(
            ledger.position_lots,
            ledger.net_position_lots,
            ledger.equity(self._book.last_mid2),
            float(ledger.entry_price_ticks) * float(self._instrument.tick),
        )

    def _watch(self, beat: Beat, market: MarketNow) -> None:
        self._guard.watch(market, self._executor.volatility)
        self._guard.traded(beat.ts, self._book.traded_lots)
        self._guard.look(beat.ts, market)

    def _tell_risk(self, now: int, data: dict[str, Any]) -> None:
        item = message("risk_event", now, EXECUTOR, "all", data)
        self._note(
            ts=now,
            direction="out",
            message_type=item.message_type,
            body=encode(item).decode(),
            verdict="",
            why=str(data["cause"]),
        )

    # -- advice --------------------------------------------------------------------------------------------------------

    async def _ask(self, now: int) -> None:
        advice = self._advice
        if advice is None or self._settings.advice is None or self.stop.is_set():
            return
        if not advice.due(now, self._started_ns) or not self._book.last_mid2:
            return
        self._tape.publish()
        rows = self._tape.rows
        from_ns = max(self._from_ns, now - self._settings.advice.window_ns)
        await advice.ask(now, from_ns, rows, self._executor, self._manager.ledger, self._book.last_mid2)
        self._parts.database.commit()

    async def _take_advice(self, now: int) -> None:
        if not self._book.last_mid2:
            return
        if self._parts.coordinator is not None:
            await self._turn(self._parts.coordinator, now)
        if self._advice is None:
            return
        wait = self._registration.pace is None
        ledger, mid2 = self._manager.ledger, self._book.last_mid2
        await self._advice.watch(now, self._executor)
        answer = self._advice.answer(now, self._executor, ledger, mid2, wait=wait and not self.stop.is_set())
        await self._unless_stopped(answer)
        await self._advice.use(now, self._executor, mid2)

    async def _turn(self, coordinator: Coordinator, now: int) -> None:
        """What agents of other processes have voted, at the end of a round; then the next one begins."""
        executor = self._executor
        if coordinator.round_ends and self._registration.pace is None:
            await self._unless_stopped(coordinator.gather())
        outcome = coordinator.turn(now, executor.strategy.name, self._aim())
        if outcome is not None and dict(outcome.params) != self._aim():
            if self._advice is None:
                executor.use(outcome.params)
                self._note_vote(now, coordinator.round_name, outcome)
            else:
                self._advice.take(now, coordinator.round_name, outcome.params, outcome.why, executor)
        coordinator.tell(now, self._facts())

    def _note_vote(self, now: int, name: str, outcome: Voted) -> None:
        """A restart goes on with what was voted."""
        told = {"in_reply_to": name, "accepted": True, "reasons": [outcome.why], "params": dict(outcome.params)}
        body = encode(message("decision", now, EXECUTOR, EXECUTOR, told)).decode()
        self._note(ts=now, direction="out", message_type="decision", body=body, verdict=VOTED, why=outcome.why)

    def _aim(self) -> dict[str, float]:
        """The parameters that are aimed at: what trades, or a canary's at full size."""
        aimed = self._advice.aim(self._executor) if self._advice is not None else self._executor.params
        return dict(aimed)

    def _facts(self) -> dict[str, Any]:
        """What voters are told of the market and of us."""
        mid2 = self._book.last_mid2
        return {
            "mid": mid2 * 0.5 * float(self._instrument.tick),
            "volatility": self._executor.volatility,
            "position_lots": self._manager.ledger.position_lots,
            "strategy": self._executor.strategy.name,
            "params": self._aim(),
        }

    async def _unless_stopped(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """What the work comes to; ``None`` if the session is told to stop before."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done() and self.stop.is_set():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return None
        return await working

    def _note(self, **row: Any) -> None:
        self._parts.database.add(schema.messages, [{"session": self._session, **row}])

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write(self, now: int, decision: Decision | None, plan: Plan) -> None:
        """One transaction a cycle: what happened since the last one, and what is meant now, before it is sent."""
        self._fills += write(self._parts.database, self._manager)
        self._write_equity(now)
        if decision is not None:
            steered = self._parts.chair.journal() if self._parts.chair is not None else {}
            row = {
                "session": self._session,
                "ts": now,
                "state": orjson.dumps(decision.state).decode(),
                "quotes": orjson.dumps({"bids": decision.bids, "asks": decision.asks, **steered}).decode(),
                "placed": len(plan.orders),
                "cancelled": len(plan.cancels),
                "why": "; ".join((*decision.why, *plan.why)),
            }
            self._parts.database.add(schema.decisions, [row])
        self._guard.save(now)
        self._parts.database.commit()

    def _store(self) -> None:
        self._fills += write(self._parts.database, self._manager)
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
        if self.now.stage != "warm-up" and not self.now.start_equity_units:
            self.now.start_equity_units = row["equity_units"]
        self.now.equity_units = row["equity_units"]
        self._parts.database.add(schema.equity, [row])
        if self._desk is not None:
            self._parts.database.add(schema.sub_accounts, self._desk.curve(now, mid2))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Cancel what is open, confirm it with the venue, write the last lines."""
        self.now.stage = "ending"
        if self._parts.beat is not None:
            self._parts.beat(ENDING)
        now = self._last_beat.ts
        venue, wait_s = self._parts.venue, self._settings.on_its_way_s
        await cancel_open(venue, self._manager, self._ears, self._store, now, wait_s)
        if self.control.flatten:
            left = await flatten(venue, self._manager, self._ears, self._store, now, self._book.last_mid2, wait_s)
            self.control.ended_by += f"; {left}"
        self._write_equity(now)
        self._store()
        await check_balance(venue, self._manager.ledger, self._ears, now)
        self._parts.database.end_session(self._session, now)
        self.now.stage = "ended"
        self._show(self._last_beat, self._book.now(), None)

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
        now.errors = self.errors
        if self._parts.chair is not None:
            now.seat = self._parts.chair.state()
        if self._parts.coordinator is not None:
            now.coordination = self._parts.coordinator.council.pattern
            now.shares = dict(self._parts.coordinator.shares)
        if self._desk is not None and mid2:
            now.agents = self._desk.figures(mid2)
        now.paused, now.ended_by = self.control.paused, self.control.ended_by
        if self._advice is not None:
            now.proposals, now.accepted = self._advice.proposals, self._advice.accepted
            now.refused, now.advice = self._advice.refused, self._advice.latest.text
            now.rollout, now.rollout_state = self._advice.stage(self._executor)
        why = (*decision.why, *(plan.why if plan is not None else ())) if decision is not None else ()
        now.why = "; ".join(why) if market.whole else "the book is not whole: no decision"
        for observer in self._parts.observers:
            observer(now)
