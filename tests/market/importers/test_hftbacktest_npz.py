"""Event files of hftbacktest 2.x, written here with its numbers; those themselves are checked against its package."""

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.market.importers.playback import MS, T0, gz, listed, packets, play
from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers import hftbacktest_npz as npz
from tidewright.market.importers.binance_raw import import_binance_raw
from tidewright.market.importers.hftbacktest_npz import EVENT, import_hftbacktest
from tidewright.market.importers.tardis import import_tardis
from tidewright.market.tape import Tape

PEERS = Path(__file__).parents[3] / ".venv-peers" / "bin" / "python"
BOTH = npz.EXCH | npz.LOCAL
BID, ASK = npz.BUY, npz.SELL


def events(*rows: tuple) -> np.ndarray:
    """Rows of (ev, ms, ms received, price, quantity)."""
    array = np.zeros(len(rows), np.dtype(EVENT.descr, align=True))
    for i, (ev, ms, local, px, qty) in enumerate(rows):
        array[i] = (
            ev,
            (T0 + ms) * MS if ms is not None else 0,
            (T0 + local) * MS if ms is not None else 0,
            px,
            qty,
            0,
            0,
            0,
        )
    return array


def save(path: Path, array: np.ndarray, **more) -> Path:
    np.savez_compressed(path, data=array, **more)
    return path


START = [
    (BOTH | npz.CLEAR | BID, 0, 5, 99.0, 0),
    (BOTH | npz.DEPTH_SNAPSHOT | BID, 0, 5, 100.0, 1.5),
    (BOTH | npz.DEPTH_SNAPSHOT | BID, 0, 5, 99.0, 2),
    (BOTH | npz.CLEAR | ASK, 0, 5, 101.0, 0),
    (BOTH | npz.DEPTH_SNAPSHOT | ASK, 0, 5, 101.0, 3),
]
MORE = [
    (npz.LOCAL | npz.DEPTH | BID, 3, 6, 98.0, 9),  # the receiver's copy of a row that the exchange has elsewhere
    (BOTH | npz.TRADE | BID, 10, 15, 101.0, 0.5),
    (BOTH | npz.DEPTH | ASK, 10, 15, 101.0, 2.5),
    (BOTH | npz.DEPTH | BID, 10, 15, 99.5, 1),
    (BOTH | npz.TRADE, 12, 17, 100.0, 0.5),
    (BOTH | 102, 12, 17, 0.0001, 0),  # an event of the user's own
    (BOTH | npz.DEPTH | ASK, 13, 18, 101.0, 0),
]


def test_events_become_packets_in_the_order_of_the_exchange(tmp_path):
    report = import_hftbacktest([save(tmp_path / "d.npz", events(*START, *MORE))], tmp_path / "tape", symbol="BTCUSDT")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [
        ["reset", "bid", "bid", "ask"],
        ["trade_buy"],
        ["ask", "bid"],
        ["trade_unknown"],
        ["ask"],
    ]
    assert play(tape) == ({1000: 15, 990: 20, 995: 10}, {})
    assert (tape.data.ts_local - tape.data.ts == 5 * MS).all()
    assert (tape.data.flags & codes.SNAPSHOT != 0).tolist() == [False, True, True, True] + [False] * 5
    assert report.notes["events_for_the_receiver_only"] == 1 and report.notes["events_of_users_own_kinds"] == 1
    assert report.notes["users_own_kinds"] == {"102": "1 events, the first in d.npz, row 11"}
    assert report.detail == "L2+trades" and tape.instrument.tick_size == "0.1"


def test_files_in_any_order_after_a_snapshot_without_times(tmp_path):
    snapshot = save(
        tmp_path / "z_snapshot.npz",
        events(*[(BOTH | npz.DEPTH_SNAPSHOT | side, None, 0, px, 1) for side, px in ((BID, 100.0), (ASK, 101.0))]),
    )
    second = save(tmp_path / "a.npz", events(*MORE[-1:]))
    first = save(tmp_path / "b.npz", events(*MORE[:-1]))
    import_hftbacktest([second, first, snapshot], tmp_path / "tape", symbol="BTCUSDT")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape)[0] == ["reset", "bid", "ask"] and listed(tape)[0][0] == 10
    assert [row[0] for row in listed(tape)][-2:] == [12, 13]


def test_without_a_snapshot_the_book_begins_with_the_first_depth(tmp_path):
    report = import_hftbacktest([save(tmp_path / "d.npz", events(*MORE))], tmp_path / "tape", symbol="BTCUSDT")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape)[:2] == [["trade_buy"], ["reset", "ask", "bid"]]
    assert report.notes["snapshots_inferred"] == 1
    assert (tape.data.flags[2:4] & codes.INFERRED != 0).all()


