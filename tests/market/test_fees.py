"""Fee schedules: what a tier costs, in which asset, and what a user may write."""

from itertools import pairwise

import pytest

from tidewright.market.errors import UsageError
from tidewright.market.fees import SCHEDULES, Fees, as_fees, fees_of


@pytest.mark.parametrize(
    ("text", "maker", "taker"),
    [
        ("binance:VIP0", 100_000, 100_000),
        ("binance:vip1", 90_000, 100_000),
        ("binance:VIP9", 12_000, 24_000),
        ("coinbase:INTRO", 600_000, 1_200_000),
        ("coinbase:10K", 250_000, 400_000),
        ("kraken:0", 250_000, 400_000),
        ("kraken:2.5m", 40_000, 140_000),
    ],
)
def test_a_tier_is_named_by_venue_and_name(text: str, maker: int, taker: int) -> None:
    fees = fees_of(text)
    assert (fees.maker, fees.taker, fees.asset) == (maker, taker, "")
    assert fees.origin.startswith(text.split(":")[0])


def test_fees_in_bnb_are_a_quarter_less() -> None:
    fees = fees_of("binance:VIP1,BNB=612.5")
    assert (fees.maker, fees.taker, fees.asset, fees.asset_price) == (67_500, 75_000, "BNB", "612.5")
    assert "25 % off in BNB" in fees.origin


def test_higher_tiers_never_cost_more() -> None:
    for schedule in SCHEDULES.values():
        for low, high in pairwise(schedule.tiers):
            assert low.volume < high.volume
            assert low.maker >= high.maker and low.taker >= high.taker


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bitmex:VIP1", "a fee tier is VENUE:TIER"),
        ("binance", "a fee tier is VENUE:TIER"),
        ("binance:VIP10", "binance has no fee tier 'VIP10'. There are: VIP0"),
        ("kraken:0,BNB=600", "kraken has no asset of its own"),
        ("binance:VIP0,ETH=600", "binance takes fees in BNB"),
        ("binance:VIP0,BNB=-1", "the price of BNB must be > 0"),
        ("binance:VIP0,BNB=much", "price of BNB must be a decimal number"),
    ],
)
def test_a_mistake_says_what_there_is(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fees_of(text)


def test_callers_give_a_pair_a_text_fees_or_nothing() -> None:
    assert as_fees(None, 1, 2) == Fees(1, 2, origin="the instrument's")
    assert as_fees(("0.001", 0.002), 1, 2) == Fees(100_000, 200_000)
    assert as_fees("kraken:0", 1, 2).taker == 400_000
    assert as_fees(Fees(5, 6), 1, 2) == Fees(5, 6)
    with pytest.raises(UsageError, match="fees must be a pair"):
        as_fees(0.001, 1, 2)
