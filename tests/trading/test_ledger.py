from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.codes import BUY, SELL
from tidewright.market.instrument import Instrument
from tidewright.trading.ledger import Ledger, LedgerState

INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
BTC = 100_000_000
FILLS = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]),
        st.integers(1, 10_000_000),
        st.integers(1, 10_000),
        st.integers(0, 50_000),
    ),
    max_size=40,
)


def ledger() -> Ledger:
    return Ledger(INSTRUMENT, LedgerState(BTC, 100_000 * BTC))


def test_a_buy_pays_its_fee_in_base_and_a_sell_in_quote():
    books = ledger()
    books.book(BUY, 6_000_000, 100, 100, "BTC")  # 0.001 BTC at 60,000.00, fee 0.000001 BTC
    assert books.base_units == BTC + 100_000 - 100
    assert books.quote_units == 100_000 * BTC - 60 * BTC
    books.book(SELL, 6_010_000, 100, 6_010_000, "USDT")
    assert books.base_units == BTC - 100
    assert books.quote_units == 100_000 * BTC + 10_000_000 - 6_010_000
    assert books.realised_units == 10_000_000
    assert books.position_lots == 0
    assert books.entry_price_ticks == 0


def test_average_cost_is_kept_through_a_reduction_and_a_reversal():
    books = ledger()
    books.book(BUY, 100, 10, 0, "BTC")
    books.book(BUY, 200, 10, 0, "BTC")
    assert books.entry_price_ticks == 150
    books.book(SELL, 300, 5, 0, "USDT")
    assert (books.realised, books.entry_price_ticks) == (5 * 150, 150)
    books.book(SELL, 100, 20, 0, "USDT")
    assert books.position_lots == -5
    assert books.entry_price_ticks == 100
    assert books.realised == 5 * 150 - 15 * 50


def test_the_difference_to_the_venue_names_asset_and_amount():
    books = ledger()
    assert books.difference(BTC, 100_000 * BTC) == ""
    assert "BTC: venue 0.99999999, ledger 1.00000000, difference -0.00000001" in books.difference(BTC - 1, 10**13)


def test_the_commission_taken_in_base_counts_against_the_net_position():
    books = ledger()
    books.book(BUY, 6_000_000, 100, 100, "BTC")
    assert (books.position_lots, books.net_position_lots) == (100, 99)


@given(FILLS)
def test_cash_and_cost_always_add_up_to_realised_profit(fills):
    books = ledger()
    for side, price, qty, fee in fills:
        books.book(side, price, qty, fee, "BTC" if side == BUY else "USDT")
        assert books.cash + books.cost == books.realised
        assert books.position_lots != 0 or books.cost == 0


@given(FILLS, st.integers(2, 20_000_000))
def test_equity_moves_by_realised_and_unrealised_profit_less_fees(fills, mid2):
    books = ledger()
    before = books.equity_units(mid2)
    for side, price, qty, fee in fills:
        books.book(side, price, qty, fee, "BTC" if side == BUY else "USDT")
    gain = Fraction(books.realised) * 10 + Fraction(books.position_lots * mid2 - 2 * books.cost, 2) * 10
    expected = gain - books.fee("USDT") - Fraction(books.fee("BTC") * mid2, 200)
    assert abs(books.equity_units(mid2) - before - expected) <= 2


@given(FILLS)
def test_a_ledger_restored_from_its_state_is_the_same_ledger(fills):
    books = ledger()
    for side, price, qty, fee in fills:
        books.book(side, price, qty, fee, "BTC" if side == BUY else "USDT")
    again = Ledger(INSTRUMENT, books.state)
    assert again.state == books.state
    assert again.equity_units(12_000_000) == books.equity_units(12_000_000)
