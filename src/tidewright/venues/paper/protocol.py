"""Requests as received: raw parameter text, typed access with Binance's errors, time stamps and time units."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import orjson

from tidewright.market.codes import UNIT
from tidewright.venues.paper import errors
from tidewright.venues.paper.errors import ApiError

_DECIMAL: Final = re.compile(errors.DECIMAL_RANGE)
_INTEGER: Final = re.compile(errors.INTEGER_RANGE)
_SYMBOL: Final = re.compile(errors.SYMBOL_RANGE)
_CLIENT_ID: Final = re.compile(errors.CLIENT_ID_RANGE)

DEFAULT_RECV_WINDOW: Final = Decimal(5_000)
MAX_RECV_WINDOW: Final = Decimal(60_000)
AHEAD_MS: Final = 1_000
ASSET_DECIMALS: Final = 8


class TimeUnit(NamedTuple):
    """How times are written: nanoseconds are divided by ``divisor``."""

    name: str
    divisor: int

    def of(self, ns: int) -> int:
        """A time in this unit, rounded down."""
        return ns // self.divisor


MILLISECONDS: Final = TimeUnit("MILLISECOND", 1_000_000)
MICROSECONDS: Final = TimeUnit("MICROSECOND", 1_000)


def time_unit(text: str | None) -> TimeUnit:
    """The unit named by ``X-MBX-TIME-UNIT`` or ``timeUnit``; milliseconds where nothing is said."""
    if not text:
        return MILLISECONDS
    name = text.upper()
    if name == MICROSECONDS.name:
        return MICROSECONDS
    if name == MILLISECONDS.name:
        return MILLISECONDS
    raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


class Params(dict[str, str]):
    """Parameters of one request, decoded text by name; its methods raise Binance's errors."""

    def optional(self, name: str) -> str | None:
        """The text, ``None`` where it was not sent; an empty one is -1105."""
        value = self.get(name)
        if value is None:
            return None
        if value == "":
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def text(self, name: str) -> str:
        """A mandatory text."""
        value = self.get(name)
        if not value:
            raise errors.mandatory(name)
        return value

    def integer(self, name: str, default: int | None = None) -> int | None:
        """A whole number >= 0 or the default; -1100 for anything else."""
        value = self.optional(name)
        if value is None:
            return default
        if not _INTEGER.match(value):
            raise errors.illegal_characters(name, errors.INTEGER_RANGE)
        return int(value)

    def limit(self, default: int, most: int) -> int:
        """The ``limit`` of a list: at least 1, at most ``most`` (more is cut)."""
        value = self.integer("limit", default)
        if value is None or value < 1:
            raise errors.mandatory("limit")
        return min(value, most)

    def time_ns(self, name: str) -> int | None:
        """A time in ms or µs, told apart by the digits, as nanoseconds."""
        value = self.integer(name)
        return None if value is None else stamp_ns(value)

    def decimal(self, name: str) -> Decimal | None:
        """An amount: digits with at most one dot, at most 8 decimals less trailing zeros; ``None`` if not sent."""
        value = self.optional(name)
        if value is None:
            return None
        if not _DECIMAL.match(value):
            raise errors.illegal_characters(name, errors.DECIMAL_RANGE)
        if len(value.partition(".")[2].rstrip("0")) > ASSET_DECIMALS:
            raise errors.too_precise(name)
        return Decimal(value)

    def mandatory_decimal(self, name: str) -> Decimal:
        """An amount that must be sent."""
        if not self.get(name):
            raise errors.mandatory(name)
        value = self.decimal(name)
        assert value is not None
        return value

    def client_id(self, name: str) -> str | None:
        """A client order id: letters, digits, ``-`` and ``_``, at most 36 of them."""
        value = self.optional(name)
        if value is not None and not _CLIENT_ID.match(value):
            raise errors.illegal_characters(name, errors.CLIENT_ID_RANGE)
        return value

    def symbol(self, known: str) -> str:
        """The mandatory symbol, which must be the one traded here."""
        value = self.text("symbol")
        check_symbol(value, known)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean written ``true`` or ``false``."""
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value.lower() == "true"


def check_symbol(value: str, known: str) -> None:
    """-1100 for a text that is no symbol, -1121 for a symbol that is not traded here."""
    if not _SYMBOL.match(value):
        raise errors.illegal_characters("symbol", errors.SYMBOL_RANGE)
    if value != known:
        raise errors.bad_symbol()


def rest_params(query: bytes, body: bytes) -> Params:
    """Parameters of a REST request; a name in both halves counts with the query's value.

    Raises
    ------
    ApiError
        -1101 for a name that stands twice in one half, -1100 for bytes that are not UTF-8.
    """
    merged = _form(body) if body else Params()
    if query:
        merged.update(_form(query))
    return merged


def _form(raw: bytes) -> Params:
    found = Params()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise errors.illegal_characters("body", "UTF-8") from None
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            name, value = unquote_plus(name), unquote_plus(value)
        if name in found:
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        found[name] = value
    return found


class Number(str):
    """A JSON number as its sender wrote it."""

    __slots__ = ()


class WsRequest(NamedTuple):
    """One request of the WebSocket API.

    Attributes
    ----------
    id
        As it goes back: text, ``None``, or a fragment with the digits received.
    method
        Without the optional ``v3/``.
    params
        Turned back to text, as signed.
    """

    id: Any
    method: str
    params: Params


def ws_request(raw: str) -> WsRequest:
    """Decode a WebSocket API request, keeping numbers as written.

    Raises
    ------
    ApiError
        -1135 for what is not a JSON object with a method; -1102 for parameters that are not a flat object.
    """
    try:
        message = json.loads(raw, parse_int=Number, parse_float=Number)
    except ValueError:
        raise ApiError(-1135, "Invalid JSON Request") from None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise ApiError(-1135, "Invalid JSON Request")
    return WsRequest(echo_id(message.get("id")), message["method"].removeprefix("v3/"), _flat(message.get("params")))


def echo_id(value: Any) -> Any:
    """A request's id in the form in which it goes back: the same JSON type, the same digits."""
    if isinstance(value, Number):
        return orjson.Fragment(value.encode())
    return value if isinstance(value, str) else None


