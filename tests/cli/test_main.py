"""The command line's own promises: exit codes, hints, and a quick start."""

import subprocess
import sys

from tidewright.cli.main import COMMANDS


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
