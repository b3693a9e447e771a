"""``tidewright exchange`` as a process of its own."""

import json
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.venues.paper.markets import INSTRUMENT, make_tape
from tidewright.cli.exchange import parse_balances
from tidewright.cli.main import main
from tidewright.market.errors import UsageError

COMMAND = [sys.executable, "-c", "import sys; from tidewright.cli.main import main; main(sys.argv[1:])", "exchange"]


def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """A process and its ready line."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and words of a call that goes wrong."""
    with pytest.raises(SystemExit) as caught:
        main(["exchange", *arguments])
    out, words = capsys.readouterr()
    assert out == ""
    return int(caught.value.code or 0), " ".join(words.split())


def test_it_keeps_its_state_outlives_a_kill_and_ends_cleanly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tape(tmp_path / "tape", seconds=5)
    state = tmp_path / "state.json"
    arguments = ["--tape", str(tmp_path / "tape"), "--state", str(state), "--balance", "BTC=2", "--balance", "usdt=10"]
    killed, first = start(*arguments)
    killed.kill()
    killed.communicate()
    assert json.loads(state.read_text()) == first | {"pid": killed.pid}
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    process, ready = start(*arguments)
    try:
        assert set(ready) == {"rest", "ws", "control", "api_key", "api_secret", "symbols"}
        assert (ready["api_key"], ready["api_secret"]) == (first["api_key"], first["api_secret"])
        with urllib.request.urlopen(f"{ready['rest']}/api/v3/ping") as answer:
            assert answer.read() == b"{}"
        port = ready["rest"].rsplit(":", 1)[1]
        code, words = fails(capsys, "--tape", str(tmp_path / "tape"), "--port", port)
        assert (code, f"port {port} on 127.0.0.1 is in use" in words) == (2, True)
        code, words = fails(capsys, *arguments)
        assert (code, "running already" in words) == (2, True)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=30)
        assert process.returncode == 0
        assert not state.exists()
        assert ready["api_key"] not in words and ready["api_secret"] not in words
    finally:
        process.kill()
        process.communicate()


def test_wrong_calls_are_clear_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "--synthetic", "--tape", "t")[0] == 2
    code, words = fails(capsys, "--tape", str(tmp_path / "none"))
    assert (code, "no tape at" in words) == (6, True)
    code, words = fails(capsys, "--synthetic", "--pace", "99x")
    assert (code, "the pace must be lockstep or 1x to 60x" in words) == (2, True)


def test_a_balance_of_an_asset_that_nothing_trades_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tape(tmp_path / "tape", seconds=5)
    code, words = fails(capsys, "--tape", str(tmp_path / "tape"), "--balance", "BTC=1", "--balance", "foo=1")
    assert (code, "traded here (BTC or USDT of BTCUSDT), was FOO" in words) == (2, True)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["BTC"], "ASSET=AMOUNT"),
        (["=1"], "ASSET=AMOUNT"),
        (["BTC=x"], "must be a decimal number"),
        (["BTC=-1"], "must be >= 0"),
        (["BTC=1", "btc=2"], "given twice"),
        (["BTC=0.123456789"], "at most 8 decimals"),
    ],
)
def test_wrong_balances(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_balances(texts, INSTRUMENT)


def test_balances_have_a_default_of_both_assets() -> None:
    assert parse_balances(["btc=1", "USDT=2"], INSTRUMENT) == {"BTC": "1", "USDT": "2"}
    assert set(parse_balances([], INSTRUMENT)) == {"BTC", "USDT"}