def _flat(params: Any) -> Params:
    if params is None:
        return Params()
    if not isinstance(params, Mapping):
        raise ApiError(-1135, "Invalid JSON Request")
    flat = Params()
    for name, value in params.items():
        if isinstance(value, str):
            flat[name] = value
        elif isinstance(value, bool):
            flat[name] = "true" if value else "false"
        elif isinstance(value, list):
            flat[name] = json.dumps(value, separators=(",", ":"))
        elif value is not None:
            raise errors.mandatory(name)
    return flat


def stamp_ns(stamp: int) -> int:
    """Nanoseconds of a time stamp in ms (13 digits) or µs (16 digits)."""
    return stamp * (1_000 if stamp >= 10**14 else 1_000_000)


def check_timing(params: Params, wall_ns: int) -> None:
    """Test ``timestamp`` and ``recvWindow`` against wall time.

    Parameters
    ----------
    wall_ns
        The server's wall time; market time plays no part in authentication.

    Raises
    ------
    ApiError
        -1021 if the request is older than ``recvWindow`` (5000 ms unless given) or 1000 ms or more ahead; -1102 if a
        parameter is missing or over 60000 ms; -1100 if it is not a number.
    """
    params.text("timestamp")
    stamp = params.integer("timestamp")
    assert stamp is not None
    window = params.optional("recvWindow")
    milliseconds = DEFAULT_RECV_WINDOW
    if window is not None:
        if not _DECIMAL.match(window) or len(window.partition(".")[2]) > 3:
            raise errors.illegal_characters("recvWindow", r"^([0-9]{1,5})(\.[0-9]{1,3})?$")
        milliseconds = Decimal(window)
        if milliseconds > MAX_RECV_WINDOW:
            raise ApiError(-1102, "'recvWindow' contains unexpected value. Cannot be greater than 60000.")
    sent_ns = stamp_ns(stamp)
    if sent_ns >= wall_ns + AHEAD_MS * 1_000_000:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if wall_ns - sent_ns > milliseconds * 1_000_000:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def units(value: Decimal) -> int:
    """1e-8 units of an amount with at most 8 decimals."""
    return int(value * UNIT)
