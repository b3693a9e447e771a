"""Virtual sub-accounts: several agents on one account of a venue, each with books of its own that add up exactly.

Every agent's target quotes go through one desk. Quotes of different agents that would trade with each other are
crossed inside, at the price
halfway rounded towards the older quote, without a fee, because no venue takes one; the rest is netted by price into
the orders the
venue sees. A fill of a netted order is dealt out by the agents' shares of it in whole lots, its commission in whole
units of 1e-8, and
nothing is lost to rounding: what is left over goes to the earliest agents in their order. So at every moment the sums
of positions,
cash and fees over the sub-accounts are those of the venue account, to the unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.trading.ledger import Ledger, LedgerState, by_average_cost


@dataclass(slots=True)
class SubAccount:
    """One agent's books.

    Attributes
    ----------
    position_lots
        Net filled quantity, integer lots.
    cash
        Integer tick * lots: what sales brought less what purchases cost.
    fees
        Commission by asset, integer 1e-8 units.
    capital_units
        Quote capital it may use, integer 1e-8 units; set by allocation.
    cost, realised
        As :class:`tidewright.trading.ledger.LedgerState`: ``cash + cost == realised`` always holds.
    """

    position_lots: int = 0
    cash: int = 0
    fees: dict[str, int] = field(default_factory=dict)
    capital_units: int = 0
    cost: int = 0
    realised: int = 0

    def book(self, side: int, price_ticks: int, lots: int) -> None:
        """One trade."""
        signed = lots if side == BUY else -lots
        self.cash -= signed * price_ticks
        self.position_lots, self.cost, gain = by_average_cost(self.position_lots, self.cost, signed, price_ticks)
        self.realised += gain

    def ledger(self, instrument: Instrument) -> Ledger:
        """The same books as a ledger that began with nothing: its equity is what this agent has earned."""
        return Ledger(
            instrument, LedgerState(0, 0, self.position_lots, self.cash, self.cost, self.realised, dict(self.fees))
        )


@dataclass(frozen=True, slots=True)
class Cross:
    """A trade between two agents inside."""

    buyer: str
    seller: str
    price_ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class Netted:
    """One order for the venue and whose it is.

    Attributes
    ----------
    owners
        Lots by agent, in the agents' order; together ``lots``.
    """

    side: int
    price_ticks: int
    lots: int
    owners: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """An agent's part of a fill: lots, and commission in 1e-8 units of its asset."""

    agent: str
    side: int
    price_ticks: int
    lots: int
    fee_units: int
    fee_asset: str


