"""Fees on the command line: a rate, which is a share of the traded value and never per cent, or a venue's tier."""

from dataclasses import replace

from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.fees import SCHEDULES, Fees, fees_of
from tidewright.market.instrument import Instrument, decimal, text_units

_RULE = "must be a share of the traded value from -1 to 1 (0.001 is 0.1 %)"
TIER_HELP = (
    "A published tier instead of rates: VENUE:TIER, as in binance:VIP1 or kraken:50K; binance:VIP1,BNB=612.5 pays in "
    f"BNB at that price. Venues: {', '.join(SCHEDULES)}."
)


def require_rate(text: str | None, option: str) -> None:
    """See whether an option is a fee rate; a negative one is a rebate.

    Parameters
    ----------
    text
        As given; ``None``: not given.
    option
        Its name, for the message.

    Raises
    ------
    UsageError
        If it is no decimal number, finer than 1e-8, or more than the whole value.
    """
    if text is None:
        return
    try:
        decimal(text, option)
    except UsageError:
        raise UsageError(f"{option} {_RULE}, was {text!r}") from None
    units = text_units(text, option)
    if abs(units) > UNIT:
        raise UsageError(f"{option} {_RULE}, was {text} ({units / UNIT:.10g} times the value)")


def chosen_fees(instrument: Instrument, maker: str | None, taker: str | None, tier: str | None) -> Fees:
    """Fees by the options of a command.

    Parameters
    ----------
    instrument
        Its rates hold where nothing is given.
    maker, taker, tier
        Texts of --maker-fee, --taker-fee and --fee-tier; a rate beside a tier replaces that one of its rates.

    Raises
    ------
    UsageError
        If a rate or the tier is none.
    """
    require_rate(maker, "--maker-fee")
    require_rate(taker, "--taker-fee")
    origin = "the instrument's" if maker is None or taker is None else "given"
    fees = Fees(instrument.maker_fee, instrument.taker_fee, origin=origin) if tier is None else fees_of(tier)
    if maker is None and taker is None:
        return fees
    return replace(
        fees,
        maker=fees.maker if maker is None else text_units(maker, "--maker-fee"),
        taker=fees.taker if taker is None else text_units(taker, "--taker-fee"),
        origin=fees.origin if tier is None and origin == "given" else f"{fees.origin}, but for what was given",
    )
