"""The tables of a session's database. Times are int64 nanoseconds of market time unless named ``wall``."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

SCHEMA_VERSION: Final = 1

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

sessions = Table(
    "sessions",
    metadata,
    Column("session", Text, primary_key=True),  # the part of client ids between `tw-` and the number
    Column("started_ns", BigInteger, nullable=False),
    Column("started_wall_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),  # empty while it runs, and after a kill
    Column("venue", Text, nullable=False),
    Column("instrument", Text, nullable=False),  # JSON of market.instrument
    Column("strategy", Text, nullable=False),
    Column("start_base", BigInteger, nullable=False),  # 1e-8 units
    Column("start_quote", BigInteger, nullable=False),
    Column("start_trade_id", BigInteger, nullable=False),  # the venue's last trade of the account before the start
    Column("settings", Text, nullable=False),  # JSON, no secrets
)

orders = Table(
    "orders",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("session", Text, nullable=False),
    Column("order_id", BigInteger, nullable=False),  # 0: not told yet
    Column("side", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("tif", Integer, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("qty_lots", BigInteger, nullable=False),
    Column("filled_lots", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)

fills = Table(
    "fills",
    metadata,
    Column("trade_id", BigInteger, primary_key=True),
    Column("session", Text, nullable=False),
    Column("client_order_id", Text, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("side", Integer, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("qty_lots", BigInteger, nullable=False),
    Column("fee_units", BigInteger, nullable=False),
    Column("fee_asset", Text, nullable=False),
    Column("maker", Integer, nullable=False),
)

equity = Table(
    "equity",
    metadata,
    Column("session", Text, primary_key=True),
    Column("ts", BigInteger, primary_key=True),
    Column("mid2_ticks", BigInteger, nullable=False),
    Column("equity_units", BigInteger, nullable=False),
    Column("base_units", BigInteger, nullable=False),
    Column("quote_units", BigInteger, nullable=False),
    Column("position_lots", BigInteger, nullable=False),
    Column("realised_units", BigInteger, nullable=False),
    Column("unrealised_units", BigInteger, nullable=False),
    Column("fees_units", BigInteger, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("session", Text, primary_key=True),
    Column("ts", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),  # JSON list of the eight numbers, in the order of agents.executor.state
    Column("quotes", Text, nullable=False),  # JSON: target bids and asks that passed the gate
    Column("placed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("why", Text, nullable=False),  # what stopped or cut the quotes; empty if nothing did
)

messages = Table(
    "messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("session", Text, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),  # "in" or "out"
    Column("message_type", Text, nullable=False),
    Column("body", Text, nullable=False),  # the JSON as it was sent or received
    Column("verdict", Text, nullable=False),  # "", "accepted", "refused", "invalid", "error"
    Column("why", Text, nullable=False),
)

limit_states = Table(
    "limit_states",
    metadata,
    Column("account", Text, primary_key=True),  # mode, venue and symbol: what limits remember outlives a session
    Column("ts", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # JSON of risk.limit_state
)

# -- several strategies on one account, see trading.several ----------------------------------------------------------

order_owners = Table(
    "order_owners",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("session", Text, nullable=False),
    Column("owners", Text, nullable=False),  # JSON list of [agent, lots], together the order's quantity
)

sub_trades = Table(
    "sub_trades",
    metadata,
    Column("session", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),  # 1, 2, ... in the order of booking
    Column("ts", BigInteger, nullable=False),
    Column("agent", Text, nullable=False),
    Column("side", Integer, nullable=False),
    Column("price_ticks", BigInteger, nullable=False),
    Column("lots", BigInteger, nullable=False),
    Column("fee_units", BigInteger, nullable=False),
    Column("fee_asset", Text, nullable=False),
    Column("trade_id", BigInteger, nullable=False),  # of the fill it is a part of; -1: a trade inside
    Column("other", Text, nullable=False),  # the agent it was made with inside; empty: the venue
)

sub_accounts = Table(
    "sub_accounts",
    metadata,
    Column("session", Text, primary_key=True),
    Column("ts", BigInteger, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("capital_units", BigInteger, nullable=False),
    Column("position_lots", BigInteger, nullable=False),
    Column("cash", BigInteger, nullable=False),  # tick * lots
    Column("gain_units", BigInteger, nullable=False),  # what it has earned after fees, 1e-8 quote
    Column("realised_units", BigInteger, nullable=False),
    Column("fees_units", BigInteger, nullable=False),
    Column("fills", Integer, nullable=False),  # its parts of fills, and its trades inside
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),  # what is leased: "executor"
    Column("token", BigInteger, nullable=False),  # the greatest fencing token there has been
    Column("holder", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("beat", BigInteger, nullable=False),  # rises with every sign of life
    Column("ts", BigInteger, nullable=False),  # market time of the newest
)

LATER: Final = (limit_states, order_owners, sub_trades, sub_accounts, leases)
"""Tables that a file of before does not have; they are made when it is opened for writing."""

Index("orders_by_session", orders.c.session, orders.c.state)
Index("fills_by_session", fills.c.session, fills.c.ts)
