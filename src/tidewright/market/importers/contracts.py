"""Instruments from the names venues give them: spot pairs, linear and inverse futures, contract sizes and fees.

Binance's futures: USDⓈ-M contracts are linear, of one unit of the base asset, counted in it (BTCUSDT,
BTCUSDT_240628). COIN-M contracts are inverse, counted in contracts of 100 USD (BTC) or 10 USD (all others), and named
after pair and delivery (BTCUSD_PERP, BTCUSD_240628).
"""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, cast, get_args

from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.exchange_info import ExchangeInfo
from tidewright.market.importers.report import split_symbol
from tidewright.market.instrument import Filters, Instrument, Kind, decimal, units_text

_COIN_M: Final = re.compile(r"^([A-Z0-9]+)USD_(PERP|\d{6})$")
_DELIVERY: Final = re.compile(r"[-_]?(PERPETUAL|PERP|SWAP|FUTURES?|\d{6}|\d{1,2}[A-Z]{3}\d{2})$")
_DOLLARS: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD")
_BINANCE_FUTURES: Final = ("binanceusdm", "binancecoinm", "binance-futures", "binance-delivery")
_FUTURES, _SPOT = (20_000, 50_000), (100_000, 100_000)  # Binance's regular tier: 0.02 % and 0.05 %; 0.1 %
UNKNOWN: Final = "unknown"  # the venue of a recording that does not name it


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


def stated_kind(exchange_info: ExchangeInfo | None, symbol: str) -> Kind:
    """Kind of an instrument of which a recording tells nothing: what the venue states, else spot."""
    return "spot" if exchange_info is None else exchange_info.instrument(symbol).kind


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
    filters = Filters(min_notional=5 * UNIT if quote in _DOLLARS and kind != "inverse" else 0)
    maker, taker = _fees(venue)
    return Instrument(venue, symbol, base, quote, tick_size, lot_size, kind, contract_size, maker, taker, filters)


def _fees(venue: str) -> tuple[int, int]:
    """Maker's and taker's."""
    return _FUTURES if venue in _BINANCE_FUTURES else _SPOT


class InstrumentMaker:
    """Makes a recording's instrument once its tick and lot have been inferred: of what was given, stated or is usual.

    Parameters
    ----------
    venue, symbol
        Names.
    tick_size, lot_size
        As given; they go before what is stated, and that before what is inferred.
    kind, contract_size
        As given or concluded.
    exchange_info
        What the venue states of its instruments.

    Raises
    ------
    DataError
        If the venue states nothing of the symbol.
    UsageError
        If it states another kind or contract size.
    """

    def __init__(
        self,
        venue: str,
        symbol: str,
        tick_size: str | None,
        lot_size: str | None,
        kind: Kind,
        contract_size: str | None = None,
        exchange_info: ExchangeInfo | None = None,
    ) -> None:
        self._venue, self._symbol, self._kind, self._contract_size = venue, symbol, kind, contract_size
        self._tick, self._lot = tick_size, lot_size
        self._stated: Instrument | None = None
        self.notes: dict[str, Any] = {}
        if exchange_info is None:
            return
        stated = exchange_info.instrument(symbol)
        if kind != stated.kind:
            raise UsageError(f"{exchange_info.source} states the kind {stated.kind} of {symbol}, this is of {kind}")
        if contract_size is not None and decimal(contract_size, "contract size") != Decimal(stated.contract_size):
            raise UsageError(
                f"{exchange_info.source} states the contract size {stated.contract_size} of {symbol}, this is of "
                f"{contract_size}"
            )
        for name, given, other in (("tick", tick_size, stated.tick_size), ("lot", lot_size, stated.lot_size)):
            if given is not None and decimal(given, f"{name} size") != Decimal(other):
                self.notes[f"{name}_size"] = f"{given}, as given; {exchange_info.source} states {other}"
        self._stated = exchange_info.instrument(symbol, tick_size=tick_size, lot_size=lot_size)
        self._venue = stated.venue if venue == UNKNOWN else venue
        self.notes["filters"] = f"stated by {exchange_info.source}"

    def __call__(self, tick: str, lot: str) -> Instrument:
        """The instrument, of the tick and lot that were inferred."""
        if self._stated is not None:
            maker, taker = _fees(self._venue)
            return replace(self._stated, venue=self._venue, symbol=self._symbol, maker_fee=maker, taker_fee=taker)
        made = recorded_instrument(
            self._venue, self._symbol, self._tick or tick, self._lot or lot, self._kind, self._contract_size
        )
        self.notes["filters"] = f"assumed: {_in_words(made)}"
        return made


def _in_words(made: Instrument) -> str:
    filters = made.filters
    least = units_text(filters.min_notional).rstrip("0").rstrip(".")
    most = filters.max_num_orders
    return f"minimum notional {least} {made.quote}, at most {most} orders at once, none relative to an average price"
