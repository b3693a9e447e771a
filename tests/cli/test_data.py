"""``tidewright data`` on the command line."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tidewright.cli.main import main
from tidewright.market.tape import Tape


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*words: str | Path) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["data", *map(str, words)])
        shown = capsys.readouterr()
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    return call


def test_synth_show_and_check_answer_with_one_line_of_json(run, tmp_path):
    made = run("synth", "--out", tmp_path / "t", "--hours", "0.2", "--seed", "3", "--json")
    shown = run("show", tmp_path / "t", "--json")
    checked = run("check", tmp_path / "t", "--json")
    rows = len(Tape.open(tmp_path / "t"))
    for done in (made, shown, checked):
        assert done.code == 0 and done.stdout.count("\n") == 1
    assert json.loads(made.stdout)["rows"] == json.loads(shown.stdout)["rows"] == rows
    assert json.loads(checked.stdout)["usable"] is True


def test_people_get_a_table(run, tmp_path):
    run("synth", "--out", tmp_path / "t", "--hours", "0.1")
    shown, checked = run("show", tmp_path / "t"), run("check", tmp_path / "t")
    assert "BTCUSDT" in shown.stdout and "median" in shown.stdout
    assert checked.stdout.rstrip().endswith("usable") and checked.code == 0


def test_unusable_tape_exits_2(run, tmp_path):
    assert run("synth", "--out", tmp_path / "t", "--hours", "0.01").code == 0
    with open(tmp_path / "t" / "ts", "r+b") as file:
        file.seek(-8, 2)
        file.write((1).to_bytes(8, "little"))
    done = run("check", tmp_path / "t", "--json")
    assert done.code == 2 and "falls" in json.loads(done.stdout)["problems"][0]


def test_user_mistakes_get_an_exit_code_and_no_traceback(run, tmp_path):
    (tmp_path / "cut").write_text('1721749183854663 {"stream":"btcusdt@trade","data":{"e":"tra')
    to_tape = ("--out", tmp_path / "t")
    cases = [
        (2, "line 1", ("import", "--format", "binance-raw", *to_tape, tmp_path / "cut")),
        (6, "no input file", ("import", "--format", "binance-raw", *to_tape, tmp_path / "none")),
        (
            2,
            "no parquet or feather file",
            ("import", "--format", "book-snapshots", *to_tape, "--symbol", "A-B", tmp_path / "cut"),
        ),
        (2, "format", ("import", "--format", "tea", *to_tape, tmp_path / "cut")),
        (2, "hours", ("synth", *to_tape, "--hours=-1")),
        (6, "no tape", ("show", tmp_path / "none")),
        (2, "duration", ("check", tmp_path / "none", "--silence", "soon")),
    ]
    for code, word, words in cases:
        done = run(*words)
        assert (done.code, word in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
        assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]
