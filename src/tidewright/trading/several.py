"""Several strategies on one account: each decides for its own sub-account, and one set of orders comes out.

The desk is an executor whose quotes are those of its agents, netted: it takes their place in the session, so that
everything after the decision (gate, plan, last look, orders) is the same as for one strategy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import Table

from tidewright.agents.executor.executor import AccountNow, Decision, Executor, Guarded, MarketNow
from tidewright.agents.executor.seat import Seat, Sitter
from tidewright.agents.executor.seat_fit import size_mismatches, sizes
from tidewright.market.codes import BUY, SELL, UNIT
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64
from tidewright.risk import gate
from tidewright.risk.limit_state import LimitState
from tidewright.risk.limits import Limits
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.strategies import registry
from tidewright.strategies.view import MAX_LEVELS, Quotes, View
from tidewright.trading.leaning import REDUCING
from tidewright.trading.now import AgentNow
from tidewright.trading.orders import OrderManager, TrackedOrder
from tidewright.trading.reconcile import DoesNotBalanceError
from tidewright.trading.settings import StrategyAgent
from tidewright.trading.sub_accounts import Cross, Netted, Part, SubAccounts, dealt
from tidewright.venues.interface import FillUpdate

SIZES: Final = ("base_quantity", "max_position")
"""Parameters that are scaled by an agent's share of the capital."""

STEP: Final = 1 / 20
"""Capital moves in twentieths: smaller changes would replace orders and lose their places for nothing."""

_HALTS: Final = frozenset(gate.REASONS[bit] for bit in (gate.DAILY_LOSS, gate.DRAWDOWN, gate.VOLATILITY_CUTOFF))
Owned = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Agent:
    """One strategy on the desk.

    Attributes
    ----------
    executor
        Decides for it; a learned policy is one too, with its pilot.
    params
        As it would trade the whole capital.
    share
        Of the capital, in [0, 1].
    gain_then
        What it had earned when it got its capital, 1e-8 quote.
    trades
        Its parts of fills and its trades inside, so far.
    fault
        Why it wants nothing; empty: it speaks.
    reducing
        Whether a limit, or that it has no capital, lets it only reduce.
    """

    executor: Executor
    params: dict[str, float]
    share: float = 0.0
    gain_then: int = 0
    trades: int = 0
    fault: str = "it has not decided yet"
    reducing: bool = False


