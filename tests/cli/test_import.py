"""``tidewright data import`` on the command line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.market.exchange_infos import answer, coin_m, spot, usd_m
from tests.market.importers.test_binance_survey import SPOT
from tests.market.test_book_snapshots import book_file
from tidewright.cli.importing import Format
from tidewright.cli.main import main
from tidewright.market.importers.hftbacktest_npz import BUY, EVENT, EXCH, TRADE
from tidewright.market.reduce import reduce_tape
from tidewright.market.tape import Tape

T0 = 1_700_000_000_000  # ms


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*words: str | Path) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["data", "import", *map(str, words)])
        shown = capsys.readouterr()
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    return call


@pytest.fixture
def trades(tmp_path) -> Path:
    rows = "".join(f"{i},{100 + i % 3},1.5,150,{T0 + 1000 * i},{i % 2 == 0},True\n" for i in range(60))
    path = tmp_path / "BTCUSDT-trades-2023-11-14.csv.gz"
    path.write_bytes(gzip.compress(rows.encode()))
    return path


def test_answer_says_what_was_found(run, trades, tmp_path):
    done = run("--format", "binance-dumps", "--out", tmp_path / "t", trades, "--json")
    assert done.code == 0 and done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert (answer["trades"], answer["detail"], answer["check"]["usable"]) == (60, "trades", True)
    assert "no snapshot: the book never begins" in answer["check"]["findings"]
    people = run("--format", "binance-dumps", "--out", tmp_path / "u", trades, "--quotes", "2")
    assert "Imported BTCUSDT" in people.stdout and "finding: " in people.stdout
    assert Tape.open(tmp_path / "u").meta["detail"] == "trades (assumed quotes)"


def test_table_by_column_map(run, tmp_path):
    (tmp_path / "a.csv").write_text(f"when,px,n,m\n{T0},10,1,true\n{T0 - 5000},11,2,false\n")
    columns = ("--columns", "ts=when,price=px,qty=n,buyer_maker=m")
    words = ("--format", "table", "--symbol", "BTC-USD", "--venue", "mine", *columns, tmp_path / "a.csv")
    refused = run(*words, "--out", tmp_path / "t")
    assert refused.code == 2 and "line 3: time falls" in refused.stderr and not (tmp_path / "t").exists()
    assert run(*words, "--out", tmp_path / "t", "--sort", "--kind", "linear", "--tick", "0.5").code == 0
    instrument = Tape.open(tmp_path / "t").instrument
    assert (instrument.venue, instrument.kind, instrument.tick_size) == ("mine", "linear", "0.5")


def test_options_that_do_not_fit_are_refused(run, trades, tmp_path):
    to_tape = ("--out", tmp_path / "t", trades)
    cases = [
        (2, "the format binance-dumps has no use for --hole", ("--format", "binance-dumps", "--hole", "1s", *to_tape)),
        (2, "the format table needs --symbol and --columns", ("--format", "table", *to_tape)),
        (2, "the format hftbacktest needs --symbol", ("--format", "hftbacktest", *to_tape)),
        (2, "line 1: no header of Tardis", ("--format", "tardis", *to_tape)),
        (2, "one of spot, linear, inverse", ("--format", "binance-dumps", "--kind", "swap", *to_tape)),
        (6, "no input file", ("--format", "tardis", "--out", tmp_path / "t", tmp_path / "none")),
        (2, "columns can be named", ("--format", "table", "--symbol", "X-USD", "--columns", "x=y", *to_tape)),
    ]
    for code, word, words in cases:
        done = run(*words)
        assert (done.code, word in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
        assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [trades.name]


def test_place_that_cannot_be_written_to_is_an_error(run, trades, tmp_path):
    done = run("--format", "binance-dumps", "--out", trades / "t", trades)
    assert done.code == 1 and "Not a directory" in done.stderr and "Traceback" not in done.stderr


def test_existing_tape_is_left_alone(run, trades, tmp_path):
    (tmp_path / "t").mkdir()
    done = run("--format", "binance-dumps", "--out", tmp_path / "t", trades)
    assert done.code == 2 and "already exists" in done.stderr and not list((tmp_path / "t").iterdir())


@pytest.mark.parametrize("format_", Format)
def test_every_format_refuses_a_text_file_without_a_traceback(run, tmp_path, format_):
    (tmp_path / "letter.txt").write_text("Dear reader,\nthis is no market data.\n")
    more = ("--columns", "ts=t,price=p,qty=q") if format_ is Format.TABLE else ()
    done = run("--format", format_, "--symbol", "BTC-USD", *more, "--out", tmp_path / "t", tmp_path / "letter.txt")
    assert done.code == 2 and "letter.txt" in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_help_needs_no_data_libraries():
    code = "import sys; import tidewright.cli.data; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what a venue states of its instruments ---------------------------------------------------------------------------


def information(folder: Path, *symbols: dict) -> Path:
    path = folder / "info.json"
    path.write_text(json.dumps(answer(*symbols)))
    return path


def raw(folder: Path) -> Path:
    lines = [f"{(T0 + i) * 1_000_000} {json.dumps(message)}\n" for i, message in enumerate(SPOT)]
    (folder / "a.dat").write_text("".join(lines))
    return folder / "a.dat"


def dumps(folder: Path) -> Path:
    (folder / "BTCUSDT-trades-1.csv").write_text(f"1,100.50,1.5,150,{T0},True,True\n")
    return folder / "BTCUSDT-trades-1.csv"


def klines(folder: Path) -> Path:
    bars = "".join(f"{T0 + 60_000 * i},1.5,2,1,1.5,8,{T0 + 60_000 * i + 59_999},1,1,1,1,0\n" for i in range(3))
    (folder / "BTCUSDT-1m-1.csv").write_text(bars)
    return folder / "BTCUSDT-1m-1.csv"


def tardis(folder: Path) -> Path:
    head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    (folder / "trades.csv").write_text(f"{head}binance,BTCUSDT,{T0 * 1000},{T0 * 1000 + 9},1,buy,100.5,1\n")
    return folder / "trades.csv"


def hftbacktest(folder: Path) -> Path:
    array = np.zeros(1, EVENT)
    array[0] = (EXCH | TRADE | BUY, T0 * 1_000_000, T0 * 1_000_000, 100.5, 1, 0, 0, 0)
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def coinbase(folder: Path) -> Path:
    (folder / "a.csv").write_text("side,price,size,time\nbuy,100.5,1,2023-11-14T22:13:20Z\n")
    return folder / "a.csv"


def freqtrade(folder: Path) -> Path:
    bars = [[T0 + 60_000 * i, 1.5, 2, 1, 1.5, 8] for i in range(3)]
    (folder / "BTC_USDT-1m.json").write_text(json.dumps(bars))
    return folder / "BTC_USDT-1m.json"


def snapshots(folder: Path) -> Path:
    return book_file(folder / "b.parquet", (0, [(100.0, 1.0)], [(101.0, 1.0)]))


def table(folder: Path) -> Path:
    (folder / "a.csv").write_text(f"t,p,q\n{T0},100.5,1\n")
    return folder / "a.csv"


NAMED = ("--symbol", "BTC-USDT")
FORMS = {
    "binance-raw": (raw, ()),
    "binance-dumps": (dumps, ()),
    "binance-dumps klines": (klines, ()),
    "tardis": (tardis, ()),
    "hftbacktest": (hftbacktest, ()),
    "coinbase-l2": (coinbase, ()),
    "freqtrade": (freqtrade, ()),
    "book-snapshots": (snapshots, NAMED),
    "table": (table, ("--columns", "ts=t,price=p,qty=q")),
}


def test_every_format_is_tried():
    assert {name.partition(" ")[0] for name in FORMS} == set(Format)


@pytest.mark.parametrize("form", FORMS)
def test_filters_are_stated_by_exchange_info_or_said_to_be_assumed(run, tmp_path, form):
    write, words = FORMS[form]
    words = ("--format", form.partition(" ")[0], *words, write(tmp_path))
    info = information(tmp_path, spot())
    stated = run(*words, "--exchange-info", info, "--out", tmp_path / "t", "--json")
    assert stated.code == 0, stated.stderr
    tape = Tape.open(tmp_path / "t")
    filters = tape.instrument.filters
    assert (tape.instrument.tick_size, tape.instrument.lot_size) == ("0.01", "0.001")
    assert (filters.min_notional, filters.max_num_orders, filters.min_price_ticks) == (750_000_000, 150, 50)
    assert tape.meta["notes"]["filters"] == f"stated by {info}" == json.loads(stated.stdout)["notes"]["filters"]
    named = NAMED if form in ("hftbacktest", "coinbase-l2", "table") else ()  # their files do not
    assumed = run(*words, *named, "--out", tmp_path / "u", "--json")
    assert assumed.code == 0, assumed.stderr
    notes = Tape.open(tmp_path / "u").meta["notes"]
    words_for_it = "assumed: minimum notional 5 USDT, at most 200 orders at once, none relative to an average price"
    assert notes["filters"] == words_for_it


def test_reduced_tape_still_tells_where_its_filters_come_from(run, tmp_path):
    info = information(tmp_path, spot())
    run("--format", "binance-raw", raw(tmp_path), "--exchange-info", info, "--out", tmp_path / "t")
    reduce_tape(Tape.open(tmp_path / "t"), "best-quotes", tmp_path / "u")
    assert Tape.open(tmp_path / "u").meta["notes"]["filters"] == f"stated by {info}"


def test_given_steps_go_before_the_stated_ones_and_the_tape_says_so(run, tmp_path):
    words = ("--format", "binance-dumps", dumps(tmp_path), "--exchange-info", information(tmp_path, spot()))
    assert run(*words, "--tick", "0.1", "--out", tmp_path / "t").code == 0
    tape = Tape.open(tmp_path / "t")
    assert (tape.instrument.tick_size, tape.instrument.filters.min_price_ticks) == ("0.1", 5)
    assert tape.meta["notes"]["tick_size"] == f"0.1, as given; {tmp_path / 'info.json'} states 0.01"
    assert "lot_size" not in tape.meta["notes"]
    assert run(*words, "--tick", "0.010", "--out", tmp_path / "u").code == 0
    assert "tick_size" not in Tape.open(tmp_path / "u").meta["notes"]


def test_kind_and_contract_size_are_stated_where_the_files_do_not_say(run, tmp_path):
    words = ("--format", "table", "--columns", "ts=t,price=p,qty=q", table(tmp_path))
    info = information(tmp_path, coin_m())
    assert run(*words, "--exchange-info", info, "--out", tmp_path / "t").code == 0
    made = Tape.open(tmp_path / "t").instrument
    assert (made.symbol, made.kind, made.contract_size, made.venue) == ("BTCUSD_PERP", "inverse", "100", "binancecoinm")
    assert (made.maker_fee, made.taker_fee) == (20_000, 50_000)


def test_information_that_does_not_fit_is_refused(run, tmp_path):
    (tmp_path / "off").mkdir()
    futures = information(tmp_path, usd_m())
    eth = information(tmp_path / "off", spot("ETHUSDT", "ETH"), spot("BTCUSDC", "BTC", "USDC"))
    of_raw, of_dumps = ("--format", "binance-raw", raw(tmp_path)), ("--format", "binance-dumps", dumps(tmp_path))
    of_table = ("--format", "table", "--columns", "ts=t,price=p,qty=q", table(tmp_path))
    (tmp_path / "btc").mkdir()
    btc = information(tmp_path / "btc", spot())
    whole = json.loads(json.dumps(spot()))
    whole["filters"][0]["tickSize"] = "1"
    (tmp_path / "whole").mkdir()
    cases = [
        (2, "states the kind linear of BTCUSDT, this is of spot", (*of_raw, "--exchange-info", futures)),
        (2, "states the kind linear of BTCUSDT, this is of spot", (*of_dumps, "--exchange-info", futures)),
        (2, "states nothing of BTCUSDT, only of 2 others", (*of_dumps, "--exchange-info", eth)),
        (2, "the format table needs --symbol", (*of_table, "--exchange-info", eth)),
        (
            2,
            "states the contract size 1 of BTCUSDT, this is of 10",
            (*of_dumps, "--exchange-info", futures, "--kind", "linear", "--contract-size", "10"),
        ),
        (2, "tick size must be a decimal number", (*of_dumps, "--exchange-info", btc, "--tick", "abc")),
        (2, "tick and lot must be > 0, were 0 and 0.001", (*of_dumps, "--exchange-info", btc, "--tick", "0")),
        (6, "no exchange information", (*of_dumps, "--exchange-info", tmp_path / "none")),
        (
            2,
            "a.dat, line 4: price must be a multiple of the tick size 1, was 100.50",
            (*of_raw, "--exchange-info", information(tmp_path / "whole", whole)),
        ),
    ]
    for code, word, words in cases:
        done = run(*words, "--out", tmp_path / "t")
        assert (done.code, word in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
        assert not (tmp_path / "t").exists()
