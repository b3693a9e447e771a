"""Integer codes shared by tapes, books, engine and venues. They are stored in files: never renumber."""

from typing import Final

# Row kinds of a tape (ENGINE rules, "Tape").
BID: Final = 0  # new quantity of a bid level, 0 removes it
ASK: Final = 1  # new quantity of an ask level, 0 removes it
TRADE_BUY: Final = 2  # a print whose aggressor bought
TRADE_SELL: Final = 3  # a print whose aggressor sold
TRADE_UNKNOWN: Final = 4  # a print whose aggressor is not recorded
BEST_BID: Final = 5  # the best bid is this level; better bid levels are gone
BEST_ASK: Final = 6  # the best ask is this level; better ask levels are gone
RESET: Final = 7  # the book is emptied
GAP: Final = 8  # something was missed here
MARK: Final = 9  # mark price
FUNDING: Final = 10  # funding rate, price column in 1e-8

KIND_NAMES: Final = (
    "bid",
    "ask",
    "trade_buy",
    "trade_sell",
    "trade_unknown",
    "best_bid",
    "best_ask",
    "reset",
    "gap",
    "mark",
    "funding",
)

# Row flags of a tape.
PACKET_END: Final = 1  # last row of its venue message: a packet is atomic
SNAPSHOT: Final = 2  # member of a snapshot
INFERRED: Final = 4  # not recorded but concluded, e.g. the aggressor's side

# Sides of orders and levels.
BUY: Final = 0
SELL: Final = 1

# Order kinds.
LIMIT: Final = 0
MARKET: Final = 1

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2
POST_ONLY: Final = 3  # Binance's LIMIT_MAKER, hftbacktest's GTX

# What can happen to an order (reports of the engine).
ACCEPTED: Final = 0
FILL: Final = 1
REJECTED: Final = 2
CANCELLED: Final = 3
EXPIRED: Final = 4  # remainder of MARKET/IOC, an unfillable FOK, a self-trade
CANCEL_REJECTED: Final = 5
TRIGGERED: Final = 6  # a stop order's price has printed: from now on it is an order like any other
AMENDED: Final = 7  # its quantity fell, it kept its place
AMEND_REJECTED: Final = 8

# Why an order was rejected or expired.
NO_REASON: Final = 0
FILTER_PRICE: Final = 1
FILTER_LOT: Final = 2
FILTER_NOTIONAL: Final = 3
FILTER_MAX_ORDERS: Final = 4
INSUFFICIENT_BALANCE: Final = 5
WOULD_TAKE: Final = 6  # post-only that would have matched
OUTSIDE_WINDOW: Final = 7  # outside the book's price window
NO_LIQUIDITY: Final = 8  # MARKET or IOC remainder
FOK_UNFILLED: Final = 9
SELF_TRADE: Final = 10
UNKNOWN_ORDER: Final = 11
NO_SLOT: Final = 12
FILTER_PERCENT_PRICE: Final = 13
WOULD_TRIGGER: Final = 14  # a stop price that the last print has reached already
AMEND_QUANTITY: Final = 15  # not less than before, or no more than what has filled
FILTER_MAX_STOPS: Final = 16  # stop orders that sleep

# What sets a stop order off: a print at or over its stop price, or at or under it.
NO_STOP: Final = 0
RISES: Final = 1
FALLS: Final = 2


# Assets a fee is taken in.
FEE_BASE: Final = 0
FEE_QUOTE: Final = 1
FEE_OTHER: Final = 2  # a third asset, at a stated price

UNIT: Final = 100_000_000  # balances, fees and rates are integers of 1e-8