class Desk(Executor):
    """Makes one decision of several strategies' quotes, and keeps the books of each.

    Parameters
    ----------
    manager
        The session's orders; the desk becomes their :class:`tidewright.trading.orders.Owners`.
    agents
        What trades, by name, in the order in which remainders are dealt out.

    Attributes
    ----------
    books
        The sub-accounts.
    sitters
        Learned policies that steer agents, by agent.
    aims
        Parameters that are aimed at, by agent, where they are not those that trade: a canary trades at small size.
    """

    def __init__(
        self,
        instrument: Instrument,
        start_ns: int,
        cycle_ns: int,
        agents: Mapping[str, StrategyAgent],
        limits: Limits,
        manager: OrderManager,
        sitters: Mapping[str, Sitter] | None = None,
    ) -> None:
        self.agents: dict[str, Agent] = {}
        self.sitters = dict(sitters or {})
        self.aims: dict[str, Mapping[str, float]] = {}
        for name, told in agents.items():
            made = Executor(instrument, start_ns, cycle_ns, told.strategy, told.params, limits)
            self.agents[name] = Agent(made, dict(made.params))
            if name in self.sitters:
                made.pilot = Seat(self.sitters[name])
        self._unfitted = {name for name in self.sitters if self.sitters[name].policy is not None}
        self._told_sizes = {name for name, told in agents.items() if any(size in told.params for size in SIZES)}
        super().__init__(instrument, start_ns, cycle_ns, next(iter(agents.values())).strategy, {}, limits)
        self._quotes = Quotes(*(np.zeros(MAX_LEVELS * len(agents) + 1, np.int64) for _ in range(4)))
        self.books = SubAccounts(tuple(agents))
        self._manager = manager
        self._shares = dict.fromkeys(agents, 0.0)
        self._moment: tuple[int, MarketNow, Guarded] | None = None
        self._netted: dict[tuple[int, int], Netted] = {}
        self._crosses: list[Cross] = []
        self._targets: dict[tuple[int, int], Owned] = {}
        self._owners: dict[str, Owned] = {}
        self._number = 0
        self._rows: list[tuple[Table, list[dict[str, Any]]]] = []
        manager.owners = self

    # -- parameters and capital ----------------------------------------------------------------------------------------

    def use(self, params: Mapping[str, float]) -> None:
        """Take agents' parameters, by ``agent.name``; those not named stay.

        Raises
        ------
        UsageError
            If there is no such agent or parameter, or a value is out of range; the old ones stay.
        """
        changed: dict[str, dict[str, float]] = {}
        for key, value in params.items():
            name, dot, parameter = key.partition(".")
            if not dot or name not in self.agents:
                raise UsageError(
                    f"with several agents a parameter is agent.name, agents are {', '.join(self.agents)}; was {key!r}"
                )
            changed.setdefault(name, dict(self.agents[name].params))[parameter] = value
        for name, new in changed.items():
            registry.rows(self.agents[name].executor.strategy.name, new, 1)
        for name, new in changed.items():
            self.agents[name].params = new
            self._size(self.agents[name])
        self.params = {
            f"{name}.{parameter}": value
            for name, agent in self.agents.items()
            for parameter, value in agent.params.items()
        }

    def fund(self, shares: Mapping[str, float]) -> None:
        """Give each agent its share of the equity from the next decision on; who gets none may only reduce."""
        self._shares = {name: shares.get(name, 0.0) for name in self.agents}

    def _allocate(self, shares: Mapping[str, float], mid2_ticks: int) -> None:
        capital_units = max(0, self._manager.ledger.equity_units(mid2_ticks))
        self.books.allocate(capital_units, shares)
        for name, agent in self.agents.items():
            agent.share = shares.get(name, 0.0)
            agent.gain_then = self._gain(name, mid2_ticks)
            agent.executor.transfer(self.books.accounts[name].capital_units / UNIT)
            self._size(agent)

    def _fit(self, mid: float, equity: float) -> None:
        """Sizes of learned policies in the proportions they learned with; refuse those set by hand that are far off."""
        share = self.limits.max_position_share
        for name in sorted(self._unfitted):
            agent, sitter = self.agents[name], self.sitters[name]
            if name not in self._told_sizes:
                found = sizes(sitter, equity, mid, self._lot, share)
                agent.params |= dict(zip(SIZES, found, strict=True))
                self._size(agent)
            elif share is not None:
                quantity, largest = (agent.params[size] for size in SIZES)
                wrong = size_mismatches(sitter, quantity, largest, share * equity / mid)
                if wrong:
                    raise UsageError(f"policy {sitter.name} of agent {name} does not fit: {'; '.join(wrong)}")
        self._unfitted = set()
        self.use({})

    def _size(self, agent: Agent) -> None:
        """Sizes are parameters; they fall with the share, down to a twentieth."""
        scale = max(agent.share, STEP)
        sized = {name: value * (scale if name in SIZES else 1.0) for name, value in agent.params.items()}
        agent.executor.use(sized)

    @property
    def shares(self) -> dict[str, float]:
        """Of the capital, by agent, as told last."""
        return dict(self._shares)

    @property
    def speaking(self) -> list[str]:
        """Agents that decided at the newest decision; before the first one all."""
        if self._moment is None:
            return list(self.agents)
        return [name for name, agent in self.agents.items() if not agent.fault]

    def recall(self, now_ns: int, position_lots: int, equity: float, mid2: int) -> None:
        """As :meth:`Executor.recall`; the agents take the market in, what each had earned begins anew."""
        super().recall(now_ns, position_lots, equity, mid2)
        for agent in self.agents.values():
            agent.executor.watch(MarketNow(mid2 > 0, mid2 // 2, mid2 - mid2 // 2, 0, 0))

    # -- deciding ------------------------------------------------------------------------------------------------------

    def watch(self, market: MarketNow) -> tuple[float, float]:
        """As :meth:`Executor.watch`, for all agents."""
        if self._moment is None or self._moment[1] is not market:  # at a decision each takes it in by itself
            for agent in self.agents.values():
                agent.executor.watch(market)
        return super().watch(market)

    def decide(
        self, now_ns: int, market: MarketNow, account: AccountNow, guarded: Guarded | None = None
    ) -> Decision | None:
        """Decide at a time; see :meth:`Executor.decide`."""
        limits = Guarded(self.limits, LimitState()) if guarded is None else guarded
        self._moment = (now_ns, market, limits)
        self._targets, self._crosses = {}, []
        if not market.whole:
            self._ask(now_ns, market, limits)
            return super().decide(now_ns, market, account, guarded)
        if self._unfitted:
            self._fit(market.mid2 * 0.5 * self._tick, account.equity)
        if self._shares != {name: agent.share for name, agent in self.agents.items()}:
            self._allocate(self._shares, market.mid2)
        decision = super().decide(now_ns, market, account, guarded)
        assert decision is not None
        if _HALTS & set(decision.why):
            self._crosses = []
        self.aim(decision)
        return decision

    def aim(self, decision: Decision) -> None:
        """Note whose each quote of a decision is, also where it has been cut since it was made."""
        self._targets = {
            (side, price): self._owners_of(side, price, lots)
            for side, quotes in ((BUY, decision.bids), (SELL, decision.asks))
            for price, lots in quotes
        }

    def closing(self, side: int, quotes: Sequence[tuple[int, int]]) -> list[bool]:
        """Which quotes of a side, nearest first, close what an agent holds that may only reduce."""
        sign = -1 if side == BUY else 1
        accounts = self.books.accounts
        left = {n: accounts[n].position_lots * sign for n, agent in self.agents.items() if agent.reducing}
        found = []
        for price, lots in quotes:
            parts = [(n, part) for n, part in self._owners_of(side, price, lots) if left.get(n, 0) > 0]
            for name, part in parts:
                left[name] -= part
            found.append(bool(parts))
        return found

    def _wanted(self, view: View, state: F64) -> tuple[int, int, tuple[str, ...]]:
        assert self._moment is not None
        now_ns, market, guarded = self._moment
        decisions = self._ask(now_ns, market, guarded)
        wanted, why = {}, []
        for name, decision in decisions.items():
            if decision is None:
                continue
            wanted[name] = [(BUY, price, lots) for price, lots in decision.bids]
            wanted[name] += [(SELL, price, lots) for price, lots in decision.asks]
            why += [f"{name}: {reason}" for reason in decision.why]
        netted, self._crosses = self.books.net(wanted, book=False)
        self._netted = {(order.side, order.price_ticks): order for order in netted}
        counts = []
        for side, prices, quantities in (
            (BUY, self._quotes.bid_price, self._quotes.bid_qty),
            (SELL, self._quotes.ask_price, self._quotes.ask_qty),
        ):
            rows = [order for order in netted if order.side == side]
            prices[: len(rows)] = [order.price_ticks for order in rows]
            quantities[: len(rows)] = [order.lots for order in rows]
            counts.append(len(rows))
        return counts[0], counts[1], tuple(why)

    def _ask(self, now_ns: int, market: MarketNow, guarded: Guarded) -> dict[str, Decision | None]:
        """Every agent's decision, within limits of its own capital; halting is the whole account's matter."""
        limits = replace(guarded.limits, daily_loss=None, drawdown=None, volatility_cutoff=None, orders_per_minute=None)
        live = self._manager.standing()
        found = {}
        for name, agent in self.agents.items():
            standing = {
                side: [
                    (0 if order.cancel_sent else order.price_ticks, lots)
                    for order in live
                    if order.side == side
                    for owner, lots in self._owners.get(order.client_order_id, ())
                    if owner == name
                ]
                for side in (BUY, SELL)
            }
            own = Guarded(limits, LimitState(), standing[BUY], standing[SELL])
            decision = agent.executor.decide(now_ns, market, self._account_of(name, market), own)
            known = set(gate.REASONS.values())
            agent.fault = next((why for why in decision.why if why not in known), "") if decision is not None else ""
            agent.reducing = not agent.share or (decision is not None and bool(REDUCING & set(decision.why)))
            found[name] = decision
        return found

    def _account_of(self, name: str, market: MarketNow) -> AccountNow:
        account, agent = self.books.accounts[name], self.agents[name]
        ledger = account.ledger(self._instrument)
        earned = self._gain(name, market.mid2) - agent.gain_then if market.whole else 0
        return AccountNow(
            ledger.position_lots,
            ledger.net_position_lots,
            max(0.0, (account.capital_units + earned) / UNIT),
            float(ledger.entry_price_ticks) * self._tick,
        )

    def _gain(self, name: str, mid2_ticks: int) -> int:
        return self.books.accounts[name].ledger(self._instrument).equity_units(mid2_ticks)

    def _owners_of(self, side: int, price_ticks: int, lots: int) -> Owned:
        order = self._netted.get((side, price_ticks))
        if order is None or lots > order.lots:  # the account's own way out of its position
            return self._holders(side, lots)
        cut = zip(order.owners, dealt(lots, [owned for _, owned in order.owners]), strict=True)
        return tuple((name, part) for (name, _), part in cut if part)

    def _holders(self, side: int, lots: int) -> Owned:
        """Whose an order is that nobody quoted: theirs who hold what it closes, by how much they hold."""
        sign = -1 if side == BUY else 1
        held = {name: max(0, account.position_lots * sign) for name, account in self.books.accounts.items()}
        if not any(held.values()):
            held = dict.fromkeys(held, 1)
        parts = dealt(lots, list(held.values()))
        return tuple((name, part) for name, part in zip(held, parts, strict=True) if part)

    # -- orders and books ----------------------------------------------------------------------------------------------

    def settle(self, now_ns: int) -> None:
        """Book the trades inside of the newest decision: it stands."""
        for one in self._crosses:
            for agent, side, other in ((one.buyer, BUY, one.seller), (one.seller, SELL, one.buyer)):
                part = Part(agent, side, one.price_ticks, one.lots, 0, "")
                self.books.take(part)
                self._note(part, now_ns, -1, other)
        self._crosses = []

    def stands(self, order: TrackedOrder) -> bool:
        """Whether an order still belongs to those who want it."""
        return self._owners.get(order.client_order_id) == self._targets.get((order.side, order.price_ticks))

    def sent(self, order: TrackedOrder) -> None:
        """Note whose a new order is; it is written with the order, before it is sent."""
        owners = self._targets.get((order.side, order.price_ticks)) if order.price_ticks else None
        if owners is None or sum(lots for _, lots in owners) != order.qty_lots:
            owners = self._holders(order.side, order.qty_lots)
        self._own(order.client_order_id, owners)

    def _own(self, name: str, owners: Owned) -> None:
        self._owners[name] = owners
        row = {
            "client_order_id": name,
            "session": self._manager.session,
            "owners": orjson.dumps(owners).decode(),
        }
        self._rows.append((schema.order_owners, [row]))

    def filled(self, order: TrackedOrder, fill: FillUpdate, now_ns: int) -> None:
        """Deal a fill out to the order's owners."""
        if order.client_order_id not in self._owners:
            raise DataError(f"order {order.client_order_id} was filled, and nobody knows whose it is")
        netted = Netted(order.side, order.price_ticks, order.qty_lots, self._owners[order.client_order_id])
        parts = self.books.fill(
            netted, fill.price_ticks, fill.qty_lots, fill.fee_units, fill.fee_asset, order.filled_lots
        )
        for part in parts:
            self._note(part, fill.ts_ns, fill.trade_id)

    def _note(self, part: Part, ts: int, trade_id: int, other: str = "") -> None:
        self._number += 1
        self.agents[part.agent].trades += 1
        row = {
            "session": self._manager.session,
            "number": self._number,
            "ts": ts,
            "agent": part.agent,
            "side": part.side,
            "price_ticks": part.price_ticks,
            "lots": part.lots,
            "fee_units": part.fee_units,
            "fee_asset": part.fee_asset,
            "trade_id": trade_id,
            "other": other,
        }
        self._rows.append((schema.sub_trades, [row]))

    def take_rows(self) -> list[tuple[Table, list[dict[str, Any]]]]:
        """Rows for the store since the last call; the books must add up to the session's, to the unit.

        Raises
        ------
        DoesNotBalanceError
            If they do not.
        """
        self.check()
        rows, self._rows = self._rows, []
        live = {order.client_order_id for order in self._manager.live()}
        kept = [name for name in self._owners if name in live or name in self._manager.orders]
        self._owners = {name: self._owners[name] for name in kept}
        return rows

    def check(self) -> None:
        """Hold the sum of all sub-accounts against the session's books.

        Raises
        ------
        DoesNotBalanceError
            If a lot, a tick or a unit of commission is missing.
        """
        whole, ledger = self.books.total(), self._manager.ledger
        theirs = {
            "position": whole.position_lots,
            "cash": whole.cash,
            **{f"fees in {a}": u for a, u in whole.fees.items()},
        }
        ours = {
            "position": ledger.position_lots,
            "cash": ledger.cash,
            **{f"fees in {a}": u for a, u in ledger.fees.items()},
        }
        wrong = [name for name in {**theirs, **ours} if theirs.get(name, 0) != ours.get(name, 0)]
        if wrong:
            raise DoesNotBalanceError(
                f"the sub-accounts of session {self._manager.session} do not add up to its ledger: "
                + ", ".join(f"{name} {theirs.get(name, 0)}, ledger {ours.get(name, 0)}" for name in wrong)
            )

    def restore(self, database: Database) -> None:
        """The books of a broken-off session: what was dealt out, and fills that were missed, dealt out now.

        Raises
        ------
        DoesNotBalanceError
            If they do not add up.
        DataError
            If an agent of before is not there any more.
        """
        session = self._manager.session
        owned = database.rows(schema.order_owners, session)
        self._owners = {
            row["client_order_id"]: tuple((str(name), int(lots)) for name, lots in orjson.loads(row["owners"]))
            for row in owned
        }
        booked: set[int] = set()
        for row in database.rows(schema.sub_trades, session):
            if row["agent"] not in self.agents:
                raise DataError(f"the session traded with agent {row['agent']}, which is not there any more")
            part = Part(row["agent"], row["side"], row["price_ticks"], row["lots"], row["fee_units"], row["fee_asset"])
            self.books.take(part)
            self._number = int(row["number"])
            self.agents[part.agent].trades += 1
            booked.add(row["trade_id"])
        before: dict[str, int] = {}
        for fill in database.rows(schema.fills, session):
            name = fill["client_order_id"]
            if fill["trade_id"] not in booked:
                order = database.order(name)
                if order is None or name not in self._owners:
                    raise DataError(
                        f"order {name} was filled and belongs to no agent: this session began with one strategy; "
                        "let several trade in a new folder"
                    )
                netted = Netted(order["side"], order["price_ticks"], order["qty_lots"], self._owners[name])
                terms = (fill["price_ticks"], fill["qty_lots"], fill["fee_units"], fill["fee_asset"])
                for part in self.books.fill(netted, *terms, before.get(name, 0)):
                    self._note(part, fill["ts"], fill["trade_id"])
            before[name] = before.get(name, 0) + fill["qty_lots"]
        self.check()

    # -- showing -------------------------------------------------------------------------------------------------------

    def curve(self, now_ns: int, mid2_ticks: int) -> list[dict[str, Any]]:
        """A row of the store for each agent."""
        return [
            {
                "session": self._manager.session,
                "ts": now_ns,
                "agent": name,
                "capital_units": account.capital_units,
                "position_lots": account.position_lots,
                "cash": account.cash,
                "gain_units": (ledger := account.ledger(self._instrument)).equity_units(mid2_ticks),
                "realised_units": ledger.realised_units,
                "fees_units": ledger.fees_units(mid2_ticks),
                "fills": self.agents[name].trades,
            }
            for name, account in self.books.accounts.items()
        ]

    def figures(self, mid2_ticks: int) -> list[AgentNow]:
        """What screens show of each agent."""
        return [
            AgentNow(
                name,
                agent.executor.strategy.name,
                agent.share,
                account.capital_units,
                account.position_lots,
                (ledger := account.ledger(self._instrument)).equity_units(mid2_ticks),
                ledger.fees_units(mid2_ticks),
                agent.trades,
                agent.fault,
                dict(agent.params),
            )
            for (name, agent), account in zip(self.agents.items(), self.books.accounts.values(), strict=True)
        ]


def open_desk(
    instrument: Instrument,
    start_ns: int,
    cycle_ns: int,
    agents: Mapping[str, StrategyAgent],
    limits: Limits,
    manager: OrderManager,
    database: Database,
    params: Mapping[str, float],
    sitters: Mapping[str, Sitter] | None = None,
) -> Desk:
    """A desk, with the books of a broken-off session where there is one.

    Parameters
    ----------
    params
        Parameters set by hand before a restart, by ``agent.name``.
    """
    desk = Desk(instrument, start_ns, cycle_ns, agents, limits, manager, sitters)
    desk.use({name: value for name, value in params.items() if "." in name})
    desk.restore(database)
    return desk


__all__ = ["STEP", "Agent", "Desk", "open_desk"]