def test_best_quotes_and_packets_over_parts_of_a_long_file(tmp_path):
    rows = []
    for i in range(130_000):  # more than one part of 250,000 events
        rows += [
            (BOTH | npz.BEST | BID, i, i + 5, 100.0 - i % 2, 1),
            (BOTH | npz.BEST | ASK, i, i + 5, 101.0, 1 + i % 3),
        ]
    np.save(tmp_path / "d.npy", events(*rows))
    report = import_hftbacktest([tmp_path / "d.npy"], tmp_path / "tape", symbol="BTCUSDT")
    assert report.packets == 130_000 and report.detail == "best bid/ask"
    assert {tuple(p) for p in packets(Tape.open(tmp_path / "tape"))[1:]} == {("best_bid", "best_ask")}


def test_foreign_and_damaged_files_are_refused(tmp_path):
    good = save(tmp_path / "good.npz", events(*START, *MORE * 300))
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-100])
    count = len(START) + 300 * len(MORE)
    (tmp_path / "packed.npz").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    np.savez(tmp_path / "stored.npz", data=events(*START, *MORE * 300))
    content = (tmp_path / "stored.npz").read_bytes()
    where = content.index(b"\n", content.index(b"\x93NUMPY")) + 1  # the events begin behind a line
    (tmp_path / "half.npz").write_bytes(content[: where + 64 * 300 + 20])
    (tmp_path / "bad.npz").write_bytes(content[: where + 6400] + b"\xff" + content[where + 6401 :])
    np.save(tmp_path / "whole.npy", events(*START, *MORE))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-100])
    (tmp_path / "text.npz").write_text("no numpy")
    np.savez(tmp_path / "named.npz", other=events(*START))
    save(tmp_path / "old.npz", np.zeros((3, 6)))
    save(tmp_path / "orders.npz", events((BOTH | 10 | BID, 1, 2, 100.0, 1)))
    save(tmp_path / "sideless.npz", events((BOTH | npz.DEPTH, 1, 2, 100.0, 1)))
    save(tmp_path / "price.npz", events(*START, (BOTH | npz.TRADE | BID, 11, 16, np.nan, 1)))
    save(tmp_path / "huge.npz", events(*START, (BOTH | npz.TRADE | BID, 11, 16, 1e300, 1)))
    save(tmp_path / "late.npz", events(*START, (BOTH | npz.TRADE | BID, 4_000_000_000_000, 16, 1.0, 1)))
    save(tmp_path / "unknown.npz", events(*START, (BOTH | 7, 11, 16, 1.0, 1)))
    save(tmp_path / "falls.npz", events(*START, (BOTH | npz.DEPTH | BID, -9_000, -8_000, 100.0, 1)))
    save(tmp_path / "raw.npz", events((npz.DEPTH | BID, 1, 2, 100.0, 1)))
    for name, match in (
        ("cut.npz", r"cut\.npz, array data, after row 2\d{3}: the file is cut off \(File is not a zip file\)"),
        ("half.npz", r"half\.npz, array data, after row 300: the file is cut off .*; write or fetch it again"),
        ("packed.npz", r"packed\.npz, array data, after row [1-9]\d+: the file is cut off"),
        ("bad.npz", rf"bad\.npz, array data, in row {count} or before it: the file is damaged \(Bad CRC-32"),
        (
            "cut.npy",
            rf"cut\.npy, after row {len(START) + len(MORE) - 2}: the file is cut off \(2 of \d+ events are miss",
        ),
        ("text.npz", "no numpy array"),
        ("named.npz", "an array named data, holds other.npy"),
        ("old.npz", r"hftbacktest 1\.x"),
        ("orders.npz", "row 1: market by order"),
        ("sideless.npz", "row 1: a depth event needs one side"),
        ("price.npz", "row 6: price must be > 0"),
        ("huge.npz", r"row 6: price must be > 0, quantity >= 0 and both under 1e15, was 1e\+300"),
        ("late.npz", "row 6: exch_ts must be a time between 2009 and 2100 in ns, was 5700000000000000000"),
        ("unknown.npz", r"row 6: the kind of event must be 1 to 5 or 10 to 13 .* or from 100 on .*, was 7"),
        ("falls.npz", "row 6: time falls"),
        ("raw.npz", "no event for the exchange"),
    ):
        with pytest.raises(DataError, match=match):
            import_hftbacktest([tmp_path / name], tmp_path / "tape", symbol="BTCUSDT")
    with pytest.raises(UsageError, match="give one"):
        import_hftbacktest([good], tmp_path / "tape", symbol="")
    assert not (tmp_path / "tape").exists() and not list(tmp_path.glob(".tape*"))


