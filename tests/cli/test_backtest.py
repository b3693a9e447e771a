"""``tidewright backtest``: its answer, its files, and how it refuses."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from tests.engine.futures import future
from tidewright.cli.backtest import SHOWN
from tidewright.cli.figures_table import figures_table
from tidewright.cli.main import main
from tidewright.engine.config import QUEUES
from tidewright.market.importers.generic_table import import_table
from tidewright.market.synthetic import synthesize
from tidewright.market.tape_writer import TapeWriter
from tidewright.measure.definitions import DEFINITIONS


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backtest") / "tape"
    synthesize(path, hours=0.25, seed=7, rate=4.0)
    return path


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    try:
        main(["backtest", *map(str, words)])
        code: object = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    out, err = capsys.readouterr()
    assert isinstance(code, int)
    return code, out, err


def test_the_command_answers_with_json_last_and_writes_fills_and_equity(tape: Path, tmp_path: Path) -> None:
    fills, equity = tmp_path / "fills.parquet", tmp_path / "equity.parquet"
    words = [sys.executable, "-m", "tidewright", "backtest", "--tape", str(tape), "--strategy", "grid", "--json"]
    words += ["--set", "spread_percentage=0.01", "--set", "levels=2", "--cycle", "10s", "--latency", "50ms"]
    words += ["--maker-fee", "0.0002", "--taker-fee", "0.0004", "--queue", "prob", "--base-inventory", "0.5"]
    words += ["--fills", str(fills), "--equity", str(equity)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer["metrics"]) == set(DEFINITIONS)
    assert answer["metrics"]["fills"] > 0
    assert answer["params"] == {"spread_percentage": 0.01, "levels": 2, "base_quantity": 0.001, "max_position": 0.01}
    assert answer["assumptions"]["maker_fee"] == 0.0002
    assert answer["assumptions"]["queue"] == "prob (power 3)"
    assert sum(answer["shares"].values()) == pytest.approx(1.0)
    table, curve = pl.read_parquet(fills), pl.read_parquet(equity)
    assert len(table) == answer["metrics"]["fills"]
    assert curve.columns == ["ts", "equity"]
    assert curve["equity"][-1] == answer["metrics"]["equity_end"]
    assert len(curve) == answer["statistics"]["n_samples"]
    assert "assumed: fees 0.0200% maker" in " ".join(done.stderr.split())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["equity.parquet", "fills.parquet"]


def test_funding_of_a_future_is_told(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TapeWriter(tmp_path / "future", future().instrument) as writer:
        writer.append(future().data)
    code, out, err = call(capsys, "--tape", tmp_path / "future", "--set", "spread_percentage=0.01", "--json")
    assert code == 0
    told = " ".join(err.split())
    assert "Funding" in told and "funding: charged 4 times, for the position held at that instant, at the last" in told
    answer = json.loads(out.splitlines()[-1])
    assert answer["metrics"]["funding"] == answer["statistics"]["funding"] != 0
    _, _, err = call(capsys, "--tape", tape, "--set", "spread_percentage=0.01", "--json")
    told = " ".join(err.split())
    assert "Funding" not in told and "funding: none (spot)" in told


def test_values_with_commas_are_lanes(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fills = tmp_path / "fills.parquet"
    spreads = ["--set", "spread_percentage=0.01,0.02,0.04"]
    code, out, _ = call(capsys, "--tape", tape, *spreads, "--cycle", "10s", "--fills", fills, "--json")
    assert code == 0
    answer = json.loads(out.splitlines()[-1])
    assert answer["lanes"] == 3
    assert all(len(values) == 3 for values in answer["metrics"].values())
    counts = pl.read_parquet(fills).group_by("lane").len().sort("lane")["len"].to_list()
    assert counts == answer["metrics"]["fills"]


def test_figures_are_whole_in_a_narrow_window() -> None:
    table = figures_table("grid on BTCUSDT", ["spread_percentage", *SHOWN])
    table.add_row("0.01", "-78.098%", "-1,300.17", "-1,071.22", "78.098%", "-6.21", "0.000%", "1,970", "16,733,011")
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table)
    told = console.export_text()
    assert "…" not in told
    assert all(word in told for word in ("-78.098%", "-1,300.17", "78.098%", "1,970", "drawdown"))


@pytest.mark.parametrize(
    ("quantities", "told"),
    [
        (
            "0.000001,0.001",
            "1 of 2 lanes quoted nothing: base_quantity must be at least one lot, 0.00001 BTC, was 1e-06, so the "
            "strategy was not called; base_quantity 0.00009 is enough",
        ),
        (
            "0.00005",
            "the lane had 100% of the orders rejected: an order must be worth at least 5 USDT (200 of 200 looked at); "
            "base_quantity 0.00009 is enough",
        ),
        ("0.001", ""),
    ],
)
def test_lanes_that_do_not_trade_say_why(
    tape: Path, capsys: pytest.CaptureFixture[str], quantities: str, told: str
) -> None:
    code, out, err = call(capsys, "--tape", tape, "--set", f"base_quantity={quantities}", "--cycle", "10s", "--json")
    assert code == 0
    assert told in " ".join(err.split()) and ("note:" in err) == bool(told)
    answer = json.loads(out)
    assert answer["notes"] == ([told] if told else [])
    assert answer["least_quantity"] == "0.00009"
    refused = {"lane": 0, "looked_at": 200, "reasons": {"worth": 200}}
    assert answer["rejected"] == (refused if "rejected" in told else None)


@pytest.fixture(scope="module")
def dear(tape: Path) -> Path:
    """The same market where an order must be worth 500 quote units."""
    folder = tape.with_name("dear")
    shutil.copytree(tape, folder)
    meta = json.loads((folder / "meta.json").read_text())
    meta["instrument"]["filters"]["min_notional"] = 500 * 10**8
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_a_default_size_that_would_be_refused_is_raised_and_said(
    dear: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "--tape", dear, "--cycle", "10s", "--json")
    answer = json.loads(out)
    assert (code, answer["statistics"]["n_rejects"]) == (0, 0) and answer["statistics"]["n_orders"] > 0
    quantity, most = (answer["params"][name] for name in ("base_quantity", "max_position"))
    assert quantity * 60_000 > 500 and most == pytest.approx(8 * quantity)
    assert answer["notes"] == [answer["assumptions"]["sizes"]] and "min_notional" in answer["notes"][0]
    assert "note: base_quantity" in err
    stated = json.loads(call(capsys, "--tape", dear, "--set", "base_quantity=0.001", "--json")[1])
    assert stated["params"]["base_quantity"] == 0.001 and stated["statistics"]["n_rejects"] > 0


def test_a_tape_without_a_book_is_said_to_be_the_reason(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prints.csv").write_text(
        "time,px,size,side\n"
        + "".join(f"{1_750_000_000_000 + 1000 * k},{100 + k % 3},0.00{k % 9 + 1},buy\n" for k in range(300))
    )
    words = {"symbol": "BTC-USD", "columns": {"ts": "time", "price": "px", "qty": "size", "side": "side"}}
    import_table([tmp_path / "prints.csv"], tmp_path / "prints", **words)
    _, _, err = call(capsys, "--tape", tmp_path / "prints")
    told = " ".join(err.split())
    assert "the book was never whole, so nothing was decided; trades and bars need assumed quotes" in told
    assert "1 window, 1 lane, no warm-up" in told


def test_the_least_quantity_that_is_told_is_accepted_and_one_lot_less_is_not(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(call(capsys, "--tape", tape, "--set", "base_quantity=0.00008,0.00009", "--json")[1])
    assert answer["statistics"]["n_rejects"][0] == answer["statistics"]["n_orders"][0] > 0
    assert answer["statistics"]["n_rejects"][1] == 0


def test_orders_that_would_take_are_told_as_such(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
import tidewright as tw
@tw.strategy(parameters=[tw.BASE_QUANTITY])
def crosses(view, params, quotes):
    quotes.bid_price[0] = view.best_ask + 10
    quotes.bid_qty[0] = 100
    return 1, 0
"""
    (tmp_path / "mine.py").write_text(text)
    code, out, err = call(capsys, "--tape", tape, "--strategy", tmp_path / "mine.py", "--cycle", "10s", "--json")
    assert code == 0
    assert json.loads(out)["rejected"]["reasons"].keys() == {"would_take"}
    assert "post-only, they would have traded at once on arrival" in err and "is enough" not in err


