"""``tidewright exchange`` as a process of its own."""

import json
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.venues.paper.markets import INSTRUMENT, make_tape
from tidewright.cli.exchange import parse_balances
from tidewright.market.errors import UsageError

COMMAND = [sys.executable, "-c", "import sys; from tidewright.cli.main import main; main(sys.argv[1:])", "exchange"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fails(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.returncode, done.stderr


def test_it_tells_where_it_is_keeps_its_state_and_ends_cleanly(tmp_path: Path) -> None:
    make_tape(tmp_path / "tape", seconds=5)
    state = tmp_path / "state.json"
    arguments = ["--tape", str(tmp_path / "tape"), "--state", str(state), "--balance", "BTC=2", "--balance", "usdt=10"]
    process = start(*arguments)
    try:
        assert process.stdout is not None and process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert set(ready) == {"rest", "ws", "control", "api_key", "api_secret", "symbols"}
        kept = json.loads(state.read_text())
        assert kept == ready | {"pid": process.pid}
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        with urllib.request.urlopen(f"{ready['rest']}/api/v3/ping") as answer:
            assert answer.read() == b"{}"
        port = ready["rest"].rsplit(":", 1)[1]
        code, words = fails("--tape", str(tmp_path / "tape"), "--port", port)
        assert (code, f"port {port} on 127.0.0.1 is in use" in words) == (2, True)
        code, words = fails(*arguments)
        assert (code, "running already" in words) == (2, True)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=30)
        assert process.returncode == 0
        assert not state.exists()
        assert ready["api_key"] not in words and ready["api_secret"] not in words
    finally:
        process.kill()
        process.communicate()


def test_a_killed_exchange_comes_back_with_its_key(tmp_path: Path) -> None:
    make_tape(tmp_path / "tape", seconds=5)
    state = tmp_path / "state.json"
    seen = []
    for number in (signal.SIGKILL, signal.SIGINT):
        process = start("--tape", str(tmp_path / "tape"), "--state", str(state))
        assert process.stdout is not None
        seen.append(json.loads(process.stdout.readline()))
        process.send_signal(number)
        process.communicate(timeout=30)
        assert state.exists() == (number == signal.SIGKILL)
    assert process.returncode == 0
    assert (seen[0]["api_key"], seen[0]["api_secret"]) == (seen[1]["api_key"], seen[1]["api_secret"])


def test_wrong_calls_are_clear_errors(tmp_path: Path) -> None:
    assert fails("--synthetic", "--tape", "t")[0] == 2
    code, words = fails("--tape", str(tmp_path / "none"))
    assert (code, "no tape at" in words) == (6, True)
    code, words = fails("--synthetic", "--pace", "99x")
    assert (code, "the pace must be lockstep or 1x to 60x" in words) == (2, True)


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
    assert parse_balances(["btc=1", "BNB=2"], INSTRUMENT) == {"BTC": "1", "BNB": "2"}
    assert set(parse_balances([], INSTRUMENT)) == {"BTC", "USDT"}
