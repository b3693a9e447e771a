"""Every bad value of a Binance capture is refused by file, line, value and rule, before anything is written."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.market.importers import test_binance_futures as futures
from tests.market.importers.playback import MS, T0
from tidewright.market.errors import DataError
from tidewright.market.importers.binance_raw import import_binance_raw

SNAPSHOT = {"lastUpdateId": 10, "bids": [["100.00", "1.0"]], "asks": [["101.00", "2.0"]]}


def spot(kind: str, **more: Any) -> dict[str, Any]:
    return {"e": kind, "E": T0, "s": "BTCUSDT", **more}


def depth(first: int, last: int, **more: Any) -> dict[str, Any]:
    return spot("depthUpdate", U=first, u=last, b=[["99.00", "0.5"]], a=[], **more)


TRADE = spot("trade", t=5, p="100.50", q="0.25", T=T0, m=True)
TICKER = {"u": 13, "s": "BTCUSDT", "b": "100.00", "B": "1.5", "a": "101.00", "A": "2.0"}
SPOT = [depth(9, 11), SNAPSHOT, depth(12, 12), TRADE, TICKER, spot("aggTrade", a=5, p="100.5", q="1", T=T0, m=False)]
MARK = spot("markPriceUpdate", p="100.05", r="0.0001", T=T0 + 60_000)
USDM = [
    futures.depth(900, 980, 890, -60, bids=[("99.8", "1.000")]),
    futures.SNAPSHOT,
    futures.depth(985, 1_040, 980, 0, bids=[("99.9", "2.500")]),
    futures.trade(7, 20),
    futures.ticker(1_080, 20, "100.1", "100.2"),
    MARK,
]
COINM = [{**deepcopy(m), "s": "BTCUSD_PERP", "ps": "BTCUSD"} if "s" in m else m for m in USDM]


def written(path: Path, messages: list[dict[str, Any]]) -> Path:
    """A capture with an empty line after every message: line 1, 3, 5, ... of an editor."""
    lines = [f"{(T0 + i) * MS} ".encode() + orjson.dumps(message) + b"\n\n" for i, message in enumerate(messages)]
    path.write_bytes(b"".join(lines))
    return path


@pytest.mark.parametrize(
    ("index", "change", "problem"),
    [
        (3, {"p": "abc"}, "price must be a plain decimal number, was 'abc'"),
        (3, {"q": "-3"}, "quantity must be a plain decimal number, was '-3'"),
        (3, {"p": "0"}, "price must be > 0, was '0'"),
        (3, {"p": "1e300"}, "price must be a plain decimal number, was '1e300'"),
        (3, {"p": "1" + "0" * 300}, "price must be under 1e15, was '1000"),
        (3, {"p": "99.999999999999"}, r"was 99\.999999999999"),
        (3, {"T": "x"}, "T must be a whole number >= 0, was 'x'"),
        (3, {"T": 5}, "T must be a time between 2009 and 2100 in ms, µs or ns, was 5"),
        (3, {"m": "false"}, "m must be true or false, was 'false'"),
        (3, {"t": True}, "t must be a whole number >= 0, was True"),
        (3, {"s": 7}, "s must be a text, was 7"),
        (2, {"u": "zz"}, "u must be a whole number >= 0, was 'zz'"),
        (2, {"b": [["-1.5", "1"]]}, "price must be a plain decimal number, was '-1.5'"),
        (2, {"b": [["1.5"]]}, r"a level must be a price and a quantity, was \['1.5'\]"),
        (0, {"b": [["1.5", "x"]]}, "quantity must be a plain decimal number, was 'x'"),
        (1, {"lastUpdateId": None}, "lastUpdateId must be a whole number >= 0, was None"),
        (1, {"asks": [["101.005", "1"]]}, r"price must be a multiple of the tick size 0.01, was 101.005"),
        (4, {"b": "0.00"}, "price must be > 0, was '0.00'"),
    ],
)
def test_bad_value_is_named_by_file_line_value_and_rule(tmp_path, index, change, problem):
    messages = deepcopy(SPOT)
    messages[index].update(change)
    path = written(tmp_path / "a", messages)
    with pytest.raises(DataError, match=rf"/a, line {2 * index + 1}: .*{problem}"):
        import_binance_raw([path], tmp_path / "tape", tick_size="0.01")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


BAD = ("abc", "-1", "", "nan", "1e5", "1" * 40, "0", -1, 1.5, 1 << 63, True, None, [], [[]], [["1"]], [["a", "b"]], {})


@pytest.mark.parametrize("messages", [SPOT, USDM, COINM], ids=["spot", "USDS-M", "COIN-M"])
def test_no_value_of_any_message_can_fail_without_its_line(tmp_path, messages):
    """Every field of every message is given every bad value: it is taken, or refused by file and line."""
    refused = 0
    for index, message in enumerate(messages):
        for name in message:
            for number, bad in enumerate(BAD):
                changed = [*messages[:index], {**message, name: bad}, *messages[index + 1 :]]
                path = written(tmp_path / "a", changed)
                try:
                    import_binance_raw([path], tmp_path / f"{index}{name}{number}")
                except DataError as error:
                    refused += 1
                    placed = f"/a, line {2 * index + 1}: " in str(error)
                    assert placed or "holds several symbols" in str(error), f"{name}={bad!r}: {error}"
    assert refused > 300


def test_empty_side_of_a_ticker_says_nothing(tmp_path):
    messages = [*SPOT[:4], {**TICKER, "a": "0.00", "A": "0.00"}]
    report = import_binance_raw([written(tmp_path / "a", messages)], tmp_path / "tape")
    assert report.check["usable"]


def test_price_with_too_many_steps_for_the_tape_is_named(tmp_path):
    messages = [*SPOT, {**TRADE, "t": 6, "p": "900000000000000"}, {**TRADE, "t": 7, "p": "0.000000000001"}]
    problem = r"/a, line 13: price must be under [\d,]+ steps of 0\.000000000001, was 900000000000000"
    with pytest.raises(DataError, match=problem):
        import_binance_raw([written(tmp_path / "a", messages)], tmp_path / "tape")


def test_spot_messages_cannot_be_read_as_those_of_futures(tmp_path):
    with pytest.raises(DataError, match=r"/a, line 1: a futures' depth update must have pu"):
        import_binance_raw([written(tmp_path / "a", SPOT)], tmp_path / "tape", kind="linear")
