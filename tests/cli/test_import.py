"""``tidewright data import`` on the command line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tidewright.cli.importing import Format
from tidewright.cli.main import main
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