ASK_PEER = """
import json, sys
from hftbacktest import types as t
names = dict(DEPTH="DEPTH_EVENT", TRADE="TRADE_EVENT", CLEAR="DEPTH_CLEAR_EVENT", DEPTH_SNAPSHOT="DEPTH_SNAPSHOT_EVENT",
             BEST="DEPTH_BBO_EVENT", EXCH="EXCH_EVENT", LOCAL="LOCAL_EVENT", BUY="BUY_EVENT", SELL="SELL_EVENT")
found = {ours: getattr(t, theirs) for ours, theirs in names.items()}
found["dtype"] = [(name, t.event_dtype[name].str, t.event_dtype.fields[name][1]) for name in t.event_dtype.names]
found["orders"] = [t.ADD_ORDER_EVENT, t.CANCEL_ORDER_EVENT, t.MODIFY_ORDER_EVENT, t.FILL_EVENT]
from hftbacktest.data.utils import binancefutures, tardis
tardis.convert(sys.argv[3:], output_filename=sys.argv[1])
binancefutures.convert(sys.argv[2], output_filename=sys.argv[2] + ".npz")
print(json.dumps(found))
"""


def futures_capture(path: Path) -> Path:
    """A raw capture of a linear future: snapshot, depth by ``pu`` and trades."""
    dice, previous, lines = random.Random(3), 1_000, []
    levels = [
        [[f"{price + step * i / 10:.1f}", "1.000"] for i in range(50)] for price, step in ((6e4, -1), (60000.1, 1))
    ]
    lines.append((-10, {"lastUpdateId": previous, "E": T0 - 20, "T": T0 - 25, "bids": levels[0], "asks": levels[1]}))
    for k in range(300):
        first = previous + dice.randint(1, 5)
        ids = {"U": first, "u": first + dice.randint(0, 9), "pu": previous}
        bids = [[f"{60000 - dice.randint(0, 80) / 10:.1f}", f"{dice.randint(0, 3)}.{k:03d}"] for _ in range(3)]
        asks = [[f"{60000.1 + dice.randint(0, 80) / 10:.1f}", f"{dice.randint(0, 3)}.000"] for _ in range(2)]
        head = {"E": T0 + 20 * k + 2, "s": "BTCUSDT"}
        print_ = {"e": "trade", **head, "T": T0 + 20 * k - 1, "t": k + 1, "p": "60000.1", "q": "0.010", "X": "MARKET"}
        lines.append((20 * k + 3, {"stream": "t", "data": {**print_, "m": k % 2 == 0}}))
        depth = {"e": "depthUpdate", **head, "T": T0 + 20 * k, **ids, "b": bids, "a": asks}
        lines.append((20 * k + 8, {"stream": "d", "data": depth}))
        previous = ids["u"]
    return gz(path, "".join(f"{(T0 + ms) * MS} {json.dumps(message)}\n" for ms, message in lines))


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="hftbacktest is not installed beside the project")
def test_numbers_and_converted_files_are_those_of_hftbacktest_itself(tmp_path):
    head = "exchange,symbol,timestamp,local_timestamp"
    book = f"{head},is_snapshot,side,price,amount\n"
    for side, price in (("bid", 100.0), ("bid", 99.5), ("ask", 101.0)):
        book += f"binance-futures,BTCUSDT,{T0 * 1000},{T0 * 1000 + 3},true,{side},{price},2\n"
    prints = f"{head},id,side,price,amount\n"
    for i in range(1, 200):
        us = (T0 + i) * 1000
        book += f"binance-futures,BTCUSDT,{us},{us + 3_000},false,bid,{100 - i % 5 / 2},{i % 3}\n"
        prints += f"binance-futures,BTCUSDT,{us},{us + 2_000},{i},sell,100,0.5\n"
    files = [gz(tmp_path / "trades.csv.gz", prints), gz(tmp_path / "incremental_book_L2.csv.gz", book)]
    raw = futures_capture(tmp_path / "capture.gz")
    words = [str(PEERS), "-c", ASK_PEER, str(tmp_path / "made.npz"), str(raw), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert {name: getattr(npz, name) for name in theirs if name.isupper()} == {
        name: value for name, value in theirs.items() if name.isupper()
    }
    aligned = np.dtype(EVENT.descr, align=True)
    assert [(n, aligned[n].str, aligned.fields[n][1]) for n in aligned.names] == [tuple(row) for row in theirs["dtype"]]
    assert theirs["orders"] == list(npz.ORDER_EVENTS)
    import_hftbacktest([tmp_path / "made.npz"], tmp_path / "theirs", symbol="BTCUSDT")
    import_tardis(files, tmp_path / "ours")
    import_hftbacktest([f"{raw}.npz"], tmp_path / "their_capture", symbol="BTCUSDT", lot_size="0.001")
    import_binance_raw([raw], tmp_path / "our_capture", lot_size="0.001")
    for one, other in (("ours", "theirs"), ("our_capture", "their_capture")):
        mine, made = Tape.open(tmp_path / one).data, Tape.open(tmp_path / other).data
        assert len(mine.ts) > 400
        for name, a, b in zip(mine._fields, mine, made, strict=True):
            assert np.array_equal(a, b), f"{name} of {one} and {other}"
