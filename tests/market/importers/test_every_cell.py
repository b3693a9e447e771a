"""Every cell of every text format is given every bad value: it is taken, or refused by file and line."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.market.importers.playback import T0
from tidewright.market.errors import DataError
from tidewright.market.importers.binance_dumps import import_binance_dumps
from tidewright.market.importers.coinbase_l2 import import_coinbase_l2
from tidewright.market.importers.column_map import parse_columns
from tidewright.market.importers.generic_table import import_table
from tidewright.market.importers.tardis import import_tardis

HEAD = "exchange,symbol,timestamp,local_timestamp"
BAD = (
    "abc",
    "-1",
    "",
    "nan",
    "inf",
    "1e300",
    "1" * 40,
    "0",
    '"',
    "true",
    "-0.5",
    "0.0000000000001",
    "1,1",
    "2023-11-14",
)


def named(import_: Callable[..., Any], columns: str) -> Callable[..., Any]:
    def run(files: list[Any], out: Any) -> Any:
        return import_(files, out, symbol="BTC-USD", columns=parse_columns(columns))

    return run


def tardis(*values: Any) -> list[tuple[Any, ...]]:
    rows = range(5)
    return [
        ("binance", "BTCUSDT", (T0 + i) * 1_000, (T0 + i) * 1_000 + 9, *[v(i) if callable(v) else v for v in values])
        for i in rows
    ]


def rows(*values: Any) -> list[tuple[Any, ...]]:
    return [tuple(v(i) if callable(v) else v for v in values) for i in range(5)]


def ms(i: int) -> int:
    return T0 + i


def minute(i: int) -> int:
    return T0 + 60_000 * i


def price(i: int) -> float:
    return 100.5 + i


TRADE = (lambda i: 7 + i, price, "1.5", "150", ms)
BARS = "ts=t,open=o,high=h,low=l,close=c,volume=v"
FORMS: dict[str, tuple[Callable[..., Any], str, str, list[tuple[Any, ...]]]] = {
    "trades of spot": (import_binance_dumps, "BTCUSDT-trades-1.csv", "", rows(*TRADE, "True", "True")),
    "trades of futures": (
        import_binance_dumps,
        "BTCUSDT-trades-1.csv",
        "id,price,qty,quote_qty,time,is_buyer_maker",
        rows(*TRADE, "true"),
    ),
    "aggTrades": (
        import_binance_dumps,
        "BTCUSDT-aggTrades-1.csv",
        "",
        rows(lambda i: 7 + i, price, "1.5", 1, 1, ms, "True", "True"),
    ),
    "bookTicker": (
        import_binance_dumps,
        "BTCUSDT-bookTicker-1.csv",
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
        rows(lambda i: i, price, "1.5", "107.5", "1", ms, ms),
    ),
    "klines": (
        import_binance_dumps,
        "BTCUSDT-1m-1.csv",
        "",
        rows(minute, "1.5", "2", "1", "1.5", "8", lambda i: minute(i + 1) - 1, 1, 1, 1, 1, 0),
    ),
    "Tardis' trades": (import_tardis, "a.csv", f"{HEAD},id,side,price,amount", tardis(1, "buy", price, "1")),
    "Tardis' levels": (
        import_tardis,
        "a.csv",
        f"{HEAD},is_snapshot,side,price,amount",
        tardis(lambda i: str(i < 2).lower(), "bid", price, "1"),
    ),
    "Tardis' quotes": (
        import_tardis,
        "a.csv",
        f"{HEAD},ask_amount,ask_price,bid_price,bid_amount",
        tardis("1", "107.5", price, "1"),
    ),
    "Tardis' snapshots": (
        import_tardis,
        "a.csv",
        f"{HEAD},asks[0].price,asks[0].amount,bids[0].price,bids[0].amount",
        tardis("107.5", "1", price, "1"),
    ),
    "Coinbase's changes": (
        lambda files, out: import_coinbase_l2(files, out, symbol="BTC-USD"),
        "a.csv",
        "side,price,size,time",
        rows("buy", price, "1", lambda i: f"2023-11-14T22:13:2{i}Z"),
    ),
    "table of levels": (
        named(import_table, "ts=t,local=l,side=s,price=p,qty=q,snapshot=n"),
        "a.csv",
        "t,l,s,p,q,n",
        rows(ms, lambda i: ms(i) + 1, "buy", price, "1", lambda i: i < 2),
    ),
    "table of bars": (named(import_table, BARS), "a.csv", "t,o,h,l,c,v", rows(minute, "1.5", "2", "1", "1.5", "8")),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_cell_can_fail_without_its_line(tmp_path, form):
    import_, name, head, values = FORMS[form]
    lines = [*([head] if head else []), *(",".join(map(str, row)) for row in values)]
    place, refused = len(lines) - 3, 0
    for column in range(len(values[0])):
        for number, bad in enumerate(BAD):
            cells = lines[place].split(",")
            cells[column] = bad
            (tmp_path / name).write_text("\n".join([*lines[:place], ",".join(cells), *lines[place + 1 :]]) + "\n")
            try:
                import_([tmp_path / name], tmp_path / f"{column} {number}")
            except DataError as error:
                refused += 1
                assert f"/{name}, line {place + 1}: " in str(error), f"column {column}, {bad!r}: {error}"
    assert refused > 2 * len(BAD)
