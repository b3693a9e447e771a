"""Instruments as Binance's ``exchangeInfo`` states them: spot (``/api/v3``), USDⓈ-M (``/fapi``), COIN-M (``/dapi``).

What a filter does not state is not bounded. Futures word some filters in another way: ``MAX_NUM_ORDERS`` has a
``limit``, ``MIN_NOTIONAL`` a ``notional``, and ``PERCENT_PRICE`` bounds buys from above and sales from below.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import orjson

from tidewright.market.codes import UNIT
from tidewright.market.errors import DataError, NotFoundError
from tidewright.market.instrument import Filters, Instrument, Kind

_VENUES: Final[dict[Kind, str]] = {"spot": "binance", "linear": "binanceusdm", "inverse": "binancecoinm"}
_LOWEST, _HIGHEST = "0", "1000000"  # multipliers that bound nothing


class ExchangeInfo:
    """The symbols of one answer.

    Parameters
    ----------
    answer
        The answer, decoded.
    source
        Where it is from, for messages and notes.

    Raises
    ------
    DataError
        If it is none.
    """

    def __init__(self, answer: Any, source: str = "exchangeInfo") -> None:
        symbols = answer.get("symbols") if isinstance(answer, Mapping) else None
        if not isinstance(symbols, list) or not symbols:
            raise DataError(f"{source} must be the answer of GET exchangeInfo: an object with a list of symbols")
        if not all(isinstance(entry, Mapping) and isinstance(entry.get("symbol"), str) for entry in symbols):
            raise DataError(f"{source}: every entry of symbols must be an object with a symbol")
        self.source = source
        self._entries = {_plain_name(entry["symbol"]): entry for entry in symbols}

    @classmethod
    def read(cls, path: Path) -> "ExchangeInfo":
        """The answer in a JSON file.

        Raises
        ------
        NotFoundError
            If it does not exist.
        DataError
            If it is none.
        """
        if not path.is_file():
            raise NotFoundError(f"no exchange information {path}")
        try:
            return cls(orjson.loads(path.read_bytes()), str(path))
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {error.lineno}: cut off or not JSON ({error.msg})") from None

    @property
    def only_symbol(self) -> str | None:
        """The symbol's name, if there is just one."""
        names = [str(entry["symbol"]) for entry in self._entries.values()]
        return names[0] if len(names) == 1 else None

    def instrument(self, symbol: str, *, tick_size: str | None = None, lot_size: str | None = None) -> Instrument:
        """An instrument; fees are not stated and stay the default ones.

        Parameters
        ----------
        symbol
            ``BTCUSDT``; ``BTC/USDT`` and ``BTC-USDT`` mean the same.
        tick_size, lot_size
            Given, they are taken instead of what is stated.

        Raises
        ------
        DataError
            If it is not among the symbols, or malformed.
        """
        entry = self._entries.get(_plain_name(symbol))
        if entry is None:
            known = self.only_symbol or f"{len(self._entries):,} others"
            raise DataError(f"{self.source} states nothing of {symbol}, only of {known}")
        try:
            return instrument(entry, tick_size=tick_size, lot_size=lot_size)
        except DataError as error:
            raise DataError(f"{self.source}, symbol {entry['symbol']}: {error}") from None


