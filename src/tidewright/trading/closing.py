"""The last steps of a session: nothing of it stays open at the venue, and its books are those of the account."""

from collections.abc import Callable, Sequence
from typing import Final

from tidewright.market.errors import TidewrightError, TimedOutError
from tidewright.trading.intake import Intake
from tidewright.trading.ledger import Ledger
from tidewright.trading.orders import OrderManager, Plan
from tidewright.venues.interface import Outcome, TradingVenue

_TRIES: Final = 5


async def cancel_open(
    venue: TradingVenue, manager: OrderManager, ears: Intake, store: Callable[[], None], now_ns: int
) -> None:
    """Cancel what is open until the venue has confirmed that nothing is, and hear the last fills.

    Parameters
    ----------
    store
        Writes what has changed in the manager down, before anything is sent.
    now_ns
        Market time, nanoseconds.

    Raises
    ------
    TimedOutError
        If orders cannot be confirmed as cancelled.
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
        await _settle(venue, manager, ears, doubtful, now_ns)
    else:
        raise TimedOutError(f"{len(manager.live())} orders could not be confirmed as cancelled")
    await ears.fetch_fills(now_ns)


async def _settle(venue: TradingVenue, manager: OrderManager, ears: Intake, names: Sequence[str], now_ns: int) -> None:
    """Ask what became of orders whose cancel was not confirmed."""
    for name in names:
        if not manager.orders[name].state.final:
            manager.resolve(name, await venue.order(name), now_ns)
    if names:
        await ears.fetch_fills(now_ns)


async def check_balance(venue: TradingVenue, ledger: Ledger) -> None:
    """Compare the ledger with the account.

    Raises
    ------
    TidewrightError
        If they differ by one unit of 1e-8.
    """
    instrument = ledger.instrument
    balances = await venue.balances()
    difference = ledger.difference(balances.total(instrument.base), balances.total(instrument.quote))
    if difference:
        raise TidewrightError(f"at the end the ledger does not balance with the account: {difference}")