class SubAccounts:
    """All sub-accounts of one venue account.

    Parameters
    ----------
    agents
        Names, in the order in which remainders are dealt out.
    """

    def __init__(self, agents: Sequence[str]) -> None:
        if not agents or len(set(agents)) != len(agents):
            raise UsageError(f"sub-accounts need agents, each named once, was {', '.join(agents)}")
        self.accounts: dict[str, SubAccount] = {agent: SubAccount() for agent in agents}

    def allocate(self, capital_units: int, shares: Mapping[str, float]) -> None:
        """Give each agent its share of the capital; the sum of what is given never exceeds it.

        Raises
        ------
        UsageError
            If shares are negative, of strangers, or more than 1 together.
        """
        unknown = [agent for agent in shares if agent not in self.accounts]
        if unknown:
            raise UsageError(f"{unknown[0]} has no sub-account; there are {', '.join(self.accounts)}")
        if any(not share >= 0 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
            raise UsageError(f"shares must be >= 0 and at most 1 together, were {dict(shares)}")
        left = capital_units
        for agent, account in self.accounts.items():
            account.capital_units = min(left, int(capital_units * min(1.0, shares.get(agent, 0.0))))
            left -= account.capital_units

    def net(
        self, quotes: Mapping[str, Sequence[tuple[int, int, int]]], *, book: bool = True
    ) -> tuple[list[Netted], list[Cross]]:
        """Make one set of orders of all agents' quotes.

        Parameters
        ----------
        quotes
            (side, price in ticks, lots) by agent.
        book
            Book the trades inside at once; else :meth:`cross` does, when it is certain that they happen.

        Returns
        -------
        tuple[list[Netted], list[Cross]]
            Orders for the venue, best first, no bid at or above an ask; and the trades inside.
        """
        sides: dict[int, list[list[int | str]]] = {BUY: [], SELL: []}
        for order, agent in enumerate(self.accounts):
            for side, price, lots in quotes.get(agent, ()):
                if side not in sides or lots <= 0 or price <= 0:
                    raise UsageError(
                        f"a quote of {agent} must have a side, a price and lots > 0, was {side, price, lots}"
                    )
                sides[side].append([price, order, agent, lots])
        bids = sorted(sides[BUY], key=lambda quote: (-int(quote[0]), int(quote[1])))
        asks = sorted(sides[SELL], key=lambda quote: (int(quote[0]), int(quote[1])))
        crosses = _crosses(bids, asks)
        if book:
            self.cross(crosses)
        return _by_price(BUY, bids) + _by_price(SELL, asks), crosses

    def cross(self, crosses: Sequence[Cross]) -> None:
        """Book trades between agents."""
        for one in crosses:
            self.accounts[one.buyer].book(BUY, one.price_ticks, one.lots)
            self.accounts[one.seller].book(SELL, one.price_ticks, one.lots)

    def fill(
        self, order: Netted, price_ticks: int, lots: int, fee_units: int, fee_asset: str, before: int = 0
    ) -> list[Part]:
        """Deal a fill of a netted order out to its owners.

        Parameters
        ----------
        fee_units
            Commission of this fill, integer 1e-8 of ``fee_asset``; may be negative (a rebate).
        before
            Lots of the order that had been filled before this fill.

        Returns
        -------
        list[Part]
            What each owner got, those left out who got nothing.

        Raises
        ------
        DataError
            If more is filled than was ordered.
        """
        if lots <= 0 or before < 0 or before + lots > order.lots:
            raise DataError(f"an order of {order.lots} lots was filled {before + lots}")
        owned = [share for _, share in order.owners]
        was, now = dealt(before, owned), dealt(before + lots, owned)
        parts = [b - a for a, b in zip(was, now, strict=True)]
        fees = dealt(abs(fee_units), parts)
        sign = -1 if fee_units < 0 else 1
        dealt_out = [
            Part(agent, order.side, price_ticks, part, sign * fee, fee_asset)
            for (agent, _), part, fee in zip(order.owners, parts, fees, strict=True)
            if part
        ]
        for one in dealt_out:
            self.take(one)
        return dealt_out

    def take(self, part: Part) -> None:
        """Book an agent's part of a trade."""
        account = self.accounts[part.agent]
        account.book(part.side, part.price_ticks, part.lots)
        if part.fee_units:
            account.fees[part.fee_asset] = account.fees.get(part.fee_asset, 0) + part.fee_units

    def total(self) -> SubAccount:
        """All sub-accounts added up: what the venue account must show."""
        whole = SubAccount()
        for account in self.accounts.values():
            whole.position_lots += account.position_lots
            whole.cash += account.cash
            whole.cost += account.cost
            whole.realised += account.realised
            whole.capital_units += account.capital_units
            for asset, units in account.fees.items():
                whole.fees[asset] = whole.fees.get(asset, 0) + units
        return whole


def dealt(amount: int, weights: Sequence[int]) -> list[int]:
    """An integer amount dealt out by weights, exactly: cumulated shares rounded down, so that nothing is left over.

    With growing ``amount`` no part ever shrinks, and at ``amount = sum(weights)`` everybody has its weight.

    Raises
    ------
    UsageError
        If all weights are 0.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise UsageError(f"weights must be >= 0 and not all 0, were {list(weights)}")
    parts, seen, given = [], 0, 0
    for weight in weights:
        seen += weight
        upto = -(-amount * seen // whole)
        parts.append(upto - given)
        given = upto
    return parts


def _crosses(bids: list[list[int | str]], asks: list[list[int | str]]) -> list[Cross]:
    """The trades inside; what is traded is taken off the quotes."""
    crosses = []
    while bids and asks and int(bids[0][0]) >= int(asks[0][0]):
        bid, ask = bids[0], asks[0]
        lots = min(int(bid[3]), int(ask[3]))
        if bid[2] != ask[2]:  # an agent's own two quotes are taken off each other without a trade
            crosses.append(Cross(str(bid[2]), str(ask[2]), (int(bid[0]) + int(ask[0])) // 2, lots))
        for quote, book in ((bid, bids), (ask, asks)):
            quote[3] = int(quote[3]) - lots
            if quote[3] == 0:
                book.pop(0)
    return crosses


def _by_price(side: int, quotes: list[list[int | str]]) -> list[Netted]:
    found: dict[int, dict[str, int]] = {}
    for price, _, agent, lots in quotes:
        owners = found.setdefault(int(price), {})
        owners[str(agent)] = owners.get(str(agent), 0) + int(lots)
    return [Netted(side, price, sum(owners.values()), tuple(owners.items())) for price, owners in found.items()]
