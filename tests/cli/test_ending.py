"""Ctrl-C and SIGTERM while compiled code runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from tidewright.market.synthetic import synthesize

SPINNING = """
from numba import njit

@njit
def spin(x):
    print("spinning")
    while x > 0.0:
        x += 1.0
    return x
"""
STRATEGY = """
import deeper_of_mine
import tidewright as tw

@tw.strategy(parameters=[tw.Parameter("wide", 1.0, 0.0, 9.0, 1.0, 9.0), tw.BASE_QUANTITY])
def holds_up(view, params, quotes):
    quotes.bid_price[0] = int(deeper_of_mine.spinning_of_mine.spin(float(view.best_bid)))
    quotes.bid_qty[0] = 1
    return 1, 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ending")
    synthesize(path / "tape", hours=0.5, seed=7, rate=4.0)
    (path / "spinning_of_mine.py").write_text(SPINNING)
    (path / "deeper_of_mine.py").write_text("import spinning_of_mine")  # loops so deep in modules are not counted
    (path / "mine.py").write_text(STRATEGY)
    return path


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is interrupted as ever")
@pytest.mark.parametrize(
    ("command", "number", "said"),
    [
        (["backtest", "--fills", "OUT/fills.parquet"], signal.SIGINT, "error: interrupted"),
        (["backtest", "--equity", "OUT/equity.parquet"], signal.SIGTERM, "error: ended by SIGTERM"),
        (["backtest", "--set", "wide=1,2,3,4", "--threads", "2"], signal.SIGINT, "error: interrupted"),
        (["optimize", "--study", "OUT/study", "--cycle", "1s"], signal.SIGTERM, "error: ended by SIGTERM"),
    ],
    ids=["a backtest", "a backtest that is told to end", "a sweep in threads", "a search"],
)
def test_a_signal_ends_a_command_that_compiled_code_holds_up(
    folder: Path, tmp_path: Path, command: list[str], number: signal.Signals, said: str
) -> None:
    words = [word.replace("OUT", str(tmp_path)) for word in command]
    words = [sys.executable, "-m", "tidewright", words[0], "--tape", str(folder / "tape"), *words[1:]]
    process = subprocess.Popen(
        [*words, "--strategy", str(folder / "mine.py")],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert "spinning" in process.stdout.readline()  # threads print into each other's lines
        process.send_signal(number)
        _, err = process.communicate(timeout=20)  # a second, on a machine that has nothing else to do
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert err.splitlines()[-1].startswith(said)
    assert list(tmp_path.glob("*.parquet")) == []


OTHER = """
import signal, time
from tidewright.cli.ending import HEARD_S, prompt_ending
heard = []
signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
with prompt_ending():
    signal.raise_signal(signal.SIGUSR1)
    time.sleep(HEARD_S + 0.5)
try:
    with prompt_ending():
        signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    time.sleep(HEARD_S + 0.5)
print(heard == [signal.SIGUSR1], signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_other_signals_end_nothing_and_python_code_ends_in_order() -> None:
    done = subprocess.run([sys.executable, "-c", OTHER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr
