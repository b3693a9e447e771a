"""Instruments from the names venues give them: spot pairs, linear and inverse futures, contract sizes and fees.

Binance's futures: USDⓈ-M contracts are linear, of one unit of the base asset, counted in it (BTCUSDT,
BTCUSDT_240628). COIN-M contracts are inverse, counted in contracts of 100 USD (BTC) or 10 USD (all others), and named
after pair and delivery (BTCUSD_PERP, BTCUSD_240628).
"""

import re
from typing import Final, cast, get_args

from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.importers.report import split_symbol
from tidewright.market.instrument import Filters, Instrument, Kind

_COIN_M: Final = re.compile(r"^([A-Z0-9]+)USD_(PERP|\d{6})$")
_DELIVERY: Final = re.compile(r"[-_]?(PERPETUAL|PERP|SWAP|FUTURES?|\d{6}|\d{1,2}[A-Z]{3}\d{2})$")
_DOLLARS: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD")
_BINANCE_FUTURES: Final = ("binanceusdm", "binancecoinm", "binance-futures", "binance-delivery")
_FUTURES_MAKER, _FUTURES_TAKER = 20_000, 50_000  # Binance's regular tier: 0.02 % and 0.05 %


def is_coin_margined(symbol: str) -> bool:
    """Whether a symbol is one of Binance's COIN-M contracts, e.g. ``BTCUSD_PERP``."""
    return _COIN_M.match(symbol) is not None


def coin_contract_size(symbol: str) -> str:
    """USD of one COIN-M contract: 100 for BTC, 10 for all others."""
    match = _COIN_M.match(symbol)
    return "100" if match and match[1] == "BTC" else "10"


def contract_assets(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a spot or futures symbol; a contract named after its base alone is quoted in USD.

    Raises
    ------
    DataError
        If the quote asset is none of the usual ones.
    """
    if match := _COIN_M.match(symbol):
        return match[1], "USD"
    pair = symbol.partition(":")[0]  # ccxt's BTC/USDT:USDT
    shorter = _DELIVERY.sub("", pair)
    if shorter != pair and shorter.isalnum() and not shorter.endswith(_DOLLARS):
        return shorter, "USD"
    return split_symbol(shorter or pair)


def parse_kind(text: str | None) -> Kind | None:
    """Kind of instrument from a user's word.

    Raises
    ------
    UsageError
        If it is none of spot, linear and inverse.
    """
    if text is not None and text not in get_args(Kind):
        raise UsageError(f"the kind of instrument is one of {', '.join(get_args(Kind))}, was {text!r}")
    return cast(Kind | None, text)


def recorded_instrument(
    venue: str,
    symbol: str,
    tick_size: str,
    lot_size: str,
    kind: Kind = "spot",
    contract_size: str | None = None,
) -> Instrument:
    """Instrument of a recording.

    Fees are those of Binance's regular tier for its futures and 0.1 % elsewhere; what is quoted in dollars has a
    minimum notional of 5, inverse contracts none.

    Parameters
    ----------
    contract_size
        Of one contract: base units (linear) or quote units (inverse); else 1, or the venue's for COIN-M.
    """
    base, quote = contract_assets(symbol)
    if contract_size is None:
        contract_size = coin_contract_size(symbol) if kind == "inverse" and is_coin_margined(symbol) else "1"
    fees = {"maker_fee": _FUTURES_MAKER, "taker_fee": _FUTURES_TAKER} if venue in _BINANCE_FUTURES else {}
    filters = Filters(min_notional=5 * UNIT if quote in _DOLLARS and kind != "inverse" else 0)
    return Instrument(venue, symbol, base, quote, tick_size, lot_size, kind, contract_size, filters=filters, **fees)
