"""Published fee schedules of spot venues, by tier of the traded volume, and the asset that fees are paid in.

A schedule ages: each says when it was read and where. An account's own rate is what counts: Binance
`account/commission`, Coinbase `transaction_summary`, Kraken `TradeVolume`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import decimal, text_units


@dataclass(frozen=True, slots=True)
class FeeTier:
    """One row of a schedule.

    Attributes
    ----------
    name
        As the venue names it, or the volume it begins at ("50K").
    volume
        Traded value of the last 30 days from which it holds, US dollars.
    maker, taker
        Rates in 1e-8 (0.1 % is 100_000).
    """

    name: str
    volume: int
    maker: int
    taker: int


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """All tiers of a venue.

    Attributes
    ----------
    read
        When the table was read, ISO date.
    source
        Where.
    asset, discount_percent
        An asset that fees may be paid in, and what that takes off the rate; empty: none.
    """

    venue: str
    read: str
    source: str
    tiers: tuple[FeeTier, ...]
    asset: str = ""
    discount_percent: int = 0

    def tier(self, name: str) -> FeeTier:
        """The tier of a name, upper or lower case.

        Raises
        ------
        UsageError
            If there is none.
        """
        for tier in self.tiers:
            if tier.name.upper() == name.upper():
                return tier
        names = ", ".join(tier.name for tier in self.tiers)
        raise UsageError(f"{self.venue} has no fee tier {name!r}. There are: {names}")


@dataclass(frozen=True, slots=True)
class Fees:
    """What a run pays.

    Attributes
    ----------
    maker, taker
        Rates in 1e-8.
    asset, asset_price
        A third asset that all fees are paid in, and its price in quote, decimal text; empty: they are paid in what is
        received.
    origin
        Where the rates come from, for people.
    """

    maker: int
    taker: int
    asset: str = ""
    asset_price: str = ""
    origin: str = "given"


def _tiers(*rows: tuple[str, int, str, str]) -> tuple[FeeTier, ...]:
    """Tiers of (name, volume, maker in percent, taker in percent)."""
    return tuple(FeeTier(name, volume, _rate(maker), _rate(taker)) for name, volume, maker, taker in rows)


def _rate(percent: str) -> int:
    return int(Decimal(percent) * UNIT / 100)


SCHEDULES: Final = {
    "binance": FeeSchedule(
        "binance",
        "2026-11-23",
        "binance.com/en/fee/trading as third parties repeat it (zb-binance.com, i-binance.com); volumes from VIP 4 on "
        "are not confirmed, and the venue also asks for a balance of BNB",
        _tiers(
            ("VIP0", 0, "0.1", "0.1"),
            ("VIP1", 1_000_000, "0.09", "0.1"),
            ("VIP2", 5_000_000, "0.08", "0.1"),
            ("VIP3", 20_000_000, "0.042", "0.06"),
            ("VIP4", 100_000_000, "0.042", "0.054"),
            ("VIP5", 150_000_000, "0.036", "0.048"),
            ("VIP6", 400_000_000, "0.03", "0.042"),
            ("VIP7", 800_000_000, "0.024", "0.036"),
            ("VIP8", 2_000_000_000, "0.018", "0.03"),
            ("VIP9", 4_000_000_000, "0.012", "0.024"),
        ),
        "BNB",
        25,
    ),
    "coinbase": FeeSchedule(
        "coinbase",
        "2026-11-23",
        "coinbase.com/advanced-fees as ccxt 4.5.90 repeats it (coinbase.py, fees); INTRO is what its API tells new "
        "accounts under 1,000 dollars",
        _tiers(
            ("INTRO", 0, "0.6", "1.2"),
            ("1K", 1_000, "0.4", "0.6"),
            ("10K", 10_000, "0.25", "0.4"),
            ("50K", 50_000, "0.15", "0.25"),
            ("100K", 100_000, "0.1", "0.2"),
            ("1M", 1_000_000, "0.08", "0.18"),
            ("15M", 15_000_000, "0.06", "0.16"),
            ("75M", 75_000_000, "0.03", "0.12"),
            ("250M", 250_000_000, "0", "0.08"),
            ("400M", 400_000_000, "0", "0.05"),
        ),
    ),
    "kraken": FeeSchedule(
        "kraken",
        "2026-09-05",
        "api.kraken.com/0/public/AssetPairs (fees, fees_maker), the same for BTC, ETH, SOL and LINK against USD",
        _tiers(
            ("0", 0, "0.25", "0.4"),
            ("10K", 10_000, "0.2", "0.35"),
            ("50K", 50_000, "0.14", "0.24"),
            ("100K", 100_000, "0.12", "0.22"),
            ("250K", 250_000, "0.1", "0.2"),
            ("500K", 500_000, "0.08", "0.18"),
            ("1M", 1_000_000, "0.06", "0.16"),
            ("2.5M", 2_500_000, "0.04", "0.14"),
            ("5M", 5_000_000, "0.02", "0.12"),
            ("10M", 10_000_000, "0", "0.1"),
            ("100M", 100_000_000, "0", "0.08"),
            ("500M", 500_000_000, "0", "0.05"),
        ),
    ),
}
"""Schedules by venue, spot, standard pairs."""


def fees_of(text: str) -> Fees:
    """Fees of a venue's tier: ``binance:VIP1``, ``kraken:50K``, ``binance:VIP1,BNB=612.5``.

    The last form pays them in the venue's asset, at its discount; 612.5 is that asset's price in quote.

    Raises
    ------
    UsageError
        If venue, tier or asset is unknown, or the price no decimal number > 0.
    """
    named, _, paid = text.partition(",")
    venue, colon, tier_name = named.strip().partition(":")
    schedule = SCHEDULES.get(venue.lower())
    if schedule is None or not colon:
        raise UsageError(f"a fee tier is VENUE:TIER (venues: {', '.join(SCHEDULES)}), was {text!r}")
    tier = schedule.tier(tier_name.strip())
    origin = f"{schedule.venue} {tier.name}, table of {schedule.read}: {schedule.source}"
    if not paid:
        return Fees(tier.maker, tier.taker, origin=origin)
    asset, equals, price = paid.strip().partition("=")
    if not schedule.asset:
        raise UsageError(f"{schedule.venue} has no asset of its own to pay fees in, was {text!r}")
    if asset.upper() != schedule.asset or not equals:
        raise UsageError(f"{schedule.venue} takes fees in {schedule.asset}: write {schedule.asset}=PRICE, was {paid!r}")
    if decimal(price, f"price of {schedule.asset}") <= 0:
        raise UsageError(f"the price of {schedule.asset} must be > 0, was {price}")
    left = 100 - schedule.discount_percent
    maker, taker = tier.maker * left // 100, tier.taker * left // 100
    return Fees(maker, taker, schedule.asset, price, f"{origin}; {schedule.discount_percent} % off in {schedule.asset}")


def as_fees(value: Any, maker: int, taker: int) -> Fees:
    """Fees as a caller of ``tw.backtest`` may give them.

    Parameters
    ----------
    value
        ``None``: the instrument's rates; a pair (maker, taker) of rates; a tier's text, see :func:`fees_of`; or
        :class:`Fees`.
    maker, taker
        The instrument's rates in 1e-8.
    """
    if value is None:
        return Fees(maker, taker, origin="the instrument's")
    if isinstance(value, Fees):
        return value
    if isinstance(value, str):
        return fees_of(value)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UsageError(f"fees must be a pair (maker, taker), a tier such as 'binance:VIP1', or Fees; was {value!r}")
    maker, taker = (text_units(str(rate), "fee rate") for rate in value)
    return Fees(maker, taker)
