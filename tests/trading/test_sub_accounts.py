"""Sub-accounts add up to the venue account, to the unit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.fake_venue import INSTRUMENT
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import DataError, UsageError
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.sub_accounts import Cross, SubAccounts, dealt

NAMES = ("grid", "glft", "momentum")
quote = st.tuples(st.sampled_from([BUY, SELL]), st.integers(90, 110), st.integers(1, 50))
quotes = st.fixed_dictionaries({}, optional={name: st.lists(quote, max_size=5) for name in NAMES})
# which netted order fills, how much of it (per mille), the commission
fills = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 1000), st.integers(-500, 5000)), max_size=8)


@given(st.lists(st.tuples(quotes, fills), max_size=6))
def test_the_sum_of_the_sub_accounts_is_the_venue_account_to_the_unit(rounds):
    team, venue = SubAccounts(NAMES), Ledger(INSTRUMENT, LedgerState(10**12, 10**15))
    for wanted, happened in rounds:
        before = team.total()
        orders, crosses = team.net(wanted)
        assert (team.total().position_lots, team.total().cash) == (before.position_lots, before.cash)
        bids = [order.price_ticks for order in orders if order.side == BUY]
        asks = [order.price_ticks for order in orders if order.side == SELL]
        assert not bids or not asks or max(bids) < min(asks)  # never against ourselves
        own = sum(lots for name in wanted for _, _, lots in wanted[name])
        assert sum(order.lots for order in orders) + 2 * sum(cross.lots for cross in crosses) <= own
        filled = dict.fromkeys(range(len(orders)), 0)
        for index, per_mille, fee in happened:
            if not orders:
                break
            at = index % len(orders)
            order = orders[at]
            lots = min(order.lots - filled[at], max(1, order.lots * per_mille // 1000))
            if lots == 0:
                continue
            asset = INSTRUMENT.base if order.side == BUY else INSTRUMENT.quote
            team.fill(order, order.price_ticks, lots, fee, asset, filled[at])
            venue.book(order.side, order.price_ticks, lots, fee, asset)
            filled[at] += lots
        for at, order in enumerate(orders):
            if filled[at] == order.lots:  # a whole fill gives everybody exactly what he ordered
                assert dealt(order.lots, [share for _, share in order.owners]) == [share for _, share in order.owners]
    whole = team.total()
    assert (whole.position_lots, whole.cash) == (venue.position_lots, venue.cash)
    for asset in (INSTRUMENT.base, INSTRUMENT.quote):
        assert whole.fees.get(asset, 0) == venue.fee(asset)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(sum))
def test_dealing_out_loses_nothing_and_is_fair_to_one_unit(amount, weights):
    parts = dealt(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / sum(weights)) < 1 + 1e-6
        assert weight or not part


def test_quotes_that_meet_are_crossed_inside_without_a_fee():
    team = SubAccounts(NAMES)
    orders, crosses = team.net({"grid": [(BUY, 100, 10)], "glft": [(SELL, 97, 4), (SELL, 105, 1)]})
    assert crosses == [Cross("grid", "glft", 98, 4)]
    assert [(order.side, order.price_ticks, order.lots) for order in orders] == [(BUY, 100, 6), (SELL, 105, 1)]
    assert (team.accounts["grid"].position_lots, team.accounts["grid"].cash) == (4, -392)
    assert (team.accounts["glft"].position_lots, team.accounts["glft"].cash) == (-4, 392)
    assert team.total().fees == {}


def test_quotes_at_one_price_are_one_order_and_a_fill_is_shared():
    team = SubAccounts(NAMES)
    orders, _ = team.net({"grid": [(BUY, 100, 1)], "glft": [(BUY, 100, 2)]})
    assert [(order.lots, order.owners) for order in orders] == [(3, (("grid", 1), ("glft", 2)))]
    team.fill(orders[0], 100, 2, 7, "BTC")
    team.fill(orders[0], 100, 1, 4, "BTC", before=2)
    assert [team.accounts[name].position_lots for name in NAMES] == [1, 2, 0]
    assert team.total().fees == {"BTC": 11}
    with pytest.raises(DataError, match="was filled 4"):
        team.fill(orders[0], 100, 1, 0, "BTC", before=3)


@given(st.integers(0, 10**15), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_never_more_capital_is_given_than_there_is(capital, raw):
    shares = dict(zip(NAMES, (value / max(1.0, sum(raw)) for value in raw), strict=True))
    team = SubAccounts(NAMES)
    team.allocate(capital, shares)
    assert team.total().capital_units <= capital
    assert all(account.capital_units >= 0 for account in team.accounts.values())


def test_shares_of_strangers_or_beyond_one_are_refused():
    team = SubAccounts(NAMES)
    with pytest.raises(UsageError, match="has no sub-account"):
        team.allocate(100, {"stranger": 0.5})
    with pytest.raises(UsageError, match="at most 1 together"):
        team.allocate(100, {"grid": 0.8, "glft": 0.8})