def test_queue_power_and_feed_latency_reach_the_engine(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in tape.iterdir():
        (bare / file.name).write_bytes(bytes(file.stat().st_size) if file.name == "ts_local" else file.read_bytes())
    words = ["--tape", bare, "--set", "spread_percentage=0.01", "--cycle", "10s", "--json"]
    found = []
    for power, feed in (("1", "0ms"), ("4", "5s")):
        code, out, err = call(capsys, *words, "--queue", "prob", "--queue-power", power, "--feed", feed)
        assert code == 0
        answer = json.loads(out)
        assert answer["assumptions"]["queue"] == f"prob (power {power})"
        assert answer["assumptions"]["feed_latency_ms"] == float(feed.rstrip("ms")) * (1000 if feed == "5s" else 1)
        assert ("rows without a receipt known 5000 ms late" in " ".join(err.split())) == (feed == "5s")
        found.append(answer["metrics"]["fills"])
    assert found[0] != found[1] > 0
    code, _, err = call(capsys, *words, "--queue-power", "2")
    assert code == 2 and "--queue-power is the exponent of --queue prob; risk_averse has none" in err


@pytest.mark.parametrize("command", ["backtest", "optimize", "compare", "exchange", "train", "evolve"])
def test_help_names_every_queue_model(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    assert all(re.search(rf"\b{name}\b", told) for name in QUEUES)


def test_a_users_own_strategy_is_named_by_its_file(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[2] / "examples" / "imbalance_maker.py"
    words = ["--strategy", example, "--set", "lean=0,2", "--set", "spread_percentage=0.01", "--cycle", "10s", "--json"]
    code, out, err = call(capsys, "--tape", tape, *words)
    assert code == 0
    assert "imbalance_maker.py:imbalance_maker on BTCUSDT" in err
    answer = json.loads(out.splitlines()[-1])
    assert answer["strategy"] == f"{example}:imbalance_maker"
    assert answer["params"]["lean"] == [0.0, 2.0]
    code, _, err = call(capsys, "--tape", tape, *words[:2], "--set", "lien=1")
    assert code == 2
    assert "did you mean 'lean'" in " ".join(err.split())


def test_without_json_stdout_is_empty(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--tape", tape, "--strategy", "avellaneda_stoikov")
    assert (code, out) == (0, "")
    assert "avellaneda_stoikov on BTCUSDT" in err


MISTAKES = {
    "unknown strategy": (["--strategy", "gird"], "unknown strategy 'gird'; did you mean 'grid'?"),
    "unknown parameter": (["--set", "spread=1"], "strategy 'grid' has no parameter 'spread'"),
    "negative spread": (["--set", "spread_percentage=-0.2"], "spread_percentage must be in"),
    "no value": (["--set", "levels"], "--set takes name=value, was 'levels'"),
    "no number": (["--set", "levels=many"], "--set levels must be a number"),
    "unknown queue": (["--queue", "fifo"], "unknown queue model 'fifo'"),
    "negative latency": (["--latency=-1ms"], "a duration must be >= 0 and finite, was '-1ms'"),
    "a fee in words": (["--maker-fee", "low"], "from -1 to 1 (0.001 is 0.1 %), was 'low'"),
    "negative capital": (["--capital=-5"], "capital must be >= 0, was -5"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_and_leaves_no_file(
    mistake: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = MISTAKES[mistake]
    files = ["--fills", tmp_path / "fills.parquet", "--equity", tmp_path / "equity.parquet"]
    code, out, err = call(capsys, "--tape", tape, *words, *files, "--json")
    assert code == 2
    assert out == ""
    told = [line for line in err.splitlines() if line.strip()]
    assert len(told) == 1 and told[0].startswith("error: ") and message in told[0]
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_leaves_the_process_without_a_traceback(tape: Path) -> None:
    words = [sys.executable, "-m", "tidewright", "backtest", "--tape", str(tape), "--set", "spread_percentage=-1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().startswith("error: parameter spread_percentage must be in")
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_tape_exits_6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--tape", tmp_path / "nowhere", "--fills", tmp_path / "fills.parquet", "--json")
    assert (code, out) == (6, "")
    assert err.startswith("error: no tape at") and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "qty").unlink(), "lacks the column file 'qty'"),
        (lambda folder: (folder / "ts").write_bytes(b"12345678"), "tape column"),
        (lambda folder: (folder / "meta.json").write_text("{"), "meta.json is damaged"),
    ],
    ids=["missing column", "short column", "damaged meta"],
)
def test_a_damaged_tape_exits_2(
    damage: object, message: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tape"
    folder.mkdir()
    for file in tape.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert callable(damage)
    damage(folder)
    code, out, err = call(capsys, "--tape", folder, "--equity", tmp_path / "equity.parquet", "--json")
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["tape"]


@pytest.mark.parametrize("option", ["--fills", "--equity"])
def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left(
    option: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = call(capsys, "--tape", tape, option, tmp_path / "file" / "x.parquet")
    assert code == 2
    assert "cannot write" in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_tape_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "--strategy", "grid")
    assert code == 2
    assert "--tape" in err


@pytest.fixture(scope="module")
def pair(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two venues of one instrument."""
    other = tmp_path_factory.mktemp("pair") / "tape"
    synthesize(other, hours=0.25, seed=8, rate=4.0)
    meta = json.loads((other / "meta.json").read_text())
    meta["instrument"] |= {"venue": "elsewhere", "maker_fee": 10_000}
    (other / "meta.json").write_text(json.dumps(meta))
    return [tape, other]


def test_several_tapes_are_one_portfolio(pair: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fills, equity = tmp_path / "fills.parquet", tmp_path / "equity.parquet"
    words = ["--tape", pair[0], "--tape", pair[1], "--set", "spread_percentage=0.01", "--cycle", "10s", "--json"]
    words += ["--set", "elsewhere:BTCUSDT:base_quantity=0.002", "--set", "base_quantity=0.001"]
    code, out, err = call(capsys, *words, "--fills", fills, "--equity", equity)
    assert code == 0, err
    answer = json.loads(out.splitlines()[-1])
    names = ["binance:BTCUSDT", "elsewhere:BTCUSDT"]
    assert list(answer["instruments"]) == names
    assert [answer["instruments"][name]["params"]["base_quantity"] for name in names] == [0.001, 0.002]
    assert answer["metrics"]["fills"] == sum(each["metrics"]["fills"] for each in answer["instruments"].values()) > 0
    table = pl.read_parquet(fills)
    assert set(table["instrument"]) == set(names) and len(table) == answer["metrics"]["fills"]
    assert pl.read_parquet(equity)["equity"][-1] == answer["metrics"]["equity_end"]
    assert list(answer["holdings"]["net_base"]) == ["BTC"]
    assert "portfolio" in err and "net of base assets" in err
    assert pl.read_parquet_metadata(fills)["tidewright.elsewhere:BTCUSDT.detail_level"] == "L2+trades"


def test_a_parameter_of_an_unknown_instrument_is_refused(pair: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "--tape", pair[0], "--tape", pair[1], "--set", "XRP:levels=2")
    assert code == 2 and "no instrument 'XRP'" in err


def test_files_and_table_name_the_detail_of_the_tape(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse, fills = tmp_path / "coarse", tmp_path / "fills.parquet"
    main_words = ["data", "reduce", str(tape), "--detail", "bars:1m", "--out", str(coarse), "--json"]
    with pytest.raises(SystemExit) as left:
        main(main_words)
    assert not left.value.code
    assert json.loads(capsys.readouterr().out)["detail"] == "bars 1m (inferred prints, assumed quotes)"
    code, out, err = call(capsys, "--tape", coarse, "--cycle", "10s", "--fills", fills, "--json")
    assert code == 0
    told = json.loads(out.splitlines()[-1])["assumptions"]["tape"]
    assert told["detail_level"] == "bars" and "four inferred prints a bar" in told["detail_fills"]
    assert "detail: bars (bars 1m" in " ".join(err.split())
    assert pl.read_parquet_metadata(fills)["tidewright.detail_level"] == "bars"


@pytest.mark.parametrize("limits", [(), ("--limit", "max_position_share=0.5")])
def test_instruments_of_a_portfolio_say_why_their_orders_were_refused(
    dear: Path, pair: list[Path], limits: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where limits make the instruments decide together."""
    words = ["--tape", dear, "--tape", pair[1], "--set", "base_quantity=0.001", "--cycle", "10s", "--json", *limits]
    code, out, err = call(capsys, *words)
    answer = json.loads(out)["instruments"]
    assert code == 0 and answer["elsewhere:BTCUSDT"]["rejected"] is None
    rejected, told = answer["binance:BTCUSDT"]["rejected"], answer["binance:BTCUSDT"]["notes"][0]
    assert set(rejected["reasons"]) == {"worth"} and rejected["looked_at"] > 50
    assert "an order must be worth at least 500 USDT" in told and "base_quantity 0.008" in told
    assert "note: binance:BTCUSDT:" in err


def test_a_policy_says_why_its_orders_were_refused_and_which_capital_is_enough(
    dear: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tape", dear, "--policy", "shipped", "--json"]
    answer = json.loads(call(capsys, *words, "--capital", "10000")[1])
    assert answer["rejected"]["reasons"].keys() == {"worth"}
    told = re.search(r"a capital of (\d+) USDT is enough", answer["notes"][0])
    assert told is not None
    answer = json.loads(call(capsys, *words, "--capital", told[1])[1])
    assert (answer["statistics"]["n_rejects"], answer["rejected"], answer["notes"]) == (0, None, [])
