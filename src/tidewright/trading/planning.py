"""What is sent of a decision: paused or not, the way out of a position that has to go, the plan, the last look."""

from dataclasses import replace

from tidewright.agents.executor.executor import AccountNow, Decision, MarketNow
from tidewright.market.codes import BUY, SELL
from tidewright.trading.guard import Guard
from tidewright.trading.orders import OrderManager, Plan, Quote


def planned(
    decision: Decision, guard: Guard, manager: OrderManager, account: AccountNow, market: MarketNow, *, paused: bool
) -> tuple[Decision, Plan]:
    """The decision as it is carried out, and the messages that do it.

    Parameters
    ----------
    paused
        Nothing is quoted, but a position that limits make it leave is left all the same: the post-only order first.
    """
    out = guard.way_out(decision.now_ns, account, market, manager.standing())
    if paused:
        held = account.net_position_lots if out.must else 0
        bids, asks = decision.bids if held < 0 else [], decision.asks if held > 0 else []
        words = "paused, but for the way out of the position" if out.must else "paused"
        decision = replace(decision, bids=bids, asks=asks, why=(*decision.why, words))
    if out.takes:
        decision = replace(decision, bids=[], asks=[], why=(*decision.why, "leaving by taking"))
    quotes = [Quote(BUY, price, lots) for price, lots in decision.bids]
    quotes += [Quote(SELL, price, lots) for price, lots in decision.asks]
    plan = manager.plan(quotes)
    if out.order is not None:
        plan = manager.take(plan, *out.order)
    decision = replace(decision, why=guard.note_cut(decision.why))
    number = manager.next_number
    return decision, guard.admit(decision.now_ns, plan, account, manager.standing(), manager.session, number)
