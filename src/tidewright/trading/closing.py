"""The last steps of a session: nothing of it stays open at the venue, and its books are those of the account."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from tidewright.market.errors import TidewrightError, TimedOutError
from tidewright.trading.intake import Intake
from tidewright.trading.ledger import Ledger
from tidewright.trading.orders import OrderManager, Plan
from tidewright.venues.interface import Outcome, TradingVenue

_TRIES: Final = 5
_LOOKS: Final = 25
_LOOK_S: Final = 0.2


async def cancel_open(
    venue: TradingVenue,
    manager: OrderManager,
    ears: Intake,
    store: Callable[[], None],
    now_ns: int,
    on_its_way_s: float,
) -> None:
    """Cancel what is open until the venue has confirmed that nothing is, and hear the last fills.

    Parameters
    ----------
    store
        Writes what has changed in the manager down, before anything is sent.
    now_ns
        Market time, nanoseconds.
    on_its_way_s
        As of :class:`tidewright.trading.settings.SessionSettings`.

    Raises
    ------
    TimedOutError
        If orders cannot be confirmed as cancelled, or fills that the venue speaks of do not come.
    """
    for _ in range(_TRIES):
        names = [order.client_order_id for order in manager.live()]
        if not names:
            break
        plan = Plan(names, [], 0)
        manager.intend(plan, now_ns)
        store()
        answers = await venue.submit(plan.cancels, [])
        manager.on_answers(plan, answers, now_ns)
        doubtful = [answer.client_order_id for answer in answers if answer.outcome is not Outcome.ACCEPTED]
        await _settle(venue, manager, doubtful, now_ns, on_its_way_s)
        await ears.catch_up(now_ns)
    if manager.live():
        raise TimedOutError(f"{len(manager.live())} orders could not be confirmed as cancelled")
    # The answer to a cancel may tell of a fill before the list of trades does.
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_LOOK_S)
        if await ears.catch_up(now_ns):
            return
    raise TimedOutError("the venue does not tell the fills of orders that it says were filled")


async def _settle(
    venue: TradingVenue, manager: OrderManager, names: Sequence[str], now_ns: int, on_its_way_s: float
) -> None:
    """Ask what became of orders whose cancel was not confirmed; of one that the venue does not know, twice."""
    absent = []
    for name in names:
        if manager.orders[name].state.final:
            continue
        found = await venue.order(name)
        if found is None:
            absent.append(name)
        else:
            manager.resolve(name, found, now_ns)
    if absent:
        await asyncio.sleep(on_its_way_s)
    for name in absent:
        manager.resolve(name, await venue.order(name), now_ns)


async def check_balance(venue: TradingVenue, ledger: Ledger, ears: Intake, now_ns: int) -> None:
    """Compare the ledger with the account, a few times if they differ: the venue may tell one before the other.

    Raises
    ------
    TidewrightError
        If they differ by one unit of 1e-8.
    """
    instrument, difference = ledger.instrument, ""
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_LOOK_S)
            await ears.catch_up(now_ns)
        balances = await venue.balances()
        difference = ledger.difference(balances.total(instrument.base), balances.total(instrument.quote))
        if not difference:
            return
    raise TidewrightError(f"at the end the ledger does not balance with the account: {difference}")
