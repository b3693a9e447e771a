"""What a session hears up to each beat, market and own reports, and what it asks for when some were lost."""

import asyncio
import logging
from collections.abc import Callable

import numpy as np

from tidewright.market.codes import GAP, PACKET_END
from tidewright.market.errors import TimedOutError, VenueError
from tidewright.market.tape import Columns, columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.trading.book import Book
from tidewright.trading.cycles import Beat
from tidewright.trading.order_table import State
from tidewright.trading.orders import OrderManager
from tidewright.venues.interface import MarketFeed, StreamLost, TradingVenue, UserEvent

logger = logging.getLogger(__name__)


class Intake:
    """Feed to tape and book, user stream to order manager.

    Parameters
    ----------
    start_trade_id
        The account's last trade before the session began.
    executions_from
        Newest report of the user stream before we listened: nobody may wait for it.
    lockstep
        Whether market time stands at each beat, so that the cycle a row came in is exactly when it was known.
    catch_up_s
        Wall seconds that market data and user stream may lag behind a beat.
    on_its_way_s
        Wall seconds for which an order that the venue does not know may still arrive there.

    Attributes
    ----------
    book
        The market as it is known.
    errors
        Holes and unanswered questions so far.
    listener
        Hears every row that is recorded; ``None``: nobody.
    """

    def __init__(
        self,
        venue: TradingVenue,
        feed: MarketFeed,
        manager: OrderManager,
        tape: TapeWriter,
        start_trade_id: int,
        executions_from: int,
        *,
        lockstep: bool,
        catch_up_s: float,
        on_its_way_s: float,
    ) -> None:
        self._venue, self._feed, self._manager, self._tape = venue, feed, manager, tape
        self._start_trade = start_trade_id
        self._heard_of = max(start_trade_id, manager.newest_trade_id)
        self._executions_from = executions_from
        self._lockstep, self._catch_up_s, self._on_its_way_s = lockstep, catch_up_s, on_its_way_s
        self._recorded_to = 0
        self._after_hole = tape.rows > 0
        self._stale = False
        self.book = Book()
        self.errors = 0
        self.listener: Callable[[Columns], None] | None = None

    async def hear(self, beat: Beat) -> None:
        """Wait until everything that belongs to the beat is in, and take it in: market first, then our own events.

        Raises
        ------
        TimedOutError
            If it does not come.
        """
        if beat.update_id >= 0:
            await self._feed.reached(beat.update_id, max(0, beat.trade_id), self._catch_up_s)
        if beat.execution_id > self._executions_from:
            await self._venue.reached(beat.execution_id, self._catch_up_s)
        rows = self._feed.drain()
        self._record(rows, beat.ts)
        self.book.apply(rows)
        for event in self._venue.drain():
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
        if self._after_hole:  # what came between the last published row and now is missing
            first = int(rows.ts[0])
            self._keep(columns([(first, first, GAP, PACKET_END, 0, 0)]))
            self._after_hole = False
        # A row that came in this cycle was known after the last decision and by this one, whatever its own stamp.
        if self._lockstep:
            rows = rows._replace(ts_local=np.clip(rows.ts_local, since + 1, ts))
        self._keep(rows)

    def _keep(self, rows: Columns) -> None:
        self._tape.append(rows)
        if self.listener is not None:
            self.listener(rows)

    async def _refresh(self, beat: Beat) -> None:
        """After a hole in the user stream: ask for every order and every fill.

        An order whose outcome is unknown is asked about once a whole cycle has passed, by :meth:`resolve`: what was
        sent may still be on its way.
        """
        now = beat.ts
        try:
            for order in self._manager.live():
                name = order.client_order_id
                if order.state is State.UNKNOWN:
                    continue
                found = await self._venue.order(name)
                if found is not None:
                    self._manager.on_event(found, now)
                elif order.state in (State.PENDING_NEW, State.PENDING_CANCEL):
                    self._manager.lose(name, now)
                else:  # the venue had confirmed it: a contradiction
                    self._manager.resolve(name, None, now)
            await self.fetch_fills(now)
        except (TimedOutError, VenueError) as error:
            self.errors += 1
            logger.warning("the venue could not be asked (%s); trying again at the next cycle", error)
            return
        self._stale = False
        self._executions_from = max(self._executions_from, beat.execution_id)

    async def resolve(self, now: int, before: int) -> None:
        """Ask about orders whose outcome has been unknown since before a time.

        That the venue does not know one says nothing while it may still be on its way. How long that may be goes by the
        wall, whatever the pace: connections and the venue's bound on the age of a request do not run faster with the
        market. In lockstep, where the market waits for us, it is waited for, so that what becomes of an order does not
        depend on how fast the machine is; else the order is asked about again at the next cycle.
        """
        names = self._manager.unresolved(before)
        if not names:
            return
        try:
            waits = {name: wait_s for name in names if (wait_s := await self._ask(name, now)) > 0.0}
            if waits and self._lockstep:
                await asyncio.sleep(max(waits.values()))
                for name in waits:
                    self._manager.resolve(name, await self._venue.order(name), now)
            await self.fetch_fills(now, self._start_trade)
        except (TimedOutError, VenueError) as error:
            self.errors += 1
            logger.warning("unknown orders could not be asked about (%s); trying again at the next cycle", error)

    async def _ask(self, name: str, now: int) -> float:
        """Settle an order by the venue's answer; else the wall seconds for which it may still be on its way."""
        wait_s = self._on_its_way_s - self._manager.unknown_s(name)  # before the question, not when its answer is in
        found = await self._venue.order(name)
        if found is None and wait_s > 0.0:
            return wait_s
        self._manager.resolve(name, found, now)
        return 0.0

    async def catch_up(self, now: int) -> bool:
        """Hear what the stream has brought, ask for fills that are lacking; whether none is now."""
        for event in self.drain():
            self._manager.on_event(event, now)
        await self.fetch_fills(now, self._start_trade if self._manager.lacking else None)
        return not self._manager.lacking

    def drain(self) -> list[UserEvent]:
        """Events of the user stream since the last look; a loss of it is noted."""
        events: list[UserEvent] = []
        for event in self._venue.drain():
            if isinstance(event, StreamLost):
                self.errors += 1
                self._stale = True
            else:
                events.append(event)
        return events

    async def fetch_fills(self, now: int, after_trade_id: int | None = None) -> None:
        """Ask for the fills since the user stream was last known to be whole, and book those that were missed."""
        for fill in await self._venue.fills(self._heard_of if after_trade_id is None else after_trade_id):
            self._manager.on_fill(fill, now)