def instrument(
    symbol: Mapping[str, Any],
    commission: Mapping[str, str] | None = None,
    *,
    tick_size: str | None = None,
    lot_size: str | None = None,
) -> Instrument:
    """Instrument from an element of exchangeInfo's ``symbols``.

    Parameters
    ----------
    commission
        The account's ``commissionRates``; else the default ones.
    tick_size, lot_size
        Given, they are taken instead of what is stated; bounds of price and quantity are rounded inwards.

    Raises
    ------
    DataError
        If a filter or rate is missing or malformed.
    """
    try:
        filters = {row["filterType"]: row for row in symbol["filters"]}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        tick = tick_size or _plain(price["tickSize"])
        step = lot_size or _plain(lot["stepSize"])
        if Decimal(tick) <= 0 or Decimal(step) <= 0:
            raise DataError(f"tick and lot must be > 0, were {tick} and {step}")
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
        count, stops = (filters.get(name) or {} for name in ("MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS"))
        market = filters.get("MARKET_LOT_SIZE") or {}
        fees = {}
        if commission is not None:
            fees = {f"{side}_fee": int(Decimal(commission[side]) * UNIT) for side in ("maker", "taker")}
        kind = _kind(symbol)
        return Instrument(
            _VENUES[kind],
            str(symbol["symbol"]),
            str(symbol["baseAsset"]),
            str(symbol["quoteAsset"]),
            tick,
            step,
            kind,
            _plain(str(symbol.get("contractSize", 1))),
            filters=Filters(
                -_steps(price["minPrice"], tick, -1),
                _steps(price["maxPrice"], tick),
                max(1, -_steps(lot["minQty"], step, -1)),
                _steps(lot["maxQty"], step),
                _steps(market.get("maxQty", "0"), step),
                int(Decimal(notional.get("minNotional", notional.get("notional", "0"))) * UNIT),
                int(Decimal(notional.get("maxNotional", "0")) * UNIT),
                int(count.get("maxNumOrders", count.get("limit", 0))),
                *_multipliers(filters, kind),
                market_min_qty_lots=-_steps(market.get("minQty", "0"), step, -1),
                market_step_lots=_common_step(market.get("stepSize", "0"), step),
                min_notional_to_market=_at_market(notional, "applyMinToMarket", kind),
                max_notional_to_market=bool(notional.get("applyMaxToMarket", False)),
                max_num_stop_orders=int(stops.get("maxNumAlgoOrders", stops.get("limit", 0))),
                reference_minutes=_reference_minutes(filters, kind),
            ),
            **fees,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"malformed exchange information ({type(error).__name__}: {error})") from None


def _kind(symbol: Mapping[str, Any]) -> Kind:
    if "contractSize" in symbol:
        return "inverse"
    return "linear" if "contractType" in symbol else "spot"


def _multipliers(filters: Mapping[str, Mapping[str, Any]], kind: Kind) -> tuple[str, str, str, str]:
    """Bids' lowest and highest share of the reference price, then asks'."""
    if sides := filters.get("PERCENT_PRICE_BY_SIDE"):
        names = ("bidMultiplierDown", "bidMultiplierUp", "askMultiplierDown", "askMultiplierUp")
        return _share(sides[names[0]]), _share(sides[names[1]]), _share(sides[names[2]]), _share(sides[names[3]])
    if both := filters.get("PERCENT_PRICE"):
        down, up = _share(both["multiplierDown"]), _share(both["multiplierUp"])
        return (down, up, down, up) if kind == "spot" else (_LOWEST, up, down, _HIGHEST)
    return _LOWEST, _HIGHEST, _LOWEST, _HIGHEST


def _share(text: Any) -> str:
    if not 0 <= Decimal(str(text)) < 10**9:
        raise DataError(f"a multiplier must be >= 0 and less than a billion, was {text}")
    return _plain(str(text))


def _at_market(notional: Mapping[str, Any], name: str, kind: Kind) -> bool:
    """Whether the least worth holds for market orders; of futures it always does, at the mark price."""
    return bool(notional) and (kind != "spot" or bool(notional.get(name, notional.get("applyToMarket", False))))


def _reference_minutes(filters: Mapping[str, Mapping[str, Any]], kind: Kind) -> int | None:
    """Minutes of the average price that filters are relative to; ``None``: there is no such filter."""
    names = ("PERCENT_PRICE_BY_SIDE", "PERCENT_PRICE", "NOTIONAL", "MIN_NOTIONAL")
    stated = [filters[name] for name in names if name in filters]
    if kind != "spot":
        return 0 if stated else None  # the mark price
    minutes = {int(one["avgPriceMins"]) for one in stated if "avgPriceMins" in one}
    if len(minutes) > 1:
        raise DataError(f"filters relative to averages of different lengths are not supported: {sorted(minutes)} min")
    return minutes.pop() if minutes else None


def _common_step(text: str, size: str) -> int:
    """Steps of a size that a multiple of it and of another step has at least; 0: there is no other step."""
    return Fraction(Fraction(_plain(text)), Fraction(size)).numerator if Decimal(text) else 0


def _steps(text: str, size: str, sign: int = 1) -> int:
    """Whole steps at or under a value, or with ``sign`` -1 at or under its negative."""
    return int((sign * Decimal(text) / Decimal(size)).to_integral_value("ROUND_FLOOR"))


def _plain(step: str) -> str:
    return f"{Decimal(step).normalize():f}"


def _plain_name(symbol: str) -> str:
    return "".join(letter for letter in symbol.partition(":")[0].upper() if letter.isalnum())
