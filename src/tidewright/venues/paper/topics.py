"""Names of market streams: what a client writes, and the topic it means."""

import re
from typing import Final

from tidewright.venues.paper.market_data import INTERVALS

TRADE: Final = "trade"
AGGREGATE: Final = "aggTrade"
DEPTH: Final = "depth"
BOOK_TICKER: Final = "bookTicker"
MINI_TICKER: Final = "miniTicker"
TICKER: Final = "ticker"
MINI_TICKERS: Final = "!miniTicker@arr"
PARTIAL: Final = {"depth5": 5, "depth10": 10, "depth20": 20}
KLINES: Final = {f"kline_{interval}": width for interval, width in INTERVALS.items()}

_TOPICS: Final = frozenset({TRADE, AGGREGATE, DEPTH, BOOK_TICKER, MINI_TICKER, TICKER, MINI_TICKERS, *PARTIAL, *KLINES})
_NAME: Final = re.compile(r"^(?:[a-z0-9_.-]{1,20}@[a-zA-Z0-9_]+(?:@[0-9a-zA-Z+:]+)?|![a-zA-Z0-9_]+@arr)$")


def is_well_formed(name: str) -> bool:
    """Whether a text has the form of a stream name, of whatever symbol."""
    return _NAME.match(name) is not None


def topic_of(name: str, symbol: str) -> str | None:
    """The topic a stream name means here; ``None`` for another symbol or a stream that this exchange does not have.

    Parameters
    ----------
    symbol
        The symbol traded here, upper case.
    """
    if name == MINI_TICKERS:
        return name
    prefix, _, rest = name.partition("@")
    if prefix != symbol.lower():
        return None
    kind, _, speed = rest.partition("@")
    if speed and (speed not in ("100ms", "1000ms") or not kind.startswith(DEPTH)):
        return None
    return kind if kind in _TOPICS else None
