"""Errors of the paper exchange as a client sees them: HTTP status, Binance's code, Binance's words.

Codes and texts: Binance spot API documentation, errors.md.
"""

from typing import Any, Final

from tidewright.market import codes
from tidewright.market.errors import TidewrightError


class ApiError(TidewrightError):
    """A request the exchange refuses.

    Parameters
    ----------
    code
        Binance's error code, negative.
    message
        Binance's text.
    status
        HTTP status, which the WebSocket API repeats in ``status``.
    data
        Further fields of the body (cancel-replace, limits).
    """

    def __init__(self, code: int, message: str, status: int = 400, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data

    def body(self) -> dict[str, Any]:
        """The JSON body: ``code``, ``msg`` and, where there is any, ``data``."""
        body: dict[str, Any] = {"code": self.code, "msg": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


CLIENT_ID_RANGE: Final = "^[a-zA-Z0-9-_]{1,36}$"
DECIMAL_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE: Final = "^[0-9]{1,20}$"
SYMBOL_RANGE: Final = "^[A-Z0-9-_.]{1,20}$"


def illegal_characters(name: str, legal: str) -> ApiError:
    """-1100: the text of a parameter does not match its pattern."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def mandatory(name: str) -> ApiError:
    """-1102: a parameter is missing."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def either(first: str, second: str) -> ApiError:
    """-1102: one of two parameters is needed and neither was sent."""
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def not_required(name: str) -> ApiError:
    """-1106: a parameter that this order type does not take."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    """-1111: more decimals than the asset has."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def filter_failure(name: str) -> ApiError:
    """-1013: an order breaks a filter of its symbol."""
    return ApiError(-1013, f"Filter failure: {name}")


def rejected(text: str) -> ApiError:
    """-2010: the matching engine refuses a new order."""
    return ApiError(-2010, text)


def cancel_rejected(text: str = "Unknown order sent.") -> ApiError:
    """-2011: the matching engine refuses a cancel."""
    return ApiError(-2011, text)


def amend_rejected(text: str) -> ApiError:
    """-2038: the matching engine refuses an amendment."""
    return ApiError(-2038, text)


def bad_key() -> ApiError:
    """-2015: the key is unknown."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def malformed_key() -> ApiError:
    """-2014: the key is missing or no key at all."""
    return ApiError(-2014, "API-key format invalid.", 401)


def bad_signature() -> ApiError:
    """-1022: the signature does not fit what was received."""
    return ApiError(-1022, "Signature for this request is not valid.")


def bad_symbol() -> ApiError:
    """-1121: no such symbol here."""
    return ApiError(-1121, "Invalid symbol.")


def unknown_order() -> ApiError:
    """-2013: a query for an order that does not exist."""
    return ApiError(-2013, "Order does not exist.")


INSUFFICIENT: Final = "Account has insufficient balance for requested action."
WOULD_MATCH: Final = "Order would immediately match and take."
DUPLICATE: Final = "Duplicate order sent."
MARKET_CLOSED: Final = "Market is closed."
UNKNOWN: Final = "Unknown order sent."
QUANTITY_INCREASE: Final = "Order amend (quantity increase) is not supported."
NO_CHANGE: Final = "The requested action would change no state; rejecting"

_REJECTIONS: Final[dict[int, ApiError]] = {
    codes.FILTER_PRICE: filter_failure("PRICE_FILTER"),
    codes.FILTER_LOT: filter_failure("LOT_SIZE"),
    codes.FILTER_NOTIONAL: filter_failure("NOTIONAL"),
    codes.FILTER_MAX_ORDERS: filter_failure("MAX_NUM_ORDERS"),
    codes.FILTER_MAX_STOPS: filter_failure("MAX_NUM_ALGO_ORDERS"),
    codes.FILTER_PERCENT_PRICE: filter_failure("PERCENT_PRICE_BY_SIDE"),
    codes.INSUFFICIENT_BALANCE: rejected(INSUFFICIENT),
    codes.WOULD_TAKE: rejected(WOULD_MATCH),
    codes.WOULD_TRIGGER: rejected("Order would trigger immediately."),
    codes.OUTSIDE_WINDOW: filter_failure("PERCENT_PRICE_BY_SIDE"),
    codes.NO_SLOT: filter_failure("MAX_NUM_ORDERS"),
}


def engine_rejection(reason: int) -> ApiError:
    """The error for an order that the engine rejected on arrival.

    Parameters
    ----------
    reason
        A reason code of :mod:`tidewright.market.codes`.
    """
    known = _REJECTIONS.get(reason)
    if known is None:
        return rejected(
            "Market orders are not supported for this symbol." if reason == codes.NO_LIQUIDITY else "REJECTED"
        )
    return ApiError(known.code, known.message, known.status)
