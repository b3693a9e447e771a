from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Filters, Instrument, decimal, text_units, units_text


def make(tick: str = "0.01", lot: str = "0.00001", **more) -> Instrument:
    return Instrument("binance", "BTCUSDT", "BTC", "USDT", tick, lot, **more)


STEPS = st.sampled_from(["0.01", "0.5", "0.05", "1", "10", "0.00000001", "2.5"])


@given(STEPS, st.integers(0, 10**12))
def test_price_text_and_ticks_are_inverse(step, ticks):
    instrument = make(tick=step)
    assert instrument.price_to_ticks(instrument.price_text(ticks)) == ticks


@given(STEPS, st.integers(0, 10**12))
def test_quantity_text_and_lots_are_inverse(step, lots):
    instrument = make(lot=step)
    assert instrument.qty_to_lots(instrument.qty_text(lots)) == lots


def test_texts_have_no_exponent_and_the_steps_decimals():
    assert make().qty_text(1) == "0.00001"
    assert make(tick="0.00000001").price_text(3) == "0.00000003"
    assert make(tick="0.5").price_text(3) == "1.5"
    assert make(tick="10").price_text(3) == "30"
    assert make().price_text(-150) == "-1.50"


def test_trailing_zeros_are_the_same_number():
    assert make().price_to_ticks("60000.01000000") == 6_000_001


@pytest.mark.parametrize("price", ["60000.005", "0.001"])
def test_price_off_the_grid_is_refused_with_both_numbers(price):
    with pytest.raises(DataError, match=rf"tick size 0\.01, was {price}"):
        make().price_to_ticks(price)


@pytest.mark.parametrize("text", ["abc", "", "nan", "Infinity", "1,5"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UsageError, match="price"):
        make().price_to_ticks(text)


def test_floats_are_refused_because_their_digits_are_not_what_was_written():
    with pytest.raises(UsageError, match="float"):
        decimal(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["tick", "lot"])
@pytest.mark.parametrize("step", ["0", "-0.01"])
def test_steps_must_be_positive(field, step):
    with pytest.raises(DataError, match="must be > 0"):
        make(**{field: step})


def test_lot_finer_than_the_money_unit_is_refused():
    with pytest.raises(DataError, match="multiple of 1e-8"):
        make(lot="0.000000001")


def test_rounding_outward():
    assert make().price_floor(Decimal("10.019")) == 1_001
    assert make().price_ceil(Decimal("10.011")) == 1_002
    assert make().price_floor(Decimal("10.01")) == make().price_ceil(Decimal("10.01")) == 1_001


def test_money_units_of_a_tick_and_a_lot():
    assert make().lot_units == 1_000 and make().quote_units == 10
    assert make(tick="0.00000001", lot="0.001").quote_units.denominator == 1_000


def test_json_round_trip():
    instrument = make(maker_fee=-5_000, filters=Filters(min_notional=5, max_num_orders=7))
    assert Instrument.from_json(instrument.to_json()) == instrument


@pytest.mark.parametrize("change", [{"colour": "red"}, {"venue": None, "filters": {"colour": 1}}])
def test_unknown_fields_are_refused(change):
    with pytest.raises(DataError, match="colour"):
        Instrument.from_json({**make().to_json(), **change})


@given(st.integers(-(10**18), 10**18))
def test_amount_text_is_exact(units):
    assert text_units(units_text(units)) == units


def test_amount_with_nine_decimals_is_refused():
    with pytest.raises(UsageError, match="at most 8 decimals"):
        text_units("0.000000001", "balance")
