"""The command line's own promises: exit codes, hints, and a quick start."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidewright.cli.main import COMMANDS, main


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidewright", *words], capture_output=True, text=True, check=False)


def test_an_unknown_command_exits_2_with_a_hint_and_no_traceback() -> None:
    done = run("demoo")
    assert done.returncode == 2
    assert "Did you mean 'demo'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_help_does_not_load_the_heavy_parts() -> None:
    code = (
        "import sys\nfrom tidewright.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numba', 'polars', 'ccxt', 'plotly') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--bogus"], "no such option: --bogus"),
        (["backtest"], "missing option '--tape'"),
        (["exchange", "--port", "99999"], "invalid value for '--port': must be less than or equal to 65535"),
        (["data", "import", "f", "--out", "o", "--format", "nope"], "'nope' is not one of"),
        (["demo", "--pace", "100x"], "lockstep or 1x to 60x"),
        (["demo", "--epoch", "0s"], "an epoch must be whole cycles"),
        (["demo", "--strategy", "nope"], "unknown strategy 'nope'. There are"),
        (["demo", "--tape", str(Path(__file__).parents[2] / "src"), "--out", "x"], "no tape at"),
    ],
)
def test_a_mistake_in_the_options_is_one_line_and_leaves_nothing_behind(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(words)
    told = capsys.readouterr()
    assert left.value.code == (6 if message == "no tape at" else 2)
    assert message in told.err and len(told.err.splitlines()) == 1
    assert told.out == "" and not list(tmp_path.iterdir())


def test_what_is_half_written_goes_when_a_command_is_told_to_end(tmp_path: Path) -> None:
    words = ["data", "synth", "--hours", "8000", "--out", str(tmp_path / "tape")]
    process = subprocess.Popen([sys.executable, "-m", "tidewright", *words], stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".tape.partial*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told_before_the_market_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        done = run("exchange", "--tape", str(tmp_path / "none"), "--port", str(busy.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr
