"""A real paper exchange in a process of its own, and sessions beside it, for tests that need the whole thing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tidewright.market.synthetic import synthesize

SESSION = """
strategy = "grid"
warmup = "2m"
restart = "{restart}"
[venue]
state = "exchange.json"
[params]
spread_percentage = 0.03
levels = 3
base_quantity = 0.002
max_position = 0.02
[limits]
max_position_share = 0.05
[advice]
enabled = false
"""

SEVERAL = """
coordination = "hierarchical"
warmup = "2m"
restart = "{restart}"
[venue]
state = "exchange.json"
[params]
levels = 3
base_quantity = 0.01
max_position = 0.05
[agents]
round_cycles = 2
[agents.strategies.grid]
spread_percentage = 0.03
[agents.strategies.near]
strategy = "grid"
spread_percentage = 0.02
[agents.strategies.mean_reversion]
[limits]
max_position_share = 0.2
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tidewright.cli.main", *arguments]


class PaperMarket:
    """Exchange on a synthetic market in a folder; use it as a context manager."""

    def __init__(self, folder: Path, hours: float, pace: str = "lockstep") -> None:
        self.folder, self._pace = folder, pace
        synthesize(folder / "market", hours=hours, seed=11)

    def __enter__(self) -> "PaperMarket":
        self._process = subprocess.Popen(
            command(
                "exchange",
                "--tape",
                str(self.folder / "market"),
                "--state",
                str(self.folder / "exchange.json"),
                "--pace",
                self._pace,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.ready = json.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start_session(
        self, name: str = "run", restart: str = "adopt", text: str = SESSION, *more: str
    ) -> "subprocess.Popen[str]":
        """``tidewright trade`` in a process of its own, in ``folder/name``."""
        config = self.folder / f"{name}.toml"
        config.write_text(text.format(restart=restart))
        return subprocess.Popen(
            command(
                "trade", "-c", str(config), "--session-dir", str(self.folder / name), "--headless", "--json", *more
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )

    def state(self, name: str = "run") -> dict[str, Any]:
        """What the session last wrote about itself."""
        try:
            found: dict[str, Any] = json.loads((self.folder / name / "session.json").read_text())
        except FileNotFoundError:
            return {"cycles": 0, "fills": 0}
        return found

    def wait_for(self, process: "subprocess.Popen[str]", condition: Any, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until the session's state fulfils a condition."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = self.state()
            if state.get("pid") == process.pid and condition(state):
                return state
            if process.poll() is not None:
                raise AssertionError(f"the session ended early: {process.communicate()[1]}")
            time.sleep(0.02)
        raise AssertionError(f"it did not come to that: {self.state()}")
